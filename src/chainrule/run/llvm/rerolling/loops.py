"""Loops of a program over arrays, found again: each becomes one ``scan``.

The turns of a run become one body. What it takes from the same turn is inside of the body, what
from the turn before is carried; what stays the same is taken from outside, and what moves along
(elements of an array, results of another loop in either direction, constants) is a series. What
others use of it comes from its last turn, or from all of them in rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from chainrule.graph.operand import NO_ATTRS
from chainrule.rules.arithmetic import ADD
from chainrule.rules.batching import ARRAY
from chainrule.rules.joining import CONCATENATE, STACK
from chainrule.rules.shapes import INDEX, RESHAPE, SCATTER, TRANSPOSE
from chainrule.run.llvm.expressions import WEIGHTS
from chainrule.run.llvm.program import BUNDLE, Program, Value
from chainrule.run.llvm.rerolling.body import Body, like
from chainrule.run.llvm.rerolling.runs import TURNS, Run, runs_of
from chainrule.run.llvm.rerolling.table import PICKS, Table
from chainrule.transforms.loops import SCAN
from chainrule.transforms.staging import ITEM

# A loop leaves out at least so many operations: fewer are compiled as they are, one after another.
_SAVED = 600
# Turns that stand one after another are fused with each other: each array is then read once for
# several turns. Where that counts, so many are left out: where arrays are larger than the nearest
# caches, or next to nothing is done with each element in a turn.
_SAVED_OF_FUSED = 10_000
_NEAR = 4096
_FEW = 64
_LIGHT = 20.0
# An array that lies by itself in each turn, as an argument or a result, has to be copied: that
# stays straight code, and is as long as so many operations.
_COPIED = 8
# What is used so many turns after it was made is carried along; from further back it cannot come.
_MOST_TURNS_BACK = 4
# So many turns at the start of a run are left out where an argument is not there in them.
_LEFT_OUT = 2
# So many pieces side by side that come from the turns of a loop are its rows.
_ROWS = 4


def rolled(program: Program) -> Program:
    """A program that does the same, with loops for what repeats."""
    if len(program.values) < _SAVED:
        return program
    table = Table(program)
    runs = runs_of(table.tokens, list(table.columns.values()), _SAVED)
    loops = [loop for run in runs if (loop := _loop_of(table, run)) is not None]
    return _Rolling(program, table, loops).program if loops else program


# ------------------------------------------------------------------------------------------- loops


@dataclass(frozen=True, slots=True)
class Outside:
    """A value that is the same in all turns."""

    value: Value


@dataclass(frozen=True, slots=True)
class Here:
    """What an operation of the same turn makes."""

    slot: int


@dataclass(frozen=True, slots=True)
class Before:
    """What an operation made so many turns before."""

    slot: int
    turns: int


@dataclass(frozen=True, slots=True)
class Places:
    """The values at places that are as far from each other from turn to turn."""

    first: int
    step: int


@dataclass(frozen=True, slots=True)
class Constants:
    """Constants, another one in each turn."""

    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Rows:
    """What stands along an axis of a value, at numbers as far from each other in all turns."""

    value: Value
    axis: int
    first: int
    step: int


@dataclass(frozen=True, slots=True)
class Numbers:
    """Whole numbers, as far from each other from turn to turn."""

    first: int
    step: int


Series = Places | Constants | Rows | Numbers
Source = Outside | Here | Before | Series


class _Unfit(Exception):
    """An argument that is not there in the first turn, or is used too late."""


class Loop:
    """A run, and where its turns find what they need.

    Attributes:
        sources: For each operation of a turn, where its arguments come from.
        picked: The operations that take a part of an array which moves along: the whole numbers in
            their index, or, of an array that stays, the series that they are.
        last, rows: The operations whose results others use: of the last turn, and of others.
    """

    def __init__(self, table: Table, run: Run) -> None:
        self.table = table
        self.run = run
        self.start, self.period, self.turns = run.start, run.period, run.turns
        self.sources: list[list[Source]] = []
        self.picked: dict[int, Rows | list[Numbers | None]] = {}
        self.last: set[int] = set()
        self.rows: set[int] = set()
        for slot in range(run.period):
            v = table.ops[run.start + slot]
            self.sources.append([self._source(slot, j, a) for j, a in enumerate(v.args)])
            self._pick(slot, v)
        self.outside: dict[int, Value] = {}
        self.carried: dict[Before, int] = {}
        self.series: dict[Series, int] = {}
        for slot, sources in enumerate(self.sources):
            picked = self.picked.get(slot)
            for s in [picked] if isinstance(picked, Rows) else [*sources, *(picked or ())]:
                if s is not None:
                    self._take(s)

    @property
    def end(self) -> int:
        """The first operation after it."""
        return self.run.end

    def _take(self, s: Source) -> None:
        """Note what is needed at the start of a turn."""
        if isinstance(s, Outside):
            self.outside.setdefault(s.value.number, s.value)
        elif isinstance(s, Before):
            for turns in range(1, s.turns + 1):
                self.carried.setdefault(Before(s.slot, turns), len(self.carried))
        elif not isinstance(s, Here):
            self.series.setdefault(s, len(self.series))

    def _source(self, slot: int, j: int, a: Value) -> Source:
        first = self.start + slot
        if a.constant is not None:
            every = [v.args[j] for v in self.table.ops[first : self.end : self.period]]
            if all(v is a for v in every):
                return Outside(a)
            return Constants(tuple(every))
        place = self.table.columns[j]
        at = int(place[first])
        step = int(place[first + self.period]) - at
        if step == 0 and at < self.start:
            return Outside(self.table.value(at))
        if step == self.period:
            if at >= self.start:
                return Here(at - self.start)
            back = -((at - self.start) // self.period)
            if back <= _MOST_TURNS_BACK:
                return Before((at - self.start) % self.period, back)
        if step == 0 or max(at, at + step * (self.turns - 1)) >= self.start:
            raise _Unfit
        return Places(at, step)

    def _pick(self, slot: int, v: Value) -> None:
        """Note where the index of an operation moves along."""
        assert v.op is not None
        if v.op.name not in PICKS or len(v.args) > PICKS[v.op.name]:
            return
        table, first = self.table, self.start + slot
        _, parts, numbers = table.index(v)
        moving: list[Numbers | None] = []
        for j, number in enumerate(numbers):
            step = int(table.numbers_column(j)[first + self.period]) - number
            moving.append(Numbers(number, step) if step else None)
        if not any(moving):
            return
        (x, *_) = self.sources[slot]
        (one, *more) = moving
        if v.op is INDEX and one is not None and not more and isinstance(x, Outside):
            at = next(n for n, p in enumerate(parts) if type(p) is int)
            axis = sum(p is not None for p in parts[:at])
            self.picked[slot] = Rows(x.value, axis, one.first, one.step)
        else:
            self.picked[slot] = moving

    def place(self, slot: int, turn: int) -> int:
        """Where the operation of a turn stands."""
        return self.start + slot + turn * self.period

    def use(self, place: int) -> None:
        """Note that what is at a place of this loop is used elsewhere."""
        turn, slot = divmod(place - self.start, self.period)
        (self.last if turn == self.turns - 1 else self.rows).add(slot)


def _loop_of(table: Table, run: Run) -> Loop | None:
    """The loop of a run, which may have some turns less; ``None`` if there is none."""
    for _ in range(_LEFT_OUT + 1):
        if run.turns < TURNS or (run.turns - 1) * run.period < _SAVED:
            return None
        ops = table.ops[run.start : run.start + run.period]
        if all(v.shape == () for v in ops):
            return None  # operations on scalars are written in another way
        try:
            loop = Loop(table, run)
        except _Unfit:
            run = Run(run.start + run.period, run.period, run.turns - 1)
            continue
        saved = (run.turns - 1) * run.period - _COPIED * _copied(table, loop)
        return loop if saved >= (_SAVED_OF_FUSED if _is_better_fused(ops) else _SAVED) else None
    return None


def _is_better_fused(ops: Sequence[Value]) -> bool:
    """Whether turns one after another are faster than a loop that goes through memory in each."""
    size = max(map(_touched, ops))
    if size > _NEAR:
        return True
    weight = 0.0
    for v in ops:
        assert v.op is not None
        if not v.op.elementwise:
            return False
        weight += WEIGHTS.get(v.op.name, _LIGHT)
    return size > _FEW and weight < _LIGHT


def _touched(v: Value) -> int:
    """How many elements an operation goes through: where it takes a part of an array, the part."""
    assert v.op is not None
    if v.op.name in PICKS:
        return v.size if v.op is INDEX else v.args[PICKS[v.op.name] - 1].size
    parts = [a for a in v.args if a.op is SCATTER]
    if v.op is ADD and parts:  # it is done in place
        return max(map(_touched, parts))
    return max(x.size for x in (v, *v.args))


def _copied(table: Table, loop: Loop) -> int:
    """How many arrays that lie by themselves are copied for the turns of a loop, or after them."""
    series = [s for s in loop.series if isinstance(s, Places) and s.first < 0]
    places = [table.place[v.number] for v in table.results]
    return len(series) * loop.turns + sum(loop.start <= place < loop.end for place in places)


# --------------------------------------------------------------------------------- the new program


@dataclass(frozen=True, slots=True)
class _Part:
    """Values that a loop made: of an operation, from a turn on, so many turns apart.

    With ``history``, what it was given by the turn before.
    """

    loop: Loop
    slot: int
    turn: int
    step: int
    count: int
    history: bool = False


class _Rolling:
    """Builds the new program."""

    def __init__(self, old: Program, table: Table, loops: Sequence[Loop]) -> None:
        self.table = table
        self.program = Program()
        self.starts = {loop.start: loop for loop in loops}
        self.loops = list(loops)
        # Of each operation the loop that makes it.
        self.owner = np.full(len(table.ops), -1)
        for n, loop in enumerate(loops):
            self.owner[loop.start : loop.end] = n
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
            for piece in _pieces(self, ops[place]):
                if isinstance(piece, _Part):
                    self._mark_part(piece)
                else:
                    self._mark_value(piece)
            place += 1
        for v in old.results:
            self._mark_value(v)

    def _mark_value(self, v: Value) -> None:
        loop = self.loop_of(v)
        if loop is not None:
            loop.use(self.table.place[v.number])

    def _mark_part(self, part: _Part) -> None:
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
                for piece in self.along(s, loop.turns):
                    if isinstance(piece, _Part):
                        self._mark_part(piece)
                    else:
                        self._mark_value(piece)

    def loop_of(self, v: Value) -> Loop | None:
        """The loop that makes a value."""
        if v.op is None:
            return None
        n = int(self.owner[self.table.place[v.number]])
        return None if n < 0 else self.loops[n]

    def along(self, s: Places, count: int) -> list[Value | _Part]:
        """The values at places: those that a loop makes together, others by themselves."""
        value = self.table.value
        part = self._part(s, count) if s.first >= 0 else None
        if part is not None:
            return [part]
        every = [value(s.first + s.step * t) for t in range(count)]
        found: list[Value | _Part] = []
        for n, v in enumerate(every):
            loop = self.loop_of(v)
            last = found[-1] if found else None
            if loop is None or s.step % loop.period:
                found.append(v)
                continue
            turn, slot = divmod(s.first + s.step * n - loop.start, loop.period)
            if isinstance(last, _Part) and last.loop is loop and last.slot == slot:
                found[-1] = replace(last, count=last.count + 1)
            else:
                found.append(_Part(loop, slot, turn, s.step // loop.period, 1))
        return found

    def _part(self, s: Places, count: int) -> _Part | None:
        """The part of what a loop makes that values at places are, if they are one."""
        middle = s.first + s.step * (count // 2)
        n = int(self.owner[middle])
        if n < 0 or s.step % self.loops[n].period:
            return None
        loop = self.loops[n]
        turn, slot = divmod(s.first - loop.start, loop.period)
        step = s.step // loop.period
        low, high = sorted((turn, turn + step * (count - 1)))
        if low >= 0 and high < loop.turns:
            return _Part(loop, slot, turn, step, count)
        if low == -1 and high < loop.turns - 1 and Before(slot, 1) in loop.carried:
            return _Part(loop, slot, turn + 1, step, count, history=True)
        return None

    # -------------------------------------------------------------------------------------- values

    def new(self, v: Value) -> Value:
        """A value of the old program in the new one."""
        found = self.known.get(v.number)
        if found is None:
            if v.op is None:
                found = self.program.adopted(v)
            else:
                loop = self.loop_of(v)
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
        pieces = _pieces(self, v)
        if any(isinstance(piece, _Part) for piece in pieces):
            return self._joined(v, pieces)
        return like(self.program, v, tuple([self.new(a) for a in v.args]), v.attrs)

    def _joined(self, v: Value, pieces: Sequence[Value | _Part]) -> Value:
        """What is put together of many arrays, of which a loop makes many."""
        assert v.op is not None
        axis = v.attrs["axis"] % len(v.shape)
        stacked = v.op is STACK
        arrays = []
        for piece in pieces:
            x = self.rows(piece) if isinstance(piece, _Part) else self.new(piece)
            if not isinstance(piece, _Part):
                if stacked:
                    x = self._reshaped(x, (*x.shape[:axis], 1, *x.shape[axis:]))
            elif axis:
                x = self._transposed(x, (*range(1, axis + 1), 0, *range(axis + 1, len(x.shape))))
            if isinstance(piece, _Part) and not stacked:
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

    def rows(self, part: _Part) -> Value:
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
        pieces = self.along(s, loop.turns)
        arrays = [
            self.rows(p) if isinstance(p, _Part) else self._reshaped(self.new(p), (1, *p.shape))
            for p in pieces
        ]
        if len(arrays) == 1:
            return arrays[0]
        v = self.table.value(s.first)
        like_all = Value(0, None, (), NO_ATTRS, (loop.turns, *v.shape), v.dtype)
        return self._side_by_side(arrays, 0, like_all)


def _pieces(rolling: _Rolling, v: Value) -> list[Value | _Part]:
    """The arguments of an operation; of what is put together, parts that loops make."""
    if v.op not in (STACK, CONCATENATE) or len(v.args) < _ROWS:
        return list(v.args)
    found: list[Value | _Part] = []
    run: list[tuple[Loop, int, int]] = []

    def close(upto: int) -> None:
        if len(run) < _ROWS:
            found.extend(v.args[upto - len(run) : upto])
        else:
            loop, slot, turn = run[0]
            found.append(_Part(loop, slot, turn, run[1][2] - turn, len(run)))
        run.clear()

    for n, a in enumerate(v.args):
        loop = rolling.loop_of(a)
        if loop is None:
            close(n)
            found.append(a)
            continue
        turn, slot = divmod(rolling.table.place[a.number] - loop.start, loop.period)
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
            known[Here(slot)] = _picked_of_row(loop, body, v, known[picked])
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


def _picked_of_row(loop: Loop, body: Program, v: Value, row: Value) -> Value:
    """What an index picks that moves along one axis, out of what is there in one turn."""
    parts = list(loop.table.index(v)[1])
    rest = [p for p in parts if type(p) is not int]
    if all(p == slice(None) for p in rest):
        return row
    return like(body, v, (row,), {**v.attrs, "index": tuple(rest)})
