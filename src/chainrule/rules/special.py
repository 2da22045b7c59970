"""Error functions and the activations of neural networks."""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np

from chainrule.graph.node import PI, Graph
from chainrule.graph.operand import bind
from chainrule.graph.primitive import Scale
from chainrule.rules.book import constant, define
from chainrule.rules.exponential import SIGMOID
from chainrule.rules.powers import SQRT


def _pi(graph: Graph) -> Any:
    return graph.input(PI)


_SQRT_HALF = math.sqrt(0.5)
_two_over_sqrt_pi = constant(2 / math.sqrt(math.pi), lambda graph: 2 / np.sqrt(_pi(graph)))
_sqrt_two = constant(math.sqrt(2.0), lambda graph: graph.apply(SQRT, (2.0,)))
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
    "gelu", lambda x: 0.5 * x * ERFC.evaluate(-_SQRT_HALF * x),
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
