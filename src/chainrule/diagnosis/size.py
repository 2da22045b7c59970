"""Why a gradient is tiny or huge: the part of its budget that did it, and the line."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import numpy as np

from chainrule.chain.modes import values_of
from chainrule.diagnosis.budget import Arrival, Budget, Item
from chainrule.diagnosis.causes import Cause, Finding
from chainrule.diagnosis.gains import AT, PARTS, kind_of, local, wide
from chainrule.diagnosis.naming import Names, number
from chainrule.diagnosis.softmax import saturated_softmax

_SHRINKING = {
    "slope": Cause.SLOPES,
    "weights": Cause.WEIGHTS,
    "constant": Cause.CONSTANT,
    "averaging": Cause.AVERAGING,
    "mask": Cause.MASK,
    "alignment": Cause.CANCELLING,
    "operation": Cause.OPERATION,
    "rounding": Cause.UNDERFLOW,
}
_OF_SOFTMAX = ("alignment", "operation", "slope")
_GROWING = _SHRINKING | {"alignment": Cause.TERMS, "terms": Cause.TERMS}


def sized(budget: Budget, names: Names, index: int, sign: int) -> Finding:
    """Which part of a gradient's budget made it tiny (``sign`` −1) or huge (1), and where."""
    by_part: dict[str, float] = defaultdict(float)
    by_line: dict[tuple[str, Any], float] = defaultdict(float)
    strongest: dict[tuple[str, Any], tuple[float, int, Item | None]] = {}
    alike: dict[tuple[str, Any], int] = defaultdict(int)

    def note(part: str, at: int, through: int, item: Item | None, decades: float) -> None:
        place = names.place(through)
        key = part, (place.file, place.line)
        by_part[part] += decades
        by_line[key] += decades
        alike[key] += sign * decades > 0.01
        if key not in strongest or sign * decades > sign * strongest[key][0]:
            strongest[key] = decades, at, item

    for at, share in budget.flows(index).items():
        for item in budget.items[at]:
            for name, gained in zip(PARTS, item.parts, strict=True):
                if gained:
                    note(name, at, item.through, item, share * item.weight * float(gained))
        # Terms that cancel inside a sum and paths that cancel are one cause.
        if budget.met[at]:
            through = max(a.source for a in budget.arrivals[at])
            note("alignment", at, through, None, share * budget.met[at])
    causes = _GROWING if sign > 0 else _SHRINKING
    part = max((p for p in by_part if p in causes), key=lambda p: sign * by_part[p])
    line = max((k for k in by_line if k[0] == part), key=lambda k: sign * by_line[k])
    _, at, term = strongest[line]
    arrivals = budget.arrivals[at]
    if term is None:
        edge = max(arrivals, key=lambda a: a.source)
        says, near = f"the paths that meet at {names.of(at)} cancel", {at}
    else:
        edge = _strongest_edge(budget, at, term, part, sign)
        says, near = _says(budget, names, at, term, edge, part), {at, term.source, term.through}
    hot = saturated_softmax(budget, near) if sign < 0 and part in _OF_SOFTMAX else None
    if hot is not None:
        says = f"{names.of(hot)} is a softmax close to 0 and 1, where its slope vanishes"
        return Finding(Cause.SATURATED, says, names.place(hot), hot, by_line[line])
    if alike[line] > 1:
        says += f", and {alike[line] - 1} more like it"
    return Finding(causes[part], says, names.place(edge.source), edge.source, by_line[line])


def _strongest_edge(budget: Budget, at: int, item: Item, part: str, sign: int) -> Arrival:
    """The edge of a term whose own factor counts most, of several in a row."""
    if item.diagonal is None:
        return next(a for a in budget.arrivals[at] if a.source == item.through)
    edges, depends = budget.edges_of(at, item), budget.active.__contains__
    alike = [e for e in edges if kind_of(budget.records[e.source], e.position, depends) == part]

    def size(edge: Arrival) -> float:
        own = local(budget.records[edge.source], edge.position, depends).product
        return sign * math.log10(max(float(np.mean(np.abs(own))), 1e-320))

    return max(alike, key=size) if alike else edges[0]


def _says(budget: Budget, names: Names, at: int, item: Item, edge: Arrival, part: str) -> str:
    """The factor that matters, with its numbers."""
    record = budget.records[edge.source]
    operation = names.operation(edge.source)
    if part == "slope" and item.diagonal is not None:
        return _slope_says(budget, names, at, item)
    if part == "weights":
        other = 1 - edge.position if len(record.args) > 1 else edge.position
        typical = float(np.sqrt(np.mean(wide(values_of(record)[other]) ** 2)))
        return f"the factor {names.argument(edge.source, other)} (typically {number(typical)})"
    if part == "constant" and item.diagonal is not None:
        return _constant_says(budget, at, item)
    if part == "averaging":
        return f"{operation} divides by {round(10.0 ** -item.parts[AT['averaging']]):,}"
    if part == "mask":
        share = 10.0 ** (2 * item.parts[AT["mask"]])
        return f"{operation} lets {number(100 * share)} % of the energy pass"
    if part == "rounding":
        return f"rounding to {record.dtype} in {operation}"
    if part == "alignment":
        verb = "cancel" if item.parts[AT["alignment"]] < 0 else "reinforce each other"
        return f"the terms that the gradient of {operation} adds up {verb}"
    return f"the slopes of {operation}" if part == "slope" else operation


def _constant_says(budget: Budget, at: int, item: Item) -> str:
    """The constant factor, or how many there are in a row and what they come to."""
    assert item.diagonal is not None
    depends = budget.active.__contains__
    factors = [
        abs(local(budget.records[e.source], e.position, depends).constant)
        for e in budget.edges_of(at, item)
    ]
    count = sum(f != 1 for f in factors)
    whole = number(abs(item.diagonal.constant))
    return f"the constant factor {whole}" if count < 2 else f"{count} constant factors, {whole}"


def _slope_says(budget: Budget, names: Names, at: int, item: Item) -> str:
    """``σ′(16) = 1.1·10⁻⁷`` for where most of the gradient passes."""
    assert item.diagonal is not None
    depends = budget.active.__contains__
    edges = budget.edges_of(at, item)
    inside = sorted({e.source for e in edges})
    steep = sorted(
        {
            e.source
            for e in edges
            if kind_of(budget.records[e.source], e.position, depends) == "slope"
        }
    )
    name, argument, sign = names.slope_of(steep, inside) if steep else ("", None, 1.0)
    g = np.abs(wide(budget.cotangents[item.source]))
    slope = np.broadcast_to(np.abs(item.diagonal.slope), g.shape)
    passed = np.where(np.isfinite(slope), g * np.where(np.isfinite(slope), slope, 0.0), -1.0)
    where = np.unravel_index(np.argmax(passed), g.shape)
    x = np.broadcast_to(wide(budget.records[at if argument is None else argument].value), g.shape)
    if not name:
        written = f"{names.of(item.source)} in {names.of(at)}"
        return f"the slope of {written} is {number(slope[where])} at {number(x[where])}"
    return f"{name}({number(sign * x[where])}) = {number(slope[where])}"
