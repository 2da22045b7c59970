"""Arithmetic: sums, products, quotients, and the comparisons that pick a branch."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from chainrule.graph.node import PI
from chainrule.graph.operand import UFUNCS, Operand, bind, symbolic
from chainrule.graph.primitive import Convention, Flat, Primitive, Scale
from chainrule.graph.tape import dtype_of
from chainrule.rules.book import constant, define

_STEP = "constant between its jumps: derivative 0 where it exists"
_degree = constant(math.pi / 180, lambda graph: graph.apply(DIVIDE, (graph.input(PI), 180.0)))
_radian = constant(180 / math.pi, lambda graph: graph.apply(DIVIDE, (180.0, graph.input(PI))))

# Python's own operators evaluate these: on NumPy scalars they are several times faster than ufuncs.
ADD = define(
    "add", operator.add, Scale(1.0), Scale(1.0),
    operator="add", analytic=True,
    mpmath=lambda mp, x, y: x + y, sympy=lambda sp, x, y: x + y,
)
SUBTRACT = define(
    "subtract", operator.sub, Scale(1.0), Scale(-1.0),
    operator="sub", analytic=True,
    mpmath=lambda mp, x, y: x - y, sympy=lambda sp, x, y: x - y,
)
MULTIPLY = define(
    "multiply", operator.mul, Scale(lambda x, y, out: y), Scale(lambda x, y, out: x),
    operator="mul", analytic=True,
    mpmath=lambda mp, x, y: x * y, sympy=lambda sp, x, y: x * y,
)
DIVIDE: Primitive = define(
    "divide", operator.truediv,
    Scale(lambda x, y, out: 1 / y),
    Scale(lambda x, y, out: -out / y),
    operator="truediv", analytic=True,
    domain=(lambda x, y: y != 0, "a divisor other than 0"),
    mpmath=lambda mp, x, y: x / y, sympy=lambda sp, x, y: x / y,
)
NEGATIVE = define(
    "negative", operator.neg, Scale(-1.0),
    operator="neg", analytic=True,
    mpmath=lambda mp, x: -x, sympy=lambda sp, x: -x,
)
POSITIVE = define(
    "positive", operator.pos, Scale(1.0),
    operator="pos", analytic=True,
    mpmath=lambda mp, x: +x, sympy=lambda sp, x: x,
)
RECIPROCAL = define(
    "reciprocal", np.reciprocal, Scale(lambda x, out: -out * out),
    text="1/({0})", latex=r"\frac{{1}}{{{0}}}", analytic=True,
    domain=(lambda x: x != 0, "an argument other than 0"),
    mpmath=lambda mp, x: 1 / x, sympy=lambda sp, x: 1 / x,
)
for _ufunc, _row in {
    np.add: ADD, np.subtract: SUBTRACT, np.multiply: MULTIPLY, np.divide: DIVIDE,
    np.negative: NEGATIVE, np.positive: POSITIVE,
}.items():  # fmt: skip
    UFUNCS[_ufunc] = _row


def _quotient(x: Any, y: Any, out: Any) -> Any:
    """⌊x/y⌋ of the remainder ``out``: x/y may be rounded up to the next integer, this is not."""
    return np.floor(x / y) if symbolic(x) or symbolic(y) else np.rint((x - out) / y)


MOD = define(
    "remainder", np.remainder, Scale(1.0), Scale(lambda x, y, out: -_quotient(x, y, out)),
    text="mod", operator="mod",
    domain=(lambda x, y: y != 0, "a divisor other than 0"),
    conventions=(
        Convention(lambda x, y: np.remainder(x, y) == 0, "a multiple of the divisor",
                   "not differentiable (it jumps); the slope beside the jump used"),
    ),
    mpmath=lambda mp, x, y: x - y * mp.floor(x / y),
    sympy=lambda sp, x, y: sp.Mod(x, y),
)  # fmt: skip
FMOD = define(
    "fmod", np.fmod,
    Scale(1.0), Scale(lambda x, y, out: -np.rint((x - out) / y)),
    domain=(lambda x, y: y != 0, "a divisor other than 0"),
    conventions=(
        Convention(lambda x, y: np.fmod(x, y) == 0, "a multiple of the divisor",
                   "not differentiable (it jumps); the slope beside the jump used"),
    ),
    mpmath=lambda mp, x, y: x - y * _mp_trunc(mp, x / y),
)  # fmt: skip
FLOOR_DIVIDE = define(
    "floor_divide", np.floor_divide, Flat(_STEP), Flat(_STEP),
    text="⌊({0})/({1})⌋", latex=r"\left\lfloor\frac{{{0}}}{{{1}}}\right\rfloor",
    operator="floordiv",
    domain=(lambda x, y: y != 0, "a divisor other than 0"),
    conventions=(
        Convention(lambda x, y: np.fmod(x, y) == 0, "a multiple of the divisor",
                   "not continuous; 0 used"),
    ),
    mpmath=lambda mp, x, y: mp.floor(x / y), sympy=lambda sp, x, y: sp.floor(x / y),
)  # fmt: skip
RADIANS = define(
    "radians", np.radians, Scale(lambda x, out: _degree(x)),
    mpmath=lambda mp, x: x * mp.pi / 180, sympy=lambda sp, x: x * sp.pi / 180, ulps=2.0,
)
DEGREES = define(
    "degrees", np.degrees, Scale(lambda x, out: _radian(x)),
    mpmath=lambda mp, x: x * 180 / mp.pi, sympy=lambda sp, x: x * 180 / sp.pi, ulps=2.0,
)
EXPONENT = define(
    "exponent", lambda x: np.frexp(x)[1], Flat("a whole number"), recorded=False,
    mpmath=lambda mp, x: mp.mag(x) if x else 0,
)
MANTISSA = define(
    "mantissa", lambda x: np.frexp(x)[0],
    Scale(lambda x, out: np.exp2(-1.0 * bind(EXPONENT, (x,)))),
    conventions=(
        Convention(lambda x: np.abs(np.frexp(x)[0]) == 0.5, "a power of 2",
                   "not continuous; the slope on the side away from 0 used"),
    ),
    mpmath=lambda mp, x: mp.ldexp(x, -mp.mag(x)) if x else x,
)  # fmt: skip
NEXTAFTER = define(
    "nextafter", np.nextafter, Scale(1.0), Flat("only its side of x counts"),
    mpmath=lambda mp, x, y: x,
)
SPACING = define(
    "spacing", np.spacing, Flat(_STEP),
    conventions=(
        Convention(lambda x: np.abs(np.frexp(x)[0]) == 0.5, "a power of 2",
                   "not continuous; 0 used"),
    ),
    mpmath=lambda mp, x: mp.sign(x) * mp.ldexp(1, mp.mag(x) - 53) if x else mp.ldexp(1, -1074),
)  # fmt: skip
UFUNCS[np.deg2rad], UFUNCS[np.rad2deg] = RADIANS, DEGREES
# Traced values are real: the conjugate is the number itself.
UFUNCS[np.conjugate] = POSITIVE


def _mp_trunc(mp: Any, x: Any) -> Any:
    return mp.floor(x) if x >= 0 else mp.ceil(x)


def _comparison(name: str, ufunc: Any, sign: str, latex: str, dunder: str) -> Primitive:
    return define(
        name, ufunc, Flat("a comparison"), Flat("a comparison"),
        text=sign, latex=latex, operator=dunder, recorded=False,
        mpmath=lambda mp, x, y: getattr(operator, dunder)(x, y),
        sympy=lambda sp, x, y: getattr(sp, dunder.title())(x, y),
    )  # fmt: skip


LESS = _comparison("less", np.less, "<", "<", "lt")
LESS_EQUAL = _comparison("less_equal", np.less_equal, "≤", r"\le", "le")
GREATER = _comparison("greater", np.greater, ">", ">", "gt")
GREATER_EQUAL = _comparison("greater_equal", np.greater_equal, "≥", r"\ge", "ge")
EQUAL = _comparison("equal", np.equal, "=", "=", "eq")
NOT_EQUAL = _comparison("not_equal", np.not_equal, "≠", r"\ne", "ne")


def _logical(name: str, ufunc: Any, text: str, arguments: int) -> Primitive:
    flat = (Flat("a condition"),) * arguments
    return define(
        name, ufunc, *flat, text=text, recorded=False,
        mpmath=lambda mp, *a: bool(ufunc(*map(bool, a))),
        sympy=lambda sp, *a: getattr(sp, text.title())(*a),
    )  # fmt: skip


LOGICAL_AND = _logical("logical_and", np.logical_and, "and", 2)
LOGICAL_OR = _logical("logical_or", np.logical_or, "or", 2)
LOGICAL_XOR = _logical("logical_xor", np.logical_xor, "xor", 2)
LOGICAL_NOT = _logical("logical_not", np.logical_not, "not", 1)
ISFINITE = define(
    "isfinite", np.isfinite, Flat("a condition"), recorded=False,
    mpmath=lambda mp, x: mp.isfinite(x),
)
ISNAN = define(
    "isnan", np.isnan, Flat("a condition"), recorded=False, mpmath=lambda mp, x: mp.isnan(x)
)
ISINF = define(
    "isinf", np.isinf, Flat("a condition"), recorded=False, mpmath=lambda mp, x: mp.isinf(x)
)
SIGNBIT = define(
    "signbit", np.signbit, Flat("a condition"), recorded=False, mpmath=lambda mp, x: bool(x < 0)
)


def on_conditions(row: Primitive, *args: Any) -> Any:
    """``row`` in the place of ``&``, ``|``, ``^`` or ``~``, which mean it on booleans only."""
    if any(dtype_of(a) != np.bool_ for a in args):
        raise TypeError(f"bit operations of traced values take conditions only, as {row.name} does")
    return bind(row, args)


def _connect_bits(name: str, row: Primitive) -> None:
    setattr(Operand, f"__{name}__", lambda *args: on_conditions(row, *args))
    if len(row.edges) == 2:
        setattr(Operand, f"__r{name}__", lambda y, x: on_conditions(row, x, y))


_connect_bits("and", LOGICAL_AND)
_connect_bits("or", LOGICAL_OR)
_connect_bits("xor", LOGICAL_XOR)
_connect_bits("invert", LOGICAL_NOT)
