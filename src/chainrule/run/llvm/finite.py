"""Whether results are finite, as a run itself finds out.

The loops that write a large result look at every number while they have it (``emit.py``). What is
written otherwise, by the BLAS for instance, and what is small is read once more at the end of a
run, by a function that is made here. It goes through a table, so it is the same for all programs.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.run.llvm import pool
from chainrule.run.llvm.instructions import Module
from chainrule.run.llvm.target import host

# The words that a run has beside its frame: whether an index was out of bounds; whether a result is
# not finite, which is found out if the third one is not zero; the address of the table of what is
# to be read, and the number of its rows.
FAILED, NOT_FINITE, WATCHED, TABLE, ROWS, STATUS_WORDS = range(6)
_WORD = 8
# The bits of the fraction, by those of the number.
_FRACTIONS = {16: 10, 32: 23, 64: 52}
# Bytes of a row of the table. More altogether than four of these are worth several threads.
_PART = 1 << 15
# Bytes in flight at once.
_AT_ONCE = 128


class Reading:
    """What a run needs to find out whether its results are finite.

    Attributes:
        status: The words beside its frame.
        steps: What is called when the rest is done: addresses of functions ``void (ptr frame)``.
    """

    def __init__(self, table: Any) -> None:
        self._table = table  # the status has its address only
        self.status = [0, 0, 1, int(table.ctypes.data), len(table)]
        self.steps: list[int] = []
        if len(table):
            several = int(table[:, 2] @ table[:, 3]) > 8 * 4 * _PART and host().threads > 1
            self.steps.append(int(_library(several).address("cr.read")))


def reading(arrays: Sequence[tuple[int, int, np.dtype[Any]]]) -> Reading | None:
    """For a run that looks at all its results but these: of each its slot, its size and its dtype.

    ``None`` if there is one that cannot be read. A row of the table is where in the frame an
    address stands, how many bytes to go on from there, how many numbers to read, and the bits of
    each.
    """
    if not all(8 * dtype.itemsize in _FRACTIONS for *_, dtype in arrays):
        return None
    rows = [
        (slot * _WORD, first * dtype.itemsize, min(_PART // dtype.itemsize, size - first),
         8 * dtype.itemsize)
        for slot, size, dtype in arrays
        for first in range(0, size, _PART // dtype.itemsize)
    ]  # fmt: skip
    return Reading(np.array(rows, np.int64).reshape(-1, 4))


@functools.cache
def _library(several: bool) -> Any:
    from chainrule.run.llvm.engine import Library

    module = Module(host())
    module.functions += [_of_bits(bits, fraction) for bits, fraction in _FRACTIONS.items()]
    module.functions += [_ROW, _TOGETHER if several else _ALONE]
    if several:
        module.declare(pool.DECLARATION)
    return Library(module)


def _of_bits(bits: int, fraction: int) -> str:
    """Whether one of some floats is not finite.

    All bits of its exponent are set then: with one more, the last carry goes into the sign.
    """
    lanes = 8 * _AT_ONCE // bits
    t, wide = f"i{bits}", f"<{lanes} x i{bits}>"
    one = 1 << fraction
    exponent = (1 << bits - 1) - one
    ones, exponents = (f"<{', '.join([f'{t} {n}'] * lanes)}>" for n in (one, exponent))
    return f"""
declare {t} @llvm.vector.reduce.or.v{lanes}{t}({wide})
define internal i1 @not.finite.{bits}(ptr %data, i64 %count) #0 {{
entry:
  %whole = and i64 %count, {-lanes}
  %some = icmp ne i64 %whole, 0
  br i1 %some, label %vectors, label %rest
vectors:
  %k = phi i64 [ 0, %entry ], [ %k.next, %vectors ]
  %seen = phi {wide} [ zeroinitializer, %entry ], [ %seen.next, %vectors ]
  %at = getelementptr {t}, ptr %data, i64 %k
  %x = load {wide}, ptr %at, align {bits // 8}
  %e = and {wide} %x, {exponents}
  %carried = add {wide} %e, {ones}
  %seen.next = or {wide} %seen, %carried
  %k.next = add nuw nsw i64 %k, {lanes}
  %more = icmp ult i64 %k.next, %whole
  br i1 %more, label %vectors, label %folded
folded:
  %all = call {t} @llvm.vector.reduce.or.v{lanes}{t}({wide} %seen.next)
  br label %rest
rest:
  %before = phi {t} [ 0, %entry ], [ %all, %folded ]
  br label %test
test:
  %n = phi i64 [ %whole, %rest ], [ %n.next, %one ]
  %total = phi {t} [ %before, %rest ], [ %total.next, %one ]
  %left = icmp ult i64 %n, %count
  br i1 %left, label %one, label %end
one:
  %place = getelementptr {t}, ptr %data, i64 %n
  %y = load {t}, ptr %place, align {bits // 8}
  %f = and {t} %y, {exponent}
  %over = add {t} %f, {one}
  %total.next = or {t} %total, %over
  %n.next = add nuw nsw i64 %n, 1
  br label %test
end:
  %bad = icmp slt {t} %total, 0
  ret i1 %bad
}}"""


_ROW = f"""
define internal void @row(ptr %frame, i64 %number) #0 {{
  %status.at = getelementptr i64, ptr %frame, i64 1
  %status = load ptr, ptr %status.at
  %table.at = getelementptr i64, ptr %status, i64 {TABLE}
  %table = load ptr, ptr %table.at
  %row = getelementptr [4 x i64], ptr %table, i64 %number
  %slot.of = load i64, ptr %row
  %offset.at = getelementptr i64, ptr %row, i64 1
  %offset = load i64, ptr %offset.at
  %count.at = getelementptr i64, ptr %row, i64 2
  %count = load i64, ptr %count.at
  %bits.at = getelementptr i64, ptr %row, i64 3
  %bits = load i64, ptr %bits.at
  %slot = getelementptr i8, ptr %frame, i64 %slot.of
  %array = load ptr, ptr %slot
  %data = getelementptr i8, ptr %array, i64 %offset
  switch i64 %bits, label %of.64 [ i64 32, label %of.32 i64 16, label %of.16 ]
of.64:
  %bad.64 = call i1 @not.finite.64(ptr %data, i64 %count)
  br i1 %bad.64, label %bad, label %end
of.32:
  %bad.32 = call i1 @not.finite.32(ptr %data, i64 %count)
  br i1 %bad.32, label %bad, label %end
of.16:
  %bad.16 = call i1 @not.finite.16(ptr %data, i64 %count)
  br i1 %bad.16, label %bad, label %end
bad:
  %note = getelementptr i64, ptr %status, i64 {NOT_FINITE}
  store i64 1, ptr %note
  br label %end
end:
  ret void
}}"""

_HEAD = f"""
define void @cr.read(ptr %frame) #0 {{
entry:
  %status.at = getelementptr i64, ptr %frame, i64 1
  %status = load ptr, ptr %status.at
  %rows.at = getelementptr i64, ptr %status, i64 {ROWS}
  %rows = load i64, ptr %rows.at"""

_ALONE = f"""{_HEAD}
  br label %next
next:
  %k = phi i64 [ 0, %entry ], [ %following, %next ]
  call void @row(ptr %frame, i64 %k)
  %following = add i64 %k, 1
  %more = icmp slt i64 %following, %rows
  br i1 %more, label %next, label %end
end:
  ret void
}}"""

_TOGETHER = f"""{_HEAD}
  call void @{pool.RUN}(ptr @row, ptr %frame, i64 %rows)
  ret void
}}"""
