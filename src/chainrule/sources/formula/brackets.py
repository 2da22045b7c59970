"""Brackets: every one finds its partner, every bar its side, and nesting has a limit.

All in one pass over the tokens, before any of them reaches the grammar: ``(((((…`` of any length
is refused here, in linear time.
"""

from __future__ import annotations

from dataclasses import dataclass

from chainrule.errors import FormulaError
from chainrule.sources.formula.tokens import CLOSERS, INFIX, OPENERS, OPERAND_ENDS, Token, wrong

DEEPEST = 200
"""How many brackets, signs, powers and functions may be inside each other."""

_BEFORE_OPERAND = frozenset({"ROOT", "FUNCTION", "POWER", "MINUS", "PLUS"})
_SAME_FACTOR = CLOSERS | {"POWER", "LSUPER"}
_FACTOR_STARTS = OPENERS.keys() | {"NUMBER", "NAME", "ROOT", "RADICAL", "FRACTION"}


def pair(tokens: list[Token]) -> tuple[list[Token], dict[int, int]]:
    """The tokens with ``BAR`` resolved to ``LBAR`` or ``RBAR``, and the partner of each opener.

    Raises:
        FormulaError: A bracket without partner, or more than ``DEEPEST`` levels of nesting.
    """
    return _Pairing(tokens).run()


@dataclass(slots=True)
class _Level:
    """An open bracket, and how deep the unfinished operand inside it is by now.

    ``depth`` counts the signs, powers and functions that the next operand is inside of;
    ``held`` is the part of it that lasts until the next operator (functions without
    parentheses reach over everything written next to each other).
    """

    opener: int
    depth: int = 0
    held: int = 0

    def deeper(self, kind: str) -> None:
        self.depth += 1
        if kind == "FUNCTION":
            self.held = self.depth

    def next_factor(self, kind: str) -> None:
        """Another operand begins: after an operator afresh, next to the last one partly."""
        if kind not in _FACTOR_STARTS:
            self.held = 0
        self.depth = self.held


class _Pairing:
    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = tokens
        self.partner: dict[int, int] = {}
        self.levels = [_Level(-1)]
        self.outside = 0
        self.previous = "START"

    def run(self) -> tuple[list[Token], dict[int, int]]:
        """Visit every token once."""
        tokens = self.tokens
        for index, token in enumerate(tokens):
            self._visit(index, token)
            self.previous = tokens[index].kind
        if len(self.levels) > 1:
            raise _unclosed(self.tokens[self.levels[-1].opener])
        return self.tokens, self.partner

    def _visit(self, index: int, token: Token) -> None:
        kind = token.kind
        if kind == "BAR":
            kind = self._side()
            token = self.tokens[index] = token._replace(kind=kind)
        level = self.levels[-1]
        operand_before = self.previous in OPERAND_ENDS
        if operand_before and kind not in _SAME_FACTOR:
            level.next_factor(kind)
        if kind in _BEFORE_OPERAND and not (operand_before and kind in INFIX):
            level.deeper(kind)
        if kind in OPENERS:
            self.outside += level.depth + 1
            self.levels.append(_Level(index))
        elif kind in CLOSERS:
            self._close(index, token)
        if self.outside + self.levels[-1].depth > DEEPEST:
            raise _too_deep(token)

    def _side(self) -> str:
        """A bar closes if a bar is open and something stands in between; otherwise it opens."""
        opener = self.levels[-1].opener
        inside_bar = opener >= 0 and self.tokens[opener].kind == "LBAR"
        return "RBAR" if inside_bar and self.previous in OPERAND_ENDS else "LBAR"

    def _close(self, index: int, token: Token) -> None:
        opener = self.levels[-1].opener
        if opener < 0:
            hint = "nothing is open here"
            raise wrong(f"unmatched '{token.text}'", token.start, token.end, hint=hint)
        if OPENERS[self.tokens[opener].kind] != token.kind:
            raise _mismatched(self.tokens[opener], token)
        self.partner[opener] = index
        self.levels.pop()
        self.outside -= self.levels[-1].depth + 1
        if token.kind == "RSUPER":
            self.levels[-1].deeper("POWER")


def _unclosed(opener: Token) -> FormulaError:
    closing = {"LPAR": ")", "LBRACKET": "]", "LBRACE": "}", "LFLOOR": "⌋", "LCEIL": "⌉"}
    hint = f"'{closing[opener.kind]}' is missing" if opener.kind in closing else None
    return wrong(f"'{opener.text}' is never closed", opener.start, opener.end, hint=hint)


def _mismatched(opener: Token, closer: Token) -> FormulaError:
    if opener.kind == "LSUPER" or closer.kind == "RSUPER":
        return wrong("the parentheses in the raised part do not match", closer.start, closer.end)
    message = f"'{closer.text}' closes a '{opener.text}'"
    return wrong(message, closer.start, closer.end, hint="the brackets cross or differ in kind")


def _too_deep(token: Token) -> FormulaError:
    message = f"the formula is nested more than {DEEPEST} levels deep"
    return wrong(message, token.start, token.end, hint="give the inner parts names: y = …; z = …")
