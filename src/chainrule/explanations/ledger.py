"""The ledger of paths: what each path from the result to a variable contributes to the gradient.

Paths run over the steps of a page. Where a step is an array they run over its elements, so that
every factor is a number and the products add up to the gradient.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, overload

import numpy as np

from chainrule.chain.quiet import quietly
from chainrule.display import Displayed
from chainrule.errors import ArgumentsError
from chainrule.explanations.dyadic import Dyadic, minus, plus, ratio, rounded
from chainrule.explanations.entries import MOST_ENTRIES, step_entries
from chainrule.explanations.local import step_partials
from chainrule.explanations.outline import Group
from chainrule.explanations.paths import (
    BLOCKED,
    FINITE,
    INFINITE,
    UNDEFINED,
    Edge,
    PathGraph,
    Walk,
)
from chainrule.explanations.solution import Partial, Path
from chainrule.graph.node import Node
from chainrule.graph.primitive import Flat
from chainrule.graph.tape import shape_of

PATHS_LISTED = 20


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Ledger(Displayed):
    """The paths from a result to a variable: a sequence of those listed, and what all add up to.

    All paths are listed in the order in which the program goes through their steps, if they are no
    more than were asked for; otherwise the largest, largest first.

    Attributes:
        result: The name of the result.
        variable: The name of the variable, or of one element: ``W1[0,0]``.
        listed: The paths that are listed.
        count: How many paths there are, exactly.
        blocked: How many of them lead through a branch that is not taken: they contribute nothing.
        operations: How many paths there are over single operations, if the steps fold some of them.
        total: The sum of all products, rounded once; ``None`` without numbers.
        magnitude: The sum of their sizes, Σ|p|.
        cancellation: Σ|p| / \\|Σp\\|: 1 where no path works against another, infinite where they
            cancel, ``None`` where there is nothing to divide or the sum is not finite.
        remainder: What the paths that are not listed add up to, without rounding but at the end.
        remainder_count: How many these are.
        example: For a whole array, whose paths have no products: an element that has them.
    """

    result: str
    variable: str
    listed: tuple[Path, ...]
    count: int
    blocked: int = 0
    operations: int = 0
    total: float | None = None
    magnitude: float | None = None
    cancellation: float | None = None
    remainder: float | None = None
    remainder_count: int = 0
    example: str | None = None

    @property
    def remainder_share(self) -> float | None:
        """The remainder as a fraction of the total."""
        return share(self.remainder, self.total)

    @overload
    def __getitem__(self, index: int) -> Path: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Path]: ...
    def __getitem__(self, index: int | slice) -> Path | Sequence[Path]:
        return self.listed[index]

    def __len__(self) -> int:
        return len(self.listed)

    def __iter__(self) -> Iterator[Path]:
        return iter(self.listed)

    def to_dict(self) -> dict[str, Any]:
        """The ledger as plain dicts, lists, strings and numbers, ready for JSON."""
        from chainrule.render.ledger import as_dict

        return as_dict(self)

    def to_markdown(self) -> str:
        """The ledger as a Markdown table with TeX formulas."""
        from chainrule.render.ledger import as_markdown

        return as_markdown(self)

    def to_latex(self) -> str:
        """The ledger as a LaTeX array."""
        from chainrule.render.ledger import as_latex

        return as_latex(self)

    def to_text(self, width: int = 100, color: bool = False) -> str:
        """The ledger as the terminal shows it."""
        from chainrule.render.ledger import as_text

        return as_text(self, width, color)


def share(part: float | None, total: float | None) -> float | None:
    """A part as a fraction of a total; ``None`` where that says nothing."""
    if part is None or total is None or not math.isfinite(part) or not math.isfinite(total):
        return None
    return float(part / total) if total else None


class Routes:
    """All paths from a result to a variable or one of its elements, worked out when asked for.

    Args:
        groups: The steps in order; the last one is the result.
        names: What each step and input is called, by the node's index.
        values: The value of every node; ``None`` where there are only symbols.
        start: The input.
        end: The result: the last step's node, or an input or a number where there are no steps.
        index: Which element of it; empty for a number, ``None`` for a whole array, whose paths run
            over arrays and have no products.
        shown: Local derivatives that are known already, by the step's name.
    """

    def __init__(
        self,
        groups: Sequence[Group],
        names: Mapping[int, str],
        values: Mapping[int, Any] | None,
        start: Node,
        end: Any,
        index: tuple[int, ...] | None = (),
        shown: Mapping[str, Sequence[Partial]] | None = None,
    ) -> None:
        self.groups = groups
        self.names = names
        self.values = values
        self.start = start
        self.end = end
        self.index = index
        self.shown = shown or {}
        self.result = groups[-1].name if groups else "y"
        if index == () and values is not None and shape_of(values[start.index]) != ():
            self.index = None
        self.whole = values is None or self.index is None

    @property
    def variable(self) -> str:
        """The name of the variable or element."""
        return _element_name(self.names.get(self.start.index, self.start.name), self.index or ())

    def at(self, index: tuple[int, ...]) -> Routes:
        """The paths to another element of the same input."""
        return Routes(self.groups, self.names, self.values, self.start, self.end, index, self.shown)

    def small(self, most: int = 2000) -> bool:
        """Whether the program is small enough to be taken apart without being asked to."""
        if self.whole or self.values is None:
            return True
        sizes = [np.size(self.values[g.root.index]) for g in self.groups]
        return len(sizes) <= 10 * most and sum(size for size in sizes if size > 1) <= most

    @property
    def count(self) -> int:
        """How many paths there are, exactly."""
        return sum(self._counts)

    @cached_property
    def _counts(self) -> tuple[int, ...]:
        return self.graph.count()

    @cached_property
    def _built(self) -> _Builder:
        with quietly():
            return _Builder(self)

    @property
    def graph(self) -> PathGraph:
        """The paths as a graph of elements, or of whole values."""
        return PathGraph(self._built.edges)

    def ledger(self, most: int | None = None) -> Ledger:
        """The ledger with at most so many paths listed."""
        most = PATHS_LISTED if most is None else most
        if isinstance(most, bool) or not isinstance(most, int) or most < 0:
            raise ArgumentsError(f"most is how many paths to list, not {most!r}")
        graph, count = self.graph, self.count
        walks = graph.first(most) if self.whole else graph.largest(most)
        if len(walks) == count:
            walks.sort(key=lambda w: [e.of for e in w.edges])
        valued = all(e.value is not None or e.blocked for w in walks for e in w.edges)
        numbers: Mapping[str, float | None] = {}
        if self.values is not None and valued:
            numbers = self._totals(walks)
        ways = graph.ways()
        return Ledger(
            self.result,
            self.variable,
            tuple(self._path(w, numbers.get("total")) for w in walks),
            count,
            self._counts[BLOCKED],
            ways if ways != count else 0,
            remainder_count=count - len(walks),
            example=self._example(),
            **numbers,
        )

    def _example(self) -> str | None:
        shape = () if self.values is None else shape_of(self.values[self.start.index])
        if not self.whole or not math.prod(shape):
            return None
        return _element_name(self.variable, [0] * len(shape)) if shape else None

    def _totals(self, walks: Sequence[Walk]) -> dict[str, float | None]:
        counts = self._counts
        exact, size = self.graph.sums()
        rest = exact
        for walk in walks:
            rest = plus(rest, minus(walk.exactly()))
        if len(walks) == sum(counts):
            rest = (0, 0)
        if counts[UNDEFINED] or counts[INFINITE]:
            return self._spoilt(walks, rest)
        return {
            "total": rounded(exact),
            "magnitude": rounded(size),
            "cancellation": _cancellation(exact, size),
            "remainder": rounded(rest),
        }

    def _spoilt(self, walks: Sequence[Walk], rest: Dyadic) -> dict[str, float | None]:
        """The sums where some paths are not finite."""
        counts = self._counts
        bad = [w.product for w in walks if w.kind in (UNDEFINED, INFINITE)]
        unlisted = counts[UNDEFINED] + counts[INFINITE] - len(bad)
        whole = math.nan if unlisted else sum(bad)
        return {
            "total": whole,
            "magnitude": math.nan if counts[UNDEFINED] else math.inf,
            "cancellation": None,
            "remainder": math.nan if unlisted else rounded(rest),
        }

    def _path(self, walk: Walk, total: float | None) -> Path:
        factors = []
        name = self._built.name
        above = self.result
        for edge in walk.edges:
            factor = edge.label
            if factor is None:
                value = None if edge.value is None else np.float64(edge.value)
                factor = Partial(above, name(edge.of), None, value, None, edge.blocked)
            factors.append(factor)
            above = factor.of
        known = self.values is not None and all(
            e.value is not None or e.blocked for e in walk.edges
        )
        number = rounded(walk.exactly()) if known and walk.kind == FINITE else walk.product
        product = np.float64(number) if known else None
        names = (self.result, *(f.of for f in factors)) if factors else (self.variable,)
        return Path(names, tuple(factors), product, share(product, total))


def _cancellation(total: Dyadic, size: Dyadic) -> float | None:
    return ratio(size, (abs(total[0]), total[1])) if size[0] else None


def _element_name(name: str, index: Sequence[int]) -> str:
    return f"{name}[{','.join(map(str, index))}]" if index else name


@dataclass(frozen=True, slots=True, eq=False)
class _Block:
    """The vertices of one value: its elements at ``places``, numbered from ``first`` on."""

    first: int
    name: str
    shape: tuple[int, ...]
    places: Any

    def element(self, vertex: int) -> str:
        """The name of the element that a vertex stands for."""
        if not self.shape:
            return self.name
        index = np.unravel_index(int(self.places[vertex - self.first]), self.shape)
        return _element_name(self.name, [int(i) for i in index])


class _Builder:
    """Makes the graph of paths: forward from the variable, over what it reaches."""

    def __init__(self, routes: Routes) -> None:
        self.routes = routes
        self.edges: list[list[Edge]] = []
        self.blocks: list[_Block] = []
        self.reached: dict[int, _Block] = {}
        start, place = routes.start, 0
        if routes.index and routes.values is not None:
            place = int(np.ravel_multi_index(routes.index, shape_of(routes.values[start.index])))
        self._add(start, routes.names.get(start.index, start.name), [place], [[]])
        for group in routes.groups:
            if any(a.index in self.reached for a in group.active):
                if routes.whole or self._is_scalar(group):
                    self._add_scalar(group)
                else:
                    self._add_array(group)
        if not isinstance(routes.end, Node) or routes.end.index not in self.reached:
            self.edges.append([])  # the result does not depend on the variable

    def name(self, vertex: int) -> str:
        """The name of the value, or the element, that a vertex stands for."""
        at = bisect.bisect_right(self.blocks, vertex, key=lambda b: b.first) - 1
        return self.blocks[at].element(vertex)

    def _add(self, node: Node, name: str, places: Any, edges: list[list[Edge]]) -> None:
        values = self.routes.values
        shape = () if self.routes.whole or values is None else shape_of(values[node.index])
        block = _Block(len(self.edges), name, shape, places)
        self.reached[node.index] = block
        self.blocks.append(block)
        self.edges += edges

    def _is_scalar(self, group: Group) -> bool:
        assert self.routes.values is not None
        values = self.routes.values
        return all(shape_of(values[n.index]) == () for n in (group.root, *group.args))

    def _add_scalar(self, group: Group) -> None:
        """A step between single numbers (or whole values) has an edge for each argument."""
        routes, ways = self.routes, _ways(group)
        known = {p.of: p for p in routes.shown.get(group.name, ())}
        carried: Mapping[int, Any] = {}
        if not known and routes.values is not None and not routes.whole:
            carried = step_partials(group, routes.values, np.float64(1.0))
        edges = []
        for arg in group.active:
            if arg.index not in self.reached:
                continue
            vertex, count = self.reached[arg.index].first, ways.get(arg.index, 1)
            partial = known.get(routes.names[arg.index])
            if partial is not None:
                value = None if np.ndim(partial.value) else partial.value
                edges.append(_edge(vertex, value, partial.blocked, count, partial))
            elif arg.index in carried:
                number, support = carried[arg.index]
                blocked = support is not None and not np.any(support)
                edges.append(_edge(vertex, number, blocked, count, None))
            elif routes.whole and not known and arg.index in ways:
                edges.append(_edge(vertex, None, False, count, None))
        if edges:
            self._add(group.root, group.name, [0], [edges])

    def _add_array(self, group: Group) -> None:
        """A step of arrays has an edge for each entry of its Jacobian."""
        values = self.routes.values
        assert values is not None
        blocks = {a.index: self.reached[a.index] for a in group.active if a.index in self.reached}
        sources = {i: np.asarray(block.places) for i, block in blocks.items()}
        entries = step_entries(group, values, sources, MOST_ENTRIES)
        if entries is None or not len(entries.rows):
            return
        vertices = np.concatenate([b.first + np.arange(len(b.places)) for b in blocks.values()])
        places, rows = np.unique(entries.rows, return_inverse=True)
        edges: list[list[Edge]] = [[] for _ in places]
        for row, vertex, value, blocked, ways in zip(
            rows.tolist(), vertices[entries.columns].tolist(), entries.values.tolist(),
            entries.blocked.tolist(), entries.ways.tolist(), strict=True,
        ):  # fmt: skip
            edges[row].append(Edge(vertex, value, blocked, ways))
        self._add(group.root, group.name, places, edges)


def _edge(vertex: int, value: Any, blocked: bool, ways: int, label: Any) -> Edge:
    return Edge(vertex, None if value is None else float(value), blocked, ways, label)


def _ways(group: Group) -> dict[int, int]:
    """How many paths over single operations lead from a step to each of its arguments."""
    counts = {group.root.index: 1}
    for node in reversed(group.members):
        here = counts.get(node.index, 0)
        if not here or node.op is None or not node.op.recorded:
            continue
        for position, arg in enumerate(node.args):
            if isinstance(arg, Node) and not isinstance(node.op.edge(position), Flat):
                counts[arg.index] = counts.get(arg.index, 0) + here
    return counts


def unbranched(groups: Sequence[Group], start: Node) -> bool:
    """Whether the steps from an input on are a single file, so that at most one path leads there.

    Folding a stretch of it into one step hides no path.
    """
    counts: dict[int, int] = {groups[-1].root.index: 1} if groups else {}
    for group in reversed(groups):
        here = counts.pop(group.root.index, 0)
        if here:
            ways = _ways(group)
            for arg in group.active:
                if arg.index in ways:
                    counts[arg.index] = min(2, counts.get(arg.index, 0) + here)
    return counts.get(start.index, 0) < 2
