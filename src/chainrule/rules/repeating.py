"""Elements that appear more than once: tile, repeat, resize, meshgrid. The transpose is a sum."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from chainrule.errors import NotDifferentiableError
from chainrule.graph.operand import Attrs, Operand, bind
from chainrule.graph.primitive import Linear, Primitive
from chainrule.graph.tape import dtype_of, shape_of
from chainrule.rules.arranging import copied
from chainrule.rules.book import define, numpy_function
from chainrule.rules.joining import along, gathered, pick
from chainrule.rules.shapes import broadcast_to, ravel, reshape


def _copies_added(ct: Any, x: Any, reps: tuple[int, ...]) -> Any:
    """The copies lie side by side: an axis of copies before each axis, and they are added up."""
    pairs = tuple(zip(reps, shape_of(x), strict=True))
    apart = reshape(ct, tuple(n for pair in pairs for n in pair))
    return np.sum(apart, axis=tuple(range(0, 2 * len(pairs), 2)))


def _repeats_added(ct: Any, x: Any, repeats: int, axis: int) -> Any:
    axis %= np.ndim(x)
    before, (size, *rest) = shape_of(x)[:axis], shape_of(x)[axis:]
    return np.sum(reshape(ct, (*before, size, repeats, *rest)), axis=axis + 1)


def _tiles_of_batch(
    row: Primitive, size: int, args: Any, batched: Sequence[bool], attrs: Attrs
) -> Any:
    """The batch itself is there once."""
    return bind(row, args, {"reps": (1, *attrs["reps"])})


TILE = define(
    "tile", lambda x, reps: np.tile(x, reps), Linear(_copies_added),
    elementwise=False, structure="repetition", batch=_tiles_of_batch,
)
REPEAT = define(
    "repeat", lambda x, repeats, axis: np.repeat(x, repeats, axis), Linear(_repeats_added),
    elementwise=False, structure="repetition", axes=("axis",),
)  # fmt: skip


@numpy_function(np.tile)
def _tile(A: Any, reps: Any) -> Any:
    times = tuple(map(int, reps)) if np.ndim(reps) else (int(reps),)
    ndim = max(len(times), np.ndim(A))
    times = (1,) * (ndim - len(times)) + times
    if any(n < 0 for n in times):
        raise ValueError(f"np.tile cannot repeat {min(times)} times")
    x = reshape(A, (1,) * (ndim - np.ndim(A)) + shape_of(A)) if np.ndim(A) < ndim else A
    return bind(TILE, (x,), {"reps": times}) if ndim else copied(x)


@numpy_function(np.repeat, method="repeat")
def _repeat(a: Any, repeats: Any, axis: Any = None) -> Any:
    if isinstance(repeats, Operand):
        raise NotDifferentiableError("np.repeat takes whole numbers as its repeats.")
    a, axis = along(a, axis)
    counts = np.asarray(repeats)
    if counts.size != 1:
        return pick(a, np.repeat(np.arange(shape_of(a)[axis]), counts), axis)
    (times,) = np.repeat(np.arange(1), counts).shape  # NumPy says what a count may be
    return bind(REPEAT, (a,), {"repeats": times, "axis": axis})


@numpy_function(np.resize)
def _resize(a: Any, new_shape: Any) -> Any:
    shape = tuple(new_shape) if isinstance(new_shape, Iterable) else (new_shape,)
    if any(n < 0 for n in shape):
        raise ValueError("all elements of `new_shape` must be non-negative")
    wanted, given = math.prod(shape), int(np.size(a))
    if not given:
        return np.zeros(shape, dtype_of(a))
    rounds = max(1, -(-wanted // given))
    return copied(reshape(_tile(ravel(a), rounds)[:wanted], shape))


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
    grid = open_grid if sparse else [broadcast_to(x, shape) for x in open_grid]
    return tuple(map(copied, grid) if copy else grid)


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
