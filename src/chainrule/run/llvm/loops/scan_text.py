"""The text of a scan: pointers that move on from turn to turn, around a call of its body."""

from __future__ import annotations

from typing import Any

from chainrule.run.llvm.loops.carried import (
    COPY,
    LATER_ROWS,
    PLACE,
    ROWS,
    SMALL,
    TURNS,
    Carried,
    local_places,
)
from chainrule.run.llvm.loops.growing import Growing
from chainrule.run.llvm.loops.text import Piece, Text
from chainrule.run.llvm.lowering import Lowering
from chainrule.run.llvm.nests import Buffer


class Scan(Piece):
    """A loop of known length."""

    def __init__(self, b: Lowering, body: Lowering, count: int, backwards: bool) -> None:
        super().__init__(b, [body])
        self.count: int | None = count
        self.backwards = backwards
        # The record that says how many turns there are, if that is not known.
        self.counter: Buffer | None = None
        self.turn: Buffer | None = None
        # Of each buffer of the body: the one it is a part of, the offset there, and bytes per turn.
        self.fixed: list[tuple[Buffer, tuple[Buffer, int, int]]] = []
        # The same in records that grew, and the records of this loop's own with their rows.
        self.recorded: list[tuple[Buffer, Growing]] = []
        self.own: list[tuple[Buffer, int, int]] = []
        self.carried: list[Carried] = []

    def write(self, text: Text, scratch: str) -> None:
        """Write the function: its arguments, the turns, and where the last values go."""
        back = self.backwards
        count: Any = self.count
        before = "entry"
        if self.counter is not None:
            count = text.put(f"load i64, ptr {text.base(self.counter, 8)}")
            for record, size, more in self.own:
                text.allocate(text.base(record), text.put(f"add i64 {count}, {more}"), size)
                text.do(f"store i64 {count}, ptr {text.base(record, 8)}")
            before = "some"
        start: Any = 0
        end, step = count, 1
        if back:
            last = count - 1 if self.counter is None else text.put(f"sub i64 {count}, 1")
            start, end, step = last, -1, -1
        pointers = self.given(text, 0)
        turn = text.room(8) if self.turn is not None else ""
        local = local_places(text, self.carried)
        moving = []
        for inner, array in self.recorded:
            moving.append((inner, array.first_row(text), array.stride))
        for inner, (outer, offset, stride) in self.fixed:
            base = text.base(outer, offset)
            if stride:
                moving.append((inner, base, stride))
            else:
                pointers[id(inner)] = base
        firsts = {
            c.number: text.base(*c.first) for c in self.carried
            if c.how == LATER_ROWS and c.first is not None
        }  # fmt: skip
        pairs = {
            c.number: (text.base(c.last), text.base(c.rows)) for c in self.carried
            if c.how == TURNS and c.last is not None and c.rows is not None
        }  # fmt: skip
        rows: dict[int, str] = {}
        for c in self.carried:
            if c.how in (ROWS, LATER_ROWS):
                if c.record is None:
                    assert c.rows is not None
                    rows[c.number] = text.base(c.rows)
                    continue
                first_row = rows[c.number] = c.record.first_row(text)
                if c.how == ROWS:
                    assert c.last is not None
                    if back:
                        first_row = text.moved(first_row, text.put(f"mul i64 {count}, {c.size}"))
                    text.copy(first_row, text.base(c.last), c.size)
        if self.counter is not None:
            some = text.put(f"icmp sgt i64 {count}, 0")
            text.do(f"br i1 {some}, label %some, label %exit")
            text.start("some")
        text.do("br label %head")
        text.start("head")
        text.do(f"%t = phi i64 [ {start}, %{before} ], [ %t.next, %head ]")
        for n, first in firsts.items():
            text.do(f"%in{n} = phi ptr [ {first}, %{before} ], [ %out{n}, %head ]")
        for n, (one, other) in pairs.items():
            text.do(f"%in{n} = phi ptr [ {one}, %{before} ], [ %out{n}, %head ]")
            text.do(f"%out{n} = phi ptr [ {other}, %{before} ], [ %in{n}, %head ]")
        for inner, base, stride in moving:
            pointers[id(inner)] = text.moved(base, text.put(f"mul nsw i64 %t, {stride}"))
        if self.turn is not None:
            text.do(f"store i64 %t, ptr {turn}")
            pointers[id(self.turn)] = turn
        for c in self.carried:
            n = c.number
            if c.how in (PLACE, COPY):
                own = local[n]
            elif c.how == TURNS:
                own = f"%in{n}", f"%out{n}"
            else:
                row = text.moved(rows[n], text.put(f"mul nsw i64 %t, {c.size}"))
                if c.how == LATER_ROWS:
                    text.do(f"%out{n} = getelementptr i8, ptr {row}, i64 0")
                    own = f"%in{n}", f"%out{n}"
                else:
                    after = text.moved(row, c.size)
                    own = (after, row) if back else (row, after)
            pointers[id(c.source)], pointers[id(c.target)] = own
        text.call(self.codes[0], scratch, pointers)
        for c in self.carried:
            if c.how == COPY:
                place, other = local[c.number]
                text.copy(place, other, c.size)
        text.do(f"%t.next = add nsw i64 %t, {step}")
        text.do(f"%again = icmp ne i64 %t.next, {end}")
        text.do("br i1 %again, label %head, label %exit")
        text.start("exit")
        if self.counter is not None:
            for n, first in (*firsts.items(), *((n, one) for n, (one, _) in pairs.items())):
                text.do(f"%end{n} = phi ptr [ {first}, %entry ], [ %out{n}, %head ]")
        for c in self.carried:
            if c.how in (PLACE, COPY) and c.size <= SMALL:
                assert c.last is not None
                text.copy(text.base(c.last), local[c.number][0], c.size)
            elif self.counter is not None and c.how in (TURNS, LATER_ROWS):
                assert c.last is not None
                text.copy(text.base(c.last), f"%end{c.number}", c.size)
            elif self.counter is not None and c.how == ROWS:
                assert c.last is not None
                end_row = rows[c.number]
                if not back:
                    end_row = text.moved(end_row, text.put(f"mul i64 {count}, {c.size}"))
                text.copy(text.base(c.last), end_row, c.size)
