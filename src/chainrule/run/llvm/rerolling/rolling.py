"""Loops of a program over arrays, found again: each becomes one ``scan``.

The turns of a run become one body. What it takes from the same turn is inside of the body, what
from the turn before is carried; what stays the same is taken from outside, and what moves along
(elements of an array, results of another loop in either direction, constants) is a series. What
others use of it comes from its last turn, or from all of them in rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.graph.operand import NO_ATTRS
from chainrule.rules.batching import ARRAY
from chainrule.rules.joining import CONCATENATE, STACK
from chainrule.rules.shapes import INDEX, RESHAPE, TRANSPOSE
from chainrule.run.llvm.program import BUNDLE, Program, Value
from chainrule.run.llvm.rerolling.body import Body, like
from chainrule.run.llvm.rerolling.loops import Loop, loops_in
from chainrule.run.llvm.rerolling.parts import Made, Part
from chainrule.run.llvm.rerolling.sources import (
    Before,
    Constants,
    Here,
    Numbers,
    Outside,
    Places,
    Rows,
    Series,
    Source,
)
from chainrule.transforms.loops import SCAN
from chainrule.transforms.staging import ITEM

# So many pieces side by side that come from the turns of a loop are its rows.
_ROWS = 4


def rolled(program: Program) -> Program:
    """A program that does the same, with loops for what repeats."""
    loops = loops_in(program)
    return _Rolling(program, loops).program if loops else program


class _Rolling:
    """Builds the new program."""

    def __init__(self, old: Program, loops: Sequence[Loop]) -> None:
        self.table = table = loops[0].table
        self.program = Program()
        self.made = Made(table, loops)
        self.starts = {loop.start: loop for loop in self.made.loops}
        # The values of the old program in the new one, and those that loops give: of an operation
        # the value of the last turn, the rows of all turns, and of what each was given.
        self.known: dict[int, Value] = {}
        self.given: dict[tuple[str, int, int], Value] = {}
        for v in old.inputs:
            new = self.program.input(v.shape, v.dtype, v.weak)
            self.known[v.number] = new
        self._mark(old)
        place, count = 0, len(table.ops)
        while place < count:
            here = self.starts.get(place)
            if here is None:
                v = table.ops[place]
                self.known[v.number] = self._copied(v)
                place += 1
            else:
                self._build(here)
                place = here.end
        self.program.results = [self.new(v) for v in old.results]

    # ------------------------------------------------------------------------------ what is needed

    def _mark(self, old: Program) -> None:
        """Note what is used of each loop."""
        ops = self.table.ops
        place = 0
        while place < len(ops):
            loop = self.starts.get(place)
            if loop is not None:
                self._mark_loop(loop)
                place = loop.end
                continue
            for piece in _pieces(self.made, ops[place]):
                if isinstance(piece, Part):
                    self._mark_part(piece)
                else:
                    self._mark_value(piece)
            place += 1
        for v in old.results:
            self._mark_value(v)

    def _mark_value(self, v: Value) -> None:
        loop = self.made.loop_of(v)
        if loop is not None:
            loop.use(self.table.place[v.number])

    def _mark_part(self, part: Part) -> None:
        if not part.history:
            part.loop.rows.add(part.slot)

    def _mark_loop(self, loop: Loop) -> None:
        for v in loop.outside.values():
            self._mark_value(v)
        for b in loop.carried:
            self._mark_value(self.table.value(loop.place(b.slot, -b.turns)))
        for s in loop.series:
            if isinstance(s, Rows):
                self._mark_value(s.value)
            elif isinstance(s, Places):
                for piece in self.made.along(s, loop.turns):
                    if isinstance(piece, Part):
                        self._mark_part(piece)
                    else:
                        self._mark_value(piece)

    # -------------------------------------------------------------------------------------- values

    def new(self, v: Value) -> Value:
        """A value of the old program in the new one."""
        found = self.known.get(v.number)
        if found is None:
            if v.op is None:
                found = self.program.adopted(v)
            else:
                loop = self.made.loop_of(v)
                assert loop is not None
                turn, slot = divmod(self.table.place[v.number] - loop.start, loop.period)
                last = self.given.get(("last", loop.start, slot))
                if turn == loop.turns - 1 and last is not None:
                    return last
                found = self._apply(
                    INDEX, (self.given["rows", loop.start, slot],), {"index": (turn,)}, v.shape,
                    v.dtype,
                )  # fmt: skip
                found.weak = v.weak
            self.known[v.number] = found
        return found

    def _apply(self, op: Any, args: Any, attrs: Any, shape: Any, dtype: Any) -> Value:
        return self.program.apply(op, args, attrs, tuple(shape), dtype)

    def _copied(self, v: Value) -> Value:
        pieces = _pieces(self.made, v)
        if any(isinstance(piece, Part) for piece in pieces):
            return self._joined(v, pieces)
        return like(self.program, v, tuple([self.new(a) for a in v.args]), v.attrs)

    def _joined(self, v: Value, pieces: Sequence[Value | Part]) -> Value:
        """What is put together of many arrays, of which a loop makes many."""
        assert v.op is not None
        axis = v.attrs["axis"] % len(v.shape)
        stacked = v.op is STACK
        arrays = []
        for piece in pieces:
            x = self.rows(piece) if isinstance(piece, Part) else self.new(piece)
            if not isinstance(piece, Part):
                if stacked:
                    x = self._reshaped(x, (*x.shape[:axis], 1, *x.shape[axis:]))
            elif axis:
                x = self._transposed(x, (*range(1, axis + 1), 0, *range(axis + 1, len(x.shape))))
            if isinstance(piece, Part) and not stacked:
                shape = x.shape
                joined = shape[axis] * shape[axis + 1]
                x = self._reshaped(x, (*shape[:axis], joined, *shape[axis + 2 :]))
            arrays.append(x)
        return self._side_by_side(arrays, axis, v)

    def _side_by_side(self, arrays: Sequence[Value], axis: int, v: Value) -> Value:
        starts = np.cumsum([0, *[x.shape[axis] for x in arrays[:-1]]]).tolist()
        attrs = {"axis": axis, "starts": tuple(starts)}
        return self._apply(CONCATENATE, tuple(arrays), attrs, v.shape, v.dtype)

    def _reshaped(self, x: Value, shape: Any) -> Value:
        return self._apply(RESHAPE, (x,), {"shape": tuple(shape)}, shape, x.dtype)

    def _transposed(self, x: Value, axes: Any) -> Value:
        shape = [x.shape[a] for a in axes]
        return self._apply(TRANSPOSE, (x,), {"axes": tuple(axes)}, shape, x.dtype)

    def rows(self, part: Part) -> Value:
        """The rows of what a loop gives."""
        which = "history" if part.history else "rows"
        return self._sliced(
            self.given[which, part.loop.start, part.slot], 0, part.turn, part.step, part.count
        )

    def _sliced(self, x: Value, axis: int, first: int, step: int, count: int) -> Value:
        """Along an axis of ``x``, elements as far from each other."""
        if first == 0 and step == 1 and count == x.shape[axis]:
            return x
        end = first + step * count
        cut = slice(first, end if end >= 0 else None, step)
        shape = (*x.shape[:axis], count, *x.shape[axis + 1 :])
        return self._apply(INDEX, (x,), {"index": (*(slice(None),) * axis, cut)}, shape, x.dtype)

    # --------------------------------------------------------------------------------------- loops

    def _build(self, loop: Loop) -> None:
        """The scan that a loop is."""
        ops = self.table.ops[loop.start : loop.start + loop.period]
        outside = [v for v in loop.outside.values() if v.constant is None]
        # What is only needed of the last turn is carried out of it.
        only_last = sorted(k for k in loop.last - loop.rows if Before(k, 1) not in loop.carried)
        carried = [*loop.carried, *[Before(k, 1) for k in only_last]]
        start = [self.new(self.table.value(loop.place(b.slot, -b.turns))) for b in loop.carried] + [
            self.program.constant(np.zeros(ops[k].shape, ops[k].dtype)[()]) for k in only_last
        ]
        series = [self._series(loop, s) for s in loop.series]
        rows = sorted(loop.rows)
        body = _body(loop, outside, carried, series, rows)
        args = (*[self.new(v) for v in outside], *start, *series)
        attrs = {"body": body, "count": loop.turns, "carried": len(start), "backwards": False}
        place = ops[0].place
        scan = self.program.plain(SCAN, args, attrs, (), BUNDLE, place)
        made = [ops[b.slot] for b in carried]
        kept = [((loop.turns, *v.shape), v.dtype) for v in (*[ops[k] for k in rows], *made)]
        parts = scan.parts = [*[(v.shape, v.dtype) for v in made], *kept]

        def item(position: int) -> Value:
            shape, dtype = parts[position]
            attrs = {"position": position, "count": len(parts)}
            return self.program.plain(ITEM, (scan,), attrs, shape, dtype, place)

        for n, b in enumerate(carried):
            if b.turns == 1:
                last = self.given["last", loop.start, b.slot] = item(n)
                last.weak = ops[b.slot].weak
                if n < len(loop.carried):
                    history = item(len(carried) + len(rows) + n)
                    self.given["history", loop.start, b.slot] = history
        for n, slot in enumerate(rows):
            self.given["rows", loop.start, slot] = item(len(carried) + n)

    def _series(self, loop: Loop, s: Series) -> Value:
        """An array along whose first axis a loop finds what it needs in each turn."""
        if isinstance(s, Numbers):
            return self.program.constant(s.first + s.step * np.arange(loop.turns))
        if isinstance(s, Constants):
            return self.program.constant(np.stack([v.constant for v in s.values]))
        if isinstance(s, Rows):
            x = self._sliced(self.new(s.value), s.axis, s.first, s.step, loop.turns)
            axes = [k for k in range(len(x.shape)) if k != s.axis]
            return self._transposed(x, (s.axis, *axes)) if s.axis else x
        pieces = self.made.along(s, loop.turns)
        arrays = [
            self.rows(p) if isinstance(p, Part) else self._reshaped(self.new(p), (1, *p.shape))
            for p in pieces
        ]
        if len(arrays) == 1:
            return arrays[0]
        v = self.table.value(s.first)
        like_all = Value(0, None, (), NO_ATTRS, (loop.turns, *v.shape), v.dtype)
        return self._side_by_side(arrays, 0, like_all)


def _pieces(made: Made, v: Value) -> list[Value | Part]:
    """The arguments of an operation; of what is put together, parts that loops make."""
    if v.op not in (STACK, CONCATENATE) or len(v.args) < _ROWS:
        return list(v.args)
    found: list[Value | Part] = []
    run: list[tuple[Loop, int, int]] = []

    def close(upto: int) -> None:
        if len(run) < _ROWS:
            found.extend(v.args[upto - len(run) : upto])
        else:
            loop, slot, turn = run[0]
            found.append(Part(loop, slot, turn, run[1][2] - turn, len(run)))
        run.clear()

    for n, a in enumerate(v.args):
        loop = made.loop_of(a)
        if loop is None:
            close(n)
            found.append(a)
            continue
        turn, slot = divmod(made.table.place[a.number] - loop.start, loop.period)
        if run:
            before, other, last = run[-1]
            step = turn - last if len(run) == 1 else run[1][2] - run[0][2]
            if before is not loop or other != slot or turn - last != step or step == 0:
                close(n)
        run.append((loop, slot, turn))
    close(len(v.args))
    return found


def _body(
    loop: Loop, outside: Sequence[Value], carried: Sequence[Before], series: Sequence[Value],
    rows: Sequence[int],
) -> Body:  # fmt: skip
    """One turn of a loop as a program."""
    body = Program()
    known: dict[Source, Value] = {}
    for v in outside:
        known[Outside(v)] = body.input(v.shape, v.dtype, v.weak)
    ops = loop.table.ops
    for before in carried:
        v = ops[loop.start + before.slot]
        known[before] = body.input(v.shape, v.dtype, v.weak)
    for s, x in zip(loop.series, series, strict=True):
        weak = isinstance(s, Constants) and s.values[0].weak
        if isinstance(s, Places):
            weak = loop.table.value(s.first).weak
        known[s] = body.input(x.shape[1:], x.dtype, weak)

    def found(s: Source) -> Value:
        if isinstance(s, Outside) and s not in known:
            known[s] = body.adopted(s.value)
        return known[s]

    for slot, sources in enumerate(loop.sources):
        v = ops[loop.start + slot]
        picked = loop.picked.get(slot)
        if isinstance(picked, Rows):
            known[Here(slot)] = row = known[picked]
            if not loop.is_row(slot):
                rest = tuple([p for p in loop.table.index(v)[1] if type(p) is not int])
                known[Here(slot)] = like(body, v, (row,), {"index": rest})
            continue
        given, attrs = [found(s) for s in sources], v.attrs
        if picked is not None:
            parts = list(loop.table.index(v)[1])
            which = iter(picked)
            for n, part in enumerate(parts):
                moving = next(which) if type(part) is int else None
                if moving is not None:
                    given.append(found(moving))
                    parts[n] = ARRAY
            attrs = {**attrs, "index": tuple(parts)}
        known[Here(slot)] = like(body, v, tuple(given), attrs)
    body.results = [
        known[Before(b.slot, b.turns - 1)] if b.turns > 1 else known[Here(b.slot)] for b in carried
    ]
    body.results += [known[Here(slot)] for slot in rows]
    return Body(body, len(outside))
