"""The graph: the same computation as symbols, with no values yet.

Formulas become graphs, and a derivative taken over symbols is a graph again. Equal nodes are one
node (keyed by dtype and bytes, so that 0.0 is not −0.0 and 1 is not 1.0): a sub-expression written
twice is one step.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from chainrule.graph.operand import NO_ATTRS, Attrs, Operand
from chainrule.graph.primitive import Primitive
from chainrule.graph.rational import Rational

# Inputs that every graph may use and whose values everybody knows.
E = "<e>"
PI = "<pi>"

_FLOAT64, _BOOL = np.dtype(np.float64), np.dtype(np.bool_)

Rewrite = Callable[[Primitive, tuple[Any, ...]], Any]


class Node(Operand):
    """A named input, or a primitive applied to nodes and constants."""

    __slots__ = ("args", "attrs", "graph", "index", "name", "op")
    symbol = True
    level = 0

    def __init__(
        self, graph: Graph, op: Primitive | None, args: tuple[Any, ...], attrs: Attrs, name: str
    ) -> None:
        self.graph = graph
        self.op = op
        self.args = args
        self.attrs = attrs
        self.name = name
        self.index = len(graph.nodes)
        graph.nodes.append(self)

    # Symbols are scalars until shapes are inferred for compiled code.
    shape: tuple[int, ...] = ()
    ndim = 0
    size = 1

    @property
    def dtype(self) -> np.dtype[Any]:
        """Boolean for conditions, float64 for everything else."""
        return _FLOAT64 if self.op is None or self.op.recorded else _BOOL

    def apply(self, primitive: Primitive, args: tuple[Any, ...], attrs: Attrs) -> Any:
        """The node for ``primitive`` of ``args`` in this graph."""
        return self.graph.apply(primitive, args, attrs)

    def __repr__(self) -> str:
        if self.op is None:
            return self.name
        args = ", ".join(f"%{a.index}" if isinstance(a, Node) else repr(a) for a in self.args)
        return f"%{self.index} = {self.op.name}({args})"

    def __bool__(self) -> bool:
        raise TypeError("a symbol has no truth value: write np.where(condition, a, b)")


class Graph:
    """Nodes in topological order. ``rewrite`` may replace an application by something simpler."""

    def __init__(self, rewrite: Rewrite | None = None) -> None:
        self.nodes: list[Node] = []
        self.inputs: dict[str, Node] = {}
        self.rewrite = rewrite
        self._interned: dict[Any, Node] = {}
        # What the node that was asked about last depends on: the result of a program is asked about
        # at every stage of its explanation.
        self.asked: tuple[Node | None, list[Node]] = None, []

    def input(self, name: str) -> Node:
        """The input of that name, made if it is new."""
        if name not in self.inputs:
            self.inputs[name] = Node(self, None, (), NO_ATTRS, name)
        return self.inputs[name]

    def apply(self, primitive: Primitive, args: tuple[Any, ...], attrs: Attrs = NO_ATTRS) -> Any:
        """The node for ``primitive`` of ``args``; the same node when it was asked for before."""
        parts: list[Any] = [primitive.name]
        for arg in args:
            parts.append(arg.index if type(arg) is Node else _key(arg))
        if attrs:
            parts.append(repr(attrs))
        key = tuple(parts)
        node = self._interned.get(key)
        if node is None:
            if self.rewrite is not None and not attrs:
                simpler = self.rewrite(primitive, args)
                if simpler is not None:
                    return simpler
            node = self._interned[key] = Node(self, primitive, args, attrs, "")
        return node


def _key(arg: Any) -> Any:
    if type(arg) is float:
        return arg.hex()  # as good as its bytes, and much faster to get
    if type(arg) is Rational:
        return arg.ratio
    array = np.asarray(arg)
    return (type(arg).__name__, array.dtype.str, array.shape, array.tobytes())


def ancestors(outputs: Sequence[Any], stop: Collection[int] = ()) -> list[Node]:
    """Every node that ``outputs`` depend on, in topological order; not to be changed.

    Nodes whose index is in ``stop`` are included, what lies behind them is not.
    """
    stack = [o for o in outputs if type(o) is Node]
    if stop or len(stack) != 1:
        return _ancestors(stack, stop)
    (output,) = stack
    asked, answer = output.graph.asked
    if asked is not output:
        answer = _ancestors(stack, stop)
        output.graph.asked = output, answer
    return answer


def _ancestors(stack: list[Node], stop: Collection[int]) -> list[Node]:
    found: dict[int, Node] = {}
    while stack:
        node = stack.pop()
        index = node.index
        if index not in found:
            found[index] = node
            if index not in stop:
                for arg in node.args:
                    if type(arg) is Node and arg.index not in found:
                        stack.append(arg)
    return [found[i] for i in sorted(found)]
