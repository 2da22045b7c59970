"""Powers, and the hypotenuse.

``xʸ`` is 2 to the power of ``y log2 x``, with the logarithm as a sum of two numbers: a result near
the ends of the range magnifies an error of the exponent a thousand times, so ten or more bits
beyond those of a number are carried.
"""

from __future__ import annotations

import math

from chainrule.run.llvm.functions.constants import LOG2_E, pieces
from chainrule.run.llvm.functions.exponentials import two_to
from chainrule.run.llvm.functions.logarithms import split
from chainrule.run.llvm.functions.text import Body, Operand, Value

# (artanh(s)/s - 1 - s²/3) / s⁴, in s², for |s| ≤ 0.1716: the logarithm within 2^-73.5, 2^-36.8.
_REST = {
    64: (
        0.1999999999999999, 0.14285714285722562, 0.11111111108766994, 0.0909090943531276,
        0.0769227842470342, 0.06668159131075581, 0.05837400586806139, 0.05994579561562847,
    ),
    32: (0.20000076, 0.14273599, 0.11708655),
}  # fmt: skip

# 1/3 to 320 bits.
_THIRD = (1 << 320) // 3
_THIRDS = {64: pieces(_THIRD, (53, 53)), 32: pieces(_THIRD, (24, 24))}
_TWICE_LOG2_E = {64: pieces(LOG2_E, (53, 53), 2.0), 32: pieces(LOG2_E, (24, 24), 2.0)}

# Exponents beyond this in size give zero or infinity.
_FAR = {64: 1100.0, 32: 160.0}


def _times(
    b: Body, left: tuple[Value, Value], right: tuple[Value | float, ...]
) -> tuple[Value, Value]:
    """A product of two sums, but for the smallest term."""
    product, lost = b.product(left[0], right[0])
    return product, b.fma(left[1], right[0], b.fma(left[0], right[1], lost))


def _plus(greater: Operand, value: tuple[Value, Value]) -> tuple[Value, Value]:
    """A number added to a sum that is smaller in size (or to any, where the number is zero)."""
    total = greater + value[0]
    return total, ((greater - total) + value[0]) + value[1]


def _log2(b: Body, x: Value) -> tuple[Value, Value]:
    """The logarithm of a positive finite number to base 2."""
    k, f, _ = split(b, x)
    # s = f / (2 + f), and what rounding took from the sum and from the quotient.
    below = f + 2.0
    inverse = 1.0 / below
    quotient = f * inverse
    product, lost = b.product(quotient, below)
    left = b.fma(-quotient, f - (below - 2.0), (f - product) - lost)
    s = (quotient, left * inverse)
    z = _times(b, s, s)
    tail = z[0] * z[0] * b.polynomial(z[0], _REST[b.form.bits])
    third = _times(b, z, _THIRDS[b.form.bits])
    series = _plus(third[0], (tail, third[1]))
    correction = _times(b, s, series)
    sums = _plus(s[0], (correction[0], correction[1] + s[1]))
    return _plus(k, _times(b, sums, _TWICE_LOG2_E[b.form.bits]))


def _whole_and_odd(b: Body, size: Value) -> tuple[Value, Value]:
    """Whether a number, given without its sign, is an integer; its parity in bit 0 if it is."""
    one_is_last = float(1 << b.form.mantissa)
    below = size < one_is_last
    shifted = size + one_is_last
    whole = b.choose(below, shifted - one_is_last, size).equals(size)
    last_bit = b.choose(below, shifted, b.choose(size < 2 * one_is_last, size, 0.0))
    return whole, last_bit.bits()


def power(b: Body, x: Value, y: Value) -> Value:
    """x to the power of y."""
    size = b.magnitude(x)
    high, low = _log2(b, size)
    # Of zero, infinity and NaN.
    high = b.choose(size < math.inf, b.choose(size.equals(0.0), -math.inf, high), size)
    exponent, lost = b.product(y, high)
    lost = b.choose(b.magnitude(exponent) < _FAR[b.form.bits], b.fma(y, low, lost), 0.0)
    # A size of one to any power, and any number to the power of zero: NaN too, but for (-1)**NaN,
    # which is seen to further down.
    is_one = size.equals(1.0) | y.equals(0.0)
    result = two_to(b, b.choose(is_one, 0.0, exponent), b.choose(is_one, 0.0, lost))
    whole, last_bit = _whole_and_odd(b, b.magnitude(y))
    # No real number: a negative one, not infinite, to a power that is not whole.
    result = b.choose((x < 0.0) & (x > -math.inf), b.choose(whole, result, math.nan), result)
    # The sign of x, where the power is odd; of a power that is not whole x has the sign only if
    # it is -0 or -inf, and then it is dropped.
    odd = b.choose(whole, (last_bit << (b.form.bits - 1)).number(), 0.0).bits()
    return (result.bits() ^ (b.sign(x) & odd)).number()


def hypot(b: Body, x: Value, y: Value) -> Value:
    """sqrt(x² + y²), scaled by a power of two where a square would overflow or be subnormal."""
    left, right = b.magnitude(x), b.magnitude(y)
    most = b.choose(left < right, right, left)
    # Between the roots of the smallest and the largest number, less what two squares may add.
    far = 2.0 ** (b.form.bias // 2 - b.form.mantissa // 2)
    up = 2.0 ** (b.form.bias // 2 + 3 * b.form.mantissa // 2 + 1)
    great, small = most > far, most < 1 / far
    scale = b.choose(great, 1 / up, b.choose(small, up, 1.0))
    back = b.choose(great, up, b.choose(small, 1 / up, 1.0))
    left, right = left * scale, right * scale
    result = b.intrinsic("sqrt", b.fma(left, left, right * right)) * back
    # One infinite side makes it infinite, whatever the other: NaN too.
    infinite = b.magnitude(x).equals(math.inf) | b.magnitude(y).equals(math.inf)
    return b.choose(infinite, math.inf, result)
