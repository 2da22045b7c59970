"""The tokens that the stages of the reader hand to each other, and how they complain."""

from __future__ import annotations

from typing import NamedTuple

from chainrule.errors import FormulaError
from chainrule.sources.formula.vocabulary import Function

OPENERS: dict[str, str] = {
    "LPAR": "RPAR",
    "LBRACKET": "RBRACKET",
    "LBRACE": "RBRACE",
    "LBAR": "RBAR",
    "LFLOOR": "RFLOOR",
    "LCEIL": "RCEIL",
    "LSUPER": "RSUPER",
}
"""Each opening bracket and the closing one that belongs to it."""

CLOSERS = frozenset(OPENERS.values())

OPERAND_ENDS = CLOSERS | {"NUMBER", "NAME", "WORD"}
"""What can stand at the end of an operand; anything else still waits for one."""

INFIX = frozenset({"TIMES", "DIVIDE", "PLUS", "MINUS", "COMPARISON", "COMMA", "EQUALS"})


class _Fields(NamedTuple):
    kind: str
    text: str
    start: int
    end: int
    subscript: str = ""
    whole: bool = False
    function: Function | None = None
    glued: bool = False


class Token(_Fields):
    """A piece of the formula: a terminal of the grammar, and where it stands in the text.

    Args:
        kind: The terminal of ``grammar.lark`` (or ``WORD`` and ``BAR``, which stages replace).
        text: What it says, in plain characters and without a subscript.
        start: Offset of its first character in the formula.
        end: Offset behind its last character.
        subscript: What stands below: ``max`` in ``x_max``, ``2`` in ``log_2``.
        whole: A word that is never split into letters, such as a LaTeX command.
        function: What a function word means.
        glued: Cut out of a longer word, or one ``=`` for ``==``: it deserves a sentence.
    """

    __slots__ = ()

    def __str__(self) -> str:
        return self.text


def wrong(
    message: str, start: int, end: int | None = None, hint: str | None = None
) -> FormulaError:
    """An error that points at ``start`` to ``end``; ``parse`` adds the text it points into."""
    length = max(1, (start + 1 if end is None else end) - start)
    return FormulaError(message, position=start, length=length, hint=hint)
