"""Local derivatives of a step: the chain rule run over the operations folded into it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from chainrule.chain.edges import Carried, factor, pull
from chainrule.chain.modes import add_path
from chainrule.explanations.outline import Group
from chainrule.graph.node import Graph, Node
from chainrule.graph.rational import rational
from chainrule.run.interpreter import apply_node

_SCALARS = (Node, np.float64)


def step_value(group: Group, env: Mapping[int, Any], graph: Graph | None = None) -> Any:
    """The step computed from its arguments, on whatever those are (symbols: of ``graph``)."""
    if len(group.members) == 1:
        return apply_node(group.root, env, graph)
    values = dict(env)
    for node in group.members:
        values[node.index] = apply_node(node, values, graph)
    return values[group.root.index]


def step_partials(
    group: Group, env: Mapping[int, Any], seed: Any = 1.0, graph: Graph | None = None
) -> dict[int, Carried]:
    """The derivative of a step with respect to each active argument, with its support.

    With several operations folded into the step, this is the sum over inner paths of products: the
    edges are walked from the step's value back to its arguments.

    Args:
        group: The step.
        env: The value of each argument, or a symbol of ``graph`` for it, by the node's index. What
            it holds of the operations inside is not computed again.
        seed: The cotangent of the step: 1 in the kind of numbers that ``env`` has.
        graph: The graph of the symbols, if they are symbols.
    """
    values, inner = env, group.members[:-1]
    if inner:
        values = {**env}
        for node in inner:
            if node.index not in env:
                values[node.index] = apply_node(node, values, graph)
    root, moving = group.root, {a.index for a in group.active}
    out = env.get(root.index)
    if out is None:
        out = apply_node(root, values, graph)
    for node in inner:
        assert node.op is not None
        if node.op.recorded and not moving.isdisjoint(_indices(node)):
            moving.add(node.index)
    carried: dict[int, Carried] = {}
    _pull_back(root, out, (seed, None), values, moving, graph, carried)
    for node in reversed(inner):
        here = carried.pop(node.index, None)
        if here is not None:
            _pull_back(node, values[node.index], here, values, moving, graph, carried)
    return carried


def _indices(node: Node) -> list[int]:
    return [a.index for a in node.args if type(a) is Node]


def _pull_back(
    node: Node,
    out: Any,
    here: Carried,
    values: Mapping[int, Any],
    moving: set[int],
    graph: Graph | None,
    carried: dict[int, Carried],
) -> None:
    """Carry the cotangent of one operation back to those of its arguments that move."""
    op = node.op
    assert op is not None
    if not op.recorded:
        return
    constant = unchanged if graph is None else rational
    args = tuple([values[a.index] if type(a) is Node else constant(a) for a in node.args])
    cotangent, support = here
    # What most steps are: a function of one or two scalars, or of symbols.
    scalars = type(out) in _SCALARS
    simple = scalars and op.slopes is not None and support is None and not node.attrs
    for position, arg in enumerate(node.args):
        if type(arg) is not Node or arg.index not in moving:
            continue
        part: Carried | None
        if simple and type(args[position]) in _SCALARS:
            slope = factor(op.edge(position), args, out)  # type: ignore[arg-type]
            if type(cotangent) is float and cotangent == 1.0:
                part = slope, None
            elif type(slope) is float and slope == 1.0:
                part = here
            else:
                part = cotangent * slope, None
        else:
            part = pull(op, position, args, out, node.attrs, here)
        add_path(carried, arg.index, part)


def unchanged(constant: Any) -> Any:
    """A constant beside numbers is the number that it is."""
    return constant
