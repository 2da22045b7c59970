"""Columns of a Jacobian side by side, where those that cannot meet share one tangent.

The tangents of all unit vectors are mostly zeros: few parameters reach any one intermediate result,
and each reaches its own part of it. A record therefore carries only the columns that reach it, and
columns that reach different elements lie in one row. Curtis, Powell and Reid do so with a whole
sparse Jacobian; here it is done anew for every record. Finding out what reaches what takes longer
than computing the rows: it is done where a function is recorded to be compiled.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from chainrule.chain.edges import push, push_together
from chainrule.chain.modes import values_of
from chainrule.chain.quiet import quietly
from chainrule.chain.supports import unite
from chainrule.graph.primitive import Bilinear, Flat, Linear
from chainrule.graph.tape import Traced, dtype_of, shape_of
from chainrule.transforms.batching import vmap
from chainrule.transforms.reach import Groups, product_of_few, reached
from chainrule.transforms.sparse import sparse_product

# Rows that are picked in more pieces are picked one by one.
_MOST_SLICES = 4


@dataclass(frozen=True, slots=True)
class Columns:
    """The tangents of one record.

    Attributes:
        groups: The columns of each row, in order; the others are zero.
        rows: The rows, stacked.
        support: As of a tangent, for every row; ``None`` is everywhere.
        reach: Where each of all columns can be non-zero; ``None``: those in groups, everywhere.
    """

    groups: Groups
    rows: Any
    support: Any
    reach: Any

    @property
    def home(self) -> dict[int, int]:
        """The row of each column that is not zero."""
        return {column: row for row, group in enumerate(self.groups) for column in group}

    def regrouped(self, groups: Groups, ending: bool = False) -> Columns:
        """The columns of these groups, in rows of their own.

        ``ending`` says that other columns reach nothing of what is made of it: they may be left in.
        """
        if groups == self.groups:
            return self
        home = self.home
        heeded = {column for group in groups for column in group} if ending else set(home)
        layers: list[list[tuple[int, Any]]] = []
        for row, group in enumerate(groups):
            sources: dict[int, list[int]] = {}
            for column in group:
                if column in home:
                    sources.setdefault(home[column], []).append(column)
            for depth, (source, own) in enumerate(sources.items()):
                if depth == len(layers):
                    layers.append([(-1, False)] * len(groups))
                whole = len(sources) == 1 and heeded.intersection(self.groups[source]) <= set(own)
                layers[depth][row] = source, True if whole else self.reach[own].any(0)
        rows, support = (_laid(stack, layers) for stack in (self.rows, self.support))
        return Columns(groups, rows, support, self.reach)


def _laid(stack: Any, layers: Sequence[Sequence[tuple[int, Any]]]) -> Any:
    """Rows made of parts of others: in each layer, the number of one and where it is taken."""
    if stack is None:
        return None
    found: Any = None
    shape = shape_of(stack)[1:]
    for layer in layers:
        any_row = next(source for source, _ in layer if source >= 0)
        taken = _picked(stack, [any_row if source < 0 else source for source, _ in layer])
        if all(mask is True for _, mask in layer):
            found = taken
            continue
        if all(isinstance(mask, bool) for _, mask in layer):
            masks = np.array([mask for _, mask in layer]).reshape(-1, *(1,) * len(shape))
        else:
            masks = np.stack([np.broadcast_to(mask, shape) for _, mask in layer])
        found = np.where(masks, taken, np.zeros((), dtype_of(stack)) if found is None else found)
    return found


def _picked(stack: Any, places: Sequence[int]) -> Any:
    """Rows by their numbers: slices where they follow each other."""
    runs: list[list[int]] = []
    for place in places:
        if runs and runs[-1][1] == place:
            runs[-1][1] += 1
        else:
            runs.append([place, place + 1])
    if len(runs) > _MOST_SLICES:
        return stack[np.array(places)]
    if runs == [[0, shape_of(stack)[0]]]:
        return stack
    return _joined([stack[first:end] for first, end in runs])


def columns_along(records: Sequence[Traced], x: Traced, out: Traced) -> Any:
    """The tangents of ``out`` along every unit vector of ``x``, stacked in the last axis.

    ``None`` if there are results of several parts on the way, such as those of a loop.

    Args:
        records: A tape's records, in order.
        x: The record of an input that has axes.
        out: The record of a result.
    """
    shape, dtype = shape_of(x.value), dtype_of(x.value)
    count = math.prod(shape)
    reach = np.eye(count, dtype=bool).reshape(count, *shape)
    all_columns = (tuple(range(count)),)
    carried = {x.index: Columns(all_columns, np.ones((1, *shape), dtype), None, reach)}
    with quietly():
        for record in records:
            if record.op is None:
                continue
            here = {
                position: carried[arg.index]
                for position, arg in enumerate(record.args)
                if type(arg) is Traced and arg.level == record.level and arg.index in carried
            }
            if not here:
                continue
            if _several(record.value):
                return None
            found = _across(record, here)
            if found is not None:
                carried[record.index] = found
    if out.index in carried:
        return _one_by_one(carried[out.index], count)
    return np.zeros((*shape_of(out.value), count), dtype_of(out.value))


def _several(value: Any) -> bool:
    """Whether a record's value has several parts."""
    while isinstance(value, Traced):
        value = value.value
    return isinstance(value, tuple)


def _across(record: Traced, here: Mapping[int, Columns]) -> Columns | None:
    """The tangents of a record from those of its arguments; ``None`` if nothing flows."""
    op = record.op
    assert op is not None
    if len(here) > 1 and not all(isinstance(op.edge(p), Linear) for p in here):
        total: Columns | None = None
        for position, columns in here.items():
            part = _across(record, {position: columns})
            if part is not None:
                total = part if total is None else _added(total, part)
        return total
    if all(isinstance(op.edge(p), Flat) for p in here):
        return None
    if len(here) == 1:
        found = _by_sparse(record, *next(iter(here.items())))
        if found is not None:
            return found
    args, out, attrs = values_of(record), record.value, record.attrs
    reach = reached(op, args, out, attrs, {p: columns.reach for p, columns in here.items()})
    groups = _groups_behind(reach, list(here.values()))
    if not groups:
        return None
    (position, columns), *more = here.items()
    if isinstance(op.edge(position), Bilinear) and groups != columns.groups:
        rows = _restricted(record, args, position, columns, groups)
        if rows is not None:
            return Columns(groups, rows, None, reach)
    aligned = {p: columns.regrouped(groups, ending=True) for p, columns in here.items()}
    supported = [p for p, columns in aligned.items() if columns.support is not None]

    def pushed(rows: Sequence[Any], supports: Sequence[Any]) -> Any:
        where = dict(zip(supported, supports, strict=True))
        given = {p: (t, where.get(p)) for p, t in zip(aligned, rows, strict=True)}
        if more:
            found = push_together(op, args, out, attrs, given)
        else:
            one = push(op, position, args, out, attrs, given[position])
            assert one is not None
            found = one
        return found if found[1] is not None else found[:1]

    rows, *support = vmap(pushed)(
        [columns.rows for columns in aligned.values()], [aligned[p].support for p in supported]
    )
    return Columns(groups, rows, support[0] if support else None, reach)


def _groups_behind(reach: Any, before: Sequence[Columns]) -> Groups:
    """The rows behind an operation: columns that have met go on in rows of their own."""
    columns = {column for part in before for column in part.home}
    return _apart(columns, reach, [part.home for part in before] if len(before) == 1 else [])


def _apart(columns: Iterable[int], reach: Any, homes: Sequence[Mapping[int, int]]) -> Groups:
    """Columns that reach different elements together, in order: each in the first row it fits.

    In a row are only columns that had one row before, by each of ``homes`` that has them.
    """
    if reach is None:
        return tuple([(column,) for column in sorted(columns)])
    found: list[tuple[list[int], Any, list[int | None]]] = []
    for column in sorted(columns):
        own, rows = reach[column], [home.get(column) for home in homes]
        if not own.any():
            continue
        for members, taken, theirs in found:
            alike = all(
                None in pair or pair[0] == pair[1] for pair in zip(rows, theirs, strict=True)
            )
            if alike and not (taken & own).any():
                members.append(column)
                taken |= own
                theirs[:] = [r if t is None else t for r, t in zip(rows, theirs, strict=True)]
                break
        else:
            found.append(([column], own.copy(), rows))
    return tuple([tuple(members) for members, _, _ in found])


def _by_sparse(record: Traced, position: int, columns: Columns) -> Columns | None:
    """The tangents behind a product with a matrix that is mostly zeros; ``None`` if it is none."""
    op, args, attrs = record.op, values_of(record), record.attrs
    assert op is not None
    if not isinstance(op.edge(position), Bilinear):
        return None
    if columns.support is not None or columns.reach is None:
        return None
    sparse = sparse_product(op, position, args, attrs)
    if sparse is None:
        return None
    before = {position: columns.reach}
    reach = reached(op, args, record.value, attrs, before, sparse.pattern(args, position))
    groups = _groups_behind(reach, [columns])
    if not groups:
        return None
    rows = sparse.product(columns.rows, *_origins(columns, groups))
    return None if rows is None else Columns(groups, rows, None, reach)


def _restricted(
    record: Traced, args: tuple[Any, ...], position: int, columns: Columns, groups: Groups
) -> Any:
    """The rows behind a contraction, each multiplied only where it is not zero."""
    if columns.support is not None or columns.reach is None:
        return None
    assert record.op is not None
    return product_of_few(
        record.op, position, args, record.attrs, columns.rows, *_origins(columns, groups)
    )


def _origins(columns: Columns, groups: Groups) -> tuple[list[int], Any, Any]:
    """For each group, of which row it is a part, and where it and the others of the row reach."""
    home = columns.home
    sources = [home[group[0]] for group in groups]
    own = np.stack([columns.reach[list(group)].any(0) for group in groups])
    others = np.stack([
        columns.reach[[c for c in columns.groups[source] if c not in group]].any(0)
        for group, source in zip(groups, sources, strict=True)
    ])  # fmt: skip
    return sources, own, others


def _added(a: Columns, b: Columns) -> Columns:
    """The sum of both: rows of one alone are taken as they are."""
    reach = None if a.reach is None or b.reach is None else a.reach | b.reach
    homes = a.home, b.home
    groups = _apart({*homes[0], *homes[1]}, reach, homes)
    found = []
    for in_which, run in groupby(
        groups, lambda g: [not home.keys().isdisjoint(g) for home in homes]
    ):
        own = tuple(run)
        parts = [c.regrouped(own) for c, there in zip((a, b), in_which, strict=True) if there]
        rows, support = parts[0].rows, parts[0].support
        for other in parts[1:]:
            rows, support = rows + other.rows, unite(support, other.support)
        found.append((rows, support))
    support = None
    if any(part is not None for _, part in found):
        support = _joined([
            np.ones(shape_of(rows), bool) if part is None else part for rows, part in found
        ])  # fmt: skip
    return Columns(groups, _joined([rows for rows, _ in found]), support, reach)


def _joined(parts: Sequence[Any], axis: int = 0) -> Any:
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis)


def _one_by_one(columns: Columns, count: int) -> Any:
    """Each of all columns by itself, in the last axis."""
    home = columns.home

    def lies(column: int) -> Any:
        """What is the same for columns that lie side by side."""
        row = home.get(column)
        return None if row is None else (row - column, len(columns.groups[row]) == 1)

    pieces = []
    for _, run in groupby(range(count), lies):
        own = tuple([(column,) for column in run])
        if own[0][0] in home:
            rows = columns.regrouped(own).rows
        else:
            rows = np.zeros((len(own), *shape_of(columns.rows)[1:]), dtype_of(columns.rows))
        pieces.append(np.moveaxis(rows, 0, -1))
    return _joined(pieces, -1)
