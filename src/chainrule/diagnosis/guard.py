"""``nan_guard``: results are looked at, and the step is made again only when one is bad."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable
from contextvars import Token
from types import TracebackType
from typing import Any, Literal

from chainrule.chain.supports import plain_products
from chainrule.diagnosis.report import BadValues
from chainrule.errors import ArgumentsError, BadValueError
from chainrule.graph.places import depth_of_call
from chainrule.graph.unusual import Unusual
from chainrule.transforms.watching import Call, Watcher, watcher

Action = Literal["raise", "warn"] | Callable[[BadValues], Any]


class BadValueWarning(RuntimeWarning):
    """A NaN or an infinity in a result, inside of ``nan_guard(action="warn")``."""


class nan_guard:
    """While it is entered, a NaN or an infinity in a result says where it was born.

    The results of ``grad``, ``value_and_grad``, ``vjp``, ``jvp``, ``linearize``, ``jacobian``,
    ``hessian``, ``hvp`` and of functions made by ``jit`` are looked at when the call is done: one
    pass over the numbers. Only if one is bad, the function is called again with everything
    recorded, and the report names the operation, the user's line, the numbers that met there, what
    hid them from the value, and a change of the code that was tried out.

    The function has to be one that can be called again: without effects, and with its random
    numbers passed in (or drawn from a generator that is made inside). Only results count: an
    infinity on the way, such as the −∞ of a mask, is nobody's business as long as they are finite.
    Auxiliary results (``has_aux``) are not looked at.

    A guard belongs to the context that entered it (``contextvars``): other threads do not see it,
    and a guard can be entered inside of another one.

    Args:
        action: ``"raise"`` a ``BadValueError``, ``"warn"`` with a ``BadValueWarning``, or a
            function that takes the report.
        supports: ``False`` computes derivatives without supports, as other libraries do, to see why
            a gradient is NaN there.

    Attributes:
        reports: The reports so far.

    Raises:
        BadValueError: A result has a NaN or an infinity (with ``action="raise"``). Its ``report``
            has everything as data.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> with cr.nan_guard(action=print):
        ...     cr.grad(lambda x: np.sqrt(x) + 1)(4.0)
        np.float64(0.25)
        >>> with cr.nan_guard() as guard:
        ...     try:
        ...         cr.grad(lambda x: np.sqrt(x) + 1)(0.0)
        ...     except ArithmeticError as error:
        ...         print(error.report.birth.operation, error.report.birth.pair)
        sqrt ∞·1
    """

    def __init__(self, action: Action = "raise", *, supports: bool = True) -> None:
        if action not in ("raise", "warn") and not callable(action):
            raise ArgumentsError(
                f"nan_guard: action is 'raise', 'warn' or a function of the report, not {action!r}"
            )
        self.reports: list[BadValues] = []
        self._action = action
        self._supports = supports
        self._entered: list[tuple[Token[Watcher | None], contextlib.ExitStack]] = []

    def __enter__(self) -> nan_guard:
        stack = contextlib.ExitStack()
        stack.enter_context(Unusual())
        if not self._supports:
            stack.enter_context(plain_products())
        self._entered.append((watcher.set(self), stack))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:  # fmt: skip
        token, stack = self._entered.pop()
        watcher.reset(token)
        stack.close()

    def told(self, call: Call) -> None:
        """A call gave a bad number: find out why, and say so."""
        from chainrule.diagnosis.birth import examine

        report = examine(call)
        self.reports.append(report)
        if callable(self._action):
            self._action(report)
        elif self._action == "warn":
            warnings.warn(f"\n{report}", BadValueWarning, stacklevel=depth_of_call())
        else:
            raise BadValueError(report)
