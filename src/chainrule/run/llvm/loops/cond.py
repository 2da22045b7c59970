"""A choice: one of two bodies is run."""

from __future__ import annotations

from typing import Any

from chainrule.run.llvm.loops.bodies import Inputs, check_dtypes, items_used, lowered, recorded
from chainrule.run.llvm.loops.places import located
from chainrule.run.llvm.loops.text import Piece, Text
from chainrule.run.llvm.lowering import Lowering, Tensor, Unsupported, elementwise, of_buffer, rule
from chainrule.run.llvm.nests import Buffer
from chainrule.run.llvm.program import Program, Value
from chainrule.run.llvm.rows.elementwise import truth


class _Cond(Piece):
    """One of two bodies."""

    def __init__(self, b: Lowering, condition: Buffer, yes: Lowering, no: Lowering) -> None:
        super().__init__(b, [yes, no])
        self.condition = condition
        self.fixed: list[tuple[Buffer, Buffer, int]] = []

    def write(self, text: Text, scratch: str) -> None:
        pointers = {**self.given(text, 0), **self.given(text, 1)}
        for inner, outer, offset in self.fixed:
            pointers[id(inner)] = text.base(outer, offset)
        flag = text.put(f"load i8, ptr {text.base(self.condition)}")
        on = text.put(f"icmp ne i8 {flag}, 0")
        text.do(f"br i1 {on}, label %yes, label %no")
        for k, name in enumerate(("yes", "no")):
            text.start(name)
            text.call(self.codes[k], scratch, pointers)
            text.do("br label %done")
        text.start("done")


@rule("cond")
def _cond(b: Lowering, value: Value, pred: Tensor, *tensors: Any) -> None:
    assert value.parts is not None
    check_dtypes(value, [v.dtype for v in value.args])
    check_dtypes(value, [dtype for _, dtype in value.parts])
    if pred.size != 1:
        raise Unsupported("a condition that is not one number")
    used = sorted(items_used(b, value))
    yes, no = value.attrs["yes"], value.attrs["no"]
    first = len(yes.outside)
    second = first + len(no.outside)
    branches = []
    for staged, own in ((yes, range(first)), (no, range(first, second))):
        places = [*own, *range(second, len(tensors))]
        program = Program()
        inputs = Inputs(program)
        arguments = [inputs.of(value.args[1 + k]) for k in places]
        results = recorded(program, staged, arguments)
        program.results = [results[k] for k in used]
        branches.append((program, arguments, places, lowered(b, program, "cond")))
    condition = b.stored(elementwise(b, pred.shape, (pred,), truth)).buffer
    assert condition is not None
    piece = _Cond(b, condition, branches[0][3], branches[1][3])
    reads = [condition]
    for program, arguments, places, inner in branches:
        buffers = dict(zip(map(id, program.inputs), inner.inputs, strict=True))
        done: set[int] = set()
        for v, k in zip(arguments, places, strict=True):
            if id(v) in buffers and id(v) not in done and buffers[id(v)].readers:
                done.add(id(v))
                source, offset, _ = located(b, tensors[k])
                piece.fixed.append((buffers[id(v)], source, offset))
                reads.append(source)
    found: list[Any] = [None] * len(value.parts)
    b.bundles[value.number] = found
    writes = []
    for n, k in enumerate(used):
        shape, dtype = value.parts[k]
        target = b.nests.buffer("y", shape, dtype)
        writes.append(target)
        found[k] = of_buffer(target)
        for *_, inner in branches:
            piece.fixed.append((inner.results[n], target, 0))
    piece.call(b, writes, reads)
