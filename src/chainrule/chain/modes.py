"""Forward and reverse mode: the same edges, walked from either end, added up over paths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from chainrule.chain.edges import Carried, pull, push, push_together
from chainrule.chain.supports import unite
from chainrule.graph.operand import Operand
from chainrule.graph.primitive import Linear, Primitive
from chainrule.graph.tape import NUMBERS, Traced, shape_of
from chainrule.rules.shapes import cast, sum_to

FLOAT64 = np.float64


def reverse(
    records: Sequence[Traced], seeds: Mapping[int, Carried], keep: bool = False
) -> dict[int, Carried]:
    """Carry cotangents from the seeded records back to the inputs.

    Args:
        records: A tape's records, in order.
        seeds: Cotangent and support of each output, by the record's index.
        keep: Return the cotangent of every record and not only of the inputs.

    Returns:
        Cotangent and support by record index. A record that nothing reaches is absent, which is
        not the same as a cotangent of zero.
    """
    carried: dict[int, Carried] = dict(seeds)
    # Records whose cotangent is an array that nobody else has: parts may be added to it in place.
    owned: set[int] = set()
    with np.errstate(all="ignore"):
        for index in range(max(seeds, default=-1), -1, -1):
            here = carried.get(index)
            if here is None:
                continue
            record = records[index]
            op = record.op
            if op is None:
                continue
            if not keep:
                del carried[index]
            if op.slopes is not None and _elementwise(record, op, here, carried):
                continue
            level, out, attrs = record.level, record.value, record.attrs
            args = values_of(record)
            if op.joint is not None:
                parts = op.joint.pull(here[0], args, out, attrs)
                for arg, part in zip(record.args, parts, strict=True):
                    if part is not None and type(arg) is Traced and arg.level == level:
                        add_path(carried, arg.index, (part, None))
                continue
            if op.picks is not None and not keep:
                source = record.args[0]
                if type(source) is not Traced or source.level != level:
                    continue
                if not _added_in_place(op.picks, record, args, here, carried, owned):
                    add_path(carried, source.index, pull(op, 0, args, out, attrs, here))
                    owned.add(source.index)
                continue
            for position, arg in enumerate(record.args):
                if type(arg) is Traced and arg.level == level:
                    add_path(carried, arg.index, pull(op, position, args, out, attrs, here))
    return carried


def _added_in_place(
    edge: Linear, record: Traced, args: tuple[Any, ...], here: Carried,
    carried: dict[int, Carried], owned: set[int],
) -> bool:  # fmt: skip
    """Add what was picked out of an array to the array's own cotangent, without a copy of it.

    A loop over the elements of an array takes time in proportion to their number this way.
    """
    source = record.args[0].index
    cotangent, support = here
    if source not in owned or support is not None or isinstance(cotangent, Operand):
        return False
    total, reached = carried[source]
    if type(total) is not np.ndarray or total.dtype != cotangent.dtype:
        return False
    assert edge.add_into is not None
    edge.add_into(total, cotangent, *args, **record.attrs)
    if reached is not None:
        edge.add_into(reached, np.ones(np.shape(cotangent), bool), *args, **record.attrs)
    return True


def _elementwise(record: Traced, op: Primitive, here: Carried, carried: dict[int, Carried]) -> bool:
    """Elementwise functions of plain arrays and numbers, the commonest case of all.

    Returns:
        Whether this was such a case. It does what ``pull`` does, without the questions it asks.
    """
    cotangent, support = here
    if support is not None or record.attrs or not _is_plain(cotangent):
        return False
    level, args, slopes = record.level, record.args, op.slopes
    if slopes is None or len(slopes) != len(args):
        return False
    values = [a.value if type(a) is Traced and a.level == level else a for a in args]
    for value in values:
        if type(value) is not FLOAT64 and type(value) not in NUMBERS and not _is_plain(value):
            return False
    of_scalars = type(cotangent) is not np.ndarray
    for position, (arg, value) in enumerate(zip(args, values, strict=True)):
        if type(arg) is not Traced or arg.level != level:
            continue
        slope = slopes[position]
        if callable(slope):
            try:
                slope = slope(*values, record.value)
            except (ZeroDivisionError, OverflowError):
                part = pull(op, position, tuple(values), record.value, record.attrs, here)
                add_path(carried, arg.index, part)
                continue
        # What is not multiplied is not recorded, where this is part of a higher derivative.
        part = cotangent if type(slope) is float and slope == 1.0 else cotangent * slope
        if not (of_scalars and (type(value) is FLOAT64 or type(value) is Traced)):
            part = cast(sum_to(part, shape_of(value)), value)
        index = arg.index
        before = carried.get(index)
        carried[index] = (part if before is None else before[0] + part, None)
    return True


def _is_plain(value: Any) -> bool:
    """Whether this is an array or a float64, or a float64 in another computation."""
    kind = type(value)
    return kind is FLOAT64 or kind is np.ndarray or (
        kind is Traced and type(value.value) is FLOAT64
    )  # fmt: skip


def forward(records: Sequence[Traced], seeds: Mapping[int, Carried]) -> dict[int, Carried]:
    """Carry tangents from the seeded inputs on to every record that they reach."""
    carried: dict[int, Carried] = dict(seeds)
    with np.errstate(all="ignore"):
        for record in records:
            if record.op is None:
                continue
            level, op, out, attrs = record.level, record.op, record.value, record.attrs
            here = {
                position: carried[arg.index]
                for position, arg in enumerate(record.args)
                if type(arg) is Traced and arg.level == level and arg.index in carried
            }
            if not here:
                continue
            args = values_of(record)
            if op.joint is not None:
                tangents = tuple(here[i][0] if i in here else None for i in range(len(args)))
                carried[record.index] = op.joint.push(tangents, args, out, attrs), None
                continue
            if len(here) > 1 and getattr(op.edges[-1], "positional", False):
                carried[record.index] = push_together(op, args, out, attrs, here)
                continue
            for position, one in here.items():
                add_path(carried, record.index, push(op, position, args, out, attrs, one))
    return carried


def values_of(record: Traced) -> tuple[Any, ...]:
    """The values of a record's arguments: arrays, or values of the tape outside this one."""
    level = record.level
    return tuple([a.value if type(a) is Traced and a.level == level else a for a in record.args])


def add_path(carried: dict[int, Carried], index: int, part: Carried | None) -> None:
    """Paths that meet are added; their support is where any of them can be non-zero."""
    if part is None:
        return
    before = carried.get(index)
    carried[index] = part if before is None else (before[0] + part[0], unite(before[1], part[1]))
