"""Whether anybody, in any thread, has asked for something unusual: one question in place of many.

Functions that have no time to ask ask here first. Who wants plain products of the chain rule, or
results that are looked at, has a context variable of its own, which is read only then.
"""

from __future__ import annotations

from threading import Lock

asked = 0
_lock = Lock()


class Unusual:
    """While it is entered, ``asked`` is not zero."""

    def __enter__(self) -> None:
        global asked  # noqa: PLW0603 - in all threads
        with _lock:
            asked += 1

    def __exit__(self, *_error: object) -> None:
        global asked  # noqa: PLW0603
        with _lock:
            asked -= 1
