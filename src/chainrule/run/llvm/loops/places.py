"""Where arrays lie that a loop reads and writes: in buffers, and in rows of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.run.llvm.expressions import ZERO, Expr, const, op
from chainrule.run.llvm.lowering import Lowering, Tensor, loops_over, of_buffer, row_strides, view
from chainrule.run.llvm.nests import Buffer, Statement


def located(b: Lowering, tensor: Tensor, skip: int = 0) -> tuple[Buffer, int, int]:
    """Where an array lies, its elements in rows: buffer, offset in bytes, bytes from row to row.

    With ``skip = 1`` the first axis is the one that is walked along.
    """
    if tensor.layout is not None:
        source, offset, strides = tensor.layout
        shape = tensor.shape[skip:]
        dense = row_strides(shape)
        if all(n == 1 or s == d for n, s, d in zip(shape, strides[skip:], dense, strict=True)):
            step = strides[0] if skip else 0
            return source, offset * source.itemsize, step * source.itemsize
    stored = b.stored(tensor).buffer
    assert stored is not None
    return stored, 0, math.prod(tensor.shape[1:]) * stored.itemsize if skip else 0


def filled(b: Lowering, target: Buffer, row: int | None, tensor: Tensor) -> None:
    """Write an array into a buffer, or into one row of it."""
    variables, index = loops_over(tensor.shape)
    place = index if row is None else (ZERO.shifted(row), *index)
    b.add(Statement(target, variables, place, tensor.at(index), place=b.place))


def row_of(x: Buffer, row: int) -> Tensor:
    """One row of a buffer."""
    size = math.prod(x.shape[1:])
    return view(
        of_buffer(x), x.shape[1:], lambda index: (ZERO.shifted(row), *index),
        row_strides(x.shape)[1:], row * size,
    )  # fmt: skip


def rows_of(x: Buffer, start: int, count: int) -> Tensor:
    """Rows of a buffer."""
    strides = row_strides(x.shape)
    return view(
        of_buffer(x), (count, *x.shape[1:]),
        lambda index: (_shifted(index[0], start), *index[1:]), strides, start * strides[0],
    )  # fmt: skip


def _shifted(index: Any, by: int) -> Any:
    if isinstance(index, Expr):
        return op("add", np.int64, index, const(by, np.int64)) if by else index
    return index.shifted(by)


def repeated_rows(x: Tensor, count: int) -> Tensor:
    """The same array in every row."""
    layout = None
    if x.layout is not None:
        source, offset, strides = x.layout
        layout = source, offset, (0, *strides)
    return Tensor(
        (count, *x.shape), x.dtype, lambda index: x.at(index[1:]), x.weight, x.depth, layout
    )
