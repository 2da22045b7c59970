"""What a gradient would be if one value's contributions were overwritten instead of added up.

A value that is used twice gets a contribution to its cotangent from each use. A hand-written
backward pass that assigns where it should add keeps only one of them. Here every such pass is run,
with our own rules, on a tape from which the other uses have been cut.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.chain import reverse
from chainrule.checking.subject import Subject
from chainrule.graph.tape import Tape, Traced, running
from chainrule.sources.names import Origins
from chainrule.tree import leaves

MOST_PASSES = 200
Use = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Partial:
    """The gradients with some contributions left out, and words for what is left."""

    says: str
    gradients: tuple[Any, ...]


class Uses:
    """A tape of the subject, and which of its values are used several times."""

    def __init__(self, subject: Subject, weights: Sequence[Any]) -> None:
        origins = Origins()
        tape = Tape(origins)
        self.inputs = [tape.input(leaf.value[()]) for leaf in subject.leaves]
        moved = {
            # Handles of its own, which it may assign to.
            leaf.position: traced.alias()
            for leaf, traced in zip(subject.leaves, self.inputs, strict=True)
        }
        try:
            with np.errstate(all="ignore"), running(tape):
                result = subject.call(moved)
        finally:
            origins.release()
        self.records = tape.records
        operations = [r for r in tape.records if r.op is not None]
        self.places = {
            r.index: place for r, place in zip(operations, origins.resolve(), strict=True)
        }
        self.names = {
            traced.index: leaf.name
            for leaf, traced in zip(subject.leaves, self.inputs, strict=True)
        }
        self.seeds: dict[int, Any] = {}
        for (_, output), weight in zip(leaves(result), weights, strict=True):
            if isinstance(output, Traced):
                before = self.seeds.get(output.index, (0.0, None))[0]
                self.seeds[output.index] = (before + weight, None)
        self.level = tape.level

    def shapes(self) -> Iterator[tuple[int, ...]]:
        """The shapes of all values of the computation."""
        for record in self.records:
            yield np.shape(record.value)
            for argument in record.args:
                if not isinstance(argument, Traced):
                    yield np.shape(argument)

    def gradients(self) -> tuple[Any, ...]:
        """The gradients with nothing left out."""
        return self._reversed(self.records)

    def partials(self) -> Iterator[Partial]:
        """Every value used several times, with one use alone and with one use missing."""
        passes = 0
        for index, uses in self._shared().items():
            for use in uses:
                others = [u for u in uses if u != use]
                cuts = [(others, self._only(index, use, uses))]
                if len(uses) > 2:
                    cuts.append(([use], self._without(index, use, uses)))
                for cut, says in cuts:
                    passes += 1
                    if passes > MOST_PASSES:
                        return
                    yield Partial(says, self._reversed(self._cut(cut)))

    def _shared(self) -> dict[int, list[Use]]:
        reached = set(reverse(self.records, self.seeds, keep=True))
        found: dict[int, list[Use]] = {}
        for record in self.records:
            if record.op is None or record.index not in reached:
                continue
            for position, argument in enumerate(record.args):
                if isinstance(argument, Traced) and argument.level == self.level:
                    found.setdefault(argument.index, []).append((record.index, position))
        return {index: uses for index, uses in found.items() if len(uses) > 1}

    def _cut(self, uses: Sequence[Use]) -> list[Traced]:
        """The records with some uses replaced by plain values, through which nothing flows."""
        records = list(self.records)
        for index, position in uses:
            record = copy.copy(records[index])
            arguments = list(record.args)
            arguments[position] = arguments[position].value
            record.args = tuple(arguments)
            records[index] = record
        return records

    def _reversed(self, records: Sequence[Traced]) -> tuple[Any, ...]:
        found = reverse(records, self.seeds)
        return tuple(
            np.asarray(found[x.index][0], float)
            if x.index in found
            else np.zeros(np.shape(x.value))
            for x in self.inputs
        )

    def _only(self, index: int, use: Use, uses: Sequence[Use]) -> str:
        return (
            f"only one of the {len(uses)} contributions to {self._name(index)} is there, the one "
            f"{self._where(use)}: `=` where `+=` is meant"
        )

    def _without(self, index: int, use: Use, uses: Sequence[Use]) -> str:
        return (
            f"one of the {len(uses)} contributions to {self._name(index)} is missing, the one "
            f"{self._where(use)}"
        )

    def _name(self, index: int) -> str:
        if index in self.names:
            return self.names[index]
        op = self.records[index].op
        place = self.places[index]
        return place.name or (f"the result of {op.name}" if op is not None else "an input")

    def _where(self, use: Use) -> str:
        place = self.places[use[0]]
        op = self.records[use[0]].op
        what = f"through {op.name}" if op is not None else "through it"
        return what if place.line is None else f"{what} in line {place.line} (`{place.source}`)"
