"""Rates multiply: the chain rule with difference quotients, before the limit is taken.

Each edge gets the quotient of differences instead of the derivative. Arguments change one after
the other, so that the quotients of a step add up to its whole change, and products along paths
summed over paths give Δy/Δx *exactly*, not only in the limit. Where an argument does not change
at all (Δu = 0) the derivative stands in, as in the rigorous proof.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from chainrule.errors import FormulaError
from chainrule.explanations.local import step_value
from chainrule.explanations.outline import Group
from chainrule.explanations.solution import Quotient, Quotients, Step
from chainrule.explanations.worked import Work
from chainrule.run.interpreter import evaluate_all


def quotients_of(
    work: Work, steps: Sequence[Step], variable: str, limit: float, deltas: Sequence[float]
) -> Quotients:
    """Difference quotients of every step for a shrinking change of ``variable``.

    Raises:
        FormulaError: A displaced point is outside the domain of the formula.
    """
    columns = [_column(work, variable, d, steps) for d in deltas]
    edges = [
        (s.name, p.of, p.value)
        for s in steps
        for p in s.partials
        if (s.name, p.of) in columns[0][0]
    ]
    return Quotients(
        variable,
        tuple(deltas),
        tuple(
            Quotient(name, of, tuple(c[0][(name, of)] for c in columns), float(value))
            for name, of, value in edges
        ),
        tuple(c[1] for c in columns),
        tuple(c[2] for c in columns),
        limit,
    )


def _column(
    work: Work, variable: str, delta: float, steps: Sequence[Step]
) -> tuple[dict[tuple[str, str], float], float, float]:
    """Every edge's quotient for one Δ, what they give together, and Δy/Δx itself."""
    assert work.at is not None
    assert work.values is not None
    with np.errstate(all="ignore"):
        moved = evaluate_all(
            [work.program.output], {**work.at, variable: work.at[variable] + delta}
        )
    _inside(moved, variable, work.at[variable] + delta)
    slopes = {(s.name, p.of): p.value for s in steps for p in s.partials}
    before = work.values
    quotients: dict[tuple[str, str], float] = {}
    total: dict[str, float] = {variable: 1.0}
    for group in work.outline.steps:
        parts = _quotients(group, before, moved, work.outline.names, slopes)
        quotients |= {edge: q for edge, q in parts.items() if edge[1] in total}
        reached = [q * total[of] for (_, of), q in parts.items() if of in total]
        if reached:
            total[group.name] = sum(reached)
    root = work.outline.steps[-1].root.index
    direct = (float(moved[root]) - float(before[root])) / delta
    return quotients, total.get(work.result, 0.0), direct


def _quotients(
    group: Group,
    before: Mapping[int, Any],
    after: Mapping[int, Any],
    names: Mapping[int, str],
    slopes: Mapping[tuple[str, str], Any],
) -> dict[tuple[str, str], float]:
    """Change the arguments of a step one after the other and divide."""
    env = {a.index: before[a.index] for a in group.args}
    found = {}
    value = float(step_value(group, env))
    for arg in group.active:
        change = float(after[arg.index]) - float(before[arg.index])
        env[arg.index] = after[arg.index]
        with np.errstate(all="ignore"):
            now = float(step_value(group, env))
        edge = (group.name, names[arg.index])
        found[edge] = (now - value) / change if change else float(slopes.get(edge, 0.0))
        value = now
    return found


def _inside(values: Mapping[int, Any], variable: str, moved: float) -> None:
    if not all(np.all(np.isfinite(v)) for v in values.values()):
        raise FormulaError(
            f"the formula has no value at {variable} = {moved:g}, where Δ leads",
            hint="Give a smaller --delta, or a negative one.",
        )
