"""The functions of a section: straight code, and loops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.run.llvm.expressions import cast, const
from chainrule.run.llvm.instructions import Writer, conversion, number, type_of
from chainrule.run.llvm.nests import Buffer
from chainrule.run.llvm.program import Value
from chainrule.run.llvm.rerolling.kernels import Kernel
from chainrule.run.llvm.rerolling.runs import Run

if TYPE_CHECKING:
    from chainrule.run.llvm.rerolling.sections import Section

# So many operations in all are compiled with little effort: their results are the same.
HASTY = 1000
# What an argument is, where it is not in a buffer from outside.
HERE = -1
CONSTANT = -2


def converted(value: Value, dtype: np.dtype[Any]) -> Any:
    """A constant in the dtype in which it is used."""
    given = const(value.uniform, value.dtype)
    return cast(given, dtype).data


class Text(Writer):
    """One function of a section."""

    def __init__(self, section: Section, name: str) -> None:
        super().__init__()
        self.section = section
        self.name = name
        self.buffers: list[Buffer] = []
        self.hasty = False
        self._bases: dict[int, str] = {}
        self._literals: dict[tuple[int, np.dtype[Any]], str] = {}
        self._converted: dict[tuple[str, np.dtype[Any]], str] = {}

    def base(self, b: Buffer) -> str:
        """The address of a buffer."""
        found = self._bases.get(id(b))
        if found is None:
            found = self._bases[id(b)] = f"%b{len(self.buffers)}"
            self.buffers.append(b)
        return found

    def address(self, b: Buffer, place: int, more: str) -> str:
        """Of a place in a buffer, ``more`` elements further on."""
        at = self.base(b)
        size = b.itemsize
        if place:
            at = self.put(f"getelementptr i8, ptr {at}, i64 {place * size}")
        return self.put(f"getelementptr i{8 * size}, ptr {at}, i64 {more}") if more else at

    def load(self, b: Buffer, place: int, dtype: np.dtype[Any], more: str = "") -> str:
        """A number from a place in a buffer, ``more`` elements further on."""
        memory = type_of(dtype, memory=True)
        at = self.address(b, place, more)
        found = self.put(f"load {memory}, ptr {at}, align {dtype.itemsize}")
        return self.put(f"icmp ne i8 {found}, 0") if memory == "i8" else found

    def store(
        self, b: Buffer, place: int, dtype: np.dtype[Any], register: str, more: str = ""
    ) -> None:
        """Write a number to a place in a buffer, ``more`` elements further on."""
        memory = type_of(dtype, memory=True)
        at = self.address(b, place, more)
        if memory == "i8":
            register = self.put(f"zext i1 {register} to i8")
        self.do(f"store {memory} {register}, ptr {at}, align {dtype.itemsize}")

    def literal(self, value: Value, dtype: np.dtype[Any]) -> str:
        """A constant as it is written in the code."""
        key = value.number, dtype
        found = self._literals.get(key)
        if found is None:
            found = self._literals[key] = number(converted(value, dtype), dtype)
        return found

    def converted(self, register: str, old: np.dtype[Any], new: np.dtype[Any]) -> str:
        """A number in the dtype in which it is used."""
        if old == new:
            return register
        key = register, new
        found = self._converted.get(key)
        if found is None:
            a, b = type_of(old), type_of(new)
            found = self._converted[key] = self.put(f"{conversion(old, new)} {a} {register} to {b}")
        return found

    def operation(self, kernel: Kernel, name: str, used: Sequence[str]) -> str:
        """Write one operation; the register of its result."""
        lines, result = self.section.templates[kernel.index]
        if lines:
            self.lines.append(lines.format(name, *used))
        return name if result == "{0}" else result.format(name, *used)

    def straight(self, start: int, stop: int) -> None:
        """Operations one after another."""
        section = self.section
        self.hasty = section.hasty
        values, kinds, sources = section.values, section.kinds, section.sources
        tokens = section.tokens[start:stop].tolist()
        places = [p[start:stop].tolist() for p in section.places]
        stored = section.stored[start:stop].tolist()
        copies, frame = section.copies, section.frame
        registers: dict[int, str] = {}
        outside: dict[tuple[int, int], str] = {}
        for k in range(stop - start):
            value = values[start + k]
            kernel, kind = kinds[tokens[k]]
            args = value.args
            used = []
            for slot, dtype in kernel.uses:
                what = kind[slot]
                a = args[slot]
                if what == CONSTANT:
                    used.append(self.literal(a, dtype))
                    continue
                at = places[slot][k]
                if what == HERE:
                    register = registers.get(at)
                    if register is None:
                        register = registers[at] = self.load(frame, at, a.dtype)
                else:
                    register = outside.get((what, at), "")
                    if not register:
                        register = outside[what, at] = self.load(sources[what], at, a.dtype)
                used.append(
                    register if a.dtype is dtype else self.converted(register, a.dtype, dtype)
                )
            k += start
            result = registers[k] = self.operation(kernel, f"%r{k}", used)
            if stored[k - start]:
                self.store(frame, k, kernel.dtype, result)
            if copies and k in copies:
                copy, n = copies[k]
                self.store(copy, n, kernel.dtype, result)

    def run(self, run: Run) -> None:
        """A loop."""
        section = self.section
        self.hasty = run.period > HASTY
        frame, values = section.frame, section.values
        table, columns = section.columns.get(run.start, (None, {}))
        phis: list[tuple[str, str, str, int]] = []
        fixed: dict[Any, str] = {}
        memory: dict[Any, str] = {}
        scaled: dict[int, str] = {}
        registers: dict[int, str] = {}
        body: list[str] = []
        before = self.lines

        def outside_of_turns(b: Buffer, place: int, dtype: Any) -> str:
            key = id(b), place
            if key not in fixed:
                self.lines = before
                fixed[key] = self.load(b, place, dtype)
                self.lines = body
            return fixed[key]

        def from_memory(b: Buffer, place: int, step: int, dtype: Any) -> str:
            key = id(b), place, step
            if key not in memory:
                memory[key] = self.load(b, place, dtype, times(step))
            return memory[key]

        def times(step: int) -> str:
            if step == 1:
                return "%t"
            if step not in scaled:
                scaled[step] = self.put(f"mul nsw i64 %t, {step}")
            return scaled[step]

        previous: dict[int, str] = {}
        self.lines = body
        for k in range(run.start, run.start + run.period):
            value = values[k]
            kernel, kinds = section.kinds[section.tokens[k]]
            used = []
            for n, (slot, dtype) in enumerate(kernel.uses):
                kind, a = kinds[slot], value.args[slot]
                if kind == CONSTANT:
                    column = columns.get((k, n))
                    if column is None:
                        used.append(self.literal(a, dtype))
                    else:
                        assert table is not None
                        used.append(from_memory(table, column, table.shape[1], dtype))
                    continue
                if kind != HERE:
                    place = int(section.places[slot][k])
                    step = int(section.places[slot][k + run.period]) - place
                    source = section.sources[kind]
                    if step == 0:
                        register = outside_of_turns(source, place, a.dtype)
                    else:
                        register = from_memory(source, place, step, a.dtype)
                else:
                    how, place, step = section.moves(run, k, slot)
                    if how == "here":
                        register = registers[place]
                    elif how == "before":
                        if place not in previous:
                            previous[place] = f"%p{place}"
                            first = outside_of_turns(frame, place, a.dtype)
                            t = type_of(a.dtype)
                            phis.append((previous[place], t, first, place + run.period))
                        register = previous[place]
                    elif how == "fixed":
                        register = outside_of_turns(frame, place, a.dtype)
                    else:
                        register = from_memory(frame, place, step, a.dtype)
                used.append(self.converted(register, a.dtype, dtype))
            result = registers[k] = self.operation(kernel, f"%r{k}", used)
            every = slice(k, run.end, run.period)
            if section.stored[every].any():
                self.store(frame, k, kernel.dtype, result, times(run.period))
            for copy, place, step in section.series.get(k, ()):
                self.store(copy, place, kernel.dtype, result, times(step))
        self.lines = before
        head = [
            "  br label %turns", "turns:",
            "  %t = phi i64 [ 0, %entry ], [ %t.next, %turns ]",
            *[
                f"  {name} = phi {t} [ {first}, %entry ], [ {registers[k]}, %turns ]"
                for name, t, first, k in phis
            ],
        ]  # fmt: skip
        self.lines += head
        self.lines += body
        self.lines += [
            "  %t.next = add nuw nsw i64 %t, 1",
            f"  %t.more = icmp ult i64 %t.next, {run.turns}",
            "  br i1 %t.more, label %turns, label %end", "end:",
        ]  # fmt: skip
        for k in section.late.get(run.start, ()):
            copy, place = section.copies[k]
            self.store(copy, place, copy.dtype, self.load(frame, k, copy.dtype))

    def finish(self) -> str:
        """The whole function."""
        given = ", ".join(
            ["ptr %status", *(f"ptr noalias %b{k}" for k in range(len(self.buffers)))]
        )
        linkage = "" if self.hasty else "internal "
        return self.whole(f"define {linkage}void @{self.name}({given}) #0")
