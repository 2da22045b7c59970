"""Paths through a graph: counted, added up, and the largest found without walking all of them.

A graph here has numbered vertices in topological order and a number on every edge. A path runs from
the result back to the variable; its product is that of its edges. Everything below is one sweep
over the edges: what is kept at a vertex says all that matters of the *beginnings*, the paths from
the result to there.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from chainrule.explanations.dyadic import (
    ONE,
    ZERO,
    Dyadic,
    dyadic,
    plus,
    times,
)

# What a product can be. A factor changes all beginnings of one kind alike, and never their order by
# size: that is why the best of each kind are enough to find the best of all.
FINITE: Final = 0
VANISHING: Final = 1  # a factor is zero
INFINITE: Final = 2
UNDEFINED: Final = 3  # 0·∞, or a factor that is NaN
BLOCKED: Final = 4  # nothing passes, whatever the other factors are
KINDS: Final = range(5)

_PRODUCTS: Final = tuple(
    tuple(
        BLOCKED if BLOCKED in pair
        else UNDEFINED if UNDEFINED in pair or set(pair) == {VANISHING, INFINITE}
        else max(pair)
        for pair in [(a, b) for b in KINDS]
    )
    for a in KINDS
)  # fmt: skip
# The order in which paths are listed: what spoils the gradient first, what adds nothing last.
_LISTED: Final = (UNDEFINED, INFINITE, FINITE, VANISHING, BLOCKED)


@dataclass(slots=True, eq=False)
class Edge:
    """An edge from a vertex back to an earlier one.

    Attributes:
        of: The earlier vertex.
        value: The local derivative; ``None`` where there are no numbers.
        blocked: Nothing passes: the edge leads into a branch that is not taken.
        ways: How many paths over single operations the edge stands for.
        label: What the edge is, for those who list paths.
    """

    of: int
    value: float | None
    blocked: bool = False
    ways: int = 1
    label: Any = None
    kind: int = field(init=False, default=FINITE)

    def __post_init__(self) -> None:
        value = self.value
        if self.blocked:
            self.kind = BLOCKED
        elif value is not None and value != value:
            self.kind = UNDEFINED
        elif value == 0:
            self.kind = VANISHING
        elif value is not None and math.isinf(value):
            self.kind = INFINITE


@dataclass(frozen=True, slots=True, eq=False)
class Walk:
    """One path, as edges from the result on, and its product ``mantissa·2^exponent``."""

    edges: tuple[Edge, ...]
    kind: int
    mantissa: float
    exponent: int

    @property
    def product(self) -> float:
        """The product as a float; it is rounded once for each factor."""
        if self.kind == UNDEFINED:
            return math.nan
        if self.kind == INFINITE:
            return math.copysign(math.inf, self.mantissa)
        if self.kind != FINITE:
            return math.copysign(0.0, self.mantissa)
        try:
            return math.ldexp(self.mantissa, self.exponent)
        except OverflowError:
            return math.copysign(math.inf, self.mantissa)

    def exactly(self) -> Dyadic:
        """The product without rounding; zero where it is not a finite number."""
        if self.kind != FINITE:
            return ZERO
        product = ONE
        for edge in self.edges:
            assert edge.value is not None
            product = times(product, dyadic(edge.value))
        return product


@dataclass(frozen=True, slots=True, eq=False)
class PathGraph:
    """A graph with a result at the last vertex and a variable at the first.

    Attributes:
        edges: The edges from each vertex back. Vertices are numbered in topological order: an edge
            of vertex ``v`` leads to a smaller number. The variable is vertex 0.
    """

    edges: Sequence[Sequence[Edge]]

    def count(self) -> tuple[int, ...]:
        """How many paths there are of each kind: exact, however many.

        >>> doubled = [Edge(0, 2.0), Edge(0, 3.0)]
        >>> sum(PathGraph([[], doubled]).count())
        2
        """
        counts: list[list[int] | None] = [None] * len(self.edges)
        counts[-1] = [1, 0, 0, 0, 0]
        for vertex in range(len(self.edges) - 1, 0, -1):
            here = counts[vertex]
            if here is None:
                continue
            counts[vertex] = None
            kinds = [(kind, n) for kind, n in enumerate(here) if n]
            for edge in self.edges[vertex]:
                there = counts[edge.of]
                if there is None:
                    there = counts[edge.of] = [0] * len(KINDS)
                for kind, n in kinds:
                    there[_PRODUCTS[kind][edge.kind]] += n
        return tuple(counts[0] or [0] * len(KINDS))

    def ways(self) -> int:
        """How many paths over single operations the paths stand for."""
        counts = [0] * len(self.edges)
        counts[-1] = 1
        for vertex in range(len(self.edges) - 1, 0, -1):
            here, counts[vertex] = counts[vertex], 0
            if here:
                for edge in self.edges[vertex]:
                    counts[edge.of] += here * edge.ways
        return counts[0]

    def sums(self) -> tuple[Dyadic, Dyadic]:
        """The sum of all finite products and the sum of their sizes, without rounding."""
        found: list[tuple[Dyadic, Dyadic] | None] = [None] * len(self.edges)
        found[-1] = ONE, ONE
        for vertex in range(len(self.edges) - 1, 0, -1):
            here = found[vertex]
            if here is None:
                continue
            found[vertex] = None
            for edge in self.edges[vertex]:
                if edge.kind != FINITE or edge.value is None:
                    continue
                number = dyadic(edge.value)
                total = times(here[0], number)
                size = times(here[1], (abs(number[0]), number[1]))
                there = found[edge.of]
                found[edge.of] = (
                    (total, size) if there is None
                    else (plus(there[0], total), plus(there[1], size))
                )  # fmt: skip
        return found[0] or (ZERO, ZERO)

    def first(self, most: int) -> list[Walk]:
        """The first paths in the order of the program, where there are no numbers to compare."""
        found: list[Walk] = []
        waiting: list[tuple[int, Any]] = [(len(self.edges) - 1, None)]
        while waiting and len(found) < most:
            vertex, trail = waiting.pop()
            if not vertex:
                found.append(Walk(_unrolled(trail), FINITE, 0.5, 1))
            for edge in sorted(self.edges[vertex], key=lambda e: e.of, reverse=True):
                waiting.append((edge.of, (edge, trail)))
        return found

    def largest(self, most: int) -> list[Walk]:
        """The ``most`` paths of largest product, largest first.

        What is not a number or not finite comes first, what is zero or blocked last. A beginning
        that is not among the ``most`` best of its kind cannot become one of the best paths: the
        rest multiplies all alike, and rounding never turns an order around.
        """
        if most < 1:
            return []
        best: list[list[list[Any]] | None] = [None] * len(self.edges)
        best[-1] = [[(1, 0.5, 0, 0.5, None)], [], [], [], []]
        serial = 0
        for vertex in range(len(self.edges) - 1, 0, -1):
            here = best[vertex]
            if here is None:
                continue
            best[vertex] = None
            for beginnings in here:
                beginnings.sort(reverse=True)
            for edge in self.edges[vertex]:
                there = best[edge.of]
                if there is None:
                    there = best[edge.of] = [[] for _ in KINDS]
                factor, power = _parts(edge)
                for kind, beginnings in enumerate(here):
                    keep = there[_PRODUCTS[kind][edge.kind]]
                    for exponent, _, _, mantissa, trail in beginnings:
                        product, shift = math.frexp(mantissa * factor)
                        size = exponent + power + shift, abs(product)
                        serial -= 1  # what was found earlier wins a tie
                        entry = (*size, serial, product, (edge, trail))
                        if len(keep) < most:
                            heapq.heappush(keep, entry)
                        elif size > keep[0][:2]:
                            heapq.heapreplace(keep, entry)
                        else:
                            break  # the others are no larger
        found = best[0] or [[] for _ in KINDS]
        walks = [
            Walk(_unrolled(trail), kind, mantissa, exponent)
            for kind in _LISTED
            for exponent, _, _, mantissa, trail in sorted(found[kind], reverse=True)
        ]
        return walks[:most]


def _parts(edge: Edge) -> tuple[float, int]:
    """Mantissa and exponent of a factor; what has no size has only a sign."""
    if edge.kind == FINITE and edge.value is not None:
        return math.frexp(edge.value)
    sign = 1.0 if edge.value is None or edge.kind == UNDEFINED else edge.value
    return math.copysign(0.5, sign), 1


def _unrolled(trail: Any) -> tuple[Edge, ...]:
    edges = []
    while trail is not None:
        edge, trail = trail
        edges.append(edge)
    return tuple(reversed(edges))
