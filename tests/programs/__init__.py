"""Programs of the size people write, in plain NumPy, each with the inputs it is run on.

Nothing in these files knows that anybody differentiates them. Every function returns a number; its
positional arguments are floats, arrays or pytrees of them, and all are differentiated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Program:
    """A function, what it is differentiated with respect to, and what it is merely given.

    Attributes:
        function: A plain NumPy function that returns a number.
        arguments: Its positional arguments, all of them floats or pytrees of float arrays.
        constants: Its keyword arguments: labels, sizes, names.
        not_jax: Why JAX cannot run the same source, or ``None`` where it can.
        decides: Whether values decide which way Python goes, so that a batch cannot go together.
    """

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    constants: dict[str, Any] = field(default_factory=dict)
    not_jax: str | None = None
    decides: bool = False

    @property
    def name(self) -> str:
        return self.function.__name__


def normal(seed: int, *shape: int) -> np.ndarray:
    """Standard normal numbers that are the same every time."""
    return np.random.default_rng(seed).normal(size=shape)


def uniform(seed: int, low: float, high: float, *shape: int) -> np.ndarray:
    """Uniform numbers that are the same every time."""
    return np.random.default_rng(seed).uniform(low, high, size=shape)


def integers(seed: int, high: int, *shape: int) -> np.ndarray:
    """Integers below ``high`` that are the same every time."""
    return np.random.default_rng(seed).integers(high, size=shape)
