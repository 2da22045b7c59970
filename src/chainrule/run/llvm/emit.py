"""Loops: which turns are done at once, what has to be ready before them, and what comes of them.

One loop of a nest is a *vector* loop: the innermost, or one further out if the loops inside are
short.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.run.llvm.control import WRITTEN_OUT
from chainrule.run.llvm.elements import kept_size
from chainrule.run.llvm.expressions import Affine, Expr, Var
from chainrule.run.llvm.finite import NOT_FINITE, WATCHED
from chainrule.run.llvm.flight import USUAL, in_flight
from chainrule.run.llvm.instructions import Level, Module, number, splat, type_of
from chainrule.run.llvm.nests import DEAR, Buffer, Loop, Statement, Sweep, loops_around
from chainrule.run.llvm.picking import Picking

# Statements to be repeated in a vector loop, at most, so that the code stays short.
_UNROLLED = 400
# Loops with loops inside that are done in vectors are written out up to this many: what they make
# then stays in registers.
_SMALL = 64
# Sums of up to so many numbers stay with the lanes of a loop outside of theirs.
_FEW = 8
# Where a loop has more sums, they are in memory: the vectors of a turn are then added up before.
_SUMS_IN_REGISTERS = 8
# Turns of a long loop whose sums are added up by themselves.
_BLOCK = 4096
# Loops inside of a vector loop have at most so many turns.
_LONG = 1024
# Marks a branch that most runs do not take: its code lies apart.
_SELDOM = ", !prof !2"
_WEIGHTS = '!2 = !{!"branch_weights", i32 1, i32 1000}'
# Bytes that what every lane has for itself may take, for so many vectors at once: four while it
# stays nearest, fewer while it is in the next cache.
_LANE_ROOMS = {4: 24 << 10, 2: 192 << 10, 1: 192 << 10}


class _Sum:
    """The accumulator of a reduction: in a register for the time of its loop.

    A long sum of floats has a second one, ``blocks``, which takes up the first after every block:
    rounding errors grow with the length of a block and the number of blocks, not their product.
    """

    __slots__ = ("blocks", "lanes", "pointer")

    def __init__(self, pointer: str, lanes: int, blocks: str | None) -> None:
        self.pointer = pointer
        self.lanes = lanes
        self.blocks = blocks


class Emitter(Picking):
    """Writes one function: the loops of a group."""

    def __init__(self, module: Module) -> None:
        super().__init__(module)
        self.sums: dict[int, _Sum] = {}
        # Where a reduction's sums are while its vector loop runs.
        self.redirected: dict[int, tuple[Buffer, tuple[Affine, ...]]] = {}
        # A vector loop with loops inside that are not written out, and the rooms for what it packs.
        self.rolled = False
        self.packs: dict[int, str] = {}
        # Loops of which a call makes a part of the turns: registers with its first and its end.
        self.bounds: dict[Var, tuple[str, str]] = {}
        # Whether these are in blocks of so many turns that only usual vectors are full in each.
        self.in_blocks = False
        # Results that are looked at while they are written, and the register that says whether to.
        self.watched: set[int] = set()
        self.watching = ""

    def statement(self, s: Statement) -> None:
        """Compute and keep one element, or one for each lane."""
        if s.combine is None:
            found = self.value(s.value)
            self._keep(s, found)
            return
        accumulator = self.sums.get(id(s))
        if accumulator is not None:
            self._accumulate(s, accumulator)
            return
        if any(isinstance(i, Expr) for i in s.index):
            self._add_each(s)
            return
        found = self.value(s.value)
        if id(s) in self.redirected and self.active < self.lanes:
            found = self._with_identity(s, found), True
        self._add_to_target(s, found)

    def _keep(self, s: Statement, found: tuple[str, bool]) -> None:
        key, level = self.key(s.target, s.index)
        if len(s.target.writers) > 1:
            self.forget(s.target)
        if not any(isinstance(i, Expr) for i in s.index):
            if self.vector is not None and not found[1] and self._varies(s.index):
                found = self.spread(found[0], s.target.dtype, len(self.levels) - 1), True
            self.levels[level].memo[key] = found
        if id(s.target) not in self.silent:
            self.store(s.target, s.index, found, s.target.dtype)
        if id(s.target) in self.watched:
            self._watch(found, s.target.dtype)

    def _watch(self, found: tuple[str, bool], dtype: Any) -> None:
        """In a run that is watched, note what is not finite: less itself, it is no number.

        Other runs step over it, once for all lanes.
        """
        if not self.watching:
            self.watching = "%watching"
            self.allocas += [
                f"  %watching.at = {self._word(WATCHED)}",
                "  %watching.word = load i64, ptr %watching.at",
                "  %watching = icmp ne i64 %watching.word, 0",
            ]
            self.module.declare(_WEIGHTS)
        t = type_of(dtype, self.lanes if found[1] else 1)

        def bad() -> str:
            less = self.put(f"fsub {t} {found[0]}, {found[0]}")
            return self._holds(self.put(f"fcmp uno {t} {less}, {less}"), found[1])

        def tell() -> None:
            self.do(f"store i64 1, ptr {self.put(self._word(NOT_FINITE))}")

        self.when([lambda: self.watching], lambda: self.when([bad], tell), _SELDOM)

    def _word(self, n: int) -> str:
        return f"getelementptr i64, ptr {self.pointers['status']}, i64 {n}"

    def _varies(self, index: Sequence[Any]) -> bool:
        assert self.vector is not None
        n = self.vector.number
        return any(v.here().number == n for i in index if isinstance(i, Affine) for v, _ in i.terms)

    def _combined(
        self, how: str, dtype: Any, old: tuple[str, bool], new: tuple[str, bool]
    ) -> tuple[str, bool]:
        vector = old[1] or new[1]
        top = len(self.levels) - 1
        a, b = (self.spread(r, dtype, top) if vector and not own else r for r, own in (old, new))
        lanes = self.lanes if vector else 1
        return self.compute(how, dtype, [dtype, dtype], [a, b], lanes), vector

    def _accumulate(self, s: Statement, total: _Sum) -> None:
        dtype = s.target.dtype
        t = type_of(dtype, total.lanes)
        assert s.combine is not None
        old = self.put(f"load {t}, ptr {total.pointer}")
        e = s.value
        if 1 < total.lanes < self.lanes and self._reduces_vector(s):
            register = self._wide(e, self.lanes)
            if self.active < self.lanes:
                register = self._with_identity(s, (register, True))
            folded = self.folded(s.combine, dtype, register, self.lanes, total.lanes)
            new = self.compute(s.combine, dtype, [dtype, dtype], [old, folded], total.lanes)
        elif (
            s.combine == "add" and e.kind == "op" and e.data == "multiply" and dtype.kind == "f"
            and e.args[0].dtype == dtype and (self.active == self.lanes or total.lanes == 1)
        ):  # fmt: skip
            # A sum of products, as every BLAS adds it: one rounding instead of two.
            factors = [self._wide(a, total.lanes) for a in e.args]
            new = self.intrinsic("fmuladd", dtype, total.lanes, [*factors, old])
        else:
            register = self._wide(e, total.lanes)
            if total.lanes > 1 and self.active < self.lanes and self._reduces_vector(s):
                register = self._with_identity(s, (register, True))
            new = self.compute(s.combine, dtype, [dtype, dtype], [old, register], total.lanes)
        self.do(f"store {t} {new}, ptr {total.pointer}")

    def _wide(self, e: Expr, lanes: int) -> str:
        """An expression, in all lanes if there are several."""
        register, vector = self.value(e)
        if lanes == 1 or vector:
            return register
        return self.spread(register, e.dtype, len(self.levels) - 1)

    def _with_identity(self, s: Statement, found: tuple[str, bool]) -> str:
        """What a reduction takes up, with nothing in the lanes that do not count."""
        assert s.initial is not None
        dtype, top = s.target.dtype, len(self.levels) - 1
        t = type_of(dtype, self.lanes)
        register = found[0] if found[1] else self.spread(found[0], dtype, top)
        nothing = splat(number(s.initial.data, dtype), dtype, self.lanes)
        c = type_of(np.bool_, self.lanes)
        return self.put(f"select {c} {self.counting()}, {t} {register}, {t} {nothing}")

    def _reduces_vector(self, s: Statement) -> bool:
        return self.vector is not None and any(
            r and v.here() is self.vector for v, r in zip(s.vars, s.reduced, strict=True)
        )

    def _add_each(self, s: Statement) -> None:
        """Elements named by an index: lanes may name the same one, so they take turns."""
        dtype = s.target.dtype
        register, vector = self.value(s.value)
        place, dynamic = self.address(s.target, s.index)
        step = self.step(place) + (id(s.target) in self.lane_private)
        top = len(self.levels) - 1
        first = self.scalar_place(*self.place(place), top)
        parts = [(*self.value(i), stride) for i, stride in dynamic]
        assert s.combine is not None
        self.forget(s.target)
        for lane in range(1 if self.vector is None else self.active):
            one = self.lane_of(register, dtype, lane) if vector else register
            at = self.lane_place(first, lane * step, parts, lane, top)
            old = self.read_one(s.target, at, dtype, top)
            new = self.compute(s.combine, dtype, [dtype, dtype], [old, one], 1)
            self.write_one(s.target, at, new, dtype)

    def loop(self, loop: Loop) -> None:
        """A loop with everything in it, or the turns of it that a call makes."""
        var = loop.var.here()
        statements = loop.statements()
        if len(self.levels) == 1:  # it is known of the loops inside before any of them begins
            self.look_inside(loop)
        lanes = self._lanes(loop)
        self.module.widths[var.number] = lanes
        bounds = self.bounds.get(var)
        if lanes == 1 and bounds is None and self._may_unroll(loop):
            self._begin(loop, statements, 1)
            for k in range(var.low, var.high):
                self._turn(loop, k)
            self._end(loop, statements, 1)
            return
        low, high = bounds or (str(var.low), str(var.high))
        rolled = self.rolled
        self._begin(loop, statements, lanes)
        self.rolled = rolled
        found = self.needed(loop)
        if found is not None and bounds is None and self.picks(found):
            self.picked_turns(loop, found, functools.partial(self._items, loop))
        elif lanes == 1:
            self._turns(loop, low, high, 1)
        else:
            self._vector_turns(loop, low, high, lanes)
        self._end(loop, statements, lanes)

    def sweep(self, sweep: Sweep) -> None:
        """Every loop of a sweep from ``%low`` to ``%high``, less its delay.

        Where a part begins, and where what is left at its border ends, it is the loop's lead more.
        """
        self.in_blocks = True
        for loop, delay, lead in sweep.turns:
            var = loop.var.here()
            ends = []
            for place, leads in (("%low", "%begins"), ("%high", "%closes")):
                by = self.put(f"select i1 {leads}, i64 {lead}, i64 {-delay}")
                ends.append(self.put(f"add nsw i64 {place}, {by}"))
            low = self._bounded(ends[0], "sgt", var.low)
            high = self._bounded(ends[1], "slt", var.high)
            some = self.put(f"icmp slt i64 {low}, {high}")
            self.bounds[var] = low, high
            self.when([functools.partial(str, some)], functools.partial(self.loop, loop))

    def _bounded(self, register: str, how: str, bound: int) -> str:
        inside = self.put(f"icmp {how} i64 {register}, {bound}")
        return self.put(f"select i1 {inside}, i64 {register}, i64 {bound}")

    def _vector_turns(self, loop: Loop, low: str, high: str, lanes: int) -> None:
        var = loop.var.here()
        whole = var.extent // lanes * lanes
        left = var.extent - whole
        self.vector, self.lanes, self.active = var, lanes, lanes
        if whole:
            limit = str(var.low + whole)
            if not high.startswith("%") and whole == lanes and len(self.levels) > 1:
                self._turn(loop, var.low)
            elif not high.startswith("%"):
                self._turns(loop, low, limit, lanes)
            else:
                self._some_turns(loop, low, high, limit, lanes)
        if left:
            self.active = left
            if lanes & lanes - 1:  # a long turn: fewer vectors are less code
                self.lanes = min(lanes, max(lanes & -lanes, 1 << (left - 1).bit_length()))
            if high.startswith("%"):
                last = self.put(f"icmp eq i64 {high}, {var.high}")
                self.when([lambda: last], lambda: self._turn(loop, var.low + whole))
            else:
                self._turn(loop, var.low + whole)
        self.vector, self.lanes, self.active = None, 1, 1
        self.rolled = False
        self.packed.clear()

    def _some_turns(self, loop: Loop, low: str, high: str, limit: str, lanes: int) -> None:
        """The turns of one of several threads, up to where all lanes are full."""
        less = self.put(f"icmp slt i64 {high}, {limit}")
        end = self.put(f"select i1 {less}, i64 {high}, i64 {limit}")
        some = self.put(f"icmp slt i64 {low}, {end}")
        self.when([lambda: some], lambda: self._turns(loop, low, end, lanes))

    def _turns(self, loop: Loop, low: str, high: str, step: int) -> None:
        """The loop itself; a long one with sums in blocks."""
        var = loop.var.here()
        sums = [
            (s, self.sums[id(s)]) for s in loop.statements()
            if id(s) in self.sums and self.sums[id(s)].blocks is not None
        ]  # fmt: skip
        if var.extent < 4 * _BLOCK or not sums:
            self.again(var, low, high, step, lambda: self._body(loop))
            return
        start = Var(var.high)
        length = _BLOCK // step * step

        def block() -> None:
            first = str(self.known[start.number])
            further = self.put(f"add nuw nsw i64 {first}, {length}")
            inside = self.put(f"icmp ult i64 {further}, {high}")
            end = self.put(f"select i1 {inside}, i64 {further}, i64 {high}")
            self.again(var, first, end, step, lambda: self._body(loop))
            for s, total in sums:
                assert s.initial is not None
                dtype = s.target.dtype
                t = type_of(dtype, total.lanes)
                own = self.put(f"load {t}, ptr {total.pointer}")
                before = self.put(f"load {t}, ptr {total.blocks}")
                self.do(f"store {t} {self.put(f'fadd {t} {before}, {own}')}, ptr {total.blocks}")
                nothing = number(s.initial.data, dtype)
                text = splat(nothing, dtype, total.lanes)
                self.do(f"store {t} {text}, ptr {total.pointer}")

        self.again(start, low, high, length, block)

    def _turn(self, loop: Loop, k: int) -> None:
        """One turn, in line."""
        var = loop.var.here()
        outside = self.levels[-1]
        level = Level(outside.block)
        self.levels.append(level)
        self.depth[var.number] = len(self.levels) - 1
        self.known[var.number] = str(k) if self.vector is var and self.lanes > 1 else k
        self._body(loop)
        self.levels.pop()
        outside.lines.extend(level.lines)
        outside.block = level.block

    def _body(self, loop: Loop) -> None:
        if self.rolled and self.vector is loop.var.here():
            self._pack(loop)
        found, items = self.needed(loop), functools.partial(self._items, loop)
        if found is None:
            items()
        elif self.picks(found):
            self.pick(loop, found, items)
        else:
            self.when(self.reasons(found), items)

    def _items(self, loop: Loop) -> None:
        for item in loop.body:
            if isinstance(item, Loop):
                self.loop(item)
            else:
                self.statement(item)

    def _may_unroll(self, loop: Loop) -> bool:
        if self.lane is not None:
            return loop.var.extent * _unrolled(loop) <= WRITTEN_OUT
        if self.vector is not None:
            return loop.var.extent * _unrolled(loop) <= WRITTEN_OUT or not self.rolled
        if not _inside(loop):
            return loop.var.extent <= 4
        # The outermost are not: straight code takes long to compile.
        return len(self.levels) > 1 and loop.var.extent * self._count(loop) <= _SMALL

    def _count(self, loop: Loop) -> int:
        """How many statements one turn comes to, with vectors in the loops inside."""
        total = 0
        for item in loop.body:
            if isinstance(item, Loop):
                lanes = self._lanes(item)
                total += -(-item.var.extent // lanes) * self._count(item)
            else:
                total += 1
        return total

    def _lanes(self, loop: Loop) -> int:
        """How many turns are done at once."""
        if self.vector is not None or self.lane is not None:
            return 1
        extent, statements = loop.var.extent, loop.statements()
        size = max(max([b.itemsize for s in statements for b in _buffers(s)], default=8), 4)
        width = max(1, self.module.target.bytes // size)
        if width == 1 or extent < 2:
            return 1
        self.rolled = False
        if _inside(loop):
            if any(_overtakes(s, loop) for s in statements):
                return 1
            along = extent < width and _lies_along(loop, statements)
            short = _unrolled(loop) <= _UNROLLED and _mostly_short(loop, width)
            if short and (extent >= width or along):
                return width if extent > 2 else 2
            return self._lanes_outside(loop, statements, width)
        if extent < width:
            dear = any(s.weight >= DEAR for s in statements)
            if extent > 2 or dear:
                return width
            return 2 if _lies_along(loop, statements) else 1
        if extent > 2 * USUAL * width and not self.in_blocks and not self._has_rooms(loop):
            several = in_flight(loop, self.module.target.registers)
            if several > USUAL and extent >= 2 * several * width:
                return several * width
        several = USUAL
        while several > 1 and (extent < 2 * several * width or several * width > 16):
            several //= 2
        return several * width

    def _has_rooms(self, loop: Loop) -> bool:
        """Whether something is kept in memory for one turn of a loop, and so for each lane."""
        return any(s.target.home is loop and id(s.target) not in self.silent for s in loop.body)

    def _lanes_outside(self, loop: Loop, statements: Sequence[Statement], width: int) -> int:
        """The lanes of a loop with loops inside that are not written out.

        It pays where much is done with each number that is read: what the lanes read lies apart.
        """
        extent = loop.var.extent
        if extent < 4 * width or max(map(_innermost, _inside(loop))) > _LONG:
            return 1
        if any(isinstance(i, Expr) for s in statements for i in s.index):
            return 1
        var = loop.var.here()
        if any(
            isinstance(i, Expr) and var.number in self.variables(i)
            for s in statements for r in s.reads for i in r.index
        ):  # fmt: skip
            return 1  # each lane would look it up at a place of its own
        apart = sum(b.size // b.shape[axis] for b, axis in self._apart(loop))
        for s in statements:
            if s.target.home is None and s.combine is None and _axis_of(s.index, var) is not None:
                apart += s.target.size // extent
        if _unrolled(loop) < 6 * max(apart, 1):
            return 1
        room = apart
        for b in {id(s.target): s.target for s in statements}.values():
            if b.home is not None and _is_inside(b.home, loop) and id(b) not in self.silent:
                room += kept_size(b)
        for s in statements:
            if s.combine is not None and s.initial is not None:
                here, _, inside = _roles(s, loop)
                if s.reduced[here] and here < inside and id(s) not in self.rare:
                    room += math.prod(v.extent for v in self._kept_inside(s, loop))
        for several, most in _LANE_ROOMS.items():
            if several > 2 and any(id(s) in self.rare for s in statements):
                continue  # the fewer lanes, the more often nothing is to be added in any
            lanes = several * width
            if room * lanes * 8 <= most and 2 * lanes <= extent and lanes <= 16:
                self.rolled = True
                return lanes
        return 1

    def _apart(self, loop: Loop) -> list[tuple[Buffer, int]]:
        """What is read at places that lie apart for neighbouring turns, and along which axis."""
        var = loop.var.here()
        found: dict[int, tuple[Buffer, int]] = {}
        never: set[int] = set()
        for s in loop.statements():
            for r in s.reads:
                b: Buffer = r.data
                axis = _axis_of(r.index, var)
                if id(b) in self.written or axis is None or axis == len(b.shape) - 1:
                    if axis is None and any(
                        isinstance(i, Affine) and any(v.here() is var for v, _ in i.terms)
                        for i in r.index
                    ):
                        never.add(id(b))
                    continue
                rest = b.size // b.shape[axis]
                if any(isinstance(i, Expr) for i in r.index) or rest > 1024:
                    never.add(id(b))
                if found.setdefault(id(b), (b, axis))[1] != axis:
                    never.add(id(b))
        return [v for k, v in found.items() if k not in never]

    def _pack(self, loop: Loop) -> None:
        """Read what lies apart once in every turn, and lay it side by side for the lanes."""
        assert self.vector is not None
        for b, axis in self._apart(loop):
            rest = (*b.shape[:axis], *b.shape[axis + 1 :])
            own = Buffer("p", rest, b.dtype, "temporary")
            pointer = self.packs.get(id(b))
            if pointer is None:
                room = type_of(b.dtype, self.lanes, memory=True)
                pointer = self.packs[id(b)] = self.alloca(room, own.size)
            self.pointers[id(own)] = pointer
            self.lane_private.add(id(own))
            variables = [Var(n) for n in rest]
            places = [Affine(0, ((v, 1),)) for v in variables]
            whole = (*places[:axis], Affine(0, ((self.vector, 1),)), *places[axis:])

            def turn(
                b: Buffer = b, own: Buffer = own, whole: Any = whole, places: Any = places
            ) -> None:
                top = len(self.levels) - 1
                self.store(own, places, self.read(b, whole, b.dtype, top), b.dtype)

            self.each(variables, turn)
            self.packed[id(b)] = own, axis

    def _begin(self, loop: Loop, statements: Sequence[Statement], lanes: int) -> None:
        """What has to be ready before the first turn."""
        if lanes > 1:
            for b in {id(s.target): s.target for s in statements}.values():
                if b.home is not None and _is_inside(b.home, loop) and id(b) not in self.silent:
                    self.pointers[id(b)] = self.alloca(
                        type_of(b.dtype, lanes, memory=True), kept_size(b)
                    )
                    self.lane_private.add(id(b))
        sums = [s for s in statements if s.combine is not None and s.initial is not None]
        for s in sums:
            here, first, inside = _roles(s, loop)
            if here == inside:
                if lanes == 1:
                    width = self.lanes if self.vector is not None else self._becomes_vector(loop, s)
                elif lanes & lanes - 1 or (len(sums) > _SUMS_IN_REGISTERS and s.combine == "add"):
                    # In a long turn with many vectors, these have all the registers.
                    width = max(1, self.module.target.bytes // s.target.itemsize)
                    width = min(width, lanes & -lanes)
                else:
                    width = lanes
                self._start_sum(s, width)
            elif lanes > 1 and s.reduced[here] and here < inside and id(s) not in self.rare:
                self._start_lane_sums(s, loop, lanes)
            elif here == first:
                self._fill(s, loop)

    def _becomes_vector(self, loop: Loop, s: Statement) -> int:
        """How many lanes a loop inside of this one is going to have for the statement."""
        for item in _inside(loop):
            if s in item.statements():
                lanes = self._lanes(item)
                return lanes if lanes > 1 else self._becomes_vector(item, s)
        return 1

    def _start_sum(self, s: Statement, lanes: int) -> None:
        dtype = s.target.dtype
        t = type_of(dtype, lanes)
        pointer = self.alloca(t)
        assert s.initial is not None
        initial = number(s.initial.data, dtype)
        text = splat(initial, dtype, lanes)
        self.do(f"store {t} {text}, ptr {pointer}")
        blocks = None
        if s.combine == "add" and dtype.kind == "f" and _longest_reduced(s) >= 4 * _BLOCK:
            blocks = self.alloca(t)
            self.do(f"store {t} {text}, ptr {blocks}")
        self.sums[id(s)] = _Sum(pointer, lanes, blocks)

    def _fill(self, s: Statement, loop: Loop) -> None:
        """The target of a reduction whose inner loops are not reduced, before the first turn."""
        assert s.initial is not None
        inner = self._kept_inside(s, loop)
        renamed = {v.number: Var(v.high, v.low) for v in inner}
        index = tuple([
            Affine(i.const, tuple([(renamed.get(v.here().number, v), c) for v, c in i.terms]))
            for i in s.index
        ])  # fmt: skip
        filled = Statement(s.target, list(renamed.values()), index, s.initial)
        nest = loops_around(filled)
        assert isinstance(nest, Loop)
        silent = self.silent
        self.silent = set()
        self.loop(nest)
        self.silent = silent
        self.forget(s.target)  # what was filled in is not what it is going to be

    def _kept_inside(self, s: Statement, loop: Loop) -> list[Var]:
        """The loops of a reduction inside of this one that are not reduced."""
        here = _place_of(loop, s)
        pairs = zip(s.vars[here:], s.reduced[here:], strict=True)
        return [v.here() for v, reduced in pairs if not reduced]

    def _start_lane_sums(self, s: Statement, loop: Loop, lanes: int) -> None:
        """A sum for each lane and for each element of the loops inside."""
        inner = self._kept_inside(s, loop)
        own = Buffer("s", tuple(v.extent for v in inner), s.target.dtype, "temporary")
        t = type_of(own.dtype, lanes, memory=True)
        self.pointers[id(own)] = self.alloca(t, own.size)
        assert s.initial is not None
        text = splat(number(s.initial.data, own.dtype), own.dtype, lanes)
        text = self.to_memory(text, own.dtype, lanes)
        counter = Var(own.size)

        def turn() -> None:
            at = self.element(own, str(self.known[counter.number]), t, len(self.levels) - 1)
            self.do(f"store {t} {text}, ptr {at}, align 8")

        self.each([counter], turn)
        self.lane_private.add(id(own))
        self.redirected[id(s)] = own, tuple([Affine(-v.low, ((v, 1),)) for v in inner])

    def _end_lane_sums(self, s: Statement, loop: Loop, lanes: int, further: bool) -> None:
        own, index = self.redirected.pop(id(s))
        t = type_of(own.dtype, lanes, memory=True)

        def turn() -> None:
            top = len(self.levels) - 1
            place, _ = self.address(own, index)
            at = self.element(own, self.scalar_place(*self.place(place), top), t, top)
            wide = self.put(f"load {t}, ptr {at}, align 8")
            wide = self.from_memory(wide, own.dtype, lanes, top)
            total = self.horizontal(s.combine or "add", own.dtype, wide, lanes), False
            if further:
                self._add_to_target(s, total)
            else:
                self._keep(s, total)

        self.each(self._kept_inside(s, loop), turn)

    def _end(self, loop: Loop, statements: Sequence[Statement], lanes: int) -> None:
        """What has to be done after the last turn."""
        for s in statements:
            if s.combine is None or s.initial is None:
                continue
            here, first, inside = _roles(s, loop)
            if here == inside:
                total = self._total(s, self.sums.pop(id(s)))
                if first < inside:
                    self._add_to_target(s, total)
                else:
                    self._keep(s, total)
            elif lanes > 1 and s.reduced[here] and here < inside and id(s) not in self.rare:
                # A loop further out that is reduced too has begun the sums in memory.
                self._end_lane_sums(s, loop, lanes, further=here > first)

    def _add_to_target(self, s: Statement, found: tuple[str, bool]) -> None:
        target, index = self.redirected.get(id(s), (s.target, s.index))
        if found[1] and id(s) in self.rare and self._reduces_vector(s):
            wide = self._with_identity(s, found) if self.active < self.lanes else found[0]
            found = self.horizontal(s.combine or "add", target.dtype, wide, self.lanes), False
        old = self.read(target, index, target.dtype, len(self.levels) - 1)
        assert s.combine is not None
        new = self._combined(s.combine, target.dtype, old, found)
        self.store(target, index, new, target.dtype)
        if s.initial is None:
            self.forget(target)

    def _total(self, s: Statement, total: _Sum) -> tuple[str, bool]:
        t = type_of(s.target.dtype, total.lanes)
        register = self.put(f"load {t}, ptr {total.pointer}")
        if total.blocks is not None:
            before = self.put(f"load {t}, ptr {total.blocks}")
            register = self.put(f"fadd {t} {before}, {register}")
        if total.lanes == 1:
            return register, False
        if self.vector is not None:  # each lane has its own
            return register, True
        return self.horizontal(s.combine or "add", s.target.dtype, register, total.lanes), False


def _roles(s: Statement, loop: Loop) -> tuple[int, int, int]:
    """Of a reduction's loops: the place of this, the first reduced, the first after the kept."""
    here = _place_of(loop, s)
    first = s.reduced.index(True)
    inside = 1 + max([k for k, reduced in enumerate(s.reduced) if not reduced], default=-1)
    return here, first, inside


def _place_of(loop: Loop, s: Statement) -> int:
    """The place of a loop among those of a statement."""
    var = loop.var.here()
    return next(k for k, v in enumerate(s.vars) if v.here() is var)


def _longest_reduced(s: Statement) -> int:
    """The extent of the longest loop that a statement is reduced over."""
    pairs = zip(s.vars, s.reduced, strict=True)
    return max([v.extent for v, reduced in pairs if reduced], default=0)


def _buffers(s: Statement) -> list[Buffer]:
    return [s.target, *(r.data for r in s.reads)]


def _unrolled(loop: Loop) -> int:
    """How many statements one turn comes to if all loops inside are written out."""
    total = 0
    for item in loop.body:
        total += item.var.extent * _unrolled(item) if isinstance(item, Loop) else 1
    return total


def _mostly_short(loop: Loop, width: int) -> bool:
    """Whether most of what one turn comes to is in loops shorter than a vector.

    Sums of a few numbers count as short where their results lie side by side along this loop: each
    lane then has its own. They count as long where a loop inside is the one along which these lie.
    """
    long = 0
    for s in loop.statements():
        here = _place_of(loop, s) + 1
        inside, turns = s.vars[here:], math.prod(v.extent for v in s.vars[here:])
        few = all(s.reduced[here:]) and turns <= _FEW and _side_by_side(s, [loop.var])
        if inside and not few and max(inside[-1].extent, _side_by_side(s, inside)) >= width:
            long += turns
    return 3 * long < _unrolled(loop)


def _overtakes(s: Statement, loop: Loop) -> bool:
    """Whether lanes of a loop would write to a place before earlier turns inside have."""
    successive = s.successive()
    here = _place_of(loop, s)
    return s.vars[here] in successive and not {*s.vars[here + 1 :]}.isdisjoint(successive)


def _lies_along(loop: Loop, statements: Sequence[Statement]) -> bool:
    """Whether what some statements make in each turn of another loop lies along this one."""
    return loop.parent is not None and all(_side_by_side(s, [loop.var]) for s in statements)


def _side_by_side(s: Statement, variables: Sequence[Var]) -> int:
    """The extent of the one of some loops along which what a statement makes lies in memory."""
    last = s.index[-1] if s.index else None
    if not isinstance(last, Affine):
        return 0
    own = [v.here() for v, c in last.terms if c == 1]
    return max([v.extent for v in variables if v.here() in own], default=0)


def _innermost(loop: Loop) -> int:
    """The longest of the innermost loops."""
    return max(map(_innermost, _inside(loop)), default=loop.var.extent)


def _inside(loop: Loop) -> list[Loop]:
    """The loops right inside of one."""
    return [item for item in loop.body if isinstance(item, Loop)]


def _axis_of(index: Sequence[Any], var: Var) -> int | None:
    """The axis whose index is a loop's variable."""
    for axis, i in enumerate(index):
        if isinstance(i, Affine) and i.is_var(var):
            return axis
    return None


def _is_inside(loop: Any, outer: Loop) -> bool:
    while loop is not None:
        if loop is outer:
            return True
        loop = loop.parent
    return False
