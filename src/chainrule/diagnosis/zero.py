"""Why a gradient is exactly zero: it is followed to the edge on which it died."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from chainrule.chain.modes import forward
from chainrule.diagnosis.absent import absent
from chainrule.diagnosis.budget import Arrival, Budget, arguments_of
from chainrule.diagnosis.causes import Cause, Finding
from chainrule.diagnosis.dead_edge import DeadEdge
from chainrule.diagnosis.gains import log_norm
from chainrule.diagnosis.naming import Names
from chainrule.diagnosis.run import Run
from chainrule.diagnosis.softmax import saturated_softmax
from chainrule.graph.bundle import Bundle
from chainrule.graph.primitive import ELEMENTWISE
from chainrule.graph.tape import Traced


def zero(here: Run, budget: Budget, names: Names, index: int) -> Finding:
    """Why the gradient of a leaf is exactly zero.

    A slope or a factor is often zero because a value is, and that value may be zero for a reason
    that lies nearer to the leaf: a dead relu makes the square behind it flat. So the walk begins
    again behind such a place, and if the gradient dies once more, that is the cause.
    """
    if index not in budget.cotangents:
        return absent(here, names, index)
    while True:
        dead, finding = _death(budget, names, index)
        if finding.cause is Cause.NOT_CONNECTED:  # what was passed on belongs to something else
            return _better(finding, _forward_death(budget, names, index))
        several = isinstance(budget.records[dead].value, Bundle)
        if finding.cause not in (Cause.STATIONARY, Cause.ZERO_WEIGHT) or dead == index or several:
            return finding
        again = budget.restarted(dead, index)
        if again.log_norms.get(index, 0.0) != -math.inf:
            return finding
        budget = again


def _better(backward: Finding, forward: Finding | None) -> Finding:
    """What walking back found, or forward where that says more."""
    if forward is None or (forward.cause is backward.cause and backward.place.line is not None):
        return backward
    return forward


def _death(budget: Budget, names: Names, index: int) -> tuple[int, Finding]:
    """The first record that all paths pass and where the gradient is zero, and why it is."""
    chain = budget.dominators(index)
    dead = next(i for i in chain if budget.log_norms[i] == -math.inf)
    best: Finding | None = None
    strongest = -math.inf
    for at, arrival in _frontier(budget, dead):
        size = (
            arrival.log_norm if arrival.log_norm > -math.inf else budget.log_norms[arrival.source]
        )
        if best is None or size > strongest:
            strongest = size
            best = (
                _cancelled(budget, names, at) if arrival.log_norm > -math.inf
                else DeadEdge(budget, names, arrival).finding()
            )  # fmt: skip
    assert best is not None
    return dead, best


def _forward_death(budget: Budget, names: Names, index: int) -> Finding | None:
    """The first operation at which a change of a leaf has no effect, and why."""
    records = budget.records
    leaf = records[index]
    direction = np.random.default_rng(0).standard_normal(np.shape(leaf.value)).astype(leaf.dtype)
    tangents = forward(records[: budget.loss + 1], {index: (direction[()], None)})
    for record in records[index + 1 : budget.loss + 1]:
        if record.index not in budget.cotangents or record.op is None or record.op.joint:
            continue
        reached = tangents.get(record.index)
        if reached is None or log_norm(reached[0]) > -math.inf:
            continue
        for position, arg in enumerate(record.args):
            before = tangents.get(arg.index) if type(arg) is Traced else None
            if before is not None and log_norm(before[0]) > -math.inf:
                if not isinstance(record.op.edge(position), ELEMENTWISE):
                    return _not_picked(names, index, record)
                edge = DeadEdge(budget, names, Arrival(record.index, position, -math.inf))
                edge.cotangent = np.ones_like(record.value)
                edge.moving = np.asarray(before[0]) != 0
                edge.reached = f" that {names.of(index)} reaches"
                return edge.finding()
    return None


def _not_picked(names: Names, index: int, record: Traced) -> Finding:
    """An operation that takes other elements than those that are asked about."""
    return Finding(
        Cause.NOT_CONNECTED,
        f"{names.operation(record.index)} does not pick {names.of(index)}",
        names.place(record.index),
        record.index,
    )


def _frontier(budget: Budget, dead: int) -> Iterator[tuple[int, Arrival]]:
    """The edges on which the last of a gradient died, and those whose sum is zero."""
    waiting, seen = [dead], {dead}
    while waiting:
        at = waiting.pop()
        for arrival in budget.arrivals[at]:
            source = arrival.source
            if arrival.log_norm > -math.inf or budget.log_norms[source] > -math.inf:
                yield at, arrival
            elif source not in seen:
                seen.add(source)
                waiting.append(source)


def _cancelled(budget: Budget, names: Names, at: int) -> Finding:
    """Parts that arrive at a record and add up to zero."""
    arrivals = [a for a in budget.arrivals[at] if a.log_norm > -math.inf]
    sources = list(dict.fromkeys(names.operation(a.source) for a in arrivals))
    saturated = saturated_softmax(budget, {at, *(a.source for a in arrivals)})
    if saturated is not None:
        return Finding(
            Cause.SATURATED,
            f"{names.of(saturated)} is a softmax that has reached 0 and 1, where its slope is 0",
            names.place(saturated), saturated,
        )  # fmt: skip
    parting = budget.dominator[at]
    if at in budget.diagonals and _moves(budget, parting, at):
        return Finding(
            Cause.SATURATED,
            f"{names.of(parting)} no longer changes with {names.of(at)}: its slope is 0 to the "
            "last bit",
            names.place(parting), parting,
        )  # fmt: skip
    return Finding(
        Cause.CANCELLING,
        f"the {len(arrivals)} paths from {names.of(parting)} to {names.of(at)} add up to 0 "
        f"({', '.join(sources[:3])})",
        names.place(parting), parting,
    )  # fmt: skip


def _moves(budget: Budget, source: int, at: int) -> bool:
    """Whether an elementwise function of a value, constant around here, is another one elsewhere.

    A function that has saturated does change far away; what cancels term by term never does.
    """
    records = budget.records
    here = np.asarray(records[source].value)
    for scale in (0.5, 0.1, 0.01, -0.1):
        values = {at: records[at].value * scale}
        for record in records[at + 1 : source + 1]:
            if record.op is not None and any(i in values for i in arguments_of(record)):
                args = [
                    values.get(a.index, a.value) if type(a) is Traced else a for a in record.args
                ]
                values[record.index] = record.op.evaluate(*args, **record.attrs)
        # What is left of terms that cancel is rounding, at most.
        if np.max(np.abs(np.asarray(values[source]) - here)) > 1e-6 * np.max(np.abs(here)):
            return True
    return False
