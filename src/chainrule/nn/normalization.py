"""Layers that bring their input to mean 0 and variance 1, then scale and shift it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.errors import ArgumentsError
from chainrule.graph.tape import shape_of
from chainrule.nn.layer import Layer, check_features, check_size
from chainrule.transforms import stop_gradient
from chainrule.tree import static_field


@dataclass(frozen=True, eq=False, repr=False)
class LayerNorm(Layer):
    """(x − mean)/√(variance + eps) over the last axes of each example, as ``torch.nn.LayerNorm``.

    Ba, Kiros, Hinton: "Layer normalization", 2016. The variance is the biased one (divided by n).

    Attributes:
        weight: Multiplied; its shape says which axes are normalised.
        bias: Added; the same shape, or ``None``.
        eps: Added to the variance.

    Example:
        >>> import numpy as np
        >>> from chainrule import nn
        >>> nn.LayerNorm.init(2)(np.array([[1.0, 3.0]])).round(4)
        array([[-1.,  1.]])
    """

    weight: Any
    bias: Any = None
    eps: float = static_field(default=1e-5)

    @classmethod
    def init(
        cls, shape: int | tuple[int, ...], *, eps: float = 1e-5, bias: bool = True,
        dtype: Any = np.float32,
    ) -> LayerNorm:  # fmt: skip
        """A layer with weight 1 and bias 0 for last axes of this ``shape``."""
        weight = np.ones(shape, dtype)
        return cls(weight, np.zeros_like(weight) if bias else None, eps)

    def __call__(self, x: Any) -> Any:
        """Of an array ``(..., *shape)`` one of the same shape."""
        shape = shape_of(self.weight)
        if shape_of(x)[-len(shape) :] != shape:
            raise ArgumentsError(
                f"{self!r} takes arrays whose last axes are {shape}, but was given one of shape "
                f"{shape_of(x)}"
            )
        axes = tuple(range(-len(shape), 0))
        y = _normal(x, np.mean(x, axes, keepdims=True), np.var(x, axes, keepdims=True), self.eps)
        y = y * self.weight
        return y if self.bias is None else y + self.bias


@dataclass(frozen=True, eq=False)
class BatchNormState:
    """What a ``BatchNorm`` remembers of the batches it has seen: two arrays ``(features,)``."""

    mean: Any
    variance: Any


@dataclass(frozen=True, eq=False, repr=False)
class BatchNorm(Layer):
    """(x − mean)/√(variance + eps) of each feature of a batch, as ``torch.nn.BatchNorm1d``, 2d.

    Ioffe and Szegedy: "Batch normalization", 2015. Features stand along axis 1: ``(N, C)``,
    ``(N, C, L)`` or ``(N, C, H, W)``. In training the mean and the biased variance are the batch's,
    and the running ones move towards them (the running variance towards the unbiased one); else the
    running ones are used. These are handed in and out, nothing is changed in place.

    Attributes:
        weight: Shape ``(features,)``.
        bias: Shape ``(features,)``.
        eps: Added to the variance.
        momentum: How far the running values move: (1 − momentum)·old + momentum·new.

    Example:
        >>> import numpy as np
        >>> from chainrule import nn
        >>> norm = nn.BatchNorm.init(1, dtype=np.float64)
        >>> y, state = norm(np.array([[1.0], [3.0]]), norm.initial_state(), training=True)
        >>> y.ravel().round(4), state.mean.round(4)
        (array([-1.,  1.]), array([0.2]))
    """

    weight: Any
    bias: Any
    eps: float = static_field(default=1e-5)
    momentum: float = static_field(default=0.1)

    @classmethod
    def init(
        cls, features: int, *, eps: float = 1e-5, momentum: float = 0.1, dtype: Any = np.float32
    ) -> BatchNorm:
        """A layer with weight 1 and bias 0."""
        check_size("features", features)
        return cls(np.ones(features, dtype), np.zeros(features, dtype), eps, momentum)

    def initial_state(self) -> BatchNormState:
        """Running mean 0 and running variance 1."""
        return BatchNormState(np.zeros_like(self.weight), np.ones_like(self.weight))

    def __call__(
        self, x: Any, state: BatchNormState, training: bool = False
    ) -> tuple[Any, BatchNormState]:
        """The normalised array and the new state.

        Args:
            x: An array ``(N, features, ...)``.
            state: What was seen before.
            training: Whether the batch's own mean and variance are used, and the state is moved.

        Raises:
            ArgumentsError: The features do not fit, or there is only one number for each.
        """
        check_features(self, x, 1, shape_of(self.weight)[0])
        axes = tuple(a for a in range(len(shape_of(x))) if a != 1)
        along = (-1,) + (1,) * (len(axes) - 1)  # features against the axes behind them
        mean, variance = state.mean, state.variance
        if training:
            mean, variance = np.mean(x, axes), np.var(x, axes)
            state = self._moved(state, mean, variance, x)
        y = _normal(x, np.reshape(mean, along), np.reshape(variance, along), self.eps)
        return y * np.reshape(self.weight, along) + np.reshape(self.bias, along), state

    def _moved(self, state: BatchNormState, mean: Any, variance: Any, x: Any) -> BatchNormState:
        count = int(np.prod(shape_of(x), dtype=int)) // shape_of(x)[1]
        if count < 2:
            raise ArgumentsError(
                f"{self!r} was given an array of shape {shape_of(x)} in training: one number for "
                "each feature has no variance (a batch_size that leaves one example over?)"
            )
        m = self.momentum
        unbiased = variance * (count / (count - 1))
        return BatchNormState(
            (1 - m) * state.mean + m * stop_gradient(mean),
            (1 - m) * state.variance + m * stop_gradient(unbiased),
        )


def _normal(x: Any, mean: Any, variance: Any, eps: float) -> Any:
    return (x - mean) / np.sqrt(variance + eps)
