"""Bodies of loops and branches: what was staged, as a program with inputs of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from chainrule.graph.operand import Operand
from chainrule.graph.tape import Traced
from chainrule.run.llvm.lowering import DTYPES, Lowering, Unsupported
from chainrule.run.llvm.program import Program, Value
from chainrule.run.llvm.rerolling.body import Body
from chainrule.transforms.staging import Staged, identity


def recorded(program: Program, staged: Staged | Body, arguments: Sequence[Value]) -> list[Value]:
    """The results of a staged function of values of a program, as values of it."""
    if isinstance(staged, Body):
        return staged.recorded(program, arguments)
    known = dict(zip(staged.inputs, arguments[len(staged.outside) :], strict=True))

    def outside(operand: Any) -> Value:
        return arguments[staged.places[identity(operand)]]

    program.record(staged.records, staged.level, known, outside)

    def result(found: Any) -> Value:
        if type(found) is Traced and found.level == staged.level:
            return known[found.index]
        return outside(found) if isinstance(found, Operand) else program.constant(found)

    return list(map(result, staged.results))


class Inputs:
    """The inputs of a body: which value outside each of them stands for."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._known: dict[Any, Value] = {}

    def of(self, v: Value) -> Value:
        """A value from outside, which is the same in every turn."""
        if v.is_constant and (v.uniform is not None or v.constant.nbytes <= 4096):
            given = v.constant.item() if v.weak else v.constant
            return self.program.constant(given)
        return self._input(("outside", v.number), v.shape, v)

    def along(self, v: Value) -> Value:
        """An element of a value along its first axis."""
        shape = v.shape[1:]
        if v.uniform is not None:
            return self.program.constant(np.broadcast_to(v.uniform, shape)[()])
        return self._input(("series", v.number), shape, v)

    def _input(self, key: Any, shape: tuple[int, ...], like: Value) -> Value:
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self.program.input(shape, like.dtype, like.weak)
        return found


def lowered(b: Lowering, program: Program, what: str) -> Lowering:
    """A body in nests. Its constants are constants of the whole."""
    inner = Lowering(program, b.blas)
    if inner.numpy:
        _, why = inner.numpy[0]
        raise Unsupported(f"the body of the {what} is not all code: {why}")
    return inner


def check_dtypes(value: Value, used: Iterable[Any]) -> None:
    """Refuse what there is no code for."""
    for dtype in used:
        if dtype not in DTYPES:
            raise Unsupported(f"{value.op} of dtype {dtype}")


def items_used(b: Lowering, value: Value) -> set[int]:
    """Which of several results some operation uses."""
    return {
        v.attrs["position"] for v in b.values
        if v.op is not None and v.op.name == "item" and v.args[0] is value
    }  # fmt: skip


def equal(result: Value, start: Value) -> bool:
    """Whether a result is a constant, and the one that was there at the start."""
    return (
        result.uniform is not None and start.uniform is not None
        and result.dtype == start.dtype and result.uniform.tobytes() == start.uniform.tobytes()
    )  # fmt: skip
