"""Layers that multiply by a matrix, and the table of vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.nn.initializers import Initializer, bias_like, fan_in_uniform
from chainrule.nn.layer import Layer, Seed, check_features, check_size


@dataclass(frozen=True, eq=False, repr=False)
class Linear(Layer):
    """y = x Wᵀ + b, as ``torch.nn.Linear``.

    Attributes:
        weight: Shape ``(outputs, inputs)``.
        bias: Shape ``(outputs,)``, or ``None``.

    Example:
        >>> import numpy as np
        >>> from chainrule import nn
        >>> nn.Linear(np.array([[1.0, 2.0]]), np.array([0.5]))(np.array([[3.0, 4.0]]))
        array([[11.5]])
    """

    weight: Any
    bias: Any = None

    @classmethod
    def init(
        cls, inputs: int, outputs: int, *, rng: Seed, bias: bool = True,
        weight_init: Initializer = fan_in_uniform, dtype: Any = np.float32,
    ) -> Linear:  # fmt: skip
        """A layer with random weights.

        Args:
            inputs: Number of features of x.
            outputs: Number of features of y.
            rng: A seed or NumPy's generator. Give layers of one network the same *generator*: with
                the same seed they would begin alike.
            bias: Whether b is added.
            weight_init: First values of W: ``he_normal``, ``glorot_uniform``, ... By default they
                are uniform between ±1/√inputs, and so is b, as in PyTorch.
            dtype: Dtype of weight and bias.

        Raises:
            ArgumentsError: A size is no whole number from 1 on.
        """
        rng = np.random.default_rng(rng)
        shape = (check_size("outputs", outputs), check_size("inputs", inputs))
        weight = weight_init(shape, rng, dtype)
        return cls(weight, bias_like(shape, rng, dtype) if bias else None)

    def __call__(self, x: Any) -> Any:
        """Of an array ``(..., inputs)`` one of shape ``(..., outputs)``."""
        check_features(self, x, -1, self.weight.shape[1])
        y = x @ self.weight.T
        return y if self.bias is None else y + self.bias


@dataclass(frozen=True, eq=False, repr=False)
class Embedding(Layer):
    """A table with one row for each index, as ``torch.nn.Embedding``.

    Attributes:
        weight: Shape ``(count, features)``.

    Example:
        >>> import numpy as np
        >>> from chainrule import nn
        >>> nn.Embedding(np.eye(3))(np.array([2, 0]))
        array([[0., 0., 1.],
               [1., 0., 0.]])
    """

    weight: Any

    @classmethod
    def init(cls, count: int, features: int, *, rng: Seed, dtype: Any = np.float32) -> Embedding:
        """A table of standard normal numbers."""
        shape = (check_size("count", count), check_size("features", features))
        return cls(np.random.default_rng(rng).standard_normal(shape).astype(dtype))

    def __call__(self, indices: Any) -> Any:
        """Of whole numbers of any shape the rows: shape ``(*indices.shape, features)``."""
        return np.take(self.weight, indices, axis=0)
