"""Code for loops of which most turns add nothing: only what adds something is run.

Within a vector loop, a few turns are looked at together. Where one of them adds something in some
lane, the lanes that do are gone through one by one, as if there were no vectors.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np

from chainrule.run.llvm.control import Control
from chainrule.run.llvm.expressions import Expr, const, op
from chainrule.run.llvm.instructions import Level, Module, type_of, zeros
from chainrule.run.llvm.nests import Loop
from chainrule.run.llvm.skipping import Needed, is_infinite, needed

# So many turns are looked at together.
_TOGETHER = 4


class Picking(Control):
    """Writes the turns of loops that rarely add anything."""

    def __init__(self, module: Module) -> None:
        super().__init__(module)
        # Of loops that have been looked at, when they add something.
        self._looked_at: dict[int, tuple[Loop, Needed | None]] = {}
        # Their statements, where that is rare.
        self.rare: set[int] = set()

    def needed(self, loop: Loop) -> Needed | None:
        """When the turns of a loop add something, if that is rare and can be told."""
        known = self._looked_at.get(id(loop))
        if known is None:
            known = self._looked_at[id(loop)] = loop, needed(loop, self.variables)
            if known[1] is not None:
                self.rare.update(id(s) for s in loop.statements())
        return known[1]

    def look_inside(self, loop: Loop) -> None:
        """Find out about all loops inside of one."""
        for item in loop.body:
            if isinstance(item, Loop):
                self.needed(item)
                self.look_inside(item)

    def picks(self, found: Needed) -> bool:
        """Whether the lanes of a vector loop differ in what they add."""
        return self.vector is not None and any(
            self.vector.number in self.variables(e) for e in found.conditions
        )

    def picked_turns(self, loop: Loop, found: Needed, turns: Callable[[], None]) -> None:
        """All turns of a loop, of which :meth:`picks` holds."""
        var = loop.var.here()
        together = min(_TOGETHER, 64 // self.lanes, var.extent)
        whole = var.extent // together * together
        for first, end in ((var.low, var.low + whole), (var.low + whole, var.high)):
            several = min(together, end - first)
            if several:
                pick = functools.partial(self.pick, loop, found, turns, several)
                self.again(var, str(first), str(end), several, pick)

    def pick(self, loop: Loop, found: Needed, turn: Callable[[], None], several: int = 1) -> None:
        """A few turns in those lanes in which they add something."""
        var, level = loop.var.here(), self.levels[-1]
        start = self.known[var.number]  # a register, or a number where turns are written out
        asked, known = _any(found.conditions), dict(level.memo)
        lanes = type_of(np.bool_, self.lanes)
        masks, some = [], ""
        for k in range(several):
            if k:
                self.known[var.number] = self.put(f"add nuw nsw i64 {start}, {k}")
            mask, _ = self.value(asked)
            some = self.put(f"or {lanes} {some}, {mask}") if some else mask
            masks.append(mask)
            level.memo = dict(known)
        self.known[var.number] = start
        reasons: list[Callable[[], str]] = [functools.partial(self._holds, some, True)]
        always = self._always(found)
        if always:
            reasons.append(lambda: always)

        def lanes_in_turn() -> None:
            bits = self._bits(masks, always)
            self._each_bit(bits, lambda at: self._in_lane(loop, at, several, turn))

        self.when(reasons, lanes_in_turn)

    def _always(self, found: Needed) -> str:
        """Whether every turn adds something for once, as is known before the first; or nothing."""
        asked = [op("not_equal", np.bool_, e, const(0, e.dtype)) for e in found.nonzero]
        asked += [is_infinite(e) for e in found.factors]
        return self._holds(*self.value(_any(asked))) if asked else ""

    def _bits(self, masks: Sequence[str], always: str) -> str:
        """A whole number with a bit for each turn and lane that adds something."""
        lanes, t = self.lanes, type_of(np.bool_, self.lanes)
        bits, every = "", 0
        for k, mask in enumerate(masks):
            own = self.put(f"bitcast {t} {mask} to i{lanes}")
            own = self.put(f"zext i{lanes} {own} to i64")
            if k:
                own = self.put(f"shl i64 {own}, {k * lanes}")
            bits = self.put(f"or i64 {bits}, {own}") if bits else own
            every |= (1 << self.active) - 1 << k * lanes
        if self.active < lanes:
            bits = self.put(f"and i64 {bits}, {every}")
        return self.put(f"select i1 {always}, i64 {every}, i64 {bits}") if always else bits

    def _each_bit(self, bits: str, turn: Callable[[str], None]) -> None:
        """Code that is run for each bit of a number that is not zero."""
        head, exit_ = self.label("bit"), self.label("exit")
        outside, level = self.levels[-1], Level(head)
        self.count += 1
        left = f"%v{self.count}"
        self.module.declare("declare i64 @llvm.cttz.i64(i64, i1)")
        self.levels.append(level)
        turn(self.put(f"call i64 @llvm.cttz.i64(i64 {left}, i1 true)"))
        less = self.put(f"add i64 {left}, -1")
        rest = self.put(f"and i64 {left}, {less}")
        more = self.put(f"icmp ne i64 {rest}, 0")
        self.levels.pop()
        outside.lines += [
            f"  br label %{head}", f"{head}:",
            f"  {left} = phi i64 [ {bits}, %{outside.block} ], [ {rest}, %{level.block} ]",
            *level.lines, f"  br i1 {more}, label %{head}, label %{exit_}", f"{exit_}:",
        ]  # fmt: skip
        outside.block = exit_

    def _in_lane(self, loop: Loop, at: str, several: int, turn: Callable[[], None]) -> None:
        """A turn for one lane, by the place of its bit."""
        vector, lanes, active = self.vector, self.lanes, self.active
        assert vector is not None
        own = loop.var.here().number, vector.number
        known = [(self.known[n], self.depth[n]) for n in own]
        inside = len(self.levels) - 1
        lane = self.put(f"and i64 {at}, {lanes - 1}") if several > 1 else at
        if several > 1:
            further = self.put(f"lshr i64 {at}, {lanes.bit_length() - 1}")
            self.known[own[0]] = self.put(f"add nuw nsw i64 {known[0][0]}, {further}")
            self.depth[own[0]] = inside
        self.known[own[1]] = self.put(f"add nuw nsw i64 {known[1][0]}, {lane}")
        self.depth[own[1]] = inside
        self.vector, self.lanes, self.active = None, 1, 1
        self.lane = lane, lanes
        turn()
        self.lane = None
        self.vector, self.lanes, self.active = vector, lanes, active
        for n, (register, depth) in zip(own, known, strict=True):
            self.known[n], self.depth[n] = register, depth

    def reasons(self, found: Needed) -> list[Callable[[], str]]:
        """Conditions of which one holds if a turn, or one of several at once, adds anything."""
        asked = self.value(_any(found.conditions))
        reasons: list[Callable[[], str]] = [functools.partial(self._holds, *asked)]
        always = self._always(found)
        return [*reasons, lambda: always] if always else reasons

    def _holds(self, register: str, vector: bool) -> str:
        """Whether a condition holds, in some lane that counts."""
        if vector and self.active < self.lanes:
            t = type_of(np.bool_, self.lanes)
            register = self.put(f"select {t} {self.counting()}, {t} {register}, {t} {zeros(t)}")
        return self.any_lane(register, self.lanes) if vector else register

    def counting(self) -> str:
        """Which lanes count, as a constant."""
        counts = (f"i1 {'true' if k < self.active else 'false'}" for k in range(self.lanes))
        return f"<{', '.join(counts)}>"


def _any(conditions: Sequence[Expr]) -> Expr:
    return functools.reduce(lambda a, b: op("logical_or", np.bool_, a, b), conditions)
