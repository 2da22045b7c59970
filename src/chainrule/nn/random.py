"""Random numbers as a pure function of a key: the same key, the same numbers.

A key is two 64-bit words. They choose one of 2¹²⁸ streams of Philox4x64 (Salmon, Moraes, Dror,
Shaw: "Parallel random numbers: as easy as 1, 2, 3", 2011), which computes its n-th number from the
key and n alone. Inside ``jit`` a key has to be an argument, as any value that changes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.graph.operand import bind
from chainrule.graph.primitive import Flat, Notation, Primitive

# The number 1 as bits of the counter's last word: the streams that new keys are taken from.
_KEYS = 1 << 192


def _numbers(key: Any, place: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """Numbers in [0, 1), or for an integer dtype whole words, counted from ``place``."""
    stream = np.random.Philox(key=np.asarray(key, np.uint64), counter=int(place) * _KEYS)
    words = stream.random_raw(int(np.prod(shape, dtype=int))).reshape(shape)
    if dtype.kind != "f":
        return words
    digits = np.finfo(dtype).nmant + 1
    return ((words >> np.uint64(64 - digits)) * 2.0**-digits).astype(dtype)


RANDOM = Primitive(
    "random_numbers", _numbers, (Flat("random numbers"), Flat("random numbers")),
    Notation("random", r"\mathrm{random}"), elementwise=False, structure="none",
)  # fmt: skip


def key(seed: int) -> Any:
    """The key of a seed.

    Args:
        seed: A whole number from 0 on.

    Returns:
        Two 64-bit words.

    Example:
        >>> from chainrule import nn
        >>> nn.random.key(0).shape
        (2,)
    """
    return np.random.SeedSequence(seed).generate_state(2, np.uint64)


def fold_in(key: Any, number: Any) -> Any:
    """Another key for each number: one for each layer, for each step, ...

    Args:
        key: A key.
        number: A whole number from 0 on.

    Returns:
        A key whose numbers have nothing to do with those of ``key``.

    Example:
        >>> from chainrule import nn
        >>> key = nn.random.key(0)
        >>> bool((nn.random.fold_in(key, 1) != nn.random.fold_in(key, 2)).any())
        True
    """
    return bind(RANDOM, (key, number + 1), {"shape": (2,), "dtype": np.dtype(np.uint64)})


def uniform(key: Any, shape: tuple[int, ...], dtype: Any = np.float32) -> Any:
    """Numbers from [0, 1), evenly distributed.

    Args:
        key: Decides which numbers.
        shape: Shape of the result.
        dtype: Its dtype; every multiple of 2⁻²⁴ is as likely in float32, of 2⁻⁵³ in float64.

    Returns:
        An array.

    Example:
        >>> from chainrule import nn
        >>> nn.random.uniform(nn.random.key(7), (2,)).round(3)
        array([...], dtype=float32)
    """
    return bind(RANDOM, (key, 0), {"shape": tuple(shape), "dtype": np.dtype(dtype)})
