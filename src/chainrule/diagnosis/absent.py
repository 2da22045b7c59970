"""Why nothing leads from a leaf to the loss by edges with a derivative."""

from __future__ import annotations

import linecache

from chainrule.diagnosis.budget import arguments_of
from chainrule.diagnosis.causes import Cause, Finding
from chainrule.diagnosis.naming import Names
from chainrule.diagnosis.run import Run
from chainrule.graph.primitive import Flat
from chainrule.graph.tape import Traced
from chainrule.sources.names import Place


def absent(here: Run, names: Names, index: int) -> Finding:
    """Why nothing leads from a leaf to the loss by edges with a derivative."""
    tape, name = here.tape, names.of(index)
    records = tape.records
    reached = {index}
    for record in records:
        if record.op is not None and any(a in reached for a in arguments_of(record)):
            reached.add(record.index)
    if isinstance(here.output, Traced):
        needed = {here.output.index}
        for record in reversed(records):
            if record.index in needed:
                needed.update(arguments_of(record))
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


def _flat_edge(record: Traced, reached: set[int]) -> Flat | None:
    for position, arg in enumerate(record.args):
        edge = record.op.edge(position) if record.op is not None else None
        if isinstance(edge, Flat) and type(arg) is Traced and arg.index in reached:
            return edge
    return None
