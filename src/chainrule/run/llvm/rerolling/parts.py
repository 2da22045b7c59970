"""Which values of a program its loops make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from chainrule.run.llvm.program import Value
from chainrule.run.llvm.rerolling.loops import Loop, Unfit
from chainrule.run.llvm.rerolling.runs import TURNS, Run
from chainrule.run.llvm.rerolling.sources import Before, Places
from chainrule.run.llvm.rerolling.table import Table


@dataclass(frozen=True, slots=True)
class Part:
    """Values that a loop made: of an operation, from a turn on, so many turns apart.

    With ``history``, what it was given by the turn before.
    """

    loop: Loop
    slot: int
    turn: int
    step: int
    count: int
    history: bool = False


class Made:
    """What loops make."""

    def __init__(self, table: Table, loops: Sequence[Loop]) -> None:
        self.table = table
        self.loops = list(loops)
        # Of each operation the loop that makes it.
        self.owner = np.full(len(table.ops), -1)
        for n, loop in enumerate(loops):
            self.owner[loop.start : loop.end] = n
            shorter = self.shortened(n)
            if shorter is not None:
                self.owner[loop.start : loop.end] = -1
                self.owner[shorter.start : shorter.end] = n
                self.loops[n] = shorter

    def shortened(self, n: int) -> Loop | None:
        """A loop without its first or last turn, if that alone needs what no loop makes.

        What is read then lies together as another loop has left it, and need not be copied.
        """
        loop = self.loops[n]
        run, first, last = loop.run, False, False
        for s in loop.series:
            if isinstance(s, Places):
                pieces = self.along(s, loop.turns)
                first |= len(pieces) == 2 and isinstance(pieces[0], Value)
                last |= len(pieces) == 2 and isinstance(pieces[1], Value)
        if not (first or last) or run.turns - first - last < TURNS:
            return None
        start = run.start + first * run.period
        try:
            return Loop(self.table, Run(start, run.period, run.turns - first - last))
        except Unfit:
            return None

    def loop_of(self, v: Value) -> Loop | None:
        """The loop that makes a value."""
        if v.op is None:
            return None
        n = int(self.owner[self.table.place[v.number]])
        return None if n < 0 else self.loops[n]

    def along(self, s: Places, count: int) -> list[Value | Part]:
        """The values at places: those that a loop makes together, others by themselves."""
        value = self.table.value
        part = self.part(s, count)
        if part is not None:
            return [part]
        every = [value(s.first + s.step * t) for t in range(count)]
        found: list[Value | Part] = []
        for n, v in enumerate(every):
            loop = self.loop_of(v)
            last = found[-1] if found else None
            if loop is None or s.step % loop.period:
                found.append(v)
                continue
            turn, slot = divmod(s.first + s.step * n - loop.start, loop.period)
            if isinstance(last, Part) and last.loop is loop and last.slot == slot:
                found[-1] = replace(last, count=last.count + 1)
            else:
                found.append(Part(loop, slot, turn, s.step // loop.period, 1))
        return found

    def part(self, s: Places, count: int) -> Part | None:
        """The part of what a loop makes that values at places are, if they are one."""
        if s.first < 0:
            return None
        n = int(self.owner[s.first + s.step * (count // 2)])
        if n < 0 or s.step % self.loops[n].period:
            return None
        loop = self.loops[n]
        turn, slot = divmod(s.first - loop.start, loop.period)
        step = s.step // loop.period
        low, high = sorted((turn, turn + step * (count - 1)))
        if low >= 0 and high < loop.turns:
            return Part(loop, slot, turn, step, count)
        if low == -1 and high < loop.turns - 1 and Before(slot, 1) in loop.carried:
            return Part(loop, slot, turn + 1, step, count, history=True)
        return None
