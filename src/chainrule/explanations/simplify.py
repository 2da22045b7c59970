"""Simplification of displayed answers with SymPy, bounded in time.

SymPy never differentiates here and never parses: our own graph goes in, and what comes out is
turned into a graph again, so that one printer sets everything. A simplification that takes too
long is dropped and the answer shown as it is.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from chainrule.graph.node import PI, E, Graph, Node, ancestors
from chainrule.graph.operand import bind
from chainrule.graph.rational import Rational, exactly, rational
from chainrule.graph.rewriting import exact, follows
from chainrule.rules import BOOK
from chainrule.run.interpreter import evaluate

# What SymPy knows well enough to be allowed to rearrange. Everything else stays an unknown
# function to it, so that σ(z) comes out as σ(z).
_KNOWN = frozenset(
    (
        "add", "subtract", "multiply", "divide", "negative", "positive", "reciprocal", "power",
        "square", "sqrt", "exp", "log", "sin", "cos", "tan", "sinh", "cosh", "tanh", "abs", "sign",
    )
)  # fmt: skip
_LARGEST = 400
_MAX_EXPONENT = 64


class TooLong(Exception):
    """Raised inside the worker when its time is over."""


def simplified(expression: Any, seconds: float = 1.0) -> tuple[Any, str | None]:
    """``expression`` in a shorter form with the same value.

    A ``where`` is simplified branch by branch.

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
    import sympy as sp  # loading it is not part of the time the work may take

    best: list[Any] = []
    try:
        bounded(lambda: _simplify(sp, expression, best), seconds)
    except TooLong:
        if not best:
            return expression, f"not simplified: it would have taken more than {seconds:g} s"
    except (ArithmeticError, ValueError, TypeError, NotImplementedError, AttributeError, KeyError):
        return expression, "not simplified: SymPy has no form for it"
    return best[-1], None


_WORKER = "chainrule simplifies"
# How often, and how many seconds apart, a worker is told to stop: what is raised inside
# a callback of the garbage collector is lost.
_CALLS, _APART = 10, 0.05


def _stop(worker: threading.Thread) -> None:
    report = sys.unraisablehook

    def quiet(lost: Any) -> None:
        if not issubclass(lost.exc_type, TooLong):
            report(lost)

    sys.unraisablehook = quiet  # the lost ones are no news to anybody
    try:
        for _ in range(_CALLS):
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(worker.ident or 0), ctypes.py_object(TooLong)
            )
            worker.join(_APART)
            if not worker.is_alive():
                break
    finally:
        sys.unraisablehook = report


def bounded(work: Callable[[], Any], seconds: float) -> None:
    """Run ``work`` in a thread that is told to stop when its time is over.

    SymPy is not made for several threads: while one that was stopped is still busy, none is begun.
    """
    failure: list[BaseException] = []
    if any(thread.name == _WORKER and thread.is_alive() for thread in threading.enumerate()):
        raise TooLong

    def run() -> None:
        try:
            work()
        except BaseException as error:  # handed over to the caller below
            failure.append(error)

    worker = threading.Thread(target=run, name=_WORKER, daemon=True)
    worker.start()
    worker.join(seconds)
    if worker.is_alive():
        _stop(worker)
        raise TooLong
    if failure:
        raise failure[0]


def _simplify(sp: Any, expression: Node, best: list[Any]) -> None:
    """Append better and better forms to ``best``."""
    graph = Graph(exact)
    branches = _branches(expression, _MOST_CONDITIONS)
    decimal = _has_decimals(expression)
    # The leaves live in graphs of their own, so their indices say nothing: ``id`` does.
    leaves = {id(leaf): leaf for leaf in _leaves(branches) if isinstance(leaf, Node)}
    shorter = {key: to_sympy(sp, leaf) for key, leaf in leaves.items()}
    for form in _FORMS:
        for key, start in shorter.items():
            shorter[key] = min(start, form(sp, start), key=lambda e: _cost(sp, e))
        best.append(_assembled(sp, branches, shorter, graph, decimal))


_MOST_CONDITIONS = 3
_FORMS: tuple[Callable[[Any, Any], Any], ...] = (
    lambda _sp, e: e,
    lambda sp, e: sp.powsimp(e),
    lambda sp, e: sp.factor_terms(e),
    lambda sp, e: sp.cancel(e) if tame(sp, e) else e,
    lambda sp, e: sp.factor(e) if tame(sp, e) else e,
    lambda sp, e: sp.trigsimp(e),
)


def _branches(expression: Any, most: int) -> Any:
    """``(condition, if true, if false)``, nested, with no ``where`` left in the leaves."""
    nodes = ancestors([expression])
    wheres = [n for n in nodes if n.op is not None and n.op.name == "where"]
    if not wheres:
        return expression
    condition = wheres[0].args[0]
    if most == 0 or not isinstance(condition, Node):
        raise ValueError("too many branches")
    sides = (_assuming(expression, condition, truth) for truth in (True, False))
    yes, no = (_branches(side, most - 1) for side in sides)
    return condition, yes, no


def _assuming(expression: Node, condition: Node, truth: bool) -> Any:
    """The expression where the condition is known, with what follows for its sisters."""
    graph = Graph(exact)
    values: dict[int, Any] = {}
    for node in ancestors([expression]):
        known = follows(node, condition, truth)
        if known is not None:
            values[node.index] = known
        elif node.op is None:
            values[node.index] = graph.input(node.name)
        else:
            args = tuple(values[a.index] if isinstance(a, Node) else a for a in node.args)
            decided = not node.op.recorded and not any(isinstance(a, Node) for a in args)
            values[node.index] = node.op.evaluate(*args) if decided else graph.apply(node.op, args)
    return values[expression.index]


def _leaves(branches: Any) -> list[Any]:
    if not isinstance(branches, tuple):
        return [branches]
    return _leaves(branches[1]) + _leaves(branches[2])


def _assembled(sp: Any, branches: Any, shorter: dict[Any, Any], graph: Graph, decimal: bool) -> Any:
    """The simplified leaves under their conditions, in one graph."""
    if not isinstance(branches, tuple):
        leaf = shorter.get(id(branches))
        return branches if leaf is None else from_sympy(sp, leaf, graph, decimal)
    condition, yes, no = branches
    inputs = {n.name: graph.input(n.name) for n in ancestors([condition]) if n.op is None}
    test = evaluate([condition], inputs, graph)[0]
    sides = tuple(_assembled(sp, side, shorter, graph, decimal) for side in (yes, no))
    return graph.apply(BOOK["where"], (test, *sides))


def tame(sp: Any, expression: Any) -> bool:
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
    if op.name == "power" and all(a.is_Number for a in args) and _digits(sp, *args) > 300:
        raise ValueError("a constant too large to write out")
    return op.sympy(sp, *args)


def _digits(sp: Any, base: Any, exponent: Any) -> float:
    """About how many digits a constant power has."""
    return abs(float(exponent)) * abs(float(sp.log(abs(base), 10))) if base != 0 else 0.0


def _number(sp: Any, value: Any) -> Any:
    if isinstance(value, bool | np.bool_):
        return sp.Integer(int(value))
    if not np.isfinite(value):
        raise ValueError("not a finite number")
    number = exactly(value)
    return sp.Rational(number.numerator, number.denominator)


def from_sympy(sp: Any, expression: Any, graph: Graph, decimal: bool = False) -> Any:
    """A SymPy expression as a node of ``graph`` (or a float).

    Where the numbers were ``decimal``, a tenth is 0.1 and not 1/10.
    """
    done: dict[Any, Any] = _decimals(sp, expression) if decimal else {}
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


def _decimals(sp: Any, expression: Any) -> dict[Any, Rational]:
    """The broken numbers in an expression that have a short decimal form."""
    found = {}
    written = expression.atoms(sp.Rational)
    for number in written | {-n for n in written}:  # 1/x^0.1 comes as x^(−0.1)
        value = rational(float(number))
        if number.q != 1 and value.exactly == Fraction(number.p, number.q):
            found[number] = value
    return found


def _has_decimals(expression: Node) -> bool:
    constants = (a for n in ancestors([expression]) for a in n.args if not isinstance(a, Node))
    return any(getattr(rational(c), "decimal", False) for c in constants)


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
    coefficient, rest = part.as_coeff_Mul()
    if isinstance(done.get(coefficient), Rational):
        return done[coefficient] * _built(sp, graph, rest, done)
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
