"""Numbers in formulas: floats that remember which number they stand for.

A literal means what is written: ``0.1`` is one tenth, not the binary fraction next to it. Where a
rule computes with literals alone (``p − 1``, ``1/y``), the result is again the number meant, so a
derivative says ``x^1.7`` and ``1/7``, and can be evaluated to any precision.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

_NUMBERS = (float, int, np.floating, np.integer)
# Beyond this many bits, exactness is no longer worth its price.
_MOST_BITS = 2048
_LARGEST_EXPONENT = 64


class Rational(float):
    """A finite float with the rational number that it rounds.

    Attributes:
        exactly: The number meant.
        ratio: Its numerator and denominator.
        decimal: Whether it comes from a number with a decimal point, and reads best as one.
    """

    __slots__ = ("decimal", "exactly", "ratio")

    exactly: Fraction
    ratio: tuple[int, int]
    decimal: bool

    def __new__(cls, exactly: Fraction, decimal: bool = False) -> Rational:
        """The float nearest to ``exactly``, which it remembers."""
        number = super().__new__(cls, exactly)
        number.exactly = exactly
        number.ratio = exactly.as_integer_ratio()
        number.decimal = decimal
        return number

    def __neg__(self) -> float:
        # Zero has no sign as a fraction, but minus zero is a different float.
        return Rational(-self.exactly, self.decimal) if self else -float(self)

    def __pos__(self) -> Rational:
        return self

    def __abs__(self) -> Rational:
        return Rational(abs(self.exactly), self.decimal)


def rational(value: Any) -> Any:
    """``value`` as the number that it is written as; anything but a finite number unchanged.

    >>> rational(0.1).exactly, rational(2.0) / 3
    (Fraction(1, 10), 0.6666666666666666)
    """
    if type(value) is Rational or not isinstance(value, _NUMBERS) or isinstance(value, bool):
        return value
    number = float(value)
    if not math.isfinite(number) or (number == 0 and math.copysign(1, number) < 0):
        return value  # a fraction has no minus zero
    return _written(number)


@functools.lru_cache(maxsize=1024)
def _written(number: float) -> Rational:
    """The shortest decimal that rounds to ``number``: what was written to get it."""
    return Rational(Fraction(repr(number)), not number.is_integer())


def exactly(value: Any) -> Fraction:
    """The number that a finite constant stands for."""
    known: Fraction = rational(value).exactly if value else Fraction(0)
    return known


def _raised(base: Fraction, exponent: Fraction) -> Fraction:
    if exponent.denominator != 1 or abs(exponent) > _LARGEST_EXPONENT:
        raise ArithmeticError("not a rational number of reasonable length")
    return base**exponent.numerator


def _arithmetic(name: str, exact: Callable[[Fraction, Fraction], Fraction]) -> None:
    """Give ``Rational`` the operator ``name`` and its reflection, exact between plain numbers."""

    def method(self: Rational, other: Any) -> Any:
        return _combined(exact, float_operator, self, other)

    def reflected(self: Rational, other: Any) -> Any:
        return _combined(exact, float_operator, other, self)

    float_operator = getattr(np.float64, f"__{name}__")
    setattr(Rational, f"__{name}__", method)
    setattr(Rational, f"__r{name}__", reflected)


def _combined(
    exact: Callable[[Fraction, Fraction], Fraction], rounded: Any, left: Any, right: Any
) -> Any:
    """The exact result; the rounded one where there is none or it would be too long."""
    a, b = rational(left), rational(right)
    if isinstance(left, np.generic) or isinstance(right, np.generic):
        return NotImplemented  # NumPy's numbers stay NumPy's
    if not (isinstance(a, float | int) and isinstance(b, float | int)):
        return NotImplemented
    if isinstance(a, Rational) and isinstance(b, Rational):
        try:
            result = exact(a.exactly, b.exactly)
            if result.numerator.bit_length() + result.denominator.bit_length() < _MOST_BITS:
                return Rational(result, a.decimal or b.decimal)
        except ArithmeticError:
            pass
    with np.errstate(all="ignore"):
        return float(rounded(np.float64(a), np.float64(b)))


_arithmetic("add", lambda a, b: a + b)
_arithmetic("sub", lambda a, b: a - b)
_arithmetic("mul", lambda a, b: a * b)
_arithmetic("truediv", lambda a, b: a / b)
_arithmetic("pow", _raised)
