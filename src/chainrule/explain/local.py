"""Local derivatives of a step: the chain rule run over the operations folded into it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chainrule.chain import reverse
from chainrule.explain.outline import Group
from chainrule.graph.node import Node
from chainrule.graph.operand import bind
from chainrule.graph.tape import Tape, Traced


def step_value(group: Group, env: Mapping[int, Any]) -> Any:
    """The step computed from its arguments, on whatever those are."""
    values = dict(env)
    for node in group.members:
        if node.op is not None:
            args = tuple([values[a.index] if isinstance(a, Node) else a for a in node.args])
            values[node.index] = bind(node.op, args, node.attrs)
        elif node.index not in values:
            values[node.index] = env[node.index]
    return values[group.root.index]


def step_partials(group: Group, env: Mapping[int, Any], seed: Any = 1.0) -> dict[int, Any]:
    """The derivative of a step with respect to each active argument, by the argument's index.

    With several operations folded into the step, this is the sum over inner paths of products.
    """
    tape = Tape()
    traced = dict(env)
    for arg in group.active:
        traced[arg.index] = tape.input(env[arg.index])
    root = step_value(group, traced)
    if not isinstance(root, Traced) or root.level != tape.level:
        return {}
    found = reverse(tape.records, {root.index: (seed, None)})
    return {
        arg.index: found[traced[arg.index].index][0]
        for arg in group.active
        if traced[arg.index].index in found
    }
