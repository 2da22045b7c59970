"""A local derivative as a person would write it: branches decided, signs and quotients in order."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from chainrule.explanations.simplify import TooLong, bounded, from_sympy, tame, to_sympy
from chainrule.graph.node import Graph, Node, ancestors
from chainrule.graph.rewriting import tidy
from chainrule.notation.expression import text
from chainrule.run.interpreter import evaluate_all, numpy_number

_LARGEST = 50
_SECONDS = 5.0
_COMPARISONS = frozenset(
    ("less", "less_equal", "greater", "greater_equal", "equal", "not_equal")
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Condition:
    """How two expressions compare at a point: ``z1[0] > 0``."""

    left: Any
    sign: str
    right: Any


def decided(expression: Any, numbers: Mapping[str, Any]) -> tuple[Any, tuple[Condition, ...]]:
    """The expression with every ``where`` replaced by the branch that is taken at a point.

    Returns:
        The expression, and the comparisons that decide.
    """
    if not isinstance(expression, Node):
        return expression, ()
    nodes = ancestors([expression])
    pieces = ("where", *_COMPARISONS)
    if not any(n.op is not None and n.op.name in pieces for n in nodes):
        return expression, ()
    values = evaluate_all([expression], numbers)
    graph = Graph(tidy)
    made: dict[int, Any] = {}
    said: dict[tuple[str, str], Condition] = {}
    for node in nodes:
        if node.op is None:
            made[node.index] = graph.input(node.name)
            continue
        args = tuple(made[a.index] if isinstance(a, Node) else a for a in node.args)
        if node.op.name in _COMPARISONS:
            pair = tuple(values[a.index] if isinstance(a, Node) else a for a in node.args)
            sign = "=" if pair[0] == pair[1] else "<" if pair[0] < pair[1] else ">"
            if pair[0] == pair[0] and pair[1] == pair[1]:
                said[text(args[0]), text(args[1])] = Condition(args[0], sign, args[1])
        if node.op.name == "where":
            condition = node.args[0]
            holds = values[condition.index] if isinstance(condition, Node) else condition
            made[node.index] = args[1] if bool(holds) else args[2]
        elif any(isinstance(a, Node) for a in args):
            made[node.index] = graph.apply(node.op, args, node.attrs)
        else:
            made[node.index] = node.op.evaluate(*map(numpy_number, args), **node.attrs)
    found = made[expression.index]
    if isinstance(found, Node) and found.op is not None and found.op.name in _COMPARISONS:
        found = float(values[expression.index])  # a slope that is 1 where it holds
    return found, tuple(said.values())


def readable(expression: Any) -> Any:
    """The expression as one quotient of products, where that is shorter.

    >>> p, y = map(Graph().input, "py")
    >>> text(readable((1.0 - y) / (1.0 - p) - y / p))
    '(p − y)/(p·(1 − p))'
    """
    if not isinstance(expression, Node) or not 2 < len(ancestors([expression])) <= _LARGEST:
        return expression
    try:
        found = _known(_Written(text(expression), expression))
    except TooLong:  # which may be different the next time
        return expression
    return expression if found is None else found


class _Written:
    """An expression known by how it is written."""

    __slots__ = ("expression", "written")

    def __init__(self, written: str, expression: Node) -> None:
        self.written, self.expression = written, expression

    def __hash__(self) -> int:
        return hash(self.written)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Written) and other.written == self.written


@lru_cache(maxsize=1024)
def _known(given: _Written) -> Any:
    """The shorter form; ``None`` if there is none. Explaining the same code again takes no time."""
    import sympy as sp

    best: list[Any] = []
    try:
        bounded(lambda: best.append(_arranged(sp, to_sympy(sp, given.expression))), _SECONDS)
    except (
        ArithmeticError, ValueError, TypeError, NotImplementedError, AttributeError, KeyError,
    ):  # fmt: skip
        return None
    # One product is easier to read than a sum, even if it is a little longer.
    room = 4 if _is_sum(given.expression) and best and not _is_sum(best[0]) else 0
    return best[0] if best and len(text(best[0])) <= len(given.written) + room else None


def _is_sum(expression: Any) -> bool:
    sums = ("add", "subtract")
    return isinstance(expression, Node) and expression.op is not None and expression.op.name in sums


def _arranged(sp: Any, expression: Any) -> Any:
    """A quotient of products, each sum in it with the sign that reads best."""
    if not tame(sp, expression):
        raise ValueError("powers too high to write out")
    short = min((expression, sp.factor(sp.cancel(expression))), key=sp.count_ops)
    above, below = sp.fraction(sp.factor(sp.together(short)))
    sign, top = _factors(sp, above)
    other, bottom = _factors(sp, below)
    sign *= other
    if sign < 0:
        for i, (base, power) in enumerate(top):
            if base.is_Add and power == 1 and not _constant(base):
                top[i] = sp.expand(-base), power
                sign = 1
                break
    graph = Graph(tidy)
    made = _product(sp, graph, top)
    if bottom:
        made = made / _product(sp, graph, bottom)
    return -made if sign < 0 else made


def _factors(sp: Any, product: Any) -> tuple[int, list[tuple[Any, Any]]]:
    """Bases and powers, numbers first and sums last, and the sign that was taken out."""
    sign, found = 1, []
    for factor in sp.Mul.make_args(product):
        if factor.is_number and factor.could_extract_minus_sign():
            sign, factor = -sign, -factor
        base, power = factor.as_base_exp()
        if base.is_Add and power.is_Integer and _constant(base) < 0:
            base = sp.expand(-base)
            sign *= -1 if power % 2 else 1
        if factor != 1:
            found.append((base, power))
    return sign, sorted(found, key=lambda f: 0 if f[0].is_number else 2 if f[0].is_Add else 1)


def _constant(total: Any) -> int:
    """The sign of the number in a sum; 0 if it has none."""
    number = total.as_coeff_Add()[0]
    return 0 if number == 0 else int(math.copysign(1, number))


def _product(sp: Any, graph: Graph, factors: list[tuple[Any, Any]]) -> Any:
    made: Any = None
    for base, power in factors:
        factor = from_sympy(sp, base, graph, decimal=True)
        if power != 1:
            factor = factor ** from_sympy(sp, power, graph, decimal=True)
        made = factor if made is None else made * factor
    return 1.0 if made is None else made
