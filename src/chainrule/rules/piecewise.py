"""Functions put together from pieces: |x|, sign, maximum, clip, where, relu, floor.

The policy at a kink, in one place: a tie of ``maximum`` and ``minimum`` is shared half and half (as
in JAX and PyTorch); ``abs``, ``sign`` and ``relu`` use 0; ``clip`` passes the derivative on at the
ends of its interval (as in PyTorch). Steps such as ``floor`` have derivative 0 between their jumps.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.errors import TraceError
from chainrule.graph.operand import METHODS, NO_ATTRS, Operand, bind, concrete
from chainrule.graph.primitive import Convention, Flat, Mask, Primitive
from chainrule.graph.tape import Traced, dtype_of, known
from chainrule.rules.arithmetic import FLOOR_DIVIDE, MOD
from chainrule.rules.book import define, numpy_function
from chainrule.rules.shapes import cast

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
    return cast(np.where(x == y, 0.5, np.where(x < y, 0.0, 1.0)), x)


def _loser(x: Any, y: Any) -> Any:
    """1 where x is the smaller, 0 where y is, ½ at a tie; a NaN wins here too."""
    return cast(np.where(x == y, 0.5, np.where(x > y, 0.0, 1.0)), x)


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


def _larger_number(x: Any, y: Any) -> Any:
    """As ``_winner``, but a NaN loses against a number."""
    return cast(np.where(x == y, 0.5, np.where((x > y) | np.isnan(y), 1.0, 0.0)), x)


def _smaller_number(x: Any, y: Any) -> Any:
    """As ``_loser``, but a NaN loses against a number."""
    return cast(np.where(x == y, 0.5, np.where((x < y) | np.isnan(y), 1.0, 0.0)), x)


FMAX = define(
    "fmax", np.fmax,
    Mask(lambda x, y, out: _larger_number(x, y)), Mask(lambda x, y, out: _larger_number(y, x)),
    conventions=_TIE, mpmath=lambda mp, x, y: max(x, y), sympy=lambda sp, x, y: sp.Max(x, y),
)
FMIN = define(
    "fmin", np.fmin,
    Mask(lambda x, y, out: _smaller_number(x, y)), Mask(lambda x, y, out: _smaller_number(y, x)),
    conventions=_TIE, mpmath=lambda mp, x, y: min(x, y), sympy=lambda sp, x, y: sp.Min(x, y),
)
COPYSIGN = define(
    "copysign", np.copysign,
    Mask(lambda x, y, out: np.sign(x) * np.copysign(1.0, y)), Flat("only its sign counts"),
    conventions=(Convention(lambda x, y: x == 0, "0", "not differentiable; 0 used"),),
    mpmath=lambda mp, x, y: -abs(x) if y < 0 else abs(x),
)
HEAVISIDE = define(
    "heaviside", np.heaviside, Flat(_STEP), Mask(lambda x, y, out: x == 0),
    conventions=(Convention(lambda x, y: x == 0, "0", "not continuous; 0 used"),),
    mpmath=lambda mp, x, y: y if x == 0 else mp.mpf(x > 0),
)
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
TRUNC = define(
    "trunc", np.trunc, Flat(_STEP),
    conventions=(
        Convention(lambda x: (x == np.floor(x)) & (x != 0), "an integer other than 0",
                   "not continuous; 0 used"),
    ),
    mpmath=lambda mp, x: mp.floor(x) if x >= 0 else mp.ceil(x),
    sympy=lambda sp, x: sp.sign(x) * sp.floor(sp.Abs(x)),
)  # fmt: skip
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
    if lower is None or upper is None:
        least, most = _limits(dtype_of(a))
        lower, upper = least if lower is None else lower, most if upper is None else upper
    return bind(CLIP, (a, lower, upper))


def _limits(dtype: np.dtype[Any]) -> tuple[Any, Any]:
    """The smallest and the largest number of a dtype."""
    if dtype.kind == "b":
        return np.False_, np.True_
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return dtype.type(limits.min), dtype.type(limits.max)
    return -np.inf, np.inf


@numpy_function(np.where)
def _where(condition: Any, *branches: Any) -> Any:
    if len(branches) != 2:
        raise TraceError("np.where of a traced value needs both branches: np.where(c, x, y).")
    return bind(WHERE, (concrete(condition), *branches))


@numpy_function(np.round, np.around, method="round")
def _round(a: Any, decimals: int = 0, out: Any = None) -> Any:
    if out is not None:
        raise TraceError("np.round of a traced value does not take out=: assign the result.")
    return bind(ROUND, (a,), {"decimals": decimals} if decimals else NO_ATTRS)


@numpy_function(np.fix)
def _fix(x: Any, out: Any = None) -> Any:
    if out is not None:
        raise TraceError("np.fix of a traced value does not take out=: assign the result.")
    return bind(TRUNC, (x,))


def _whole_number(name: str, row: Primitive) -> None:
    """``math.floor(x)`` and the like: an ``int``, as of any float.

    Like a comparison it only says on which step the value is, so it may be an index or the length
    of a loop. Where values are not to be looked at, it is the step as a value.
    """

    def method(self: Operand) -> Any:
        if np.shape(self) != ():
            raise TypeError(f"only a traced scalar can be made an int by {name}")
        # Python takes nothing but its own whole numbers from int(): a recording has to count on it.
        below = known(self) if name == "int" else concrete(self)
        if isinstance(below, Operand) and name == "int":
            raise TraceError(
                "int() of a value inside vmap or a recorded loop: it is not the same every time.\n"
                "Write np.trunc(x), which stays a value."
            )
        if isinstance(below, Operand):
            return bind(row, (self,))
        if isinstance(self, Traced):
            self.tape.note_cut(row, (self,))
        return int(row.evaluate(below))

    setattr(Operand, f"__{name}__", method)


_whole_number("floor", FLOOR)
_whole_number("ceil", CEIL)
_whole_number("trunc", TRUNC)
_whole_number("int", TRUNC)


def _rounded(self: Operand, ndigits: int | None = None) -> Any:
    """``round(x)`` is an ``int`` and ``round(x, n)`` a float, as of any float."""
    if ndigits is not None or np.shape(self) != ():
        return _round(self, ndigits or 0)
    below = concrete(self)
    return _round(self) if isinstance(below, Operand) else round(below)


def _divmod(x: Any, y: Any) -> tuple[Any, Any]:
    return bind(FLOOR_DIVIDE, (x, y)), bind(MOD, (x, y))


for _name, _method in {
    "__round__": _rounded, "__divmod__": _divmod, "__rdivmod__": lambda y, x: _divmod(x, y),
}.items():  # fmt: skip
    setattr(Operand, _name, _method)


# Traced values are real.
@numpy_function(np.real, np.real_if_close)
def _real(val: Any, tol: float = 100) -> Any:
    return val


@numpy_function(np.imag)
def _imag(val: Any) -> Any:
    return np.zeros_like(val)


@numpy_function(np.isreal)
def _isreal(x: Any) -> Any:
    return np.ones(np.shape(x), bool)[()]


@numpy_function(np.iscomplex)
def _iscomplex(x: Any) -> Any:
    return np.zeros(np.shape(x), bool)[()]


@numpy_function(np.isrealobj)
def _isrealobj(x: Any) -> bool:
    return True


@numpy_function(np.iscomplexobj)
def _iscomplexobj(x: Any) -> bool:
    return False


@numpy_function(np.isposinf)
def _isposinf(x: Any, out: Any = None) -> Any:
    return np.equal(x, np.inf, out=out)


@numpy_function(np.isneginf)
def _isneginf(x: Any, out: Any = None) -> Any:
    return np.equal(x, -np.inf, out=out)


METHODS["conj"] = METHODS["conjugate"] = _real
setattr(Operand, "real", property(_real))  # noqa: B010
setattr(Operand, "imag", property(_imag))  # noqa: B010
