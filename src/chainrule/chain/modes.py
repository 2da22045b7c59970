"""Forward and reverse mode: the same edges, walked from either end, added up over paths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from chainrule.chain.edges import Carried, pull, push, push_together
from chainrule.chain.supports import unite
from chainrule.graph.tape import Traced


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
    with np.errstate(all="ignore"):
        for index in range(max(seeds, default=-1), -1, -1):
            here = carried.get(index)
            record = records[index]
            if here is None or record.op is None:
                continue
            if not keep:
                del carried[index]
            level, op, out, attrs = record.level, record.op, record.value, record.attrs
            args = values_of(record)
            for position, arg in enumerate(record.args):
                if type(arg) is Traced and arg.level == level:
                    add_path(carried, arg.index, pull(op, position, args, out, attrs, here))
    return carried


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
