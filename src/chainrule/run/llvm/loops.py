"""Loops that stay loops: the body becomes code of its own, called in every turn.

A body is a program of its own, lowered and emitted like any other, as one function of the workspace
and of pointers to its inputs and results. Around it stands the loop: what it takes along a sequence
are pointers that move on, what it carries stays in one place where the body may write over it, or
lies in two places in turns, or in the rows of an array if every turn's value is asked for. Results
that nothing needs are not computed, in the body either.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from chainrule.graph.operand import NO_ATTRS, Operand
from chainrule.graph.tape import Traced
from chainrule.rules.arithmetic import ADD, MULTIPLY
from chainrule.run.llvm.codegen import Code
from chainrule.run.llvm.expressions import WEIGHTS, ZERO, Expr, const, op
from chainrule.run.llvm.instructions import Module, Writer, type_of
from chainrule.run.llvm.lowering import (
    DTYPES,
    Index,
    Lowering,
    Tensor,
    Unsupported,
    elementwise,
    loops_over,
    of_buffer,
    row_strides,
    rule,
    view,
)
from chainrule.run.llvm.nests import Buffer, Call, Loop, Statement, Straight
from chainrule.run.llvm.program import Program, Value, attribute_key
from chainrule.run.llvm.rows.elementwise import truth
from chainrule.transforms.staging import Staged, identity

# What is carried lies on the stack up to this size in bytes, so that it may stay in registers.
_SMALL = 256
# And is copied back rather than exchanged up to this one.
_COPIED = 64


# ------------------------------------------------------------------------------------------- bodies


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


def located(b: Lowering, tensor: Tensor, skip: int = 0) -> tuple[Buffer, int, int]:
    """Where an array lies, its elements in rows: buffer, offset in bytes, bytes from row to row.

    With ``skip = 1`` the first axis is the one that is walked along.
    """
    if tensor.layout is not None:
        source, offset, strides = tensor.layout
        shape = tensor.shape[skip:]
        dense = row_strides(shape)
        if all(n == 1 or s == d for n, s, d in zip(shape, strides[skip:], dense, strict=True)):
            step = strides[0] if skip else 0
            return source, offset * source.itemsize, step * source.itemsize
    stored = b.stored(tensor).buffer
    assert stored is not None
    return stored, 0, math.prod(tensor.shape[1:]) * stored.itemsize if skip else 0


def filled(b: Lowering, target: Buffer, row: int | None, tensor: Tensor) -> None:
    """Write an array into a buffer, or into one row of it."""
    variables, index = loops_over(tensor.shape)
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


# -------------------------------------------------------------------------------- records that grow
#
# How many turns a while_loop makes is known when it has made them. What it keeps of each turn for
# the way back lies in memory that is allocated while it runs; where, is written into a buffer of
# three whole numbers: the address, how many rows there are, and how many there is room for.


class Growing(Tensor):
    """An array with as many rows as a loop of unknown length makes turns.

    Attributes:
        counter: The record that says how many rows there are.
        record: The one that says where it lies; ``None`` if all rows are the same.
        stride: Bytes from row to row.
        offset: Bytes from the first row to its part of it.
        row: The row that all are.
    """

    __slots__ = ("counter", "offset", "record", "row", "stride")

    def __init__(
        self, shape: tuple[int, ...], dtype: Any, counter: Buffer, record: Buffer | None = None,
        stride: int = 0, offset: int = 0, row: Tensor | None = None,
    ) -> None:  # fmt: skip
        super().__init__(shape, dtype, _unfit)
        self.counter = counter
        self.record = record
        self.stride = stride
        self.offset = offset
        self.row = row


def _unfit(_: Any) -> Expr:
    from chainrule.run.llvm.executable import Unfit

    raise Unfit("an array as long as a while_loop, outside of loops")


def growing(b: Lowering) -> Buffer:
    """A record without rows; what it holds is freed at the end."""
    record = b.nests.buffer("g", (3,), np.dtype(np.int64))
    zero = Tensor((3,), np.int64, lambda _: const(0, np.int64))
    filled(b, record, None, zero)
    b.notes.setdefault("closing", []).append(_Free(b, record))
    return record


# ----------------------------------------------------------------------- where what is carried lies


def written_over(inner: Lowering, source: Buffer, target: Buffer) -> bool:
    """Make a result take the place of an input, if nothing needs the input once it is written.

    Every read of the input then has to come before the first write, or be of the element that is
    written next.
    """
    if source is target or source.kind != "input" or not target.writers:
        return False
    if [n for n in source.shape if n != 1] != [n for n in target.shape if n != 1]:
        return False
    if any(isinstance(u, Call) for u in (*source.readers, *target.writers)):
        return False
    order: dict[int, tuple[int, int]] = {}
    for n, group in enumerate(inner.nests.groups):
        if isinstance(group, Call):
            continue
        for k, s in enumerate(group.statements()):
            order[id(s)] = n, k
    readers = list({id(r): r for r in source.readers}.values())
    for r in readers:
        for w in target.writers:
            if not _before(r, w, order, source):
                return False
    for s in readers:
        for e in s.reads:
            if e.data is source:
                e.index = _index_there(e.index, source, target)
                e.data = target
    source.kind = "none"
    target.readers.extend(readers)
    for w in list(target.writers):
        if _is_itself(w) and _removed(inner, w):
            target.writers.remove(w)
    return True


def _index_there(index: Index, source: Buffer, target: Buffer) -> Index:
    """An index in a buffer as one in another that differs from it by axes of length one."""
    left = iter([i for i, n in zip(index, source.shape, strict=True) if n != 1])
    return tuple([ZERO if n == 1 else next(left) for n in target.shape])


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
        and [i.canonical() for i in _index_there(e.index, source, writer.target)] == index
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


# ------------------------------------------------------------------------------------ text of loops


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

    def rows(self, array: Growing) -> str:
        """The first row of what lies in a record."""
        assert array.record is not None
        return self.moved(self.put(f"load ptr, ptr {self.base(array.record)}"), array.offset)

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


class _Free(Piece):
    """The end of a record."""

    def __init__(self, b: Lowering, record: Buffer) -> None:
        super().__init__(b, [])
        self.record = record

    def close(self, b: Lowering) -> None:
        """After everything else."""
        self.call(b, [], [self.record])

    def write(self, text: Text, _: str) -> None:
        text.module.declare("declare void @free(ptr)")
        place = text.put(f"load ptr, ptr {text.base(self.record)}")
        text.do(f"call void @free(ptr {place})")


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


# --------------------------------------------------------------------------------------------- scan

# How something carried is kept.
_ROWS, _LATER_ROWS, _PLACE, _COPY, _TURNS = range(5)


class _Carried:
    """Something that a loop carries, and where it lies."""

    __slots__ = (
        "first", "how", "last", "number", "record", "rows", "size", "source", "target",
    )  # fmt: skip

    def __init__(self, number: int, source: Buffer, target: Buffer) -> None:
        self.number = number
        self.source = source  # of the body
        self.target = target
        self.size = source.size * source.itemsize
        self.how = _PLACE
        # Another place; with rows for each turn, or of unknown number.
        self.rows: Buffer | None = None
        self.record: Growing | None = None
        self.first: tuple[Buffer, int] | None = None  # where the first value lies
        self.last: Buffer | None = None


class _Scan(Piece):
    """A loop of known length."""

    def __init__(self, b: Lowering, body: Lowering, count: int, backwards: bool) -> None:
        super().__init__(b, [body])
        self.count: int | None = count
        self.backwards = backwards
        # The record that says how many turns there are, if that is not known.
        self.counter: Buffer | None = None
        self.turn: Buffer | None = None
        # Of each buffer of the body: the one it is a part of, the offset there, and bytes per turn.
        self.fixed: list[tuple[Buffer, tuple[Buffer, int, int]]] = []
        # The same in records that grew, and the records of this loop's own with their rows.
        self.recorded: list[tuple[Buffer, Growing]] = []
        self.own: list[tuple[Buffer, int, int]] = []
        self.carried: list[_Carried] = []

    def write(self, text: Text, scratch: str) -> None:
        back = self.backwards
        count: Any = self.count
        before = "entry"
        if self.counter is not None:
            count = text.put(f"load i64, ptr {text.base(self.counter, 8)}")
            for record, size, more in self.own:
                text.allocate(text.base(record), text.put(f"add i64 {count}, {more}"), size)
                text.do(f"store i64 {count}, ptr {text.base(record, 8)}")
            before = "some"
        start: Any = 0
        end, step = count, 1
        if back:
            last = count - 1 if self.counter is None else text.put(f"sub i64 {count}, 1")
            start, end, step = last, -1, -1
        pointers = self.given(text, 0)
        turn = text.room(8) if self.turn is not None else ""
        local = local_places(text, self.carried)
        moving = []
        for inner, array in self.recorded:
            moving.append((inner, text.rows(array), array.stride))
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
        rows: dict[int, str] = {}
        for c in self.carried:
            if c.how in (_ROWS, _LATER_ROWS):
                if c.record is None:
                    assert c.rows is not None
                    rows[c.number] = text.base(c.rows)
                    continue
                first_row = rows[c.number] = text.rows(c.record)
                if c.how == _ROWS:
                    assert c.last is not None
                    if back:
                        first_row = text.moved(first_row, text.put(f"mul i64 {count}, {c.size}"))
                    text.copy(first_row, text.base(c.last), c.size)
        if self.counter is not None:
            some = text.put(f"icmp sgt i64 {count}, 0")
            text.do(f"br i1 {some}, label %some, label %exit")
            text.start("some")
        text.do("br label %head")
        text.start("head")
        text.do(f"%t = phi i64 [ {start}, %{before} ], [ %t.next, %head ]")
        for n, first in firsts.items():
            text.do(f"%in{n} = phi ptr [ {first}, %{before} ], [ %out{n}, %head ]")
        for n, (one, other) in pairs.items():
            text.do(f"%in{n} = phi ptr [ {one}, %{before} ], [ %out{n}, %head ]")
            text.do(f"%out{n} = phi ptr [ {other}, %{before} ], [ %in{n}, %head ]")
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
                row = text.moved(rows[n], text.put(f"mul nsw i64 %t, {c.size}"))
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
        text.start("exit")
        if self.counter is not None:
            for n, first in (*firsts.items(), *((n, one) for n, (one, _) in pairs.items())):
                text.do(f"%end{n} = phi ptr [ {first}, %entry ], [ %out{n}, %head ]")
        for c in self.carried:
            if c.how in (_PLACE, _COPY) and c.size <= _SMALL:
                assert c.last is not None
                text.copy(text.base(c.last), local[c.number][0], c.size)
            elif self.counter is not None and c.how in (_TURNS, _LATER_ROWS):
                assert c.last is not None
                text.copy(text.base(c.last), f"%end{c.number}", c.size)
            elif self.counter is not None and c.how == _ROWS:
                assert c.last is not None
                end_row = rows[c.number]
                if not back:
                    end_row = text.moved(end_row, text.put(f"mul i64 {count}, {c.size}"))
                text.copy(text.base(c.last), end_row, c.size)


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

    def __init__(self, value: Value, used: set[int]) -> None:
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
        for row, number in ((MULTIPLY, step), (ADD, first)):
            if number != (1 if row is MULTIPLY else 0):
                constant = self.program.constant(np.int64(number))
                found = self.program.apply(row, (found, constant), NO_ATTRS, (), found.dtype)
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
            before = own.get(id(self.results[carried + k]))
            if before is not None:
                self.alias[k] = before
                self.history.add(before)
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
        b.notes[key] = _Stage(value, items_used(b, value))
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


# A later loop, a value of its body, and the value of this loop's body that is the same.
_Again = tuple["_Stage", Value, Value]


def _shared(b: Lowering, value: Value, stage: _Stage, count: int) -> list[_Again]:
    """What loops over the history of this one compute again: the loop, its value, and ours."""
    first = len(stage.results)
    history = {
        v.number: v.attrs["position"] - first for v in b.values
        if v.op is not None and v.op.name == "item" and v.args[0] is value
        and v.attrs["position"] >= first
    }  # fmt: skip
    found: list[_Again] = []
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
) -> list[_Again]:  # fmt: skip
    # Of the other's values, those that are values of this loop in the same turn.
    same: dict[int, Value] = {}
    by_outside = {
        (v.number, k >= stage.first): stage.arguments[k] for k, v in enumerate(value.args)
        if not stage.outer <= k < stage.first or k - stage.outer in stage.fixed
    }  # fmt: skip
    for k, v in enumerate(later.args):
        mine = other.arguments[k]
        carried = other.outer <= k < other.first and k - other.outer not in other.fixed
        if mine.is_constant or carried:
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
    found: list[_Again] = []
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
    for v, t in zip(value.args[:first], tensors, strict=False):
        if isinstance(t, Growing):
            _unfit(v.shape)
    along = [t for t in tensors[first:] if isinstance(t, Growing)]
    counter = along[0].counter if along else None
    for v, t in zip(value.args[first:], tensors[first:], strict=True):
        if along and not isinstance(t, Growing) and v.uniform is None:
            _unfit(v)
    given = len(stage.results) - carried
    found: list[Tensor | None] = [None] * len(value.parts)
    b.bundles[value.number] = found  # type: ignore[assignment]
    start = list(tensors[outer:first])
    if not count and counter is None:
        for j in stage.final:
            found[j] = start[j]
        for n in items_used(b, value):
            if n >= carried:
                shape, dtype = value.parts[n]
                found[n] = of_buffer(b.nests.buffer("e", shape, dtype))
        return
    _by_loop(b, value, stage, tensors, found, count, given, counter)


def _by_loop(
    b: Lowering, value: Value, stage: _Stage, tensors: Sequence[Tensor], found: list[Any],
    count: int, given: int, counter: Buffer | None,
) -> None:  # fmt: skip
    outer, carried, first = stage.outer, stage.carried, stage.first
    start = tensors[outer:first]
    backwards = value.attrs["backwards"]
    program, arguments, results = stage.program, stage.arguments, stage.results

    def repeated(x: Tensor) -> Tensor:
        if counter is None:
            return repeated_rows(x, count)
        return Growing((count, *x.shape), x.dtype, counter, row=x)

    for j in stage.fixed:
        found[j] = start[j]
        found[carried + given + j] = repeated(start[j])
    # What a step gives: a part of what is there already, or rows of its own.
    sources: dict[int, Tensor] = {}
    for k in range(len(value.args)):
        if k < outer or k - outer in stage.fixed:
            sources.setdefault(id(arguments[k]), repeated(tensors[k]))
        elif k >= first:
            sources.setdefault(id(arguments[k]), tensors[k])
    own: list[int] = []
    for k in sorted(stage.given):
        v = results[carried + k]
        if k in stage.alias:
            continue
        if v.is_constant:
            found[carried + k] = repeated(_known(b, v))
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
    keeps = counter is None and not value.attrs.get("recomputed", False)
    again = _shared(b, value, stage, count) if keeps else []
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
    if counter is not None:
        loop.counter, loop.count = counter, None
        reads.append(counter)
    if stage.turn is not None:
        loop.turn = places[id(stage.turn)]
    done = {id(v) for v, _ in stage.taken}
    for k, v in enumerate(arguments):
        if v.is_constant or id(v) in done or id(v) not in places:
            continue
        done.add(id(v))
        t = tensors[k]
        if k < outer or k - outer in stage.fixed:
            where = located(b, t)
        elif isinstance(t, Growing) and t.record is not None:
            if places[id(v)].readers:
                loop.recorded.append((places[id(v)], t))
                reads.append(t.record)
            continue
        elif isinstance(t, Growing) and t.row is not None:
            where = located(b, t.row)
        elif k >= first and v is not stage.turn:
            where = located(b, t, 1)
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
    by_row: list[Tensor] = []
    alone_too = slice(len(stage.live), None)
    for v, target in zip(program.results[alone_too], inner.results[alone_too], strict=True):
        if counter is not None:
            array = _new_rows(b, loop, v, 0, writes)
            loop.recorded.append((target, array))
            by_row.append(array)
            continue
        b_rows = b.nests.buffer("y", (count, *v.shape), v.dtype)
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
    if loop.counter is not None:
        c.last = b.nests.buffer("s", shape, dtype)
        filled(b, c.last, None, start)
        writes.append(c.last)
        found[j] = of_buffer(c.last)
        if j in stage.history:
            c.how = _ROWS
            c.record = _new_rows(b, loop, c.source, 1, writes)
            before, after = (c.size, 0) if back else (0, c.size)
            found[carried + given + j] = _part(c.record, before)
            for k in given_too:
                found[carried + k] = _part(c.record, after)
            return
        if given_too:
            c.how = _LATER_ROWS
            c.record = _new_rows(b, loop, c.source, 0, writes)
            c.first = c.last, 0
            for k in given_too:
                found[carried + k] = c.record
            return
        _keep_one(b, loop, c, writes)
        return
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
    _keep_one(b, loop, c, writes)
    if c.rows is not None and count % 2:
        found[j] = of_buffer(c.rows)


def _keep_one(b: Lowering, loop: Piece, c: _Carried, writes: list[Buffer]) -> None:
    """Of something carried only the last value is needed."""
    if written_over(loop.bodies[-1], c.source, c.target):
        c.how = _PLACE
    elif c.size <= _COPIED:
        c.how = _COPY
    else:
        c.how = _TURNS
        c.rows = b.nests.buffer("s", c.source.shape, c.source.dtype)
        writes.append(c.rows)


def _new_rows(
    b: Lowering, loop: _Scan, like: Buffer | Value, more: int, writes: list[Buffer]
) -> Growing:  # fmt: skip
    """Rows of a loop's own, as many as it makes turns and some more."""
    record = growing(b)
    size = like.size * like.dtype.itemsize
    writes.append(record)
    loop.own.append((record, size, more))
    return Growing((1, *like.shape), like.dtype, record, record, size)


def _part(array: Growing, offset: int) -> Growing:
    return Growing(array.shape, array.dtype, array.counter, array.record, array.stride, offset)


def _known(b: Lowering, v: Value) -> Tensor:
    """A constant of a body, in what is around it."""
    return b._of_constant(v)


# -------------------------------------------------------------------------------------------- while


class _While(Piece):
    """A loop that asks before each turn whether to go on."""

    def __init__(self, b: Lowering, test: Lowering, body: Lowering) -> None:
        super().__init__(b, [test, body])
        # Of the buffers of both bodies: where they lie outside.
        self.fixed: list[tuple[Buffer, tuple[Buffer, int, int]]] = []
        self.carried: list[_Carried] = []
        # The buffer of the test for something carried.
        self.asked: dict[int, Buffer] = {}
        # What is kept of each turn: where in a row, and how long a row is.
        self.record: Buffer | None = None
        self.kept: dict[int, int] = {}
        self.stride = 0

    def write(self, text: Text, scratch: str) -> None:
        pointers = {**self.given(text, 0), **self.given(text, 1)}
        flag = text.room(8)
        answer = self.bodies[0].results[0]
        pointers[id(answer)] = flag
        for inner, (outer, offset, _) in self.fixed:
            pointers[id(inner)] = text.base(outer, offset)
        local = local_places(text, self.carried)
        pairs = {
            c.number: (text.base(c.last), text.base(c.rows)) for c in self.carried
            if c.how == _TURNS and c.last is not None and c.rows is not None
        }  # fmt: skip
        record = "" if self.record is None else text.base(self.record)
        text.do("br label %head")
        text.start("head")
        text.do("%n = phi i64 [ 0, %entry ], [ %n.next, %go ]")
        for n, (one, other) in pairs.items():
            text.do(f"%in{n} = phi ptr [ {one}, %entry ], [ %out{n}, %go ]")
            text.do(f"%out{n} = phi ptr [ {other}, %entry ], [ %in{n}, %go ]")
        for c in self.carried:
            own = local.get(c.number, (f"%in{c.number}", f"%out{c.number}"))
            pointers[id(c.source)], pointers[id(c.target)] = own
            if c.number in self.asked:
                pointers[id(self.asked[c.number])] = own[0]
        text.call(self.codes[0], scratch, pointers)
        kind = type_of(answer.dtype, memory=True)
        found = text.put(f"load {kind}, ptr {flag}")
        compare = "fcmp une" if answer.dtype.kind == "f" else "icmp ne"
        zero = "0.0" if answer.dtype.kind == "f" else "0"
        on = text.put(f"{compare} {kind} {found}, {zero}")
        text.do(f"br i1 {on}, label %more, label %exit")
        text.start("more")
        if self.stride:
            self._grow(text, record)
        else:
            text.do("br label %go")
        text.start("go")
        if record:
            row = text.put(f"load ptr, ptr {record}")
            row = text.moved(row, text.put(f"mul nsw i64 %n, {self.stride}"))
            for c in self.carried:
                if c.number in self.kept:
                    place = text.moved(row, self.kept[c.number])
                    text.copy(place, pointers[id(c.source)], c.size)
        text.call(self.codes[1], scratch, pointers)
        for c in self.carried:
            if c.how == _COPY:
                place, other = local[c.number]
                text.copy(place, other, c.size)
        text.do("%n.next = add nsw i64 %n, 1")
        text.do("br label %head")
        text.start("exit")
        if record:
            text.do(f"store i64 %n, ptr {text.moved(record, 8)}")
        for c in self.carried:
            assert c.last is not None
            if c.how == _TURNS:
                text.copy(text.base(c.last), f"%in{c.number}", c.size)
            elif c.size <= _SMALL:
                text.copy(text.base(c.last), local[c.number][0], c.size)

    def _grow(self, text: Text, record: str) -> None:
        """Room for one more row: twice as much as before where there is none left."""
        room = text.moved(record, 16)
        old = text.put(f"load i64, ptr {room}")
        full = text.put(f"icmp eq i64 %n, {old}")
        text.do(f"br i1 {full}, label %grow, label %go")
        text.start("grow")
        twice = text.put(f"shl i64 {old}, 1")
        none = text.put(f"icmp eq i64 {old}, 0")
        new = text.put(f"select i1 {none}, i64 16, i64 {twice}")
        text.do(f"store i64 {new}, ptr {room}")
        text.allocate(record, new, self.stride)
        text.do("br label %go")


def local_places(text: Text, carried: Sequence[_Carried]) -> dict[int, tuple[str, str]]:
    """Where what is carried in one place is read and written, filled with its first value."""
    local: dict[int, tuple[str, str]] = {}
    for c in carried:
        if c.how in (_PLACE, _COPY):
            assert c.last is not None
            place = text.base(c.last)
            if c.size <= _SMALL:
                place = text.room(c.size)
                text.copy(place, text.base(c.last), c.size)
            local[c.number] = place, text.room(c.size) if c.how == _COPY else place
    return local


@rule("while_loop")
def _while_loop(b: Lowering, value: Value, *tensors: Any) -> None:
    used = items_used(b, value)
    count = (len(value.parts or ()) - 1) // 2
    try:
        _while(b, value, tensors, used, count)
    except Unsupported as why:
        if any(k >= count for k in used):
            _unfit(why)
        # NumPy runs the loop; of its results those whose shapes are known.
        assert value.op is not None
        assert value.parts is not None
        evaluate = value.op.evaluate
        ending = replace(value.op, evaluate=lambda *a, **k: evaluate(*a, **k)[:count])
        short = Value(value.number, ending, value.args, value.attrs, (), value.dtype)
        short.parts = value.parts[:count]
        short.place = value.place
        b._by_numpy(short, str(why))


def _while(
    b: Lowering, value: Value, tensors: Sequence[Any], used: set[int], count: int
) -> None:  # fmt: skip
    assert value.parts is not None
    check_dtypes(value, [v.dtype for v in value.args])
    check_dtypes(value, [dtype for _, dtype in value.parts])
    body, test = value.attrs["body"], value.attrs["test"]
    first, second = len(body.outside), len(body.outside) + len(test.outside)
    args, state = value.args, value.args[second:]
    start = tensors[second:]
    for v, t in zip(args, tensors, strict=True):
        if isinstance(t, Growing):
            _unfit(v)
    fixed: set[int] = set()
    while True:
        program = Program()
        inputs = Inputs(program)
        arguments = [inputs.of(v) for v in args[:first]]
        arguments += [
            inputs.of(v) if j in fixed else program.input(v.shape, v.dtype)
            for j, v in enumerate(state)
        ]
        results = recorded(program, body, arguments)
        still = {
            j for j in range(count) if j not in fixed
            and (results[j] is arguments[first + j] or _equal(results[j], state[j]))
        }  # fmt: skip
        if not still:
            break
        fixed |= still
    asking = Program()
    asked = Inputs(asking)
    given = [asked.of(v) for v in args[first:second]]
    given += [
        asked.of(v) if j in fixed else asking.input(v.shape, v.dtype) for j, v in enumerate(state)
    ]
    asking.results = recorded(asking, test, given)
    if asking.results[0].size != 1:
        raise Unsupported("a condition that is not one number")
    if asking.results[0].is_constant:
        raise Unsupported("a condition that never changes")
    moving = [j for j in range(count) if j not in fixed]
    needs = {v.number for v in asking.needed()}
    live = {j for j in moving if j in used or count + j in used}
    live |= {j for j in moving if given[second - first + j].number in needs}
    waiting = list(live)
    while waiting:
        program.results = [results[waiting.pop()]]
        needs = {v.number for v in program.needed()}
        new = {j for j in moving if arguments[first + j].number in needs} - live
        live |= new
        waiting += new
    order = sorted(live)
    program.results = [results[j] for j in order]
    inner_test, inner = lowered(b, asking, "while_loop"), lowered(b, program, "while_loop")
    loop = _While(b, inner_test, inner)
    writes: list[Buffer] = []
    reads: list[Buffer] = []
    places = dict(zip(map(id, program.inputs), inner.inputs, strict=True))
    places |= dict(zip(map(id, asking.inputs), inner_test.inputs, strict=True))
    one = [*zip(arguments[:first], tensors[:first], strict=True)]
    one += zip(given[: second - first], tensors[first:second], strict=True)
    for j in fixed:
        one += [(arguments[first + j], start[j]), (given[second - first + j], start[j])]
    done: set[int] = set()
    for v, t in one:
        if id(v) in places and id(v) not in done and places[id(v)].readers:
            done.add(id(v))
            where = located(b, t)
            loop.fixed.append((places[id(v)], where))
            reads.append(where[0])
    found: list[Any] = [None] * len(value.parts)
    b.bundles[value.number] = found
    for j in fixed:
        found[j] = start[j]
    if any(k >= count for k in used):
        _keep_turns(b, value, loop, used, count, order, start, found)
        assert loop.record is not None
        writes.append(loop.record)
    for j, target in zip(order, inner.results, strict=True):
        c = _Carried(j, places[id(arguments[first + j])], target)
        loop.carried.append(c)
        loop.asked[j] = places[id(given[second - first + j])]
        c.last = b.nests.buffer("s", c.source.shape, c.source.dtype)
        filled(b, c.last, None, start[j])
        writes.append(c.last)
        found[j] = of_buffer(c.last)
        _keep_one(b, loop, c, writes)
    loop.call(b, writes, reads)


def _keep_turns(
    b: Lowering, value: Value, loop: _While, used: set[int], count: int, order: Sequence[int],
    start: Sequence[Tensor], found: list[Any],
) -> None:  # fmt: skip
    """A record of what was carried into each turn, as far as something needs it."""
    assert value.parts is not None
    loop.record = record = growing(b)
    for j in order:
        if count + j in used:
            shape, dtype = value.parts[j]
            loop.kept[j] = loop.stride
            loop.stride += -(-math.prod(shape) * dtype.itemsize // 8) * 8
    for j in range(count):
        shape, dtype = value.parts[count + j]
        if j in loop.kept:
            found[count + j] = Growing(shape, dtype, record, record, loop.stride, loop.kept[j])
        else:
            found[count + j] = Growing(shape, dtype, record, row=start[j])
    shape, dtype = value.parts[2 * count]
    yes = Tensor((), np.bool_, lambda _: const(True, np.bool_))
    found[2 * count] = Growing(shape, dtype, record, row=yes)
    for v in b.values:  # every turn counted
        item = v.op is not None and v.op.name == "item" and v.args[0] is value
        if item and v.attrs["position"] == 2 * count:
            v.uniform = np.bool_(True)


# --------------------------------------------------------------------------------------------- cond


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
