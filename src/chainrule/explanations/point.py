"""A program at a point: every value, or a clear word about the step that has none."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from chainrule.errors import FormulaError
from chainrule.graph.node import Graph, Node, ancestors
from chainrule.notation.expression import text
from chainrule.run.interpreter import evaluate_all
from chainrule.sources.program import Program

Describe = Callable[[Node], str]


def values_at(program: Program, at: Mapping[str, Any], describe: Describe) -> dict[int, Any]:
    """The value of every node at a point, in float64.

    Raises:
        FormulaError: A step that the result needs is outside its domain, or overflows.
    """
    with np.errstate(all="ignore"):
        values = evaluate_all([program.output], at)
        trouble = _trouble(program, values)
    if trouble is not None:
        node, what = trouble
        raise FormulaError(f"{what} in {describe(node)}")
    return values


def needed(output: Any, values: Mapping[int, Any]) -> list[Node]:
    """The nodes that the result depends on here: of a ``where``, only the branch that is taken."""
    nodes = ancestors([output])
    if not any(n.op is not None and n.op.name == "where" for n in nodes):
        return nodes
    found: dict[int, Node] = {}
    stack = [output]
    while stack:
        node = stack.pop()
        if node.index not in found:
            found[node.index] = node
            stack.extend([a for a in _followed(node, values) if type(a) is Node])
    return [found[i] for i in sorted(found)]


def _followed(node: Node, values: Mapping[int, Any]) -> tuple[Any, ...]:
    if node.op is None or node.op.name != "where":
        return node.args
    condition, x, y = node.args
    chosen = values[condition.index] if isinstance(condition, Node) else condition
    if np.ndim(chosen):
        return node.args
    return (condition, x if chosen else y)


def _trouble(program: Program, values: Mapping[int, Any]) -> tuple[Node, str] | None:
    """The first step, in order, that has no finite real value."""
    for node in needed(program.output, values):
        if node.op is None:
            continue
        args = arguments(node, values)
        value = values[node.index]
        if node.op.domain is not None and not everywhere(node.op.domain.test(*args)):
            written = node.op.notation.text
            name = node.op.name if "{" in written else written
            says = f"is outside the domain: {name} needs {node.op.domain.says},"
            return node, f"{_written(node, args)} {says}"
        if not finite(value) and all(finite(a) for a in args):
            return node, f"{_written(node, args)} overflows float64"
    return None


def finite(value: Any) -> bool:
    """Whether a number, or every element of an array, is finite."""
    return math.isfinite(value) if isinstance(value, float) else everywhere(np.isfinite(value))


def everywhere(condition: Any) -> bool:
    """Whether a condition holds, for every element if there are several."""
    return bool(condition if type(condition) is np.bool_ else np.all(condition))


def somewhere(condition: Any) -> bool:
    """Whether a condition holds, for any element if there are several."""
    return bool(condition if type(condition) is np.bool_ else np.any(condition))


def arguments(node: Node, values: Mapping[int, Any]) -> tuple[Any, ...]:
    """The values of a node's arguments."""
    return tuple([values[a.index] if type(a) is Node else a for a in node.args])


def _written(node: Node, args: tuple[Any, ...]) -> str:
    """The step with its arguments' values put in: ``ln(−3)``."""
    rounded = tuple(float(f"{float(a):.10g}") if np.ndim(a) == 0 else a for a in args)
    graph = Graph()
    anchor = graph.apply(node.op, rounded, node.attrs) if node.op is not None else node
    return text(anchor)
