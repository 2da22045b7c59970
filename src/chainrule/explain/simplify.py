"""Simplification of displayed answers with SymPy, bounded in time.

SymPy never differentiates here and never parses: our own graph goes in, and what comes out is
turned into a graph again, so that one printer sets everything. A simplification that takes too
long is dropped and the answer shown as it is.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.graph.node import PI, E, Graph, Node, ancestors
from chainrule.graph.operand import bind
from chainrule.graph.rewriting import exact
from chainrule.rules import BOOK

# What SymPy knows well enough to be allowed to rearrange. Everything else stays an unknown
# function to it, so that σ(z) comes out as σ(z).
_KNOWN = frozenset(
    "add subtract multiply divide negative positive reciprocal power square sqrt exp log "
    "sin cos tan sinh cosh tanh abs sign".split()
)
_LARGEST = 400
_MAX_EXPONENT = 64


class TooLong(Exception):
    """Raised inside the worker when its time is over."""


def simplified(expression: Any, seconds: float = 2.0) -> tuple[Any, str | None]:
    """``expression`` in a shorter form with the same value.

    Args:
        expression: A graph node (or a number, returned as it is).
        seconds: How long SymPy may take.

    Returns:
        The expression (a node of a graph of its own) and ``None``; or the expression unchanged and
        the reason why.
    """
    if not isinstance(expression, Node):
        return expression, None
    if len(ancestors([expression])) > _LARGEST:
        return expression, "not simplified: the expression is too large"
    try:
        return _bounded(lambda: _simplify(expression), seconds), None
    except TooLong:
        return expression, f"not simplified: it would have taken more than {seconds:g} s"
    except (ArithmeticError, ValueError, TypeError, NotImplementedError, RecursionError, AttributeError):
        return expression, "not simplified: SymPy has no form for it"


def _bounded(work: Callable[[], Any], seconds: float) -> Any:
    """Run ``work`` in a thread that is told to stop when its time is over."""
    result: dict[str, Any] = {}

    def run() -> None:
        try:
            result["value"] = work()
        except BaseException as error:  # handed over to the caller below
            result["error"] = error

    worker = threading.Thread(target=run, daemon=True)
    worker.start()
    worker.join(seconds)
    if worker.is_alive():
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(worker.ident or 0), ctypes.py_object(TooLong)
        )
        raise TooLong
    if "error" in result:
        raise result["error"]
    return result["value"]


def _simplify(expression: Node) -> Any:
    import sympy as sp

    start = to_sympy(sp, expression)
    best = start
    for form in (sp.powsimp, sp.factor_terms, _cancelled, _factored, sp.trigsimp):
        for base in {start, best}:
            candidate = form(base)
            if _cost(sp, candidate) < _cost(sp, best):
                best = candidate
    return from_sympy(sp, best)


def _cancelled(expression: Any) -> Any:
    import sympy as sp

    return sp.cancel(expression) if _tame(sp, expression) else expression


def _factored(expression: Any) -> Any:
    import sympy as sp

    return sp.factor(expression) if _tame(sp, expression) else expression


def _tame(sp: Any, expression: Any) -> bool:
    """No power so high that writing it out would fill the memory."""
    return all(
        not p.exp.is_Rational or abs(p.exp) <= _MAX_EXPONENT for p in expression.atoms(sp.Pow)
    )


def _cost(sp: Any, expression: Any) -> tuple[int, int]:
    operations = int(sp.count_ops(expression))
    return operations, len(str(expression))


def to_sympy(sp: Any, expression: Any) -> Any:
    """A graph as a SymPy expression over real symbols."""
    values: dict[int, Any] = {}
    constants = {E: sp.E, PI: sp.pi}
    for node in ancestors([expression]):
        if node.op is None:
            values[node.index] = constants.get(node.name) or sp.Symbol(node.name, real=True)
            continue
        args = [values[a.index] if isinstance(a, Node) else _number(sp, a) for a in node.args]
        values[node.index] = _apply(sp, node.op, args)
    return values[expression.index] if isinstance(expression, Node) else _number(sp, expression)


def _apply(sp: Any, op: Any, args: list[Any]) -> Any:
    if op.name not in _KNOWN:
        return sp.Function(op.name, real=True)(*args)
    if op.name == "power" and all(a.is_Number for a in args) and abs(args[1]) > _MAX_EXPONENT:
        raise ValueError("a constant too large to write out")
    return op.sympy(sp, *args)


def _number(sp: Any, value: Any) -> Any:
    if isinstance(value, bool | np.bool_):
        return sp.Integer(int(value))
    number = float(value)
    if not np.isfinite(number):
        raise ValueError("not a finite number")
    return sp.Integer(int(number)) if number.is_integer() else sp.Rational(repr(number))


def from_sympy(sp: Any, expression: Any) -> Any:
    """A SymPy expression as a graph of its own (or a float)."""
    graph = Graph(exact)
    done: dict[Any, Any] = {}
    for part in sp.postorder_traversal(expression):
        if part not in done:
            done[part] = _node(sp, graph, part, done)
    return done[expression]


def _node(sp: Any, graph: Graph, part: Any, done: dict[Any, Any]) -> Any:
    if part.is_Symbol:
        return graph.input(part.name)
    if part is sp.E or part is sp.pi:
        return graph.input(E if part is sp.E else PI)
    if part.is_Rational:
        return _rational(graph, part)
    if part.is_Add:
        return _sum(sp, graph, part, done)
    if part.is_Mul:
        return _product(sp, graph, part, done)
    if part.is_Pow:
        return _power(sp, graph, part, done)
    name = _NAMES.get(type(part).__name__, type(part).__name__)
    return graph.apply(BOOK[name], tuple(done[a] for a in part.args))


_NAMES = {"Abs": "abs"}


def _rational(graph: Graph, number: Any) -> Any:
    if number.q == 1:
        return float(number.p)
    quotient = graph.apply(BOOK["divide"], (float(abs(number.p)), float(number.q)))
    return -quotient if number.p < 0 else quotient


def _sum(sp: Any, graph: Graph, part: Any, done: dict[Any, Any]) -> Any:
    terms = part.as_ordered_terms()
    # A sum that starts with a minus sign reads worse: 1 − x, not −x + 1.
    first = next((t for t in terms if not t.could_extract_minus_sign()), terms[0])
    ordered = [first, *(t for t in terms if t is not first)]
    total = _built(sp, graph, ordered[0], done)
    for term in ordered[1:]:
        if term.could_extract_minus_sign():
            total = bind(BOOK["subtract"], (total, _built(sp, graph, -term, done)))
        else:
            total = bind(BOOK["add"], (total, _built(sp, graph, term, done)))
    return total


def _product(sp: Any, graph: Graph, part: Any, done: dict[Any, Any]) -> Any:
    if part.could_extract_minus_sign():
        return -_built(sp, graph, -part, done)
    above, below = sp.fraction(part, exact=True)
    if below != 1:
        return _built(sp, graph, above, done) / _built(sp, graph, below, done)
    factors = above.as_ordered_factors() if above.is_Mul else [above]
    total = _built(sp, graph, factors[0], done)
    for f in factors[1:]:
        total = graph.apply(BOOK["multiply"], (total, _built(sp, graph, f, done)))
    return total


def _power(sp: Any, graph: Graph, part: Any, done: dict[Any, Any]) -> Any:
    base, exponent = part.args
    if exponent.could_extract_minus_sign() and exponent.is_Rational:
        return 1.0 / _built(sp, graph, base**-exponent, done)
    if exponent == sp.Rational(1, 2):
        return graph.apply(BOOK["sqrt"], (_built(sp, graph, base, done),))
    return graph.apply(
        BOOK["power"], (_built(sp, graph, base, done), _built(sp, graph, exponent, done))
    )


def _built(sp: Any, graph: Graph, part: Any, done: dict[Any, Any]) -> Any:
    """The node of a part that arose while a larger one was being set."""
    if part not in done:
        for inner in sp.postorder_traversal(part):
            if inner not in done:
                done[inner] = _node(sp, graph, inner, done)
    return done[part]
