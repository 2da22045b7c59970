"""What a function was made into, as texts to be read."""

from __future__ import annotations

import linecache
import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from chainrule.run.llvm.codegen import Code
from chainrule.run.llvm.executable import Executable
from chainrule.run.llvm.expressions import Affine, Expr, Var
from chainrule.run.llvm.lowering import Lowering
from chainrule.run.llvm.nests import Call, Loop, Statement, Sweep
from chainrule.run.llvm.program import Value

_INDENT = "    "
# Lines of the user that are named beside a loop, at most.
_MOST_LINES = 6
# Arrays are written out up to this many elements, and expressions up to this many characters.
_MOST_ELEMENTS = 4
_MOST_CHARACTERS = 160
_SIGNS = {
    "add": "+", "subtract": "-", "multiply": "*", "divide": "/", "less": "<", "less_equal": "<=",
    "greater": ">", "greater_equal": ">=", "equal": "==", "not_equal": "!=",
}  # fmt: skip
_COMBINED = {"add": "+=", "multiply": "*="}
_COMMENT_AT = 56


class Lowered:
    """A compiled function, as texts. Printed, it shows the graph and the loops.

    Attributes:
        graph: The operations that are left, one to a line: name, dtype and shape, arguments, and
            the line of the user's that it comes from.
        nests: The loops in the order in which they are run, with what is computed in each turn, how
            many turns are done at once, on how many threads, and from which lines they come;
            products of matrices; and what NumPy does instead, with the reason.
        functions: Where each elementary function comes from.
        llvm_ir: The code as it is given to LLVM.
        assembly: The machine code in words.
        cached: Whether the object code was found on disk.
    """

    def __init__(self, executable: Executable, guards: int, name: str) -> None:
        self._executable = executable
        self._guards = guards
        self.name = name
        self.cached: bool = executable.library.cached

    @property
    def graph(self) -> str:
        """The operations that are left."""
        program = self._executable.program
        lines = [_operation(v, program.inputs) for v in program.needed()]
        count = len(program.results) - self._guards
        lines.append(f"return {', '.join(map(repr, program.results[:count]))}")
        if self._guards:
            asked = ", ".join(map(repr, program.results[count:]))
            lines.append(f"recorded anew if changed: {asked}")
        return "\n".join(lines)

    @property
    def nests(self) -> str:
        """The loops, and what is done in each turn."""
        lines: list[str] = []
        _Nests(self._executable, lines).code(self._executable.code, "")
        return "\n".join(lines)

    @property
    def functions(self) -> str:
        """Where each elementary function comes from."""
        found = self._executable.module.sources
        return "\n".join(f"{name}: {source}" for name, source in sorted(found.items()))

    @property
    def llvm_ir(self) -> str:
        """The code as it is given to LLVM."""
        return self._executable.library.text

    @property
    def assembly(self) -> str:
        """The machine code in words."""
        return self._executable.library.assembly()

    def __str__(self) -> str:
        parts = [
            f"# {self.name}: operations", self.graph, "", f"# {self.name}: loops", self.nests,
        ]  # fmt: skip
        if self.functions:
            parts += ["", "# functions", self.functions]
        return "\n".join(parts)

    __repr__ = __str__


def _commented(text: str, comment: str) -> str:
    return f"{text:<{_COMMENT_AT}}  # {comment}" if comment else text


def _line(place: tuple[str, int]) -> str:
    return f"{os.path.basename(place[0])}:{place[1]}"


def _sentence(place: tuple[str, int] | None) -> str:
    if place is None or not place[0]:
        return ""
    code = linecache.getline(*place).strip()
    return _line(place) + (f": {code}" if code else "")


def _kind(dtype: np.dtype[Any], shape: Sequence[int]) -> str:
    return f"{dtype.name}[{', '.join(map(str, shape))}]" if shape else dtype.name


def _constant(value: Value) -> str:
    if value.uniform is not None and value.shape:
        return f"{value.uniform} everywhere"
    if value.constant.size <= _MOST_ELEMENTS:
        return str(value.constant.tolist())
    return "array that was there while recording"


def _operation(value: Value, inputs: Sequence[Value]) -> str:
    """A line of the graph."""
    if value.parts is not None:
        kind = f"({', '.join(_kind(dtype, shape) for shape, dtype in value.parts)})"
    else:
        kind = _kind(value.dtype, value.shape)
    if value.op is None:
        what = _constant(value) if value.is_constant else f"argument {inputs.index(value)}"
        return f"{value!r}: {kind} = {what}"
    attrs = [
        f"{name}={item!r}" for name, item in value.attrs.items()
        if isinstance(item, int | float | str | tuple | np.dtype | type(None))
        and len(repr(item)) < _MOST_CHARACTERS
    ]  # fmt: skip
    text = f"{value!r}: {kind} = {value.op.name}({', '.join([*map(repr, value.args), *attrs])})"
    return _commented(text, _sentence(value.place))


class _Nests:
    """Writes the loops of a program and of the bodies in it."""

    def __init__(self, executable: Executable, lines: list[str]) -> None:
        self.executable = executable
        self.lines = lines

    def put(self, text: str, comment: str = "") -> None:
        self.lines.append(_commented(text, comment))

    def code(self, code: Code, indent: str) -> None:
        """All groups in their order."""
        places = _places(code.lowering)
        reasons = {id(value): why for value, why in code.lowering.numpy}
        for group, divided in zip(code.groups, code.divided, strict=True):
            if isinstance(group, Call):
                self._call(group, reasons, indent)
            elif isinstance(group, Loop):
                self._loop(group, places, indent, divided)
            elif isinstance(group, Sweep):
                notes = f"{code.module.target.threads} threads" if divided else ""
                self.put(f"{indent}in blocks of {group.block}:", notes)
                for turns in group.turns:
                    self._loop(turns.loop, places, indent + _INDENT, None)
            else:
                for s in group.body:
                    self._statement(s, indent, _named(places, [s]))

    def _loop(self, loop: Loop, places: Any, indent: str, divided: Var | None) -> None:
        var = loop.var.here()
        notes = []
        lanes = self.executable.module.widths.get(var.number, 1)
        if lanes > 1:
            notes.append(f"{lanes} at once")
        if var is divided:
            notes.append(f"{self.executable.module.target.threads} threads")
        lines = _named(places, loop.statements())
        if lines:
            notes.append(lines)
        self.put(f"{indent}for {var!r} in {var.low}..{var.high}:", "; ".join(notes))
        for item in loop.body:
            if isinstance(item, Loop):
                self._loop(item, places, indent + _INDENT, divided)
            else:
                self._statement(item, indent + _INDENT)

    def _statement(self, s: Statement, indent: str, comment: str = "") -> None:
        sign = "="
        if s.combine is not None:
            sign = _COMBINED.get(s.combine, f"= {s.combine} with")
        index = f"[{', '.join(map(_index, s.index))}]" if s.index else ""
        text = f"{indent}{s.target}{index} {sign} {_expression(s.value)}"
        if len(text) > _MOST_CHARACTERS:
            text = text[: _MOST_CHARACTERS - 2] + " …"
        self.put(text, comment)

    def _call(self, call: Call, reasons: dict[int, str], indent: str) -> None:
        where = _sentence(call.place)
        names = ", ".join(map(repr, call.writes))
        if call.kind == "gemm":
            m, n, k = call.data["sizes"]
            left, right = (
                f"{part[0]}{'ᵀ' if part[2] else ''}"
                for part in (call.data["left"], call.data["right"])
            )
            self.put(f"{indent}{names} = {left} @ {right}", f"BLAS, {m}×{k} by {k}×{n}; {where}")
        elif call.kind == "numpy":
            value, _ = call.data
            reads = ", ".join(map(repr, call.reads_buffers))
            why = reasons.get(id(value), "")
            notes = "; ".join(part for part in (f"NumPy, as {why}", where) if part)
            self.put(f"{indent}{names} = {value.op.name}({reads})", notes)
        elif call.kind == "scalars":
            self.put(f"{indent}{names} = scalars:", where)
            for line in call.data.described():
                self.put(f"{indent}{_INDENT}{line}")
        else:
            piece = call.data
            count = getattr(piece, "count", None)
            turns = "" if count is None else f" {count} times"
            backwards = ", from the last to the first" if getattr(piece, "backwards", False) else ""
            self.put(f"{indent}{names} = loop{turns}{backwards}:", where)
            for n, inner in enumerate(piece.codes):
                if n:
                    self.put(f"{indent}and:")
                self.code(inner, indent + _INDENT)


Place = tuple[str, int]


def _places(lowering: Lowering) -> dict[int, list[Place]]:
    """The user's lines of what is computed on the way to each buffer, by its identity."""
    stored = {
        number: tensor.layout[0]
        for number, tensor in lowering.tensors.items() if tensor.layout is not None
    }  # fmt: skip
    found: dict[int, list[Place]] = {}
    made = [(stored[v.number], v) for v in lowering.values if v.op and v.number in stored]
    made += list(zip(lowering.results, lowering.program.results, strict=True))
    for target, value in made:
        _lines_of(value, stored, found.setdefault(id(target), []))
    return found


def _lines_of(value: Value, stored: dict[int, Any], lines: list[Place]) -> None:
    """Collect the lines of a value and of what it is made of, back to what is in memory."""
    stack, seen = [value], {value.number}
    while stack:
        here = stack.pop()
        if here.place is not None and here.place[0] and here.place not in lines:
            lines.append(here.place)
        for a in here.args:
            if a.number not in seen and a.op is not None and a.number not in stored:
                seen.add(a.number)
                stack.append(a)


def _named(places: dict[int, list[Place]], statements: Iterable[Statement]) -> str:
    """The user's lines that statements come from."""
    found: dict[Place, None] = {}
    for s in statements:
        known = places.get(id(s.target)) or ([s.place] if s.place and s.place[0] else [])
        found.update(dict.fromkeys(known))
    lines = [_line(place) for place in sorted(found)]
    if len(lines) > _MOST_LINES:
        lines = [*lines[:_MOST_LINES], "…"]
    return ", ".join(lines)


def _index(index: Affine | Expr) -> str:
    return repr(index) if isinstance(index, Affine) else _expression(index)


def _expression(e: Expr) -> str:
    """An expression as one writes it, as far as it is short."""
    pieces: list[str] = []
    _write(e, pieces, 0)
    return "".join(pieces)


def _write(e: Expr, pieces: list[str], depth: int) -> None:
    if depth > 60 or sum(map(len, pieces[-40:])) > 4 * _MOST_CHARACTERS:
        pieces.append("…")
        return
    if e.kind == "load":
        index = f"[{', '.join(map(_index, e.index))}]" if e.index else ""
        pieces.append(f"{e.data!r}{index}")
    elif e.kind != "op":
        pieces.append(f"{e.data}")
    elif e.data in _SIGNS and len(e.args) == 2:
        pieces.append("(" if depth else "")
        _write(e.args[0], pieces, depth + 1)
        pieces.append(f" {_SIGNS[e.data]} ")
        _write(e.args[1], pieces, depth + 1)
        pieces.append(")" if depth else "")
    else:
        name = e.dtype.name if e.data == "cast" else "-" if e.data == "negative" else e.data
        pieces.append(f"{name}(")
        for n, a in enumerate(e.args):
            pieces.append(", " if n else "")
            _write(a, pieces, depth + 1)
        pieces.append(")")
