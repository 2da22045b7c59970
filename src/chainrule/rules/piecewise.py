"""Functions put together from pieces: |x|, sign, maximum, clip, where, relu, floor.

The policy at a kink, in one place: a tie of ``maximum`` and ``minimum`` is shared half and half (as
in JAX and PyTorch); ``abs``, ``sign`` and ``relu`` use 0; ``clip`` passes the derivative on at the
ends of its interval (as in PyTorch). Steps such as ``floor`` have derivative 0 between their jumps.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.errors import TraceError
from chainrule.graph.operand import NO_ATTRS, UFUNCS, Operand, bind, concrete
from chainrule.graph.primitive import Convention, Flat, Mask
from chainrule.rules.book import define, numpy_function

_STEP = "constant between its jumps: derivative 0 where it exists"


def _at_integers(says: str) -> tuple[Convention, ...]:
    return (Convention(lambda x: x == np.floor(x), "an integer", says),)


ABS = define(
    "abs", np.absolute, Mask(lambda x, out: np.sign(x)),
    text="|{0}|", latex=r"\left|{0}\right|", operator="abs",
    conventions=(Convention(lambda x: x == 0, "0", "not differentiable; 0 used"),),
    mpmath=lambda mp, x: abs(x), sympy=lambda sp, x: sp.Abs(x),
)
SIGN = define(
    "sign", np.sign, Flat(_STEP),
    conventions=(Convention(lambda x: x == 0, "0", "not continuous; 0 used"),),
    mpmath=lambda mp, x: mp.sign(x), sympy=lambda sp, x: sp.sign(x),
)


def _winner(x: Any, y: Any) -> Any:
    """1 where x is the larger, 0 where y is, ½ at a tie; a NaN wins, as it does in the value."""
    return np.where(x == y, 0.5, np.where(x < y, 0.0, 1.0))


def _loser(x: Any, y: Any) -> Any:
    """1 where x is the smaller, 0 where y is, ½ at a tie; a NaN wins here too."""
    return np.where(x == y, 0.5, np.where(x > y, 0.0, 1.0))


_TIE = (Convention(lambda x, y: x == y, "a tie", "not differentiable; half goes to each side"),)
MAXIMUM = define(
    "maximum", np.maximum,
    Mask(lambda x, y, out: _winner(x, y)), Mask(lambda x, y, out: _winner(y, x)),
    text="max", latex=r"\max", conventions=_TIE,
    mpmath=lambda mp, x, y: max(x, y), sympy=lambda sp, x, y: sp.Max(x, y),
)
MINIMUM = define(
    "minimum", np.minimum,
    Mask(lambda x, y, out: _loser(x, y)), Mask(lambda x, y, out: _loser(y, x)),
    text="min", latex=r"\min", conventions=_TIE,
    mpmath=lambda mp, x, y: min(x, y), sympy=lambda sp, x, y: sp.Min(x, y),
)
CLIP = define(
    "clip", np.clip,
    Mask(lambda x, lo, hi, out: (x >= lo) & (x <= hi)),
    Mask(lambda x, lo, hi, out: (x < lo) & (lo <= hi)),
    Mask(lambda x, lo, hi, out: (x > hi) | (hi < lo)),
    conventions=(
        Convention(lambda x, lo, hi: (x == lo) | (x == hi), "an end of the interval",
                   "not differentiable; the derivative inside the interval used"),
    ),
    mpmath=lambda mp, x, lo, hi: min(max(x, lo), hi),
    sympy=lambda sp, x, lo, hi: sp.Min(sp.Max(x, lo), hi),
)  # fmt: skip
WHERE = define(
    "where", lambda c, x, y: np.where(c, x, y),
    Flat("a condition"),
    Mask(lambda c, x, y, out: _truth(c)), Mask(lambda c, x, y, out: np.logical_not(c)),
    latex=r"\operatorname{where}",
    mpmath=lambda mp, c, x, y: x if c else y,
    sympy=lambda sp, c, x, y: sp.Piecewise((x, c), (y, True)),
)  # fmt: skip
RELU = define(
    "relu", lambda x: np.maximum(x, 0), Mask(lambda x, out: x > 0),
    conventions=(Convention(lambda x: x == 0, "0", "not differentiable; 0 used"),),
    mpmath=lambda mp, x: max(x, mp.zero), sympy=lambda sp, x: sp.Max(x, 0),
)
FLOOR = define(
    "floor", np.floor, Flat(_STEP), text="⌊{0}⌋", latex=r"\left\lfloor {0}\right\rfloor",
    conventions=_at_integers("not continuous; 0 used"),
    mpmath=lambda mp, x: mp.floor(x), sympy=lambda sp, x: sp.floor(x),
)
CEIL = define(
    "ceil", np.ceil, Flat(_STEP), text="⌈{0}⌉", latex=r"\left\lceil {0}\right\rceil",
    conventions=_at_integers("not continuous; 0 used"),
    mpmath=lambda mp, x: mp.ceil(x), sympy=lambda sp, x: sp.ceiling(x),
)
ROUND = define(
    "round", lambda x, decimals=0: np.round(x, decimals), Flat(_STEP),
    conventions=(Convention(lambda x: 2 * x == 2 * np.floor(x) + 1, "a half",
                            "not continuous; 0 used"),),
    mpmath=lambda mp, x: mp.nint(x),
    sympy=lambda sp, x: sp.floor(x + sp.Rational(1, 2)),
)  # fmt: skip


def _truth(condition: Any) -> Any:
    """The condition as booleans: NumPy takes numbers and lists as well."""
    if not isinstance(condition, Operand):
        return np.asarray(condition, dtype=bool)[()]
    return condition if condition.dtype == np.bool_ else np.not_equal(condition, 0)


@numpy_function(np.clip, method="clip")
def _clip(a: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Any:
    lower = a_min if a_min is not None else min
    upper = a_max if a_max is not None else max
    return bind(CLIP, (a, -np.inf if lower is None else lower, np.inf if upper is None else upper))


@numpy_function(np.where)
def _where(condition: Any, *branches: Any) -> Any:
    if len(branches) != 2:
        raise TraceError("np.where of a traced value needs both branches: np.where(c, x, y).")
    return bind(WHERE, (concrete(condition), *branches))


@numpy_function(np.round, method="round")
def _round(a: Any, decimals: int = 0) -> Any:
    return bind(ROUND, (a,), {"decimals": decimals} if decimals else NO_ATTRS)


UFUNCS[np.fabs] = ABS
UFUNCS[np.rint] = ROUND
