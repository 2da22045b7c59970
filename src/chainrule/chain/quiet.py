"""NumPy's warnings switched off, at the cost of setting one variable.

``np.errstate`` works out anew each time what to set. It keeps its settings in a context variable,
so they can be worked out once, in a context of their own, and put in place where they are needed.
"""

from __future__ import annotations

from contextvars import Context, Token
from typing import Any

import numpy as np


class _Quietly:
    """``np.errstate(all="ignore")`` by the variable in which NumPy keeps it."""

    __slots__ = ("token",)

    def __enter__(self) -> None:
        self.token: Token[Any] = _variable.set(_ignoring)

    def __exit__(self, *_error: object) -> None:
        _variable.reset(self.token)


def _errstate() -> Any:
    return np.errstate(all="ignore")


_context = Context()
_context.run(np.seterr, all="ignore")
_settings = list(_context.items())
# A NumPy that keeps its settings elsewhere is asked in its own words.
quietly: Any = _Quietly if len(_settings) == 1 else _errstate
_variable: Any
_ignoring: Any
_variable, _ignoring = _settings[0] if _settings else (None, None)
