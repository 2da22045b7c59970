"""The syntax tree of a formula: what the grammar builds and the graph is made from.

Trees can be deep (a sum of ten thousand terms leans to the left), so nothing here recurses:
walk them with ``postorder``. Nobody changes a tree; the classes are not frozen because a frozen
instance takes five times as long to make.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(slots=True, eq=False, repr=False)
class Number:
    """A literal: ``text`` as written (``3``, ``0.5``, ``1e-3``)."""

    text: str
    start: int = 0
    end: int = 0


@dataclass(slots=True, eq=False, repr=False)
class Name:
    """A variable, a parameter, a defined name, or one of the constants ``e`` and ``pi``."""

    name: str
    start: int = 0
    end: int = 0


@dataclass(slots=True, eq=False, repr=False)
class Call:
    """A function of the rule book (by its rule-book name) or a defined function, applied."""

    function: str
    args: tuple[Expression, ...]
    start: int = 0
    end: int = 0


Expression = Number | Name | Call


@dataclass(slots=True, eq=False, repr=False)
class Definition:
    """``name = body``, ``name(parameters) = body``, or a bare ``body`` (name ``None``)."""

    name: str | None
    parameters: tuple[str, ...]
    body: Expression
    start: int = 0
    end: int = 0


@dataclass(slots=True, eq=False, repr=False)
class Formula:
    """One or more definitions, and a sentence for each place that could be read in two ways."""

    text: str
    definitions: tuple[Definition, ...]
    readings: tuple[str, ...]


def postorder(root: Expression) -> Iterator[Expression]:
    """Every node of the tree, arguments before the call that takes them."""
    backwards: list[Expression] = []
    stack = [root]
    while stack:
        node = stack.pop()
        backwards.append(node)
        if type(node) is Call:
            stack.extend(node.args)
    return reversed(backwards)
