"""Pytrees: nested dicts, lists, tuples, dataclasses and ``None`` with arrays at the leaves."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np

from chainrule.errors import ArgumentsError

# Types that were found to be leaves, so that they are recognised at once.
_LEAVES: set[type] = {np.ndarray, np.float64, np.float32, float, int, bool, str}
_REGISTERED: dict[type, tuple[Callable[[Any], tuple[Any, Any]], Callable[[Any, Any], Any]]] = {}


def register_pytree_node(
    nodetype: type,
    flatten_func: Callable[[Any], tuple[Iterable[Any], Any]],
    unflatten_func: Callable[[Any, tuple[Any, ...]], Any],
) -> None:
    """Make the instances of a class trees, so that one can differentiate with respect to them.

    Args:
        nodetype: The class.
        flatten_func: Gives ``(children, auxiliary)`` of an instance; the auxiliary data are kept as
            they are.
        unflatten_func: Makes an instance of ``(auxiliary, children)``.

    Raises:
        ArgumentsError: The class is a pytree already.

    Example:
        >>> import chainrule as cr
        >>> class Point:
        ...     def __init__(self, x, y):
        ...         self.x, self.y = x, y
        >>> cr.register_pytree_node(
        ...     Point, lambda p: ((p.x, p.y), None), lambda _, children: Point(*children)
        ... )
        >>> float(cr.grad(lambda p: p.x * p.y)(Point(2.0, 3.0)).x)
        3.0
    """
    if nodetype in _REGISTERED or issubclass(nodetype, dict | list | tuple):
        raise ArgumentsError(f"{nodetype.__name__} is registered as a pytree already")
    _REGISTERED[nodetype] = (flatten_func, unflatten_func)
    _LEAVES.discard(nodetype)


def _children(tree: Any) -> Sequence[Any] | None:
    """The subtrees, or ``None`` for a leaf."""
    kind = type(tree)
    if kind in _LEAVES:
        return None
    if kind is tuple or kind is list:
        return tree  # type: ignore[no-any-return]
    if tree is None:
        return ()
    if kind in _REGISTERED:
        return tuple(_REGISTERED[kind][0](tree)[0])
    if isinstance(tree, dict):
        return [tree[key] for key in _sorted_keys(tree)]
    if isinstance(tree, list | tuple):
        return tree
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        return [getattr(tree, name) for name in _given_fields(tree)]
    if kind is not type:
        _LEAVES.add(kind)
    return None


def _sorted_keys(tree: dict[Any, Any]) -> list[Any]:
    """The keys in an order that does not depend on how the dict came about; 1 and "1" are two."""
    if all(type(key) is str for key in tree):
        return sorted(tree)
    return sorted(tree, key=lambda key: (str(key), type(key).__name__))


def static_field(**options: Any) -> Any:
    """A field of a dataclass that says what it is, and is no leaf: a size, a flag, a function.

    It stays as it is where leaves are replaced. Trees with different ones are built differently, so
    ``jit`` compiles for each by itself: its value has to be hashable. The field's ``metadata`` say
    ``{"static": True}``, as in JAX.

    Args:
        options: Those of ``dataclasses.field``: ``default``, ``default_factory``, ...

    Example:
        >>> import dataclasses, chainrule as cr
        >>> @dataclasses.dataclass
        ... class Power:
        ...     scale: float
        ...     exponent: int = static_field(default=2)
        ...     def __call__(self, x):
        ...         return self.scale * x**self.exponent
        >>> cr.grad(lambda power: power(3.0))(Power(0.5))
        Power(scale=np.float64(9.0), exponent=2)
    """
    metadata = {**options.pop("metadata", {}), "static": True}
    return dataclasses.field(metadata=metadata, **options)


def _given_fields(tree: Any) -> list[str]:
    """The fields of a dataclass that hold its subtrees.

    Not those that follow from others (``init=False``), and not those that are static.
    """
    return [f.name for f in dataclasses.fields(tree) if f.init and not f.metadata.get("static")]


def _static_values(tree: Any) -> tuple[Any, ...]:
    """What the static fields of a dataclass hold."""
    fields = dataclasses.fields(tree)
    return tuple([getattr(tree, f.name) for f in fields if f.metadata.get("static")])


def _labels(tree: Any, count: int) -> list[str]:
    """How each of the subtrees is reached: ``['W']``, ``[0]``, ``.weight``."""
    if isinstance(tree, dict):
        return [f"[{key!r}]" for key in _sorted_keys(tree)]
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return [f".{name}" for name in tree._fields]
    if dataclasses.is_dataclass(tree) and type(tree) not in _REGISTERED:
        return [f".{name}" for name in _given_fields(tree)]
    return [f"[{i}]" for i in range(count)]


def _rebuild(tree: Any, children: list[Any]) -> Any:
    if tree is None:
        return None
    if type(tree) in _REGISTERED:
        flatten, unflatten = _REGISTERED[type(tree)]
        return unflatten(flatten(tree)[1], tuple(children))
    if isinstance(tree, dict):
        rebuilt = {} if type(tree) is dict else copy.copy(tree)  # a default factory, an order
        found = dict(zip(_sorted_keys(tree), children, strict=True))
        for key in tree:
            rebuilt[key] = found[key]
        return rebuilt
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*children)
    if isinstance(tree, list | tuple):
        return type(tree)(children)
    given = dict(zip(_given_fields(tree), children, strict=True))
    if not all(field.init for field in dataclasses.fields(tree)):
        return dataclasses.replace(tree, **given)
    rebuilt = copy.copy(tree)  # with what it has besides its fields
    for name, child in given.items():
        object.__setattr__(rebuilt, name, child)
    return rebuilt


def leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The name along the tree and the value of every leaf, in a fixed order.

    >>> list(leaves({"b": 2.0, "W": [1.0, None]}, "params"))
    [("params['W'][0]", 1.0), ("params['b']", 2.0)]
    """
    children = _children(tree)
    if children is None:
        yield path, tree
        return
    for label, child in zip(_labels(tree, len(children)), children, strict=True):
        yield from leaves(child, path + label)


def flatten(tree: Any) -> tuple[list[Any], Callable[[Iterable[Any]], Any]]:
    """The leaves in order, and the function that makes a tree like this of as many others.

    >>> values, rebuild = flatten({"a": (1, 2), "b": None})
    >>> rebuild(10 * v for v in values)
    {'a': (10, 20), 'b': None}
    """
    found: list[Any] = []
    layout = _collect(tree, found)

    def rebuild(values: Iterable[Any]) -> Any:
        return _refilled(layout, iter(values))

    return found, rebuild


def structure(tree: Any) -> Hashable:
    """What trees have in common that are built alike: equal for them, and hashable.

    >>> structure({"a": (1, 2)}) == structure({"a": (3.0, None)})
    False
    """
    if type(tree) in _LEAVES:
        return None
    children = _children(tree)
    if children is None:
        return None
    kind = type(tree)
    own = None
    if kind in _REGISTERED:
        own = _REGISTERED[kind][0](tree)[1]
    elif dataclasses.is_dataclass(tree):
        own = _static_values(tree)
    try:
        hash(own)
    except TypeError:
        own = repr(own)
    labels = () if kind is tuple or kind is list else tuple(_labels(tree, len(children)))
    return kind, own, labels, tuple([structure(child) for child in children])


# How a tree is built, so that nobody has to ask twice: ``None`` for a leaf; for everything else the
# tree and its children's layouts, or how many they are if all of them are leaves.
_Layout = tuple[Any, Any] | None


def _collect(tree: Any, found: list[Any]) -> _Layout:
    """Append the leaves in order; returns how the tree is built of them."""
    children = _children(tree)
    if children is None:
        found.append(tree)
        return None
    if _LEAVES.issuperset(map(type, children)):
        found.extend(children)
        return tree, len(children)
    return tree, [_collect(child, found) for child in children]


def _refilled(layout: _Layout, values: Iterator[Any]) -> Any:
    """A tree built like this with the next of the values in place of each leaf."""
    if layout is None:
        return next(values)
    tree, parts = layout
    if type(parts) is int:
        found = list(islice(values, parts))
    else:
        found = [_refilled(part, values) for part in parts]
    return tuple(found) if type(tree) is tuple else _rebuild(tree, found)


def walk(function: Callable[..., Any], tree: Any, *others: Any) -> None:
    """Call ``function`` for every leaf (with the others' leaves there), and make no tree of it.

    Raises:
        ArgumentsError: One of the others is built differently.
    """
    children = _children(tree)
    if children is None:
        function(tree, *others)
        return
    beside = [_beside(tree, children, other) for other in others]
    for i, child in enumerate(children):
        walk(function, child, *(b[i] for b in beside))


def map_leaves(function: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """The tree with every leaf replaced by ``function`` of it (and of the others' leaves there).

    Raises:
        ArgumentsError: One of the others is built differently.

    >>> map_leaves(lambda x: 2 * x, {"a": (1, 2), "b": None})
    {'a': (2, 4), 'b': None}
    """
    children = _children(tree)
    if children is None:
        return function(tree, *others)
    if not others:
        return _rebuild(tree, [map_leaves(function, child) for child in children])
    beside = [_beside(tree, children, other) for other in others]
    mapped = [
        map_leaves(function, child, *(b[i] for b in beside)) for i, child in enumerate(children)
    ]
    return _rebuild(tree, mapped)


def _beside(tree: Any, children: Sequence[Any], other: Any) -> Sequence[Any]:
    """The children of a tree that should be built like ``tree``."""
    found = _children(other)
    count = len(children)
    if found is None or len(found) != count or _labels(other, count) != _labels(tree, count):
        raise ArgumentsError(
            f"the trees do not fit each other: {_sketch(other)} where {_sketch(tree)} is expected"
        )
    return found


def _sketch(tree: Any) -> str:
    """A tree in a few words."""
    children = _children(tree)
    if tree is None or children is None:
        return "None" if tree is None else f"a leaf ({type(tree).__name__})"
    named = ", ".join(_labels(tree, len(children))) or "nothing"
    return f"a {type(tree).__name__} with {named}"


def map_named(function: Callable[[str, Any], Any], tree: Any, path: str = "") -> Any:
    """The tree with every leaf replaced by ``function`` of its name along the tree and of it.

    >>> map_named(lambda name, x: f"{name} = {x}", {"a": (1, 2)}, "p")
    {'a': ("p['a'][0] = 1", "p['a'][1] = 2")}
    """
    _, rebuild = flatten(tree)
    return rebuild([function(name, leaf) for name, leaf in leaves(tree, path)])


def map_prefix(function: Callable[[Any, Any], Any], prefix: Any, tree: Any) -> Any:
    """``function(entry, leaf)`` for every leaf; an entry of ``prefix`` holds for all below it.

    ``None`` is an entry like any other here.

    >>> map_prefix(lambda axis, x: (axis, x), (0, None), ([1, 2], 3))
    ([(0, 1), (0, 2)], (None, 3))
    """
    entries = None if prefix is None else _children(prefix)
    if entries is None:
        return map_leaves(lambda leaf: function(prefix, leaf), tree)
    children = _children(tree)
    if children is None or len(children) != len(entries):
        raise ArgumentsError(f"{_sketch(prefix)} is no prefix of {_sketch(tree)}")
    mapped = [
        map_prefix(function, entry, child) for entry, child in zip(entries, children, strict=True)
    ]
    return _rebuild(tree, mapped)
