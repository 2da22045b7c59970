"""An idiom: a part of a program that is a known function, written out by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from chainrule.explanations.idioms.functions import ABSOLUTE_ERROR, SQUARED_ERROR, TOTAL
from chainrule.explanations.idioms.table import Row
from chainrule.graph.node import Graph, Node
from chainrule.graph.operand import bind
from chainrule.graph.primitive import Primitive

if TYPE_CHECKING:
    from chainrule.explanations.idioms.remarks import Remark


@dataclass(frozen=True, slots=True, eq=False)
class Argument:
    """What an idiom is a function of: a number times a node, or a constant array.

    Attributes:
        role: What the idiom's definition calls it (``z``, ``y``, ``p``, …).
        node: The node, or ``None`` for a constant.
        factor: The number in front: −1 in ``1/(1 + e^z)``, which is σ(−z).
        value: Its value with the factor; ``None`` without a point.
    """

    role: str
    node: Node | None
    factor: float
    value: Any


def times(factor: float, symbol: Any) -> Any:
    """A number times a symbol, as people write it."""
    return symbol if factor == 1.0 else -symbol if factor == -1.0 else factor * symbol


@dataclass(frozen=True, eq=False)
class Idiom:
    """A part of a program that is a known function, written out by hand.

    Attributes:
        row: The row of the table: ``row.title`` is the name in words.
        root: The node whose value it is.
        arguments: What it is a function of.
        members: The nodes between the arguments and the root, the root last, in order.
        foldable: Whether nobody else uses what is inside, so that it can be shown as one step.
        numbers: Numbers of the definition by name: the slope of a leaky relu, an epsilon.
        axes: The axes that it reduces, if it does.
        scale: The number in front: 1/n where a loss is a mean.
        summed: Whether the root is the sum over elements (of a loss that is defined for one).
        elements: How many values go into the root, if it is a sum of them.
        inner: For each argument that is an idiom (or a primitive of that name) itself: its name.
        behind: The node of that inner idiom's own argument, if it has one.
        inner_axes: The axes that the inner idiom is taken over, if over some.
    """

    row: Row
    root: Node
    arguments: tuple[Argument, ...]
    members: tuple[Node, ...]
    foldable: bool
    numbers: Mapping[str, float]
    axes: tuple[int, ...] | None
    scale: float
    summed: bool
    elements: int
    inner: Mapping[str, str]
    behind: Mapping[str, Node]
    inner_axes: tuple[int, ...] | None

    @property
    def name(self) -> str:
        """The name of the function: ``sigmoid``, ``bce``, ``layer_norm``, …"""
        return self.row.function.name

    @property
    def function(self) -> Primitive:
        """The function, with its definition and the way it is written."""
        return self.row.function

    def expression(self, graph: Graph, names: Mapping[int, str]) -> Any:
        """The idiom as one function of its arguments' names: σ(z₂).

        Args:
            graph: Takes the expression.
            names: What the nodes are called; the arguments' roles stand for those that are not.
        """
        symbols = []
        for a in self.arguments:
            named = a.role if a.node is None else names.get(a.node.index, a.node.name or a.role)
            symbol: Any = graph.input(named)
            symbols.append(times(a.factor, symbol))
        written = graph.apply(self.function, tuple(symbols))
        summed = self.function in (SQUARED_ERROR, ABSOLUTE_ERROR) and self.axes
        return bind(TOTAL, (written,)) if summed else written

    @cached_property
    def remark(self) -> Remark | None:
        """What its derivative simplifies to, derived line by line; ``None`` if nothing does."""
        from chainrule.explanations.idioms.remarks import remark_on

        return remark_on(self)
