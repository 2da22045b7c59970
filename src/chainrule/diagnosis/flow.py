"""Where bad numbers flow: from the results that they spoil back to the operations that made them.

A NaN or an infinity that reaches no bad result is left out: many programs mean theirs. Which
elements of an argument reach which elements of a result is what supports say, so they are asked
here also where the derivative itself was computed without them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from chainrule.chain.edges import Carried, pull, push
from chainrule.chain.modes import forward, reverse, values_of
from chainrule.chain.quiet import quietly
from chainrule.chain.supports import plain_products
from chainrule.diagnosis.recording import Recording
from chainrule.graph.primitive import Primitive
from chainrule.graph.tape import Traced

What = Literal["born", "turned", "input", "constant", "sum"]


@dataclass(frozen=True, slots=True, eq=False)
class Event:
    """Something that happened to bad numbers on their way.

    Attributes:
        what: They were ``born`` of finite ones; infinities ``turned`` into NaN; they came in with
            an ``input`` or a ``constant``; or the ``sum`` of finite parts of a derivative is bad.
        record: The operation, or the input.
        position: The argument to which, or from which, the derivative was carried; for a constant,
            which argument it is; ``None`` for values.
        mask: Which elements: of the result, or of that argument.
        carried: What the derivative was before the operation: a cotangent or a tangent.
    """

    what: What
    record: Traced
    position: int | None
    mask: Any
    carried: Any = None


def bad(value: Any) -> Any:
    """Which elements are NaN or infinite; of what is no float, none.

    Several results at once count as one element.
    """
    if isinstance(value, tuple):
        return np.array(any(map(any_bad, value)))
    array = np.asarray(value)
    if array.dtype.kind != "f":
        return np.zeros(np.shape(array), bool)
    return ~np.isfinite(array)


def any_bad(value: Any) -> bool:
    """Whether a number or an array has a NaN or an infinity."""
    return bool(np.any(bad(value)))


def shape(value: Any) -> tuple[int, ...]:
    """The shape of what ``bad`` says of a value."""
    return () if isinstance(value, tuple) else np.shape(value)


# ----------------------------------------------------------------- which elements reach which


def reached_forward(record: Traced, position: int, mask: Any) -> Any:
    """The elements of the result that some elements of an argument reach."""
    return _reached(push, record, position, mask, values_of(record)[position], record.value)


def reached_back(record: Traced, position: int, mask: Any) -> Any:
    """The elements of an argument that reach some elements of the result."""
    return _reached(pull, record, position, mask, record.value, values_of(record)[position])


def _reached(
    carry: Any, record: Traced, position: int, mask: Any, start: Any, end: Any
) -> Any:  # fmt: skip
    op = record.op
    assert op is not None
    whole = shape(end)
    if not np.any(mask):
        return np.zeros(whole, bool)
    if isinstance(start, tuple) or isinstance(end, tuple):
        return np.ones(whole, bool)
    ones = np.where(mask, 1.0, 0.0)[()]
    support = np.broadcast_to(mask, np.shape(start))
    try:
        with quietly(), plain_products(False):
            args = tuple(map(_finite, values_of(record))) if _follows(op) else values_of(record)
            moved = carry(op, position, args, record.value, record.attrs, (ones, support))
    except (TypeError, ValueError, ArithmeticError, np.linalg.LinAlgError):
        return np.ones(whole, bool)
    if moved is None:  # flat, yet the value depends on it: element by element or in any way
        if op.elementwise and np.shape(start) == whole:
            return np.asarray(support)
        return np.ones(whole, bool)
    return np.ones(whole, bool) if moved[1] is None else np.broadcast_to(moved[1], whole)


def _follows(op: Primitive) -> bool:
    """Whether its results follow from numbers all the same: nothing is selected by their size."""
    return op.transposes is not None


def _finite(value: Any) -> Any:
    return np.where(bad(value), 1.0, value)[()] if any_bad(value) else value


# -------------------------------------------------------------------------------------- values


def value_events(recording: Recording, spoilt: Mapping[int, Any]) -> list[Event]:
    """What made the bad elements of some values, the first one first.

    Args:
        recording: The run.
        spoilt: The elements in question, by the record's index.
    """
    at: dict[int, Any] = dict(spoilt)
    events: list[Event] = []
    for record in reversed(recording.records):
        mask = at.get(record.index)
        if mask is None or not np.any(mask):
            continue
        if record.op is None:
            known = any(x.index == record.index for x in recording.inputs.values())
            events.append(Event("input" if known else "constant", record, None, mask))
            continue
        events += reversed(_at_value(recording, record, mask, at))
    events.reverse()
    return events


def _at_value(
    recording: Recording, record: Traced, mask: Any, at: dict[int, Any]
) -> list[Event]:  # fmt: skip
    """What happened at one operation; where its bad arguments are is noted in ``at``."""
    events: list[Event] = []
    covered = np.zeros(shape(record.value), bool)
    nan_comes_in = False
    for position, arg in enumerate(record.args):
        value = recording.value(arg)
        if not any_bad(value):
            continue
        hit = reached_back(record, position, mask) & bad(value)
        if not np.any(hit):
            continue
        covered |= reached_forward(record, position, hit)
        nan_comes_in |= _has_nan(value, hit)
        if recording.own(arg):
            before = at.get(arg.index)
            at[arg.index] = hit if before is None else before | hit
        else:
            events.append(Event("constant", record, position, hit))
    born = mask & ~covered
    if np.any(born):
        events.append(Event("born", record, None, born))
    rest = mask & covered
    if np.any(rest) and not nan_comes_in:
        turned = rest & _nan(record.value)
        if np.any(turned):
            events.append(Event("turned", record, None, turned))
    return events


def _nan(value: Any) -> Any:
    return np.array(False) if isinstance(value, tuple) else np.isnan(value)


def _has_nan(value: Any, mask: Any) -> bool:
    """Whether some elements have a NaN among them; of several values at once it is not known."""
    return isinstance(value, tuple) or bool(np.any(_nan(value) & mask))


# --------------------------------------------------------------------------------- derivatives


class Flow:
    """A derivative carried over a recording: backward from results or forward from inputs.

    Args:
        recording: The run.
        seeds: What the derivative starts from, by the record's index.
        backward: The direction.
        plain: Whether every product is taken, also where nothing can flow.
    """

    def __init__(
        self, recording: Recording, seeds: Mapping[int, Carried], backward: bool, plain: bool
    ) -> None:
        self.recording, self.backward, self.plain = recording, backward, plain
        with plain_products(plain):
            if backward:
                self.carried = reverse(recording.records, seeds, keep=True)
            else:
                self.carried = forward(recording.records, seeds)
        self.seeds = seeds

    def of(self, record: Traced) -> Any:
        """What arrived at a record; 0 where nothing did."""
        found = self.carried.get(record.index)
        return np.zeros(shape(record.value)) if found is None else found[0]

    def part(self, record: Traced, position: int) -> Any:
        """What one edge carried, to the argument or from it; ``None`` for nothing."""
        args, op = values_of(record), record.op
        assert op is not None
        start = record if self.backward else record.args[position]
        carried = self.carried.get(start.index)
        if carried is None:
            return None
        carry = pull if self.backward else push
        with quietly(), plain_products(self.plain):
            moved = carry(op, position, args, record.value, record.attrs, carried)
        return None if moved is None else moved[0]

    def events(self, spoilt: Mapping[int, Any]) -> list[Event]:
        """What made the bad elements of the derivative, the first one first.

        Args:
            spoilt: The elements in question, by the index of an input, or of a result.
        """
        at: dict[int, Any] = dict(spoilt)
        arrivals = self._arrivals()
        events: list[Event] = []
        records = self.recording.records
        for record in records if self.backward else reversed(records):
            mask = at.get(record.index)
            if mask is not None and np.any(mask):
                events += self._at(record, mask, arrivals[record.index], at)
        events.reverse()
        return events

    def _arrivals(self) -> dict[int, list[tuple[Traced, int]]]:
        """By which edges the derivative comes to each record."""
        found: dict[int, list[tuple[Traced, int]]] = defaultdict(list)
        for record in self.recording.records:
            for position, arg in enumerate(record.args):
                if self.recording.own(arg):
                    end = arg if self.backward else record
                    found[end.index].append((record, position))
        return found

    def _at(
        self, end: Traced, mask: Any, edges: Sequence[tuple[Traced, int]], at: dict[int, Any]
    ) -> list[Event]:
        if end.index in self.seeds and np.any(bad(self.seeds[end.index][0]) & mask):
            return [Event("input", end, None, mask, self.seeds[end.index][0])]
        events: list[Event] = []
        found = np.zeros(shape(end.value), bool)
        back, on = reached_back, reached_forward
        if self.backward:
            back, on = on, back
        for record, position in edges:
            part = self.part(record, position)
            if part is None:
                continue
            hit = bad(part) & mask
            if not np.any(hit):
                continue
            found |= hit
            start = record if self.backward else record.args[position]
            carried = self.of(start)
            spoilt = back(record, position, hit) & bad(carried)
            if np.any(spoilt):
                before = at.get(start.index)
                at[start.index] = spoilt if before is None else before | spoilt
                hit_by = on(record, position, spoilt)
                rest = hit & hit_by
                if not _has_nan(carried, spoilt):
                    turned = rest & _nan(part)
                    if np.any(turned):
                        events.append(Event("turned", record, position, turned, carried))
                hit = hit & ~hit_by
            if np.any(hit):
                events.append(Event("born", record, position, hit, carried))
        rest = mask & ~found
        if np.any(rest):
            events.append(Event("sum", end, None, rest, self.of(end)))
        return events
