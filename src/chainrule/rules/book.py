"""The book itself: how a row is written down, and where it is looked up.

``define`` enters a row and connects it to the NumPy function, the Python operator and the SciPy
function that mean it, so that a new primitive is one row and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any

import numpy as np

from chainrule.graph.node import Graph, Node
from chainrule.graph.operand import (
    FUNCTIONS,
    METHODS,
    NO_ATTRS,
    SCIPY_UFUNCS,
    UFUNCS,
    Operand,
    concrete,
)
from chainrule.graph.primitive import Convention, Domain, Edge, Notation, Primitive

BOOK: dict[str, Primitive] = {}


def define(
    name: str,
    evaluate: Callable[..., Any],
    *edges: Edge,
    text: str | None = None,
    latex: str | None = None,
    operator: str | None = None,
    scipy: str | None = None,
    domain: tuple[Callable[..., Any], str] | None = None,
    conventions: tuple[Convention, ...] = (),
    **facts: Any,
) -> Primitive:
    """Enter one row.

    Args:
        name: The rule-book name.
        evaluate: The value on arrays. A ufunc is connected so that calling it records the row.
        edges: One per argument.
        text: How it is written: a function name or a template; the row's name when left out.
        latex: The same in LaTeX.
        operator: The Python operator that means it (``"add"`` for ``+``).
        scipy: Its name in ``scipy.special``, if it lives there.
        domain: A test on the arguments, and the same in words.
        conventions: What is used where the derivative does not exist.
        facts: Further fields of ``Primitive``.

    Raises:
        ValueError: The name is in the book already.
    """
    if name in BOOK:
        raise ValueError(f"the rule book has a row {name!r} already")
    text = text or name
    notation = Notation(text, latex or (text if "{" in text else rf"\operatorname{{{text}}}"))
    row = Primitive(
        name,
        _scalars(evaluate) if isinstance(evaluate, FunctionType) else evaluate,
        edges,
        notation,
        domain=Domain(*domain) if domain else None,
        conventions=conventions,
        **facts,
    )
    BOOK[name] = row
    if isinstance(evaluate, np.ufunc):
        UFUNCS[evaluate] = row
    if operator:
        _connect_operator(row, operator)
    if scipy:
        SCIPY_UFUNCS[scipy] = row
    return row


def _scalars(evaluate: Callable[..., Any]) -> Callable[..., Any]:
    """``evaluate`` with a NumPy scalar for every array of no dimensions, as ufuncs have it."""

    def evaluated(*args: Any, **attrs: Any) -> Any:
        value = evaluate(*args, **attrs)
        return value if type(value) is np.ndarray and value.ndim else value[()]

    return evaluated


def _connect_operator(row: Primitive, operator: str) -> None:
    """Make Python's operator on any operand mean ``row``."""


    def unary(self: Operand) -> Any:
        return self.apply(row, (self,), NO_ATTRS)

    # What ``bind`` does, in one call less: arithmetic is what computations are made of.
    def binary(self: Operand, other: Any) -> Any:
        if isinstance(other, Operand) and other.level > self.level:
            return other.apply(row, (self, other), NO_ATTRS)
        return self.apply(row, (self, other), NO_ATTRS)

    def reflected(self: Operand, other: Any) -> Any:
        if isinstance(other, Operand) and other.level > self.level:
            return other.apply(row, (other, self), NO_ATTRS)
        return self.apply(row, (other, self), NO_ATTRS)

    setattr(Operand, f"__{operator}__", unary if len(row.edges) == 1 else binary)
    if len(row.edges) == 2 and row.recorded:
        setattr(Operand, f"__r{operator}__", reflected)


def constant(value: float, build: Callable[[Graph], Any]) -> Callable[[Any], Any]:
    """A number that a rule needs, such as ln 2: exact where the computation is symbolic.

    Returns:
        A function of any argument of the rule: the float beside numbers, and beside symbols the
        expression that ``build`` makes in their graph, which can be evaluated to any precision.
    """

    def beside(like: Any) -> Any:
        symbol = concrete(like)
        return build(symbol.graph) if isinstance(symbol, Node) else value

    return beside


def numpy_function(*functions: Callable[..., Any], method: str | None = None) -> Callable[..., Any]:
    """Decorate an adapter: what a call of these NumPy functions does with an operand.

    The adapter has the NumPy function's signature and binds a row, its attributes in normal form.
    """

    def connect(adapter: Callable[..., Any]) -> Callable[..., Any]:
        for function in functions:
            FUNCTIONS[function] = adapter
        adapter.__qualname__ = f"np.{functions[0].__name__}"  # what Python's TypeErrors name
        if method:
            METHODS[method] = adapter
        return adapter

    return connect
