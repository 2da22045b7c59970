"""Powers and roots."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from chainrule.graph.operand import UFUNCS, Operand, concrete, symbolic
from chainrule.graph.primitive import Convention, Scale
from chainrule.rules.book import define
from chainrule.rules.exponential import LOG


def _power_base(x: Any, p: Any, out: Any) -> Any:
    """p·x^(p−1), and 0 where p = 0 and x = 0."""
    if symbolic(p) or symbolic(x):
        return p if isinstance(p, float | int) and p == 1 else p * x ** (p - 1)
    if isinstance(p, Operand) or np.ndim(p):
        return p * x ** np.where((p == 0) & (x == 0), 1.0, p - 1)
    return 0.0 if p == 0 else p if p == 1 else p * x ** (p - 1)


def _exact_log(x: Any, p: Any) -> Any:
    """ln x beside symbols: of a number, the symbol ln 2 and not its digits."""
    return np.log(x) if symbolic(x) else concrete(p).graph.apply(LOG, (x,))


def _power_exponent(x: Any, p: Any, out: Any) -> Any:
    """x^p·ln x, and its limit 0 where x = 0 (with p > 0)."""
    if symbolic(x) or symbolic(p):
        return out * _exact_log(x, p)
    return out * np.log(np.where((x == 0) & (p > 0), 1.0, x))


def _real(x: Any, p: Any) -> Any:
    """A real power exists: no negative base under a broken exponent, no 0 to a negative one."""
    return ((x > 0) | (p == np.floor(p))) & ((x != 0) | (p >= 0)) | ((x == 0) & (p > 0))


def _mp_power(mp: Any, x: Any, p: Any) -> Any:
    return x ** int(p) if p == int(p) and abs(p) < 10**6 else mp.power(x, p)


POWER = define(
    "power", operator.pow, Scale(_power_base), Scale(_power_exponent),
    operator="pow", analytic=True, ulps=2.0,
    domain=(_real, "a base that has this real power"),
    conventions=(
        Convention(lambda x, p: (x == 0) & (p > 0) & (p < 1), "base 0",
                   "the derivative is infinite"),
        Convention(lambda x, p: (x == 0) & (p > 1) & (p < 2), "base 0",
                   "the second derivative is infinite"),
        Convention(lambda x, p: (x == 0) & (p == 0), "0⁰", "not differentiable"),
    ),
    mpmath=_mp_power, sympy=lambda sp, x, p: x**p,
)  # fmt: skip
UFUNCS[np.power] = POWER
SQUARE = define(
    "square", np.square, Scale(lambda x, out: 2 * x),
    text="({0})²", latex=r"\left({0}\right)^{{2}}", analytic=True,
    mpmath=lambda mp, x: x * x, sympy=lambda sp, x: x**2,
)
SQRT = define(
    "sqrt", np.sqrt, Scale(lambda x, out: 1 / (2 * out)),
    text="√({0})", latex=r"\sqrt{{{0}}}", analytic=True,
    domain=(lambda x: x >= 0, "an argument that is not negative"),
    conventions=(Convention(lambda x: x == 0, "0", "the derivative is infinite"),),
    mpmath=lambda mp, x: mp.sqrt(x), sympy=lambda sp, x: sp.sqrt(x),
)
CBRT = define(
    "cbrt", np.cbrt, Scale(lambda x, out: 1 / (3 * out**2)),
    text="∛({0})", latex=r"\sqrt[3]{{{0}}}",
    conventions=(Convention(lambda x: x == 0, "0", "the derivative is infinite"),),
    mpmath=lambda mp, x: mp.sign(x) * mp.cbrt(abs(x)),
    sympy=lambda sp, x: sp.real_root(x, 3), ulps=3.0,
)
HYPOT = define(
    "hypot", np.hypot, Scale(lambda x, y, out: x / out), Scale(lambda x, y, out: y / out),
    conventions=(
        Convention(lambda x, y: (x == 0) & (y == 0), "the origin",
                   "not differentiable (the tip of a cone); 0/0 is not a number"),
    ),
    mpmath=lambda mp, x, y: mp.sqrt(x * x + y * y),
    sympy=lambda sp, x, y: sp.sqrt(x**2 + y**2),
)  # fmt: skip
