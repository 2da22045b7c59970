"""Writing one function's LLVM IR: values with Python's operators, a line of text for each.

A function body is ordinary Python over ``Value`` objects (``x * y + 1.0``), so that it reads as the
mathematics it is; every operation appends one instruction. The same body serves a scalar and any
number of lanes, ``double`` and ``float``.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

Element = Literal["double", "float"]

# Of internal functions and of what they call: LLVM may then move, merge and drop calls.
PURE = "nounwind willreturn memory(none)"


@dataclass(frozen=True, slots=True)
class Format:
    """The layout of an element type, as far as the function bodies need it."""

    element: Element
    bits: int
    mantissa: int
    """Stored bits of the significand, without the leading one."""

    @property
    def bias(self) -> int:
        """The exponent field of 1.0."""
        return (1 << (self.bits - self.mantissa - 2)) - 1

    @property
    def short(self) -> str:
        """As LLVM abbreviates it in the names of intrinsics: ``f64``."""
        return f"f{self.bits}"

    @property
    def to_integer(self) -> float:
        """Added to a number of small magnitude it rounds it to an integer, in the low bits."""
        return 1.5 * 2.0**self.mantissa

    @property
    def smallest_normal(self) -> float:
        """The smallest number that is not subnormal."""
        return 2.0 ** (1 - self.bias)

    @property
    def upper_half(self) -> int:
        """Leaves of a number so many bits that a product of two such is exact."""
        return (1 << self.bits) - (1 << (self.mantissa // 2 + 1))

    def pattern(self, number: float) -> int:
        """The bits of a number, as an unsigned integer."""
        codes = ("<d", "<Q") if self.bits == 64 else ("<f", "<I")
        (bits,) = struct.unpack(codes[1], struct.pack(codes[0], number))
        return int(bits)


FORMATS: dict[str, Format] = {"double": Format("double", 64, 52), "float": Format("float", 32, 23)}


def vector(element: str, lanes: int) -> str:
    """The type of so many lanes: ``<4 x double>``, or the element itself for one lane."""
    return element if lanes == 1 else f"<{lanes} x {element}>"


def suffix(form: Format, lanes: int) -> str:
    """As LLVM writes a type in the names of intrinsics: ``v4f64``, or ``f64`` for one lane."""
    return form.short if lanes == 1 else f"v{lanes}{form.short}"


class Value:
    """One SSA value of a body: a number (``f``), an integer of its width (``i``) or a flag (``b``).

    Python numbers among the operands are constants in every lane.
    """

    __slots__ = ("body", "kind", "name")

    def __init__(self, body: Body, name: str, kind: str) -> None:
        self.body, self.name, self.kind = body, name, kind

    def _both(self, real: str, integer: str, left: Operand, right: Operand) -> Value:
        word = real if self.kind == "f" else integer
        return self.body.operate(word, self.kind, left, right)

    def __add__(self, other: Operand) -> Value:
        return self._both("fadd", "add", self, other)

    def __radd__(self, other: Operand) -> Value:
        return self._both("fadd", "add", other, self)

    def __sub__(self, other: Operand) -> Value:
        return self._both("fsub", "sub", self, other)

    def __rsub__(self, other: Operand) -> Value:
        return self._both("fsub", "sub", other, self)

    def __mul__(self, other: Operand) -> Value:
        return self._both("fmul", "mul", self, other)

    def __rmul__(self, other: Operand) -> Value:
        return self._both("fmul", "mul", other, self)

    def __truediv__(self, other: Operand) -> Value:
        return self._both("fdiv", "sdiv", self, other)

    def __rtruediv__(self, other: Operand) -> Value:
        return self._both("fdiv", "sdiv", other, self)

    def __neg__(self) -> Value:
        return self.body.emit(f"fneg {self.body.typed(self)}", "f")

    def __and__(self, other: Operand) -> Value:
        return self.body.operate("and", self.kind, self, other)

    def __or__(self, other: Operand) -> Value:
        return self.body.operate("or", self.kind, self, other)

    def __xor__(self, other: Operand) -> Value:
        return self.body.operate("xor", self.kind, self, other)

    def __lshift__(self, other: int) -> Value:
        return self.body.operate("shl", self.kind, self, other)

    def __rshift__(self, other: int) -> Value:
        """Shift zeros in from the left."""
        return self.body.operate("lshr", self.kind, self, other)

    def __lt__(self, other: Operand) -> Value:
        return self._both("fcmp olt", "icmp slt", self, other).flag()

    def __le__(self, other: Operand) -> Value:
        return self._both("fcmp ole", "icmp sle", self, other).flag()

    def __gt__(self, other: Operand) -> Value:
        return self._both("fcmp ogt", "icmp sgt", self, other).flag()

    def __ge__(self, other: Operand) -> Value:
        return self._both("fcmp oge", "icmp sge", self, other).flag()

    def equals(self, other: Operand) -> Value:
        """Flag where they are equal (never where a number is NaN)."""
        return self._both("fcmp oeq", "icmp eq", self, other).flag()

    def is_nan(self) -> Value:
        """Flag where it is not a number."""
        return self.body.operate("fcmp uno", "f", self, self).flag()

    def flag(self) -> Value:
        """The same name read as a flag: what a comparison gives."""
        return Value(self.body, self.name, "b")

    def bits(self) -> Value:
        """The bits of a number as an integer."""
        return self.body.convert("bitcast", self, "i")

    def number(self) -> Value:
        """The number that has these bits."""
        return self.body.convert("bitcast", self, "f")


Operand = Value | float | int


class Body:
    """The instructions of one function, and what it needs besides."""

    def __init__(self, form: Format, lanes: int, fused: bool, scalar: Callable[[str], str | None]):
        """Begin an empty body.

        Args:
            form: The element type.
            lanes: How many elements a value holds.
            fused: Whether the machine multiplies and adds with one rounding. Bodies are right
                without it too, but some reduce arguments in fewer steps with it.
            scalar: From a function's name to the symbol of a pure function that evaluates it lane
                by lane, or ``None`` where there is none.
        """
        self.form, self.lanes, self.fused = form, lanes, fused
        self.lines: list[str] = []
        self.declarations: dict[str, None] = {}
        self._scalar = scalar
        self._count = 0
        self._types = {
            "f": vector(form.element, lanes),
            "i": vector(f"i{form.bits}", lanes),
            "b": vector("i1", lanes),
        }

    def argument(self, position: int) -> Value:
        """The function's argument at this position."""
        return Value(self, f"%x{position}", "f")

    def fresh(self) -> str:
        """A name not used before."""
        self._count += 1
        return f"%v{self._count}"

    def emit(self, instruction: str, kind: str) -> Value:
        """Append one instruction; its result."""
        name = self.fresh()
        self.lines.append(f"  {name} = {instruction}")
        return Value(self, name, kind)

    def text(self, operand: Operand, kind: str) -> str:
        """An operand without its type; a Python number as a constant of the given kind."""
        if isinstance(operand, Value):
            return operand.name
        if kind == "f":
            # A constant of type float is written as the double of the same value.
            number = float(operand)
            if self.form.bits == 32:
                (number,) = struct.unpack("<f", struct.pack("<f", number))
            constant = f"{self.form.element} 0x{FORMATS['double'].pattern(number):016X}"
        else:
            word = int(operand) & ((1 << self.form.bits) - 1)
            constant = f"i{self.form.bits} {word}"
        return constant.split()[1] if self.lanes == 1 else f"splat ({constant})"

    def typed(self, operand: Operand, kind: str = "f") -> str:
        """An operand with its type."""
        kind = operand.kind if isinstance(operand, Value) else kind
        return f"{self._types[kind]} {self.text(operand, kind)}"

    def operate(self, word: str, kind: str, left: Operand, right: Operand) -> Value:
        """An instruction of two operands of one kind."""
        operands = f"{self.text(left, kind)}, {self.text(right, kind)}"
        return self.emit(f"{word} {self._types[kind]} {operands}", kind)

    def convert(self, word: str, value: Value, kind: str) -> Value:
        """An instruction that changes the kind of a value."""
        return self.emit(f"{word} {self.typed(value)} to {self._types[kind]}", kind)

    def intrinsic(self, name: str, *operands: Operand) -> Value:
        """A call of ``llvm.<name>`` on numbers."""
        symbol = f"@llvm.{name}.{suffix(self.form, self.lanes)}"
        kinds = ", ".join([self._types["f"]] * len(operands))
        self.declarations[f"declare {self._types['f']} {symbol}({kinds})"] = None
        arguments = ", ".join(self.typed(operand) for operand in operands)
        return self.emit(f"call {self._types['f']} {symbol}({arguments})", "f")

    def fma(self, left: Operand, right: Operand, added: Operand) -> Value:
        """``left * right + added``, with one rounding where the machine can."""
        # Where bodies rely on the one rounding, LLVM must not take it for a product and a sum.
        return self.intrinsic("fma" if self.fused else "fmuladd", left, right, added)

    def product(self, left: Value, right: Value | float) -> tuple[Value, Value]:
        """The rounded product and what rounding took from it."""
        product = left * right
        if self.fused:
            return product, self.fma(left, right, -product)
        left_high, left_low = self._halves(left)
        right_high, right_low = self._halves(right)
        lost = left_high * right_high - product
        lost = (lost + left_high * right_low) + left_low * right_high
        return product, lost + left_low * right_low

    def _halves(self, number: Value | float) -> tuple[Value, Value]:
        """A number as a sum of two with half as many bits."""
        value = number if isinstance(number, Value) else Value(self, self.text(number, "f"), "f")
        high = (value.bits() & self.form.upper_half).number()
        return high, value - high

    def magnitude(self, value: Value) -> Value:
        """The number without its sign."""
        return self.intrinsic("fabs", value)

    def choose(self, flag: Value, then: Operand, otherwise: Operand) -> Value:
        """Lane by lane, one of two numbers, both of which are computed."""
        operands = f"{self.typed(flag)}, {self.typed(then)}, {self.typed(otherwise)}"
        return self.emit(f"select {operands}", "f")

    def at_most(self, value: Value, bound: float) -> Value:
        """The smaller of the two; NaN stays NaN."""
        return self.choose(value > bound, bound, value)

    def at_least(self, value: Value, bound: float) -> Value:
        """The greater of the two; NaN stays NaN."""
        return self.choose(value < bound, bound, value)

    def polynomial(self, x: Value, coefficients: Sequence[float]) -> Value:
        """``c[0] + c[1] x + c[2] x² ...``: in pairs, which halves the waiting.

        Pairs of neighbours, not even and odd powers apart: a series of alternating signs would
        cancel when its halves are added.
        """
        square = x * x
        pairs: list[Operand] = [
            self.fma(x, coefficients[place + 1], coefficients[place])
            if place + 1 < len(coefficients)
            else coefficients[place]
            for place in range(0, len(coefficients), 2)
        ]
        value = pairs.pop()
        while pairs:
            value = self.fma(value, square, pairs.pop())
        assert isinstance(value, Value)
        return value

    def round(self, value: Operand, factor: Operand = 1.0) -> tuple[Value, Value]:
        """The integer nearest to ``value * factor``: as a number, and in the low bits of a word."""
        shifted = self.fma(value, factor, self.form.to_integer)
        return shifted - self.form.to_integer, shifted.bits()

    def sign(self, value: Value) -> Value:
        """The sign bit alone."""
        return value.bits() & (1 << (self.form.bits - 1))

    def has_scalar(self, name: str) -> bool:
        """Whether ``rescue`` can call the function."""
        return self._scalar(name) is not None

    def rescue(self, flags: Value, name: str, x: Value, result: Value) -> Value:
        """The result, with flagged lanes (rare) from the scalar function of the library.

        Only those lanes are replaced: an element's value never depends on its neighbours.
        """
        symbol = self._scalar(name)
        assert symbol is not None, name
        label = self.fresh()[1:]
        anywhere = flags.name
        if self.lanes > 1:
            reduce = f"@llvm.vector.reduce.or.v{self.lanes}i1"
            self.declarations[f"declare i1 {reduce}({self._types['b']})"] = None
            anywhere = self.emit(f"call i1 {reduce}({self.typed(flags)})", "b").name
        self.declarations["declare i1 @llvm.expect.i1(i1, i1)"] = None
        rare = self.emit(f"call i1 @llvm.expect.i1(i1 {anywhere}, i1 false)", "b").name
        kind = self._types["f"]
        self.lines.append(f"  br i1 {rare}, label %rare{label}, label %usual{label}")
        self.lines.append(f"usual{label}:\n  br label %join{label}")
        self.lines.append(f"rare{label}:")
        slow = self.emit(f"call {kind} @{symbol}({self.typed(x)})", "f")
        slow = self.choose(flags, slow, result)
        self.lines.append(f"  br label %join{label}\njoin{label}:")
        joined = f"[ {result.name}, %usual{label} ], [ {slow.name}, %rare{label} ]"
        return self.emit(f"phi {kind} {joined}", "f")
