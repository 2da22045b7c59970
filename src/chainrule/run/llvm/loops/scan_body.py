"""The body of a scan, for those of its results that are needed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from chainrule.graph.operand import NO_ATTRS
from chainrule.rules.arithmetic import ADD, MULTIPLY
from chainrule.run.llvm.loops.bodies import Inputs, equal, items_used, recorded
from chainrule.run.llvm.lowering import Lowering, Tensor
from chainrule.run.llvm.program import Program, Value
from chainrule.run.llvm.rerolling.body import Body
from chainrule.transforms.staging import Staged


def count_of(value: Value) -> int:
    """How many turns a scan makes."""
    args = value.args
    first = len(value.attrs["body"].outside) + value.attrs["carried"]
    return args[first].shape[0] if len(args) > first else int(value.attrs["count"])


def _progression(v: Value) -> tuple[int, int] | None:
    """First number and step of a constant whose elements are evenly spaced whole numbers."""
    if not v.is_constant or v.dtype != np.int64 or len(v.shape) != 1 or v.size < 2:
        return None
    step = int(v.constant[1]) - int(v.constant[0])
    first = int(v.constant[0])
    if not np.array_equal(v.constant, first + step * np.arange(v.size)):
        return None
    return first, step


class Stage:
    """The body of a scan as a program, for those of its results that are needed."""

    def __init__(self, value: Value, used: set[int]) -> None:
        staged: Staged | Body = value.attrs["body"]
        self.staged = staged
        carried, args = value.attrs["carried"], value.args
        outer = len(staged.outside)
        self.first = first = outer + carried
        # What is carried but never changes is taken from outside, like what is: by its place.
        fixed: set[int] = set()
        while True:
            self.program = program = Program()
            self.turn: Value | None = None
            self.inputs = inputs = Inputs(program)
            self.arguments: list[Value] = []
            for k, v in enumerate(args):
                if k < outer or k - outer in fixed:
                    new = inputs.of(v)
                elif k < first:
                    new = program.input(v.shape, v.dtype)
                else:
                    new = self._element(v)
                self.arguments.append(new)
            self.results = recorded(program, staged, self.arguments)
            still = {
                j for j in range(carried)
                if j not in fixed and (
                    self.results[j] is self.arguments[outer + j]
                    or equal(self.results[j], args[outer + j])
                )
            }  # fmt: skip
            if not still:
                break
            fixed |= still
        self.fixed = fixed
        self.outer, self.carried = outer, carried
        # What is kept for later loops, and what this one is given by earlier ones, by row.
        self.kept: list[Value] = []
        self.taken: list[tuple[Value, Tensor]] = []
        self._choose(used)

    def _element(self, v: Value) -> Value:
        even = _progression(v)
        if even is None:
            return self.inputs.along(v)
        first, step = even
        if self.turn is None:
            self.turn = self.program.input((), np.dtype(np.int64))
        found = self.turn
        for row, number in ((MULTIPLY, step), (ADD, first)):
            if number != (1 if row is MULTIPLY else 0):
                constant = self.program.constant(np.int64(number))
                found = self.program.apply(row, (found, constant), NO_ATTRS, (), found.dtype)
        return found

    def _choose(self, used: set[int]) -> None:
        """Which results are needed, and what is carried for them."""
        carried, given = self.carried, len(self.results) - self.carried
        moving = [j for j in range(carried) if j not in self.fixed]
        depends = [0] * len(self.program.values)
        for j in moving:
            depends[self.arguments[self.outer + j].number] = 1 << j
        for v in self.program.values:
            for a in v.args:
                depends[v.number] |= depends[a.number]
        self.final = {j for j in range(carried) if j in used}
        self.given = {k for k in range(given) if carried + k in used}
        self.history = {j for j in range(carried) if carried + given + j in used}
        own = {id(self.arguments[self.outer + j]): j for j in moving}
        # A result that is what was carried into the turn is a part of the history.
        self.alias: dict[int, int] = {}
        for k in self.given:
            before = own.get(id(self.results[carried + k]))
            if before is not None:
                self.alias[k] = before
                self.history.add(before)
        self._moving, self._depends = moving, depends
        self.live: list[int] = []
        self.need([self.results[carried + k] for k in self.given], self.final | self.history)

    def need(self, values: Sequence[Value], carried: Iterable[int] = ()) -> None:
        """Carry what these values depend on, and these."""
        moving, depends = self._moving, self._depends
        live = set(self.live)
        waiting = list(values)
        for j in moving:
            if j in carried and j not in live:
                live.add(j)
                waiting.append(self.results[j])
        while waiting:
            mask = depends[waiting.pop().number]
            for j in moving:
                if mask >> j & 1 and j not in live:
                    live.add(j)
                    waiting.append(self.results[j])
        self.live = sorted(live)

    @property
    def wanted(self) -> list[Value]:
        """The results that are computed in a turn."""
        return [
            *(self.results[j] for j in self.live),
            *(self.results[self.carried + k] for k in self.given if k not in self.alias),
        ]

    def take(self, v: Value, rows: Tensor) -> None:
        """Be given a value in every turn instead of computing it."""
        v.op, v.args, v.attrs = None, (), NO_ATTRS
        self.program.inputs.append(v)
        self.taken.append((v, rows))


def stage_of(b: Lowering, value: Value) -> Stage:
    """The body of a scan, which is the same whoever asks."""
    key = "stage", value.number
    if key not in b.notes:
        b.notes[key] = Stage(value, items_used(b, value))
    found: Stage = b.notes[key]
    return found
