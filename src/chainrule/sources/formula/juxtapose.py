"""What stands next to each other without a sign: products, arguments, exponents of functions.

``2x`` gets a ``NEXT`` token in between. A function becomes ``CALL`` if brackets follow it (maybe
behind an exponent, ``sin^2(x)``) and ``APPLY`` if its argument is written without them.
"""

from __future__ import annotations

from collections.abc import Iterator

from chainrule.sources.formula.tokens import OPENERS, OPERAND_ENDS, Token, wrong

_ARGUMENT_OPENERS = OPENERS.keys() - {"LSUPER"}
_OPERAND_STARTS = _ARGUMENT_OPENERS | {"NUMBER", "NAME", "ROOT", "ROOT_OF", "RADICAL", "FRACTION"}
_FUNCTIONS = frozenset({"CALL", "APPLY"})
_BEGINNINGS = _OPERAND_STARTS | _FUNCTIONS


def juxtapose(tokens: list[Token], partner: dict[int, int]) -> Iterator[Token]:
    """The tokens as the grammar wants them, every product and application marked."""
    arranged, joined = _arranged(tokens, partner)
    previous: Token | None = None
    for index, token in enumerate(arranged):
        if (
            previous is not None
            and previous.kind in OPERAND_ENDS
            and token.kind in _BEGINNINGS
            and index not in joined
        ):
            yield _between(previous, token)
        yield token
        previous = token


def _arranged(tokens: list[Token], partner: dict[int, int]) -> tuple[list[Token], set[int]]:
    """Functions and roots told apart; and the places where one thing continues the other."""
    arranged = list(tokens)
    joined: set[int] = set()
    for index, token in enumerate(tokens):
        kind = token.kind
        if kind == "FUNCTION":
            argument = _behind_exponent(tokens, partner, index + 1)
            arranged[index] = _function(token, tokens, argument)
            joined.add(argument)
        elif kind == "ROOT":
            bracket = _kind(tokens, index + 1) in _ARGUMENT_OPENERS
            arranged[index] = token._replace(kind="ROOT_OF" if bracket else "ROOT")
        elif kind == "FRACTION" or (kind == "RADICAL" and _kind(tokens, index + 1) == "LBRACKET"):
            # \frac{a}{b} and \sqrt[n]{a} take two arguments.
            joined.add(_behind_operand(partner, index + 1))
    return arranged, joined


def _function(token: Token, tokens: list[Token], argument: int) -> Token:
    kind = "CALL" if _kind(tokens, argument) in _ARGUMENT_OPENERS else "APPLY"
    cut = argument < len(tokens) and tokens[argument].glued
    return Token(  # spelled out: _replace takes twice as long
        kind, token.text, token.start, token.end, token.subscript, token.whole, token.function,
        token.glued or (kind == "APPLY" and cut),
    )  # fmt: skip


def _kind(tokens: list[Token], index: int) -> str:
    return tokens[index].kind if index < len(tokens) else "END"


def _behind_operand(partner: dict[int, int], index: int) -> int:
    return partner.get(index, index) + 1


def _behind_exponent(tokens: list[Token], partner: dict[int, int], index: int) -> int:
    """Where the argument of a function starts: behind ``^2``, ``^{-1}``, ``²``, or at once."""
    if _kind(tokens, index) == "LSUPER":
        return partner[index] + 1
    if _kind(tokens, index) != "POWER":
        return index
    index += 1
    while _kind(tokens, index) in ("MINUS", "PLUS"):
        index += 1
    return _behind_operand(partner, index)


def _between(left: Token, right: Token) -> Token:
    """The unwritten sign between the end of an operand and the factor that starts behind it."""
    if left.kind == right.kind == "NUMBER":
        hint = "write * between them, or remove the space"
        raise wrong("two numbers next to each other", right.start, right.end, hint=hint)
    kind = "NEXT_FUNCTION" if right.kind in _FUNCTIONS else "NEXT"
    return Token(kind, "", left.end, right.start, glued=right.glued)
