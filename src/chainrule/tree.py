"""Pytrees: nested dicts, lists, tuples, dataclasses and ``None`` with arrays at the leaves."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any


def _children(tree: Any) -> list[tuple[str, Any]] | None:
    """Label and subtree of each child, or ``None`` for a leaf."""
    if tree is None:
        return []
    if isinstance(tree, dict):
        return [(f"[{key!r}]", tree[key]) for key in sorted(tree, key=str)]
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return [(f".{name}", child) for name, child in zip(tree._fields, tree, strict=True)]
    if isinstance(tree, list | tuple):
        return [(f"[{i}]", child) for i, child in enumerate(tree)]
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        return [(f".{f.name}", getattr(tree, f.name)) for f in dataclasses.fields(tree)]
    return None


def _rebuild(tree: Any, children: list[Any]) -> Any:
    if tree is None:
        return None
    if isinstance(tree, dict):
        return dict(zip(sorted(tree, key=str), children, strict=True))
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*children)
    if isinstance(tree, list | tuple):
        return type(tree)(children)
    names = [f.name for f in dataclasses.fields(tree)]
    return dataclasses.replace(tree, **dict(zip(names, children, strict=True)))


def leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The name along the tree and the value of every leaf, in a fixed order.

    >>> list(leaves({"b": 2.0, "W": [1.0, None]}, "params"))
    [("params['W'][0]", 1.0), ("params['b']", 2.0)]
    """
    children = _children(tree)
    if children is None:
        yield path, tree
        return
    for label, child in children:
        yield from leaves(child, path + label)


def map_leaves(function: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """The tree with every leaf replaced by ``function`` of it (and of the others' leaves there).

    >>> map_leaves(lambda x: 2 * x, {"a": (1, 2), "b": None})
    {'a': (2, 4), 'b': None}
    """
    children = _children(tree)
    if children is None:
        return function(tree, *others)
    beside = [[child for _, child in _children(other) or []] for other in others]
    mapped = [
        map_leaves(function, child, *(b[i] for b in beside))
        for i, (_, child) in enumerate(children)
    ]
    return _rebuild(tree, mapped)
