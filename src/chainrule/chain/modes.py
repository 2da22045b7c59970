"""Forward and reverse mode: the same edges, walked from either end, added up over paths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from chainrule.chain.edges import Carried, factor, pull, push, push_together
from chainrule.chain.supports import unite
from chainrule.graph.operand import Operand
from chainrule.graph.primitive import Linear, Primitive
from chainrule.graph.tape import Traced, shape_of
from chainrule.rules.shapes import cast, sum_to

FLOAT64 = np.float64
ARRAY = np.ndarray


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
            if here[1] is None and (
                _scaled(record, op, here[0], carried)
                if op.transposes is None
                else _transposed(record, op, here[0], carried)
            ):
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


# Most edges of a program are elementwise or linear, and most cotangents reach everywhere. For these
# the two functions below do what ``pull`` does, with its questions left out: on small arrays they
# would take longer than the arithmetic.


def _scaled(record: Traced, op: Primitive, cotangent: Any, carried: dict[int, Carried]) -> bool:
    """Carry a cotangent that reaches everywhere across the edges of an elementwise function.

    Returns:
        Whether it was done.
    """
    args, slopes = record.args, op.slopes
    if slopes is None or len(slopes) != len(args) or record.attrs:
        return False
    level = record.level
    values = []
    for arg in args:
        values.append(arg.value if type(arg) is Traced and arg.level == level else arg)
    for position, arg in enumerate(args):
        if type(arg) is not Traced or arg.level != level:
            continue
        value, slope = values[position], slopes[position]
        if type(slope) is not float:
            try:
                slope = slope(*values, record.value)
            except (ZeroDivisionError, OverflowError):  # of Python's own numbers
                slope = factor(op.edge(position), tuple(values), record.value)
        # What is not multiplied is not recorded, where this is part of a higher derivative.
        part = cotangent if type(slope) is float and slope == 1.0 else cotangent * slope
        if not _fits(part, value):
            part = cast(sum_to(part, shape_of(value)), value)
        index = arg.index
        before = carried.get(index)
        carried[index] = (part if before is None else before[0] + part, None)
    return True


def _transposed(record: Traced, op: Primitive, cotangent: Any, carried: dict[int, Carried]) -> bool:
    """Carry a cotangent that reaches everywhere across the edges of a linear map or a contraction.

    Returns:
        Whether it was done.
    """
    args, transposes = record.args, op.transposes
    if transposes is None or len(transposes) != len(args):
        return False
    level, attrs = record.level, record.attrs
    values = []
    for arg in args:
        values.append(arg.value if type(arg) is Traced and arg.level == level else arg)
    for position, arg in enumerate(args):
        if type(arg) is not Traced or arg.level != level:
            continue
        value, transpose = values[position], transposes[position]
        if transpose is None:
            continue
        part = transpose(cotangent, *values, **attrs) if attrs else transpose(cotangent, *values)
        if type(part) is not ARRAY or type(value) is not ARRAY or part.dtype is not value.dtype:
            part = cast(part, value)
        index = arg.index
        before = carried.get(index)
        carried[index] = (part if before is None else before[0] + part, None)
    return True


def _fits(part: Any, value: Any) -> bool:
    """Whether a part of a cotangent certainly has the shape and the dtype of the value."""
    while type(part) is Traced:
        part = part.value
    while type(value) is Traced:
        value = value.value
    kind = type(part)
    if kind is not type(value):
        return False
    return kind is FLOAT64 or (
        kind is ARRAY and part.shape == value.shape and part.dtype is value.dtype
    )


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
    values = []
    for a in record.args:
        values.append(a.value if type(a) is Traced and a.level == level else a)
    return tuple(values)


def add_path(carried: dict[int, Carried], index: int, part: Carried | None) -> None:
    """Paths that meet are added; their support is where any of them can be non-zero."""
    if part is None:
        return
    before = carried.get(index)
    carried[index] = part if before is None else (before[0] + part[0], unite(before[1], part[1]))
