"""Where in the user's code something happened: the innermost line that is not ours or NumPy's."""

from __future__ import annotations

import linecache
import sys
from functools import lru_cache
from pathlib import Path
from types import CodeType, FrameType, TracebackType

import numpy as np

_PACKAGES = (str(Path(__file__).parents[1]), str(Path(np.__file__).parent))


@lru_cache(maxsize=4096)
def _is_ours(code: CodeType) -> bool:
    """Whether a function is chainrule's or a library's own, and not the user's."""
    name = code.co_filename
    return name.startswith(_PACKAGES) or "/scipy/" in name or name.startswith("<__array_function__")


def place_of_call() -> tuple[str, int]:
    """File and line of the user's code that is being carried out."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _is_ours(frame.f_code):
        frame = frame.f_back
    return ("", 0) if frame is None else (frame.f_code.co_filename, frame.f_lineno)


def place_of_error(traceback: TracebackType | None) -> tuple[str, int] | None:
    """File and line of the user's code in which an error was raised; ``None`` if not in any."""
    found = None
    while traceback is not None:
        if not _is_ours(traceback.tb_frame.f_code):
            found = traceback.tb_frame.f_code.co_filename, traceback.tb_lineno
        traceback = traceback.tb_next
    return found


def sentence(place: tuple[str, int]) -> str:
    """The place in words: ``model.py:12: h = np.tanh(z)``."""
    file, line = place
    code = linecache.getline(file, line).strip()
    return f"{Path(file).name}:{line}" + (f": {code}" if code else "")
