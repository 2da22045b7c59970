"""The reference evaluator: one node after the other, on whatever the inputs are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from chainrule.graph.node import PI, E, Graph, Node, ancestors
from chainrule.graph.operand import Operand, bind
from chainrule.graph.rational import rational

CONSTANTS = {E: math.e, PI: math.pi}


def evaluate(
    outputs: Sequence[Any], inputs: Mapping[str, Any], graph: Graph | None = None
) -> list[Any]:
    """Compute ``outputs`` from ``inputs`` by name: arrays, traced values or nodes of another graph.

    With ``graph``, operations on constants alone become nodes of it and are not carried out, and
    constants are the numbers they are written as, so that a third stays a third.

    >>> x = Graph().input("x")
    >>> float(evaluate([x * x + 1.0], {"x": 3.0})[0])
    10.0
    """
    values = evaluate_all(outputs, inputs, graph)
    return [values[o.index] if isinstance(o, Node) else o for o in outputs]


def evaluate_all(
    outputs: Sequence[Any], inputs: Mapping[str, Any], graph: Graph | None = None
) -> dict[int, Any]:
    """The value of every node that ``outputs`` depend on, by the node's index.

    e and π have their values unless ``inputs`` says otherwise (symbols stay symbols that way).
    """
    values: dict[int, Any] = {}
    for node in ancestors(outputs):
        if node.op is None:
            given = inputs.get(node.name)
            values[node.index] = numpy_number(CONSTANTS[node.name] if given is None else given)
        else:
            values[node.index] = apply_node(node, values, graph)
    return values


def apply_node(node: Node, values: Mapping[int, Any], graph: Graph | None = None) -> Any:
    """One operation on the values of its arguments."""
    assert node.op is not None
    if graph is None:
        args = tuple([values[a.index] if type(a) is Node else a for a in node.args])
        if not any(type(a) is Node for a in node.args):
            args = tuple(map(numpy_number, args))
        return bind(node.op, args, node.attrs)
    args = tuple([values[a.index] if type(a) is Node else rational(a) for a in node.args])
    owner = graph
    for arg in args:
        if type(arg) is Node:
            owner = arg.graph
        elif isinstance(arg, Operand):  # not symbols by themselves: the innermost one decides
            return bind(node.op, args, node.attrs)
    return owner.apply(node.op, args, node.attrs)


def numpy_number(value: Any) -> Any:
    """A Python float as NumPy's: those do not raise at a pole or become complex."""
    return np.float64(value) if type(value) is float else value
