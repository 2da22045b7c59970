"""What kept a bad number, or the slope beside it, out of the result of the forward pass."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from chainrule.diagnosis.flow import Flow, bad, reached_forward, shape
from chainrule.diagnosis.recording import Recording
from chainrule.graph.tape import Traced


@dataclass(frozen=True, slots=True, eq=False)
class Hidden:
    """An operation that hid something.

    Attributes:
        how: It did not ``select`` the elements; its ``value`` is finite all the same, as 1/∞ is;
            or its ``slope`` is 0 there.
        record: The operation.
        position: The argument that was hidden.
        mask: Which elements of that argument.
    """

    how: Literal["select", "value", "slope"]
    record: Traced
    position: int
    mask: Any


def hidden(recording: Recording, start: Traced, mask: Any, flow: Flow | None) -> list[Hidden]:
    """Follow elements of a record on towards the results, up to what hides them.

    Args:
        recording: The run.
        start: Where to start.
        mask: The elements of its value.
        flow: A derivative that is zero there; where nothing else hid the elements, the operation is
            found whose slope of 0 made it so.
    """
    alive = _needed(recording)
    consumers: dict[int, list[tuple[Traced, int]]] = defaultdict(list)
    for record in recording.records:
        if record.index in alive:
            for position, arg in enumerate(record.args):
                if recording.own(arg):
                    consumers[arg.index].append((record, position))
    at: dict[int, Any] = {start.index: mask}
    found: list[Hidden] = []
    slopes: list[Hidden] = []
    for record in recording.records[start.index :]:
        here = at.get(record.index)
        if here is None:
            continue
        spoilt = bad(record.value) & here
        for user, position in consumers[record.index]:
            through = reached_forward(user, position, here)
            if not np.any(through):
                found.append(Hidden("select", user, position, here))
                continue
            if np.any(spoilt):
                still = reached_forward(user, position, spoilt)
                if not np.any(bad(user.value) & still):
                    found.append(Hidden("value", user, position, spoilt))
                    continue
            if flow is not None and _stops(flow, user, position, here, through):
                slopes.append(Hidden("slope", user, position, here))
            before = at.get(user.index)
            at[user.index] = through if before is None else before | through
    return _by_line(recording, found or slopes)


def _stops(flow: Flow, user: Traced, position: int, here: Any, through: Any) -> bool:
    """Whether a cotangent that is not zero becomes zero at an edge."""
    if isinstance(user.value, tuple) or not np.any(np.nan_to_num(flow.of(user)) * through):
        return False
    part = flow.part(user, position)
    return part is not None and shape(part) == shape(here) and not np.any(part * here)


def _needed(recording: Recording) -> set[int]:
    """The records that the results depend on."""
    needed = {leaf.index for _, leaf in recording.results() if recording.own(leaf)}
    for record in reversed(recording.records):
        if record.index in needed:
            needed.update(a.index for a in record.args if recording.own(a))
    return needed


def _by_line(recording: Recording, found: list[Hidden]) -> list[Hidden]:
    """One for each operation in each line."""
    kept: dict[Any, Hidden] = {}
    for one in found:
        place = recording.place(one.record)
        kept.setdefault((one.record.op, place.file, place.line), one)
    return list(kept.values())
