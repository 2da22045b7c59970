"""Diagonals, windows, and elements that are chosen along one axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.run.llvm.expressions import ZERO, Affine, Expr, const, index_value, op
from chainrule.run.llvm.lowering import (
    Index,
    Lowering,
    Tensor,
    Unsupported,
    converted,
    of_buffer,
    reshaped,
    row_strides,
    rule,
    strides_of,
    view,
)
from chainrule.run.llvm.program import Value
from chainrule.run.llvm.rows.contractions import contraction
from chainrule.run.llvm.rows.moves import in_bounds, written, zeros

# ---------------------------------------------------------------------------- diagonals and windows


def added(index: Any, other: Any) -> Any:
    """The sum of two indices."""
    if isinstance(index, Affine) and isinstance(other, Affine):
        return index.plus(other)
    return op("add", np.int64, index_value(index), index_value(other))


@rule("diagonal")
def _diagonal(b: Lowering, value: Value, x: Tensor) -> Tensor:
    ndim, offset = len(x.shape), value.attrs["offset"]
    one, two = (a % ndim for a in value.attrs["axes"])
    rest = [k for k in range(ndim) if k not in (one, two)]
    down, right = max(-offset, 0), max(offset, 0)

    def move(index: Index) -> Index:
        at = dict(zip(rest, index, strict=False))
        at[one], at[two] = (added(index[-1], Affine(start)) for start in (down, right))
        return tuple([at[k] for k in range(ndim)])

    strides = strides_of(x)
    steps = [*(strides[k] for k in rest), strides[one] + strides[two]]
    start = down * strides[one] + right * strides[two] if value.shape[-1] else 0
    return view(x, value.shape, move, steps, start)


@rule("diag")
def _on_diagonal(b: Lowering, value: Value, x: Tensor) -> Tensor:
    offset = value.attrs["offset"]
    down, right = Affine(max(-offset, 0)), Affine(max(offset, 0))
    target = zeros(b, value)
    written(
        b, target, x.shape,
        lambda index: (*index[:-1], added(index[-1], down), added(index[-1], right)), x, None,
    )  # fmt: skip
    return of_buffer(target)


@rule("sliding_window_view")
def _windows(b: Lowering, value: Value, x: Tensor) -> Tensor:
    axes = value.attrs["axis"]
    axes = axes if isinstance(axes, tuple) else (axes,)
    axes = tuple(a % len(x.shape) for a in axes)
    ndim = len(x.shape)
    if len(set(axes)) < len(axes):
        raise Unsupported("windows twice along an axis")
    x = b.for_many(x, value.size / max(x.size, 1))

    def move(index: Index) -> Index:
        at = list(index[:ndim])
        for axis, inside in zip(axes, index[ndim:], strict=True):
            at[axis] = added(at[axis], inside)
        return tuple(at)

    strides = strides_of(x)
    return view(x, value.shape, move, [*strides, *(strides[a] for a in axes)])


@rule("overlap_add")
def _overlapped(b: Lowering, value: Value, x: Tensor) -> Tensor:
    axis = value.attrs["axis"]
    if isinstance(axis, tuple):
        raise Unsupported("windows along several axes")
    axis %= len(value.shape)
    target = zeros(b, value)
    written(
        b, target, x.shape,
        lambda index: (*index[:axis], added(index[axis], index[-1]), *index[axis + 1 : -1]),
        x, "add",
    )  # fmt: skip
    return of_buffer(target)


@rule("vecdot")
def _vecdot(b: Lowering, value: Value, x: Tensor, y: Tensor) -> Tensor:
    names = "abcdefghijklmnopqrstuvwxyz"[: len(value.shape)]
    left, right = (names[len(names) - len(t.shape) + 1 :] + "K" for t in (x, y))
    return contraction(b, value, x, left, y, right, names)


# ----------------------------------------------------------------------------------- along one axis


def _lying(index: Sequence[Any], shape: Sequence[int]) -> Index:
    """An index in an array some of whose axes have length one."""
    return tuple([ZERO if n == 1 else i for n, i in zip(shape, index, strict=True)])


@rule("take_along_axis")
def _take_along(b: Lowering, value: Value, x: Tensor, places: Tensor) -> Tensor:
    axis = value.attrs["axis"] % len(x.shape)
    if places.dtype.kind != "i" or (value.size and not x.size):
        raise Unsupported("an index that is none")
    find = in_bounds(places, value.args[1], x.shape[axis])
    x = b.for_many(x, value.size / max(x.size, 1))
    others = (*x.shape[:axis], 0, *x.shape[axis + 1 :])

    def at(index: Index) -> Expr:
        moved = list(_lying(index, others))
        moved[axis] = find(_lying(index, places.shape))
        return x.at(tuple(moved))

    return Tensor(
        value.shape, x.dtype, at, x.weight + places.weight + 2, 1 + max(x.depth, places.depth)
    )


@rule("add_along_axis")
def _add_along(b: Lowering, value: Value, x: Tensor, places: Tensor) -> Tensor:
    axis = value.attrs["axis"] % len(x.shape)
    if places.dtype.kind != "i" or (x.size and not value.size):
        raise Unsupported("an index that is none")
    find = in_bounds(places, value.args[1], value.attrs["length"])
    target = zeros(b, value)
    written(
        b, target, x.shape,
        lambda index: (*index[:axis], find(_lying(index, places.shape)), *index[axis + 1 :]),
        x, "add",
    )  # fmt: skip
    return of_buffer(target)


@rule("argmax", "argmin")
def _place_of_extreme(b: Lowering, value: Value, x: Tensor) -> Tensor:
    """The first place of what is the largest of all, or of the first NaN."""
    assert value.op is not None
    if not x.size or x.dtype.kind not in "fi":
        raise Unsupported(value.op.name)
    most = value.op.name == "argmax"
    axis = value.attrs.get("axis")
    ndim = len(x.shape)
    axes = tuple(range(ndim)) if axis is None else (axis % ndim,)
    if x.dtype.kind == "f":
        initial: Any = -np.inf if most else np.inf
    else:
        limits = np.iinfo(x.dtype)
        initial = limits.min if most else limits.max
    x = b.for_many(x, 2)
    best = b.reduce(x, axes, "maximum" if most else "minimum", initial)
    kept = [k for k in range(ndim) if k not in axes]
    strides = row_strides([x.shape[a] for a in axes])
    count = int(np.prod([x.shape[a] for a in axes], dtype=np.int64))

    def place(index: Index) -> Expr:
        here = x.at(index)
        found = op("equal", np.bool_, here, best.at(tuple([index[k] for k in kept])))
        if x.dtype.kind == "f":
            found = op("logical_or", np.bool_, found, op("isnan", np.bool_, here))
        number: Any = ZERO
        for a, stride in zip(axes, strides, strict=True):
            number = number.plus(index[a].scaled(stride))
        return op("where", np.int64, found, index_value(number), const(count, np.int64))

    numbers = Tensor(x.shape, np.int64, place, x.weight + 3, x.depth + 1)
    found = reshaped(b, b.reduce(numbers, axes, "minimum", count), value.shape)
    return converted(b, found, value.dtype)
