"""Attention: each query looks at all keys, and takes a weighted mean of their values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.errors import ArgumentsError
from chainrule.graph.tape import shape_of
from chainrule.nn.activations import softmax
from chainrule.nn.initializers import glorot_uniform
from chainrule.nn.layer import Layer, Seed, check_features, check_size
from chainrule.nn.linear import Linear
from chainrule.tree import static_field


def attention(query: Any, key: Any, value: Any, blocked: Any = None) -> Any:
    """softmax(Q Kᵀ/√d) V. Vaswani et al.: "Attention is all you need", 2017, equation 1.

    Args:
        query: Shape ``(..., queries, d)``.
        key: Shape ``(..., keys, d)``.
        value: Shape ``(..., keys, features)``.
        blocked: Booleans that broadcast to ``(..., queries, keys)``: where they are true, a query
            does not see a key. (This is ``attn_mask`` of ``torch.nn.MultiheadAttention``; that of
            ``scaled_dot_product_attention`` is its contrary.) A query that sees nothing gives NaN.

    Returns:
        Shape ``(..., queries, features)``.

    Example:
        >>> import numpy as np
        >>> from chainrule import nn
        >>> nn.attention(np.zeros((1, 2)), np.ones((2, 2)), np.array([[1.0], [3.0]]))
        array([[2.]])
    """
    scores = query @ np.swapaxes(key, -1, -2) / math.sqrt(shape_of(query)[-1])
    if blocked is not None:
        scores = np.where(blocked, -np.inf, scores)
    return softmax(scores) @ value


def later(length: int) -> Any:
    """What a query must not see if it only knows what came before it: booleans ``(n, n)``.

    Example:
        >>> from chainrule import nn
        >>> nn.later(2)
        array([[False,  True],
               [False, False]])
    """
    return np.triu(np.ones((length, length), bool), 1)


@dataclass(frozen=True, eq=False, repr=False)
class MultiHeadAttention(Layer):
    """Attention in several subspaces at once, as ``torch.nn.MultiheadAttention`` (``batch_first``).

    Attributes:
        in_proj_weight: Shape ``(3·features, features)``: for queries, keys and values, one below
            the other.
        in_proj_bias: Shape ``(3·features,)``.
        out_proj: The ``Linear`` that the heads' results go through.
        heads: How many subspaces; a divisor of the number of features.

    Example:
        >>> import numpy as np
        >>> from chainrule import nn
        >>> layer = nn.MultiHeadAttention.init(8, 2, rng=0)
        >>> layer(np.ones((4, 5, 8), np.float32), blocked=nn.later(5)).shape
        (4, 5, 8)
    """

    in_proj_weight: Any
    in_proj_bias: Any
    out_proj: Linear
    heads: int = static_field(default=1)

    @classmethod
    def init(
        cls, features: int, heads: int, *, rng: Seed, dtype: Any = np.float32
    ) -> MultiHeadAttention:
        """A layer with random weights (Glorot's for the three projections) and biases 0.

        Raises:
            ArgumentsError: The features cannot be divided among the heads.
        """
        if check_size("features", features) % check_size("heads", heads):
            raise ArgumentsError(f"{features} features cannot be divided among {heads} heads")
        rng = np.random.default_rng(rng)
        out = Linear.init(features, features, rng=rng, dtype=dtype)
        return cls(
            glorot_uniform((3 * features, features), rng, dtype), np.zeros(3 * features, dtype),
            Linear(out.weight, np.zeros_like(out.bias)), heads,
        )  # fmt: skip

    def __call__(self, query: Any, key: Any = None, value: Any = None, blocked: Any = None) -> Any:
        """Of queries ``(..., n, features)`` an array of the same shape.

        Args:
            query: Shape ``(..., n, features)``.
            key: Shape ``(..., m, features)``; the queries if left out (self-attention).
            value: Shape ``(..., m, features)``; the keys if left out.
            blocked: Booleans that broadcast to ``(..., heads, n, m)``: true where a query does not
                see a key.
        """
        key = query if key is None else key
        value = key if value is None else value
        features = shape_of(self.in_proj_weight)[1]
        for x in (query, key, value):
            check_features(self, x, -1, features)
        q, k, v = (self._projected(i, x) for i, x in enumerate((query, key, value)))
        heads = np.swapaxes(attention(q, k, v, blocked), -2, -3)
        return self.out_proj(np.reshape(heads, shape_of(query)))

    def _projected(self, which: int, x: Any) -> Any:
        """``(..., n, features)`` times the first, second or third matrix, divided among the heads.

        The result has shape ``(..., heads, n, features of a head)``.
        """
        *before, n, features = shape_of(x)
        part = slice(which * features, (which + 1) * features)
        x = x @ self.in_proj_weight[part].T + self.in_proj_bias[part]
        return np.swapaxes(np.reshape(x, (*before, n, self.heads, features // self.heads)), -2, -3)
