"""Trigonometric functions, their reciprocals and their inverses (angles in radians)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.graph.node import PI
from chainrule.graph.operand import bind, symbolic
from chainrule.graph.primitive import Convention, Scale
from chainrule.rules.averages import beside
from chainrule.rules.book import constant, define, numpy_function

SIN = define(
    "sin", np.sin, Scale(lambda x, out: np.cos(x)), latex=r"\sin", analytic=True, ulps=2.0,
    mpmath=lambda mp, x: mp.sin(x), sympy=lambda sp, x: sp.sin(x),
)
COS = define(
    "cos", np.cos, Scale(lambda x, out: -np.sin(x)), latex=r"\cos", analytic=True, ulps=2.0,
    mpmath=lambda mp, x: mp.cos(x), sympy=lambda sp, x: sp.cos(x),
)
_NO_POLE = "an argument away from the poles"
TAN = define(
    "tan", np.tan, Scale(lambda x, out: 1 + out**2), latex=r"\tan", analytic=True, ulps=2.0,
    domain=(lambda x: np.cos(x) != 0, _NO_POLE),
    mpmath=lambda mp, x: mp.tan(x), sympy=lambda sp, x: sp.tan(x),
)
SEC = define(
    "sec", lambda x: 1 / np.cos(x), Scale(lambda x, out: out * np.tan(x)),
    latex=r"\sec", analytic=True, ulps=4.0, domain=(lambda x: np.cos(x) != 0, _NO_POLE),
    mpmath=lambda mp, x: mp.sec(x), sympy=lambda sp, x: sp.sec(x),
)
CSC = define(
    "csc", lambda x: 1 / np.sin(x), Scale(lambda x, out: -out / np.tan(x)),
    latex=r"\csc", analytic=True, ulps=4.0, domain=(lambda x: np.sin(x) != 0, _NO_POLE),
    mpmath=lambda mp, x: mp.csc(x), sympy=lambda sp, x: sp.csc(x),
)
COT = define(
    "cot", lambda x: 1 / np.tan(x), Scale(lambda x, out: -(1 + out**2)),
    latex=r"\cot", analytic=True, ulps=4.0, domain=(lambda x: np.sin(x) != 0, _NO_POLE),
    mpmath=lambda mp, x: mp.cot(x), sympy=lambda sp, x: sp.cot(x),
)

_UNIT = (lambda x: np.abs(x) <= 1, "an argument between −1 and 1")
_OUTSIDE = (lambda x: np.abs(x) >= 1, "an argument of at least 1 in size")
_ENDS = (Convention(lambda x: np.abs(x) == 1, "±1", "the derivative is infinite"),)

# 1 - x*x would lose digits near ±1; (1 - x)(1 + x) does not.
ARCSIN = define(
    "arcsin", np.arcsin, Scale(lambda x, out: 1 / np.sqrt((1 - x) * (1 + x))),
    latex=r"\arcsin", analytic=True, ulps=2.0, domain=_UNIT, conventions=_ENDS,
    mpmath=lambda mp, x: mp.asin(x), sympy=lambda sp, x: sp.asin(x),
)
ARCCOS = define(
    "arccos", np.arccos, Scale(lambda x, out: -1 / np.sqrt((1 - x) * (1 + x))),
    latex=r"\arccos", analytic=True, ulps=2.0, domain=_UNIT, conventions=_ENDS,
    mpmath=lambda mp, x: mp.acos(x), sympy=lambda sp, x: sp.acos(x),
)
ARCTAN = define(
    "arctan", np.arctan, Scale(lambda x, out: 1 / (1 + x**2)),
    latex=r"\arctan", analytic=True, ulps=2.0,
    mpmath=lambda mp, x: mp.atan(x), sympy=lambda sp, x: sp.atan(x),
)


def _leg(x: Any) -> Any:
    """√(x² − 1), the leg beside 1 under the hypotenuse |x|.

    An angle computed from it keeps the digits near ±1 that one computed from 1/x has lost.
    """
    return np.sqrt(np.abs(x) - 1) * np.sqrt(np.abs(x) + 1)


# In both derivatives + 0.0 turns the −0 that stands under the root at x = −1 into 0.
ARCSEC = define(
    "arcsec", lambda x: np.arctan2(_leg(x), np.sign(x)),
    Scale(lambda x, out: 1 / (np.abs(x) * np.sqrt((x - 1) * (x + 1) + 0.0))),
    latex=r"\operatorname{arcsec}", ulps=4.0, domain=_OUTSIDE, conventions=_ENDS,
    mpmath=lambda mp, x: mp.asec(x), sympy=lambda sp, x: sp.asec(x),
)
ARCCSC = define(
    "arccsc", lambda x: np.arctan2(np.sign(x), _leg(x)),
    Scale(lambda x, out: -1 / (np.abs(x) * np.sqrt((x - 1) * (x + 1) + 0.0))),
    latex=r"\operatorname{arccsc}", ulps=4.0, domain=_OUTSIDE, conventions=_ENDS,
    mpmath=lambda mp, x: mp.acsc(x), sympy=lambda sp, x: sp.acsc(x),
)
# The branch with values in (0, π), continuous at 0: π/2 − arctan(x), as calculus books draw it.
ARCCOT = define(
    "arccot", lambda x: np.arctan2(1.0, x), Scale(lambda x, out: -1 / (1 + x**2)),
    latex=r"\operatorname{arccot}", ulps=2.0,
    mpmath=lambda mp, x: mp.atan2(1, x), sympy=lambda sp, x: sp.pi / 2 - sp.atan(x),
)


def _over_square(y: Any, x: Any, out: Any) -> Any:
    """x/(x² + y²), also where the squares are too large or too small to write down."""
    if symbolic(y) or symbolic(x):
        return x / (x**2 + y**2)
    length = np.hypot(x, y)
    return x / length / length


ARCTAN2 = define(
    "arctan2", np.arctan2,
    Scale(_over_square), Scale(lambda y, x, out: -_over_square(x, y, out)),
    latex=r"\operatorname{arctan2}", ulps=2.0,
    conventions=(
        Convention(lambda y, x: (x == 0) & (y == 0), "the origin",
                   "not differentiable; 0/0 is not a number"),
        Convention(lambda y, x: (y == 0) & (x < 0), "the negative axis",
                   "not continuous (the angle jumps by 2π); the slope of one side used"),
    ),
    mpmath=lambda mp, y, x: mp.atan2(y, x), sympy=lambda sp, y, x: sp.atan2(y, x),
)  # fmt: skip

_pi = constant(math.pi, lambda graph: graph.input(PI))


def _half_turns(x: Any, function: Any) -> Any:
    """sin πx or cos πx with all its digits beside its zeros: whole half turns are only a sign."""
    whole = np.rint(x)
    return (1 - 2 * np.remainder(whole, 2)) * function(math.pi * (x - whole))


def _sinc(x: Any) -> Any:
    """sin(πx)/(πx), and 1 at 0."""
    nonzero = np.where(x == 0, 1.0, x)
    ratio = _half_turns(nonzero, np.sin) / (math.pi * nonzero)
    return np.where(x == 0, 1.0, ratio).astype(ratio.dtype)


def _sinc_slope(x: Any, out: Any) -> Any:
    """(cos πx − sinc x)/x, and 0 at 0."""
    if symbolic(x):
        return np.where(np.equal(x, 0.0), 0.0, (np.cos(_pi(x) * x) - out) / x)
    return beside(
        x, 0.4, lambda t, x: -math.pi * t * np.sin(math.pi * t * x),
        lambda x: (_half_turns(x, np.cos) - _half_turns(x, np.sin) / (math.pi * x)) / x,
    )  # fmt: skip


SINC = define(
    "sinc", _sinc, Scale(_sinc_slope), latex=r"\operatorname{sinc}", ulps=8.0,
    mpmath=lambda mp, x: mp.sincpi(x), sympy=lambda sp, x: sp.sinc(sp.pi * x),
)


@numpy_function(np.sinc)
def _sinc_of(x: Any) -> Any:
    return bind(SINC, (x,))


@numpy_function(np.angle)
def _angle(z: Any, deg: bool = False) -> Any:
    """0 or π, as the argument is real; it jumps at 0."""
    angle = np.arctan2(0.0, np.sign(z))
    return np.degrees(angle) if deg else angle
