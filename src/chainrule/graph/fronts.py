"""Functions that NumPy does not let us answer: ``np.array([u, v])`` of traced values.

``np.array`` asks each element for plain numbers and has no protocol for "a traced one". While a
function is being traced, these few names of NumPy's namespace therefore stand for functions that
look for operands first, and call NumPy's own for everything else.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Any

import numpy as np

from chainrule.graph.operand import Operand

# By the name in NumPy: what to do with an argument that is or holds an operand.
FRONTS: dict[str, Callable[..., Any]] = {}

_lock = RLock()
_inside = 0
_originals: dict[str, Callable[..., Any]] = {}
_dispatchers: dict[str, Callable[..., Any]] = {}


def holds_operand(value: Any) -> bool:
    """Whether a value is an operand, or a nested list of things of which one is."""
    if isinstance(value, list | tuple):
        return any(map(holds_operand, value))
    return isinstance(value, Operand)


def _front(original: Callable[..., Any], adapter: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def dispatched(*args: Any, **kwargs: Any) -> Any:
        if any(map(holds_operand, args)):
            return adapter(*args, **kwargs)
        return original(*args, **kwargs)

    return dispatched


@contextmanager
def fronts() -> Iterator[None]:
    """While a function is traced: NumPy's creation functions take traced values."""
    global _inside  # noqa: PLW0603 - how many traces are running, in all threads
    with _lock:
        if _inside == 0:
            for name, adapter in FRONTS.items():
                original = getattr(np, name)
                if _originals.get(name) is not original:
                    _originals[name], _dispatchers[name] = original, _front(original, adapter)
                setattr(np, name, _dispatchers[name])
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                for name, original in _originals.items():
                    setattr(np, name, original)
