"""Branches and loops in the code of one function."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from chainrule.run.llvm.elements import Elements
from chainrule.run.llvm.expressions import Var
from chainrule.run.llvm.instructions import UNROLLED, Level

# Loops over small axes are written out up to this many statements.
WRITTEN_OUT = 24


class Control(Elements):
    """Writes code that is run on a condition, or again and again."""

    def _at(self, label: str) -> None:
        level = self.levels[-1]
        level.lines.append(f"{label}:")
        level.block = label

    def when(
        self, conditions: Sequence[Callable[[], str]], then: Callable[[], None], marked: str = "",
    ) -> None:  # fmt: skip
        """Code that is run if one of some conditions holds; what is found out in it is forgotten.

        Each is written behind the branch that the one before decides; the branches are marked.
        """
        inside, after = self.label("then"), self.label("after")
        for k, condition in enumerate(conditions, 1):
            other = after if k == len(conditions) else self.label("else")
            self.do(f"br i1 {condition()}, label %{inside}, label %{other}{marked}")
            self._at(other if other != after else inside)
        known = [dict(level.memo) for level in self.levels]
        then()
        for level, memo in zip(self.levels, known, strict=True):
            level.memo = memo
        self.do(f"br label %{after}")
        self._at(after)

    def again(self, var: Var, low: str, high: str, step: int, turn: Callable[[], None]) -> None:
        """Code that is run for each number from ``low`` up to ``high - 1``."""
        head, exit_ = self.label("head"), self.label("exit")
        counter = f"%i{self.count}"
        outside = self.levels[-1]
        level = Level(head)
        self.levels.append(level)
        self.depth[var.number] = len(self.levels) - 1
        self.known[var.number] = counter
        turn()
        self.levels.pop()
        after = f"{counter}.next"
        outside.lines.append(f"  br label %{head}")
        outside.lines.append(f"{head}:")
        outside.lines.append(
            f"  {counter} = phi i64 [ {low}, %{outside.block} ], [ {after}, %{level.block} ]"
        )
        outside.lines.extend(level.lines)
        outside.lines.append(f"  {after} = add nuw nsw i64 {counter}, {step}")
        again = f"{counter}.again"
        outside.lines.append(f"  {again} = icmp ult i64 {after}, {high}")
        # Several vectors are in flight in each turn already, and a loop with loops inside has
        # enough to do in each: more would only take time to compile.
        enough = (step > 1 and self.vector is var) or level.block != head
        marked = f", {UNROLLED}" if enough else ""
        outside.lines.append(f"  br i1 {again}, label %{head}, label %{exit_}{marked}")
        outside.lines.append(f"{exit_}:")
        outside.block = exit_

    def each(self, variables: Sequence[Var], turn: Callable[[], None]) -> None:
        """Code for each index of small axes: written out if they are very small."""
        if not variables:
            turn()
            return
        var, *rest = variables
        if math.prod(v.extent for v in variables) > WRITTEN_OUT:
            self.again(var, str(var.low), str(var.high), 1, lambda: self.each(rest, turn))
            return
        for k in range(var.low, var.high):
            self.known[var.number], self.depth[var.number] = k, len(self.levels) - 1
            self.each(rest, turn)
