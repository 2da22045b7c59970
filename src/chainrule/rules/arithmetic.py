"""Arithmetic: sums, products, quotients, and the comparisons that pick a branch."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from chainrule.graph.operand import UFUNCS
from chainrule.graph.primitive import Convention, Flat, Primitive, Scale
from chainrule.rules.book import define

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
DIVIDE = define(
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

MOD = define(
    "remainder", np.remainder, Scale(1.0), Scale(lambda x, y, out: -np.floor(x / y)),
    text="mod", operator="mod",
    domain=(lambda x, y: y != 0, "a divisor other than 0"),
    conventions=(
        Convention(lambda x, y: np.remainder(x, y) == 0, "a multiple of the divisor",
                   "not differentiable (it jumps); the slope beside the jump used"),
    ),
    mpmath=lambda mp, x, y: x - y * mp.floor(x / y),
    sympy=lambda sp, x, y: sp.Mod(x, y),
)  # fmt: skip


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


def _logical(name: str, ufunc: Any, text: str, arguments: int, dunder: str) -> Primitive:
    flat = (Flat("a condition"),) * arguments
    return define(
        name, ufunc, *flat, text=text, operator=dunder, recorded=False,
        mpmath=lambda mp, *a: bool(ufunc(*map(bool, a))),
        sympy=lambda sp, *a: getattr(sp, text.title())(*a),
    )  # fmt: skip


LOGICAL_AND = _logical("logical_and", np.logical_and, "and", 2, "and")
LOGICAL_OR = _logical("logical_or", np.logical_or, "or", 2, "or")
LOGICAL_NOT = _logical("logical_not", np.logical_not, "not", 1, "invert")
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
