"""Error functions and the activations of neural networks."""

from __future__ import annotations

import functools
import math
import sys
from typing import Any

import numpy as np

from chainrule.graph.node import PI, Graph
from chainrule.graph.operand import SCIPY_UFUNCS, bind, symbolic
from chainrule.graph.primitive import Primitive, Scale
from chainrule.graph.tape import dtype_of
from chainrule.rules.book import constant, define
from chainrule.rules.exponential import EXP2, EXPM1, LOG1P, SIGMOID
from chainrule.rules.piecewise import ROUND
from chainrule.rules.powers import CBRT, SQRT
from chainrule.rules.scipy_values import from_scipy
from chainrule.rules.shapes import reshape
from chainrule.rules.ufunc_methods import ufunc_call


def _pi(graph: Graph) -> Any:
    return graph.input(PI)


_SQRT_HALF = math.sqrt(0.5)
_two_over_sqrt_pi = constant(2 / math.sqrt(math.pi), lambda graph: 2 / np.sqrt(_pi(graph)))
_sqrt_two = constant(math.sqrt(2.0), lambda graph: graph.apply(SQRT, (2.0,)))
_degree = constant(math.pi / 180, lambda graph: _pi(graph) / 180)
_sqrt_two_pi = constant(math.sqrt(2 * math.pi), lambda graph: np.sqrt(2 * _pi(graph)))


def _elementwise(name: str, scalar: Any) -> Any:
    """``scalar`` on every element; SciPy's own loop where SciPy is loaded already."""
    loop = np.vectorize(scalar, otypes=[np.float64])

    def evaluate(x: Any) -> Any:
        scipy_special = sys.modules.get("scipy.special")
        value = loop(x) if scipy_special is None else getattr(scipy_special, name)(x)
        return value.astype(np.result_type(np.asarray(x), np.float16))

    return evaluate


def _logit(x: Any) -> Any:
    """ln(x/(1 − x)), in the middle as 2·artanh(2x − 1): there the logarithm would lose digits."""
    middle = np.clip(x, 0.25, 0.75)
    return np.where(middle == x, 2 * np.arctanh(2 * middle - 1), np.log(x) - np.log1p(-x))


def _gelu_slope(x: Any, out: Any) -> Any:
    """Φ(x) + x·φ(x) with Φ and φ of the standard normal distribution."""
    density = np.exp(-(x**2) / 2) / _sqrt_two_pi(x)
    return bind(ERFC, (-x / _sqrt_two(x),)) / 2 + x * density


ERF = define(
    "erf", _elementwise("erf", math.erf),
    Scale(lambda x, out: _two_over_sqrt_pi(x) * np.exp(-(x**2))),
    scipy="erf", ulps=4.0,
    mpmath=lambda mp, x: mp.erf(x), sympy=lambda sp, x: sp.erf(x),
)
ERFC = define(
    "erfc", _elementwise("erfc", math.erfc),
    Scale(lambda x, out: -_two_over_sqrt_pi(x) * np.exp(-(x**2))),
    scipy="erfc", ulps=512.0,
    mpmath=lambda mp, x: mp.erfc(x), sympy=lambda sp, x: sp.erfc(x),
)
SOFTPLUS = define(
    "softplus", lambda x: np.logaddexp(x, np.zeros_like(x)),
    Scale(lambda x, out: bind(SIGMOID, (x,))), ulps=4.0,
    mpmath=lambda mp, x: max(x, 0) + mp.log1p(mp.exp(-abs(x))),
    sympy=lambda sp, x: sp.log(1 + sp.exp(x)),
)  # fmt: skip
GELU = define(
    "gelu", lambda x: 0.5 * x * bind(ERFC, (-_SQRT_HALF * x,)),
    Scale(_gelu_slope), ulps=2048.0,
    mpmath=lambda mp, x: x * mp.erfc(-x / mp.sqrt(2)) / 2,
    sympy=lambda sp, x: x * sp.erfc(-x / sp.sqrt(2)) / 2,
)  # fmt: skip
LOGIT = define(
    "logit", _logit, Scale(lambda x, out: 1 / (x * (1 - x))),
    scipy="logit", ulps=6.0,
    domain=(lambda x: (x > 0) & (x < 1), "an argument between 0 and 1"),
    mpmath=lambda mp, x: mp.log(x) - mp.log1p(-x), sympy=lambda sp, x: sp.log(x / (1 - x)),
)  # fmt: skip


@functools.cache
def _laguerre() -> tuple[Any, Any]:
    """Gauss and Laguerre's rule for the slope of erfcx far out: ∫ u·f(u)·e^(−u) du."""
    nodes, weights = np.polynomial.laguerre.laggauss(24)
    return nodes, weights * nodes / np.sum(weights * nodes)


def _erfcx_slope(x: Any, out: Any) -> Any:
    """2x·erfcx(x) − 2/√π; for large x, where the two are nearly equal, as one integral."""
    direct = 2 * x * out - _two_over_sqrt_pi(x)
    if symbolic(x):
        return direct
    dtype = dtype_of(x)
    far = x > 3
    y = reshape(np.where(far, x, 6.0), (*np.shape(x), 1))
    nodes, weights = _laguerre()
    decay = np.exp(-((nodes.astype(dtype) / (2 * y)) ** 2))
    integral = np.sum(weights.astype(dtype) * decay, axis=-1)
    y = np.where(far, x, 6.0)
    return np.where(far, -integral / (math.sqrt(math.pi) * y * y), direct)


ERFCX: Primitive = define(
    "erfcx", from_scipy("erfcx"), Scale(_erfcx_slope), scipy="erfcx", ulps=2048.0,
    mpmath=lambda mp, x: mp.exp(x * x) * mp.erfc(x),
    sympy=lambda sp, x: sp.exp(x**2) * sp.erfc(x),
)
ERFI = define(
    "erfi", from_scipy("erfi"), Scale(lambda x, out: _two_over_sqrt_pi(x) * np.exp(x**2)),
    scipy="erfi", ulps=2048.0,
    mpmath=lambda mp, x: mp.erfi(x), sympy=lambda sp, x: sp.erfi(x),
)
ERFINV = define(
    "erfinv", from_scipy("erfinv"), Scale(lambda x, out: np.exp(out**2) / _two_over_sqrt_pi(x)),
    text="erf⁻¹", latex=r"\operatorname{erf}^{-1}", scipy="erfinv", ulps=64.0,
    domain=(lambda x: np.abs(x) < 1, "an argument between −1 and 1"),
    mpmath=lambda mp, x: mp.erfinv(x), sympy=lambda sp, x: sp.erfinv(x),
)
ERFCINV = define(
    "erfcinv", from_scipy("erfcinv"), Scale(lambda x, out: -np.exp(out**2) / _two_over_sqrt_pi(x)),
    text="erfc⁻¹", latex=r"\operatorname{erfc}^{-1}", scipy="erfcinv", ulps=math.inf,  # 0 at 1
    domain=(lambda x: (x > 0) & (x < 2), "an argument between 0 and 2"),
    mpmath=lambda mp, x: mp.erfinv(1 - x), sympy=lambda sp, x: sp.erfcinv(x),
)
COSM1 = define(
    "cosm1", from_scipy("cosm1"), Scale(lambda x, out: -np.sin(x)), scipy="cosm1", ulps=math.inf,
    mpmath=lambda mp, x: -2 * mp.sin(x / 2) ** 2, sympy=lambda sp, x: sp.cos(x) - 1,
)


def _in_degrees(name: str, mp_name: str, slope: Any) -> Primitive:
    """A trigonometric function of an angle in degrees."""
    return define(
        name, from_scipy(name), Scale(lambda x, out: slope(x, out) * _degree(x)),
        scipy=name, ulps=math.inf,
        domain=(lambda x: np.remainder(x, 90) != 0, "an angle that is no multiple of 90°")
        if mp_name in ("tan", "cot") else None,
        mpmath=lambda mp, x: getattr(mp, mp_name)(x * mp.pi / 180),
    )  # fmt: skip


SINDG: Primitive = _in_degrees("sindg", "sin", lambda x, out: bind(COSDG, (x,)))
COSDG: Primitive = _in_degrees("cosdg", "cos", lambda x, out: -bind(SINDG, (x,)))
TANDG = _in_degrees("tandg", "tan", lambda x, out: 1 + out**2)
COTDG = _in_degrees("cotdg", "cot", lambda x, out: -(1 + out**2))
# SciPy's twins of what is a row already.
SCIPY_UFUNCS.update({
    "exp2": EXP2, "expm1": EXPM1, "log1p": LOG1P, "cbrt": CBRT, "round": ROUND,
})  # fmt: skip


@ufunc_call("radian")
def _radian(degrees: Any, minutes: Any, seconds: Any) -> Any:
    return np.radians(degrees + minutes / 60 + seconds / 3600)
