"""Rewriting rules that are exact in floating point: they change how a graph reads, not its values.

``x·1 → x``, ``x + 0 → x``, ``−(−x) → x`` and the like. Nothing here drops a term that could be an
infinity or a NaN (``x·0`` stays).
"""

from __future__ import annotations

from typing import Any

from chainrule.graph.node import Node
from chainrule.graph.primitive import Primitive


def exact(op: Primitive, args: tuple[Any, ...]) -> Any:
    """Something simpler than ``op(*args)`` with the same value, or ``None``."""
    rule = _RULES.get(op.name)
    return rule(*args) if rule is not None else None


def _is(arg: Any, number: float) -> bool:
    return not isinstance(arg, Node) and arg == number


def _negated(arg: Any) -> Any:
    """What ``arg`` is the negative of, or ``None``."""
    if isinstance(arg, Node):
        return arg.args[0] if arg.op is not None and arg.op.name == "negative" else None
    return -arg if arg < 0 else None


def _add(x: Any, y: Any) -> Any:
    if _is(x, 0.0) or _is(y, 0.0):
        return y if _is(x, 0.0) else x
    if isinstance(x, Node) and isinstance(y, Node) and _negated(y) is not None:
        return x - _negated(y)
    return None


def _subtract(x: Any, y: Any) -> Any:
    if _is(y, 0.0):
        return x
    if isinstance(x, Node) and isinstance(y, Node) and _negated(y) is not None:
        return x + _negated(y)
    return None


def _multiply(x: Any, y: Any) -> Any:
    if _is(x, 1.0) or _is(y, 1.0):
        return y if _is(x, 1.0) else x
    if _is(x, -1.0) or _is(y, -1.0):
        return -(y if _is(x, -1.0) else x)
    if isinstance(y, Node) and _negated(y) is not None:
        return -(x * _negated(y))
    if isinstance(x, Node) and _negated(x) is not None:
        return -(_negated(x) * y)
    if isinstance(x, Node) and not isinstance(y, Node):
        return y * x  # the number first, as people write it
    return None


def _divide(x: Any, y: Any) -> Any:
    if _is(y, 1.0):
        return x
    if isinstance(x, Node) and _negated(x) is not None:
        return -(_negated(x) / y)
    return None


def _negative(x: Any) -> Any:
    return _negated(x) if isinstance(x, Node) else -x


def _power(x: Any, p: Any) -> Any:
    return x if _is(p, 1.0) else None


def _where(condition: Any, x: Any, y: Any) -> Any:
    """A known condition chooses; a negated one swaps; a weight kept where it is not 0 is itself."""
    if not isinstance(condition, Node):
        return (x if condition else y) if getattr(condition, "ndim", 0) == 0 else None
    if condition.op is None:
        return None
    if condition.op.name == "logical_not":
        return condition.graph.apply(_named("where"), (condition.args[0], y, x))
    tested = condition.args[0] if condition.op.name == "not_equal" else None
    return x if tested is not None and tested is x and _is(y, 0.0) else None


def _named(name: str) -> Primitive:
    """A row of the rule book, which lies above this room and fills itself in later."""
    from chainrule.rules.book import BOOK

    return BOOK[name]


_RULES = {
    "add": _add,
    "subtract": _subtract,
    "multiply": _multiply,
    "divide": _divide,
    "negative": _negative,
    "power": _power,
    "where": _where,
}
