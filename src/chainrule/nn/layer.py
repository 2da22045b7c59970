"""What all layers share: they are pytrees whose leaves are learned, and print as their shapes."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import numpy as np

from chainrule.errors import ArgumentsError
from chainrule.graph.tape import shape_of
from chainrule.tree import leaves

Seed = int | np.random.Generator


class Layer:
    """A dataclass whose arrays are learned and whose static fields say what it is.

    Example:
        >>> from chainrule import nn
        >>> nn.Linear.init(3, 2, rng=0)
        Linear(weight=float32[2, 3], bias=float32[2])
    """

    # Whether it is called with ``key=`` in a ``Sequential``; a key stands for training.
    takes_key: ClassVar[bool] = False

    def __repr__(self) -> str:
        fields = dataclasses.fields(self)  # type: ignore[arg-type]
        inside = [f"{f.name}={described(getattr(self, f.name))}" for f in fields]
        return f"{type(self).__name__}({', '.join(inside)})"


def described(value: Any) -> str:
    """An array as dtype and shape, a function by its name, anything else as it prints."""
    if hasattr(value, "dtype"):
        return f"{value.dtype}{list(value.shape)}"
    if isinstance(value, tuple):
        inside = ", ".join(described(v) for v in value)
        return f"({inside},)" if len(value) == 1 else f"({inside})"
    name = getattr(value, "__name__", None)
    return name if isinstance(name, str) else repr(value)


def parameter_count(model: Any) -> int:
    """How many numbers a model learns.

    Example:
        >>> from chainrule import nn
        >>> nn.parameter_count(nn.Linear.init(3, 2, rng=0))
        8
    """
    return sum(int(np.size(leaf)) for _, leaf in leaves(model))


def check_features(layer: Layer, x: Any, axis: int, expected: int) -> None:
    """Raise ``ArgumentsError`` unless ``x`` has ``expected`` features along ``axis``."""
    shape = shape_of(x)
    if len(shape) < max(axis + 1, -axis) or shape[axis] != expected:
        raise ArgumentsError(
            f"{layer!r} takes {expected} features along axis {axis}, but was given an array of "
            f"shape {shape}"
        )


def check_size(what: str, size: Any) -> int:
    """A size as an ``int``; ``ArgumentsError`` unless it is a whole number from 1 on."""
    if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1:
        raise ArgumentsError(f"{what} is a whole number from 1 on, not {size!r}")
    return int(size)
