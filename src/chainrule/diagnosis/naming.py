"""What records are called in a diagnosis: the user's variables, leaves of arguments, operations."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.diagnosis.known import known_function
from chainrule.diagnosis.run import Run
from chainrule.graph.tape import Traced
from chainrule.notation.numbers import text_value
from chainrule.sources.names import Place

_SIGNS = {"add": "+", "subtract": "−", "multiply": "·", "divide": "/", "matmul": "@", "power": "**"}
_OPERATORS = {
    "add": "+", "subtract": "-", "multiply": "*", "divide": "/", "matmul": "@", "power": "**",
    "negative": "-",
}  # fmt: skip
_BINDS = {
    "add": 1,
    "subtract": 1,
    "negative": 1,
    "multiply": 2,
    "divide": 2,
    "matmul": 2,
    "power": 3,
}
_GREEK = {"sigmoid": "σ", "expit": "σ"}
_NOWHERE = Place()
_DEPTH, _LONGEST = 2, 30


def number(value: Any) -> str:
    """A number to two digits: a diagnosis is about decades.

    >>> number(1.1253e-7), number(16.0), number(0.25)
    ('1.1×10⁻⁷', '16', '0.25')
    """
    return text_value(float(value), 2)


class Names:
    """The names of a run's values. A variable assigned several times is ``h[1]``, ``h[2]``."""

    def __init__(self, here: Run) -> None:
        self.records = here.tape.records
        self.places = here.places
        self._leaves = {x.index: name for name, x in here.inputs.items()}
        self._names: dict[int, str] = {}
        named: dict[str, list[int]] = defaultdict(list)
        for index, place in here.places.items():
            if place.name is not None:
                named[place.name].append(index)
        for name, all_members in named.items():
            members = [
                i for i, after in zip(all_members, [*all_members[1:], -1], strict=True)
                if after < 0 or not self._on_the_way(i, after)
            ]  # fmt: skip
            several = len(members) > 1 or name in self._leaves.values()
            for i, index in enumerate(members):
                self._names[index] = f"{name}{_subscript(i + 1)}" if several else name
        output = here.output
        if isinstance(output, Traced):
            self._names.setdefault(output.index, here.function)

    def _on_the_way(self, index: int, after: int) -> bool:
        """Whether an operation inside a library's function was only a step on the way to the next.

        All operations of ``logits = model(x)`` happen at one position of the user's code, and only
        the last one gives the logits. A loop has one position for many values, too, but there the
        operation is written down.
        """
        one, other = self.places[index], self.places[after]
        op, source = self.records[index].op, one.source or ""
        if op is None or (one.file, one.line, one.call) != (other.file, other.line, other.call):
            return False
        return op.name not in source and _OPERATORS.get(op.name, op.name) not in source

    def place(self, index: int) -> Place:
        """Where a record was written."""
        return self.places.get(index, _NOWHERE)

    def own(self, index: int) -> str | None:
        """The user's name of a value; ``None`` if it has none."""
        return self._leaves.get(index) or self._names.get(index)

    def of(self, index: int) -> str:
        """The user's name of a value, or what made it."""
        return self.own(index) or self.operation(index, 1)

    def function(self, index: int) -> str:
        """The name of an operation, as in ``tanh′``."""
        op = self.records[index].op
        assert op is not None
        return _GREEK.get(op.name, op.name)

    def operation(self, index: int, depth: int = _DEPTH) -> str:
        """An operation with its arguments: ``tanh(z)``, ``W @ h``.

        Args:
            index: The record.
            depth: How many operations without a name of their own are written out inside.
        """
        record = self.records[index]
        if record.op is None:
            return self.own(index) or "a constant"
        args = [self.argument(index, i, depth) for i in range(len(record.args))]
        sign = _SIGNS.get(record.op.name)
        if sign is not None and len(args) == 2:
            return f"{self._inside(record, 0, args[0])} {sign} {self._inside(record, 1, args[1])}"
        if record.op.name == "negative":
            return f"−{self._inside(record, 0, args[0])}"
        return f"{self.function(index)}({', '.join(args[:3])}{', …' if len(args) > 3 else ''})"

    def slope_at(self, index: int, x: Any) -> str:
        """The slope of an operation, in words: ``tanh′(20)``."""
        if self.function(index) in _SIGNS:
            return f"the slope of {self.operation(index)} at {number(x)}"
        return f"{self.function(index)}′({number(x)})"

    def _inside(self, record: Traced, position: int, written: str) -> str:
        """An argument as it stands beside a sign: in parentheses if it binds no tighter."""
        arg = record.args[position]
        op = arg.op if isinstance(arg, Traced) and self.own(arg.index) is None else None
        if op is None or op.name not in _BINDS or written == "…":
            return written
        assert record.op is not None
        return written if _BINDS[op.name] > _BINDS[record.op.name] else f"({written})"

    def argument(self, index: int, position: int, depth: int = _DEPTH) -> str:
        """An argument of an operation by name, written out, or ``…`` where that is long."""
        arg = self.records[index].args[position]
        if isinstance(arg, Traced):
            name = self.own(arg.index)
            if name is None and depth > 0:
                name = self.operation(arg.index, depth - 1)
            return name if name is not None and len(name) <= _LONGEST else "…"
        return number(arg) if np.ndim(arg) == 0 and np.asarray(arg).dtype.kind in "fiu" else "…"

    def slope_of(
        self, steep: Sequence[int], inside: Sequence[int]
    ) -> tuple[str, int | None, float]:
        """What elementwise operations in a row are together, and the value that they are at.

        Args:
            steep: Those whose factor is a slope.
            inside: All of them, in order.

        Returns:
            ``σ′`` or ``tanh′``, the record of the argument and the sign in front of it; ``""`` and
            no record where they have no name together.
        """
        calls = {(self.place(i).call, self.place(i).function) for i in steep}
        if len(steep) == 1 and self.function(steep[0]) not in _SIGNS:
            return f"{self.function(steep[0])}′", self._argument_of(steep[0], inside), 1.0
        found = known_function(self.records, inside, steep) if steep else None
        if found is not None:
            name, argument, sign = found
            return f"{_GREEK.get(name, name)}′", argument, sign
        call, function = next(iter(calls), (-1, None))
        name = (function or "<").rsplit(".", 1)[-1]
        if not steep or len(calls) > 1 or call <= 0 or name.startswith("<"):
            return "", None, 1.0
        members = [i for i in inside if self.place(i).call == call]
        return f"{_GREEK.get(name, name)}′", self._argument_of(members[0], inside), 1.0

    def _argument_of(self, index: int, inside: Sequence[int]) -> int | None:
        args = [a.index for a in self.records[index].args if isinstance(a, Traced)]
        return next((a for a in args if a not in inside), args[0] if args else None)


def line_of(place: Place) -> str:
    """``net.py:14``; empty where there is no line."""
    if place.file is None or place.line is None:
        return ""
    return f"{os.path.basename(place.file)}:{place.line}"


def _subscript(n: int) -> str:
    return str(n).translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))
