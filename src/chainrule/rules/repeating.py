"""Elements that appear more than once: tile, repeat, resize, meshgrid. The transpose is a sum."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from chainrule.errors import NotDifferentiableError
from chainrule.graph.operand import Operand
from chainrule.graph.tape import dtype_of, shape_of
from chainrule.rules.book import numpy_function
from chainrule.rules.joining import gathered, pick
from chainrule.rules.shapes import broadcast_to, ravel, reshape


@numpy_function(np.tile)
def _tile(A: Any, reps: Any) -> Any:
    times = tuple(map(int, reps)) if np.ndim(reps) else (int(reps),)
    ndim = max(len(times), np.ndim(A))
    times = (1,) * (ndim - len(times)) + times
    shape = (1,) * (ndim - np.ndim(A)) + shape_of(A)
    if all(n == 1 for n in times):
        return reshape(A, shape)
    # Copies lie side by side: an axis of copies before each axis, then both in one.
    pairs = tuple(zip(times, shape, strict=True))
    apart = reshape(A, tuple(n for _, size in pairs for n in (1, size)))
    copies = broadcast_to(apart, tuple(n for pair in pairs for n in pair))
    return reshape(copies, tuple(n * size for n, size in pairs))


@numpy_function(np.repeat, method="repeat")
def _repeat(a: Any, repeats: Any, axis: Any = None) -> Any:
    if isinstance(repeats, Operand):
        raise NotDifferentiableError("np.repeat takes whole numbers as its repeats.")
    if axis is None:
        a, axis = ravel(a), 0
    axis = normalize_axis_index(axis, np.ndim(a))
    shape = shape_of(a)
    counts = np.asarray(repeats)
    if counts.size != 1:
        return pick(a, np.repeat(np.arange(shape[axis]), counts), axis)
    (times,) = np.repeat(np.arange(1), counts).shape  # NumPy says what a count may be
    before, (size, *rest) = shape[:axis], shape[axis:]
    apart = reshape(a, (*before, size, 1, *rest))
    return reshape(
        broadcast_to(apart, (*before, size, times, *rest)), (*before, size * times, *rest)
    )


@numpy_function(np.resize)
def _resize(a: Any, new_shape: Any) -> Any:
    shape = tuple(new_shape) if isinstance(new_shape, Iterable) else (new_shape,)
    if any(n < 0 for n in shape):
        raise ValueError("all elements of `new_shape` must be non-negative")
    wanted, given = math.prod(shape), int(np.size(a))
    if not wanted or not given:
        return np.zeros(shape, dtype_of(a))
    rounds = -(-wanted // given)
    return reshape(_tile(ravel(a), rounds)[:wanted], shape)


@numpy_function(np.meshgrid)
def _meshgrid(
    *xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy"
) -> tuple[Any, ...]:
    if indexing not in ("xy", "ij"):
        raise ValueError("Valid values for `indexing` are 'xy' and 'ij'.")
    ndim = len(xi)
    places = list(range(ndim))
    if indexing == "xy" and ndim > 1:
        places[:2] = 1, 0
    vectors = [gathered(x) for x in xi]
    shape = tuple(int(np.size(vectors[place])) for place in places)
    open_grid = [
        reshape(x, (1,) * place + (-1,) + (1,) * (ndim - place - 1))
        for x, place in zip(vectors, places, strict=True)
    ]
    if sparse:
        return tuple(open_grid)
    return tuple(broadcast_to(x, shape) for x in open_grid)


@numpy_function(np.ix_)
def _ix(*args: Any) -> tuple[Any, ...]:
    vectors = [gathered(x) for x in args]
    if any(np.ndim(x) != 1 for x in vectors):
        raise ValueError("Cross index must be 1 dimensional")
    plain = (x if isinstance(x, Operand) else np.ix_(x)[0] for x in vectors)
    ndim = len(vectors)
    return tuple(
        reshape(x, (1,) * k + shape_of(x) + (1,) * (ndim - k - 1)) for k, x in enumerate(plain)
    )
