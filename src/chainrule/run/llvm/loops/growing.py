"""Records that grow: arrays with as many rows as a loop of unknown length makes turns.

How many turns a while_loop makes is known when it has made them. What it keeps of each turn for
the way back lies in memory that is allocated while it runs; where, is written into a buffer of
three whole numbers: the address, how many rows there are, and how many there is room for.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.run.llvm.expressions import Expr, const
from chainrule.run.llvm.loops.places import filled
from chainrule.run.llvm.loops.text import Piece, Text
from chainrule.run.llvm.lowering import Lowering, Tensor
from chainrule.run.llvm.nests import Buffer


class Growing(Tensor):
    """An array with as many rows as a loop of unknown length makes turns.

    Attributes:
        counter: The record that says how many rows there are.
        record: The one that says where it lies; ``None`` if all rows are the same.
        stride: Bytes from row to row.
        offset: Bytes from the first row to its part of it.
        row: The row that all are.
    """

    __slots__ = ("counter", "offset", "record", "row", "stride")

    def __init__(
        self, shape: tuple[int, ...], dtype: Any, counter: Buffer, record: Buffer | None = None,
        stride: int = 0, offset: int = 0, row: Tensor | None = None,
    ) -> None:  # fmt: skip
        super().__init__(shape, dtype, unfit)
        self.counter = counter
        self.record = record
        self.stride = stride
        self.offset = offset
        self.row = row

    def first_row(self, text: Text) -> str:
        """The address of its first row, while the loop runs."""
        assert self.record is not None
        return text.moved(text.put(f"load ptr, ptr {text.base(self.record)}"), self.offset)


def unfit(_: Any) -> Expr:
    """Refuse an array of unknown length where its elements are asked for by themselves."""
    from chainrule.run.llvm.executable import Unfit

    raise Unfit("an array as long as a while_loop, outside of loops")


def growing(b: Lowering) -> Buffer:
    """A record without rows; what it holds is freed at the end."""
    record = b.nests.buffer("g", (3,), np.dtype(np.int64))
    zero = Tensor((3,), np.int64, lambda _: const(0, np.int64))
    filled(b, record, None, zero)
    b.notes.setdefault("closing", []).append(_Free(b, record))
    return record


class _Free(Piece):
    """The end of a record."""

    def __init__(self, b: Lowering, record: Buffer) -> None:
        super().__init__(b, [])
        self.record = record

    def close(self, b: Lowering) -> None:
        """After everything else."""
        self.call(b, [], [self.record])

    def write(self, text: Text, _: str) -> None:
        text.module.declare("declare void @free(ptr)")
        place = text.put(f"load ptr, ptr {text.base(self.record)}")
        text.do(f"call void @free(ptr {place})")
