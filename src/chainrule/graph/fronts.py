"""What holds while a function runs: NumPy's creation functions, and which computation is innermost.

``np.array`` asks each element for plain numbers and has no protocol for "a traced one". While a
function is being traced, these few names of NumPy's namespace therefore stand for functions that
look for operands first, and call NumPy's own for everything else.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from operator import itemgetter
from threading import RLock, local
from typing import Any, NamedTuple, Protocol

import numpy as np

from chainrule.graph.operand import CREATORS, Operand

# By the name in NumPy: what to do with an argument that is or holds an operand.
FRONTS: dict[str, Callable[..., Any]] = {}

# Methods of NumPy's classes in the same position: class, name, what stands there, and NumPy's own.
METHOD_FRONTS: list[tuple[type, str, Callable[..., Any], Callable[..., Any]]] = []

# NumPy's namespace; all names of a run are exchanged in one go.
_NAMES = vars(np)
_lock = RLock()
_inside = 0
_originals: dict[str, Callable[..., Any]] = {}
_dispatchers: dict[str, Callable[..., Any]] = {}
# All originals at once, as they are in NumPy's namespace now.
_pick: Callable[[Any], tuple[Any, ...]] | None = None


def _know_originals() -> None:
    """Make the fronts of NumPy's functions, anew where somebody has put others in their place."""
    global _pick  # noqa: PLW0603 - made when all fronts are known
    if _pick is not None and _pick(_NAMES) == tuple(_originals.values()):
        return
    _pick = itemgetter(*FRONTS)
    _originals.update(zip(FRONTS, _pick(_NAMES), strict=True))
    for name, original in _originals.items():
        _dispatchers[name] = _front(original, FRONTS[name])


class Computation(Protocol):
    """A run of a function: the tape that records it, or the batch that it computes."""

    level: int
    # Whether one run of the function stands for many: its body must not change what is outside.
    staged: bool

    def constant(self, value: Any) -> Any:
        """A plain array as a part of the computation, to be assigned to."""


class Running(NamedTuple):
    """A computation that is going on.

    Attributes:
        computation: It.
        begun: How many records the tapes around it had when it began, by their level.
    """

    computation: Computation
    begun: dict[int, int]


class _Stack(local):
    """The computations that are going on in a thread, the innermost last."""

    def __init__(self) -> None:
        self.runs: list[Running] = []


_stack = _Stack()


def innermost() -> Running | None:
    """The innermost computation that is going on in this thread."""
    return _stack.runs[-1] if _stack.runs else None


def holds_operand(value: Any) -> bool:
    """Whether a value is an operand, or a nested list of things of which one is."""
    if isinstance(value, list | tuple):
        return any(map(holds_operand, value))
    return isinstance(value, Operand)


def _front(original: Callable[..., Any], adapter: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def dispatched(*args: Any, **kwargs: Any) -> Any:
        if kwargs and isinstance(kwargs.get("like"), Operand):
            # NumPy would hand this over under the name of the front, which nobody knows.
            return CREATORS[original](kwargs.pop("like"), *args, **kwargs)
        if any(map(holds_operand, args)) or any(map(holds_operand, kwargs.values())):
            return adapter(*args, **kwargs)
        return original(*args, **kwargs)

    return dispatched


class fronts:
    """While a function is traced: NumPy's creation functions take traced values."""

    __slots__ = ("computation",)

    def __init__(self, computation: Computation) -> None:
        self.computation = computation

    def __enter__(self) -> None:
        global _inside  # noqa: PLW0603 - how many traces are running, in all threads
        with _lock:
            if _inside == 0:
                _know_originals()
                _NAMES.update(_dispatchers)
                for owner, name, front, _ in METHOD_FRONTS:
                    setattr(owner, name, front)
            _inside += 1
        runs = _stack.runs
        begun = {}
        for run in runs:
            if hasattr(run.computation, "records"):
                begun[run.computation.level] = len(run.computation.records)
        runs.append(Running(self.computation, begun))

    def __exit__(self, *_error: object) -> None:
        global _inside  # noqa: PLW0603
        _stack.runs.pop()
        with _lock:
            _inside -= 1
            if _inside == 0:
                _NAMES.update(_originals)
                for owner, name, _, original in METHOD_FRONTS:
                    setattr(owner, name, original)
