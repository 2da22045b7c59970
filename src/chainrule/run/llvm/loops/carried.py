"""Where what is carried lies, and whether a turn may write over what it was given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chainrule.run.llvm.expressions import ZERO, Expr
from chainrule.run.llvm.loops.growing import Growing
from chainrule.run.llvm.loops.text import Piece, Text
from chainrule.run.llvm.lowering import Index, Lowering
from chainrule.run.llvm.nests import Buffer, Call, Loop, Statement, Straight

# What is carried lies on the stack up to this size in bytes, so that it may stay in registers.
SMALL = 256
# And is copied back rather than exchanged up to this one.
_COPIED = 64
# How something carried is kept.
ROWS, LATER_ROWS, PLACE, COPY, TURNS = range(5)


class Carried:
    """Something that a loop carries, and where it lies."""

    __slots__ = (
        "first", "how", "last", "number", "record", "rows", "size", "source", "target",
    )  # fmt: skip

    def __init__(self, number: int, source: Buffer, target: Buffer) -> None:
        self.number = number
        self.source = source  # of the body
        self.target = target
        self.size = source.size * source.itemsize
        self.how = PLACE
        # Another place; with rows for each turn, or of unknown number.
        self.rows: Buffer | None = None
        self.record: Growing | None = None
        self.first: tuple[Buffer, int] | None = None  # where the first value lies
        self.last: Buffer | None = None


def local_places(text: Text, carried: Sequence[Carried]) -> dict[int, tuple[str, str]]:
    """Where what is carried in one place is read and written, filled with its first value."""
    local: dict[int, tuple[str, str]] = {}
    for c in carried:
        if c.how in (PLACE, COPY):
            assert c.last is not None
            place = text.base(c.last)
            if c.size <= SMALL:
                place = text.room(c.size)
                text.copy(place, text.base(c.last), c.size)
            local[c.number] = place, text.room(c.size) if c.how == COPY else place
    return local


def keep_one(b: Lowering, loop: Piece, c: Carried, writes: list[Buffer]) -> None:
    """Of something carried only the last value is needed."""
    if written_over(loop.bodies[-1], c.source, c.target):
        c.how = PLACE
    elif c.size <= _COPIED:
        c.how = COPY
    else:
        c.how = TURNS
        c.rows = b.nests.buffer("s", c.source.shape, c.source.dtype)
        writes.append(c.rows)


def written_over(inner: Lowering, source: Buffer, target: Buffer) -> bool:
    """Make a result take the place of an input, if nothing needs the input once it is written.

    Every read of the input then has to come before the first write, or be of the element that is
    written next.
    """
    if source is target or source.kind != "input" or not target.writers:
        return False
    if [n for n in source.shape if n != 1] != [n for n in target.shape if n != 1]:
        return False
    if any(isinstance(u, Call) for u in (*source.readers, *target.writers)):
        return False
    order: dict[int, tuple[int, int]] = {}
    for n, group in enumerate(inner.nests.groups):
        if isinstance(group, Call):
            continue
        for k, s in enumerate(group.statements()):
            order[id(s)] = n, k
    readers = list({id(r): r for r in source.readers}.values())
    for r in readers:
        for w in target.writers:
            if not _before(r, w, order, source):
                return False
    for s in readers:
        for e in s.reads:
            if e.data is source:
                e.index = _index_there(e.index, source, target)
                e.data = target
    source.kind = "none"
    target.readers.extend(readers)
    for w in list(target.writers):
        if _is_itself(w) and _removed(inner, w):
            target.writers.remove(w)
    return True


def _index_there(index: Index, source: Buffer, target: Buffer) -> Index:
    """An index in a buffer as one in another that differs from it by axes of length one."""
    left = iter([i for i, n in zip(index, source.shape, strict=True) if n != 1])
    return tuple([ZERO if n == 1 else next(left) for n in target.shape])


def _before(
    reader: Statement, writer: Statement, order: dict[int, tuple[int, int]], source: Buffer
) -> bool:
    """Whether a statement has read what it needs by the time that another one writes over it."""
    (n, k), (m, j) = order[id(reader)], order[id(writer)]
    if n != m:
        return n < m
    if k > j or reader.parent is not writer.parent:
        return False
    if isinstance(reader.parent, Straight):
        return True
    if any(writer.reduced) or writer.initial is not None:
        return False
    if any(isinstance(i, Expr) for i in writer.index):
        return False
    index = [i.canonical() for i in writer.index]
    named = {n for i in index for n, _ in i[1:]}
    if any(v.here().number not in named for v in writer.vars):
        return False
    return all(
        all(not isinstance(i, Expr) for i in e.index)
        and [i.canonical() for i in _index_there(e.index, source, writer.target)] == index
        for e in reader.reads if e.data is source
    )  # fmt: skip


def _is_itself(s: Any) -> bool:
    """Whether a statement writes what is there already."""
    e = s.value
    return (
        s.combine is None and e.kind == "load" and e.data is s.target
        and not any(isinstance(i, Expr) for i in (*e.index, *s.index))
        and [i.canonical() for i in e.index] == [i.canonical() for i in s.index]
    )  # fmt: skip


def _removed(inner: Lowering, s: Statement) -> bool:
    """Take a statement out of its loops, if something else is left in them."""
    parent: Any = s.parent
    item: Any = s
    while isinstance(parent, Loop) and len(parent.body) == 1:
        item, parent = parent, parent.parent
    if parent is None:
        inner.nests.groups = [g for g in inner.nests.groups if g is not item]
    elif isinstance(parent, Straight) and len(parent.body) == 1:
        inner.nests.groups = [g for g in inner.nests.groups if g is not parent]
    else:
        parent.body.remove(item)
    return True
