"""Elements: expressions in registers, read from memory and written to it.

Code for an expression is put into the outermost loop in whose turn all its variables are known.
What was just written is used from its register.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.run.llvm.expressions import Affine, Expr, Var
from chainrule.run.llvm.instructions import Instructions, Module, number, type_of, zeros
from chainrule.run.llvm.nests import Buffer


class Elements(Instructions):
    """Computes, reads and writes elements in the loops that are open.

    One loop may be a vector loop: its variable stands for several numbers, one for each lane.
    """

    def __init__(self, module: Module) -> None:
        super().__init__(module)
        # Of each variable: the level in whose turn it is known, and its register or number.
        self.depth: dict[int, int] = {}
        self.known: dict[int, Any] = {}
        self.vector: Var | None = None
        # Buffers of which every lane has its own, and those that this function writes.
        self.lane_private: set[int] = set()
        self.written: set[int] = set()
        # Buffers that are never in memory.
        self.silent: set[int] = set()
        # Where the lanes of a vector loop take turns: the register with the lane whose turn it is,
        # and how many there are.
        self.lane: tuple[str, int] | None = None
        # What a vector loop has laid side by side: by the buffer, its copy and the axis left out.
        self.packed: dict[int, tuple[Buffer, int]] = {}
        self._variables: dict[int, tuple[Expr, frozenset[int]]] = {}

    def variables(self, e: Expr) -> frozenset[int]:
        """The variables that an expression depends on."""
        found = self._variables.get(id(e))
        if found is not None:
            return found[1]
        free: set[int] = set()
        for a in e.args:
            free |= self.variables(a)
        indices = e.index if e.kind == "load" else (e.data,) if e.kind == "index" else ()
        for i in indices:
            if isinstance(i, Affine):
                free.update(v.here().number for v, _ in i.terms)
            else:
                free |= self.variables(i)
        result = frozenset(free)
        self._variables[id(e)] = e, result
        return result

    def level_of(self, e: Expr) -> int:
        """Where an expression can be computed."""
        depth = self.depth
        return max([depth[v] for v in self.variables(e)], default=0)

    def value(self, e: Expr) -> tuple[str, bool]:
        """The register that holds an expression, and whether it holds a vector."""
        kind = e.kind
        if kind == "const":
            return number(e.data, e.dtype), False
        level = self.level_of(e)
        memo = self.levels[level].memo
        found = memo.get(id(e))
        if found is not None:
            return found[1]  # type: ignore[no-any-return]
        if kind == "load":
            result = self._load(e, level)
        elif kind == "index":
            result = self._index(e.data, level)
        else:
            args = [self.value(a) for a in e.args]
            key = (e.data, e.dtype.str, *args)
            known = memo.get(key)
            if known is None:
                known = self._operation(e, args, level)
                memo[key] = known
            result = known
        memo[id(e)] = e, result
        return result

    def _operation(self, e: Expr, args: Sequence[tuple[str, bool]], level: int) -> tuple[str, bool]:
        vector = any(is_vector for _, is_vector in args)
        lanes = self.lanes if vector else 1
        registers = [
            self.spread(r, a.dtype, level) if vector and not is_vector else r
            for (r, is_vector), a in zip(args, e.args, strict=True)
        ]
        return self.compute(
            e.data, e.dtype, [a.dtype for a in e.args], registers, lanes, level
        ), vector

    def place(self, index: Affine) -> tuple[int, dict[int, int]]:
        """An affine number as its known part and the rest, by variable."""
        known = index.const
        terms: dict[int, int] = {}
        for var, c in index.terms:
            n = var.here().number
            at = self.known[n]
            if isinstance(at, int):
                known += c * at
            else:
                terms[n] = terms.get(n, 0) + c
        return known, terms

    def _index(self, index: Affine, level: int) -> tuple[str, bool]:
        register = self.scalar_place(*self.place(index), level)
        step = self.step(index)
        if not step or self.lanes == 1:
            return register, False
        steps = ", ".join(f"i64 {k * step}" for k in range(self.lanes))
        first = self.spread(register, np.int64, level)
        return self.put(f"add <{self.lanes} x i64> {first}, <{steps}>", level), True

    def scalar_place(self, known: int, terms: dict[int, int], level: int) -> str:
        """An affine number in a register, for the first lane."""
        total = ""
        for n, c in sorted(terms.items(), key=lambda item: self.depth[item[0]]):
            at = self.known[n]
            own = self.depth[n]
            if at.isdigit():
                known += c * int(at)
                continue
            if c != 1:
                memo = self.levels[own].memo
                scaled = memo.get(("mul", at, c))
                if scaled is None:
                    scaled = memo["mul", at, c] = self.put(f"mul nsw i64 {at}, {c}", own)
                at = scaled
            if total:
                memo = self.levels[own].memo
                key = "sum", total, at
                both = memo.get(key)
                if both is None:
                    both = memo[key] = self.put(f"add nsw i64 {total}, {at}", own)
                total = both
            else:
                total = at
        if not total:
            return str(known)
        if known:
            memo = self.levels[level].memo
            key = "sum", total, known
            if key not in memo:
                memo[key] = self.put(f"add nsw i64 {total}, {known}", level)
            total = memo[key]
        return total

    def address(self, b: Buffer, index: Sequence[Any]) -> tuple[Affine, list[tuple[Expr, int]]]:
        """Where an element lies in what is kept of a buffer: an affine part, and the rest."""
        place = Affine()
        dynamic: list[tuple[Expr, int]] = []
        stride = 1
        for axis in range(len(b.shape) - 1, -1, -1):
            if b.dropped >> axis & 1:
                continue
            i = index[axis]
            if isinstance(i, Affine):
                place = place.plus(i.scaled(stride))
            else:
                register, _ = self.value(i)
                if register.startswith(("%", "<")):
                    dynamic.append((i, stride))
                else:
                    place = place.shifted(int(register) * stride)
            stride *= b.shape[axis]
        # Where lanes are at places of their own: one number of each lane after another.
        if id(b) in self.lane_private and (dynamic or self.step(place)):
            place = place.scaled(self.lanes)
            dynamic = [(i, stride * self.lanes) for i, stride in dynamic]
        return place, dynamic

    def step(self, place: Affine) -> int:
        """How far the places of two lanes next to each other are apart."""
        return self.place(place)[1].get(self.vector.number, 0) if self.vector is not None else 0

    def key(self, b: Buffer, index: Sequence[Any]) -> tuple[Any, int]:
        """What tells an element of a buffer apart, and the level at which its index is known."""
        parts: list[Any] = []
        level = 0
        for i in index:
            if isinstance(i, Affine):
                known, terms = self.place(i)
                parts.append((known, *sorted(terms.items())))
                for n in terms:
                    level = max(level, self.depth[n])
            else:
                parts.append(self.value(i)[0])
                level = max(level, self.level_of(i))
        return ("at", id(b), *parts), level

    def _load(self, e: Expr, level: int) -> tuple[str, bool]:
        b: Buffer = e.data
        index = e.index
        packed = self.packed.get(id(b))
        if packed is not None and self.vector is not None:
            axis = packed[1]
            at = index[axis]
            if isinstance(at, Affine) and at.is_var(self.vector):
                b, index = packed[0], (*index[:axis], *index[axis + 1 :])
                return self.read(b, index, e.dtype, level)
        key, place = self.key(b, e.index)
        if self.lane is not None and id(b) in self.silent:
            for n in range(len(self.levels) - 1, -1, -1):
                if key in self.levels[n].memo:
                    register, vector = self.levels[n].memo[key]
                    if vector:
                        register = self._of_lane(register, e.dtype, n, level)
                    return register, False
        if b.kind == "constant" and not any(isinstance(p, str) or len(p) > 1 for p in key[2:]):
            return number(b.array[tuple(p[0] for p in key[2:])], e.dtype), False
        if id(b) in self.written:
            # What this function writes is read where its index is complete, turns that are written
            # out included: any earlier, and it would not be there yet.
            for known in (self.levels[place].memo.get(key), self.levels[level].memo.get(key)):
                if known is not None:
                    return known  # type: ignore[no-any-return]
            place = level
        known = self.levels[place].memo.get(key)
        if known is None:
            known = self.levels[place].memo[key] = self.read(b, e.index, e.dtype, place)
        return known

    def _of_lane(self, register: str, dtype: Any, known: int, level: int) -> str:
        """The number of the lane whose turn it is, of a vector that is known at a level."""
        assert self.lane is not None
        lane, lanes = self.lane
        memo = self.levels[known].memo
        room = memo.get(("laid", register))
        if room is None:
            wide = type_of(dtype, lanes, memory=True)
            room = memo["laid", register] = self.alloca(wide)
            laid = self.to_memory(register, dtype, lanes, known)
            self.do(f"store {wide} {laid}, ptr {room}, align 8", known)
        memory = type_of(dtype, memory=True)
        at = self.put(f"getelementptr inbounds {memory}, ptr {room}, i64 {lane}", level)
        return self.from_memory(self.put(f"load {memory}, ptr {at}", level), dtype, 1, level)

    def _place_of_lane(self, b: Buffer, index: Sequence[Any], level: int) -> str:
        """Where an element of the lane whose turn it is lies, as each lane has its own."""
        assert self.lane is not None
        lane, lanes = self.lane
        place, dynamic = self.address(b, index)
        at = self.scalar_place(*self.place(place.scaled(lanes)), level)
        parts = [(*self.value(i), stride * lanes) for i, stride in dynamic]
        return self.put(f"add nsw i64 {self.lane_place(at, 0, parts, 0, level)}, {lane}", level)

    def read(self, b: Buffer, index: Sequence[Any], dtype: Any, level: int) -> tuple[str, bool]:
        """Load an element, or one for each lane."""
        private = id(b) in self.lane_private
        if private and self.lane is not None:
            at = self._place_of_lane(b, index, level)
            return self.read_one(b, at, dtype, level), False
        place, dynamic = self.address(b, index)
        step = self.step(place)
        if private and not dynamic and not step:
            pointer = self._pointer(b, place, level)
            wide = type_of(dtype, self.lanes, memory=True)
            found = self.put(f"load {wide}, ptr {pointer}, align 8", level)
            return self.from_memory(found, dtype, self.lanes, level), True
        first = self.scalar_place(*self.place(place), level)
        step += private
        if not dynamic and (not step or self.lanes == 1):
            return self.read_one(b, first, dtype, level), False
        if step == 1 and not any(self.value(i)[1] for i, _ in dynamic):
            if dynamic:
                parts = [(*self.value(i), stride) for i, stride in dynamic]
                first = self.lane_place(first, 0, parts, 0, level)
            if self.active == 1:
                return self.spread(self.read_one(b, first, dtype, level), dtype, level), True
            memory = type_of(dtype, memory=True)
            pointer = self.element(b, first, memory, level)
            part = f"<{self.active} x {memory}>"
            found = self.put(f"load {part}, ptr {pointer}, align {b.itemsize}", level)
            found = self._widened(found, memory, self.active, level)
            return self.from_memory(found, dtype, self.lanes, level), True
        return self._gather(b, first, step, dynamic, dtype, level)

    def read_one(self, b: Buffer, at: str, dtype: Any, level: int) -> str:
        """Load the element at a place."""
        memory = type_of(dtype, memory=True)
        pointer = self.element(b, at, memory, level)
        found = self.put(f"load {memory}, ptr {pointer}, align {b.itemsize}", level)
        return self.from_memory(found, dtype, 1, level)

    def _widened(self, register: str, memory: str, n: int, level: int) -> str:
        """A vector of all lanes: those that have nothing to do repeat the last one.

        With zeros there, LLVM takes 0 / 0 for zero and leaves out the selection that drops it.
        """
        if n == self.lanes:
            return register
        lanes = ", ".join(f"i32 {min(k, n - 1)}" for k in range(self.lanes))
        return self.put(
            f"shufflevector <{n} x {memory}> {register}, <{n} x {memory}> poison, "
            f"<{self.lanes} x i32> <{lanes}>", level,
        )  # fmt: skip

    def from_memory(self, register: str, dtype: Any, lanes: int, level: int) -> str:
        """What was loaded, as it is computed with: truth values are bytes in memory."""
        if np.dtype(dtype) != np.bool_:
            return register
        t = type_of(dtype, lanes, memory=True)
        return self.put(f"icmp ne {t} {register}, {zeros(t)}", level)

    def element(self, b: Buffer, at: str, memory: str, level: int) -> str:
        """The address of an element."""
        base = self.pointers.get(id(b))
        if base is None:  # needed for one turn of a loop only
            memory = type_of(b.dtype, memory=True)
            base = self.pointers[id(b)] = self.alloca(memory, kept_size(b))
        if at == "0":
            return base
        return self.put(f"getelementptr inbounds {memory}, ptr {base}, i64 {at}", level)

    def _pointer(self, b: Buffer, place: Affine, level: int) -> str:
        """In a buffer that every lane has for itself."""
        at = self.scalar_place(*self.place(place), level)
        return self.element(b, at, type_of(b.dtype, self.lanes, memory=True), level)

    def _gather(
        self, b: Buffer, first: str, step: int, dynamic: Sequence[tuple[Expr, int]], dtype: Any,
        level: int,
    ) -> tuple[str, bool]:  # fmt: skip
        """Load elements that lie apart, or at places that are only known while running."""
        parts = [(*self.value(i), stride) for i, stride in dynamic]
        if not (step and self.lanes > 1) and not any(vector for _, vector, _ in parts):
            at = self.lane_place(first, 0, parts, 0, level)
            return self.read_one(b, at, dtype, level), False
        wide, t = type_of(dtype, self.lanes), type_of(dtype)
        found = "poison"
        one = ""
        for lane in range(self.lanes):
            if lane < self.active:
                at = self.lane_place(first, lane * step, parts, lane, level)
                one = self.read_one(b, at, dtype, level)
            found = self.put(f"insertelement {wide} {found}, {t} {one}, i64 {lane}", level)
        return found, True

    def lane_place(self, first: str, more: int, parts: Any, lane: int, level: int) -> str:
        """Where the element of one lane lies, if that is found out while running."""
        at = self.put(f"add nsw i64 {first}, {more}", level) if more else first
        for register, vector, stride in parts:
            one = (
                self.put(f"extractelement <{self.lanes} x i64> {register}, i64 {lane}", level)
                if vector else register
            )  # fmt: skip
            if stride != 1:
                one = self.put(f"mul nsw i64 {one}, {stride}", level)
            at = self.put(f"add nsw i64 {at}, {one}", level)
        return at

    def store(self, b: Buffer, index: Sequence[Any], found: tuple[str, bool], dtype: Any) -> None:
        """Write an element, or one for each lane."""
        register, vector = found
        private = id(b) in self.lane_private
        if private and self.lane is not None:
            at = self._place_of_lane(b, index, len(self.levels) - 1)
            self.write_one(b, at, register, dtype)
            return
        place, dynamic = self.address(b, index)
        step = self.step(place)
        if private and not dynamic and not step:
            wide = type_of(dtype, self.lanes, memory=True)
            if not vector:
                register = self.spread(register, dtype, len(self.levels) - 1)
            register = self.to_memory(register, dtype, self.lanes)
            self.do(f"store {wide} {register}, ptr {self._pointer(b, place, -1)}, align 8")
            return
        step += private
        top = len(self.levels) - 1
        first = self.scalar_place(*self.place(place), top)
        if not dynamic and (not step or self.lanes == 1):
            one = self.lane_of(register, dtype, self.active - 1) if vector else register
            self.write_one(b, first, one, dtype)  # all lanes write there: the last one stays
            return
        if not vector:
            register = self.spread(register, dtype, top)
        # Vectors of one lane are what LLVM's passes are not prepared for.
        if not dynamic and step == 1 and self.active > 1:
            n = self.active
            memory = type_of(dtype, memory=True)
            pointer = self.element(b, first, memory, top)
            register = self.to_memory(register, dtype, self.lanes)
            if n != self.lanes:
                wide = f"<{self.lanes} x {memory}>"
                lanes = ", ".join(f"i32 {k}" for k in range(n))
                register = self.put(
                    f"shufflevector {wide} {register}, {wide} poison, <{n} x i32> <{lanes}>"
                )
            self.do(f"store <{n} x {memory}> {register}, ptr {pointer}, align {b.itemsize}")
            return
        parts = [(*self.value(i), stride) for i, stride in dynamic]
        for lane in range(self.active):
            at = self.lane_place(first, lane * step, parts, lane, top)
            self.write_one(b, at, self.lane_of(register, dtype, lane), dtype)

    def lane_of(self, register: str, dtype: Any, lane: int) -> str:
        """The number of one lane."""
        if self.lanes == 1:
            return register
        return self.put(f"extractelement {type_of(dtype, self.lanes)} {register}, i64 {lane}")

    def write_one(self, b: Buffer, at: str, register: str, dtype: Any) -> None:
        """Store an element at a place."""
        memory = type_of(dtype, memory=True)
        pointer = self.element(b, at, memory, len(self.levels) - 1)
        given = self.to_memory(register, dtype, 1)
        self.do(f"store {memory} {given}, ptr {pointer}, align {b.itemsize}")

    def to_memory(self, register: str, dtype: Any, lanes: int, level: int = -1) -> str:
        """What is stored of a register."""
        if np.dtype(dtype) != np.bool_:
            return register
        wide = type_of(dtype, lanes, memory=True)
        return self.put(f"zext {type_of(dtype, lanes)} {register} to {wide}", level)

    def forget(self, b: Buffer) -> None:
        """What was known of a buffer's elements does not hold any more."""
        for level in self.levels:
            known = level.memo
            gone = [k for k in known if type(k) is tuple and k[0] == "at" and k[1] == id(b)]
            reads = [
                k for k, v in known.items()
                if type(k) is int and v[0].kind == "load" and v[0].data is b
            ]  # fmt: skip
            for key in (*gone, *reads):
                del known[key]


def kept_size(b: Buffer) -> int:
    """How many elements are kept of a buffer."""
    return math.prod(n for axis, n in enumerate(b.shape) if not b.dropped >> axis & 1)
