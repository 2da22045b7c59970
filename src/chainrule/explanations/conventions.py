"""Points where a derivative does not exist, and what is used there: found and said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.explanations.point import arguments, needed, somewhere
from chainrule.graph.node import Node
from chainrule.graph.primitive import Flat
from chainrule.run.interpreter import evaluate_all
from chainrule.sources.elements import element
from chainrule.sources.program import Program


@dataclass(slots=True, eq=False)
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
    op = node.op
    assert op is not None
    found = []
    if op.conventions:
        args = arguments(node, values)
        for c in op.conventions:
            if somewhere(c.at(*args)):
                found.append(Remark(node.index, f"{op.name} at {c.where}: {c.says}", True))
    edge = op.edges[0]
    if isinstance(edge, Flat) and op.name != "where":
        found.append(Remark(node.index, f"{op.name} is {edge.because}", False))
    return found


def remarks_at(
    nodes: Sequence[Node], values: Mapping[int, Any], masks: Mapping[int, Any],
    adjoints: Mapping[int, Any],
) -> list[Remark]:  # fmt: skip
    """What has to be said where elements move and the result depends on them; elsewhere it is idle.

    Args:
        nodes: The computation in order.
        values: The value of every node.
        masks: Which elements of a node move, by its index.
        adjoints: The derivative of the result with respect to a node, by its index.
    """
    found = []
    with np.errstate(all="ignore"):
        for node in nodes:
            op = node.op
            if op is None or node.index not in masks or not op.recorded:
                continue
            matters = masks[node.index] & (np.asarray(adjoints.get(node.index, 0.0)) != 0)
            if not np.any(matters):
                continue
            args = arguments(node, values)
            for c in op.conventions:
                there = np.asarray(c.at(*args))
                if somewhere(there & matters if op.elementwise else there):
                    found.append(Remark(node.index, f"{op.name} at {c.where}: {c.says}", True))
            edge = op.edges[0]
            if isinstance(edge, Flat) and op.name != "where":
                found.append(Remark(node.index, f"{op.name} is {edge.because}", False))
    return found


def isolated_branches(program: Program, at: Mapping[str, Any], wrt: Sequence[str]) -> list[Remark]:
    """Branches that are taken at this point but not on both sides of it.

    ``wrt`` are inputs, or elements of them.
    """
    choose = program.branches or (lambda point: _branches(program, point))
    here = choose(at)
    found = []
    for name in wrt if here else ():
        left, right = (choose(_beside(at, name, sign)) for sign in (-1, 1))
        for i, choice in here.items():
            same = [i in side and np.array_equal(side[i], choice) for side in (left, right)]
            if not all(same):
                found.append(_branch_remark(i, any(same), name, at.get(name)))
    return found


def _beside(at: Mapping[str, Any], name: str, sign: int) -> dict[str, Any]:
    """The point with an input, or one element of it, moved a little to one side."""
    place = element(name, at)
    leaf = name if place is None else place.leaf
    value = np.array(at[leaf], dtype=float)
    index = ... if place is None or not place.index else place.index
    value[index] += sign * 1e-7 * np.where(value[index] == 0, 1.0, np.abs(value[index]))
    return {**at, leaf: value[()]}


def _branches(program: Program, at: Mapping[str, Any]) -> dict[int, Any]:
    """Which branch each ``where`` of a formula takes."""
    if not any(n.op is not None and n.op.name == "where" for n in program.graph.nodes):
        return {}
    with np.errstate(all="ignore"):
        values = evaluate_all([program.output], at)
    return {
        node.index: arguments(node, values)[0]
        for node in needed(program.output, values)
        if node.op is not None and node.op.name == "where"
    }


def _branch_remark(index: int, one_side: bool, name: str, value: Any) -> Remark:
    numeric = np.ndim(value) == 0 and isinstance(value, float)
    where = f"{name} = {value:g}" if numeric else f"this {name}"
    says = (
        f"branch: {where} is the end of a branch; the derivative of the branch taken was used"
        if one_side
        else f"branch: {where} is an isolated point of a condition; the derivative of the branch "
        "taken there was used, which need not be the derivative of the function"
    )
    return Remark(index, says, True)
