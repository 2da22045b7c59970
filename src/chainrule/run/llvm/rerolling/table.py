"""The operations of a program as numbers, in which stretches that repeat are found."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.graph.operand import attribute_key
from chainrule.rules.shapes import written_out
from chainrule.run.llvm.lowering import Lowering
from chainrule.run.llvm.program import Program, Value
from chainrule.run.llvm.rerolling.body import like
from chainrule.run.llvm.rerolling.runs import TURNS
from chainrule.transforms.staging import ITEM

# An operation of more arguments is like no other.
_MOST_ARGUMENTS = 6
# So many whole numbers of an index may move along.
_MOST_NUMBERS = 2
# Where inputs lie: far from all operations, so that no distance leads from these to those.
_INPUTS = -(1 << 40)
# What has an index, whose arrays are its arguments from this one on.
PICKS = {"index": 1, "scatter": 1, "replace": 2}


class Table:
    """What each operation does, and where its arguments lie.

    Attributes:
        ops: The operations in order.
        place: Of each value by its number: its place among the operations; far below for an input.
        tokens: A number for what each operation does, whatever its arguments are.
        columns: Where its arguments lie, and the whole numbers of its index: shape (n,) each.
    """

    def __init__(self, program: Program) -> None:
        self.inputs, self.results = program.inputs, program.results
        needed = program.needed()
        self.ops = [v for v in needed if v.op is not None]
        self.place = [0] * len(program.values)
        for k, v in enumerate(program.inputs):
            self.place[v.number] = _INPUTS - k
        for k, v in enumerate(self.ops):
            self.place[v.number] = k
        self._kinds = [-1] * len(program.values)
        self._known_kinds: dict[Any, int] = {}
        for v in needed:
            self._kinds[v.number] = self._kind(v)
        self._indices: dict[Any, tuple[Any, list[Any], list[int]]] = {}
        self._read()

    def value(self, place: int) -> Value:
        """The operation or the input at a place."""
        return self.ops[place] if place >= 0 else self.inputs[_INPUTS - place]

    def _kind(self, v: Value) -> int:
        key: Any = v.shape, v.dtype, v.weak
        if v.constant is not None:
            key = *key, v.uniform is not None
        return self._known_kinds.setdefault(key, len(self._known_kinds))

    def _read(self) -> None:
        count = len(self.ops)
        width = _MOST_ARGUMENTS + _MOST_NUMBERS
        columns = [[0] * count for _ in range(width)]
        tokens = [0] * count
        known: dict[Any, int] = {}
        examples: list[Value] = []
        kinds, place = self._kinds, self.place
        most = 0
        for k, v in enumerate(self.ops):
            op, args = v.op, v.args
            assert op is not None
            tokens[k] = -1 - k  # like no other
            if len(args) > _MOST_ARGUMENTS or v.parts is not None:
                continue
            key: list[Any] = [op, kinds[v.number]]
            for slot, a in enumerate(args):
                n = a.number
                if a.constant is not None:
                    key.append(kinds[n] if _may_vary(v) else ("constant", n))
                else:
                    columns[slot][k] = place[n]
                    key.append(kinds[n])
            most = max(most, len(args))
            if v.attrs:
                if op.name in PICKS and len(args) <= PICKS[op.name]:
                    template, _, numbers = self.index(v)
                    key += (template, v.attrs.get("shape"))
                    for j, number in enumerate(numbers):
                        columns[_MOST_ARGUMENTS + j][k] = number
                else:
                    key += [(name, attribute_key(x)) for name, x in v.attrs.items()]
            whole = tuple(key)
            token = known.get(whole)
            if token is None:
                token = known[whole] = len(known)
                examples.append(v)
            tokens[k] = token
        self.tokens = np.array(tokens)
        often = np.bincount(self.tokens[self.tokens >= 0], minlength=len(known)) >= TURNS
        for n in np.flatnonzero(often).tolist():
            if not _has_loops(examples[n]):
                (others,) = np.nonzero(self.tokens == n)
                self.tokens[others] = -1 - others
        used = [*range(most), *range(_MOST_ARGUMENTS, width)]
        self.columns = {j: np.array(columns[j]) for j in used}

    def index(self, v: Value) -> tuple[Any, list[Any], list[int]]:
        """The index of an operation: a key, its parts written out, and the numbers among them."""
        shape = v.attrs["shape"] if "shape" in v.attrs else v.args[0].shape
        known = attribute_key(v.attrs["index"]), shape
        found = self._indices.get(known)
        if found is None:
            parts = written_out(v.attrs["index"], len(shape))
            axis = 0
            numbers = []
            for n, part in enumerate(parts):
                if type(part) is int:
                    parts[n] = part + shape[axis] if part < 0 else part
                    numbers.append(parts[n])
                axis += part is not None
            if len(numbers) > _MOST_NUMBERS:
                template, numbers = known, []
            else:
                template = (
                    tuple(["number" if type(p) is int else attribute_key(p) for p in parts]),
                    shape,
                )
            found = self._indices[known] = template, parts, numbers
        return found

    def numbers_column(self, j: int) -> Any:
        """The column of the numbers of indices: of each the first, or the second."""
        return self.columns[_MOST_ARGUMENTS + j]


def _has_loops(v: Value) -> bool:
    """Whether an operation gives an array by loops of its own, whoever its arguments are."""
    if not v.args or v.op is ITEM:
        return False
    program = Program()
    args = [
        program.input(a.shape, a.dtype, a.weak) if a.constant is None else program.adopted(a)
        for a in v.args
    ]
    program.results = [like(program, v, tuple(args), v.attrs)]
    return not Lowering(program).numpy


def _may_vary(v: Value) -> bool:
    """Whether a constant may be another one in each turn: nothing looks into it."""
    op = v.op
    assert op is not None
    return op.name in PICKS or (op.elementwise and op.name != "power")
