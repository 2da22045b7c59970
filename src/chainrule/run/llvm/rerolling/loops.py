"""Loops of a program over arrays: which runs are one, and where their turns find what they need."""

from __future__ import annotations

from collections.abc import Sequence

from chainrule.rules.arithmetic import ADD
from chainrule.rules.shapes import INDEX, SCATTER
from chainrule.run.llvm.expressions import WEIGHTS
from chainrule.run.llvm.program import Program, Value
from chainrule.run.llvm.rerolling.runs import TURNS, Run, runs_of
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
from chainrule.run.llvm.rerolling.table import PICKS, Table

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


def loops_in(program: Program) -> list[Loop]:
    """What becomes a loop, in order."""
    if len(program.values) < _SAVED:
        return []
    table = Table(program)
    runs = runs_of(table.tokens, list(table.columns.values()), _SAVED)
    return [loop for run in runs if (loop := _loop_of(table, run)) is not None]


class Unfit(Exception):
    """An argument that is not there in the first turn, or is used too late."""


class Loop:
    """A run, and where its turns find what they need.

    Attributes:
        sources: For each operation of a turn, where its arguments come from.
        picked: The operations that take a part of an array which moves along: the whole numbers in
            their index, or, of an array that stays, the series that they are.
        outside, carried, series: What is needed at the start of a turn.
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
            raise Unfit
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

    def is_row(self, slot: int) -> bool:
        """Whether an index that moves along takes all of what stands along the other axes."""
        _, parts, _ = self.table.index(self.table.ops[self.start + slot])
        return all(type(p) is int or p == slice(None) for p in parts)

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
        except Unfit:
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
