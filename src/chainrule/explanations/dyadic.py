"""Numbers n·2ᵉ: sums and products of floats without rounding.

Every float64 is such a number, so sums of products of floats are too. A remainder that is the
difference of two large numbers comes out right, and nothing overflows on the way.
"""

from __future__ import annotations

import math

Dyadic = tuple[int, int]

ZERO: Dyadic = (0, 0)
ONE: Dyadic = (1, 0)
# A product of more than six hundred floats is rounded to this many bits, so that a very long chain
# takes time in proportion to its length.
_BITS = 1 << 15
_MANTISSA = 53


def dyadic(number: float) -> Dyadic:
    """A finite float as it is.

    >>> dyadic(0.75)
    (3, -2)
    """
    mantissa, exponent = math.frexp(number)
    n = int(math.ldexp(mantissa, _MANTISSA))
    if not n:
        return ZERO
    even = (n & -n).bit_length() - 1
    return n >> even, exponent - _MANTISSA + even


def plus(a: Dyadic, b: Dyadic) -> Dyadic:
    """The sum."""
    (n, e), (m, d) = a, b
    if not n or not m:
        return b if not n else a
    if e < d:
        (n, e), (m, d) = b, a
    if e - d > _BITS + n.bit_length() + m.bit_length():
        return (n, e) if n.bit_length() + e > m.bit_length() + d else (m, d)
    return _bounded((n << (e - d)) + m, d)


def times(a: Dyadic, b: Dyadic) -> Dyadic:
    """The product."""
    return _bounded(a[0] * b[0], a[1] + b[1])


def minus(a: Dyadic) -> Dyadic:
    """The number with the other sign."""
    return -a[0], a[1]


def ratio(a: Dyadic, b: Dyadic) -> float:
    """The nearest float to ``a/b``; infinite where that is too large, or ``b`` is zero.

    >>> ratio(dyadic(1.0), dyadic(3.0)) == 1.0 / 3.0
    True
    """
    (n, e), (m, d) = a, b
    if not n:
        return 0.0
    if not m:
        return _signed(math.inf, n, 1)
    shift = e - d
    size = n.bit_length() - m.bit_length() + shift
    if size > 1100 or size < -1200:
        return _signed(math.inf if size > 0 else 0.0, n, m)
    try:
        return (n << shift) / m if shift >= 0 else n / (m << -shift)
    except OverflowError:
        return _signed(math.inf, n, m)


def rounded(a: Dyadic) -> float:
    """The nearest float.

    >>> rounded(plus(plus(dyadic(1e300), dyadic(1.0)), dyadic(-1e300)))
    1.0
    """
    return ratio(a, ONE)


def _bounded(n: int, e: int) -> Dyadic:
    beyond = n.bit_length() - _BITS
    return (n, e) if beyond <= 0 else (n >> beyond, e + beyond)


def _signed(size: float, n: int, m: int) -> float:
    return size if (n < 0) == (m < 0) else -size
