"""What idioms are called: functions with a name, a sign and a definition.

Most are rows of the rule book. Those that are not (losses, normalisations) have a row here which is
in no book: it says what the name means and how it is written, and is never differentiated.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.graph.primitive import Notation, Primitive
from chainrule.rules import BOOK

Axes = tuple[int, ...] | None


def _function(name: str, evaluate: Any, text: str, latex: str, axes: bool = False) -> Primitive:
    return Primitive(
        name, evaluate, (), Notation(text, latex if "{" in text else rf"\operatorname{{{latex}}}"),
        elementwise=not axes, structure="matrix" if axes else "diagonal",
        axes=("axis",) if axes else (),
    )  # fmt: skip


def _mean(x: Any, axis: Axes) -> Any:
    return np.mean(x, axis=axis, keepdims=True)


def _standardised(x: Any, eps: Any = 0.0, axis: Axes = None) -> Any:
    return (x - _mean(x, axis)) / np.sqrt(np.var(x, axis=axis, keepdims=True) + eps)


SIGMOID, TANH, SOFTPLUS, RELU, GELU = (
    BOOK[n] for n in ("sigmoid", "tanh", "softplus", "relu", "gelu")
)
LOGSUMEXP, SOFTMAX, LOG_SOFTMAX = (BOOK[n] for n in ("logsumexp", "softmax", "log_softmax"))
MEAN, VAR, STD = (BOOK[n] for n in ("mean", "var", "std"))

LEAKY_RELU = _function(
    "leaky_relu", lambda z, alpha: np.where(z > 0, z, alpha * z), "leaky relu", "leaky\\ relu"
)
ELU = _function(
    "elu", lambda z, alpha: np.where(z > 0, z, alpha * np.expm1(np.minimum(z, 0))), "elu", "elu"
)
SILU = _function("silu", lambda z: z * SIGMOID.evaluate(z), "silu", "silu")
GELU_TANH = _function(
    "gelu_tanh",
    lambda z: 0.5 * z * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3))),
    "gelu", "gelu",
)  # fmt: skip
HUBER = _function(
    "huber",
    lambda d, delta: np.where(np.abs(d) <= delta, 0.5 * d * d, delta * (np.abs(d) - 0.5 * delta)),
    "huber", "huber",
)  # fmt: skip
BCE = _function("bce", lambda y, p: -(y * np.log(p) + (1 - y) * np.log(1 - p)), "BCE", "BCE")
GUARDED_BCE = _function(
    "guarded_bce",
    lambda y, p, eps: -(y * np.log(p + eps) + (1 - y) * np.log(1 - p + eps)),
    "BCE", "BCE",
)  # fmt: skip
GUARDED_CROSS_ENTROPY = _function(
    "guarded_cross_entropy",
    lambda y, p, eps, axis=None: -np.sum(y * np.log(p + eps), axis=axis),
    "CE", "CE", axes=True,
)  # fmt: skip
BCE_WITH_LOGITS = _function(
    "bce_with_logits", lambda y, z: SOFTPLUS.evaluate(z) - y * z, "BCE", "BCE"
)
CROSS_ENTROPY = _function(
    "cross_entropy", lambda y, p, axis=None: -np.sum(y * np.log(p), axis=axis),
    "CE", "CE", axes=True,
)  # fmt: skip
SOFTMAX_CROSS_ENTROPY = _function(
    "softmax_cross_entropy",
    lambda y, z, axis=None: -np.sum(y * LOG_SOFTMAX.evaluate(z, axis=axis), axis=axis),
    "CE", "CE", axes=True,
)  # fmt: skip
SQUARED_ERROR = _function(
    "squared_error", lambda a, b, axis=None: np.sum((a - b) ** 2, axis=axis),
    "({0} − {1})²", r"\left({0} - {1}\right)^{{2}}", axes=True,
)  # fmt: skip
ABSOLUTE_ERROR = _function(
    "absolute_error", lambda a, b, axis=None: np.sum(np.abs(a - b), axis=axis),
    "|{0} − {1}|", r"\left|{0} - {1}\right|", axes=True,
)  # fmt: skip
NORM = _function(
    "norm", lambda x, axis=None: np.sqrt(np.sum(x * x, axis=axis)), "norm", "norm", axes=True
)
RMS = _function(
    "rms", lambda x, axis=None: np.sqrt(np.mean(x * x, axis=axis)), "rms", "rms", axes=True
)
NORMALISED = _function("layer_norm", _standardised, "layer norm", "layer\\ norm", axes=True)
RMS_NORMALISED = _function(
    "rms_norm",
    lambda x, eps=0.0, axis=None: x / np.sqrt(np.mean(x * x, axis=axis, keepdims=True) + eps),
    "rms norm", "rms\\ norm", axes=True,
)  # fmt: skip
# A sum over the axes of an idiom, in derivations.
TOTAL = Primitive("total", np.sum, (), Notation("Σ", r"\textstyle\sum"), elementwise=False)
# One element out of each row: what an index of labels does. What it picks is the program's matter.
PICK = _function("pick", lambda x: x, "pick", "pick")
