"""Integrals that have a name: of exponentials, of sines, Dawson's, Fresnel's and elliptic ones.

Their derivatives are what stands under the integral; beside 0/0 it is taken as an average.
"""

from __future__ import annotations

import math
from typing import Any, NoReturn

import numpy as np

from chainrule.errors import NotDifferentiableError
from chainrule.graph.node import PI
from chainrule.graph.operand import bind, symbolic
from chainrule.graph.primitive import Convention, Flat, Primitive, Scale
from chainrule.rules.averages import expm1_ratio_slope, log1p_ratio, sine_ratio, sinh_ratio
from chainrule.rules.book import constant, define
from chainrule.rules.scipy_values import from_scipy, takes_fixed
from chainrule.rules.ufunc_methods import ufunc_call

_pi = constant(math.pi, lambda graph: graph.input(PI))
_POSITIVE = (lambda x: x > 0, "a positive argument")
_NOT_ZERO = (lambda x: x != 0, "an argument other than 0")


def _dawsn_slope(x: Any, out: Any) -> Any:
    """1 − 2x·D(x); far out, where D(x) ≈ 1/(2x), by the asymptotic series."""
    if symbolic(x):
        return 1 - 2 * x * out
    far = np.abs(x) > 7
    v = 1 / (2 * np.where(far, x, 10.0) ** 2)
    tail: Any = 1.0
    for k in range(22, 0, -1):
        tail = 1 + (2 * k + 1) * v * tail
    return np.where(far, -v * tail, 1 - 2 * np.where(far, 0.0, x) * out)


def _expn_slope(n: Any, x: Any, out: Any) -> Any:
    """−Eₙ₋₁(x); E₋₁ is no function of SciPy's, but elementary."""
    below = bind(EXPN, (np.maximum(n - 1, 0), x))
    return -np.where(np.equal(n, 0), np.exp(-x) * (1 + x) / x / x, below)


def _spence_slope(x: Any, out: Any) -> Any:
    """ln x/(1 − x), and −1 at 1."""
    if symbolic(x):
        return np.log(x) / (1 - x)
    near = np.abs(x - 1) < 0.5
    far = np.where(near, 4.0, x)
    return np.where(near, -log1p_ratio(np.where(near, x - 1, 0.0)), np.log(far) / (1 - far))


EXP1 = define(
    "exp1", from_scipy("exp1"), Scale(lambda x, out: -np.exp(-x) / x),
    text="E₁", latex=r"\mathrm{E}_{1}", scipy="exp1", ulps=512.0, domain=_POSITIVE,
    mpmath=lambda mp, x: mp.e1(x), sympy=lambda sp, x: sp.expint(1, x),
)
EXPI = define(
    "expi", from_scipy("expi"),
    Scale(lambda x, out: np.exp(x / 2) / x * np.exp(x / 2)),  # e^x overflows earlier
    text="Ei", latex=r"\operatorname{Ei}", scipy="expi", ulps=math.inf, domain=_NOT_ZERO,
    mpmath=lambda mp, x: mp.ei(x), sympy=lambda sp, x: sp.Ei(x),
)
EXPN: Primitive = define(
    "expn", from_scipy("expn", orders=1), Flat("an order"), Scale(_expn_slope),
    text="E", latex=r"\mathrm{E}", ulps=4096.0,
    domain=(lambda n, x: (n >= 0) & (n == np.floor(n)) & (x > 0),
            "a whole order of at least 0 and a positive argument"),
    mpmath=lambda mp, n, x: mp.expint(n, x), sympy=lambda sp, n, x: sp.expint(n, x),
)
takes_fixed(EXPN, "expn")
EXPREL = define(
    "exprel", from_scipy("exprel"), Scale(lambda x, out: expm1_ratio_slope(x)),
    scipy="exprel", ulps=8.0,
    mpmath=lambda mp, x: mp.expm1(x) / x if x else mp.one,
    sympy=lambda sp, x: (sp.exp(x) - 1) / x,
)
SI = define(
    "sici_sine", from_scipy("sici", 0), Scale(lambda x, out: sine_ratio(x)),
    text="Si", latex=r"\operatorname{Si}", ulps=64.0,
    mpmath=lambda mp, x: mp.si(x), sympy=lambda sp, x: sp.Si(x),
)
CI = define(
    "sici_cosine", from_scipy("sici", 1), Scale(lambda x, out: np.cos(x) / x),
    text="Ci", latex=r"\operatorname{Ci}", ulps=math.inf, domain=_POSITIVE,
    mpmath=lambda mp, x: mp.ci(x), sympy=lambda sp, x: sp.Ci(x),
)
SHI = define(
    "shichi_sine", from_scipy("shichi", 0), Scale(lambda x, out: sinh_ratio(x)),
    text="Shi", latex=r"\operatorname{Shi}", ulps=64.0,
    mpmath=lambda mp, x: mp.shi(x), sympy=lambda sp, x: sp.Shi(x),
)
CHI = define(
    "shichi_cosine", from_scipy("shichi", 1), Scale(lambda x, out: np.cosh(x) / x),
    text="Chi", latex=r"\operatorname{Chi}", ulps=math.inf, domain=_POSITIVE,
    mpmath=lambda mp, x: mp.chi(x).real, sympy=lambda sp, x: sp.Chi(x),
)
FRESNEL_S = define(
    "fresnel_sine", from_scipy("fresnel", 0), Scale(lambda x, out: np.sin(_pi(x) * x**2 / 2)),
    text="S", latex=r"\mathrm{S}", ulps=64.0,
    mpmath=lambda mp, x: mp.fresnels(x), sympy=lambda sp, x: sp.fresnels(x),
)
FRESNEL_C = define(
    "fresnel_cosine", from_scipy("fresnel", 1), Scale(lambda x, out: np.cos(_pi(x) * x**2 / 2)),
    text="C", latex=r"\mathrm{C}", ulps=64.0,
    mpmath=lambda mp, x: mp.fresnelc(x), sympy=lambda sp, x: sp.fresnelc(x),
)
DAWSN = define(
    "dawsn", from_scipy("dawsn"), Scale(_dawsn_slope), scipy="dawsn", ulps=64.0,
    mpmath=lambda mp, x: mp.sqrt(mp.pi) / 2 * mp.exp(-x * x) * mp.erfi(x),
    sympy=lambda sp, x: sp.sqrt(sp.pi) / 2 * sp.exp(-(x**2)) * sp.erfi(x),
)
SPENCE = define(
    "spence", from_scipy("spence"), Scale(_spence_slope), scipy="spence", ulps=math.inf,
    domain=(lambda x: x >= 0, "an argument that is not negative"),
    conventions=(Convention(lambda x: x == 0, "0", "the derivative is infinite"),),
    mpmath=lambda mp, x: mp.polylog(2, 1 - x).real,
    sympy=lambda sp, x: sp.polylog(2, 1 - x),
)
HYP1F1: Primitive = define(
    "hyp1f1", from_scipy("hyp1f1"), Flat("a parameter"), Flat("a parameter"),
    Scale(lambda a, b, x, out: a / b * bind(HYP1F1, (a + 1, b + 1, x))), ulps=math.inf,
    domain=(lambda a, b, x: b > 0, "a positive second parameter"),
    mpmath=lambda mp, a, b, x: mp.hyp1f1(a, b, x),
)
HYP2F1: Primitive = define(
    "hyp2f1", from_scipy("hyp2f1"), Flat("a parameter"), Flat("a parameter"), Flat("a parameter"),
    Scale(lambda a, b, c, x, out: a * b / c * bind(HYP2F1, (a + 1, b + 1, c + 1, x))),
    ulps=math.inf,
    domain=(lambda a, b, c, x: (c > 0) & (np.abs(x) < 1),
            "a positive third parameter and an argument between −1 and 1"),
    mpmath=lambda mp, a, b, c, x: mp.hyp2f1(a, b, c, x),
)
# As series around 0 that SciPy continues: the usual (E/(1 − m) − K)/(2m) and (E − K)/(2m)
# are 0/0 there.
ELLIPK = define(
    "ellipk", from_scipy("ellipk"),
    Scale(lambda m, out: _pi(m) / 8 * bind(HYP2F1, (1.5, 1.5, 2.0, m))),
    text="K", latex=r"\mathrm{K}", scipy="ellipk", ulps=16.0,
    domain=(lambda m: m < 1, "a parameter below 1"),
    mpmath=lambda mp, m: mp.ellipk(m), sympy=lambda sp, m: sp.elliptic_k(m),
)
ELLIPE = define(
    "ellipe", from_scipy("ellipe"),
    Scale(lambda m, out: -_pi(m) / 8 * bind(HYP2F1, (0.5, 1.5, 2.0, m))),
    text="E", latex=r"\mathrm{E}", scipy="ellipe", ulps=16.0,
    domain=(lambda m: m <= 1, "a parameter of at most 1"),
    conventions=(Convention(lambda m: m == 1, "1", "the derivative is infinite"),),
    mpmath=lambda mp, m: mp.ellipe(m), sympy=lambda sp, m: sp.elliptic_e(m),
)
takes_fixed(HYP1F1, "hyp1f1", orders=2, what="parameters a and b")
takes_fixed(HYP2F1, "hyp2f1", orders=3, what="parameters a, b and c")


@ufunc_call("sici")
def _sici(x: Any) -> tuple[Any, Any]:
    return bind(SI, (x,)), bind(CI, (x,))


@ufunc_call("shichi")
def _shichi(x: Any) -> tuple[Any, Any]:
    return bind(SHI, (x,)), bind(CHI, (x,))


@ufunc_call("fresnel")
def _fresnel(x: Any) -> tuple[Any, Any]:
    return bind(FRESNEL_S, (x,)), bind(FRESNEL_C, (x,))


def _complex(name: str) -> Any:
    def refuse(*_args: Any) -> NoReturn:
        raise NotDifferentiableError(
            f"scipy.special.{name} has complex values; derivatives are taken of real ones only."
        )

    return refuse


for _ufunc, _name in {
    "_lambertw": "lambertw", "wofz": "wofz", "hankel1": "hankel1", "hankel2": "hankel2",
    "hankel1e": "hankel1e", "hankel2e": "hankel2e", "sph_harm": "sph_harm",
    "sph_harm_y": "sph_harm_y",
}.items():  # fmt: skip
    ufunc_call(_ufunc)(_complex(_name))
