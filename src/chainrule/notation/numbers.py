"""Numbers in print: literals in full, values to ten significant digits."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np

from chainrule.graph.rational import Rational

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def text_number(value: Any) -> str:
    """A literal, exactly: ``3``, ``0.1``, ``−2.5``.

    >>> text_number(3.0), text_number(-0.5), text_number(1e-20)
    ('3', '−0.5', '10⁻²⁰')
    """
    return _scientific(_literal(value), latex=False).replace("×", "·")


def latex_number(value: Any) -> str:
    r"""A literal in LaTeX.

    >>> latex_number(1e-20)
    '10^{-20}'
    """
    return _scientific(_literal(value), latex=True)


def text_value(value: Any, digits: int = 10) -> str:
    """A computed value, rounded to ``digits`` significant digits.

    >>> text_value(0.76923890136397), text_value(1.5e-17), text_value(float("inf"))
    ('0.7692389014', '1.5×10⁻¹⁷', '∞')
    """
    return _scientific(_rounded(value, digits).replace("inf", "∞"), latex=False)


def latex_value(value: Any, digits: int = 10) -> str:
    """A computed value in LaTeX, rounded to ``digits`` significant digits."""
    return _scientific(_rounded(value, digits).replace("inf", r"\infty"), latex=True)


# Longer whole numbers are rounded in print.
_DIGITS = 60


def text_count(count: int) -> str:
    """A whole number that counts something; a very long one is rounded, and says so.

    >>> text_count(2**40), text_count(2**1500)
    ('1,099,511,627,776', 'about 3.507466211×10⁴⁵¹')
    """
    if count < 10**_DIGITS:
        return f"{count:,}"
    shift = count.bit_length() - 60
    exponent = math.log10(count >> shift) + shift * math.log10(2)
    whole = math.floor(exponent)
    mantissa = f"{10 ** (exponent - whole):.10g}"
    return f"about {mantissa}×10{str(whole).translate(_SUPERSCRIPTS)}"


def proper_fraction(value: Any) -> Fraction | None:
    """The fraction that ``value`` is written as, if it is not written as a decimal number."""
    if not isinstance(value, Rational) or value.exactly.denominator == 1:
        return None
    decimal = Fraction(repr(float(value))) == value.exactly
    return None if value.decimal and decimal else value.exactly


def _literal(value: Any) -> str:
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    number = float(value)
    if number.is_integer() and abs(number) < 1e15:
        return str(int(number))
    return repr(number).replace("inf", "∞").replace("e+", "e")


def _rounded(value: Any, digits: int) -> str:
    if isinstance(value, bool | np.bool_ | int | np.integer):
        return str(value)
    return f"{float(value):.{digits}g}".replace("e+", "e")


def _scientific(s: str, latex: bool) -> str:
    """``1.5e-17`` as a power of ten."""
    mantissa, _, exponent = s.partition("e")
    if not exponent.lstrip("-").isdigit():  # "true" has an e as well
        return s if latex else s.replace("-", "−")
    if latex:
        power = f"10^{{{int(exponent)}}}"
        return power if mantissa == "1" else rf"{mantissa} \times {power}"
    power = "10" + str(int(exponent)).translate(_SUPERSCRIPTS)
    return power if mantissa == "1" else f"{mantissa.replace('-', '−')}×{power}"
