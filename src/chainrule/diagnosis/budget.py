"""The budget of a gradient: every cotangent's size in decades, taken apart over the paths to it.

One walk over the tape, from the loss back, gives for every record its cotangent, its immediate
dominator (the nearest record that every path from the loss to it passes), and its budget: how many
decades of its size came from slopes, from weights, and so on. The order of recording is a
topological order, so nothing recurses. ``docs/why.md`` derives the formulas.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.chain.edges import pull
from chainrule.chain.modes import values_of
from chainrule.chain.quiet import quietly
from chainrule.chain.supports import unite
from chainrule.diagnosis.gains import (
    AT,
    Diagonal,
    Parts,
    diagonal_parts,
    edge_parts,
    is_diagonal,
    local,
    log_norm,
    no_parts,
)
from chainrule.graph.primitive import Flat
from chainrule.graph.tape import Traced
from chainrule.sources.names import Place


@dataclass(frozen=True, slots=True, eq=False)
class Arrival:
    """What arrives at a record across one edge.

    Attributes:
        source: The index of the operation that the edge comes from.
        position: Which argument of the operation the record is.
        log_norm: ``log₁₀`` of the norm of what arrives; ``-inf`` for zero.
    """

    source: int
    position: int
    log_norm: float


@dataclass(frozen=True, slots=True, eq=False)
class Item:
    """One term of a record's budget: the way from an earlier record to it.

    Attributes:
        source: The record where the way begins, nearer to the loss.
        weight: The share of the energy ‖c‖² that arrives this way.
        parts: The parts of the gain on it.
        through: The record whose operation the parts are chiefly about.
        diagonal: The local derivative, where the way is elementwise.
    """

    source: int
    weight: float
    parts: Parts
    through: int
    diagonal: Diagonal | None


class Budget:
    """The walk from the loss back, and what it found.

    Attributes:
        records: The tape's records.
        loss: The index of the loss.
        touched: Records that depend on the chosen inputs in any way.
        active: Those that do so by edges with a derivative.
        cotangents: The cotangent of every record that is reached, by index.
        log_norms: ``log₁₀`` of its norm.
        arrivals: What arrives at it, edge by edge.
        dominator: Its immediate dominator.
        total: Its budget since the loss: parts that add up to ``log_norms``; for cotangents that
            are finite and not zero.
        items: The terms of its budget.
        met: Decades by which paths that meet there made it larger or smaller.
    """

    def __init__(
        self,
        records: list[Traced],
        loss: Traced,
        inputs: Collection[int],
        places: Mapping[int, Place],
        seed: Any = None,
    ) -> None:
        self.records = records
        self._places = places
        self._seed = seed
        self.loss = loss.index
        self.touched, self.active = _dependents(records, inputs, loss.index)
        self.cotangents: dict[int, Any] = {}
        self.log_norms: dict[int, float] = {}
        self.arrivals: dict[int, list[Arrival]] = defaultdict(list)
        self.dominator: dict[int, int] = {}
        self.total: dict[int, Parts] = {}
        self.items: dict[int, list[Item]] = {}
        self.met: dict[int, float] = {}
        self.diagonals: dict[int, Diagonal] = {}
        self._tree = _Tree(loss.index)
        self._runs: dict[int, tuple[int, Diagonal]] = {}
        self._diagonal_from: dict[int, int] = {}
        self.boundary = _boundaries(records, places)
        with quietly():
            self._walk()

    # ------------------------------------------------------------------------------------ the walk

    def _walk(self) -> None:
        records, active = self.records, self.active
        found: dict[int, tuple[Any, Any]] = {}
        if self.loss in active:
            seed = np.ones_like(records[self.loss].value) if self._seed is None else self._seed
            found[self.loss] = np.asarray(seed)[()], None
        for index in range(self.loss, -1, -1):
            carried = found.pop(index, None)
            if carried is None:
                continue
            record = records[index]
            self.cotangents[index] = carried[0]
            self.log_norms[index] = log_norm(carried[0])
            self._settle(index)
            if record.op is not None:
                for position, part in _pulled(record, carried, active):
                    arg = record.args[position].index
                    self.arrivals[arg].append(Arrival(index, position, log_norm(part[0])))
                    before = found.get(arg)
                    found[arg] = part if before is None else (
                        before[0] + part[0], unite(before[1], part[1])
                    )  # fmt: skip

    def _settle(self, index: int) -> None:
        """The dominator and the budget of a record whose arrivals are all known."""
        if index == self.loss:
            self.total[index] = no_parts()
            return
        arrivals = self.arrivals[index]
        above = self._tree.meet([a.source for a in arrivals])
        self._tree.add(index, above)
        self.dominator[index] = above
        self._note_diagonal(index, above, arrivals)
        if not math.isfinite(self.log_norms[index]):
            return
        items = list(self._items(index, arrivals))
        self.items[index] = items
        self.met[index] = self._paths(index, arrivals, items)
        total = no_parts()
        for item in items:
            total += item.weight * (self.total[item.source] + item.parts)
        total[AT["paths"]] += self.met[index]
        self.total[index] = total

    def _paths(self, index: int, arrivals: list[Arrival], items: list[Item]) -> float:
        """Decades by which paths that meet make a sum larger than the mean of its parts.

        Spread over many paths: half the entropy of their shares. Reinforcement or cancellation:
        the norm of the sum over the root of the sum of squared norms.
        """
        if len(items) < 2:
            return 0.0
        logs = [a.log_norm for a in arrivals if a.log_norm > -math.inf]
        entropy = -sum(i.weight * math.log10(i.weight) for i in items if i.weight > 0)
        largest = max(logs)
        squares = 2 * largest + math.log10(sum(10 ** (2 * (x - largest)) for x in logs))
        return 0.5 * entropy + self.log_norms[index] - 0.5 * squares

    def _items(self, index: int, arrivals: list[Arrival]) -> Iterator[Item]:
        records = self.records
        run = self._runs.get(index)
        if run is not None and math.isfinite(self.log_norms[run[0]]):
            source, diagonal = run
            parts = diagonal_parts(
                diagonal, self.cotangents[source], np.shape(records[index].value),
                self.log_norms[index],
            )  # fmt: skip
            yield Item(source, 1.0, parts, arrivals[0].source, diagonal)
            return
        live = [a for a in arrivals if a.log_norm > -math.inf]
        largest = max(a.log_norm for a in live)
        squares = [10 ** (2 * (a.log_norm - largest)) for a in live]
        for arrival, square in zip(live, squares, strict=True):
            yield self._item(index, arrival, square / sum(squares))

    def _item(self, index: int, arrival: Arrival, weight: float) -> Item:
        record = self.records[arrival.source]
        source, diagonal = arrival.source, None
        if is_diagonal(record, arrival.position):
            diagonal = local(record, arrival.position, self.active.__contains__)
            if source in self._runs and source not in self.boundary:
                source, first = self._runs[source]
                diagonal = diagonal.after(first)
            parts = diagonal_parts(
                diagonal, self.cotangents[source], np.shape(self.records[index].value),
                arrival.log_norm,
            )  # fmt: skip
        else:
            parts = edge_parts(
                record, arrival.position, self.cotangents[source], self.log_norms[source],
                arrival.log_norm, self.active.__contains__,
            )  # fmt: skip
        return Item(source, weight, parts, arrival.source, diagonal)

    # -------------------------------------------------------------- elementwise operations in a row

    def _note_diagonal(self, index: int, above: int, arrivals: list[Arrival]) -> None:
        """Whether all that lies between a record and its dominator is elementwise, and its product.

        Eliminating what is inside multiplies slopes element by element, as the chain rule does: a
        sigmoid written out has the slope of a sigmoid, and not those of exp and of a reciprocal.
        """
        records, tree = self.records, self._tree
        factors: list[Diagonal] = []
        for a in arrivals:
            if not is_diagonal(records[a.source], a.position):
                return
            if a.source != above and not tree.reaches(self._diagonal_from.get(a.source), above):
                return
            factor = local(records[a.source], a.position, self.active.__contains__)
            at = a.source
            while at != above:
                factor = factor.after(self.diagonals[at])
                at = self.dominator[at]
            factors.append(factor)
        whole = factors[0] if len(factors) == 1 else _summed(factors)
        self.diagonals[index] = whole
        self._diagonal_from[index] = self._diagonal_from.get(above, above)
        if above in self._runs and above not in self.boundary:
            source, first = self._runs[above]
            self._runs[index] = source, whole.after(first)
        else:
            self._runs[index] = above, whole

    # ------------------------------------------------------------------------------------- readings

    def elementwise(self) -> dict[int, tuple[int, Diagonal]]:
        """Elementwise operations in a row: where each row begins, where it ends, its derivative."""
        return {
            source: (index, diagonal)
            for index, (source, diagonal) in sorted(self._runs.items(), reverse=True)
        }

    def restarted(self, source: int, index: int) -> Budget:
        """The walk from another record back to an input, as if any gradient arrived there."""
        value = np.asarray(self.records[source].value)
        seed = np.random.default_rng(0).standard_normal(value.shape).astype(value.dtype)
        return Budget(self.records, self.records[source], {index}, self._places, seed)

    def edges_of(self, index: int, item: Item) -> list[Arrival]:
        """The edges on the elementwise way that a term of a record's budget stands for."""
        first = [
            a for a in self.arrivals[index]
            if len(self.items[index]) == 1 or a.source == item.through
        ]  # fmt: skip
        found, seen = list(first), {a.source for a in first}
        waiting = [a.source for a in first if a.source != item.source]
        while waiting:
            for arrival in self.arrivals[waiting.pop()]:
                found.append(arrival)
                if arrival.source not in seen and arrival.source != item.source:
                    waiting.append(arrival.source)
                seen.add(arrival.source)
        return found

    def dominators(self, index: int) -> list[int]:
        """The records that every path from the loss to this one passes, both ends included."""
        found = [index]
        while found[-1] != self.loss:
            found.append(self.dominator[found[-1]])
        return found[::-1]

    def flows(self, index: int) -> dict[int, float]:
        """The share with which the budget of each record counts in the budget of this one.

        The records' terms and what met there, times these shares, add up to the whole.
        """
        shares = defaultdict(float, {index: 1.0})
        found: dict[int, float] = {}
        for at in range(index, self.loss):
            share = shares.pop(at, 0.0)
            if share:
                found[at] = share
                for item in self.items[at]:
                    shares[item.source] += share * item.weight
        return found

    def contribution(self, arrival: Arrival) -> Any:
        """What arrives across one edge, computed again."""
        record = self.records[arrival.source]
        carried = self.cotangents[arrival.source], None
        with quietly():
            for position, part in _pulled(record, carried, self.active):
                if position == arrival.position:
                    return part[0]
        raise LookupError(arrival)  # pragma: no cover - an arrival has been computed before


def _pulled(
    record: Traced, carried: tuple[Any, Any], active: Collection[int]
) -> Iterator[tuple[int, tuple[Any, Any]]]:
    """What an operation gives to each argument that depends on the chosen inputs."""
    op, args = record.op, values_of(record)
    assert op is not None
    wanted = [
        i for i, a in enumerate(record.args)
        if type(a) is Traced and a.level == record.level and a.index in active
    ]  # fmt: skip
    if op.joint is not None:
        parts = op.joint.pull(carried[0], args, record.value, record.attrs)
        yield from ((i, (parts[i], None)) for i in wanted if parts[i] is not None)
        return
    for i in wanted:
        part = pull(op, i, args, record.value, record.attrs, carried)
        if part is not None:
            yield i, part


def arguments_of(record: Traced) -> list[int]:
    """The indices of the records that an operation was computed of."""
    return [a.index for a in record.args if type(a) is Traced and a.level == record.level]


def _dependents(
    records: list[Traced], inputs: Collection[int], last: int
) -> tuple[set[int], set[int]]:
    """The records that depend on the inputs, and those that do so by edges with a derivative."""
    touched, active = set(inputs), set(inputs)
    for record in records[: last + 1]:
        op = record.op
        if op is None:
            continue
        for position, arg in enumerate(record.args):
            if type(arg) is Traced and arg.level == record.level and arg.index in touched:
                touched.add(record.index)
                if arg.index in active and not isinstance(op.edge(position), Flat):
                    active.add(record.index)
    return touched, active


def _boundaries(records: list[Traced], places: Mapping[int, Place]) -> set[int]:
    """Records with a name of their own, at which a step ends.

    Names inside a function that is elementwise throughout (an activation written by hand) are its
    own business: its slope is the slope of the whole function.
    """
    calls: dict[int, list[int]] = defaultdict(list)
    for index, place in places.items():
        calls[place.call].append(index)
    whole = {
        call for call, members in calls.items()
        if call > 0 and _is_activation([records[i] for i in members], [places[i] for i in members])
    }  # fmt: skip
    last = {call: members[-1] for call, members in calls.items()}
    return {
        index for index, place in places.items()
        if place.name is not None and (place.call not in whole or index == last[place.call])
    }  # fmt: skip


def _is_activation(members: list[Traced], places: list[Place]) -> bool:
    """Whether a call computes one array from arrays of its shape, element by element, no loop."""
    shapes = {np.shape(r.value) for r in members}
    sites = [(p.line, p.name) for p in places if p.name is not None]
    elementwise = all(r.op is not None and r.op.elementwise for r in members)
    return len(shapes) == 1 and shapes != {()} and elementwise and len(set(sites)) == len(sites)


def _summed(factors: list[Diagonal]) -> Diagonal:
    """Elementwise paths beside each other: their derivatives add up."""
    products = [np.asarray(f.product) for f in factors]
    product = sum(products[1:], products[0])
    selected = any(f.mask is not None for f in factors)
    left = log_norm(product) < max(map(log_norm, products)) - 6
    return Diagonal(
        slope=product,
        mask=np.where(product == 0, 0.0, 1.0) if selected else None,
        inexact=left or any(f.inexact for f in factors),
    )


class _Tree:
    """The dominators as a tree, with jumps to find where two branches meet in few steps."""

    def __init__(self, root: int) -> None:
        self.depth = {root: 0}
        self.parent = {root: root}
        self.jump = {root: root}

    def add(self, index: int, parent: int) -> None:
        depth, jump = self.depth, self.jump
        far = jump[parent]
        even = depth[parent] - depth[far] == depth[far] - depth[jump[far]]
        depth[index] = depth[parent] + 1
        self.parent[index] = parent
        jump[index] = jump[far] if even else parent

    def meet(self, several: list[int]) -> int:
        """The nearest record that lies above all of these (or is one of them)."""
        found = several[0]
        for other in several[1:]:
            found = self._meet(found, other)
        return found

    def _meet(self, a: int, b: int) -> int:
        depth, parent, jump = self.depth, self.parent, self.jump
        if depth[a] < depth[b]:
            a, b = b, a
        while depth[a] > depth[b]:
            a = jump[a] if depth[jump[a]] >= depth[b] else parent[a]
        while a != b:
            a, b = (jump[a], jump[b]) if jump[a] != jump[b] else (parent[a], parent[b])
        return a

    def reaches(self, top: int | None, above: int) -> bool:
        """Whether ``top``, which lies above some record, lies as far up as ``above`` does."""
        return top is not None and self.depth[top] <= self.depth[above]
