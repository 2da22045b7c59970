"""Remarks: the derivation that belongs to an idiom, in the program's names and at its values."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.explanations.idioms.derivations import COLLAPSES, SLOPES, Derivation, Line, Written
from chainrule.explanations.idioms.functions import SIGMOID, SOFTMAX, TOTAL
from chainrule.graph.node import Graph, Node
from chainrule.graph.operand import bind

if TYPE_CHECKING:
    from chainrule.explanations.idioms.idiom import Argument, Idiom

# A number like 1/128 in front is written as a division, if it is that.
_MOST_DIVISOR = 10**9


@dataclass(frozen=True, eq=False)
class Remark:
    """The derivative of an idiom (or of two that meet) and what it simplifies to.

    Attributes:
        idiom: The outer idiom.
        inner: The inner idiom's function, where two meet.
        derivation: The lines, as they are for any arguments.
        of: The node that is differentiated with respect to; ``None`` for a constant.
        error: The largest difference between a line and the next at the program's values, relative
            to their size; ``None`` without values. Lines that do not hold here are not among them.
        lines: The lines that hold here.
    """

    idiom: Idiom
    inner: str | None
    derivation: Derivation
    of: Node | None

    @property
    def says(self) -> str:
        """The result in words."""
        return self.derivation.says

    @cached_property
    def lines(self) -> tuple[Line, ...]:
        """The lines as far as they hold: one may need labels that add up to 1."""
        found = []
        for line in self.derivation.lines:
            if line.needs is not None and self._values is not None:
                with np.errstate(all="ignore"):
                    missing = np.max(np.abs(self._evaluated(line.needs)))
                if not missing <= 1e-6:
                    break
            found.append(line)
        return tuple(found)

    @cached_property
    def values(self) -> tuple[Any, ...]:
        """The value of each line at the program's point; empty without one."""
        if self._values is None:
            return ()
        with np.errstate(all="ignore"):
            return tuple(self._evaluated(line.expression) for line in self.lines)

    @cached_property
    def value(self) -> Any:
        """The derivative of the root: the last line's value, times the number in front."""
        return None if not self.values else self.idiom.scale * self.values[-1]

    @cached_property
    def error(self) -> float | None:
        """How far the lines are apart at the program's values."""
        if not self.values:
            return None
        worst = 0.0
        size = max(float(np.max(np.abs(self.values[-1]), initial=0.0)), 1e-300)
        for one, other in zip(self.values, self.values[1:], strict=False):
            worst = max(worst, float(np.max(np.abs(one - other), initial=0.0)) / size)
        return worst

    def expressions(self, graph: Graph, names: Mapping[int, str]) -> list[tuple[Any, str]]:
        """Each line as an expression in the program's names, with its reason.

        Args:
            graph: Takes the expressions.
            names: What nodes are called; roles stand for those that are not.
        """
        symbols: dict[str, Any] = {a.role: _symbol(graph, a, names) for a in self.idiom.arguments}
        inner = self._inner_argument
        if inner is not None:
            symbols["z"] = _symbol(graph, inner, names)
        own = names.get(self.idiom.root.index)
        symbols["out"] = graph.input(own) if own else self.idiom.expression(graph, names)
        if "p" not in symbols and "z" in symbols:
            function = SOFTMAX if self.idiom.function.axes else SIGMOID
            symbols["p"] = graph.apply(function, (symbols["z"],))
        symbols |= self.idiom.numbers
        symbols["n"] = float(self.idiom.elements)
        symbols["total"] = lambda x: bind(TOTAL, (x,))
        found = [(_called(line.expression, symbols), line.reason) for line in self.lines]
        scale = self.idiom.scale
        if scale != 1.0 and found:
            found.append(_multiplied(found[-1][0], scale))
        return found

    # ----------------------------------------------------------------------------------- values

    @cached_property
    def _inner_argument(self) -> Argument | None:
        if self.inner is None or self.of is None:
            return None
        from chainrule.explanations.idioms.idiom import Argument

        return Argument("z", self.of, 1.0, None)

    @cached_property
    def _values(self) -> dict[str, Any] | None:
        arguments = self.idiom.arguments
        if any(a.value is None for a in arguments):
            return None
        values = {a.role: np.asarray(a.value) for a in arguments}
        values |= {name: np.asarray(number) for name, number in self.idiom.numbers.items()}
        axes = self.idiom.axes if self.inner is None else self.idiom.inner_axes
        values["total"] = lambda x: np.sum(x, axis=axes, keepdims=True)  # type: ignore[assignment]
        values["n"] = np.asarray(float(self.idiom.elements))
        for name, written in self.derivation.given.items():
            if name not in values:
                with np.errstate(all="ignore"):
                    values[name] = _called(written, values)
        if "out" not in values:
            function, numbers = self.idiom.function, list(self.idiom.numbers.values())
            given = [a.value for a in arguments]
            values["out"] = np.asarray(function.evaluate(*given, *numbers))
        return values

    def _evaluated(self, written: Written) -> Any:
        assert self._values is not None
        return _called(written, self._values)


def remark_on(idiom: Idiom) -> Remark | None:
    """The derivation for an idiom: with the idiom of its argument, if the two simplify."""
    for role, inner in idiom.inner.items():
        derivation = COLLAPSES.get((idiom.name, role, inner))
        if derivation is not None:
            return Remark(idiom, inner, derivation, idiom.behind.get(role))
    derivation = SLOPES.get(idiom.name)
    if derivation is None:
        return None
    node = next((a.node for a in idiom.arguments if a.role == derivation.wrt), None)
    return Remark(idiom, None, derivation, node)


def _symbol(graph: Graph, argument: Argument, names: Mapping[int, str]) -> Any:
    from chainrule.explanations.idioms.idiom import times

    node = argument.node
    if node is None:
        value = argument.value
        return float(value) if value is not None and np.ndim(value) == 0 else graph.input("y")
    symbol: Any = graph.input(names.get(node.index) or node.name or argument.role)
    return times(argument.factor, symbol)


def scaled_expression(idiom: Idiom, graph: Graph, names: Mapping[int, str]) -> Any:
    """An idiom as a function of its arguments, summed and with the number in front: Σ(BCE)/5."""
    written = idiom.expression(graph, names)
    if idiom.summed:
        written = bind(TOTAL, (written,))
    return written if idiom.scale == 1.0 else _multiplied(written, idiom.scale)[0]


def _called(written: Written, given: Mapping[str, Any]) -> Any:
    return written(*[given[name] for name in inspect.signature(written).parameters])


def _multiplied(expression: Any, scale: float) -> tuple[Any, str]:
    """The last line with the number that stands in front of the idiom."""
    number, rest = 1.0, expression
    op = expression.op if isinstance(expression, Node) else None
    if op is not None and op.name == "multiply" and not isinstance(expression.args[0], Node):
        number, rest = expression.args
    divisor = 1.0 / scale
    whole = abs(divisor) < _MOST_DIVISOR and abs(divisor - round(divisor)) < 1e-9 * abs(divisor)
    reason = f"the program divides by {round(divisor)}" if whole else f"times {scale:.6g} in front"
    if abs(number * scale - 1.0) < 1e-9:
        return rest, reason
    return (expression / float(round(divisor)) if whole else scale * expression), reason
