"""Why a gradient is zero, tiny or huge: one cause of a closed list, with the line.

``zero`` follows an exactly zero gradient to the edge on which it died and asks that edge why.
``sized`` reads the budget of a gradient that is too small or too large.
"""

from __future__ import annotations

import linecache
import math
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from chainrule.chain.edges import factor, pull
from chainrule.chain.modes import forward, values_of
from chainrule.diagnosis.budget import Arrival, Budget, Item
from chainrule.diagnosis.gains import AT, PARTS, arrays, kind_of, local, log_norm, wide
from chainrule.diagnosis.naming import Names, number
from chainrule.diagnosis.run import Run
from chainrule.graph.bundle import Bundle
from chainrule.graph.primitive import ELEMENTWISE, Bilinear, Flat, Mask
from chainrule.graph.tape import Traced
from chainrule.rules.reductions import spread
from chainrule.sources.names import Place


class Cause(StrEnum):
    """Why a gradient is what it is."""

    NOT_CONNECTED = "not connected"
    DETACHED = "detached"
    STEP = "integer, comparison or step"
    DEAD_MASK = "dead mask"
    CLIPPED = "clipped"
    KINK = "kink"
    ZERO_WEIGHT = "zero weight"
    STATIONARY = "stationary point"
    SATURATED = "saturated"
    UNDERFLOW = "underflow"
    CANCELLING = "cancelling paths"
    SLOPES = "slopes"
    WEIGHTS = "weights"
    CONSTANT = "constant factor"
    AVERAGING = "averaging"
    MASK = "mask"
    TERMS = "many terms"
    OPERATION = "operation"


@dataclass(frozen=True, slots=True, eq=False)
class Finding:
    """A cause and where it is.

    Attributes:
        cause: Which of the closed list.
        says: The same in a sentence, with names and numbers.
        place: The line of the operation.
        record: The operation's record; ``None`` where there is none.
        decades: How many decades it accounts for; ``None`` for a gradient that is exactly zero.
    """

    cause: Cause
    says: str
    place: Place
    record: int | None = None
    decades: float | None = None


# --------------------------------------------------------------------------------- exactly zero


def zero(here: Run, budget: Budget, names: Names, index: int) -> Finding:
    """Why the gradient of a leaf is exactly zero.

    A slope or a factor is often zero because a value is, and that value may be zero for a reason
    that lies nearer to the leaf: a dead relu makes the square behind it flat. So the walk begins
    again behind such a place, and if the gradient dies once more, that is the cause.
    """
    if index not in budget.cotangents:
        return _absent(here, names, index)
    while True:
        dead, finding = _death(budget, names, index)
        if finding.cause is Cause.NOT_CONNECTED:  # what was passed on belongs to something else
            return _better(finding, _forward_death(budget, names, index))
        if finding.cause not in (Cause.STATIONARY, Cause.ZERO_WEIGHT) or dead == index:
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
                else _Edge(budget, names, arrival).finding()
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
                edge = _Edge(budget, names, Arrival(record.index, position, -math.inf))
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


def _absent(here: Run, names: Names, index: int) -> Finding:
    """Why nothing leads from a leaf to the loss by edges with a derivative."""
    tape, name = here.tape, names.of(index)
    records = tape.records
    reached = {index}
    for record in records:
        if record.op is not None and any(a in reached for a in _args(record)):
            reached.add(record.index)
    if isinstance(here.output, Traced):
        needed = {here.output.index}
        for record in reversed(records):
            if record.index in needed:
                needed.update(_args(record))
        for record in records:
            if record.index in needed and (flat := _flat_edge(record, reached)) is not None:
                return Finding(
                    Cause.STEP,
                    f"{names.operation(record.index)} has no derivative ({flat.because}), and "
                    f"{name} reaches the loss only through it",
                    names.place(record.index), record.index,
                )  # fmt: skip
    cuts = [c for c in tape.cuts.values() if reached & c.indices]
    cuts.sort(key=lambda c: c.because.startswith("stop_gradient"))
    if cuts:
        cut = cuts[-1]
        detached = cut.because.startswith("stop_gradient")
        says = (
            f"stop_gradient detaches what comes from {name}" if detached
            else f"what comes from {name} ends in {_cut(cut.because)}"
        )  # fmt: skip
        file, line = cut.place
        place = Place(file=file, line=line, source=linecache.getline(file, line).strip())
        return Finding(Cause.DETACHED if detached else Cause.STEP, says, place)
    last = max(reached)
    if last == index:
        return Finding(Cause.NOT_CONNECTED, f"{here.function} never uses {name}", here.defined)
    return Finding(
        Cause.NOT_CONNECTED,
        f"{name} is used last for {names.of(last)}, which the loss does not depend on",
        names.place(last), last,
    )  # fmt: skip


def _cut(because: str) -> str:
    """Where the way of a value ends, in words."""
    operation, _, reason = because.partition(" (")
    if operation == "truncate":
        operation = "a cast to whole numbers"
    return f"{operation} ({reason}"


def _args(record: Traced) -> list[int]:
    return [a.index for a in record.args if type(a) is Traced and a.level == record.level]


def _flat_edge(record: Traced, reached: set[int]) -> Flat | None:
    for position, arg in enumerate(record.args):
        edge = record.op.edge(position) if record.op is not None else None
        if isinstance(edge, Flat) and type(arg) is Traced and arg.index in reached:
            return edge
    return None


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
            if record.op is not None and any(i in values for i in _args(record)):
                args = [
                    values.get(a.index, a.value) if type(a) is Traced else a for a in record.args
                ]
                values[record.index] = record.op.evaluate(*args, **record.attrs)
        # What is left of terms that cancel is rounding, at most.
        if np.max(np.abs(np.asarray(values[source]) - here)) > 1e-6 * np.max(np.abs(here)):
            return True
    return False


def saturated_softmax(budget: Budget, near: Collection[int]) -> int | None:
    """A softmax (``e/Σe``, or the row) at 0 and 1, of whose operations ``near`` has one."""
    for index in range(min(near), budget.loss + 1):
        record = budget.records[index]
        if record.op is None or record.op.name not in ("divide", "softmax"):
            continue
        members = _softmax_members(record)
        value = np.asarray(record.value)
        if members.isdisjoint(near) or not value.ndim or value.shape[-1] < 2:
            continue
        if np.all(np.minimum(np.abs(value), np.abs(1 - value)) < 1e-3) and np.any(value > 0.5):
            return index
    return None


def _softmax_members(record: Traced) -> set[int]:
    """The operations of a softmax that ends in this record; empty if it is none."""
    if record.op is not None and record.op.name == "softmax":
        return {record.index}
    top, below = record.args
    members = {record.index}
    while type(below) is Traced and below.op is not None and below.op.name != "sum":
        members.add(below.index)
        below = below.args[0] if below.op.name in ("index", "reshape", "broadcast_to") else None
    if type(top) is not Traced or type(below) is not Traced or below.op is None:
        return set()
    summed = below.args[0]
    if type(summed) is not Traced or not _same_exponential(top, summed):
        return set()
    members |= {below.index, top.index, summed.index, *_args(top)}
    inner = top.args[0]
    if type(inner) is Traced and inner.op is not None and inner.op.name == "subtract":
        members.update(_args(inner))
    return members


def _same_exponential(one: Traced, other: Traced) -> bool:
    """Whether both are exp of the same value."""
    if one.op is None or other.op is None or one.op.name != "exp" or other.op.name != "exp":
        return False
    return _args(one) == _args(other)


class _Edge:
    """An edge on which a cotangent that is not zero became zero."""

    def __init__(self, budget: Budget, names: Names, arrival: Arrival) -> None:
        self.budget, self.names = budget, names
        self.index, self.position = arrival.source, arrival.position
        self.record = budget.records[arrival.source]
        self.cotangent = budget.cotangents[arrival.source]
        self.moving: Any = True  # the elements of the argument that are asked about
        self.reached = ""  # which these are, in words

    def finding(self) -> Finding:
        cause, says = self._cause()
        return Finding(cause, says, self.names.place(self.index), self.index)

    def _cause(self) -> tuple[Cause, str]:
        record, op = self.record, self.record.op
        assert op is not None
        if op.joint is not None or isinstance(self.cotangent, Bundle):
            return Cause.OPERATION, f"the derivative of {self._operation} is 0 here"
        if op.edge(self.position).__class__ in ELEMENTWISE:
            return self._elementwise()
        kink = self._kink(np.ones(np.shape(record.value), bool))
        if kink is not None:
            return Cause.KINK, kink
        scaled, sizes = self._again(lambda x: x), self._again(np.abs)
        if np.any(scaled != 0):
            return Cause.UNDERFLOW, self._underflow()
        if np.any(sizes != 0):
            return (
                Cause.CANCELLING,
                f"the terms that the gradient of {self._operation} adds up cancel",
            )
        if isinstance(op.edge(self.position), Bilinear):
            other = self.names.argument(self.index, 1 - self.position)
            return Cause.ZERO_WEIGHT, f"the other factor of {self._operation}, {other}, is 0"
        if op.name in ("softmax", "log_softmax"):
            return Cause.SATURATED, f"{self._operation} has reached 0 and 1, where its slope is 0"
        return Cause.NOT_CONNECTED, f"{self._operation} passes nothing on of {self._argument}"

    # ------------------------------------------------------------------------ elementwise edges

    def _elementwise(self) -> tuple[Cause, str]:
        record, position = self.record, self.position
        depends = self.budget.active.__contains__
        g = wide(self.cotangent)
        if record.op is not None and not record.op.elementwise:
            g = wide(spread(g, *values_of(record), **record.attrs))
        slope = np.broadcast_to(local(record, position, depends).product, g.shape)
        arrives = (g != 0) & self.moving
        if np.any(arrives & (slope != 0)):
            sums = g / np.max(np.abs(g)) * np.where(arrives, slope, 0.0)
            if np.shape(record.args[position].value) != g.shape and abs(np.sum(sums)) <= (
                1e-15 * np.sum(np.abs(sums))
            ):
                return (
                    Cause.CANCELLING,
                    f"the terms that the gradient of {self._operation} adds up cancel",
                )
            return Cause.UNDERFLOW, self._underflow()
        kind = kind_of(record, position, depends)
        if kind in ("weights", "constant", "averaging"):
            return self._zero_factor()
        kink = self._kink(arrives)
        if kink is not None:
            return Cause.KINK, kink
        if isinstance(record.op and record.op.edge(position), Mask):
            return self._masked(arrives)
        return self._flat_slope(arrives)

    def _masked(self, arrives: Any) -> tuple[Cause, str]:
        op, count = self.record.op, int(np.sum(arrives))
        assert op is not None
        if op.name == "clip":
            low, high = self.record.args[1], self.record.args[2]
            outside = f"outside [{_plain(low)}, {_plain(high)}]"
            which = f"all {count:,} values of {self._argument} lie" if count > 1 else (
                f"{self._argument} lies"
            )  # fmt: skip
            return Cause.CLIPPED, f"{which} {outside}, where clip passes no gradient"
        many = f"none of the {count:,} values" if count > 1 else "nothing"
        return Cause.DEAD_MASK, f"{self._operation} passes {many} of {self._argument}{self.reached}"

    def _zero_factor(self) -> tuple[Cause, str]:
        other = self.record.args[1 - self.position]
        name = self.names.argument(self.index, 1 - self.position)
        if not isinstance(other, Traced) and np.shape(other) != () and np.any(other):
            return Cause.DEAD_MASK, f"{name} in {self._operation} is 0 wherever a gradient arrives"
        return Cause.ZERO_WEIGHT, f"the other factor of {self._operation}, {name}, is 0"

    def _flat_slope(self, arrives: Any) -> tuple[Cause, str]:
        """A slope of exactly zero: flat at a point, flat for good, or too small for the dtype."""
        record = self.record
        out = np.broadcast_to(np.asarray(record.value), arrives.shape) if (
            record.op is not None and record.op.elementwise
        ) else np.zeros(arrives.shape)  # fmt: skip
        x = np.broadcast_to(np.asarray(record.args[self.position].value), arrives.shape)
        at = np.unravel_index(np.argmax(arrives), arrives.shape)
        where = self.names.slope_at(self.index, x[at])
        if self._curved(arrives):
            return Cause.STATIONARY, f"{where} = 0: {self._argument} is where the slope is 0"
        if np.all(out[arrives] == 0):
            return Cause.UNDERFLOW, (
                f"{self._operation} of {self._argument} = {number(x[at])} underflows to 0 in "
                f"{record.dtype}, and its slope with it"
            )
        return Cause.SATURATED, (
            f"{where} rounds to 0 in {record.dtype}: {self._operation} is saturated to the last bit"
        )

    def _curved(self, arrives: Any) -> bool:
        """Whether the slope is zero at the point alone, and not a little before and behind it."""
        record, position = self.record, self.position
        op, args = record.op, list(values_of(record))
        assert op is not None
        edge, x = op.edge(position), np.asarray(args[position])
        if not op.elementwise:
            return bool(np.ptp(x) == 0) if x.size else False
        assert isinstance(edge, ELEMENTWISE)
        for side in (-1, 1):
            args[position] = (x + side * np.maximum(np.abs(x), 1) * 2.0**-7).astype(x.dtype)[()]
            with np.errstate(all="ignore"):
                out = op.evaluate(*args, **record.attrs)
                slope = np.broadcast_to(factor(edge, tuple(args), out, record.attrs), arrives.shape)
            if not np.any(np.nan_to_num(slope)[arrives] != 0):
                return False
        return True

    # --------------------------------------------------------------------------------- readings

    def _kink(self, arrives: Any) -> str | None:
        """The convention that gives 0 here, if all that arrives is at its point."""
        op = self.record.op
        assert op is not None
        for convention in op.conventions:
            with np.errstate(all="ignore"):
                try:
                    at = np.asarray(convention.at(*values_of(self.record), **self.record.attrs))
                except (TypeError, ValueError):
                    continue
            if at.size and np.all(np.broadcast_to(at, at.shape)) and np.any(arrives):
                return f"{self._operation} at {convention.where}: {convention.says}"
        return None

    def _again(self, of: Any) -> Any:
        """What leaves, computed once more in float64 from numbers of about 1, or their sizes."""
        op, record = self.record.op, self.record
        assert op is not None

        def unit(x: Any) -> Any:
            x = of(wide(x))
            return x / (np.max(np.abs(x), initial=0.0) or 1.0)

        bilinear = isinstance(op.edge(self.position), Bilinear)
        args = tuple(
            unit(a) if bilinear and i != self.position
            else wide(a) if np.asarray(a).dtype.kind == "f" else a
            for i, a in enumerate(values_of(record))
        )  # fmt: skip
        out = wide(record.value)
        with np.errstate(all="ignore"):
            found = pull(
                op, self.position, args, out, record.attrs, (unit(self.cotangent), None), False
            )
        return np.zeros(()) if found is None else wide(found[0])

    def _underflow(self) -> str:
        largest = max(float(np.max(np.abs(a))) for a in arrays(self.cotangent))
        dtype = np.asarray(self.record.args[self.position].value).dtype
        return (
            f"at {self._operation} a gradient of {number(largest)} becomes smaller than the "
            f"smallest {dtype}, {number(np.finfo(dtype).smallest_subnormal)}"
        )

    @property
    def _operation(self) -> str:
        return self.names.operation(self.index)

    @property
    def _argument(self) -> str:
        return self.names.argument(self.index, self.position)


def _plain(value: Any) -> str:
    value = value.value if isinstance(value, Traced) else value
    return number(value) if np.ndim(value) == 0 else "…"


# ------------------------------------------------------------------------------- tiny and huge


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
