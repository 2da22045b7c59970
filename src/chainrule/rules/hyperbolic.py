"""Hyperbolic functions, their reciprocals and their inverses."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.graph.operand import symbolic
from chainrule.graph.primitive import Convention, Scale
from chainrule.rules.book import define

SINH = define(
    "sinh", np.sinh, Scale(lambda x, out: np.cosh(x)), latex=r"\sinh", analytic=True, ulps=3.0,
    mpmath=lambda mp, x: mp.sinh(x), sympy=lambda sp, x: sp.sinh(x),
)
COSH = define(
    "cosh", np.cosh, Scale(lambda x, out: np.sinh(x)), latex=r"\cosh", analytic=True, ulps=3.0,
    mpmath=lambda mp, x: mp.cosh(x), sympy=lambda sp, x: sp.cosh(x),
)


def _tanh_slope(x: Any, out: Any) -> Any:
    """1/cosh²x: beside numbers not as 1 − tanh²x, which has no digits left where tanh x ≈ 1."""
    if symbolic(x):
        return 1 - out**2
    cosh = np.cosh(x)
    return 1.0 / (cosh * cosh)


TANH = define(
    "tanh", np.tanh, Scale(_tanh_slope), latex=r"\tanh", analytic=True, ulps=3.0,
    mpmath=lambda mp, x: mp.tanh(x), sympy=lambda sp, x: sp.tanh(x),
)
_NOT_ZERO = (lambda x: x != 0, "an argument other than 0")
SECH = define(
    "sech", lambda x: 1 / np.cosh(x), Scale(lambda x, out: -out * np.tanh(x)),
    latex=r"\operatorname{sech}", analytic=True, ulps=4.0,
    mpmath=lambda mp, x: mp.sech(x), sympy=lambda sp, x: sp.sech(x),
)
CSCH = define(
    "csch", lambda x: 1 / np.sinh(x), Scale(lambda x, out: -out / np.tanh(x)),
    latex=r"\operatorname{csch}", analytic=True, ulps=4.0, domain=_NOT_ZERO,
    mpmath=lambda mp, x: mp.csch(x), sympy=lambda sp, x: sp.csch(x),
)
COTH = define(
    "coth", lambda x: 1 / np.tanh(x),
    Scale(lambda x, out: 1 - out**2 if symbolic(x) else -1 / np.sinh(x) ** 2),
    latex=r"\coth", analytic=True, ulps=4.0, domain=_NOT_ZERO,
    mpmath=lambda mp, x: mp.coth(x), sympy=lambda sp, x: sp.coth(x),
)


def _hypotenuse(x: Any) -> Any:
    """√(x² + 1), also where x² is too large to write down."""
    return np.sqrt(x**2 + 1) if symbolic(x) else np.hypot(x, 1.0)


def _leg(x: Any) -> Any:
    """√(x² − 1), also where x² is too large to write down."""
    return np.sqrt((x - 1) * (x + 1)) if symbolic(x) else np.sqrt(x - 1) * np.sqrt(x + 1)


ARCSINH = define(
    "arcsinh", np.arcsinh, Scale(lambda x, out: 1 / _hypotenuse(x)),
    latex=r"\operatorname{arsinh}", text="arcsinh", analytic=True, ulps=3.0,
    mpmath=lambda mp, x: mp.asinh(x), sympy=lambda sp, x: sp.asinh(x),
)
ARCCOSH = define(
    "arccosh", np.arccosh, Scale(lambda x, out: 1 / _leg(x)),
    latex=r"\operatorname{arcosh}", text="arccosh", analytic=True, ulps=3.0,
    domain=(lambda x: x >= 1, "an argument of at least 1"),
    conventions=(Convention(lambda x: x == 1, "1", "the derivative is infinite"),),
    mpmath=lambda mp, x: mp.acosh(x), sympy=lambda sp, x: sp.acosh(x),
)
ARCTANH = define(
    "arctanh", np.arctanh, Scale(lambda x, out: 1 / ((1 - x) * (1 + x))),
    latex=r"\operatorname{artanh}", text="arctanh", analytic=True, ulps=3.0,
    domain=(lambda x: np.abs(x) < 1, "an argument between −1 and 1"),
    mpmath=lambda mp, x: mp.atanh(x), sympy=lambda sp, x: sp.atanh(x),
)
ARCSECH = define(
    "arcsech", lambda x: np.arcsinh(np.sqrt((1 - x) * (1 + x)) / x),
    Scale(lambda x, out: -1 / (x * np.sqrt((1 - x) * (1 + x)))),
    latex=r"\operatorname{arsech}", text="arcsech", analytic=True, ulps=5.0,
    domain=(lambda x: (x > 0) & (x <= 1), "an argument above 0 and at most 1"),
    conventions=(Convention(lambda x: x == 1, "1", "the derivative is infinite"),),
    mpmath=lambda mp, x: mp.asech(x), sympy=lambda sp, x: sp.asech(x),
)
ARCCSCH = define(
    "arccsch", lambda x: np.arcsinh(1 / x),
    Scale(lambda x, out: -1 / (np.abs(x) * _hypotenuse(x))),
    latex=r"\operatorname{arcsch}", text="arccsch", ulps=5.0, domain=_NOT_ZERO,
    mpmath=lambda mp, x: mp.acsch(x), sympy=lambda sp, x: sp.acsch(x),
)
ARCCOTH = define(
    "arccoth", lambda x: np.sign(x) * np.log1p(2 / (np.abs(x) - 1)) / 2,
    Scale(lambda x, out: 1 / ((1 - x) * (1 + x))),
    latex=r"\operatorname{arcoth}", text="arccoth", ulps=5.0,
    domain=(lambda x: np.abs(x) > 1, "an argument above 1 in size"),
    mpmath=lambda mp, x: mp.acoth(x), sympy=lambda sp, x: sp.acoth(x),
)
