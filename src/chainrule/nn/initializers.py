"""First values of weights: spread so that signals keep their size from layer to layer.

A weight has shape ``(outputs, inputs)``, or ``(outputs, inputs, height, width)`` for a convolution;
each output then sums over ``inputs·height·width`` numbers, its *fan in*.

- Glorot: variance 2/(fan in + fan out). Glorot and Bengio: "Understanding the difficulty of
  training deep feedforward neural networks", 2010.
- He: variance 2/(fan in), for relu. He, Zhang, Ren, Sun: "Delving deep into rectifiers", 2015.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.errors import ArgumentsError
from chainrule.nn.layer import Seed

Initializer = Callable[..., Any]


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """How many numbers each output is made of, and how many outputs each input goes into.

    Args:
        shape: ``(outputs, inputs, *window)``.

    Raises:
        ArgumentsError: A shape of less than two axes has no fans.

    Example:
        >>> from chainrule import nn
        >>> nn.fans((10, 20)), nn.fans((8, 3, 5, 5))
        ((20, 10), (75, 200))
    """
    if len(shape) < 2:
        raise ArgumentsError(f"a weight has at least two axes (outputs, inputs), not shape {shape}")
    window = math.prod(shape[2:])
    return shape[1] * window, shape[0] * window


def _uniform(shape: tuple[int, ...], rng: Seed, dtype: Any, bound: float) -> Any:
    return np.random.default_rng(rng).uniform(-bound, bound, shape).astype(dtype)


def _normal(shape: tuple[int, ...], rng: Seed, dtype: Any, deviation: float) -> Any:
    return (deviation * np.random.default_rng(rng).standard_normal(shape)).astype(dtype)


def glorot_uniform(shape: tuple[int, ...], rng: Seed, dtype: Any = np.float32) -> Any:
    """Uniform between ±√(6/(fan in + fan out)).

    Args:
        shape: ``(outputs, inputs, *window)``.
        rng: A seed or NumPy's generator.
        dtype: Dtype of the result.

    Example:
        >>> from chainrule import nn
        >>> bool(abs(nn.glorot_uniform((2, 4), rng=0)).max() <= 1.0)
        True
    """
    return _uniform(shape, rng, dtype, math.sqrt(6 / sum(fans(shape))))


def glorot_normal(shape: tuple[int, ...], rng: Seed, dtype: Any = np.float32) -> Any:
    """Normal with deviation √(2/(fan in + fan out)); arguments as of ``glorot_uniform``."""
    return _normal(shape, rng, dtype, math.sqrt(2 / sum(fans(shape))))


def he_uniform(shape: tuple[int, ...], rng: Seed, dtype: Any = np.float32) -> Any:
    """Uniform between ±√(6/(fan in)); arguments as of ``glorot_uniform``."""
    return _uniform(shape, rng, dtype, math.sqrt(6 / fans(shape)[0]))


def he_normal(shape: tuple[int, ...], rng: Seed, dtype: Any = np.float32) -> Any:
    """Normal with deviation √(2/(fan in)); arguments as of ``glorot_uniform``."""
    return _normal(shape, rng, dtype, math.sqrt(2 / fans(shape)[0]))


def fan_in_uniform(shape: tuple[int, ...], rng: Seed, dtype: Any = np.float32) -> Any:
    """Uniform between ±1/√(fan in): what PyTorch's Linear and Conv2d begin with."""
    return _uniform(shape, rng, dtype, 1 / math.sqrt(fans(shape)[0]))


def bias_like(weight_shape: tuple[int, ...], rng: Seed, dtype: Any) -> Any:
    """PyTorch's first bias for a weight: uniform between ±1/√(fan in) of the weight."""
    return _uniform(weight_shape[:1], rng, dtype, 1 / math.sqrt(fans(weight_shape)[0]))
