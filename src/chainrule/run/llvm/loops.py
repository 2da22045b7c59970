"""Loops that stay loops: the body becomes code of its own, called in every turn.

A body is a program of its own, lowered and emitted like any other, as one function of the workspace
and of pointers to its inputs and results. Around it stands the loop: what it takes along a sequence
are pointers that move on, what it carries stays in one place where the body may write over it, or
lies in two places in turns, or in the rows of an array if every turn's value is asked for. Results
that nothing needs are not computed, in the body either.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from chainrule.graph.operand import NO_ATTRS, Operand
from chainrule.graph.tape import Traced
from chainrule.rules.arithmetic import ADD, MULTIPLY
from chainrule.run.llvm.codegen import Code
from chainrule.run.llvm.emit import Module
from chainrule.run.llvm.expressions import WEIGHTS, ZERO, Expr, Var
from chainrule.run.llvm.lowering import (
    DTYPES,
    Index,
    Lowering,
    Tensor,
    Unsupported,
    converted,
    of_buffer,
    of_var,
    row_strides,
    rule,
    view,
)
from chainrule.run.llvm.nests import Buffer, Call, Loop, Statement, Straight
from chainrule.run.llvm.program import Program, Value
from chainrule.run.llvm.program import _key as attribute_key
from chainrule.run.llvm.rows.elementwise import truth
from chainrule.transforms.staging import Staged, identity

# What is carried lies on the stack up to this size in bytes, so that it may stay in registers.
_SMALL = 256
# And is copied back rather than exchanged up to this one.
_COPIED = 64


# -------------------------------------------------------------------------------------------- bodies


def recorded(program: Program, staged: Staged, arguments: Sequence[Value]) -> list[Value]:
    """The results of a staged function of values of a program, as values of it."""
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
        value, why = inner.numpy[0]
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


def located(b: Lowering, tensor: Tensor, skip: int = 0) -> tuple[Buffer, int, int]:
    """Where an array lies, its elements in rows: buffer, offset in bytes, bytes from row to row.

    With ``skip = 1`` the first axis is the one that is walked along.
    """
    if tensor.layout is not None:
        source, offset, strides = tensor.layout
        shape = tensor.shape[skip:]
        dense = row_strides(shape)
        if all(
            n == 1 or s == d for n, s, d in zip(shape, strides[skip:], dense, strict=True)
        ):
            step = strides[0] if skip else 0
            return source, offset * source.itemsize, step * source.itemsize
    stored = b.stored(tensor).buffer
    assert stored is not None
    return stored, 0, math.prod(tensor.shape[1:]) * stored.itemsize if skip else 0


def filled(b: Lowering, target: Buffer, row: int | None, tensor: Tensor) -> None:
    """Write an array into a buffer, or into one row of it."""
    variables = [Var(n) for n in tensor.shape if n != 1]
    left = iter(variables)
    index: Index = tuple([ZERO if n == 1 else of_var(next(left)) for n in tensor.shape])
    place = index if row is None else (ZERO.shifted(row), *index)
    b.add(Statement(target, variables, place, tensor.at(index), place=b.place))


def row_of(x: Buffer, row: int) -> Tensor:
    """One row of a buffer."""
    size = math.prod(x.shape[1:])
    return view(
        of_buffer(x), x.shape[1:], lambda index: (ZERO.shifted(row), *index),
        row_strides(x.shape)[1:], row * size,
    )  # fmt: skip


def rows_of(x: Buffer, start: int, count: int) -> Tensor:
    """Rows of a buffer."""
    strides = row_strides(x.shape)
    return view(
        of_buffer(x), (count, *x.shape[1:]),
        lambda index: (_shifted(index[0], start), *index[1:]), strides, start * strides[0],
    )  # fmt: skip


def _shifted(index: Any, by: int) -> Any:
    if isinstance(index, Expr):
        from chainrule.run.llvm.expressions import const, op

        return op("add", np.int64, index, const(by, np.int64)) if by else index
    return index.shifted(by)


def repeated_rows(x: Tensor, count: int) -> Tensor:
    """The same array in every row."""
    layout = None
    if x.layout is not None:
        source, offset, strides = x.layout
        layout = source, offset, (0, *strides)
    return Tensor(
        (count, *x.shape), x.dtype, lambda index: x.at(index[1:]), x.weight, x.depth, layout
    )


# ----------------------------------------------------------------------- where what is carried lies


def written_over(inner: Lowering, source: Buffer, target: Buffer) -> bool:
    """Make a result take the place of an input, if nothing needs the input once it is written.

    Every read of the input then has to come before the first write, or be of the element that is
    written next.
    """
    if source is target or source.kind != "input" or not target.writers:
        return False
    if any(isinstance(u, Call) for u in (*source.readers, *target.writers)):
        return False
    order: dict[int, tuple[int, int]] = {}
    for n, group in enumerate(inner.nests.groups):
        if isinstance(group, Call):
            continue
        body = group.statements() if isinstance(group, Loop) else group.body
        for k, s in enumerate(body):
            order[id(s)] = n, k
    readers = list({id(r): r for r in source.readers}.values())
    for r in readers:
        for w in target.writers:
            if not _before(r, w, order, source):
                return False
    for s in readers:
        for e in s.reads:
            if e.data is source:
                e.data = target
    source.kind = "none"
    target.readers.extend(readers)
    for w in list(target.writers):
        if _is_itself(w) and _removed(inner, w):
            target.writers.remove(w)
    return True


def _before(
    reader: Statement, writer: Statement, order: dict[int, tuple[int, int]], source: Buffer
) -> bool:
    """Whether a statement has read what it needs by the time that another one writes over it."""
    (n, k), (m, j) = order[id(reader)], order[id(writer)]
    if n != m:
        return n < m
    if k > j or reader.parent is not writer.parent:
        return False
    if isinstance(reader.parent, Straight):
        return True
    if any(writer.reduced) or writer.initial is not None:
        return False
    if any(isinstance(i, Expr) for i in writer.index):
        return False
    index = [i.canonical() for i in writer.index]
    named = {n for i in index for n, _ in i[1:]}
    if any(v.here().number not in named for v in writer.vars):
        return False
    return all(
        all(not isinstance(i, Expr) for i in e.index)
        and [i.canonical() for i in e.index] == index
        for e in reader.reads if e.data is source
    )  # fmt: skip


def _is_itself(s: Any) -> bool:
    """Whether a statement writes what is there already."""
    e = s.value
    return (
        s.combine is None and e.kind == "load" and e.data is s.target
        and not any(isinstance(i, Expr) for i in (*e.index, *s.index))
        and [i.canonical() for i in e.index] == [i.canonical() for i in s.index]
    )  # fmt: skip


def _removed(inner: Lowering, s: Statement) -> bool:
    """Take a statement out of its loops, if something else is left in them."""
    parent: Any = s.parent
    item: Any = s
    while isinstance(parent, Loop) and len(parent.body) == 1:
        item, parent = parent, parent.parent
    if parent is None:
        inner.nests.groups = [g for g in inner.nests.groups if g is not item]
    elif isinstance(parent, Straight) and len(parent.body) == 1:
        inner.nests.groups = [g for g in inner.nests.groups if g is not parent]
    else:
        parent.body.remove(item)
    return True


# -------------------------------------------------------------------------------------- text of loops


class Text:
    """A function that is written line by line."""

    def __init__(self, module: Module, name: str, buffers: Sequence[Buffer]) -> None:
        self.module = module
        self.name = name
        self.buffers = list(buffers)
        self.lines: list[str] = []
        self.allocas: list[str] = []
        self.count = 0
        self._base = {id(b): f"%b{k}" for k, b in enumerate(self.buffers)}

    def put(self, text: str) -> str:
        """An instruction with a result."""
        self.count += 1
        self.lines.append(f"  %v{self.count} = {text}")
        return f"%v{self.count}"

    def do(self, line: str) -> None:
        """Any other line."""
        self.lines.append(f"  {line}")

    def label(self, name: str) -> None:
        """The start of a block."""
        self.lines.append(f"{name}:")

    def alloca(self, size: int) -> str:
        """Room on the stack."""
        self.count += 1
        self.allocas.append(f"  %v{self.count} = alloca i8, i64 {max(size, 8)}, align 32")
        return f"%v{self.count}"

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
            self.do(f"call void @llvm.memcpy.p0.p0.i64(ptr {to}, ptr {source}, i64 {size}, i1 false)")

    def call(self, code: Code, scratch: str, pointers: dict[int, str]) -> None:
        """Call a body. ``pointers`` are those of its buffers."""
        given = [f"ptr {pointers.get(id(b), 'null')}" for b in code.slots]
        self.do(f"call void @{code.segments[0]}({', '.join(['ptr %status', f'ptr {scratch}', *given])})")

    def finish(self) -> None:
        """Add the function to the module."""
        given = ", ".join(["ptr %status", *(f"ptr noalias %b{k}" for k in range(len(self.buffers)))])
        self.module.functions.append("\n".join([
            f"define internal void @{self.name}({given}) #0 {{", "entry:", *self.allocas,
            *self.lines, "  ret void", "}",
        ]))  # fmt: skip


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
        self.codes = [
            Code(inner, module, f"{name}.{k}", inner=True) for k, inner in enumerate(self.bodies)
        ]
        self.scratch.shape = (max([c.workspace for c in self.codes], default=0),)
        text = Text(module, f"{name}.loop", self.buffers)
        self.write(text, text.base(self.scratch))
        text.finish()

    def write(self, text: Text, scratch: str) -> None:
        """Write the function that calls the bodies."""
        raise NotImplementedError

    def emit(self, segment: Any) -> None:
        """The call of it."""
        segment.call(f"{self.name}.loop", self.buffers)

    def given(self, text: Text, k: int) -> dict[int, str]:
        """Pointers to the constants of a body."""
        return {id(x): text.base(x) for x in self.bodies[k].nests.buffers if x.kind == "constant"}


def _once(buffers: Iterable[Buffer]) -> list[Buffer]:
    return list({id(b): b for b in buffers}.values())


# ---------------------------------------------------------------------------------------------- scan

# How something carried is kept.
_ROWS, _LATER_ROWS, _PLACE, _COPY, _TURNS = range(5)


class _Carried:
    """Something that a loop carries, and where it lies."""

    __slots__ = ("first", "how", "last", "number", "rows", "size", "source", "target")

    def __init__(self, number: int, source: Buffer, target: Buffer) -> None:
        self.number = number
        self.source = source  # of the body
        self.target = target
        self.size = source.size * source.itemsize
        self.how = _PLACE
        self.rows: Buffer | None = None
        self.first: tuple[Buffer, int] | None = None  # where the first value lies
        self.last: Buffer | None = None


class _Scan(Piece):
    """A loop of known length."""

    def __init__(self, b: Lowering, body: Lowering, count: int, backwards: bool) -> None:
        super().__init__(b, [body])
        self.count = count
        self.backwards = backwards
        self.turn: Buffer | None = None
        # Of each buffer of the body: the one it is a part of, the offset there, and bytes per turn.
        self.fixed: list[tuple[Buffer, tuple[Buffer, int, int]]] = []
        self.carried: list[_Carried] = []

    def write(self, text: Text, scratch: str) -> None:
        count, back = self.count, self.backwards
        start, end, step = (count - 1, -1, -1) if back else (0, count, 1)
        pointers = self.given(text, 0)
        turn = text.alloca(8) if self.turn is not None else ""
        local: dict[int, tuple[str, str]] = {}
        for c in self.carried:
            if c.how in (_PLACE, _COPY):
                assert c.last is not None
                place = text.base(c.last)
                if c.size <= _SMALL:
                    place = text.alloca(c.size)
                    text.copy(place, text.base(c.last), c.size)
                local[c.number] = place, text.alloca(c.size) if c.how == _COPY else place
        moving = []
        for inner, (outer, offset, stride) in self.fixed:
            base = text.base(outer, offset)
            if stride:
                moving.append((inner, base, stride))
            else:
                pointers[id(inner)] = base
        firsts = {
            c.number: text.base(*c.first) for c in self.carried
            if c.how == _LATER_ROWS and c.first is not None
        }  # fmt: skip
        pairs = {
            c.number: (text.base(c.last), text.base(c.rows)) for c in self.carried
            if c.how == _TURNS and c.last is not None and c.rows is not None
        }  # fmt: skip
        text.do("br label %head")
        text.label("head")
        text.do(f"%t = phi i64 [ {start}, %entry ], [ %t.next, %head ]")
        for n, first in firsts.items():
            text.do(f"%in{n} = phi ptr [ {first}, %entry ], [ %out{n}, %head ]")
        for n, (one, other) in pairs.items():
            text.do(f"%in{n} = phi ptr [ {one}, %entry ], [ %out{n}, %head ]")
            text.do(f"%out{n} = phi ptr [ {other}, %entry ], [ %in{n}, %head ]")
        for inner, base, stride in moving:
            pointers[id(inner)] = text.moved(base, text.put(f"mul nsw i64 %t, {stride}"))
        if self.turn is not None:
            text.do(f"store i64 %t, ptr {turn}")
            pointers[id(self.turn)] = turn
        for c in self.carried:
            n = c.number
            if c.how in (_PLACE, _COPY):
                own = local[n]
            elif c.how == _TURNS:
                own = f"%in{n}", f"%out{n}"
            else:
                assert c.rows is not None
                row = text.moved(text.base(c.rows), text.put(f"mul nsw i64 %t, {c.size}"))
                if c.how == _LATER_ROWS:
                    text.do(f"%out{n} = getelementptr i8, ptr {row}, i64 0")
                    own = f"%in{n}", f"%out{n}"
                else:
                    after = text.moved(row, c.size)
                    own = (after, row) if back else (row, after)
            pointers[id(c.source)], pointers[id(c.target)] = own
        text.call(self.codes[0], scratch, pointers)
        for c in self.carried:
            if c.how == _COPY:
                place, other = local[c.number]
                text.copy(place, other, c.size)
        text.do(f"%t.next = add nsw i64 %t, {step}")
        text.do(f"%again = icmp ne i64 %t.next, {end}")
        text.do("br i1 %again, label %head, label %exit")
        text.label("exit")
        for c in self.carried:
            if c.how in (_PLACE, _COPY) and c.size <= _SMALL:
                assert c.last is not None
                text.copy(text.base(c.last), local[c.number][0], c.size)


def _progression(v: Value) -> tuple[int, int] | None:
    """First number and step of a constant whose elements are evenly spaced whole numbers."""
    if not v.is_constant or v.dtype != np.int64 or len(v.shape) != 1 or v.size < 2:
        return None
    step = int(v.constant[1]) - int(v.constant[0])
    first = int(v.constant[0])
    if not np.array_equal(v.constant, first + step * np.arange(v.size)):
        return None
    return first, step


class _Stage:
    """The body of a scan as a program, for those of its results that are needed."""

    def __init__(self, value: Value, count: int, used: set[int]) -> None:
        staged: Staged = value.attrs["body"]
        self.staged = staged
        carried, args = value.attrs["carried"], value.args
        outer = len(staged.outside)
        self.first = first = outer + carried
        # What is carried but never changes is taken from outside, like what is: by its place.
        fixed: set[int] = set()
        while True:
            self.program = program = Program()
            self.turn: Value | None = None
            self.inputs = inputs = Inputs(program)
            self.arguments: list[Value] = []
            for k, v in enumerate(args):
                if k < outer or k - outer in fixed:
                    new = inputs.of(v)
                elif k < first:
                    new = program.input(v.shape, v.dtype)
                else:
                    new = self._element(v)
                self.arguments.append(new)
            self.results = recorded(program, staged, self.arguments)
            still = {
                j for j in range(carried)
                if j not in fixed and (
                    self.results[j] is self.arguments[outer + j]
                    or _equal(self.results[j], args[outer + j])
                )
            }  # fmt: skip
            if not still:
                break
            fixed |= still
        self.fixed = fixed
        self.outer, self.carried = outer, carried
        # What is kept for later loops, and what this one is given by earlier ones, by row.
        self.kept: list[Value] = []
        self.taken: list[tuple[Value, Tensor]] = []
        self._choose(used)

    def _element(self, v: Value) -> Value:
        even = _progression(v)
        if even is None:
            return self.inputs.along(v)
        first, step = even
        if self.turn is None:
            self.turn = self.program.input((), np.dtype(np.int64))
        found = self.turn
        for op, number in ((MULTIPLY, step), (ADD, first)):
            if number != (1 if op is MULTIPLY else 0):
                constant = self.program.constant(np.int64(number))
                found = self.program.apply(op, (found, constant), NO_ATTRS, (), found.dtype)
        return found

    def _choose(self, used: set[int]) -> None:
        """Which results are needed, and what is carried for them."""
        carried, given = self.carried, len(self.results) - self.carried
        moving = [j for j in range(carried) if j not in self.fixed]
        depends = [0] * len(self.program.values)
        for j in moving:
            depends[self.arguments[self.outer + j].number] = 1 << j
        for v in self.program.values:
            for a in v.args:
                depends[v.number] |= depends[a.number]
        self.final = {j for j in range(carried) if j in used}
        self.given = {k for k in range(given) if carried + k in used}
        self.history = {j for j in range(carried) if carried + given + j in used}
        own = {id(self.arguments[self.outer + j]): j for j in moving}
        # A result that is what was carried into the turn is a part of the history.
        self.alias: dict[int, int] = {}
        for k in self.given:
            j = own.get(id(self.results[carried + k]))
            if j is not None:
                self.alias[k] = j
                self.history.add(j)
        self._moving, self._depends = moving, depends
        self.live: list[int] = []
        self.need([self.results[carried + k] for k in self.given], self.final | self.history)

    def need(self, values: Sequence[Value], carried: Iterable[int] = ()) -> None:
        """Carry what these values depend on, and these."""
        moving, depends = self._moving, self._depends
        live = set(self.live)
        waiting = list(values)
        for j in moving:
            if j in carried and j not in live:
                live.add(j)
                waiting.append(self.results[j])
        while waiting:
            mask = depends[waiting.pop().number]
            for j in moving:
                if mask >> j & 1 and j not in live:
                    live.add(j)
                    waiting.append(self.results[j])
        self.live = sorted(live)

    @property
    def wanted(self) -> list[Value]:
        """The results that are computed in a turn."""
        return [
            *(self.results[j] for j in self.live),
            *(self.results[self.carried + k] for k in self.given if k not in self.alias),
        ]

    def take(self, v: Value, rows: Tensor) -> None:
        """Be given a value in every turn instead of computing it."""
        v.op, v.args, v.attrs = None, (), NO_ATTRS
        self.program.inputs.append(v)
        self.taken.append((v, rows))


def _stage_of(b: Lowering, value: Value) -> _Stage:
    key = "stage", value.number
    if key not in b.notes:
        count = _count(value)
        b.notes[key] = _Stage(value, count, items_used(b, value))
    found: _Stage = b.notes[key]
    return found


def _count(value: Value) -> int:
    """How many turns a scan makes."""
    args = value.args
    first = len(value.attrs["body"].outside) + value.attrs["carried"]
    return args[first].shape[0] if len(args) > first else int(value.attrs["count"])


# A loop keeps for a later one what would cost that one a call of a library, or a sum, to compute
# again, as long as all of it together is not larger than this.
_KEPT = 1 << 26
_SUMS = frozenset(("matmul", "einsum", "sum", "mean", "prod", "max", "min"))


def _is_costly(v: Value) -> bool:
    assert v.op is not None
    return v.op.name in _SUMS or (v.op.elementwise and WEIGHTS.get(v.op.name, 20.0) >= 20.0)


def _shared(b: Lowering, value: Value, stage: _Stage, count: int) -> list[tuple[_Stage, Value, Value]]:
    """What loops over the history of this one compute again: the loop, its value, and ours."""
    first = stage.carried + len(stage.results) - stage.carried
    history = {
        v.number: v.attrs["position"] - first for v in b.values
        if v.op is not None and v.op.name == "item" and v.args[0] is value
        and v.attrs["position"] >= first
    }  # fmt: skip
    found: list[tuple[_Stage, Value, Value]] = []
    ours: dict[Any, Value] | None = None
    for later in b.values[:]:
        if later.number <= value.number or later.op is None or later.op.name != "scan":
            continue
        if not any(a.number in history for a in later.args) or _count(later) != count:
            continue
        other = _stage_of(b, later)
        if ours is None:
            stage.program.results = stage.wanted
            ours = {_what(v, v.args): v for v in stage.program.needed() if v.op is not None}
        found += _again(value, stage, later, other, history, ours)
    size = sum(v.size * v.dtype.itemsize for v in {id(v): v for _, _, v in found}.values())
    return found if size * count <= _KEPT else []


def _what(v: Value, args: Sequence[Value]) -> Any:
    attrs = tuple([(k, attribute_key(a)) for k, a in v.attrs.items()])
    return v.op, tuple([a.number for a in args]), attrs, v.dtype


def _again(
    value: Value, stage: _Stage, later: Value, other: _Stage, history: dict[int, int],
    ours: dict[Any, Value],
) -> list[tuple[_Stage, Value, Value]]:  # fmt: skip
    # Of the other's values, those that are values of this loop in the same turn.
    same: dict[int, Value] = {}
    by_outside = {
        (v.number, k >= stage.first): stage.arguments[k] for k, v in enumerate(value.args)
        if not stage.outer <= k < stage.first or k - stage.outer in stage.fixed
    }  # fmt: skip
    for k, v in enumerate(later.args):
        mine = other.arguments[k]
        if mine.is_constant or (other.outer <= k < other.first and k - other.outer not in other.fixed):
            continue
        along = k >= other.first
        j = history.get(v.number)
        if along and j is not None:
            same[mine.number] = stage.arguments[stage.outer + j]
        elif (v.number, along) in by_outside:
            same[mine.number] = by_outside[v.number, along]
    if other.turn is not None and stage.turn is not None:
        same[other.turn.number] = stage.turn
    other.program.results = other.wanted
    for v in other.program.needed():
        if v.number in same:
            continue
        if v.is_constant:
            same[v.number] = stage.program.constant(v.constant.item() if v.weak else v.constant)
        elif v.op is not None and v.parts is None and all(a.number in same for a in v.args):
            known = ours.get(_what(v, [same[a.number] for a in v.args]))
            if known is not None:
                same[v.number] = known
    # From the results on, what is costly is taken, and nothing that only it needs.
    found: list[tuple[_Stage, Value, Value]] = []
    seen: set[int] = set()
    waiting = list(other.program.results)
    while waiting:
        v = waiting.pop()
        if v.number in seen or v.op is None:
            continue
        seen.add(v.number)
        if v.number in same and v.parts is None and v.dtype in DTYPES and _is_costly(v):
            found.append((other, v, same[v.number]))
        else:
            waiting.extend(v.args)
    return found


def _equal(result: Value, start: Value) -> bool:
    """Whether a result is a constant, and the one that was there at the start."""
    return (
        result.uniform is not None and start.uniform is not None
        and result.dtype == start.dtype and result.uniform.tobytes() == start.uniform.tobytes()
    )  # fmt: skip


@rule("scan")
def _scan(b: Lowering, value: Value, *tensors: Any) -> None:
    assert value.parts is not None
    check_dtypes(value, [v.dtype for v in value.args])
    check_dtypes(value, [dtype for _, dtype in value.parts])
    count = _count(value)
    stage = _stage_of(b, value)
    outer, carried, first = stage.outer, stage.carried, stage.first
    given = len(stage.results) - carried
    found: list[Tensor | None] = [None] * len(value.parts)
    b.bundles[value.number] = found  # type: ignore[assignment]
    start = list(tensors[outer:first])
    if not count:
        for j in stage.final:
            found[j] = start[j]
        for n in items_used(b, value):
            if n >= carried:
                shape, dtype = value.parts[n]
                found[n] = of_buffer(b.nests.buffer("e", shape, dtype))
        return
    _by_loop(b, value, stage, tensors, found, count, given)


def _by_loop(
    b: Lowering, value: Value, stage: _Stage, tensors: Sequence[Tensor], found: list[Any],
    count: int, given: int,
) -> None:  # fmt: skip
    outer, carried, first = stage.outer, stage.carried, stage.first
    start = tensors[outer:first]
    backwards = value.attrs["backwards"]
    program, arguments, results = stage.program, stage.arguments, stage.results
    for j in stage.fixed:
        found[j] = start[j]
        found[carried + given + j] = repeated_rows(start[j], count)
    # What a step gives: a part of what is there already, or rows of its own.
    sources: dict[int, Tensor] = {}
    for k, v in enumerate(value.args):
        if k < outer or k - outer in stage.fixed:
            sources.setdefault(id(arguments[k]), repeated_rows(tensors[k], count))
        elif k >= first:
            sources.setdefault(id(arguments[k]), tensors[k])
    own: list[int] = []
    for k in sorted(stage.given):
        v = results[carried + k]
        if k in stage.alias:
            continue
        if v.is_constant:
            found[carried + k] = repeated_rows(_known(b, v), count)
        elif v.op is None and id(v) in sources:
            found[carried + k] = sources[id(v)]
        else:
            own.append(k)
    # A result that is carried on as well is written once.
    by_value: dict[int, int] = {}
    for j in stage.live:
        by_value.setdefault(results[j].number, j)
    later: dict[int, list[int]] = {}
    alone: dict[int, list[int]] = {}
    for k in own:
        j_of = by_value.get(results[carried + k].number)
        if j_of is not None:
            later.setdefault(j_of, []).append(k)
        else:
            alone.setdefault(results[carried + k].number, []).append(k)
    if not stage.live and not alone:
        return
    again = _shared(b, value, stage, count)
    kept = list({v.number: v for _, _, v in again}.values())
    stage.need(kept)
    program.results = [results[j] for j in stage.live]
    program.results += [results[carried + ks[0]] for ks in alone.values()]
    program.results += kept
    inner = lowered(b, program, "scan")
    places = dict(zip(map(id, program.inputs), inner.inputs, strict=True))
    loop = _Scan(b, inner, count, backwards)
    writes: list[Buffer] = []
    reads: list[Buffer] = []
    if stage.turn is not None:
        loop.turn = places[id(stage.turn)]
    done = {id(v) for v, _ in stage.taken}
    for k, v in enumerate(arguments):
        if v.is_constant or id(v) in done or id(v) not in places:
            continue
        done.add(id(v))
        if k < outer or k - outer in stage.fixed:
            where = located(b, tensors[k])
        elif k >= first and v is not stage.turn:
            where = located(b, tensors[k], 1)
        else:
            continue
        if places[id(v)].readers:
            loop.fixed.append((places[id(v)], where))
            reads.append(where[0])
    for v, rows in stage.taken:
        if places[id(v)].readers:
            where = located(b, rows, 1)
            loop.fixed.append((places[id(v)], where))
            reads.append(where[0])
    for j, target in zip(stage.live, inner.results, strict=False):
        c = _Carried(j, places[id(arguments[outer + j])], target)
        loop.carried.append(c)
        _keep(b, loop, c, stage, later.get(j, []), start[j], found, count, given, writes, reads)
    by_row = []
    for target in inner.results[len(stage.live) :]:
        b_rows = b.nests.buffer("y", (count, *target.shape), target.dtype)
        writes.append(b_rows)
        loop.fixed.append((target, (b_rows, 0, target.size * target.itemsize)))
        by_row.append(of_buffer(b_rows))
    for ks, given_rows in zip(alone.values(), by_row, strict=False):
        for k in ks:
            found[carried + k] = given_rows
    kept_rows = {v.number: x for v, x in zip(kept, by_row[len(alone) :], strict=True)}
    for other, theirs, v in again:
        other.take(theirs, kept_rows[v.number])
    for k, j in stage.alias.items():
        found[carried + k] = found[carried + given + j]
    loop.call(b, writes, reads)


def _keep(
    b: Lowering, loop: _Scan, c: _Carried, stage: _Stage, given_too: Sequence[int], start: Tensor,
    found: list[Any], count: int, given: int, writes: list[Buffer], reads: list[Buffer],
) -> None:  # fmt: skip
    """Decide where something carried lies, and what its results are."""
    j, carried = c.number, stage.carried
    shape, dtype = c.source.shape, c.source.dtype
    back = loop.backwards
    if j in stage.history:
        c.how = _ROWS
        c.rows = b.nests.buffer("h", (count + 1, *shape), dtype)
        filled(b, c.rows, count if back else 0, start)
        writes.append(c.rows)
        found[j] = row_of(c.rows, 0 if back else count)
        found[carried + given + j] = rows_of(c.rows, 1 if back else 0, count)
        for k in given_too:
            found[carried + k] = rows_of(c.rows, 0 if back else 1, count)
        return
    if given_too:
        c.how = _LATER_ROWS
        c.rows = b.nests.buffer("y", (count, *shape), dtype)
        source, offset, _ = located(b, start)
        c.first = source, offset
        reads.append(source)
        writes.append(c.rows)
        found[j] = row_of(c.rows, 0 if back else count - 1)
        for k in given_too:
            found[carried + k] = of_buffer(c.rows)
        return
    c.last = b.nests.buffer("s", shape, dtype)
    filled(b, c.last, None, start)
    writes.append(c.last)
    found[j] = of_buffer(c.last)
    if written_over(loop.bodies[0], c.source, c.target):
        c.how = _PLACE
    elif c.size <= _COPIED:
        c.how = _COPY
    else:
        c.how = _TURNS
        c.rows = b.nests.buffer("s", shape, dtype)
        writes.append(c.rows)
        if count % 2:
            found[j] = of_buffer(c.rows)


def _known(b: Lowering, v: Value) -> Tensor:
    """A constant of a body, in what is around it."""
    return b._of_constant(v)
