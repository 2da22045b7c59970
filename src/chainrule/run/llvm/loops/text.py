"""The text of a loop: a function that calls bodies, and what stands for it among the nests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from chainrule.run.llvm.codegen import Code
from chainrule.run.llvm.instructions import Module, Writer
from chainrule.run.llvm.lowering import Lowering
from chainrule.run.llvm.nests import Buffer, Call


class Text(Writer):
    """A function that calls bodies."""

    def __init__(self, module: Module, name: str, buffers: Sequence[Buffer]) -> None:
        super().__init__()
        self.module = module
        self.name = name
        self.buffers = list(buffers)
        self._base = {id(b): f"%b{k}" for k, b in enumerate(self.buffers)}

    def room(self, size: int) -> str:
        """So many bytes on the stack."""
        return self.alloca("i8", max(size, 8))

    def base(self, b: Buffer, offset: int = 0) -> str:
        """The address of a place in a buffer."""
        return self.moved(self._base[id(b)], offset)

    def moved(self, pointer: str, by: int | str) -> str:
        """An address so many bytes further on."""
        return self.put(f"getelementptr i8, ptr {pointer}, i64 {by}") if by != 0 else pointer

    def copy(self, to: str, source: str, size: int) -> None:
        """Copy bytes."""
        if size:
            self.module.declare("declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)")
            given = f"ptr {to}, ptr {source}, i64 {size}, i1 false"
            self.do(f"call void @llvm.memcpy.p0.p0.i64({given})")

    def allocate(self, record: str, count: str, size: int) -> None:
        """Make room for so many rows."""
        self.module.declare("declare ptr @realloc(ptr, i64)")
        old = self.put(f"load ptr, ptr {record}")
        needed = self.put(f"mul i64 {count}, {max(size, 1)}")
        new = self.put(f"call ptr @realloc(ptr {old}, i64 {needed})")
        self.do(f"store ptr {new}, ptr {record}")

    def call(self, code: Code, scratch: str, pointers: dict[int, str]) -> None:
        """Call a body. ``pointers`` are those of its buffers."""
        buffers = [f"ptr {pointers.get(id(b), 'null')}" for b in code.slots]
        given = ", ".join(["ptr %status", f"ptr {scratch}", *buffers])
        self.do(f"call void @{code.segments[0]}({given})")

    def finish(self) -> None:
        """Add the function to the module."""
        buffers = [f"ptr noalias %b{k}" for k in range(len(self.buffers))]
        given = ", ".join(["ptr %status", *buffers])
        self.module.functions.append(self.whole(f"define internal void @{self.name}({given}) #0"))


class Piece:
    """What a group that calls bodies needs to know to be written."""

    def __init__(self, b: Lowering, bodies: Sequence[Lowering]) -> None:
        self.bodies = list(bodies)
        self.codes: list[Code] = []
        self.scratch = b.nests.buffer("w", (0,), np.dtype(np.bool_))
        self.constants: list[Buffer] = []
        for inner in bodies:
            own = [x for x in inner.nests.buffers if x.kind == "constant"]
            known = {id(x) for x in b.nests.buffers}
            b.nests.buffers.extend(x for x in own if id(x) not in known)
            self.constants += own
        self.name = ""
        self.buffers: list[Buffer] = []

    def call(self, b: Lowering, writes: Sequence[Buffer], reads: Sequence[Buffer]) -> None:
        """Add it to the nests of what it stands in."""
        writes = _once([*writes, self.scratch])
        reads = _once([*reads, *self.constants])
        self.buffers = _once([*writes, *reads])
        b.nests.call(Call("loop", writes, reads, self, b.place))

    def prepare(self, module: Module, name: str) -> None:
        """Write the functions; from then on the room that they need is known."""
        self.name = name
        before = len(module.functions)
        self.codes = [
            Code(inner, module, f"{name}.{k}", inner=True) for k, inner in enumerate(self.bodies)
        ]
        _inline(module.functions, before)
        self.scratch.shape = (max([c.workspace for c in self.codes], default=0),)
        text = Text(module, f"{name}.loop", self.buffers)
        self.write(text, text.base(self.scratch))
        text.finish()

    def write(self, text: Text, scratch: str, /) -> None:
        """Write the function that calls the bodies."""
        raise NotImplementedError

    def emit(self, segment: Any) -> None:
        """The call of it."""
        segment.call(f"{self.name}.loop", self.buffers)

    def given(self, text: Text, k: int) -> dict[int, str]:
        """Pointers to the constants of a body."""
        return {id(x): text.base(x) for x in self.bodies[k].nests.buffers if x.kind == "constant"}


# Bodies of up to so many lines become a part of the loop: what is carried may then stay in
# registers from one turn to the next.
_INLINED = 3000
_HEAD = "define internal void @"


def _inline(functions: list[str], start: int) -> None:
    """Mark functions, which are called in one place each, to be written there."""
    if sum(f.count("\n") for f in functions[start:]) > _INLINED:
        return
    for n in range(start, len(functions)):
        first, rest = functions[n].split("\n", 1)
        if first.startswith(_HEAD) and "alwaysinline" not in first:
            first = first.replace(" #0 {", " alwaysinline #0 {")
            functions[n] = f"{first}\n{rest}"


def _once(buffers: Iterable[Buffer]) -> list[Buffer]:
    return list({id(b): b for b in buffers}.values())
