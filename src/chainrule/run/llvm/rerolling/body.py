"""The body of a loop that was found again, as a program of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chainrule.run.llvm.program import Program, Value


class Body:
    """What one turn does: for a loop that was found again what ``Staged`` is for one that is given.

    Attributes:
        program: Its inputs are what is taken from outside, what is carried, and an element of each
            series; its results what is carried on, and what is given.
        outside: Those of its inputs that are taken from outside.
        results: Those of the program.
    """

    def __init__(self, program: Program, outer: int) -> None:
        self.program = program
        self.outside = program.inputs[:outer]
        self.results = program.results

    def recorded(self, program: Program, arguments: Sequence[Value]) -> list[Value]:
        """The results of arguments that are values of another program, as values of it."""
        known = dict(zip((v.number for v in self.program.inputs), arguments, strict=True))
        for v in self.program.values:
            if v.number in known:
                continue
            if v.op is None:
                known[v.number] = program.adopted(v)
            else:
                args = tuple([known[a.number] for a in v.args])
                known[v.number] = like(program, v, args, v.attrs)
        return [known[v.number] for v in self.results]

    def __call__(self, *values: Any) -> list[Any]:
        """The results for arrays, by NumPy."""
        known = dict(zip((v.number for v in self.program.inputs), values, strict=True))
        for v in self.program.values:
            if v.op is not None:
                args = [known[a.number] for a in v.args]
                known[v.number] = v.op.evaluate(*args, **v.attrs)
            elif v.is_constant:
                known[v.number] = v.constant.item() if v.weak else v.constant[()]
        return [known[v.number] for v in self.results]


def like(program: Program, v: Value, args: tuple[Value, ...], attrs: Any) -> Value:
    """An operation like that of another program, of arguments in this one."""
    assert v.op is not None
    made = program.plain(v.op, args, attrs, v.shape, v.dtype, v.place)
    made.weak = v.weak
    made.parts = v.parts
    return made
