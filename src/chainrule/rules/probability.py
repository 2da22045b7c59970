"""Functions of probability: entropies, the normal distribution, losses, power transforms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.graph.node import PI, Graph
from chainrule.graph.operand import bind, symbolic
from chainrule.graph.primitive import Convention, Scale
from chainrule.rules.averages import average, expm1_ratio_slope, log1p_ratio_slope
from chainrule.rules.book import constant, define
from chainrule.rules.exponential import SIGMOID, ln10
from chainrule.rules.powers import SQRT
from chainrule.rules.scipy_values import from_scipy
from chainrule.rules.special import ERF, ERFCX


def _pi(graph: Graph) -> Any:
    return graph.input(PI)


_sqrt_two_pi = constant(math.sqrt(2 * math.pi), lambda graph: np.sqrt(2 * _pi(graph)))
_sqrt_half = constant(math.sqrt(0.5), lambda graph: graph.apply(SQRT, (0.5,)))


def _over(x: Any, y: Any) -> Any:
    """x/y, and 0 where x = 0: the slope of x·ln y there, whatever y is."""
    return np.where(np.equal(x, 0.0), 0.0, x / np.where(np.equal(x, 0.0), 1.0, y))


def _log_of_ratio(x: Any, y: Any) -> Any:
    """ln(x/y), also where x and y are nearly equal."""
    if symbolic(x) or symbolic(y):
        return np.log(x / y)
    near = np.abs(x - y) < y / 2
    z = np.where(near, y, 1.0)
    return np.where(near, np.log1p(np.where(near, x - y, 0.0) / z), np.log(x / y))


def _kl_div(x: Any, y: Any) -> Any:
    """x·ln(x/y) − x + y, without its cancellation where x and y are nearly equal."""
    u = (x - y) / y
    near = np.abs(u) < 0.5
    middle = np.where(near, u, 0.0)
    inside = y * middle**2 * average(lambda t, u: (1 - t) / (1 + u * t), middle)
    value = np.where(near & (x > 0), inside, from_scipy("kl_div")(x, y))
    return value.astype(np.result_type(x, y), copy=False)


def _normal_density(x: Any) -> Any:
    return np.exp(-(x**2) / 2) / _sqrt_two_pi(x)


def _log_ndtr_slope(x: Any, out: Any) -> Any:
    """φ(x)/Φ(x), whose two parts vanish together far to the left."""
    return 2 / (_sqrt_two_pi(x) * bind(ERFCX, (-x * _sqrt_half(x),)))


def _pseudo_huber(delta: Any, r: Any) -> Any:
    """δ²·(√(1 + (r/δ)²) − 1), without its cancellation where r is small."""
    length = np.hypot(delta, r)
    value = delta * (r / np.where(length == 0, 1.0, length + delta)) * r
    return np.where(delta < 0, np.inf, value).astype(np.result_type(delta, r), copy=False)


def _fourth(delta: Any, r: Any) -> Any:
    """The slope of the pseudo-Huber loss in δ: r·(r/h)·(r/(h + δ))² with h = √(δ² + r²)."""
    length = np.hypot(delta, r)
    return r * (r / length) * (r / (length + delta)) ** 2


_POSITIVES = (lambda x, y: (x > 0) & (y > 0), "positive arguments")
_AT_ZERO = "the derivative is infinite"
XLOGY = define(
    "xlogy", from_scipy("xlogy"),
    Scale(lambda x, y, out: np.log(y)), Scale(lambda x, y, out: _over(x, y)),
    text="({0})·ln({1})", latex=r"{0}\cdot\ln\left({1}\right)", scipy="xlogy", ulps=8.0,
    domain=(lambda x, y: y > 0, "a positive second argument"),
    mpmath=lambda mp, x, y: x * mp.log(y) if x else mp.zero, sympy=lambda sp, x, y: x * sp.log(y),
)
XLOG1PY = define(
    "xlog1py", from_scipy("xlog1py"),
    Scale(lambda x, y, out: np.log1p(y)), Scale(lambda x, y, out: _over(x, 1 + y)),
    text="({0})·ln(1+({1}))", latex=r"{0}\cdot\ln\left(1+{1}\right)", scipy="xlog1py", ulps=8.0,
    domain=(lambda x, y: y > -1, "a second argument above −1"),
    mpmath=lambda mp, x, y: x * mp.log1p(y) if x else mp.zero,
    sympy=lambda sp, x, y: x * sp.log(1 + y),
)
ENTR = define(
    "entr", from_scipy("entr"), Scale(lambda x, out: -np.log(x) - 1), scipy="entr", ulps=8.0,
    domain=(lambda x: x >= 0, "an argument that is not negative"),
    conventions=(Convention(lambda x: x == 0, "0", _AT_ZERO),),
    mpmath=lambda mp, x: -x * mp.log(x) if x else mp.zero, sympy=lambda sp, x: -x * sp.log(x),
)
REL_ENTR = define(
    "rel_entr", from_scipy("rel_entr"),
    Scale(lambda x, y, out: _log_of_ratio(x, y) + 1), Scale(lambda x, y, out: -_over(x, y)),
    scipy="rel_entr", ulps=math.inf, domain=_POSITIVES,
    mpmath=lambda mp, x, y: x * mp.log(x / y), sympy=lambda sp, x, y: x * sp.log(x / y),
)
KL_DIV = define(
    "kl_div", _kl_div,
    Scale(lambda x, y, out: _log_of_ratio(x, y)), Scale(lambda x, y, out: (y - x) / y),
    scipy="kl_div", ulps=16.0, domain=_POSITIVES,
    mpmath=lambda mp, x, y: x * mp.log(x / y) - x + y,
    sympy=lambda sp, x, y: x * sp.log(x / y) - x + y,
)
LOG_EXPIT = define(
    "log_expit", from_scipy("log_expit"), Scale(lambda x, out: bind(SIGMOID, (-x,))),
    text="ln σ", latex=r"\ln\sigma", scipy="log_expit", ulps=8.0,
    mpmath=lambda mp, x: min(x, 0) - mp.log1p(mp.exp(-abs(x))),
    sympy=lambda sp, x: -sp.log(1 + sp.exp(-x)),
)
NDTR = define(
    "ndtr", from_scipy("ndtr"), Scale(lambda x, out: _normal_density(x)),
    text="Φ", latex=r"\Phi", scipy="ndtr", ulps=1024.0,
    mpmath=lambda mp, x: mp.ncdf(x), sympy=lambda sp, x: sp.erfc(-x / sp.sqrt(2)) / 2,
)
LOG_NDTR = define(
    "log_ndtr", from_scipy("log_ndtr"), Scale(_log_ndtr_slope),
    text="ln Φ", latex=r"\ln\Phi", scipy="log_ndtr", ulps=1024.0,
    mpmath=lambda mp, x: mp.log1p(-mp.ncdf(-x)) if x > 0 else mp.log(mp.ncdf(x)),
    sympy=lambda sp, x: sp.log(sp.erfc(-x / sp.sqrt(2)) / 2),
)
NDTRI = define(
    "ndtri", from_scipy("ndtri"), Scale(lambda x, out: _sqrt_two_pi(x) * np.exp(out**2 / 2)),
    text="Φ⁻¹", latex=r"\Phi^{-1}", scipy="ndtri", ulps=math.inf,
    domain=(lambda x: (x > 0) & (x < 1), "an argument between 0 and 1"),
    mpmath=lambda mp, x: mp.sqrt(2) * mp.erfinv(2 * x - 1),
)
OWENS_T = define(
    "owens_t", from_scipy("owens_t"),
    Scale(lambda h, a, out: -_normal_density(h) * bind(ERF, (a * h * _sqrt_half(h),)) / 2),
    Scale(lambda h, a, out: np.exp(-(h**2) * (1 + a**2) / 2)
          / (_sqrt_two_pi(a) ** 2 * (1 + a**2))),
    scipy="owens_t", ulps=math.inf,
    mpmath=lambda mp, h, a:
        mp.quad(lambda t: mp.exp(-h * h * (1 + t * t) / 2) / (1 + t * t), [0, a]) / (2 * mp.pi),
)  # fmt: skip
HUBER = define(
    "huber", from_scipy("huber"),
    Scale(lambda d, r, out: np.maximum(np.abs(r) - d, 0)),
    Scale(lambda d, r, out: np.clip(r, -d, d)),
    scipy="huber", ulps=64.0, domain=(lambda d, r: d > 0, "a positive width"),
    mpmath=lambda mp, d, r: r * r / 2 if abs(r) <= d else d * (abs(r) - d / 2),
)
PSEUDO_HUBER = define(
    "pseudo_huber", _pseudo_huber,
    Scale(lambda d, r, out: _fourth(d, r)), Scale(lambda d, r, out: r * (d / np.hypot(d, r))),
    scipy="pseudo_huber", ulps=8.0, domain=(lambda d, r: d > 0, "a positive width"),
    mpmath=lambda mp, d, r: d * r * r / (mp.sqrt(d * d + r * r) + d),
)
BOXCOX = define(
    "boxcox", from_scipy("boxcox"),
    Scale(lambda x, p, out: x ** (p - 1)),
    Scale(lambda x, p, out: np.log(x) ** 2 * expm1_ratio_slope(p * np.log(x))),
    scipy="boxcox", ulps=2048.0, domain=(lambda x, p: x > 0, "a positive first argument"),
    mpmath=lambda mp, x, p: mp.expm1(p * mp.log(x)) / p if p else mp.log(x),
)
BOXCOX1P = define(
    "boxcox1p", from_scipy("boxcox1p"),
    Scale(lambda x, p, out: np.exp((p - 1) * np.log1p(x))),
    Scale(lambda x, p, out: np.log1p(x) ** 2 * expm1_ratio_slope(p * np.log1p(x))),
    scipy="boxcox1p", ulps=2048.0, domain=(lambda x, p: x > -1, "a first argument above −1"),
    mpmath=lambda mp, x, p: mp.expm1(p * mp.log1p(x)) / p if p else mp.log1p(x),
)
_INVERSE = (lambda y, p: 1 + p * y > 0, "1 + λy above 0")


def _mp_inverse(mp: Any, y: Any, p: Any) -> Any:
    """ln(1 + λy)/λ."""
    return mp.log1p(p * y) / p if p else y


INV_BOXCOX = define(
    "inv_boxcox", from_scipy("inv_boxcox"),
    Scale(lambda y, p, out: out / (1 + p * y)),
    Scale(lambda y, p, out: out * y**2 * log1p_ratio_slope(p * y)),
    scipy="inv_boxcox", ulps=math.inf, domain=_INVERSE,
    mpmath=lambda mp, y, p: mp.exp(_mp_inverse(mp, y, p)),
)
INV_BOXCOX1P = define(
    "inv_boxcox1p", from_scipy("inv_boxcox1p"),
    Scale(lambda y, p, out: (out + 1) / (1 + p * y)),
    Scale(lambda y, p, out: (out + 1) * y**2 * log1p_ratio_slope(p * y)),
    scipy="inv_boxcox1p", ulps=math.inf, domain=_INVERSE,
    mpmath=lambda mp, y, p: mp.expm1(_mp_inverse(mp, y, p)),
)
EXP10 = define(
    "exp10", from_scipy("exp10"), Scale(lambda x, out: ln10(x) * out),
    text="10^({0})", latex=r"10^{{{0}}}", scipy="exp10", ulps=8.0,
    mpmath=lambda mp, x: mp.power(10, x), sympy=lambda sp, x: 10**x,
)
