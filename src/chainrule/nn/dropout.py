"""Dropout: numbers that are left out at random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from chainrule.errors import ArgumentsError
from chainrule.graph.tape import dtype_of, shape_of
from chainrule.nn import random
from chainrule.nn.layer import Layer
from chainrule.tree import static_field


@dataclass(frozen=True, eq=False, repr=False)
class Dropout(Layer):
    """Each number becomes 0 with probability ``p``; the others are divided by 1 − p.

    As ``torch.nn.Dropout`` (Srivastava et al., 2014), but which ones is a function of a key.
    Without a key nothing happens: that is how a network is used when it is not being trained.

    Attributes:
        p: The probability, from 0 to below 1.

    Example:
        >>> import numpy as np
        >>> from chainrule import nn
        >>> drop = nn.Dropout(0.5)
        >>> drop(np.ones(3)), sorted(set(drop(np.ones(100), key=nn.random.key(0)).tolist()))
        (array([1., 1., 1.]), [0.0, 2.0])
    """

    takes_key: ClassVar[bool] = True

    p: float = static_field(default=0.5)

    def __post_init__(self) -> None:
        if not 0 <= self.p < 1:
            raise ArgumentsError(f"p is a probability from 0 to below 1, not {self.p!r}")

    def __call__(self, x: Any, key: Any = None) -> Any:
        """Of an array of any shape one of the same shape and dtype."""
        if key is None or not self.p:
            return x
        kept = random.uniform(key, shape_of(x), dtype_of(x)) >= self.p
        return np.where(kept, x / (1 - self.p), 0)
