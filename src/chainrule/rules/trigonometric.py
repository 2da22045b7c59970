"""Trigonometric functions, their reciprocals and their inverses (angles in radians)."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.graph.primitive import Convention, Scale
from chainrule.rules.book import define

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
ARCTAN2 = define(
    "arctan2", np.arctan2,
    Scale(lambda y, x, out: x / (x**2 + y**2)), Scale(lambda y, x, out: -y / (x**2 + y**2)),
    latex=r"\operatorname{arctan2}", ulps=2.0,
    conventions=(
        Convention(lambda y, x: (x == 0) & (y == 0), "the origin",
                   "not differentiable; 0/0 is not a number"),
        Convention(lambda y, x: (y == 0) & (x < 0), "the negative axis",
                   "not continuous (the angle jumps by 2π); the slope of one side used"),
    ),
    mpmath=lambda mp, y, x: mp.atan2(y, x), sympy=lambda sp, y, x: sp.atan2(y, x),
)  # fmt: skip
