"""LLVM IR of loop nests, as text.

Each group of the nests becomes a function of its buffers. Code for an expression is put into the
outermost loop in whose turn all its variables are known; a value that was just stored is used from
its register. One loop of a nest is a *vector* loop: several of its turns are done at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.run.llvm.expressions import Affine, Expr, Var
from chainrule.run.llvm.functions import function
from chainrule.run.llvm.nests import DEAR, Buffer, Loop, Statement, loops_around
from chainrule.run.llvm.target import Target

_TYPES = {"f8": "double", "f4": "float", "i8": "i64", "i4": "i32", "b1": "i1"}
_IN_MEMORY = {"f8": "double", "f4": "float", "i8": "i64", "i4": "i32", "b1": "i8"}
# Statements to be repeated in a vector loop, at most, so that the code stays short.
_UNROLLED = 400
# Small loops inside of a vector loop are written out up to this many statements.
_WRITTEN_OUT = 24
# Turns of a long loop whose sums are added up by themselves.
_BLOCK = 4096
# Bytes that what every lane has for itself may take: it should stay near.
_LANE_ROOM = 48 << 10


def type_of(dtype: Any, lanes: int = 1, memory: bool = False) -> str:
    """The LLVM type of an element, or of a vector of them."""
    name = (_IN_MEMORY if memory else _TYPES)[np.dtype(dtype).str[1:]]
    return name if lanes == 1 else f"<{lanes} x {name}>"


class Module:
    """Functions, declarations and external symbols of one piece of code."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.functions: list[str] = []
        # Long straight code, which takes too long to be made better.
        self.hasty: list[str] = []
        self.declarations: dict[str, None] = {}
        self.definitions: dict[str, str] = {}
        self.externals: dict[str, int] = {}
        self.sources: dict[str, str] = {}
        # How many turns of a loop are done at once, by the identity of the loop: for listings.
        self.widths: dict[int, int] = {}

    def declare(self, line: str) -> None:
        """Something that is defined elsewhere."""
        self.declarations.setdefault(line)

    def elementary(self, name: str, dtype: Any, lanes: int) -> str:
        """The symbol of an elementary function."""
        found = function(name, type_of(dtype), lanes)
        if found is None:
            raise NotImplementedError(name)
        if found.symbol not in self.definitions:
            self.definitions[found.symbol] = found.definition
            for line in found.declarations:
                self.declare(line)
            self.externals.update(found.externals)
            self.sources[f"{name} of {type_of(dtype, lanes)}"] = found.source
        return found.symbol

    def text(self) -> str:
        """All of it."""
        return "\n".join(
            [*self.declarations, *(d for d in self.definitions.values() if d), *self.functions, ""]
        )


class _Level:
    """The code of one turn of a loop, and what is known in it."""

    __slots__ = ("block", "lines", "memo")

    def __init__(self, block: str) -> None:
        self.lines: list[str] = []
        self.memo: dict[Any, Any] = {}
        self.block = block


class _Sum:
    """The accumulator of a reduction: in a register for the time of its loop.

    A long sum of floats has a second one, ``blocks``, which takes up the first after every block:
    rounding errors grow with the length of a block and the number of blocks, not with their product.
    """

    __slots__ = ("blocks", "lanes", "pointer")

    def __init__(self, pointer: str, lanes: int, blocks: str | None) -> None:
        self.pointer = pointer
        self.lanes = lanes
        self.blocks = blocks


class Emitter:
    """Writes one function."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.allocas: list[str] = []
        self.levels = [_Level("entry")]
        self.count = 0
        # Of each variable: the level in whose turn it is known, and its register or number.
        self.depth: dict[int, int] = {}
        self.known: dict[int, Any] = {}
        self.vector: Var | None = None
        self.lanes = 1
        self.active = 1  # lanes that count: fewer than all in what is left over at the end
        self.pointers: dict[int | str, str] = {}
        self.lane_private: set[int] = set()
        # Where a reduction's sums are while its vector loop runs.
        self.redirected: dict[int, tuple[Buffer, tuple[Affine, ...]]] = {}
        self.sums: dict[int, _Sum] = {}
        # A vector loop with loops inside that are not written out; what it has laid side by side.
        self.rolled = False
        self.packed: dict[int, tuple[Buffer, int]] = {}
        self.packed_axis: dict[int, int] = {}
        self.packs: dict[int, str] = {}
        # The loop of which each thread makes a part of the turns.
        self.divided: Var | None = None
        self.silent: set[int] = set()
        self.written: set[int] = set()
        self._variables: dict[int, tuple[Expr, frozenset[int]]] = {}

    # ------------------------------------------------------------------------------------- writing

    def name(self) -> str:
        self.count += 1
        return f"%v{self.count}"

    def put(self, text: str, level: int = -1) -> str:
        """An instruction with a result, written at the end of a level's code."""
        self.count += 1
        result = f"%v{self.count}"
        self.levels[level].lines.append(f"  {result} = {text}")
        return result

    def do(self, text: str, level: int = -1) -> None:
        """An instruction without a result."""
        self.levels[level].lines.append(f"  {text}")

    def alloca(self, type_name: str, count: int = 1) -> str:
        """Room on the stack for as long as the function runs."""
        self.count += 1
        result = f"%a{self.count}"
        self.allocas.append(f"  {result} = alloca {type_name}, i64 {count}, align 64")
        return result

    def _label(self, name: str) -> str:
        self.count += 1
        return f"{name}{self.count}"

    # ---------------------------------------------------------------------------------- expressions

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

    def in_lanes(self, e: Expr) -> bool:
        """Whether the turns of the vector loop have values of their own."""
        return self.vector is not None and self.vector.number in self.variables(e)

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

    def spread(self, register: str, dtype: Any, level: int) -> str:
        """A number in all lanes."""
        if self.lanes == 1:
            return register
        memo = self.levels[level].memo
        key = "spread", register, np.dtype(dtype).str, self.lanes
        found = memo.get(key)
        if found is None:
            t = type_of(dtype)
            if not register.startswith("%"):
                found = f"<{', '.join([f'{t} {register}'] * self.lanes)}>"
            else:
                wide = f"<{self.lanes} x {t}>"
                one = self.put(f"insertelement {wide} poison, {t} {register}, i64 0", level)
                found = self.put(
                    f"shufflevector {wide} {one}, {wide} poison, "
                    f"<{self.lanes} x i32> zeroinitializer", level,
                )  # fmt: skip
            memo[key] = found
        return found

    def compute(
        self, name: str, dtype: np.dtype[Any], inside: Sequence[np.dtype[Any]], r: Sequence[str],
        lanes: int, level: int = -1,
    ) -> str:  # fmt: skip
        """One operation on registers."""
        kind = inside[0].kind
        t = type_of(inside[0], lanes)
        if name in _ARITHMETIC:
            code = _ARITHMETIC[name][kind != "f"]
            return self.put(f"{code} {t} {r[0]}, {r[1]}", level)
        if name in _COMPARISONS:
            code = _COMPARISONS[name]["fib".index(kind)]
            word = "fcmp" if kind == "f" else "icmp"
            return self.put(f"{word} {code} {t} {r[0]}, {r[1]}", level)
        if name in ("maximum", "minimum", "fmax", "fmin"):
            return self._extreme(name, kind, t, r, lanes, level)
        if name == "where":
            wide = type_of(inside[1], lanes)
            c = type_of(np.bool_, lanes)
            return self.put(f"select {c} {r[0]}, {wide} {r[1]}, {wide} {r[2]}", level)
        if name == "cast":
            return self._cast(inside[0], dtype, r[0], lanes, level)
        if name == "negative":
            return self.put(
                f"fneg {t} {r[0]}" if kind == "f" else f"sub {t} {_zeros(t)}, {r[0]}", level
            )
        if name in _LOGICAL:
            if name == "logical_not":
                ones = "true" if lanes == 1 else f"<{', '.join(['i1 true'] * lanes)}>"
                return self.put(f"xor {t} {r[0]}, {ones}", level)
            return self.put(f"{_LOGICAL[name]} {t} {r[0]}, {r[1]}", level)
        if name == "isnan":
            return self.put(f"fcmp uno {t} {r[0]}, {r[0]}", level)
        if name in ("isfinite", "isinf"):
            size = self.intrinsic("fabs", inside[0], lanes, r, level)
            infinity = number(inside[0].type(np.inf), inside[0])
            all_lanes = infinity if lanes == 1 else self._splat_text(infinity, inside[0], lanes)
            code = "oeq" if name == "isinf" else "olt"
            return self.put(f"fcmp {code} {t} {size}, {all_lanes}", level)
        if name == "signbit":
            bits = f"i{inside[0].itemsize * 8}"
            wide = bits if lanes == 1 else f"<{lanes} x {bits}>"
            as_bits = self.put(f"bitcast {t} {r[0]} to {wide}", level)
            return self.put(f"icmp slt {wide} {as_bits}, {_zeros(wide)}", level)
        if name == "abs":
            if kind == "f":
                return self.intrinsic("fabs", inside[0], lanes, r, level)
            negative = self.put(f"sub {t} {_zeros(t)}, {r[0]}", level)
            below = self.put(f"icmp slt {t} {r[0]}, {_zeros(t)}", level)
            c = type_of(np.bool_, lanes)
            return self.put(f"select {c} {below}, {t} {negative}, {t} {r[0]}", level)
        if name == "wrap":
            return self._wrapped(r, lanes, level)
        if name in _INTRINSICS:
            return self.intrinsic(_INTRINSICS[name], inside[0], lanes, r, level)
        symbol = self.module.elementary(name, inside[0], lanes)
        given = ", ".join(f"{t} {a}" for a in r)
        return self.put(f"call {t} @{symbol}({given})", level)

    def _wrapped(self, r: Sequence[str], lanes: int, level: int) -> str:
        """An index of an axis, counted from its end if negative; beyond it, the run has failed."""
        t = type_of(np.int64, lanes)
        c = type_of(np.bool_, lanes)
        below = self.put(f"icmp slt {t} {r[0]}, {_zeros(t)}", level)
        from_end = self.put(f"add {t} {r[0]}, {r[1]}", level)
        at = self.put(f"select {c} {below}, {t} {from_end}, {t} {r[0]}", level)
        beyond = self.put(f"icmp uge {t} {at}, {r[1]}", level)
        # As a number: 1 in the status for every failure, or nothing; it is stored without a branch.
        if lanes > 1:
            symbol = f"llvm.vector.reduce.or.v{lanes}i1"
            self.module.declare(f"declare i1 @{symbol}({c})")
            any_beyond = self.put(f"call i1 @{symbol}({c} {beyond})", level)
        else:
            any_beyond = beyond
        failed = self.put(f"zext i1 {any_beyond} to i64", level)
        status = self.pointers["status"]
        old = self.put(f"load i64, ptr {status}, align 8", level)
        new = self.put(f"or i64 {old}, {failed}", level)
        self.do(f"store i64 {new}, ptr {status}, align 8", level)
        return self.put(f"select {c} {beyond}, {t} {_zeros(t)}, {t} {at}", level)

    def _splat_text(self, constant: str, dtype: Any, lanes: int) -> str:
        return f"<{', '.join([f'{type_of(dtype)} {constant}'] * lanes)}>"

    def intrinsic(
        self, name: str, dtype: Any, lanes: int, r: Sequence[str], level: int = -1
    ) -> str:
        """One of LLVM's own functions."""
        t = type_of(dtype, lanes)
        short = f"f{np.dtype(dtype).itemsize * 8}"
        symbol = f"llvm.{name}." + (short if lanes == 1 else f"v{lanes}{short}")
        self.module.declare(f"declare {t} @{symbol}({', '.join([t] * len(r))})")
        given = ", ".join(f"{t} {a}" for a in r)
        return self.put(f"call {t} @{symbol}({given})", level)

    def _extreme(
        self, name: str, kind: str, t: str, r: Sequence[str], lanes: int, level: int
    ) -> str:
        """The larger or smaller of two; NaN wins, or loses for ``fmax`` and ``fmin``."""
        c = type_of(np.bool_, lanes)
        if kind == "b":
            return self.put(f"{'or' if 'max' in name else 'and'} {t} {r[0]}, {r[1]}", level)
        if kind == "i":
            code = "sgt" if "max" in name else "slt"
            first = self.put(f"icmp {code} {t} {r[0]}, {r[1]}", level)
            return self.put(f"select {c} {first}, {t} {r[0]}, {t} {r[1]}", level)
        code = "ogt" if "max" in name else "olt"
        first = self.put(f"fcmp {code} {t} {r[0]}, {r[1]}", level)
        chosen = self.put(f"select {c} {first}, {t} {r[0]}, {t} {r[1]}", level)
        if name.startswith("f"):
            lost = self.put(f"fcmp uno {t} {r[1]}, {r[1]}", level)
        else:
            lost = self.put(f"fcmp uno {t} {r[0]}, {r[0]}", level)
        return self.put(f"select {c} {lost}, {t} {r[0]}, {t} {chosen}", level)

    def _cast(self, old: Any, new: Any, register: str, lanes: int, level: int) -> str:
        a, b = type_of(old, lanes), type_of(new, lanes)
        if new.kind == "f":
            if old.kind == "f":
                code = "fpext" if new.itemsize > old.itemsize else "fptrunc"
            else:
                code = "uitofp" if old.kind == "b" else "sitofp"
        elif old.kind == "b":
            code = "zext"
        elif old.kind == "i":
            code = "sext" if new.itemsize > old.itemsize else "trunc"
        else:
            code = "fptosi"
        return self.put(f"{code} {a} {register} to {b}", level)

    # ------------------------------------------------------------------------------------- memory

    def _place(self, index: Affine) -> tuple[int, dict[int, int]]:
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
        known, terms = self._place(index)
        mine = self.vector.number if self.vector is not None else None
        step = terms.get(mine, 0) if mine is not None else 0
        register = self._scalar_place(known, terms, level)
        if not step or self.lanes == 1:
            return register, False
        steps = ", ".join(f"i64 {k * step}" for k in range(self.lanes))
        first = self.spread(register, np.int64, level)
        return self.put(f"add <{self.lanes} x i64> {first}, <{steps}>", level), True

    def _scalar_place(self, known: int, terms: dict[int, int], level: int) -> str:
        """An affine number in a register, for the first lane."""
        total = ""
        for n, c in sorted(terms.items(), key=lambda item: self.depth[item[0]]):
            at = self.known[n]
            own = self.depth[n]
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

    def _address(self, b: Buffer, index: Sequence[Any]) -> tuple[Affine, list[tuple[Expr, int]]]:
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
        if id(b) in self.lane_private and (dynamic or self._step(place)):
            place = place.scaled(self.lanes)
            dynamic = [(i, stride * self.lanes) for i, stride in dynamic]
        return place, dynamic

    def _step(self, place: Affine) -> int:
        """How far the places of two lanes next to each other are apart."""
        return self._place(place)[1].get(self.vector.number, 0) if self.vector is not None else 0

    def key(self, b: Buffer, index: Sequence[Any]) -> tuple[Any, int]:
        """What tells an element of a buffer apart, and the level at which its index is known."""
        parts: list[Any] = []
        level = 0
        for i in index:
            if isinstance(i, Affine):
                known, terms = self._place(i)
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
                return self._read(b, index, e.dtype, level)
        key, place = self.key(b, e.index)
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
            known = self.levels[place].memo[key] = self._read(b, e.index, e.dtype, place)
        return known

    def _read(self, b: Buffer, index: Sequence[Any], dtype: Any, level: int) -> tuple[str, bool]:
        place, dynamic = self._address(b, index)
        memory, t = type_of(dtype, memory=True), type_of(dtype)
        private = id(b) in self.lane_private
        step = self._step(place)
        if private and not dynamic and not step:
            pointer = self._pointer(b, place, level)
            wide = type_of(dtype, self.lanes, memory=True)
            found = self.put(f"load {wide}, ptr {pointer}, align 8", level)
            return self._from_memory(found, dtype, self.lanes, level), True
        known, terms = self._place(place)
        step += private
        if dynamic:
            return self._gather(b, known, terms, step, dynamic, dtype, level)
        if not step or self.lanes == 1:
            pointer = self._element(b, self._scalar_place(known, terms, level), memory, level)
            return self._from_memory(
                self.put(f"load {memory}, ptr {pointer}, align {b.itemsize}", level),
                dtype,
                1,
                level,
            ), False
        if step == 1:
            pointer = self._element(b, self._scalar_place(known, terms, level), memory, level)
            n = self.active
            part = f"<{n} x {memory}>" if n > 1 else memory
            found = self.put(f"load {part}, ptr {pointer}, align {b.itemsize}", level)
            if n == 1:
                return self.spread(self._from_memory(found, dtype, 1, level), dtype, level), True
            found = self._widened(found, memory, n, level)
            return self._from_memory(found, dtype, self.lanes, level), True
        first = self._scalar_place(known, terms, level)
        wide = type_of(dtype, self.lanes)
        found = "zeroinitializer"
        for lane in range(self.active):
            at = self.put(f"add nsw i64 {first}, {lane * step}", level) if lane else first
            pointer = self._element(b, at, memory, level)
            one = self._from_memory(
                self.put(f"load {memory}, ptr {pointer}, align {b.itemsize}", level),
                dtype,
                1,
                level,
            )
            found = self.put(f"insertelement {wide} {found}, {t} {one}, i64 {lane}", level)
        return found, True

    def _widened(self, register: str, memory: str, n: int, level: int) -> str:
        if n == self.lanes:
            return register
        lanes = ", ".join(f"i32 {min(k, n)}" for k in range(self.lanes))
        return self.put(
            f"shufflevector <{n} x {memory}> {register}, <{n} x {memory}> zeroinitializer, "
            f"<{self.lanes} x i32> <{lanes}>", level,
        )  # fmt: skip

    def _from_memory(self, register: str, dtype: Any, lanes: int, level: int) -> str:
        if np.dtype(dtype) != np.bool_:
            return register
        t = type_of(dtype, lanes, memory=True)
        return self.put(f"icmp ne {t} {register}, {_zeros(t)}", level)

    def _element(self, b: Buffer, at: str, memory: str, level: int) -> str:
        base = self.pointers.get(id(b))
        if base is None:  # needed for one turn of a loop only
            memory = type_of(b.dtype, memory=True)
            base = self.pointers[id(b)] = self.alloca(memory, _kept_size(b))
        if at == "0":
            return base
        return self.put(f"getelementptr inbounds {memory}, ptr {base}, i64 {at}", level)

    def _pointer(self, b: Buffer, place: Affine, level: int) -> str:
        """In a buffer that every lane has for itself."""
        known, terms = self._place(place)
        at = self._scalar_place(known, terms, level)
        return self._element(b, at, type_of(b.dtype, self.lanes, memory=True), level)

    def _gather(
        self, b: Buffer, known: int, terms: dict[int, int], step: int,
        dynamic: Sequence[tuple[Expr, int]], dtype: Any, level: int,
    ) -> tuple[str, bool]:  # fmt: skip
        memory = type_of(dtype, memory=True)
        first = self._scalar_place(known, terms, level)
        parts = [(*self.value(i), stride) for i, stride in dynamic]
        vector = (bool(step) and self.lanes > 1) or any(v for _, v, _ in parts)
        wide = type_of(dtype, self.lanes)
        found = "zeroinitializer"
        for lane in range(self.active if vector else 1):
            at = self._lane_place(first, lane * step, parts, lane, level)
            pointer = self._element(b, at, memory, level)
            one = self._from_memory(
                self.put(f"load {memory}, ptr {pointer}, align {b.itemsize}", level),
                dtype,
                1,
                level,
            )
            if not vector:
                return one, False
            found = self.put(
                f"insertelement {wide} {found}, {type_of(dtype)} {one}, i64 {lane}", level
            )
        return found, True

    def _lane_place(self, first: str, more: int, parts: Any, lane: int, level: int) -> str:
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
        place, dynamic = self._address(b, index)
        memory, t = type_of(dtype, memory=True), type_of(dtype)
        private = id(b) in self.lane_private
        step = self._step(place)
        if private and not dynamic and not step:
            wide = type_of(dtype, self.lanes, memory=True)
            if not vector:
                register = self.spread(register, dtype, len(self.levels) - 1)
            register = self._to_memory(register, dtype, self.lanes)
            self.do(f"store {wide} {register}, ptr {self._pointer(b, place, -1)}, align 8")
            return
        known, terms = self._place(place)
        step += private
        top = len(self.levels) - 1
        first = self._scalar_place(known, terms, top)
        if not dynamic and (not step or self.lanes == 1):
            pointer = self._element(b, first, memory, top)
            self.do(
                f"store {memory} {self._to_memory(register, dtype, 1)}, ptr {pointer}, align {b.itemsize}"
            )
            return
        if not vector:
            register = self.spread(register, dtype, top)
        if not dynamic and step == 1:
            n = self.active
            pointer = self._element(b, first, memory, top)
            register = self._to_memory(register, dtype, self.lanes)
            if n != self.lanes:
                wide = f"<{self.lanes} x {memory}>"
                if n == 1:  # vectors of one lane are what LLVM's passes are not prepared for
                    one = self.put(f"extractelement {wide} {register}, i64 0")
                    self.do(f"store {memory} {one}, ptr {pointer}, align {b.itemsize}")
                    return
                lanes = ", ".join(f"i32 {k}" for k in range(n))
                register = self.put(
                    f"shufflevector {wide} {register}, {wide} poison, <{n} x i32> <{lanes}>"
                )
            self.do(f"store <{n} x {memory}> {register}, ptr {pointer}, align {b.itemsize}")
            return
        parts = [(*self.value(i), stride) for i, stride in dynamic]
        for lane in range(self.active):
            one = (
                self.put(f"extractelement {type_of(dtype, self.lanes)} {register}, i64 {lane}")
                if self.lanes > 1
                else register
            )
            at = self._lane_place(first, lane * step, parts, lane, top)
            pointer = self._element(b, at, memory, top)
            self.do(
                f"store {memory} {self._to_memory(one, dtype, 1)}, ptr {pointer}, align {b.itemsize}"
            )

    def _to_memory(self, register: str, dtype: Any, lanes: int) -> str:
        if np.dtype(dtype) != np.bool_:
            return register
        return self.put(
            f"zext {type_of(dtype, lanes)} {register} to {type_of(dtype, lanes, memory=True)}"
        )

    # ----------------------------------------------------------------------------------- statements

    def statement(self, s: Statement) -> None:
        """Compute and keep one element, or one for each lane."""
        dtype = s.target.dtype
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

    def _varies(self, index: Sequence[Any]) -> bool:
        assert self.vector is not None
        n = self.vector.number
        return any(v.here().number == n for i in index if isinstance(i, Affine) for v, _ in i.terms)

    def _combined(
        self, how: str, dtype: Any, old: tuple[str, bool], new: tuple[str, bool], level: int = -1
    ) -> tuple[str, bool]:
        vector = old[1] or new[1]
        top = len(self.levels) - 1 if level == -1 else level
        a, b = (self.spread(r, dtype, top) if vector and not own else r for r, own in (old, new))
        return self.compute(
            how, dtype, [dtype, dtype], [a, b], self.lanes if vector else 1, level
        ), vector

    def _accumulate(self, s: Statement, total: _Sum) -> None:
        dtype = s.target.dtype
        t = type_of(dtype, total.lanes)
        assert s.combine is not None
        old = self.put(f"load {t}, ptr {total.pointer}")
        e = s.value
        if (
            s.combine == "add" and e.kind == "op" and e.data == "multiply" and dtype.kind == "f"
            and e.args[0].dtype == dtype and (self.active == self.lanes or total.lanes == 1)
        ):  # fmt: skip
            # A sum of products, as every BLAS adds it: one rounding instead of two.
            factors = []
            for a in e.args:
                register, vector = self.value(a)
                factors.append(
                    self.spread(register, dtype, len(self.levels) - 1)
                    if total.lanes > 1 and not vector
                    else register
                )
            new = self.intrinsic("fmuladd", dtype, total.lanes, [*factors, old])
        else:
            register, vector = self.value(e)
            if total.lanes > 1 and not vector:
                register = self.spread(register, dtype, len(self.levels) - 1)
            if total.lanes > 1 and self.active < self.lanes and self._reduces_vector(s):
                register = self._with_identity(s, (register, True))
            new = self.compute(s.combine, dtype, [dtype, dtype], [old, register], total.lanes)
        self.do(f"store {t} {new}, ptr {total.pointer}")

    def _with_identity(self, s: Statement, found: tuple[str, bool]) -> str:
        """What a reduction takes up, with nothing in the lanes that do not count."""
        assert s.initial is not None
        dtype, top = s.target.dtype, len(self.levels) - 1
        t = type_of(dtype, self.lanes)
        register = found[0] if found[1] else self.spread(found[0], dtype, top)
        nothing = self._splat_text(number(s.initial.data, dtype), dtype, self.lanes)
        counts = ", ".join(
            f"i1 {'true' if k < self.active else 'false'}" for k in range(self.lanes)
        )
        return self.put(f"select <{self.lanes} x i1> <{counts}>, {t} {register}, {t} {nothing}")

    def _reduces_vector(self, s: Statement) -> bool:
        return self.vector is not None and any(
            r and v.here() is self.vector for v, r in zip(s.vars, s.reduced, strict=True)
        )

    def _add_each(self, s: Statement) -> None:
        """Elements named by an index: lanes may name the same one, so they take turns."""
        dtype = s.target.dtype
        memory = type_of(dtype, memory=True)
        register, vector = self.value(s.value)
        place, dynamic = self._address(s.target, s.index)
        known, terms = self._place(place)
        step = self._step(place) + (id(s.target) in self.lane_private)
        top = len(self.levels) - 1
        first = self._scalar_place(known, terms, top)
        parts = [(*self.value(i), stride) for i, stride in dynamic]
        assert s.combine is not None
        self.forget(s.target)
        for lane in range(1 if self.vector is None else self.active):
            one = (
                self.put(f"extractelement {type_of(dtype, self.lanes)} {register}, i64 {lane}")
                if vector
                else register
            )
            at = self._lane_place(first, lane * step, parts, lane, top)
            pointer = self._element(s.target, at, memory, top)
            old = self._from_memory(
                self.put(f"load {memory}, ptr {pointer}, align {dtype.itemsize}"), dtype, 1, top
            )
            new = self.compute(s.combine, dtype, [dtype, dtype], [old, one], 1)
            self.do(
                f"store {memory} {self._to_memory(new, dtype, 1)}, ptr {pointer}, align {dtype.itemsize}"
            )

    # ---------------------------------------------------------------------------------------- loops

    def loop(self, loop: Loop) -> None:
        """A loop with everything in it; of the divided one, the turns from ``%low`` to ``%high``."""
        var = loop.var.here()
        inner = [item for item in loop.body if isinstance(item, Loop)]
        statements = loop.statements()
        lanes = self._lanes(loop, inner, statements)
        self.module.widths[id(loop)] = lanes
        divided = var is self.divided
        if lanes == 1 and not divided and self._may_unroll(loop, inner, statements):
            self._begin(loop, statements, 1)
            for k in range(var.low, var.high):
                self._turn(loop, k)
            self._end(loop, statements, 1)
            return
        low, high = ("%low", "%high") if divided else (str(var.low), str(var.high))
        self._begin(loop, statements, lanes)
        if lanes == 1:
            self._turns(loop, low, high, 1)
        else:
            self._vector_turns(loop, low, high, lanes)
        self._end(loop, statements, lanes)

    def _vector_turns(self, loop: Loop, low: str, high: str, lanes: int) -> None:
        var = loop.var.here()
        whole = var.extent // lanes * lanes
        left = var.extent - whole
        self.vector, self.lanes, self.active = var, lanes, lanes
        if whole:
            limit = str(var.low + whole)
            if not high.startswith("%"):
                self._turns(loop, low, limit, lanes)
            else:
                self._some_turns(loop, low, high, limit, lanes)
        if left:
            self.active = left
            if high.startswith("%"):
                last = self.put(f"icmp eq i64 {high}, {var.high}")
                then, after = self._label("rest"), self._label("after")
                self.do(f"br i1 {last}, label %{then}, label %{after}")
                self._at(then)
                known = self._known_here()
                self._turn(loop, var.low + whole)
                self._forget_since(known)
                self.do(f"br label %{after}")
                self._at(after)
            else:
                self._turn(loop, var.low + whole)
        self.vector, self.lanes, self.active = None, 1, 1
        self.rolled = False
        self.packed.clear()

    def _at(self, label: str) -> None:
        level = self.levels[-1]
        level.lines.append(f"{label}:")
        level.block = label

    def _some_turns(self, loop: Loop, low: str, high: str, limit: str, lanes: int) -> None:
        """The turns of one of several threads, up to where all lanes are full."""
        less = self.put(f"icmp slt i64 {high}, {limit}")
        end = self.put(f"select i1 {less}, i64 {high}, i64 {limit}")
        some = self.put(f"icmp slt i64 {low}, {end}")
        then, after = self._label("turns"), self._label("after")
        self.do(f"br i1 {some}, label %{then}, label %{after}")
        self._at(then)
        known = self._known_here()
        self._turns(loop, low, end, lanes)
        self._forget_since(known)
        self.do(f"br label %{after}")
        self._at(after)

    def _known_here(self) -> list[dict[Any, Any]]:
        """What is known before a branch."""
        return [dict(level.memo) for level in self.levels]

    def _forget_since(self, known: list[dict[Any, Any]]) -> None:
        """After the branch: what was found out in it is not known on the other way."""
        for level, memo in zip(self.levels, known, strict=True):
            level.memo = memo

    def _turns(self, loop: Loop, low: str, high: str, step: int) -> None:
        """The loop itself; a long one with sums in blocks."""
        var = loop.var.here()
        sums = [
            (s, self.sums[id(s)]) for s in loop.statements()
            if id(s) in self.sums and self.sums[id(s)].blocks is not None
        ]  # fmt: skip
        if var.extent < 4 * _BLOCK or not sums:
            self._again(var, low, high, step, lambda: self._body(loop))
            return
        start = Var(var.high)

        def block() -> None:
            first = str(self.known[start.number])
            further = self.put(f"add nuw nsw i64 {first}, {_BLOCK}")
            inside = self.put(f"icmp ult i64 {further}, {high}")
            end = self.put(f"select i1 {inside}, i64 {further}, i64 {high}")
            self._again(var, first, end, step, lambda: self._body(loop))
            for s, total in sums:
                assert s.initial is not None
                dtype = s.target.dtype
                t = type_of(dtype, total.lanes)
                own = self.put(f"load {t}, ptr {total.pointer}")
                before = self.put(f"load {t}, ptr {total.blocks}")
                self.do(f"store {t} {self.put(f'fadd {t} {before}, {own}')}, ptr {total.blocks}")
                nothing = number(s.initial.data, dtype)
                text = (
                    nothing if total.lanes == 1 else self._splat_text(nothing, dtype, total.lanes)
                )
                self.do(f"store {t} {text}, ptr {total.pointer}")

        self._again(start, low, high, _BLOCK, block)

    def _again(self, var: Var, low: str, high: str, step: int, turn: Callable[[], None]) -> None:
        """Code that is run for each number from ``low`` up to ``high - 1``."""
        head, exit_ = self._label("head"), self._label("exit")
        counter = f"%i{self.count}"
        outside = self.levels[-1]
        level = _Level(head)
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
        outside.lines.append(f"  br i1 {again}, label %{head}, label %{exit_}")
        outside.lines.append(f"{exit_}:")
        outside.block = exit_

    def _turn(self, loop: Loop, k: int) -> None:
        """One turn, in line."""
        var = loop.var.here()
        outside = self.levels[-1]
        level = _Level(outside.block)
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
        for item in loop.body:
            if isinstance(item, Loop):
                self.loop(item)
            else:
                self.statement(item)

    def _each(self, variables: Sequence[Var], turn: Callable[[], None]) -> None:
        """Code for each index of small axes: written out if they are very small."""
        if not variables:
            turn()
            return
        var, *rest = variables
        if math.prod(v.extent for v in variables) > _WRITTEN_OUT:
            self._again(var, str(var.low), str(var.high), 1, lambda: self._each(rest, turn))
            return
        for k in range(var.low, var.high):
            self.known[var.number], self.depth[var.number] = k, len(self.levels) - 1
            self._each(rest, turn)

    def _may_unroll(self, loop: Loop, inner: Any, statements: Sequence[Statement]) -> bool:
        if self.vector is not None:
            return loop.var.extent * _unrolled(loop) <= _WRITTEN_OUT or not self.rolled
        return not inner and loop.var.extent <= 4

    def _lanes(self, loop: Loop, inner: Sequence[Loop], statements: Sequence[Statement]) -> int:
        """How many turns are done at once."""
        if self.vector is not None:
            return 1
        extent = loop.var.extent
        size = max(max([b.itemsize for s in statements for b in _buffers(s)], default=8), 4)
        width = max(1, self.module.target.bytes // size)
        if width == 1 or extent < 2:
            return 1
        self.rolled = False
        if inner:
            deepest = max(_innermost(item) for item in inner)
            if extent >= width and _unrolled(loop) <= _UNROLLED and deepest < width:
                return width
            return self._lanes_outside(loop, statements, width)
        if extent < width:
            dear = any(s.weight >= DEAR for s in statements)
            return width if extent > 2 or dear else 1
        # Several vectors at once: while one waits for its last result, the others go on.
        several = 4
        while several > 1 and (extent < 2 * several * width or several * width > 16):
            several //= 2
        return several * width

    def _lanes_outside(self, loop: Loop, statements: Sequence[Statement], width: int) -> int:
        """The lanes of a loop with loops inside that are not written out.

        It pays where much is done with each number that is read: what the lanes read lies apart.
        """
        extent = loop.var.extent
        if extent < 4 * width or max(map(_innermost, _inside(loop))) > 128:
            return 1
        if any(isinstance(i, Expr) for s in statements for i in s.index):
            return 1
        var = loop.var.here()
        apart = sum(math.prod(shape) for _, shape in self._apart(loop, statements).values())
        for s in statements:
            if s.target.home is None and s.combine is None and _axis_of(s.index, var) is not None:
                apart += s.target.size // extent
        if _unrolled(loop) < 6 * max(apart, 1):
            return 1
        room = apart
        for b in {id(s.target): s.target for s in statements}.values():
            if b.home is not None and _is_inside(b.home, loop) and id(b) not in self.silent:
                room += _kept_size(b)
        for s in statements:
            if s.combine is not None and s.initial is not None:
                here, first, inside = _roles(s, loop)
                if here == first and here != inside:
                    room += math.prod(v.extent for v in self._kept_inside(s, loop))
        several = 4
        while several and (
            room * several * width * 8 > _LANE_ROOM or extent < 2 * several * width
            or several * width > 16
        ):  # fmt: skip
            several //= 2
        self.rolled = bool(several)
        return max(1, several * width)

    def _apart(
        self, loop: Loop, statements: Sequence[Statement]
    ) -> dict[int, tuple[Buffer, tuple[int, ...]]]:
        """What is read at places that lie apart for neighbouring turns, and the other axes."""
        var = loop.var.here()
        found: dict[int, tuple[Buffer, tuple[int, ...]]] = {}
        never: set[int] = set()
        for s in statements:
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
                rest = (*b.shape[:axis], *b.shape[axis + 1 :])
                if id(b) in found and self.packed_axis[id(b)] != axis:
                    never.add(id(b))
                if any(isinstance(i, Expr) for i in r.index) or math.prod(rest) > 1024:
                    never.add(id(b))
                found[id(b)] = b, rest
                self.packed_axis[id(b)] = axis
        return {k: v for k, v in found.items() if k not in never}

    def _pack(self, loop: Loop) -> None:
        """Read what lies apart once in every turn, and lay it side by side for the lanes."""
        assert self.vector is not None
        for key, (b, rest) in self._apart(loop, loop.statements()).items():
            axis = self.packed_axis[key]
            own = Buffer("p", rest, b.dtype, "temporary")
            pointer = self.packs.get(key)
            if pointer is None:
                room = type_of(b.dtype, self.lanes, memory=True)
                pointer = self.packs[key] = self.alloca(room, own.size)
            self.pointers[id(own)] = pointer
            self.lane_private.add(id(own))
            variables = [Var(n) for n in rest]
            places = [Affine(0, ((v, 1),)) for v in variables]
            whole = (*places[:axis], Affine(0, ((self.vector, 1),)), *places[axis:])

            def turn(
                b: Buffer = b, own: Buffer = own, whole: Any = whole, places: Any = places
            ) -> None:
                top = len(self.levels) - 1
                self.store(own, places, self._read(b, whole, b.dtype, top), b.dtype)

            self._each(variables, turn)
            self.packed[key] = own, axis

    # ----------------------------------------------------------------------------------- reductions

    def _begin(self, loop: Loop, statements: Sequence[Statement], lanes: int) -> None:
        """What has to be ready before the first turn."""
        if lanes > 1:
            for b in {id(s.target): s.target for s in statements}.values():
                if b.home is not None and _is_inside(b.home, loop) and id(b) not in self.silent:
                    self.pointers[id(b)] = self.alloca(
                        type_of(b.dtype, lanes, memory=True), _kept_size(b)
                    )
                    self.lane_private.add(id(b))
        for s in statements:
            if s.combine is None or s.initial is None:
                continue
            here, first, inside = _roles(s, loop)
            if here == inside:
                if lanes == 1:
                    width = self.lanes if self.vector is not None else self._becomes_vector(loop, s)
                else:
                    width = lanes
                self._start_sum(s, width)
            elif here == first:
                if lanes > 1:
                    self._start_lane_sums(s, loop, lanes)
                else:
                    self._fill(s, loop)

    def _becomes_vector(self, loop: Loop, s: Statement) -> int:
        """How many lanes a loop inside of this one is going to have for the statement."""
        for item in loop.body:
            if isinstance(item, Loop) and s in item.statements():
                inner = [i for i in item.body if isinstance(i, Loop)]
                lanes = self._lanes(item, inner, item.statements())
                return lanes if lanes > 1 else self._becomes_vector(item, s)
        return 1

    def _start_sum(self, s: Statement, lanes: int) -> None:
        dtype = s.target.dtype
        t = type_of(dtype, lanes)
        pointer = self.alloca(t)
        assert s.initial is not None
        initial = number(s.initial.data, dtype)
        text = initial if lanes == 1 else self._splat_text(initial, dtype, lanes)
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

    def _kept_inside(self, s: Statement, loop: Loop) -> list[Var]:
        """The loops of a reduction inside of this one that are not reduced."""
        here = next(k for k, v in enumerate(s.vars) if v.here() is loop.var.here())
        pairs = zip(s.vars[here:], s.reduced[here:], strict=True)
        return [v.here() for v, reduced in pairs if not reduced]

    def _start_lane_sums(self, s: Statement, loop: Loop, lanes: int) -> None:
        """A sum for each lane and for each element of the loops inside."""
        inner = self._kept_inside(s, loop)
        own = Buffer("s", tuple(v.extent for v in inner), s.target.dtype, "temporary")
        t = type_of(own.dtype, lanes, memory=True)
        self.pointers[id(own)] = self.alloca(t, own.size)
        assert s.initial is not None
        text = self._splat_text(number(s.initial.data, own.dtype), own.dtype, lanes)
        text = self._to_memory(text, own.dtype, lanes)
        counter = Var(own.size)

        def turn() -> None:
            at = self._element(own, str(self.known[counter.number]), t, len(self.levels) - 1)
            self.do(f"store {t} {text}, ptr {at}, align 8")

        self._each([counter], turn)
        self.lane_private.add(id(own))
        self.redirected[id(s)] = own, tuple([Affine(-v.low, ((v, 1),)) for v in inner])

    def _end_lane_sums(self, s: Statement, loop: Loop, lanes: int) -> None:
        own, index = self.redirected.pop(id(s))
        t = type_of(own.dtype, lanes, memory=True)

        def turn() -> None:
            top = len(self.levels) - 1
            known, terms = self._place(self._address(own, index)[0])
            at = self._element(own, self._scalar_place(known, terms, top), t, top)
            wide = self.put(f"load {t}, ptr {at}, align 8")
            wide = self._from_memory(wide, own.dtype, lanes, top)
            self._keep(s, (self.horizontal(s.combine or "add", own.dtype, wide, lanes), False))

        self._each(self._kept_inside(s, loop), turn)

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
            elif here == first and lanes > 1:
                self._end_lane_sums(s, loop, lanes)

    def _add_to_target(self, s: Statement, found: tuple[str, bool]) -> None:
        target, index = self.redirected.get(id(s), (s.target, s.index))
        old = self._read(target, index, target.dtype, len(self.levels) - 1)
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

    def horizontal(self, how: str, dtype: Any, register: str, lanes: int) -> str:
        """All lanes combined, by halves."""
        t = type_of(dtype)
        while lanes > 1:
            half = lanes // 2
            wide = f"<{lanes} x {t}>"
            parts = []
            for start in (0, half):
                if half == 1:
                    parts.append(self.put(f"extractelement {wide} {register}, i64 {start}"))
                else:
                    picked = ", ".join(f"i32 {start + k}" for k in range(half))
                    parts.append(
                        self.put(
                            f"shufflevector {wide} {register}, {wide} poison, <{half} x i32> <{picked}>"
                        )
                    )
            register = self.compute(how, dtype, [dtype, dtype], parts, half)
            lanes = half
        return register

    def finish(self, name: str, parameters: str) -> None:
        """Add the function to the module."""
        body = [
            f"define internal void @{name}({parameters}) #0 {{", "entry:", *self.allocas,
            *self.levels[0].lines, "  ret void", "}",
        ]  # fmt: skip
        self.module.functions.append("\n".join(body))


_ARITHMETIC = {
    "add": ("fadd", "add"), "subtract": ("fsub", "sub"), "multiply": ("fmul", "mul"),
    "divide": ("fdiv", "sdiv"), "fmod": ("frem", "srem"),
}  # fmt: skip
_COMPARISONS = {
    "less": ("olt", "slt", "ult"), "less_equal": ("ole", "sle", "ule"),
    "greater": ("ogt", "sgt", "ugt"), "greater_equal": ("oge", "sge", "uge"),
    "equal": ("oeq", "eq", "eq"), "not_equal": ("une", "ne", "ne"),
}  # fmt: skip
_LOGICAL = {"logical_and": "and", "logical_or": "or", "logical_xor": "xor", "logical_not": "not"}
_INTRINSICS = {
    "sqrt": "sqrt", "floor": "floor", "ceil": "ceil", "trunc": "trunc", "copysign": "copysign",
    "rint": "rint",
}  # fmt: skip


def number(value: Any, dtype: Any) -> str:
    """A number as LLVM writes it: floats by their bits."""
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return "true" if value else "false"
    if dtype.kind == "i":
        return str(int(value))
    # LLVM writes a float of any precision as the double that is equal to it.
    bits = int(np.float64(value).view(np.uint64)) if value == value else 0x7FF8000000000000
    return f"0x{bits:016X}"


def _roles(s: Statement, loop: Loop) -> tuple[int, int, int]:
    """Of a reduction's loops: the place of this one, the first reduced, the first after the kept."""
    var = loop.var.here()
    here = next(k for k, v in enumerate(s.vars) if v.here() is var)
    first = s.reduced.index(True)
    inside = 1 + max([k for k, reduced in enumerate(s.reduced) if not reduced], default=-1)
    return here, first, inside


def _longest_reduced(s: Statement) -> int:
    """The extent of the longest loop that a statement is reduced over."""
    pairs = zip(s.vars, s.reduced, strict=True)
    return max([v.extent for v, reduced in pairs if reduced], default=0)


def _kept_size(b: Buffer) -> int:
    """How many elements are kept of a buffer."""
    size = 1
    for axis, n in enumerate(b.shape):
        if not b.dropped >> axis & 1:
            size *= n
    return size


def _zeros(t: str) -> str:
    return "zeroinitializer" if t.startswith("<") else "0"


def _buffers(s: Statement) -> list[Buffer]:
    return [s.target, *(r.data for r in s.reads)]


def _unrolled(loop: Loop) -> int:
    """How many statements one turn comes to if all loops inside are written out."""
    total = 0
    for item in loop.body:
        total += item.var.extent * _unrolled(item) if isinstance(item, Loop) else 1
    return total


def _innermost(loop: Loop) -> int:
    """The longest of the innermost loops."""
    inner = [_innermost(item) for item in loop.body if isinstance(item, Loop)]
    return max(inner, default=loop.var.extent) if inner else loop.var.extent


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
