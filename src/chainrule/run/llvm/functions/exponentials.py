"""exp and what is made of it: 2ⁿ times a polynomial of the rest.

``x = n ln 2 + r`` with ``|r| ≤ ln 2 / 2``, and ``ln 2`` in two parts, of which the first has so few
bits that ``n`` times it is exact.
"""

from __future__ import annotations

from chainrule.run.llvm.functions.constants import LN_2, LOG2_E, pieces
from chainrule.run.llvm.functions.text import Body, Value

# (exp(r) - 1 - r) / r² for |r| ≤ ln 2 / 2: exp within 2^-57.9, and within 2^-28.3.
_EXP = {
    64: (
        0.5000000000000011, 0.1666666666666641, 0.04166666666652919, 0.008333333333495627,
        0.0013888888943922556, 0.00019841269504757158, 2.480149276283809e-05,
        2.755758735001924e-06, 2.7630378614560695e-07, 2.4999962752891277e-08,
    ),
    32: (0.49999994, 0.1666652, 0.041668393, 0.008368781, 0.0013814481),
}  # fmt: skip

# The same with expm1 within 2^-61.7, and within 2^-31.9.
_EXPM1 = {
    64: (
        0.5, 0.16666666666666677, 0.041666666666666505, 0.008333333333321606,
        0.0013888888888962867, 0.00019841269886209186, 2.480158717188786e-05,
        2.75572441030644e-06, 2.75574029133051e-07, 2.5109081757451834e-08,
        2.0875334720509216e-09,
    ),
    32: (0.5, 0.16666666, 0.04166636, 0.00833339, 0.001394072, 0.00019845886),
}  # fmt: skip

# (2^r - 1) / r for |r| ≤ 1/2: exp2 within 2^-58.0, and within 2^-28.9.
_EXP2 = {
    64: (
        0.6931471805599453, 0.24022650695910133, 0.05550410866482007, 0.009618129107593845,
        0.0013333558146777407, 0.00015403530457493703, 1.5252733491248444e-05,
        1.321543507675826e-06, 1.0178200031221521e-07, 7.0738208967465565e-09,
        4.43474900091739e-10,
    ),
    32: (0.6931472, 0.24022648, 0.05550332, 0.009618439, 0.0013399003, 0.00015353259),
}  # fmt: skip

# Beyond these exp is 0, and infinite; and exp2.
_EXP_RANGE = {64: (-746.0, 710.0), 32: (-104.0, 89.0)}
_EXP2_RANGE = {64: (-1076.0, 1025.0), 32: (-151.0, 129.0)}

_LOG2_E = pieces(LOG2_E, (53,))[0]
_LN_2 = {64: pieces(LN_2, (41, 53)), 32: pieces(LN_2, (15, 24))}
_LN_2_WHOLE = {64: pieces(LN_2, (53, 53)), 32: pieces(LN_2, (24, 24))}


def _reduce(b: Body, x: Value) -> tuple[Value, Value, Value]:
    """``n`` in the low bits of a word, ``r``, and what rounding took from ``r``."""
    n, word = b.round(x, _LOG2_E)
    high, low = _LN_2[b.form.bits]
    rest = b.fma(n, -high, x)
    r = b.fma(n, -low, rest)
    return word, r, b.fma(n, -low, rest - r)


def _power_of_two(b: Body, word: Value, more: int = 0) -> Value:
    """``2^(n + more)`` for a word with ``n`` in its low bits."""
    return ((word + (b.form.bias + more)) << b.form.mantissa).number()


def _scale(b: Body, value: Value, word: Value) -> Value:
    """``value * 2ⁿ``, in two halves: subnormal results are rounded once, great ones overflow."""
    half = word >> 1
    return value * _power_of_two(b, half) * _power_of_two(b, word - half)


def _exp(b: Body, x: Value) -> tuple[Value, Value]:
    """``exp(x)`` as a number near one, and a word with ``n`` for the power of two to apply."""
    word, r, _ = _reduce(b, x)
    return 1.0 + b.fma(r * r, b.polynomial(r, _EXP[b.form.bits]), r), word


def exp(b: Body, x: Value) -> Value:
    """The exponential."""
    least, most = _EXP_RANGE[b.form.bits]
    value, word = _exp(b, b.at_least(b.at_most(x, most), least))
    return _scale(b, value, word)


def exp_near(b: Body, x: Value) -> Value:
    """The exponential, where it is neither subnormal nor overflows."""
    value, word = _exp(b, x)
    return value * _power_of_two(b, word)


def exp2(b: Body, x: Value) -> Value:
    """Two to a power."""
    least, most = _EXP2_RANGE[b.form.bits]
    x = b.at_least(b.at_most(x, most), least)
    n, word = b.round(x)
    r = x - n
    return _scale(b, b.fma(r, b.polynomial(r, _EXP2[b.form.bits]), 1.0), word)


def two_to(b: Body, x: Value, more: Value) -> Value:
    """``2^(x + more)``, the second much smaller; rounded once, but for an eighth of the last bit.

    So powers that are numbers, as 3² is, come out as such.
    """
    least, most = _EXP2_RANGE[b.form.bits]
    x = b.at_least(b.at_most(x, most), least)
    n, word = b.round(x)
    high, low = _LN_2_WHOLE[b.form.bits]
    rest = x - n
    r, lost = b.product(rest, high)
    lost = b.fma(rest, low, b.fma(more, high, lost))
    total = r + 1.0
    curved = r * r * b.polynomial(r, _EXP[b.form.bits])
    # What was lost counts by the slope: it is hundreds of last bits where x is great.
    small = b.fma(lost, total + curved, ((1.0 - total) + r) + curved)
    return _scale(b, total + small, word)


def _part_of_expm1(b: Body, x: Value, shift: int) -> tuple[Value, Value]:
    """``(exp(x) - 1) / 2^shift`` as a sum of two, the second much smaller; ``x`` is in range.

    A part of it, because the power of two of a great result would overflow by itself. What is left
    of ``2ⁿ(1 + r) - 1`` is exact where the terms cancel.
    """
    word, r, lost = _reduce(b, x)
    power = _power_of_two(b, word, -shift)
    rest = b.fma(r * r, b.polynomial(r, _EXPM1[b.form.bits]), lost)
    return b.fma(power, r, power - 0.5**shift), power * rest


def _tiny(b: Body) -> float:
    """So near zero odd functions are their argument: x²/3 is below the last bit."""
    return float(2.0 ** (-2 - b.form.mantissa // 2))


def expm1(b: Body, x: Value) -> Value:
    """exp(x) - 1."""
    most = _EXP_RANGE[b.form.bits][1]
    high, low = _part_of_expm1(b, b.at_least(b.at_most(x, most), -0.8 * b.form.mantissa), 1)
    half = high + low
    # So near zero it is x, and half of a subnormal number would have lost a bit.
    itself = b.magnitude(x) < 2.0 ** (-2 - b.form.mantissa)
    return b.choose(itself, x, half + half)


def sinh(b: Body, x: Value) -> Value:
    """The hyperbolic sine: ``(e + e / (e + 1)) / 2`` with ``e = expm1(|x|)``, an eighth of it."""
    size = b.magnitude(x)
    high, low = _part_of_expm1(b, b.at_most(size, _EXP_RANGE[b.form.bits][1] + 1.0), 3)
    eighth = high + low
    value = 4.0 * (high + (low + eighth / b.fma(eighth, 8.0, 1.0)))
    return (b.choose(size < _tiny(b), size, value).bits() | b.sign(x)).number()


def cosh(b: Body, x: Value) -> Value:
    """The hyperbolic cosine: ``(e + 1/e) / 2`` with ``e = exp(|x|)``, an eighth of it."""
    value, word = _exp(b, b.at_most(b.magnitude(x), _EXP_RANGE[b.form.bits][1] + 1.0))
    eighth = value * _power_of_two(b, word, -3)
    return 4.0 * (eighth + 0.015625 / eighth)


def tanh(b: Body, x: Value) -> Value:
    """The hyperbolic tangent: ``h / (h + 1)`` with ``h = expm1(2|x|) / 2``."""
    size = b.magnitude(x)
    high, low = _part_of_expm1(b, b.at_most(size + size, 0.8 * b.form.mantissa), 1)
    h = high + low
    below = h + 1.0
    if b.fused:
        # One step of Newton's with what rounding took from h, from h + 1 and from the quotient.
        inverse = 1.0 / below
        quotient = h * inverse
        lost = (high - h) + low
        lost_below = (1.0 - below) + h + lost
        left = b.fma(-quotient, lost_below, b.fma(-quotient, below, h) + lost)
        quotient = b.fma(left, inverse, quotient)
    else:
        quotient = h / below
    return (b.choose(size < _tiny(b), size, quotient).bits() | b.sign(x)).number()


def expit(b: Body, x: Value) -> Value:
    """The logistic function 1 / (1 + exp(-x)), from exp(-|x|), which does not overflow."""
    e = exp(b, -b.magnitude(x))
    above = b.choose(x < 0.0, e, 1.0)
    below = e + 1.0
    if not b.fused:
        return above / below
    # One step of Newton's with what rounding took from the sum and from the quotient.
    inverse = 1.0 / below
    quotient = above * inverse
    left = b.fma(-quotient, (1.0 - below) + e, b.fma(-quotient, below, above))
    return b.fma(left, inverse, quotient)
