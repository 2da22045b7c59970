"""Instructions of LLVM IR as text: types, modules, and one operation on registers.

Code is collected in *levels*, one for each loop that is open, the function's own first. What is
written to an outer level runs before the loop that is open inside of it.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.run.llvm.functions import function
from chainrule.run.llvm.target import Target

_TYPES = {"f8": "double", "f4": "float", "i8": "i64", "i4": "i32", "b1": "i1"}
_IN_MEMORY = {"f8": "double", "f4": "float", "i8": "i64", "i4": "i32", "b1": "i8"}


# Marks the end of a loop that LLVM should leave as it is.
UNROLLED = "!llvm.loop !0"
METADATA = '!0 = distinct !{!0, !1}\n!1 = !{!"llvm.loop.unroll.disable"}'


@functools.cache
def type_of(dtype: Any, lanes: int = 1, memory: bool = False) -> str:
    """The LLVM type of an element, or of a vector of them."""
    name = (_IN_MEMORY if memory else _TYPES)[np.dtype(dtype).str[1:]]
    return name if lanes == 1 else f"<{lanes} x {name}>"


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


class Module:
    """Functions, declarations and external symbols of one piece of code."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.functions: list[str] = []
        # What is compiled with little effort: long straight code, which takes too long to be made
        # better, and what takes hardly any of the program's time.
        self.hasty: list[str] = []
        self.rare: list[str] = []
        # The names of functions by what is in them: steps of an unrolled loop are often the same
        # code for other memory.
        self.alike: dict[tuple[bool, str], str] = {}
        self.declarations: dict[str, None] = {}
        self.definitions: dict[str, str] = {}
        self.externals: dict[str, int] = {}
        self.sources: dict[str, str] = {}
        # How many turns of a loop are done at once, by the number of its variable.
        self.widths: dict[int, int] = {}

    def add(self, function: str, rare: bool = False) -> None:
        """A function; one that hardly any time is spent in if ``rare``."""
        (self.rare if rare else self.functions).append(function)

    def declare(self, line: str) -> None:
        """Something that is defined elsewhere."""
        self.declarations.setdefault(line)

    def constant(self, type_name: str, text: str) -> str:
        """The address of a number: what is written in Fortran takes nothing else."""
        symbol = f"@cr.{type_name}.{text.replace('-', 'minus')}"
        self.declare(f"{symbol} = private unnamed_addr constant {type_name} {text}")
        return symbol

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


class Writer:
    """Writes one function, line by line."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.allocas: list[str] = []
        self.count = 0

    def put(self, text: str) -> str:
        """An instruction with a result."""
        self.count += 1
        self.lines.append(f"  %v{self.count} = {text}")
        return f"%v{self.count}"

    def do(self, text: str) -> None:
        """An instruction without a result."""
        self.lines.append(f"  {text}")

    def alloca(self, type_name: str, count: int = 1) -> str:
        """Room on the stack for as long as the function runs."""
        self.count += 1
        result = f"%a{self.count}"
        self.allocas.append(f"  {result} = alloca {type_name}, i64 {count}, align 64")
        return result

    def label(self, name: str = "l") -> str:
        """A label that is used nowhere else."""
        self.count += 1
        return f"{name}{self.count}"

    def start(self, label: str) -> None:
        """The start of a block."""
        self.lines.append(f"{label}:")

    def whole(self, head: str, end: str = "  ret void") -> str:
        """All of it: ``head`` is what stands before the brace."""
        return "\n".join([f"{head} {{", "entry:", *self.allocas, *self.lines, end, "}"])


class Level:
    """The code of one turn of a loop, and what is known in it."""

    __slots__ = ("block", "lines", "memo")

    def __init__(self, block: str) -> None:
        self.lines: list[str] = []
        self.memo: dict[Any, Any] = {}
        self.block = block


class Instructions(Writer):
    """Writes the instructions of one function, at the levels of the loops that are open."""

    def __init__(self, module: Module) -> None:
        super().__init__()
        self.module = module
        self.levels = [Level("entry")]
        self.levels[0].lines = self.lines
        # Turns of the vector loop that are done at once, and those of them that count: fewer than
        # all in what is left over at the end.
        self.lanes = 1
        self.active = 1
        # Where buffers lie, and the word that notes failures.
        self.pointers: dict[int | str, str] = {}

    def put(self, text: str, level: int = -1) -> str:
        """An instruction with a result, written at the end of a level's code."""
        self.count += 1
        result = f"%v{self.count}"
        self.levels[level].lines.append(f"  {result} = {text}")
        return result

    def do(self, text: str, level: int = -1) -> None:
        """An instruction without a result."""
        self.levels[level].lines.append(f"  {text}")

    def spread(self, register: str, dtype: Any, level: int) -> str:
        """A number in all lanes."""
        if self.lanes == 1:
            return register
        memo = self.levels[level].memo
        key = "spread", register, np.dtype(dtype).str, self.lanes
        found = memo.get(key)
        if found is None:
            if not register.startswith("%"):
                found = splat(register, dtype, self.lanes)
            else:
                t = type_of(dtype)
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
            new = type_of(dtype, lanes)
            if kind == "b" and dtype.kind == "f":  # faster than by way of whole numbers
                one, none = (splat(number(dtype.type(k), dtype), dtype, lanes) for k in (1, 0))
                return self.put(f"select {t} {r[0]}, {new} {one}, {new} {none}", level)
            return self.put(f"{conversion(inside[0], dtype)} {t} {r[0]} to {new}", level)
        if name == "negative":
            return self.put(
                f"fneg {t} {r[0]}" if kind == "f" else f"sub {t} {zeros(t)}, {r[0]}", level
            )
        if name in _LOGICAL:
            if name == "logical_not":
                return self.put(f"xor {t} {r[0]}, {splat('true', np.bool_, lanes)}", level)
            return self.put(f"{_LOGICAL[name]} {t} {r[0]}, {r[1]}", level)
        if name == "isnan":
            return self.put(f"fcmp uno {t} {r[0]}, {r[0]}", level)
        if name in ("isfinite", "isinf"):
            size = self.intrinsic("fabs", inside[0], lanes, r, level)
            infinity = splat(number(inside[0].type(np.inf), inside[0]), inside[0], lanes)
            code = "oeq" if name == "isinf" else "olt"
            return self.put(f"fcmp {code} {t} {size}, {infinity}", level)
        if name == "signbit":
            bits = f"i{inside[0].itemsize * 8}"
            wide = bits if lanes == 1 else f"<{lanes} x {bits}>"
            as_bits = self.put(f"bitcast {t} {r[0]} to {wide}", level)
            return self.put(f"icmp slt {wide} {as_bits}, {zeros(wide)}", level)
        if name == "abs":
            if kind == "f":
                return self.intrinsic("fabs", inside[0], lanes, r, level)
            negative = self.put(f"sub {t} {zeros(t)}, {r[0]}", level)
            below = self.put(f"icmp slt {t} {r[0]}, {zeros(t)}", level)
            c = type_of(np.bool_, lanes)
            return self.put(f"select {c} {below}, {t} {negative}, {t} {r[0]}", level)
        if name == "wrap":
            return self._wrapped(r, lanes, level)
        if name == "multiply_add":
            return self.intrinsic("fmuladd", dtype, lanes, r, level)
        if name in _INTRINSICS:
            return self.intrinsic(_INTRINSICS[name], inside[0], lanes, r, level)
        symbol = self.module.elementary(name, inside[0], lanes)
        given = ", ".join(f"{t} {a}" for a in r)
        return self.put(f"call {t} @{symbol}({given})", level)

    def _wrapped(self, r: Sequence[str], lanes: int, level: int) -> str:
        """An index of an axis, counted from its end if negative; beyond it, the run has failed."""
        t = type_of(np.int64, lanes)
        c = type_of(np.bool_, lanes)
        below = self.put(f"icmp slt {t} {r[0]}, {zeros(t)}", level)
        from_end = self.put(f"add {t} {r[0]}, {r[1]}", level)
        at = self.put(f"select {c} {below}, {t} {from_end}, {t} {r[0]}", level)
        beyond = self.put(f"icmp uge {t} {at}, {r[1]}", level)
        # As a number: 1 in the status for every failure, or nothing; it is stored without a branch.
        any_beyond = self.any_lane(beyond, lanes, level)
        failed = self.put(f"zext i1 {any_beyond} to i64", level)
        status = self.pointers["status"]
        old = self.put(f"load i64, ptr {status}, align 8", level)
        new = self.put(f"or i64 {old}, {failed}", level)
        self.do(f"store i64 {new}, ptr {status}, align 8", level)
        return self.put(f"select {c} {beyond}, {t} {zeros(t)}, {t} {at}", level)

    def any_lane(self, condition: str, lanes: int, level: int = -1) -> str:
        """Whether a condition holds in some lane."""
        if lanes == 1:
            return condition
        c = type_of(np.bool_, lanes)
        symbol = f"llvm.vector.reduce.or.v{lanes}i1"
        self.module.declare(f"declare i1 @{symbol}({c})")
        return self.put(f"call i1 @{symbol}({c} {condition})", level)

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

    def folded(self, how: str, dtype: Any, register: str, lanes: int, narrow: int) -> str:
        """Vectors of fewer lanes, combined by halves until one is left."""
        t = type_of(dtype, lanes)
        parts = []
        for first in range(0, lanes, narrow):
            if narrow == 1:
                parts.append(self.put(f"extractelement {t} {register}, i64 {first}"))
                continue
            picked = ", ".join(f"i32 {k}" for k in range(first, first + narrow))
            parts.append(
                self.put(f"shufflevector {t} {register}, {t} poison, <{narrow} x i32> <{picked}>")
            )
        while len(parts) > 1:
            half = -(-len(parts) // 2)
            both = zip(parts, parts[half:], strict=False)
            found = [self.compute(how, dtype, [dtype, dtype], pair, narrow) for pair in both]
            parts = found + parts[len(found) : half]
        return parts[0]

    def horizontal(self, how: str, dtype: Any, register: str, lanes: int) -> str:
        """All lanes combined, by halves."""
        while lanes > 1:
            half = lanes // 2 if lanes & lanes - 1 == 0 else lanes & -lanes
            register = self.folded(how, dtype, register, lanes, half)
            lanes = half
        return register

    def finish(self, name: str, parameters: str, rare: bool, shared: bool) -> str:
        """Add the function to the module, unless it may be ``shared`` and one like it is there.

        Returns:
            The name of the function to call.
        """
        found = name
        if shared:
            found = self.module.alike.setdefault((rare, self.whole(parameters)), name)
        if found == name:
            self.module.add(self.whole(f"define internal void @{name}({parameters}) #0"), rare)
        return found


_ARITHMETIC = {
    "add": ("fadd", "add"), "subtract": ("fsub", "sub"), "multiply": ("fmul", "mul"),
    "divide": ("fdiv", "sdiv"), "fmod": ("frem", "srem"),
}  # fmt: skip
_COMPARISONS = {
    "less": ("olt", "slt", "ult"), "less_equal": ("ole", "sle", "ule"),
    "greater": ("ogt", "sgt", "ugt"), "greater_equal": ("oge", "sge", "uge"),
    "equal": ("oeq", "eq", "eq"), "not_equal": ("une", "ne", "ne"),
    "equal_or_nan": ("ueq", "eq", "eq"),
}  # fmt: skip
_LOGICAL = {"logical_and": "and", "logical_or": "or", "logical_xor": "xor", "logical_not": "not"}
_INTRINSICS = {
    "sqrt": "sqrt", "floor": "floor", "ceil": "ceil", "trunc": "trunc", "copysign": "copysign",
    "rint": "rint",
}  # fmt: skip


def splat(constant: str, dtype: Any, lanes: int) -> str:
    """A known number, or a vector of it."""
    return constant if lanes == 1 else f"<{', '.join([f'{type_of(dtype)} {constant}'] * lanes)}>"


def conversion(old: np.dtype[Any], new: np.dtype[Any]) -> str:
    """LLVM's word for a conversion of numbers."""
    if new.kind == "f":
        if old.kind == "f":
            return "fpext" if new.itemsize > old.itemsize else "fptrunc"
        return "uitofp" if old.kind == "b" else "sitofp"
    if old.kind == "b":
        return "zext"
    if old.kind == "i":
        return "sext" if new.itemsize > old.itemsize else "trunc"
    return "fptosi"


def zeros(t: str) -> str:
    """Zero of an LLVM type, whole numbers or vectors."""
    return "zeroinitializer" if t.startswith("<") else "0"
