"""Points where a derivative does not exist, and what is used there: found and said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.explain.point import arguments, needed
from chainrule.graph.node import Node
from chainrule.graph.primitive import Flat
from chainrule.run.interpreter import evaluate_all
from chainrule.sources.program import Program


@dataclass(frozen=True, slots=True)
class Remark:
    """A sentence about one node; ``singular`` if the derivative may not exist there."""

    node: int
    says: str
    singular: bool


def remarks(program: Program, values: Mapping[int, Any], active: set[int]) -> list[Remark]:
    """What has to be said about the conventions used at this point."""
    found = []
    with np.errstate(all="ignore"):
        for node in needed(program.output, values):
            if node.op is not None and node.index in active and node.op.recorded:
                found.extend(_at_node(node, values))
    return found


def _at_node(node: Node, values: Mapping[int, Any]) -> list[Remark]:
    args = arguments(node, values)
    op = node.op
    assert op is not None
    found = [
        Remark(node.index, f"{op.name} at {c.where}: {c.says}", True)
        for c in op.conventions
        if np.any(_holds(c.at, args))
    ]
    edge = op.edges[0]
    if isinstance(edge, Flat) and op.name != "where":
        found.append(Remark(node.index, f"{op.name} is {edge.because}", False))
    return found


def _holds(test: Any, args: tuple[Any, ...]) -> Any:
    return np.asarray(test(*args), dtype=bool)


def isolated_branches(
    program: Program, at: Mapping[str, float], wrt: tuple[str, ...]
) -> list[Remark]:
    """Branches of ``where`` that are taken at this point and not on both sides of it."""
    here = _choices(program, at)
    if not here:
        return []
    found = []
    for name in wrt:
        step = 1e-7 * max(1.0, abs(at[name]))
        left = _choices(program, {**at, name: at[name] - step})
        right = _choices(program, {**at, name: at[name] + step})
        for index, choice in here.items():
            sides = (left.get(index) == choice) + (right.get(index) == choice)
            if sides < 2:
                found.append(_branch_remark(index, sides, name, at[name]))
    return found


def _choices(program: Program, at: Mapping[str, float]) -> dict[int, bool]:
    """Which branch each ``where`` takes."""
    with np.errstate(all="ignore"):
        values = evaluate_all([program.output], at)
    return {
        node.index: bool(arguments(node, values)[0])
        for node in needed(program.output, values)
        if node.op is not None and node.op.name == "where" and np.ndim(arguments(node, values)[0]) == 0
    }


def _branch_remark(index: int, sides: int, name: str, value: float) -> Remark:
    where = f"{name} = {value:g}"
    says = (
        f"where: {where} is an isolated point of its condition; the derivative of the branch "
        "taken there was used, which need not be the derivative of the function"
        if sides == 0
        else f"where: {where} is the end of a branch; the derivative of the branch taken was used"
    )
    return Remark(index, says, True)
