"""Loops of known length, in either direction, and what their results are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chainrule.run.llvm.loops.bodies import check_dtypes, items_used, lowered
from chainrule.run.llvm.loops.carried import LATER_ROWS, ROWS, Carried, keep_one
from chainrule.run.llvm.loops.growing import Growing, growing, unfit
from chainrule.run.llvm.loops.places import filled, located, repeated_rows, row_of, rows_of
from chainrule.run.llvm.loops.scan_body import Stage, count_of, stage_of
from chainrule.run.llvm.loops.scan_sharing import shared
from chainrule.run.llvm.loops.scan_text import Scan
from chainrule.run.llvm.lowering import Lowering, Tensor, of_buffer, rule
from chainrule.run.llvm.nests import Buffer
from chainrule.run.llvm.program import Value


@rule("scan")
def _scan(b: Lowering, value: Value, *tensors: Any) -> None:
    assert value.parts is not None
    check_dtypes(value, [v.dtype for v in value.args])
    check_dtypes(value, [dtype for _, dtype in value.parts])
    count = count_of(value)
    stage = stage_of(b, value)
    outer, carried, first = stage.outer, stage.carried, stage.first
    for v, t in zip(value.args[:first], tensors, strict=False):
        if isinstance(t, Growing):
            unfit(v.shape)
    along = [t for t in tensors[first:] if isinstance(t, Growing)]
    counter = along[0].counter if along else None
    for v, t in zip(value.args[first:], tensors[first:], strict=True):
        if along and not isinstance(t, Growing) and v.uniform is None:
            unfit(v)
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
    b: Lowering, value: Value, stage: Stage, tensors: Sequence[Tensor], found: list[Any],
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
    again = shared(b, value, stage, count) if keeps else []
    kept = list({v.number: v for _, _, v in again}.values())
    stage.need(kept)
    program.results = [results[j] for j in stage.live]
    program.results += [results[carried + ks[0]] for ks in alone.values()]
    program.results += kept
    inner = lowered(b, program, "scan")
    places = dict(zip(map(id, program.inputs), inner.inputs, strict=True))
    loop = Scan(b, inner, count, backwards)
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
        c = Carried(j, places[id(arguments[outer + j])], target)
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
    b: Lowering, loop: Scan, c: Carried, stage: Stage, given_too: Sequence[int], start: Tensor,
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
            c.how = ROWS
            c.record = _new_rows(b, loop, c.source, 1, writes)
            before, after = (c.size, 0) if back else (0, c.size)
            found[carried + given + j] = _part(c.record, before)
            for k in given_too:
                found[carried + k] = _part(c.record, after)
            return
        if given_too:
            c.how = LATER_ROWS
            c.record = _new_rows(b, loop, c.source, 0, writes)
            c.first = c.last, 0
            for k in given_too:
                found[carried + k] = c.record
            return
        keep_one(b, loop, c, writes)
        return
    if j in stage.history:
        c.how = ROWS
        c.rows = b.nests.buffer("h", (count + 1, *shape), dtype)
        filled(b, c.rows, count if back else 0, start)
        writes.append(c.rows)
        found[j] = row_of(c.rows, 0 if back else count)
        found[carried + given + j] = rows_of(c.rows, 1 if back else 0, count)
        for k in given_too:
            found[carried + k] = rows_of(c.rows, 0 if back else 1, count)
        return
    if given_too:
        c.how = LATER_ROWS
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
    keep_one(b, loop, c, writes)
    if c.rows is not None and count % 2:
        found[j] = of_buffer(c.rows)


def _new_rows(
    b: Lowering, loop: Scan, like: Buffer | Value, more: int, writes: list[Buffer]
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
