"""sin, cos and tan by reduction to an eighth of a turn; arctan by reduction to the unit interval.

Multiples of π are taken away in several parts (Cody and Waite). The first difference is exact, and
so is each next one where terms cancel, so the remainder is right to the last bits also next to
a zero. Arguments too large for that are rare, and are left to the scalar library.
"""

from __future__ import annotations

import math

from chainrule.run.llvm.functions.constants import PI, pieces
from chainrule.run.llvm.functions.text import Body, Operand, Value

# (sin(r) - r) / r³, in r², for |r| ≤ π/4: sin within 2^-57.9, and within 2^-27.9.
_SIN = {
    64: (
        -0.1666666666666663, 0.008333333333322005, -0.0001984126982949521, 2.755731358753228e-06,
        -2.5050742295935088e-08, 1.589590412775043e-10,
    ),
    32: (-0.16666655, 0.008332156, -0.00019514633),
}  # fmt: skip

# (cos(r) - 1 + r²/2) / r⁴, in r², for |r| ≤ π/4: within 2^-64.2, and within 2^-33.2.
_COS = {
    64: (
        0.0416666666666666, -0.001388888888887399, 2.480158728939502e-05, -2.75573143260565e-07,
        2.0875719562022137e-09, -1.1359448843295504e-11,
    ),
    32: (0.041666646, -0.0013887362, 2.443774e-05),
}  # fmt: skip

# (arctan(z) - z) / z³, in z², for |z| ≤ 1: within 2^-57.6, and within 2^-28.5.
_ARCTAN = {
    64: (
        -0.3333333333333307, 0.19999999999951465, -0.14285714282575368, 0.11111111007032423,
        -0.09090907003084901, 0.07692279840232781, -0.06666404064313405, 0.05880527850391732,
        -0.052535186973624394, 0.04722322667790008, -0.04219180054219081, 0.036641931893648255,
        -0.029903889907282592, 0.02198489007474189, -0.013900593245719713, 0.007196525840552774,
        -0.0028849297747693854, 0.0008313257465490182, -0.00015216169226493618,
        1.3225156891530132e-05,
    ),
    32: (
        -0.333333, 0.19998549, -0.14264244, 0.10952197, -0.08403481, 0.057958085, -0.03117831,
        0.0109148435, -0.0017936726,
    ),
}  # fmt: skip

# (arcsin(s) - s) / s³, in s², for 0 ≤ s ≤ 1/2: within 2^-55.8, and within 2^-27.6.
_ARCSIN = {
    64: (
        0.16666666666665403, 0.07500000000338698, 0.044642856826871656, 0.030381959199415616,
        0.02237175650253454, 0.017359728793751965, 0.013884991884594295, 0.012170848890953935,
        0.0065207399917815816, 0.01954846655453003, -0.01625655407590717, 0.031934806459107214,
    ),
    32: (0.16666752, 0.07495299, 0.04547053, 0.024177652, 0.042171005),
}  # fmt: skip

# With fused multiply-add the parts of π may be as long as numbers are. Without it a multiple of
# each part must fit a number: up to 20 bits more for double, 12 for float. By (bits, fused).
_PARTS = {
    (64, True): (53, 53, 53),
    (64, False): (33, 33, 33, 53),
    (32, True): (24, 24, 24),
    (32, False): (12, 12, 12, 12, 24),
}

# Up to here the number of quarters is small enough for the parts.
_LARGEST = {
    (64, True): 2.0**30, (64, False): 2.0**20, (32, True): 2.0**16, (32, False): 2.0**11,
}  # fmt: skip

_HALF_PI = {64: pieces(PI, (53, 53), 0.5), 32: pieces(PI, (24, 24), 0.5)}


def _waves(b: Body, x: Value) -> tuple[Value, Value, Value]:
    """The number of the quarter in the low bits of a word, and sine and cosine of what is left.

    All three functions share these instructions, so sine and cosine of one argument, as in a
    derivative, cost little more than one of them.
    """
    n, word = b.round(x, 2 / math.pi)
    r = x
    for part in pieces(PI, _PARTS[b.form.bits, b.fused], 0.5):
        r = b.fma(n, -part, r)
    z = r * r
    sine = b.fma(r * z, b.polynomial(z, _SIN[b.form.bits]), r)
    half = z * 0.5
    most = 1.0 - half
    lost = (1.0 - most) - half
    cosine = most + b.fma(z * z, b.polynomial(z, _COS[b.form.bits]), lost)
    return word, sine, cosine


def _with_sign(b: Body, value: Value, word: Value) -> Value:
    """The value, its sign changed in the second half of the circle (bit 1 of the word)."""
    bits = b.form.bits
    return (value.bits() ^ ((word << (bits - 2)) & (1 << (bits - 1)))).number()


def _odd(word: Value) -> Value:
    return (word & 1).equals(1)


def _finish(b: Body, name: str, x: Value, value: Value) -> Value:
    """The value, or the scalar library's where the argument is too large."""
    return b.rescue(b.magnitude(x) > _LARGEST[b.form.bits, b.fused], name, x, value)


def _or_itself(b: Body, x: Value, value: Value) -> Value:
    """So near zero sine and tangent are their argument: x²/3 is below the last bit."""
    return b.choose(b.magnitude(x) < 2.0 ** (-2 - b.form.mantissa // 2), x, value)


def sin(b: Body, x: Value) -> Value:
    """The sine."""
    word, sine, cosine = _waves(b, x)
    value = _with_sign(b, b.choose(_odd(word), cosine, sine), word)
    return _finish(b, "sin", x, _or_itself(b, x, value))


def cos(b: Body, x: Value) -> Value:
    """The cosine: the sine one quarter further on."""
    word, sine, cosine = _waves(b, x)
    value = _with_sign(b, b.choose(_odd(word), sine, cosine), word + 1)
    return _finish(b, "cos", x, value)


def tan(b: Body, x: Value) -> Value:
    """The tangent: sine by cosine, upside down in odd quarters."""
    word, sine, cosine = _waves(b, x)
    odd = _odd(word)
    value = b.choose(odd, cosine, sine) / b.choose(odd, -sine, cosine)
    return _finish(b, "tan", x, _or_itself(b, x, value))


def _angle(b: Body, z: Value, high: Operand, low: Operand) -> Value:
    """``arctan(z)`` for ``|z| ≤ 1``, added to an angle in two parts that is zero or greater."""
    square = z * z
    rest = b.fma(z * square, b.polynomial(square, _ARCTAN[b.form.bits]), low)
    total = z + high
    lost = z - (total - high)
    return total + (lost + rest)


def arctan(b: Body, x: Value) -> Value:
    """The inverse tangent: π/2 less that of 1/x where x is great."""
    size = b.magnitude(x)
    great = size > 1.0
    z = b.choose(great, -1.0, size) / b.choose(great, size, 1.0)
    high, low = _HALF_PI[b.form.bits]
    angle = _angle(b, z, b.choose(great, high, 0.0), b.choose(great, low, 0.0))
    return (angle.bits() | b.sign(x)).number()


def arctan2(b: Body, y: Value, x: Value) -> Value:
    """The angle of the point (x, y), from the quotient of the smaller by the greater."""
    high, low = _HALF_PI[b.form.bits]
    up, along = b.magnitude(y), b.magnitude(x)
    steep = up > along
    below = b.choose(steep, up, along)
    z = b.choose(steep, -along, up) / below
    # Equal sizes: also two infinities, and two zeros, which count as an angle of zero.
    z = b.choose(up.equals(along), b.choose(below.equals(0.0), 0.0, 1.0), z)
    behind = b.sign(x)
    z = (z.bits() ^ behind).number()
    left = behind.equals(0)
    high_value = b.choose(steep, high, b.choose(left, 0.0, 2 * high))
    low_value = b.choose(steep, low, b.choose(left, 0.0, 2 * low))
    angle = _angle(b, z, high_value, low_value)
    return (angle.bits() | b.sign(y)).number()


def _arcsin(b: Body, size: Value) -> tuple[Value, Value, Value]:
    """Whether a number in [0, 1] is great; if not, its arcsin, else that of sqrt((1 - x) / 2).

    As a sum of two, the second much smaller.
    """
    great = size > 0.5
    square = b.choose(great, b.fma(size, -0.5, 0.5), size * size)
    s = b.choose(great, b.intrinsic("sqrt", square), size)
    rest = s * square * b.polynomial(square, _ARCSIN[b.form.bits])
    return great, s, rest


def arcsin(b: Body, x: Value) -> Value:
    """The inverse sine: for a great x π/2 less twice that of sqrt((1 - x) / 2)."""
    size = b.magnitude(x)
    high, low = _HALF_PI[b.form.bits]
    great, s, rest = _arcsin(b, size)
    twice = s * 2.0
    from_above = high - twice
    lost = (high - from_above) - twice
    value = b.choose(great, from_above + (lost + b.fma(rest, -2.0, low)), s + rest)
    # Beyond one the root was of a negative number, and it is NaN by itself.
    return (value.bits() | b.sign(x)).number()


def arccos(b: Body, x: Value) -> Value:
    """The inverse cosine: π/2 less the inverse sine, or twice that of sqrt((1 - |x|) / 2)."""
    high, low = _HALF_PI[b.form.bits]
    great, s, rest = _arcsin(b, b.magnitude(x))
    negative = x < 0.0
    # An angle in two parts (π/2, or 0 or π), and what times the inverse sine is added to it.
    angle = b.choose(great, b.choose(negative, 2 * high, 0.0), high)
    trail = b.choose(great, b.choose(negative, 2 * low, 0.0), low)
    times = (b.choose(great, 2.0, -1.0).bits() ^ b.sign(x)).number()
    step = times * s
    total = angle + step
    lost = (angle - total) + step
    return total + (lost + b.fma(times, rest, trail))
