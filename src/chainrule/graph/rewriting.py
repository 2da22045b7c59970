"""Rewriting rules that are exact in floating point: they change how a graph reads, not its values.

``x·1 → x``, ``x + 0 → x``, ``−(−x) → x`` and the like. Nothing here drops a term that could be an
infinity or a NaN (``x·0`` stays).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chainrule.graph.node import Node
from chainrule.graph.operand import bind
from chainrule.graph.primitive import Primitive
from chainrule.graph.rational import Rational

_SCALARS = frozenset((Node, Rational, float))


def exact(op: Primitive, args: tuple[Any, ...]) -> Any:
    """Something simpler than ``op(*args)`` with the same value, or ``None``."""
    rule = _RULES.get(op.name)
    if rule is None:
        return None
    for arg in args:
        if type(arg) not in _SCALARS and getattr(arg, "ndim", None):
            return None  # arrays are left as they are
    return rule(*args)


def _is(arg: Any, number: float) -> bool:
    return type(arg) is not Node and bool(arg == number)


def _negated(arg: Any) -> Any:
    """What ``arg`` is the negative of, or ``None``."""
    if type(arg) is Node:
        op = arg.op
        return arg.args[0] if op is not None and op.name == "negative" else None
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
    if type(x) is not Node:
        if x == 1.0:
            return y
        if x == -1.0 and not _is(y, 1.0):
            return -y
    elif x.op is not None and x.op.name == "negative" and type(y) is Node:
        return -(x * inner) if (inner := _negated(y)) is not None else -(x.args[0] * y)
    if type(y) is not Node:
        if y == 1.0:
            return x
        if y == -1.0:
            return -x
        if type(x) is Node:
            inner = _negated(x)
            # The number first, as people write it.
            return y * x if inner is None else -(inner * y)
    elif (inner := _negated(y)) is not None:
        return -(x * inner)
    return None


def _divide(x: Any, y: Any) -> Any:
    if _is(y, 1.0):
        return x
    if isinstance(x, Node) and (inner := _negated(x)) is not None:
        return -(inner / y)
    return None


def _negative(x: Any) -> Any:
    return _negated(x) if isinstance(x, Node) else -x


def _power(x: Any, p: Any) -> Any:
    return x if _is(p, 1.0) else None


def _where(condition: Any, x: Any, y: Any) -> Any:
    """A known condition chooses, one put together is asked part by part, none is asked twice.

    A weight kept where it is not 0 is itself.
    """
    if not isinstance(condition, Node):
        return (x if condition else y) if getattr(condition, "ndim", 0) == 0 else None
    if condition.op is None:
        return None

    def where(c: Any, if_true: Any, if_false: Any) -> Any:
        return condition.graph.apply(_named("where"), (c, if_true, if_false))

    name, parts = condition.op.name, condition.args
    if name == "logical_not":
        return where(parts[0], y, x)
    if name in ("logical_and", "logical_or") and _questions(condition) <= _MOST_QUESTIONS:
        if name == "logical_and":
            # The later part is the branch that everything lies in: outside it, the earlier part
            # may ask about something undefined.
            return where(parts[1], where(parts[0], x, y), y)
        return where(parts[0], x, where(parts[1], x, y))
    if name == "not_equal" and _is(parts[1], 0.0) and _is(y, 0.0) and _vanishes_with(x, parts[0]):
        return x
    if x is y:
        return x
    sides = assuming(x, condition, True), assuming(y, condition, False)
    return None if sides[0] is x and sides[1] is y else _chosen(condition, *sides)


def _chosen(condition: Node, x: Any, y: Any) -> Any:
    """The choice as it stands: what its sides know already is not asked again."""
    if x is y:
        return x
    graph = condition.graph
    graph.rewrite, rewrite = None, graph.rewrite
    try:
        return graph.apply(_named("where"), (condition, x, y))
    finally:
        graph.rewrite = rewrite


def _questions(condition: Any) -> int:
    """How many comparisons a condition is put together from, counted up to the most allowed."""
    count, stack = 0, [condition]
    while stack and count <= _MOST_QUESTIONS:
        node = stack.pop()
        if isinstance(node, Node) and node.op is not None and node.op.name.startswith("logical_"):
            stack.extend(node.args)
        else:
            count += 1
    return count


def _vanishes_with(x: Any, tested: Any) -> bool:
    """Whether ``x`` is what is tested, or its sign."""
    sign = isinstance(x, Node) and x.op is not None and x.op.name == "sign"
    return x is tested or (sign and x.args[0] is tested)


_ORDERS = {
    "less": {"<"}, "less_equal": {"<", "="}, "equal": {"="},
    "greater_equal": {">", "="}, "greater": {">"}, "not_equal": {"<", ">"},
}  # fmt: skip
_LOOK_THROUGH = frozenset(("add", "subtract", "multiply", "divide", "negative"))
_DEEPEST_LOOK = 4
_MOST_QUESTIONS = 6


def assuming(value: Any, condition: Node, truth: bool, depth: int = _DEEPEST_LOOK) -> Any:
    """``value`` where the truth of a condition is known: choices just below are decided by it."""
    if not isinstance(value, Node) or value.op is None or depth == 0:
        return value
    if value.op.name == "where" and isinstance(value.args[0], Node):
        known = follows(value.args[0], condition, truth)
        if known is not None:
            return assuming(value.args[1 if known else 2], condition, truth, depth)
    elif value.op.name not in _LOOK_THROUGH:
        return value
    args = tuple(assuming(a, condition, truth, depth - 1) for a in value.args)
    if all(new is old for new, old in zip(args, value.args, strict=True)):
        return value
    if value.op.name == "where" and isinstance(args[0], Node):
        return _chosen(*args)
    return bind(value.op, args)


def follows(node: Node, condition: Node, truth: bool) -> bool | None:
    """What the condition's truth says about another comparison of the same two values."""
    if node is condition:
        return truth
    if node.op is None or condition.op is None or condition.op.name not in _ORDERS:
        return None
    if node.op.name not in _ORDERS or not all(map(_same, node.args, condition.args)):
        return None
    possible = _ORDERS[condition.op.name] if truth else set("<=>") - _ORDERS[condition.op.name]
    if possible <= _ORDERS[node.op.name]:
        return True
    return None if possible & _ORDERS[node.op.name] else False


def _same(a: Any, b: Any) -> bool:
    return a is b or (not isinstance(a, Node) and not isinstance(b, Node) and bool(a == b))


def _not_equal(x: Any, y: Any) -> Any:
    """Whether a choice between numbers is not 0 is a question about its conditions."""
    if not (_is(y, 0.0) and isinstance(x, Node) and x.op is not None):
        return None
    if x.op.name == "sign":
        return x.args[0] != 0.0
    if x.op.name != "where":
        return None
    condition, *sides = x.args
    answers = [_not_zero(side) for side in sides]
    if any(a is None for a in answers):
        return None
    return _either(condition, *answers)


def _not_zero(side: Any) -> Any:
    """Whether one side of a choice is not 0: known, or a condition, or ``None`` if unclear."""
    return _not_equal(side, 0.0) if isinstance(side, Node) else bool(side != 0)


def _either(condition: Any, if_true: Any, if_false: Any) -> Any:
    """``if_true`` where the condition holds and ``if_false`` elsewhere, for truth values."""
    if if_true is if_false:
        return if_true
    if if_true is True:
        return condition if if_false is False else condition | if_false
    if if_true is False:
        return ~condition if if_false is True else ~condition & if_false
    if if_false is True:
        return ~condition | if_true
    return condition & if_true if if_false is False else None


def _named(name: str) -> Primitive:
    """A row of the rule book, which lies above this room and fills itself in later."""
    from chainrule.rules.book import BOOK

    return BOOK[name]


_RULES: dict[str, Callable[..., Any]] = {
    "add": _add,
    "subtract": _subtract,
    "multiply": _multiply,
    "divide": _divide,
    "negative": _negative,
    "power": _power,
    "where": _where,
    "not_equal": _not_equal,
}


def tidy(op: Primitive, args: tuple[Any, ...]) -> Any:
    """``exact``, and what a person would also write differently: for expressions that are shown.

    The value is the same in real numbers, not in every last bit: numbers move to the front of a
    product, factors over a quotient into its numerator, and a twice repeated divisor is squared.
    """
    rule = _RULES.get(op.name)
    if rule is None:
        return None
    for arg in args:
        if type(arg) not in _SCALARS and getattr(arg, "ndim", None):
            return None
    simpler = rule(*args)
    if simpler is not None:
        return simpler
    rule = _TIDY_RULES.get(op.name)  # of operations that have an exact rule as well
    return None if rule is None else rule(*args)


def _tidy_product(x: Any, y: Any) -> Any:
    symbols = type(x) is Node, type(y) is Node
    if symbols[0] and (under := _parts(y, "divide")) is not None:
        return x * under[0] / under[1]
    if symbols[1] and (over := _parts(x, "divide")) is not None:
        return over[0] * y / over[1]
    return y * x if symbols == (True, True) and _scaled(y) and not _scaled(x) else None


def _scaled(arg: Any) -> bool:
    """Whether a product starts with a number."""
    parts = _parts(arg, "multiply")
    return parts is not None and not isinstance(parts[0], Node)


def _tidy_quotient(x: Any, y: Any) -> Any:
    inner = _parts(x, "divide")
    if inner is None or inner[1] is not y or not isinstance(y, Node):
        return None
    power = _parts(y, "power")
    if power is not None and not isinstance(power[1], Node):
        return inner[0] / power[0] ** (2.0 * power[1])
    return inner[0] / bind(_named("power"), (y, 2.0))


def _parts(arg: Any, name: str) -> tuple[Any, ...] | None:
    """The arguments of ``arg`` if it is an application of that primitive."""
    if type(arg) is Node and (op := arg.op) is not None and op.name == name:
        return arg.args
    return None


_TIDY_RULES: dict[str, Callable[..., Any]] = {"multiply": _tidy_product, "divide": _tidy_quotient}
