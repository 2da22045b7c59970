"""Logarithms, and what is made of them.

``x = 2ᵏ (1 + f)`` with ``1 + f`` between the roots of 1/2 and of 2.

``log(1 + f) = 2 artanh(s)`` with ``s = f / (2 + f)``, written as ``f`` less something small, so
that next to one only the last addition rounds.
"""

from __future__ import annotations

import math

from chainrule.run.llvm.functions.constants import LN_2, LOG2_E, LOG10_2, LOG10_E, pieces
from chainrule.run.llvm.functions.exponentials import exp
from chainrule.run.llvm.functions.text import Body, Value

# (2 artanh(s)/s - 2) / s², in s², for |s| ≤ 0.1716: log within 2^-58.5, and within 2^-36.6.
_LOG = {
    64: (
        0.6666666666666734, 0.39999999999414176, 0.28571428742522126, 0.2222219855742043,
        0.18183565235242657, 0.15314025200163883, 0.1479622280701532,
    ),
    32: (0.6666666, 0.4000033, 0.2853748, 0.23579398),
}  # fmt: skip

# The first part has so few bits that k times it is exact.
_LN_2 = {64: pieces(LN_2, (41, 53)), 32: pieces(LN_2, (15, 24))}
_LOG10_2 = {64: pieces(LOG10_2, (41, 53)), 32: pieces(LOG10_2, (15, 24))}

# The first part has half of the bits: times a number of half the bits it is exact.
_LOG2_E = {64: pieces(LOG2_E, (26, 53)), 32: pieces(LOG2_E, (12, 24))}
_LOG10_E = {64: pieces(LOG10_E, (26, 53)), 32: pieces(LOG10_E, (12, 24))}


def split(b: Body, x: Value, subnormal: bool = True) -> tuple[Value, Value, Value]:
    """``k`` and ``f`` of a positive number, and the word with ``k`` in its exponent field."""
    form = b.form
    shift = float(1 << form.mantissa)
    offset: Value | float = shift + form.bias
    if subnormal:
        up = form.mantissa + 2
        tiny = x < form.smallest_normal
        x = b.choose(tiny, x * 2.0**up, x)
        offset = b.choose(tiny, shift + form.bias + up, shift + form.bias)
    root = form.pattern(math.sqrt(0.5))
    word = x.bits() + (form.pattern(1.0) - root)
    # Below the exponent of 2^52 an integer stands for itself: no conversion is needed.
    k = ((word >> form.mantissa) | form.pattern(shift)).number() - offset
    m = ((word & ((1 << form.mantissa) - 1)) + root).number()
    return k, m - 1.0, word


def _rest(b: Body, f: Value) -> tuple[Value, Value]:
    """``f²/2`` and ``s (f²/2 + s² R)``: log(1 + f) is ``f`` less the first plus the second."""
    s = f / (f + 2.0)
    z = s * s
    half = f * 0.5 * f
    return half, s * b.fma(z, b.polynomial(z, _LOG[b.form.bits]), half)


def _natural(b: Body, k: Value, f: Value) -> Value:
    high, low = _LN_2[b.form.bits]
    half, rest = _rest(b, f)
    return b.fma(k, high, f - (half - b.fma(k, low, rest)))


def _outside(b: Body, x: Value, result: Value) -> Value:
    """The result, but for arguments that have no finite logarithm."""
    result = b.choose(x < math.inf, result, x)
    return b.choose(x > 0.0, result, b.choose(x.equals(0.0), -math.inf, math.nan))


def log(b: Body, x: Value) -> Value:
    """The natural logarithm."""
    k, f, _ = split(b, x)
    return _outside(b, x, _natural(b, k, f))


def _log1p(b: Body, x: Value, doubled: Value | None = None) -> Value:
    """log(1 + x), for a finite x above -1: of the rounded sum, ``f`` with what rounding took.

    Where ``doubled`` is flagged, the logarithm of twice as much.
    """
    form = b.form
    u = x + 1.0
    back = u - 1.0
    lost = (1.0 - (u - back)) + (x - back)
    k, f, word = split(b, u, subnormal=False)
    exponent = word & (((1 << (form.bits - form.mantissa)) - 1) << form.mantissa)
    scale = ((2 * form.bias << form.mantissa) - exponent).number()
    # Beyond 2^60 nothing is lost that could be seen, and the scale would leave its field.
    f = f + b.choose(u < 2.0**60, lost * scale, 0.0)
    if doubled is not None:
        k = k + b.choose(doubled, 1.0, 0.0)
    return _natural(b, k, f)


def log1p(b: Body, x: Value) -> Value:
    """log(1 + x)."""
    result = _outside(b, x + 1.0, _log1p(b, x))
    # It has the sign of x, zero included.
    return (result.bits() | b.sign(x)).number()


def log_expit(b: Body, x: Value) -> Value:
    """The logarithm of the logistic function: x or 0 less log1p(exp(-|x|))."""
    decay = exp(b, -b.magnitude(x))
    return b.choose(x > 0.0, -0.0, x) - _log1p(b, decay)


def _huge(b: Body) -> float:
    """Beyond this x² + 1 and x² - 1 are x²."""
    return float(2.0 ** (b.form.mantissa // 2 + 2))


def arcsinh(b: Body, x: Value) -> Value:
    """The inverse hyperbolic sine: log1p(x + x² / (1 + sqrt(x² + 1)))."""
    size = b.magnitude(x)
    huge = size > _huge(b)
    square = size * size
    inner = size + square / (b.intrinsic("sqrt", square + 1.0) + 1.0)
    result = _log1p(b, b.choose(huge, size - 1.0, inner), doubled=huge)
    return (b.choose(size < math.inf, result, size).bits() | b.sign(x)).number()


def arccosh(b: Body, x: Value) -> Value:
    """The inverse hyperbolic cosine: log1p(t + sqrt(t² + 2t)) with t = x - 1."""
    huge = x > _huge(b)
    t = x - 1.0
    inner = t + b.intrinsic("sqrt", b.fma(t, t, t + t))
    result = _log1p(b, b.choose(huge, t, inner), doubled=huge)
    return b.choose(x >= 1.0, b.choose(x < math.inf, result, x), math.nan)


def arctanh(b: Body, x: Value) -> Value:
    """The inverse hyperbolic tangent: half the logarithm of (1 + x) / (1 - x).

    The quotient only finds the power of two; ``s`` is made of both its terms, which are written so
    that they round once (1 - x is exact from 1/2 on). Near zero ``s`` is x itself.
    """
    form = b.form
    size = b.magnitude(x)
    above, below = size + 1.0, 1.0 - size
    k, _, word = split(b, above / below, subnormal=False)
    field = ((1 << (form.bits - form.mantissa - 1)) - 1) << form.mantissa
    power = (word & field).number()
    small = size < 0.5
    more, less = power + 1.0, 1.0 - power
    difference = b.choose(small, b.fma(size, more, less), b.fma(-power, below, above))
    s = difference / b.choose(small, b.fma(size, less, more), b.fma(power, below, above))
    z = s * s
    high, low = _LN_2[form.bits]
    half = k * 0.5
    rest = b.fma(s * z * 0.5, b.polynomial(z, _LOG[form.bits]), half * low)
    result = b.fma(half, high, s + rest)
    outside = b.choose(size.equals(1.0), math.inf, math.nan)
    return (b.choose(size < 1.0, result, outside).bits() | b.sign(x)).number()


def _other_base(
    b: Body, x: Value, inverse: tuple[float, ...], step: tuple[float, ...] | None
) -> Value:
    """``log(x) * inverse``, with ``k`` times ``step`` for its integer part (None: one)."""
    k, f, _ = split(b, x)
    half, rest = _rest(b, f)
    high = ((f - half).bits() & b.form.upper_half).number()
    low = ((f - high) - half) + rest
    leading = high * inverse[0]
    trailing = b.fma(low + high, inverse[1], low * inverse[0])
    whole = k
    if step is not None:
        whole = k * step[0]
        trailing = b.fma(k, step[1], trailing)
    total = whole + leading
    return _outside(b, x, total + (((whole - total) + leading) + trailing))


def log2(b: Body, x: Value) -> Value:
    """The logarithm to base 2."""
    return _other_base(b, x, _LOG2_E[b.form.bits], None)


def log10(b: Body, x: Value) -> Value:
    """The logarithm to base 10."""
    return _other_base(b, x, _LOG10_E[b.form.bits], _LOG10_2[b.form.bits])
