"""Local derivatives of a step: the chain rule run over the operations folded into it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chainrule.chain import reverse
from chainrule.chain.edges import Carried
from chainrule.explanations.outline import Group
from chainrule.graph.node import Graph
from chainrule.graph.tape import Tape, Traced
from chainrule.run.interpreter import apply_node


def step_value(group: Group, env: Mapping[int, Any], graph: Graph | None = None) -> Any:
    """The step computed from its arguments, on whatever those are (symbols: of ``graph``)."""
    values = dict(env)
    for node in group.members:
        values[node.index] = apply_node(node, values, graph)
    return values[group.root.index]


def step_partials(
    group: Group, env: Mapping[int, Any], seed: Any = 1.0, graph: Graph | None = None
) -> dict[int, Carried]:
    """The derivative of a step with respect to each active argument, with its support.

    With several operations folded into the step, this is the sum over inner paths of products.
    """
    tape = Tape()
    traced = dict(env)
    for arg in group.active:
        traced[arg.index] = tape.input(env[arg.index])
    root = step_value(group, traced, graph)
    if not isinstance(root, Traced) or root.level != tape.level:
        return {}
    found = reverse(tape.records, {root.index: (seed, None)})
    return {
        arg.index: found[traced[arg.index].index]
        for arg in group.active
        if traced[arg.index].index in found
    }
