"""Arrays joined to one: concatenate, stack, and everything that NumPy builds from them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from chainrule.errors import NotDifferentiableError, TraceError
from chainrule.graph.fronts import holds_operand
from chainrule.graph.operand import Attrs, Operand, bind
from chainrule.graph.primitive import Linear, Primitive
from chainrule.graph.tape import dtype_of, shape_of
from chainrule.rules.arranging import copied
from chainrule.rules.book import define, numpy_function
from chainrule.rules.shapes import INDEX, astype, broadcast_to, ravel, reshape, transpose


def _piece(
    ct: Any, *pieces: Any, axis: int, starts: tuple[int, ...] | None = None, position: int
) -> Any:
    """The part of a concatenation that one of its pieces became."""
    axis %= np.ndim(ct)
    start = (_starts(pieces, axis) if starts is None else starts)[position]
    part = slice(start, start + shape_of(pieces[position])[axis])
    return bind(INDEX, (ct,), {"index": (slice(None),) * axis + (part,)})


def _starts(pieces: Sequence[Any], axis: int) -> tuple[int, ...]:
    """Where each piece of a concatenation begins."""
    return tuple(accumulate((shape_of(piece)[axis] for piece in pieces[:-1]), initial=0))


def _layer(ct: Any, *pieces: Any, axis: int, position: int) -> Any:
    """The part of a stack that one of its pieces became."""
    return bind(INDEX, (ct,), {"index": (slice(None),) * (axis % np.ndim(ct)) + (position,)})


def _stack_of_batches(
    row: Primitive, size: int, args: Sequence[Any], batched: Sequence[bool], attrs: Attrs
) -> Any:
    """The axis is one of the result, which has one axis more than the arguments."""
    pieces = (
        arg if is_batched else np.broadcast_to(arg, (size, *shape_of(arg)))
        for arg, is_batched in zip(args, batched, strict=True)
    )
    axis = attrs["axis"]
    return bind(row, tuple(pieces), {"axis": axis + 1 if axis >= 0 else axis})


CONCATENATE = define(
    "concatenate", lambda *pieces, axis, starts=None: np.concatenate(pieces, axis),
    Linear(_piece, positional=True),
    elementwise=False, structure="blocks", axes=("axis",),
)
STACK = define(
    "stack", lambda *pieces, axis: np.stack(pieces, axis),
    Linear(_layer, positional=True),
    elementwise=False, structure="blocks", batch=_stack_of_batches,
)  # fmt: skip


def gathered(value: Any) -> Any:
    """``value`` as an array or operand: a list may hold traced values among its numbers."""
    if isinstance(value, Operand | np.ndarray):
        return value
    if isinstance(value, list | tuple) and holds_operand(value):
        return _stacked([gathered(item) for item in value], 0)
    return np.asarray(value)


def concatenate(pieces: Sequence[Any], axis: int = 0) -> Any:
    """``np.concatenate`` of arrays and operands, along one axis."""
    if np.ndim(pieces[0]) == 0:
        raise ValueError("zero-dimensional arrays cannot be concatenated")
    axis = normalize_axis_index(axis, np.ndim(pieces[0]))
    if any(np.ndim(piece) != np.ndim(pieces[0]) for piece in pieces):
        raise ValueError("all the input arrays must have the same number of dimensions")
    # Counted once, and not again for the gradient of each of many pieces.
    starts = _starts(pieces, axis)
    return bind(CONCATENATE, tuple(pieces), {"axis": axis, "starts": starts})


def _stacked(pieces: Sequence[Any], axis: int) -> Any:
    if len({shape_of(piece) for piece in pieces}) > 1:
        raise ValueError("all input arrays must have the same shape")
    axis = normalize_axis_index(axis, np.ndim(pieces[0]) + 1)
    return bind(STACK, tuple(pieces), {"axis": axis})


def _pieces(arrays: Any, dtype: Any, casting: str, function: str, out: Any = None) -> list[Any]:
    """The arrays to be joined, in the dtype that was asked for."""
    if out is not None:
        raise TraceError(
            f"np.{function}(..., out=...) of a traced value has no array to write into.\n"
            "Assign the result to a name instead."
        )
    pieces = [gathered(array) for array in arrays]
    if dtype is None:
        common = np.result_type(*map(dtype_of, pieces)) if casting != "same_kind" else None
    else:
        common = np.dtype(dtype)
    if common is None:
        return pieces
    for piece in pieces:
        if not np.can_cast(dtype_of(piece), common, casting):  # type: ignore[arg-type]
            raise TypeError(
                f"np.{function} cannot cast from {dtype_of(piece)} to {common} "
                f"with casting={casting!r}"
            )
    return pieces if dtype is None else [astype(piece, common) for piece in pieces]


@numpy_function(np.concatenate)
def _concatenate(
    arrays: Any, /, axis: Any = 0, out: Any = None, *, dtype: Any = None,
    casting: str = "same_kind",
) -> Any:  # fmt: skip
    pieces = _pieces(arrays, dtype, casting, "concatenate", out)
    if axis is None:
        return concatenate([along(piece, None)[0] for piece in pieces])
    return concatenate(pieces, axis)


@numpy_function(np.stack)
def _stack(
    arrays: Any, axis: int = 0, out: Any = None, *, dtype: Any = None, casting: str = "same_kind"
) -> Any:
    return _stacked(_pieces(arrays, dtype, casting, "stack", out), axis)


@numpy_function(np.vstack)
def _vstack(tup: Any, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    return concatenate([at_least_2d(p) for p in _pieces(tup, dtype, casting, "vstack")])


@numpy_function(np.hstack)
def _hstack(tup: Any, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    pieces = [at_least_1d(p) for p in _pieces(tup, dtype, casting, "hstack")]
    return concatenate(pieces, 0 if np.ndim(pieces[0]) == 1 else 1)


@numpy_function(np.dstack)
def _dstack(tup: Any) -> Any:
    return concatenate([at_least_3d(gathered(piece)) for piece in tup], 2)


@numpy_function(np.column_stack)
def _column_stack(tup: Any) -> Any:
    pieces = [gathered(piece) for piece in tup]
    return concatenate([transpose(at_least_2d(p)) if np.ndim(p) < 2 else p for p in pieces], 1)


@numpy_function(np.append)
def _append(arr: Any, values: Any, axis: Any = None) -> Any:
    return _concatenate((arr, values), axis)


@numpy_function(np.block)
def _block(arrays: Any) -> Any:
    depth = _depth(arrays)
    ndim = max(depth, _most_dimensions(arrays))
    return _blocks(arrays, depth, ndim) if depth else copied(gathered(arrays))


def _depth(arrays: Any) -> int:
    """How deep the lists are nested, which is the same everywhere."""
    if isinstance(arrays, tuple):
        raise TypeError("np.block takes lists of arrays; a tuple is no array and no list of them")
    if not isinstance(arrays, list):
        return 0
    if not arrays:
        raise ValueError("np.block of an empty list")
    depths = {_depth(block) for block in arrays}
    if len(depths) > 1:
        raise ValueError(f"np.block takes lists nested equally deep, not {sorted(depths)} deep")
    return 1 + depths.pop()


def _most_dimensions(arrays: Any) -> int:
    if isinstance(arrays, list):
        return max(map(_most_dimensions, arrays))
    return int(np.ndim(arrays))


def _blocks(arrays: Any, depth: int, ndim: int) -> Any:
    """Blocks joined along the axis that belongs to the depth: the innermost along the last."""
    if depth == 0:
        block = gathered(arrays)
        missing = ndim - np.ndim(block)
        return reshape(block, (1,) * missing + shape_of(block)) if missing else block
    return concatenate([_blocks(block, depth - 1, ndim) for block in arrays], -depth)


def at_least_1d(x: Any) -> Any:
    """``x`` with at least one axis."""
    return x if np.ndim(x) else reshape(x, (1,))


def at_least_2d(x: Any) -> Any:
    """``x`` with at least two axes, new ones in front."""
    missing = 2 - np.ndim(x)
    return x if missing <= 0 else reshape(x, (1,) * missing + shape_of(x))


def at_least_3d(x: Any) -> Any:
    """``x`` with at least three axes: a vector lies along the second, a matrix in the first two."""
    if np.ndim(x) >= 3:
        return x
    return reshape(x, {0: (1, 1, 1), 1: (1, *shape_of(x), 1)}.get(np.ndim(x), (*shape_of(x), 1)))


def _connect_at_least(function: Any, one: Any) -> None:
    @numpy_function(function)
    def adapter(*arys: Any) -> Any:
        found = tuple(one(gathered(array)) for array in arys)
        return found[0] if len(found) == 1 else found


_connect_at_least(np.atleast_1d, at_least_1d)
_connect_at_least(np.atleast_2d, at_least_2d)
_connect_at_least(np.atleast_3d, at_least_3d)


# As long as they stay few, pieces of even steps are joined; otherwise an index array picks.
_MOST_STRETCHES = 8


def stretches(places: Any, most: int = _MOST_STRETCHES) -> list[tuple[int, int, int, int]] | None:
    """An index array cut where its steps change.

    Returns:
        ``(begin, end, first, step)`` for each stretch: ``places[begin:end]`` counts up from
        ``first`` by ``step``, which may be negative or 0. ``None`` if there are more than ``most``.
    """
    count = len(places)
    steps = np.diff(places)
    changes = np.append(np.flatnonzero(np.diff(steps)) + 1, len(steps))
    found: list[tuple[int, int, int, int]] = []
    begin = 0
    while begin < count:
        if len(found) == most:
            return None
        if begin == count - 1:
            end, step = count, 1
        else:
            end = int(changes[np.searchsorted(changes, begin, side="right")]) + 1
            step = int(steps[begin])
        found.append((begin, end, int(places[begin]), step))
        begin = end
    return found


def stretch(length: int, first: int, step: int) -> slice:
    """The slice of ``length`` places from ``first`` by ``step``."""
    stop = first + length * step
    return slice(first, None if stop < 0 else stop, step)


def pick(x: Any, places: Any, axis: int) -> Any:
    """``np.take(x, places, axis)`` for places known beforehand: slices where places run evenly."""
    before = (slice(None),) * axis
    found = stretches(places)
    if found is None:
        return x[(*before, places)]
    parts = []
    for begin, end, first, step in found:
        if step:
            parts.append(x[(*before, stretch(end - begin, first, step))])
        else:
            repeated = (*shape_of(x)[:axis], end - begin, *shape_of(x)[axis + 1 :])
            parts.append(broadcast_to(x[(*before, slice(first, first + 1))], repeated))
    if not parts:
        return x[(*before, slice(0, 0))]
    return concatenate(parts, axis) if len(parts) > 1 else copied(parts[0])


def along(a: Any, axis: Any) -> tuple[Any, int]:
    """The array flattened for ``axis=None``, and the axis."""
    if axis is None:
        return (a if np.ndim(a) == 1 else ravel(a)), 0
    return a, normalize_axis_index(axis, np.ndim(a))


@numpy_function(np.delete)
def _delete(arr: Any, obj: Any, axis: Any = None) -> Any:
    _plain(obj, "np.delete")
    arr, axis = along(gathered(arr), axis)
    return pick(arr, np.delete(np.arange(shape_of(arr)[axis]), obj), axis)


@numpy_function(np.insert)
def _insert(arr: Any, obj: Any, values: Any, axis: Any = None) -> Any:
    _plain(obj, "np.insert")
    arr, axis = along(gathered(arr), axis)
    values = cast_into(gathered(values), arr, "np.insert")
    n, ndim = shape_of(arr)[axis], np.ndim(arr)
    index = np.arange(*obj.indices(n)) if isinstance(obj, slice) else np.asarray(obj)
    if not index.size and not isinstance(obj, np.ndarray):
        index = index.astype(np.intp)  # an empty list is an array of floats to NumPy
    if index.dtype == np.bool_:
        index = np.flatnonzero(index)
    if index.size == 1:
        # One place takes as many values as there are; several places take one each.
        values = reshape(values, (1,) * (ndim - np.ndim(values)) + shape_of(values))
        if index.ndim == 0:
            values = np.moveaxis(values, 0, axis)
        count = shape_of(values)[axis]
        places = np.insert(np.arange(n), index.ravel(), n + np.arange(count))
    else:
        count = len(index)
        places = np.insert(np.arange(n), index, n + np.arange(count))
    rest = (*shape_of(arr)[:axis], count, *shape_of(arr)[axis + 1 :])
    return pick(concatenate([arr, broadcast_to(values, rest)], axis), places, axis)


def cast_into(values: Any, array: Any, function: str) -> Any:
    """``values`` in the dtype of the array they are written into."""
    dtype = dtype_of(array)
    if isinstance(values, Operand) and dtype.kind != "f" and dtype_of(values).kind == "f":
        raise NotDifferentiableError(
            f"{function} writes traced values into an array of dtype {dtype}, which would cut them "
            "to whole numbers.\nPass array.astype(float)."
        )
    return astype(values, dtype)


def _plain(obj: Any, function: str) -> None:
    """Refuse traced values where NumPy takes places."""
    if holds_operand(obj):
        raise NotDifferentiableError(f"{function} takes whole numbers or a mask as its places.")
