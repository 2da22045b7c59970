"""What ``stop_gradient`` holds constant is held when the function is called beside the point too.

A derivative with stopped parts is that of the function whose stopped parts keep the values they
have at the point. Difference quotients of anything else would contradict a right derivative.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np


class Held:
    """The stopped values of a function's run at the point, used again in its runs beside it."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._known = False
        self._next = 0

    @contextmanager
    def during_call(self) -> Iterator[None]:
        """While the function is called: the first time at the point, then beside it."""
        outer, _current.held = _current.held, self
        self._next = 0
        try:
            yield
            self._known = True
        finally:
            _current.held = outer

    def take(self, value: Any) -> Any:
        """The value of the next stopped part: the one at the point, where that is known.

        Where the run takes another way than at the point, there is none of the same shape, and the
        value of this run is used.
        """
        if not self._known:
            self.values.append(value)
            return value
        number, self._next = self._next, self._next + 1
        if number < len(self.values) and np.shape(self.values[number]) == np.shape(value):
            return np.array(self.values[number])[()]
        return value


class _Current(threading.local):
    """Whose call is being carried out in a thread."""

    held: Held | None = None


_current = _Current()


def held(value: Any) -> Any:
    """``value``, or what it was at the point if a derivative is being checked."""
    return value if _current.held is None else _current.held.take(value)
