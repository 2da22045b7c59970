"""Cells that carry a state along a sequence; the loop is ``cr.scan``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.graph.tape import dtype_of, shape_of
from chainrule.nn.activations import sigmoid
from chainrule.nn.layer import Layer, Seed, check_features, check_size
from chainrule.transforms import scan


@dataclass(frozen=True, eq=False, repr=False)
class _Cell(Layer):
    weight_ih: Any
    weight_hh: Any
    bias_ih: Any
    bias_hh: Any

    @classmethod
    def _random(cls, gates: int, inputs: int, hidden: int, rng: Seed, dtype: Any) -> Any:
        """All four uniform between ±1/√hidden, as in PyTorch."""
        check_size("inputs", inputs), check_size("hidden", hidden)
        rng, bound = np.random.default_rng(rng), 1 / math.sqrt(hidden)
        shapes = [(gates * hidden, inputs), (gates * hidden, hidden)] + 2 * [(gates * hidden,)]
        return cls(*(rng.uniform(-bound, bound, shape).astype(dtype) for shape in shapes))

    def _sums(self, x: Any, h: Any) -> Any:
        check_features(self, x, -1, shape_of(self.weight_ih)[1])
        return x @ self.weight_ih.T + self.bias_ih + h @ self.weight_hh.T + self.bias_hh

    def _zeros(self, batch: tuple[int, ...]) -> Any:
        return np.zeros((*batch, shape_of(self.weight_hh)[1]), dtype_of(self.weight_hh))


@dataclass(frozen=True, eq=False, repr=False)
class RNNCell(_Cell):
    """h′ = tanh(W_ih x + b_ih + W_hh h + b_hh), as ``torch.nn.RNNCell``.

    Attributes:
        weight_ih: Shape ``(hidden, inputs)``.
        weight_hh: Shape ``(hidden, hidden)``.
        bias_ih: Shape ``(hidden,)``.
        bias_hh: Shape ``(hidden,)``.

    Example:
        >>> import numpy as np
        >>> from chainrule import nn
        >>> cell = nn.RNNCell.init(3, 4, rng=0)
        >>> ys, last = nn.unroll(cell, np.ones((5, 2, 3), np.float32))
        >>> ys.shape, last.shape
        ((5, 2, 4), (2, 4))
    """

    @classmethod
    def init(cls, inputs: int, hidden: int, *, rng: Seed, dtype: Any = np.float32) -> RNNCell:
        """A cell with random weights, uniform between ±1/√hidden."""
        return cls._random(1, inputs, hidden, rng, dtype)  # type: ignore[no-any-return]

    def initial_state(self, batch: tuple[int, ...] = ()) -> Any:
        """Zeros ``(*batch, hidden)``."""
        return self._zeros(batch)

    def __call__(self, state: Any, x: Any) -> tuple[Any, Any]:
        """One step: of the state h and ``x`` of shape ``(..., inputs)`` the new state and h′."""
        h = np.tanh(self._sums(x, state))
        return h, h


@dataclass(frozen=True, eq=False, repr=False)
class LSTMCell(_Cell):
    """Long short-term memory, as ``torch.nn.LSTMCell``. Hochreiter and Schmidhuber, 1997.

    The sums W_ih x + b_ih + W_hh h + b_hh are four gates one after the other, i, f, g, o, and
    c′ = σ(f)·c + σ(i)·tanh(g), h′ = σ(o)·tanh(c′).

    Attributes:
        weight_ih: Shape ``(4·hidden, inputs)``.
        weight_hh: Shape ``(4·hidden, hidden)``.
        bias_ih: Shape ``(4·hidden,)``.
        bias_hh: Shape ``(4·hidden,)``.

    Example:
        >>> import numpy as np
        >>> from chainrule import nn
        >>> cell = nn.LSTMCell.init(3, 4, rng=0)
        >>> ys, (h, c) = nn.unroll(cell, np.ones((5, 2, 3), np.float32))
        >>> ys.shape, c.shape
        ((5, 2, 4), (2, 4))
    """

    @classmethod
    def init(cls, inputs: int, hidden: int, *, rng: Seed, dtype: Any = np.float32) -> LSTMCell:
        """A cell with random weights, uniform between ±1/√hidden."""
        return cls._random(4, inputs, hidden, rng, dtype)  # type: ignore[no-any-return]

    def initial_state(self, batch: tuple[int, ...] = ()) -> Any:
        """Zeros for h and c, each ``(*batch, hidden)``."""
        return self._zeros(batch), self._zeros(batch)

    def __call__(self, state: tuple[Any, Any], x: Any) -> tuple[tuple[Any, Any], Any]:
        """One step: of the state (h, c) and ``x`` of shape ``(..., inputs)`` the new one and h′."""
        h, c = state
        sums, n = self._sums(x, h), shape_of(self.weight_hh)[1]
        i, f, g, o = (sums[..., k * n : (k + 1) * n] for k in range(4))
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        return (h, c), h


def unroll(cell: Any, xs: Any, state: Any = None) -> tuple[Any, Any]:
    """A cell along a sequence.

    Args:
        cell: An ``RNNCell``, an ``LSTMCell``, or any function ``(state, x) -> (state, y)`` with an
            ``initial_state(batch)``.
        xs: Shape ``(time, ..., inputs)``: time comes first, as in PyTorch.
        state: The first state; zeros if left out.

    Returns:
        What each step gave, ``(time, ..., hidden)``, and the last state.

    Example:
        >>> import numpy as np
        >>> from chainrule import nn
        >>> cell = nn.RNNCell.init(1, 2, rng=0)
        >>> nn.unroll(cell, np.zeros((7, 1), np.float32))[0].shape
        (7, 2)
    """
    if state is None:
        state = cell.initial_state(shape_of(xs)[1:-1])
    last, ys = scan(cell, state, xs)
    return ys, last
