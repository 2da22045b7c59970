"""A program: a computation as explanations want it, wherever it came from.

Formulas and traced Python functions both arrive here as a graph in topological order, with the
names and source lines that their author gave to the values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from chainrule.graph.node import Graph, Node
from chainrule.sources.names import Place


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """A computation with one result.

    Attributes:
        title: The formula as written, or the function's name.
        graph: Its nodes in topological order.
        output: The result: a node, or a plain number if it depends on nothing.
        output_name: The author's name for it, if there is one.
        variables: Names of the inputs in order of appearance.
        defined: The names that a formula with several definitions gives, in its order.
        names: The author's name of a node, by the node's index.
        places: Where a node was computed, by the node's index.
        values: The values of all nodes and inputs, where the program ran already.
        readings: How ambiguous places of a formula were read.
        function: The program as a plain function of its inputs by name, for checks from outside.
        branches: Which branch is taken at each choice, by the node's index, at a given point.
        given: Arrays among the arguments that are no floats (labels, masks), by name.
    """

    title: str
    graph: Graph
    output: Node | float
    output_name: str | None
    variables: tuple[str, ...]
    defined: tuple[str, ...] = ()
    names: Mapping[int, str] = field(default_factory=dict)
    places: Mapping[int, Place] = field(default_factory=dict)
    values: Mapping[int, Any] | None = None
    readings: tuple[str, ...] = ()
    function: Callable[[Mapping[str, Any]], Any] | None = None
    branches: Callable[[Mapping[str, Any]], Mapping[int, Any]] | None = None
    given: Mapping[str, Any] = field(default_factory=dict)
