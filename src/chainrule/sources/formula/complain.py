"""What to say when the grammar finds a token where none of its kind can stand."""

from __future__ import annotations

from collections.abc import Iterable

from chainrule.errors import FormulaError
from chainrule.sources.formula.build import MISPLACED_COMPARISON
from chainrule.sources.formula.tokens import CLOSERS, INFIX, OPENERS, Token, wrong

_SIGNS = INFIX | {"POWER"}
_PREFIXES = frozenset({"ROOT", "ROOT_OF", "RADICAL", "FRACTION"})


def unexpected(token: Token | None, previous: Token | None) -> FormulaError:
    """The error for ``token`` (None at the end) behind ``previous`` (None at the start)."""
    if token is None or token.kind in CLOSERS | {"SEPARATOR", "COMMA"}:
        return _too_early(token, previous)
    if token.kind == "COMPARISON" and not _waiting(previous):
        hint = "and only one at a time, where(x > 0, x, -x)"
        return wrong(MISPLACED_COMPARISON, token.start, token.end, hint=hint)
    if token.kind in _SIGNS:
        return _no_left_side(token, previous)
    return _misplaced(token, previous)


def _too_early(token: Token | None, previous: Token | None) -> FormulaError:
    """Something is missing before a closing bracket, a comma, a semicolon or the end."""
    if previous is not None and _waiting(previous):
        return _missing_after(previous)
    if token is not None and token.kind == "COMMA":
        return _comma(token)
    shown = token or previous
    assert shown is not None
    where = f"unexpected '{shown.text}'" if token else "the formula ends too early"
    return wrong(where, shown.start, shown.end, hint="something is missing before this point")


def _waiting(token: Token | None) -> bool:
    """Whether something has to follow the token."""
    needs = _PREFIXES | {"APPLY", "CALL"} | _SIGNS | OPENERS.keys()
    return token is None or token.kind in needs


def _missing_after(previous: Token) -> FormulaError:
    start, end = previous.start, previous.end
    if previous.kind in OPENERS:
        return wrong(f"nothing stands inside '{previous.text}'", start, end)
    if previous.kind == "APPLY":
        hint = f"write {previous.text}(x)"
        return wrong(f"'{previous.text}' needs an argument", start, end, hint=hint)
    if previous.kind in _PREFIXES:
        return wrong(f"'{previous.text}' needs something to act on", start, end)
    return wrong(f"'{previous.text}' needs something on its right", start, end)


def _comma(token: Token) -> FormulaError:
    hint = "decimals are written with a point, definitions are separated by ';'"
    return wrong("a comma can only stand between the arguments of a function",
                 token.start, token.end, hint=hint)  # fmt: skip


def _no_left_side(token: Token, previous: Token | None) -> FormulaError:
    if previous is not None and previous.kind == "APPLY":
        return _missing_after(previous)
    if previous is not None and previous.kind in _PREFIXES:
        return _misplaced(token, previous)
    return wrong(f"'{token.text}' needs something on its left", token.start, token.end)


def _misplaced(token: Token, previous: Token | None) -> FormulaError:
    if previous is not None and previous.kind in _PREFIXES:
        hint = "put what it acts on in parentheses or braces"
        message = f"'{previous.text}' needs a number, a name or a bracket after it"
        return wrong(message, previous.start, previous.end, hint=hint)
    return wrong(f"unexpected '{token.text}'", token.start, token.end)


def behind(tokens: Iterable[Token], position: Token | None) -> Token | None:
    """The visible token before ``position``; the last one if it is None."""
    previous = None
    for token in tokens:
        if token is position:
            break
        if token.kind not in ("NEXT", "NEXT_FUNCTION"):
            previous = token
    return previous
