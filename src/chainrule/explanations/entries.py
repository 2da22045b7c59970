"""Entries: the local Jacobian of a step over arrays, as one number for each pair of elements.

Only the columns that are asked for are worked out, and only the places that the structure of the
operations can reach are kept: a product of a matrix and a vector has an entry for each weight of
the row, an elementwise function those of its diagonal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.chain.edges import factor, push
from chainrule.errors import ChainruleError
from chainrule.explanations.outline import Group
from chainrule.graph.node import Node
from chainrule.graph.operand import Attrs, bind
from chainrule.graph.primitive import ELEMENTWISE, Bilinear, Flat, Mask, Primitive
from chainrule.graph.tape import dtype_of, shape_of
from chainrule.rules.reductions import spread, summed
from chainrule.transforms.batching import vmap

# Columns are pushed forward together as long as they take no more numbers than this.
_AT_ONCE = 1 << 22
# What a step's entries may cost: entries kept, and numbers pushed forward for each of them.
MOST_ENTRIES = 400_000
_NUMBERS_FOR_EACH = 1000


class TooManyEntriesError(ChainruleError):
    """The arrays are too large to be taken apart into their elements."""


@dataclass(frozen=True, slots=True, eq=False)
class Entries:
    """Entries of a Jacobian: ``values[k]`` is ∂(element ``rows[k]``)/∂(source ``columns[k]``).

    ``blocked`` entries are in a branch that is not taken; ``ways`` is how many paths over single
    operations an entry adds up.
    """

    rows: Any
    columns: Any
    values: Any
    blocked: Any
    ways: Any


def step_entries(
    group: Group, values: Mapping[int, Any], sources: Mapping[int, Any], most: int = MOST_ENTRIES
) -> Entries | None:
    """The local Jacobian of a step, with the operations folded into it eliminated.

    Args:
        group: The step.
        values: The value of every node, by its index.
        sources: The elements of the step's arguments that are asked about, as flat places in
            order, by the node's index.
        most: How many entries may be kept at a time.

    Returns:
        The entries in the order of rows and columns; a column is a place in the concatenation of
        all sources. ``None`` if no derivative passes.

    Raises:
        TooManyEntriesError: There would be too many.
    """
    carried: dict[int, Entries] = {}
    first = 0
    for index, places in sources.items():
        columns = np.arange(first, first + len(places))
        ones = np.ones(len(places))
        carried[index] = Entries(places, columns, ones, ones == 0, np.ones(len(places), object))
        first += len(places)
    for node in group.members:
        parts = [
            _composed(_operation_entries(node, position, values, inner.rows, most), inner, most)
            for position, inner in enumerate(
                carried.get(a.index) if isinstance(a, Node) else None for a in node.args
            )
            if inner is not None and node.op is not None and _passes(node.op, position)
        ]
        if parts:
            carried[node.index] = _added(parts, first)
    return carried.get(group.root.index)


def _passes(op: Primitive, position: int) -> bool:
    return op.recorded and not isinstance(op.edge(position), Flat)


def _operation_entries(
    node: Node, position: int, values: Mapping[int, Any], rows: Any, most: int
) -> tuple[Any, Entries]:
    """The places of an argument, sorted, and what one operation makes of each of them."""
    assert node.op is not None
    args = tuple([values[a.index] if isinstance(a, Node) else a for a in node.args])
    places = np.unique(rows)
    out = values[node.index]
    if node.op.elementwise and isinstance(node.op.edge(position), ELEMENTWISE):
        return places, _diagonal(node.op, position, args, out, node.attrs, places)
    cost = len(places) * max(np.size(out), np.size(args[position]))
    if cost > most * _NUMBERS_FOR_EACH:
        raise _too_many(len(places), np.size(out))
    return places, _pushed(node.op, position, args, out, node.attrs, places, most)


def _too_many(columns: int, size: int) -> TooManyEntriesError:
    return TooManyEntriesError(
        f"too many paths over single elements to be worked out: {columns:,} elements of one step "
        f"lead to an array of {size:,}.\n"
        "Explain it on fewer samples, or with narrower layers."
    )


def _diagonal(
    op: Primitive, position: int, args: tuple[Any, ...], out: Any, attrs: Attrs, places: Any
) -> Entries:
    """An elementwise operation: each element of the result has the one below it."""
    edge, shape = op.edge(position), shape_of(out)
    slope = np.broadcast_to(factor(edge, args, out, attrs), shape)  # type: ignore[arg-type]
    like = args[position]
    below = np.broadcast_to(np.arange(np.size(like)).reshape(shape_of(like)), shape).ravel()
    at = np.full(np.size(like), -1)
    at[places] = np.arange(len(places))
    columns = at[below]
    rows = np.flatnonzero(columns >= 0)
    found = slope.ravel()[rows].astype(float)
    blocked = (found == 0) & isinstance(edge, Mask)
    return Entries(rows, columns[rows], found, blocked, np.ones(len(rows), object))


def _pushed(
    op: Primitive, position: int, args: tuple[Any, ...], out: Any, attrs: Attrs, places: Any,
    most: int,
) -> Entries:  # fmt: skip
    """Any other operation: a one at each place pushed forward, many of them side by side."""
    like, edge = args[position], op.edge(position)
    shape, size = shape_of(like), np.size(like)
    weight = None
    if isinstance(edge, ELEMENTWISE):
        weight = np.broadcast_to(factor(edge, args, spread(out, *args, **attrs), attrs), shape)

    def value(tangent: Any) -> Any:
        carried = push(op, position, args, out, attrs, (tangent, None))
        return np.zeros_like(out) if carried is None else carried[0]

    def reach(tangent: Any) -> Any:
        """Not zero where the structure leads, whatever the numbers are there."""
        if weight is not None:
            return summed(tangent, **attrs)
        if isinstance(edge, Bilinear):
            ones = np.ones_like(args[1 - position])
            return bind(op, (tangent, ones) if position == 0 else (ones, tangent), attrs)
        return value(tangent)

    if not len(places):
        none = np.zeros(0, int)
        return Entries(none, none, np.zeros(0), np.zeros(0, bool), np.zeros(0, object))
    step = max(1, _AT_ONCE // max(size, np.size(out), 1))
    parts, kept = [], 0
    for start in range(0, len(places), step):
        here = places[start : start + step]
        units = np.zeros((len(here), size), dtype_of(like))
        units[np.arange(len(here)), here] = 1.0
        units = units.reshape(len(here), *shape)
        pushed = np.reshape(vmap(value)(units), (len(here), -1))
        reached = pushed
        if weight is not None or isinstance(edge, Bilinear):
            reached = np.reshape(vmap(reach)(units), (len(here), -1))
        columns, rows = np.nonzero(reached)  # NaN counts: it is not zero
        kept += len(rows)
        if kept > most:
            raise _too_many(len(places), np.size(out))
        parts.append((rows, columns + start, pushed[columns, rows]))
    rows, columns, found = (np.concatenate(p) for p in zip(*parts, strict=True))
    blocked = np.zeros(len(rows), bool)
    if weight is not None and isinstance(edge, Mask):
        blocked = weight.ravel()[places[columns]] == 0
    return Entries(rows, columns, found.astype(float), blocked, np.ones(len(rows), object))


def _composed(outer: tuple[Any, Entries], inner: Entries, most: int) -> Entries:
    """The product of an operation's Jacobian and that of its argument."""
    places, entries = outer
    order = np.argsort(inner.rows, kind="stable")
    rows = inner.rows[order]
    first = np.searchsorted(rows, places, "left")[entries.columns]
    count = np.searchsorted(rows, places, "right")[entries.columns] - first
    each = np.repeat(np.arange(len(entries.rows)), count)
    if len(each) > most:
        raise _too_many(len(places), len(each))
    within = np.arange(len(each)) - np.repeat(np.cumsum(count) - count, count)
    at = order[first[each] + within]
    blocked = entries.blocked[each] | inner.blocked[at]
    with np.errstate(all="ignore"):
        product = entries.values[each] * inner.values[at]
    return Entries(
        entries.rows[each], inner.columns[at], np.where(blocked, 0.0, product), blocked,
        entries.ways[each] * inner.ways[at],
    )  # fmt: skip


def _added(parts: list[Entries], width: int) -> Entries:
    """The sum over inner paths: entries at the same place become one."""
    rows = np.concatenate([p.rows for p in parts])
    columns = np.concatenate([p.columns for p in parts])
    keys, at = np.unique(rows * width + columns, return_inverse=True)
    values = np.zeros(len(keys))
    blocked = np.ones(len(keys), bool)
    ways = np.zeros(len(keys), object)
    with np.errstate(all="ignore"):
        np.add.at(values, at, np.concatenate([p.values for p in parts]))
    np.logical_and.at(blocked, at, np.concatenate([p.blocked for p in parts]))
    np.add.at(ways, at, np.concatenate([p.ways for p in parts]))
    return Entries(keys // width, keys % width, values, blocked, ways)
