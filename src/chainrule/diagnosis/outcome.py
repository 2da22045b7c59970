"""The numbers of a recording: its results, and the derivative that was asked of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from chainrule.diagnosis.flow import Flow, any_bad, bad
from chainrule.diagnosis.recording import Recording
from chainrule.graph.tape import dtype_of
from chainrule.tree import flatten

Mode = Literal["values", "backward", "forward"]


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """What is asked of a function.

    Attributes:
        mode: Its ``values`` alone, or a derivative, ``backward`` or ``forward``.
        along: The cotangent of the result or the tangents of the arguments, as trees; ``None`` for
            a cotangent of 1.
        plain: Whether supports are switched off.
        dense: Whether zeros of ``along`` are multiplied as any number is. They are where many
            derivatives are taken at once, in the rows of a Jacobian.
    """

    mode: Mode
    along: Any = None
    plain: bool = False
    dense: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Number:
    """One of the results: a leaf of the value, or of a derivative.

    Attributes:
        kind: ``value``, ``gradient`` (a cotangent) or ``tangent``.
        name: The name of the leaf: of the result for values and tangents, of the input for
            gradients.
        index: The index of its record; ``None`` for a plain number.
        value: The array or number.
    """

    kind: Literal["value", "gradient", "tangent"]
    name: str
    index: int | None
    value: Any


class Outcome:
    """A question answered.

    Attributes:
        recording: The run.
        numbers: What came out, values first.
        flow: The derivative, or ``None`` if only values were asked for.
    """

    def __init__(self, recording: Recording, question: Question) -> None:
        self.recording = recording
        self.numbers: list[Number] = []
        self.flow: Flow | None = None
        results = recording.results()
        for name, leaf in results:
            own = recording.own(leaf)
            self.numbers.append(
                Number("value", name, leaf.index if own else None, recording.value(leaf))
            )
        if question.mode == "backward":
            self._backward(question)
        elif question.mode == "forward":
            self._forward(question)

    def _backward(self, question: Question) -> None:
        recording = self.recording
        results = [leaf for _, leaf in recording.results()]
        if question.along is None:
            along = [dtype_of(recording.value(leaf)).type(1.0) for leaf in results]
        else:
            along = flatten(question.along)[0]
        seeds: dict[int, Any] = {}
        for leaf, cotangent in zip(results, along, strict=True):
            if recording.own(leaf):
                before = seeds.get(leaf.index)
                cotangent = cotangent if before is None else before[0] + cotangent
                seeds[leaf.index] = _seed(cotangent, leaf.value, question.dense)
        self.flow = Flow(recording, seeds, backward=True, plain=question.plain)
        for name in recording.wrt:
            x = recording.inputs[name]
            self.numbers.append(Number("gradient", name, x.index, self.flow.of(x)))

    def _forward(self, question: Question) -> None:
        recording = self.recording
        along = flatten(question.along)[0]
        seeds = {
            recording.inputs[name].index: _seed(
                tangent, recording.inputs[name].value, question.dense
            )
            for name, tangent in zip(recording.wrt, along, strict=True)
        }
        self.flow = Flow(recording, seeds, backward=False, plain=question.plain)
        for name, leaf in recording.results():
            if recording.own(leaf):
                self.numbers.append(Number("tangent", name, leaf.index, self.flow.of(leaf)))

    @property
    def bad(self) -> list[Number]:
        """Those with a NaN or an infinity."""
        return [n for n in self.numbers if any_bad(n.value)]

    def values(self) -> list[Any]:
        """The results of the function."""
        return [n.value for n in self.numbers if n.kind == "value"]

    def spoilt(self, values: bool) -> dict[int, Any]:
        """The bad elements of the values, or of the derivative, by the record's index."""
        found: dict[int, Any] = {}
        for n in self.bad:
            if n.index is not None and (n.kind == "value") == values:
                found[n.index] = found.get(n.index, False) | bad(n.value)
        return found


def _seed(given: Any, value: Any, dense: bool) -> tuple[Any, Any]:
    array = np.asarray(given, dtype=dtype_of(value))[()]
    reaches = np.asarray(array) != 0
    return array, None if dense or reaches.all() else reaches
