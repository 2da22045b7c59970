"""Paths: from the result back to a variable, one product of local derivatives each."""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from chainrule.explanations.outline import Outline
from chainrule.explanations.solution import Partial, Path

Edges = Mapping[str, Sequence[Partial]]


def count_paths(outline: Outline, edges: Edges, result: str) -> dict[str, int]:
    """How many paths lead from the result to each step and input, without walking them."""
    counts = dict.fromkeys(outline.names.values(), 0)
    counts[result] = 1
    for group in reversed(outline.steps):
        for edge in edges.get(group.name, ()):
            counts[edge.of] += counts[group.name]
    return counts


def largest_paths(
    outline: Outline, edges: Edges, result: str, variable: str, count: int, most: int
) -> list[tuple[Partial, ...]]:
    """The ``most`` paths of largest product out of ``count``; all in order if they are no more.

    One sweep from the result back keeps the best ``most`` beginnings at each step: a beginning
    that is not among them cannot become one of the best paths, since the rest multiplies all alike.
    """
    best: dict[str, list[tuple[float, int, Any]]] = {result: [(0.0, 0, None)]}
    serial = 0
    for group in reversed(outline.steps):
        beginnings = best.pop(group.name, []) if group.name != variable else []
        for edge in edges.get(group.name, ()):
            size = _decades(edge.value) if count > most else 0.0
            for log, _, trail in beginnings:
                serial -= 1
                keep = best.setdefault(edge.of, [])
                entry = (log + size, serial, (edge, trail))
                (heapq.heappush if len(keep) < most else heapq.heappushpop)(keep, entry)
    found = best.get(variable, [])
    if (
        len(found) == count
    ):  # all of them: in the order in which the program goes through their steps
        return sorted((_unrolled(trail) for _, _, trail in found), key=partial(_order, outline))
    return [_unrolled(t) for _, _, t in sorted(found, key=lambda e: (-e[0], -e[1]))]


def _order(outline: Outline, edges: tuple[Partial, ...]) -> list[int]:
    places = {name: i for i, name in enumerate(outline.names.values())}
    return [places[e.of] for e in edges]


def _decades(value: Any) -> float:
    if value is None or getattr(value, "shape", ()) != ():
        return 0.0
    size = abs(float(value))
    return math.log(size) if size > 0 and math.isfinite(size) else -math.inf if size == 0 else 700.0


def _unrolled(trail: Any) -> tuple[Partial, ...]:
    edges = []
    while trail is not None:
        edge, trail = trail
        edges.append(edge)
    return tuple(reversed(edges))


def as_path(edges: tuple[Partial, ...], result: str, total: Any) -> Path:
    """A path with its product and its share of the total."""
    product: Any = None
    if any(e.blocked for e in edges):
        product = np.float64(0.0)  # the branch is not taken, whatever stands behind it
    elif all(e.value is not None for e in edges):
        product = np.float64(1.0)
        for e in edges:
            product = product * e.value
    known = product is not None and total is not None and total != 0 and math.isfinite(total)
    return Path(
        names=(result, *(e.of for e in edges)),
        factors=edges,
        product=product,
        share=float(product / total) if known and math.isfinite(product) else None,
    )
