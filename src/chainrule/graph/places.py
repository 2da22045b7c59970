"""Where in the user's code something happened: the innermost line that is not ours or NumPy's."""

from __future__ import annotations

import linecache
import os
import re
import sys
from functools import lru_cache
from types import CodeType, FrameType, TracebackType

import numpy as np

from chainrule.errors import ChainruleError, TraceError
from chainrule.graph.operand import missing

# What NumPy says of an array of objects in a function that is made for numbers.
_OF_OBJECTS = re.compile(
    r"which has no callable|dtype\('O'\)|not supported for the input types|object arrays"
)
_PACKAGES = (os.path.dirname(os.path.dirname(__file__)), os.path.dirname(np.__file__))


@lru_cache(maxsize=4096)
def is_ours(code: CodeType) -> bool:
    """Whether a function is chainrule's or a library's own, and not the user's."""
    name = code.co_filename
    return (
        name.startswith(_PACKAGES)
        or "/scipy/" in name
        or name.startswith("<__array_function__")
        or name.endswith(".pyx")  # compiled, under a path of the machine it was compiled on
    )


def place_of_call() -> tuple[str, int]:
    """File and line of the user's code that is being carried out."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and is_ours(frame.f_code):
        frame = frame.f_back
    return ("", 0) if frame is None else (frame.f_code.co_filename, frame.f_lineno)


def depth_of_call() -> int:
    """How many frames the user's code lies above the caller: the ``stacklevel`` of a warning."""
    frame: FrameType | None = sys._getframe(1)
    depth = 1
    while frame is not None and is_ours(frame.f_code):
        frame, depth = frame.f_back, depth + 1
    return depth


def place_of_error(traceback: TracebackType | None) -> tuple[str, int] | None:
    """File and line of the user's code in which an error was raised; ``None`` if not in any."""
    found = None
    while traceback is not None:
        if not is_ours(traceback.tb_frame.f_code):
            found = traceback.tb_frame.f_code.co_filename, traceback.tb_lineno
        traceback = traceback.tb_next
    return found


def sentence(place: tuple[str, int]) -> str:
    """The place in words: ``model.py:12: h = np.tanh(z)``."""
    file, line = place
    code = linecache.getline(file, line).strip()
    return f"{os.path.basename(file)}:{line}" + (f": {code}" if code else "")


class located:
    """Errors say in which of the user's lines they happened.

    Where NumPy stumbles over a traced value in a plain array, they say what was meant.
    """

    __slots__ = ()

    def __enter__(self) -> None: ...

    def __exit__(
        self, _kind: object, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not isinstance(error, Exception):
            return
        if isinstance(error, AttributeError):
            missing(error)
        meant = _meant(error)
        place = place_of_error(traceback)
        if place is not None and isinstance(meant, ChainruleError):
            meant.locate(sentence(place))
        elif place is not None:
            _note_once(error, f"while differentiating, at {sentence(place)}")
        if meant is not error:
            raise meant.with_traceback(traceback) from None


def _meant(error: Exception) -> Exception:
    """The error that says what went wrong, where NumPy's does not."""
    if isinstance(error.__cause__, TraceError):
        return error.__cause__  # "setting an array element with a sequence"
    if isinstance(error, TypeError | AttributeError) and _in_generator(error.__traceback__):
        return TraceError(
            "np.random was given a traced value, which it would have to store in a plain array.\n"
            "Draw plain numbers and move them: mu + sigma * rng.normal(size=n) for "
            "rng.normal(mu, sigma, n), x[rng.permutation(len(x))] for rng.permutation(x). What the "
            "draw shall not be differentiated with respect to is plain after cr.stop_gradient."
        )
    if isinstance(error, TypeError) and _OF_OBJECTS.search(str(error)):
        return TraceError(
            f"NumPy was given an array of objects, which it cannot compute with ({error}).\n"
            "Make an array of traced values with np.stack([u, v]) or np.array([u, v]), without "
            "dtype=object, or fill np.zeros(n, like=x)."
        )
    return error


def _in_generator(traceback: TracebackType | None) -> bool:
    """Whether an error was raised in one of NumPy's generators of random numbers."""
    while traceback is not None:
        name = traceback.tb_frame.f_code.co_filename
        if name.endswith(".pyx") and "random" in name:
            return True
        traceback = traceback.tb_next
    return False


def _note_once(error: Exception, note: str) -> None:
    if note not in getattr(error, "__notes__", ()):
        error.add_note(note)
