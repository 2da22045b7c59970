"""Losses: how far predictions are from targets, as one number to be made small.

The conventions are PyTorch's: the mean over all elements, or ``reduction="sum"`` or ``"none"``.
Predictions and targets have the same shape; PyTorch would broadcast ``(n, 1)`` against ``(n,)`` to
``(n, n)``, which is hardly ever meant, so that is an error here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.errors import ArgumentsError
from chainrule.graph.operand import Operand
from chainrule.graph.tape import dtype_of, shape_of
from chainrule.nn.activations import log_softmax, softplus


def mse(prediction: Any, target: Any, reduction: str = "mean") -> Any:
    """(p − t)²: the squared error.

    Args:
        prediction: An array of floats.
        target: An array of the same shape.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Returns:
        A scalar, or an array of that shape with ``"none"``.

    Raises:
        ArgumentsError: The shapes differ, or there is no such reduction.

    Example:
        >>> import numpy as np
        >>> from chainrule import nn
        >>> float(nn.mse(np.array([1.0, 2.0]), np.array([1.0, 4.0])))
        2.0
    """
    _same_shape("mse", prediction, target)
    return _reduced(np.square(prediction - target), reduction)


def mae(prediction: Any, target: Any, reduction: str = "mean") -> Any:
    """|p − t|: the absolute error (derivative 0 where both are equal); arguments as of ``mse``."""
    _same_shape("mae", prediction, target)
    return _reduced(np.abs(prediction - target), reduction)


def huber(prediction: Any, target: Any, delta: float = 1.0, reduction: str = "mean") -> Any:
    """½e² of an error up to ``delta`` and delta·(|e| − ½ delta) beyond. Huber, 1964.

    The other arguments are those of ``mse``.

    Example:
        >>> import numpy as np
        >>> from chainrule import nn
        >>> nn.huber(np.array([0.5, 3.0]), np.zeros(2), reduction="none")
        array([0.125, 2.5  ])
    """
    _same_shape("huber", prediction, target)
    size = np.abs(prediction - target)
    beyond = delta * (size - 0.5 * delta)
    return _reduced(np.where(size <= delta, 0.5 * np.square(size), beyond), reduction)


def bce(probability: Any, target: Any, reduction: str = "mean") -> Any:
    """−(t·ln p + (1 − t)·ln(1 − p)): binary cross-entropy of probabilities.

    As in PyTorch, no logarithm counts for less than −100. ``bce_with_logits`` is more exact and
    never flat: prefer it.

    Args:
        probability: Numbers from 0 to 1.
        target: 0, 1, or anything between; the same shape.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Example:
        >>> import numpy as np
        >>> from chainrule import nn
        >>> nn.bce(np.array([0.5, 1.0]), np.array([1.0, 0.0]), reduction="none").round(4)
        array([  0.6931, 100.    ])
    """
    _same_shape("bce", probability, target)
    yes, no = _bounded_log(probability), _bounded_log(1 - probability)
    return _reduced(-(target * yes + (1 - target) * no), reduction)


def _bounded_log(p: Any) -> Any:
    """ln p, but −100 (and flat) where it would be less."""
    least = float(np.exp(np.float64(-100.0)))
    above = p > dtype_of(p).type(least)
    return np.where(above, np.log(np.where(above, p, 1)), -100)


def bce_with_logits(logit: Any, target: Any, reduction: str = "mean") -> Any:
    """Binary cross-entropy of p = σ(z): softplus(z) − t·z, exact for every z.

    Args:
        logit: z, any numbers.
        target: 0, 1, or anything between; the same shape.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Example:
        >>> import numpy as np
        >>> from chainrule import nn
        >>> nn.bce_with_logits(np.array([0.0, 1000.0]), np.ones(2), reduction="none").round(4)
        array([0.6931, 0.    ])
    """
    _same_shape("bce_with_logits", logit, target)
    return _reduced(softplus(logit) - target * logit, reduction)


def cross_entropy(logits: Any, labels: Any, reduction: str = "mean") -> Any:
    """−ln softmax(logits)[label]: cross-entropy of classes that are given by number.

    Args:
        logits: Shape ``(classes,)``, ``(n, classes)`` or ``(n, classes, ...)``: classes stand along
            axis 1 as in PyTorch.
        labels: Whole numbers from 0 to below the number of classes; the same shape without the axis
            of the classes.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Returns:
        A scalar, or an array of the labels' shape with ``"none"``.

    Raises:
        ArgumentsError: The shapes do not fit, or the labels are no classes. Where labels are traced
            (inside ``jit``), a negative one gives NaN; one too large is an error there too.

    Example:
        >>> import numpy as np
        >>> from chainrule import nn
        >>> float(nn.cross_entropy(np.zeros((2, 4)), np.array([0, 3])).round(6))
        1.386294
    """
    axis = _class_axis("cross_entropy", logits, labels)
    if axis == 0:
        logits, labels = np.reshape(logits, (1, -1)), np.reshape(labels, (1,))
        return _reduced(cross_entropy(logits, labels, "none")[0], reduction)
    if len(shape_of(logits)) == 2:
        chosen = log_softmax(logits, 1)[np.arange(shape_of(labels)[0]), labels]
    else:
        picked = np.expand_dims(labels, 1)
        chosen = np.take_along_axis(log_softmax(logits, 1), picked, 1)
    if isinstance(labels, Operand):  # nobody can look at them now, and an index of −1 is the last
        chosen = np.where(np.reshape(labels, shape_of(chosen)) < 0, np.nan, chosen)
    return _reduced(-np.reshape(chosen, shape_of(labels)), reduction)


def _class_axis(name: str, logits: Any, labels: Any) -> int:
    """Along which axis the classes stand, after checking that the labels fit."""
    labels = labels if isinstance(labels, Operand) else np.asarray(labels)
    shape = shape_of(logits)
    axis = 1 if len(shape) > 1 else 0
    if dtype_of(labels).kind not in "iu":
        raise ArgumentsError(
            f"{name}: labels are whole numbers (the class of each example), not "
            f"{dtype_of(labels)}: labels.astype(int), or one-hot rows as np.argmax(rows, axis=1)"
        )
    if not shape or shape[:axis] + shape[axis + 1 :] != shape_of(labels):
        raise ArgumentsError(
            f"{name}: logits of shape {shape} take labels of shape "
            f"{shape[:axis] + shape[axis + 1 :]}, not {shape_of(labels)}"
        )
    if not isinstance(labels, Operand) and labels.size:
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= shape[axis]:
            raise ArgumentsError(
                f"{name}: labels go from 0 to {shape[axis] - 1} for {shape[axis]} classes, but "
                f"there is {low if low < 0 else high}"
            )
    return axis


def _same_shape(name: str, prediction: Any, target: Any) -> None:
    if shape_of(prediction) != shape_of(target):
        raise ArgumentsError(
            f"{name}: the prediction has shape {shape_of(prediction)} and the target "
            f"{shape_of(target)}: reshape one of them"
        )


def _reduced(values: Any, reduction: str) -> Any:
    if reduction == "mean":
        return np.mean(values)
    if reduction == "sum":
        return np.sum(values)
    if reduction == "none":
        return values
    raise ArgumentsError(f'reduction is "mean", "sum" or "none", not {reduction!r}')


def accuracy(logits: Any, labels: Any) -> Any:
    """The share of examples whose largest logit is that of their class (no derivative).

    Args:
        logits: Shape ``(n, classes)``.
        labels: Whole numbers ``(n,)``.

    Example:
        >>> import numpy as np
        >>> from chainrule import nn
        >>> float(nn.accuracy(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([1, 1])))
        0.5
    """
    _class_axis("accuracy", logits, labels)
    return np.mean(np.equal(np.argmax(logits, axis=1), labels), dtype=np.float64)


def r2_score(prediction: Any, target: Any) -> Any:
    """1 − Σ(t − p)²/Σ(t − mean)²: 1 is perfect, 0 is as good as always saying the mean.

    Args:
        prediction: Any shape.
        target: The same shape.

    Example:
        >>> import numpy as np
        >>> from chainrule import nn
        >>> float(nn.r2_score(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 3.0])))
        1.0
    """
    _same_shape("r2_score", prediction, target)
    around_mean = np.sum(np.square(target - np.mean(target)))
    return 1 - np.sum(np.square(target - prediction)) / around_mean
