"""Local derivatives of a step: the chain rule run over the operations folded into it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chainrule.chain import reverse
from chainrule.chain.edges import Carried, pull
from chainrule.chain.modes import add_path
from chainrule.explanations.outline import Group
from chainrule.graph.node import Graph, Node
from chainrule.graph.operand import bind
from chainrule.graph.rational import rational
from chainrule.graph.tape import Tape, Traced
from chainrule.run.interpreter import apply_node


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

    With several operations folded into the step, this is the sum over inner paths of products.
    """
    if len(group.members) == 1 and group.root.op is not None and group.root.op.recorded:
        return _pulled(group, env, seed, graph)
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


def _pulled(
    group: Group, env: Mapping[int, Any], seed: Any, graph: Graph | None
) -> dict[int, Carried]:
    """The same for a step of one operation, whose edges need no tape to be walked."""
    root = group.root
    assert root.op is not None
    constant = unchanged if graph is None else rational
    args = tuple([env[a.index] if type(a) is Node else constant(a) for a in root.args])
    out = env.get(root.index)
    if out is None:
        out = bind(root.op, args, root.attrs)
    active = {a.index for a in group.active}
    found: dict[int, Carried] = {}
    for position, arg in enumerate(root.args):
        if isinstance(arg, Node) and arg.index in active:
            part = pull(root.op, position, args, out, root.attrs, (seed, None))
            add_path(found, arg.index, part)
    return found


def unchanged(constant: Any) -> Any:
    """A constant beside numbers is the number that it is."""
    return constant
