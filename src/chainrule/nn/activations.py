"""Activations: rows of the rule book by their usual names, and what is made of them.

Each takes an array of any shape and returns one of the same shape and dtype.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.graph.operand import bind
from chainrule.graph.primitive import Primitive
from chainrule.rules.book import BOOK
from chainrule.rules.reductions import log_softmax as _log_softmax
from chainrule.rules.reductions import softmax as _softmax

_SIGMOID, _RELU, _GELU, _SOFTPLUS = (BOOK[n] for n in ("sigmoid", "relu", "gelu", "softplus"))


def _row(row: Primitive, x: Any) -> Any:
    return bind(row, (x if hasattr(x, "dtype") else np.asarray(x, float),))


def identity(x: Any) -> Any:
    """The array itself."""
    return x


def sigmoid(x: Any) -> Any:
    """1/(1 + e⁻ˣ), without overflow.

    Example:
        >>> from chainrule import nn
        >>> float(nn.sigmoid(0.0))
        0.5
    """
    return _row(_SIGMOID, x)


def tanh(x: Any) -> Any:
    """The hyperbolic tangent, NumPy's own."""
    return np.tanh(x)


def relu(x: Any) -> Any:
    """max(x, 0), with derivative 0 at 0.

    Example:
        >>> import numpy as np
        >>> from chainrule import nn
        >>> nn.relu(np.array([-1.0, 2.0]))
        array([0., 2.])
    """
    return _row(_RELU, x)


def leaky_relu(x: Any, slope: float = 0.01) -> Any:
    """x where it is positive, ``slope``·x elsewhere (with that derivative at 0, as in PyTorch)."""
    return np.where(x > 0, x, slope * x)


def elu(x: Any, alpha: float = 1.0) -> Any:
    """x where it is positive, ``alpha``·(eˣ − 1) elsewhere. Clevert et al., 2015."""
    return np.where(x > 0, x, alpha * np.expm1(x))


def gelu(x: Any) -> Any:
    """x·Φ(x), Φ the distribution function of the standard normal. Hendrycks and Gimpel, 2016."""
    return _row(_GELU, x)


def gelu_tanh(x: Any) -> Any:
    """The usual approximation of ``gelu``: ½x·(1 + tanh(√(2/π)·(x + 0.044715x³)))."""
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def silu(x: Any) -> Any:
    """x·σ(x), also called swish."""
    return x * sigmoid(x)


def softplus(x: Any) -> Any:
    """ln(1 + eˣ), without overflow."""
    return _row(_SOFTPLUS, x)


def softmax(x: Any, axis: int = -1) -> Any:
    """eˣ/Σeˣ: probabilities along ``axis``, without overflow.

    Example:
        >>> import numpy as np
        >>> from chainrule import nn
        >>> nn.softmax(np.array([1000.0, 1000.0]))
        array([0.5, 0.5])
    """
    return _softmax(x, axis)


def log_softmax(x: Any, axis: int = -1) -> Any:
    """ln(eˣ/Σeˣ) along ``axis``, without overflow."""
    return _log_softmax(x, axis)


ACTIVATIONS = {
    f.__name__: f
    for f in (relu, tanh, sigmoid, leaky_relu, elu, gelu, gelu_tanh, silu, softplus, identity)
}
