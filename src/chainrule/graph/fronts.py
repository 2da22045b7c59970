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
from typing import Any, Protocol

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
# All originals at once: as they are in NumPy's namespace now, and as they were the last time.
_pick: Callable[[Any], tuple[Any, ...]] | None = None
_known: tuple[Any, ...] = ()


def _know_originals() -> None:
    """Make the fronts of NumPy's functions, anew where somebody has put others in their place."""
    global _pick, _known  # noqa: PLW0603 - made when all fronts are known
    if _pick is not None and _pick(_NAMES) == _known:
        return
    _pick = itemgetter(*FRONTS)
    _known = _pick(_NAMES)
    _originals.update(zip(FRONTS, _known, strict=True))
    for name, original in _originals.items():
        _dispatchers[name] = _front(original, FRONTS[name])


class Computation(Protocol):
    """A run of a function: the tape that records it, or the batch that it computes."""

    level: int
    # Whether one run of the function stands for many: its body must not change what is outside.
    staged: bool

    def constant(self, value: Any) -> Any:
        """A plain array as a part of the computation, to be assigned to."""


class _Stack(local):
    """The computations that are going on in a thread, the innermost last."""

    def __init__(self) -> None:
        self.runs: list[fronts] = []


_stack = _Stack()


def innermost() -> fronts | None:
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
    """While a function is traced: NumPy's creation functions take traced values.

    Attributes:
        computation: The run of the function.
        begun: How many records the tapes around it had when it began, by their level.
    """

    __slots__ = ("_runs", "begun", "computation")

    begun: dict[int, int]

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
        self._runs = runs = _stack.runs
        self.begun = {}
        for run in runs:
            if hasattr(run.computation, "records"):
                self.begun[run.computation.level] = len(run.computation.records)
        runs.append(self)

    def __exit__(self, *_error: object) -> None:
        global _inside  # noqa: PLW0603
        self._runs.pop()
        with _lock:
            _inside -= 1
            if _inside == 0:
                _NAMES.update(_originals)
                for owner, name, _, original in METHOD_FRONTS:
                    setattr(owner, name, original)
