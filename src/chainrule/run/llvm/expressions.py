"""What is computed for one element: scalar expressions over the variables of loops."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

import numpy as np

_numbers = count()


class Var:
    """The variable of a loop from ``low`` up to ``high - 1``.

    Loops that are joined share a variable: ``alias`` is the one that is used instead.
    """

    __slots__ = ("alias", "high", "low", "number")

    def __init__(self, high: int, low: int = 0) -> None:
        self.low = low
        self.high = high
        self.alias: Var | None = None
        self.number = next(_numbers)

    @property
    def extent(self) -> int:
        """How often the loop runs."""
        return self.high - self.low

    def here(self) -> Var:
        """The variable that stands for this one."""
        var = self
        while var.alias is not None:
            var = var.alias
        return var

    def __repr__(self) -> str:
        return f"i{self.here().number}"


class Affine:
    """A whole number ``const + Σ coefficient·variable``: an index, or a place in memory."""

    __slots__ = ("const", "terms")

    def __init__(self, const: int = 0, terms: tuple[tuple[Var, int], ...] = ()) -> None:
        self.const = const
        self.terms = terms

    def scaled(self, factor: int) -> Affine:
        """``factor`` times this."""
        if factor == 1:
            return self
        if factor == 0:
            return ZERO
        return Affine(self.const * factor, tuple([(v, c * factor) for v, c in self.terms]))

    def plus(self, other: Affine) -> Affine:
        """The sum of both."""
        if not other.terms:
            return Affine(self.const + other.const, self.terms) if other.const else self
        if not self.terms:
            return Affine(self.const + other.const, other.terms)
        terms: dict[Var, int] = {}
        for var, c in (*self.terms, *other.terms):
            var = var.here()
            terms[var] = terms.get(var, 0) + c
        kept = tuple([(v, c) for v, c in terms.items() if c])
        return Affine(self.const + other.const, kept)

    def shifted(self, by: int) -> Affine:
        """``by`` more."""
        return Affine(self.const + by, self.terms) if by else self

    def canonical(self) -> tuple[Any, ...]:
        """Equal for equal numbers, whichever variables were joined since."""
        if not self.terms:
            return (self.const,)
        terms: dict[int, int] = {}
        for var, c in self.terms:
            n = var.here().number
            terms[n] = terms.get(n, 0) + c
        return (self.const, *sorted(terms.items()))

    def is_var(self, var: Var) -> bool:
        """Whether this is the variable itself."""
        return (
            self.const == 0 and len(self.terms) == 1
            and self.terms[0][1] == 1 and self.terms[0][0].here() is var.here()
        )  # fmt: skip

    def bounds(self) -> tuple[int, int]:
        """The smallest and the largest number that this can be."""
        low = high = self.const
        for var, c in self.terms:
            ends = c * var.low, c * (var.high - 1)
            low += min(ends)
            high += max(ends)
        return low, high

    def __repr__(self) -> str:
        parts = [f"{c}*{v}" if c != 1 else f"{v}" for v, c in self.terms]
        if self.const or not parts:
            parts.append(str(self.const))
        return "+".join(parts).replace("+-", "-")


ZERO = Affine()


class Expr:
    """A number for one element.

    ``kind`` is "op" (``data``: the operation's name; ``args``), "load" (``data``: a buffer;
    ``index``: affine numbers or expressions, one for each axis), "const" (``data``: the number) or
    "index" (``data``: an affine number). ``weight`` says what it costs, roughly in additions.
    """

    __slots__ = ("args", "data", "dtype", "index", "kind", "weight")

    def __init__(
        self, kind: str, dtype: np.dtype[Any], data: Any, args: tuple[Expr, ...] = (),
        index: tuple[Any, ...] = (), weight: float = 0.0,
    ) -> None:  # fmt: skip
        self.kind = kind
        self.dtype = dtype
        self.data = data
        self.args = args
        self.index = index
        self.weight = weight

    def __repr__(self) -> str:
        if self.kind == "load":
            return f"{self.data!r}[{', '.join(map(repr, self.index))}]"
        if self.kind == "op":
            return f"{self.data}({', '.join(map(repr, self.args))})"
        return repr(self.data)


# How much an operation costs beside an addition; what is not listed is a call into a library.
WEIGHTS = {
    "add": 1.0, "subtract": 1.0, "multiply": 1.0, "negative": 1.0, "abs": 1.0, "cast": 1.0,
    "where": 1.0, "maximum": 2.0, "minimum": 2.0, "square": 1.0, "divide": 5.0, "sqrt": 6.0,
    "less": 1.0, "less_equal": 1.0, "greater": 1.0, "greater_equal": 1.0, "equal": 1.0,
    "not_equal": 1.0, "equal_or_nan": 1.0, "logical_and": 0.5, "logical_or": 0.5,
    "logical_not": 0.5, "isnan": 0.5, "logical_xor": 0.5, "isfinite": 2.0, "isinf": 2.0,
    "sign": 3.0, "reciprocal": 5.0, "copysign": 2.0, "floor": 2.0, "ceil": 2.0, "trunc": 2.0,
    "round": 2.0, "signbit": 1.0, "fmax": 2.0, "fmin": 2.0, "multiply_add": 1.0, "positive": 0.0,
    "wrap": 2.0,
}  # fmt: skip
_CALL = 20.0


def op(name: str, dtype: Any, *args: Expr) -> Expr:
    """An operation on the numbers of elements."""
    weight = WEIGHTS.get(name, _CALL)
    for a in args:
        weight += a.weight
    return Expr("op", np.dtype(dtype), name, args, weight=weight)


def const(number: Any, dtype: Any) -> Expr:
    """A known number."""
    dtype = np.dtype(dtype)
    return Expr("const", dtype, dtype.type(number))


def load(buffer: Any, index: Sequence[Any]) -> Expr:
    """An element of a buffer."""
    return Expr("load", buffer.dtype, buffer, index=tuple(index), weight=0.0)


def index_value(index: Any) -> Expr:
    """An index as a number to compute with."""
    if isinstance(index, Expr):
        return index
    return Expr("index", np.dtype(np.int64), index)


def cast(x: Expr, dtype: Any) -> Expr:
    """``x`` in another dtype."""
    dtype = np.dtype(dtype)
    if x.dtype == dtype:
        return x
    if x.kind == "const":
        with np.errstate(all="ignore"):
            return const(np.asarray(x.data).astype(dtype), dtype)
    if x.kind == "op" and x.data == "where" and _is_choice(x):  # between numbers: choose them so
        condition, a, b = x.args
        return op("where", dtype, condition, cast(a, dtype), cast(b, dtype))
    return Expr("op", dtype, "cast", (x,), weight=x.weight + 1)


def _is_choice(x: Expr) -> bool:
    """Whether an expression is one of several known numbers."""
    if x.kind == "const":
        return True
    return x.kind == "op" and x.data == "where" and all(map(_is_choice, x.args[1:]))


def loads_of(expr: Expr, found: list[Expr], seen: set[int]) -> None:
    """Collect what an expression reads, each place once."""
    stack = [expr]
    while stack:
        e = stack.pop()
        if id(e) in seen:
            continue
        seen.add(id(e))
        if e.kind == "load":
            found.append(e)
            stack.extend(i for i in e.index if isinstance(i, Expr))
        else:
            stack.extend(e.args)
