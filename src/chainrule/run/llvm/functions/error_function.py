"""The error function: a polynomial up to one, and one less its complement beyond."""

from __future__ import annotations

from chainrule.run.llvm.functions.exponentials import exp_near
from chainrule.run.llvm.functions.text import Body, Value

# erf(x) / x - 1, in x², for |x| ≤ 1: erf within 2^-56.9, and within 2^-29.6.
_NEAR = {
    64: (
        0.12837916709551256, -0.3761263890318352, 0.11283791670944185, -0.02686617064311153,
        0.00522397760611888, -0.000854832592932979, 0.00012055293577272878,
        -1.4924712308029719e-05, 1.6447131635680484e-06, -1.6206314196309946e-07,
        1.3710982108482451e-08, -7.779471406957415e-10,
    ),
    32: (
        0.12837917, -0.37612626, 0.112835854, -0.026853813, 0.0051883277, -0.00080101955,
        7.853867e-05,
    ),
}  # fmt: skip

# exp(x²) erfc(x), in 2 / (2 + x) less the middle of its range, from x = 1 to where erf is 1 to
# the last bit: erf within 2^-58.5, and within 2^-34.5.
_FAR = {
    64: (
        0.2214295402299313, 0.7770891265969743, 0.8884355425961514, 0.618078370163975,
        0.10464967824492354, -0.20586174435682034, -0.0897791929717576, 0.11621764914891455,
        0.046064122624711844, -0.09488219738235161, -0.002843226760132488, 0.08047025793343303,
        -0.051568359524111866,
    ),
    32: (
        0.25539568066596985, 0.8543717265129089, 0.9666288495063782, 0.6318994760513306,
        0.059647027403116226, -0.2307346761226654,
    ),
}  # fmt: skip
_END = {64: 6.0, 32: 4.0}


def erf(b: Body, x: Value) -> Value:
    """The error function."""
    end = _END[b.form.bits]
    size = b.magnitude(x)
    square = size * size
    near = b.fma(size, b.polynomial(square, _NEAR[b.form.bits]), size)
    far = b.at_most(size, end)
    middle = (2.0 / 3.0 + 2.0 / (2.0 + end)) / 2.0
    place = 2.0 / (far + 2.0) - middle
    complement = exp_near(b, -(far * far)) * b.polynomial(place, _FAR[b.form.bits])
    value = b.choose(size < 1.0, near, 1.0 - complement)
    return (value.bits() | b.sign(x)).number()
