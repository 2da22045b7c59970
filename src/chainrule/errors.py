"""The errors: what went wrong, where in the reader's own text, and what to do instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chainrule.diagnosis.report import BadValues


class ChainruleError(Exception):
    """Base class of every error that chainrule raises on purpose."""

    place: str | None = None

    def locate(self, place: str) -> None:
        """Say in which line of the user's code it happened, unless that is known already."""
        if self.place is None:
            self.place = place

    def __str__(self) -> str:
        said = super().__str__()
        return said if self.place is None else f"{said}\n  at {self.place}"


class FormulaError(ChainruleError, ValueError):
    """A formula that cannot be read, or cannot be evaluated where it was asked for.

    Args:
        message: One sentence: what is wrong.
        text: The formula as it was given, if the error points into it.
        position: Offset of the offending character in ``text``.
        length: How many characters are offending.
        hint: What to do instead.
    """

    def __init__(
        self,
        message: str,
        text: str | None = None,
        position: int | None = None,
        length: int = 1,
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.text = text
        self.position = position
        self.length = length
        self.hint = hint

    def __str__(self) -> str:
        return "\n".join(filter(None, [self.message, self.pointer(), self.hint]))

    def pointer(self, width: int = 72) -> str | None:
        """The offending piece of the formula with a caret under it, cut to ``width`` columns."""
        if self.text is None or self.position is None:
            return None
        start = max(0, min(self.position, len(self.text)) - width // 2)
        excerpt = "".join(c if c.isprintable() else "�" for c in self.text[start : start + width])
        before = "…" if start else ""
        after = "…" if start + width < len(self.text) else ""
        column = len(before) + self.position - start
        carets = "^" * max(1, min(self.length, width - (self.position - start)))
        return f"  {before}{excerpt}{after}\n  {' ' * column}{carets}"


class NotDifferentiableError(ChainruleError, TypeError):
    """A derivative was asked for where there is none: an integer input, a missing rule, ..."""


class ArgumentsError(ChainruleError, TypeError):
    """The arguments do not fit the parameters of the function, or the options those of a call."""


class TraceError(ChainruleError, TypeError):
    """A traced value was used in a way that would lose its gradient."""


class BadValueError(ChainruleError, FloatingPointError):
    """A result has a NaN or an infinity, inside of ``nan_guard``.

    Attributes:
        report: Where it was born, as data.
    """

    def __init__(self, report: BadValues) -> None:
        super().__init__(f"\n{report}")
        self.report = report
