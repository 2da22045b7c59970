"""Orthogonal polynomials, differentiated in their argument; the degree and parameters are fixed.

The derivative of each is one of a lower degree with a higher parameter, of the same family or of a
wider one: so there is no division by 1 − x², and every order of derivative is as exact as the last.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.graph.operand import bind
from chainrule.graph.primitive import Flat, Primitive, Scale
from chainrule.rules.book import define
from chainrule.rules.gamma import BINOM
from chainrule.rules.scipy_values import from_scipy, refuse_differentiated, takes_fixed
from chainrule.rules.ufunc_methods import ufunc_call

_DEGREE = Flat("a degree; SciPy has no derivative in it")
_PARAMETER = Flat("a parameter; SciPy has no derivative in it")


def _lower(row: Primitive, factor: Any, n: Any, *rest: Any) -> Any:
    """``factor`` times the polynomial one degree lower; a constant has the slope 0."""
    constant = np.equal(n, 0)
    below = bind(row, (np.where(constant, n, n - 1), *rest))
    return np.where(constant, 0.0, factor * below)


def _of_degree(*parameters: Any) -> Any:
    return parameters[0] >= 0


_DOMAIN = (_of_degree, "a degree of at least 0")

GEGENBAUER: Primitive = define(
    "eval_gegenbauer", from_scipy("eval_gegenbauer", orders=2), _DEGREE, _PARAMETER,
    Scale(lambda n, a, x, out: _lower(GEGENBAUER, 2 * a, n, a + 1, x)),
    text="C", latex=r"\mathrm{C}", domain=_DOMAIN, ulps=math.inf,
    mpmath=lambda mp, n, a, x: mp.gegenbauer(n, a, x),
    sympy=lambda sp, n, a, x: sp.gegenbauer(n, a, x),
)
JACOBI: Primitive = define(
    "eval_jacobi", from_scipy("eval_jacobi", orders=3), _DEGREE, _PARAMETER, _PARAMETER,
    Scale(lambda n, a, b, x, out: _lower(JACOBI, (n + a + b + 1) / 2, n, a + 1, b + 1, x)),
    text="P", latex=r"\mathrm{P}", domain=_DOMAIN, ulps=math.inf,
    mpmath=lambda mp, n, a, b, x: mp.jacobi(n, a, b, x),
    sympy=lambda sp, n, a, b, x: sp.jacobi(n, a, b, x),
)
GENLAGUERRE: Primitive = define(
    "eval_genlaguerre", from_scipy("eval_genlaguerre", orders=2), _DEGREE, _PARAMETER,
    Scale(lambda n, a, x, out: _lower(GENLAGUERRE, -1.0, n, a + 1, x)),
    text="L", latex=r"\mathrm{L}", domain=_DOMAIN, ulps=math.inf,
    mpmath=lambda mp, n, a, x: mp.laguerre(n, a, x),
    sympy=lambda sp, n, a, x: sp.assoc_laguerre(n, a, x),
)
LAGUERRE = define(
    "eval_laguerre", from_scipy("eval_laguerre", orders=1), _DEGREE,
    Scale(lambda n, x, out: _lower(GENLAGUERRE, -1.0, n, 1.0, x)),
    text="L", latex=r"\mathrm{L}", domain=_DOMAIN, ulps=math.inf,
    mpmath=lambda mp, n, x: mp.fsum(
        mp.binomial(n, k) * (-x) ** k / mp.factorial(k) for k in range(int(n) + 1)
    ),
    sympy=lambda sp, n, x: sp.laguerre(n, x),
)
LEGENDRE = define(
    "eval_legendre", from_scipy("eval_legendre", orders=1), _DEGREE,
    Scale(lambda n, x, out: _lower(GEGENBAUER, 1.0, n, 1.5, x)),
    text="P", latex=r"\mathrm{P}", domain=_DOMAIN, ulps=math.inf,
    mpmath=lambda mp, n, x: mp.legendre(n, x), sympy=lambda sp, n, x: sp.legendre(n, x),
)
CHEBYU = define(
    "eval_chebyu", from_scipy("eval_chebyu", orders=1), _DEGREE,
    Scale(lambda n, x, out: _lower(GEGENBAUER, 2.0, n, 2.0, x)),
    text="U", latex=r"\mathrm{U}", domain=_DOMAIN, ulps=math.inf,
    mpmath=lambda mp, n, x: mp.chebyu(n, x), sympy=lambda sp, n, x: sp.chebyshevu(n, x),
)
CHEBYT = define(
    "eval_chebyt", from_scipy("eval_chebyt", orders=1), _DEGREE,
    Scale(lambda n, x, out: _lower(CHEBYU, n, n, x)),
    text="T", latex=r"\mathrm{T}", domain=_DOMAIN, ulps=math.inf,
    mpmath=lambda mp, n, x: mp.chebyt(n, x), sympy=lambda sp, n, x: sp.chebyshevt(n, x),
)
HERMITE: Primitive = define(
    "eval_hermite", from_scipy("eval_hermite", orders=1), _DEGREE,
    Scale(lambda n, x, out: _lower(HERMITE, 2 * n, n, x)),
    text="H", latex=r"\mathrm{H}", domain=_DOMAIN, ulps=math.inf,
    mpmath=lambda mp, n, x: mp.hermite(n, x), sympy=lambda sp, n, x: sp.hermite(n, x),
)
HERMITENORM: Primitive = define(
    "eval_hermitenorm", from_scipy("eval_hermitenorm", orders=1), _DEGREE,
    Scale(lambda n, x, out: _lower(HERMITENORM, n, n, x)),
    text="He", latex=r"\mathrm{He}", domain=_DOMAIN, ulps=math.inf,
    mpmath=lambda mp, n, x: mp.hermite(n, x / mp.sqrt(2)) * mp.mpf(2) ** (-mp.mpf(n) / 2),
    sympy=lambda sp, n, x: sp.hermite(n, x / sp.sqrt(2)) / sp.sqrt(2) ** n,
)
for _row in (CHEBYT, CHEBYU, HERMITE, HERMITENORM, LAGUERRE, LEGENDRE):
    takes_fixed(_row, _row.name, what="degree")
takes_fixed(GEGENBAUER, "eval_gegenbauer", orders=2, what="degree and its parameter")
takes_fixed(GENLAGUERRE, "eval_genlaguerre", orders=2, what="degree and its parameter")
takes_fixed(JACOBI, "eval_jacobi", orders=3, what="degree and its parameters")

# --------------------------------------------------------------- the same ones, moved and stretched


def _moved(name: str, row: Primitive, argument: Any, factor: float = 1.0) -> None:
    @ufunc_call(name)
    def call(n: Any, x: Any) -> Any:
        refuse_differentiated(n, name, "degree")
        found = bind(row, (n, argument(x)))
        return found if factor == 1.0 else factor * found


_moved("eval_sh_legendre", LEGENDRE, lambda x: 2 * x - 1)
_moved("eval_sh_chebyt", CHEBYT, lambda x: 2 * x - 1)
_moved("eval_sh_chebyu", CHEBYU, lambda x: 2 * x - 1)
_moved("eval_chebyc", CHEBYT, lambda x: x / 2, 2.0)
_moved("eval_chebys", CHEBYU, lambda x: x / 2)


@ufunc_call("eval_sh_jacobi")
def _sh_jacobi(n: Any, p: Any, q: Any, x: Any) -> Any:
    for fixed in (n, p, q):
        refuse_differentiated(fixed, "eval_sh_jacobi", "degree and its parameters")
    return bind(JACOBI, (n, p - q, q - 1, 2 * x - 1)) / bind(BINOM, (2 * n + p - 1, n))
