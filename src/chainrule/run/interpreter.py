"""The reference evaluator: one node after the other, on whatever the inputs are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from chainrule.graph.node import PI, E, Node, ancestors
from chainrule.graph.operand import bind

CONSTANTS = {E: math.e, PI: math.pi}


def evaluate(outputs: Sequence[Any], inputs: Mapping[str, Any]) -> list[Any]:
    """Compute ``outputs`` from ``inputs`` by name: arrays, traced values or nodes of another graph.

    >>> from chainrule.graph.node import Graph
    >>> x = Graph().input("x")
    >>> evaluate([x * x + 1.0], {"x": 3.0})
    [10.0]
    """
    values = evaluate_all(outputs, inputs)
    return [values[o.index] if isinstance(o, Node) else o for o in outputs]


def evaluate_all(outputs: Sequence[Any], inputs: Mapping[str, Any]) -> dict[int, Any]:
    """The value of every node that ``outputs`` depend on, by the node's index.

    e and π have their values unless ``inputs`` says otherwise (symbols stay symbols that way).
    """
    values: dict[int, Any] = {}
    for node in ancestors(outputs):
        if node.op is None:
            given = inputs.get(node.name)
            values[node.index] = CONSTANTS[node.name] if given is None else given
        else:
            args = tuple([values[a.index] if isinstance(a, Node) else a for a in node.args])
            values[node.index] = bind(node.op, args, node.attrs)
    return values
