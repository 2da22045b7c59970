"""Functions written out by hand, known by name: ``1/(1 + exp(-z))`` is σ of z."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from chainrule.graph.node import Graph, Node
from chainrule.graph.tape import Traced
from chainrule.sources.program import Program


def known_function(
    records: Sequence[Traced], inside: Sequence[int], steep: Collection[int]
) -> tuple[str, int, float] | None:
    """What some operations are together.

    Args:
        records: The tape's records.
        inside: The operations in a row, by index, in order; the last is the result.
        steep: Those that the function has to contain.

    Returns:
        The name of the function, the record of its argument and the sign in front of that; ``None``
        if it is not known.
    """
    from chainrule.explanations.idioms import idioms_of

    graph = Graph()
    nodes: dict[int, Node] = {}
    values: dict[int, Any] = {}
    needed = _needed(records, inside)
    for index in needed:
        record = records[index]
        if record.op is None or index not in inside:
            nodes[index] = graph.input(f"v{index}")
        else:
            args = tuple(nodes[a.index] if type(a) is Traced else a for a in record.args)
            nodes[index] = Node(graph, record.op, args, record.attrs, "")
        values[nodes[index].index] = record.value
    program = Program(
        title="", graph=graph, output=nodes[inside[-1]], output_name=None,
        variables=tuple(graph.inputs), values=values,
    )  # fmt: skip
    behind = {node.index: index for index, node in nodes.items()}
    for idiom in reversed(idioms_of(program)):
        members = {behind[m.index] for m in idiom.members if m.index in behind}
        argument = next((a for a in idiom.arguments if isinstance(a.node, Node)), None)
        # A slope with respect to z/2 would be another number than the one with respect to z.
        if argument is not None and abs(argument.factor) == 1 and members.issuperset(steep):
            assert argument.node is not None
            return idiom.name, behind[argument.node.index], argument.factor
    return None


def _needed(records: Sequence[Traced], inside: Sequence[int]) -> list[int]:
    """The operations and what they are computed of, in order."""
    found = set(inside)
    for index in inside:
        record = records[index]
        found.update(a.index for a in record.args if type(a) is Traced)
    return sorted(found)
