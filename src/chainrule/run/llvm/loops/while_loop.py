"""Loops that ask before each turn whether to go on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from chainrule.run.llvm.expressions import const
from chainrule.run.llvm.instructions import type_of
from chainrule.run.llvm.loops.bodies import (
    Inputs,
    check_dtypes,
    equal,
    items_used,
    lowered,
    recorded,
)
from chainrule.run.llvm.loops.carried import COPY, SMALL, TURNS, Carried, keep_one, local_places
from chainrule.run.llvm.loops.growing import Growing, growing, unfit
from chainrule.run.llvm.loops.places import filled, located
from chainrule.run.llvm.loops.text import Piece, Text
from chainrule.run.llvm.lowering import Lowering, Tensor, Unsupported, of_buffer, rule
from chainrule.run.llvm.nests import Buffer
from chainrule.run.llvm.program import Program, Value


class _While(Piece):
    """A loop that asks before each turn whether to go on."""

    def __init__(self, b: Lowering, test: Lowering, body: Lowering) -> None:
        super().__init__(b, [test, body])
        # Of the buffers of both bodies: where they lie outside.
        self.fixed: list[tuple[Buffer, tuple[Buffer, int, int]]] = []
        self.carried: list[Carried] = []
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
            if c.how == TURNS and c.last is not None and c.rows is not None
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
            if c.how == COPY:
                place, other = local[c.number]
                text.copy(place, other, c.size)
        text.do("%n.next = add nsw i64 %n, 1")
        text.do("br label %head")
        text.start("exit")
        if record:
            text.do(f"store i64 %n, ptr {text.moved(record, 8)}")
        for c in self.carried:
            assert c.last is not None
            if c.how == TURNS:
                text.copy(text.base(c.last), f"%in{c.number}", c.size)
            elif c.size <= SMALL:
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


@rule("while_loop")
def _while_loop(b: Lowering, value: Value, *tensors: Any) -> None:
    used = items_used(b, value)
    count = (len(value.parts or ()) - 1) // 2
    try:
        _while(b, value, tensors, used, count)
    except Unsupported as why:
        if any(k >= count for k in used):
            unfit(why)
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
            unfit(v)
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
            and (results[j] is arguments[first + j] or equal(results[j], state[j]))
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
        c = Carried(j, places[id(arguments[first + j])], target)
        loop.carried.append(c)
        loop.asked[j] = places[id(given[second - first + j])]
        c.last = b.nests.buffer("s", c.source.shape, c.source.dtype)
        filled(b, c.last, None, start[j])
        writes.append(c.last)
        found[j] = of_buffer(c.last)
        keep_one(b, loop, c, writes)
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
