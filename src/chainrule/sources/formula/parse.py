"""Reading a formula: ``parse`` takes what people write and gives the tree of ``syntax``.

The stages, in order: ``scan`` finds tokens, ``statements`` finds definitions, ``words`` decides
what the names mean, ``brackets`` pairs and limits, ``juxtapose`` marks what stands next to each
other, ``grammar.lark`` and ``build`` make the tree. No stage recurses, none evaluates anything.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from functools import cache
from importlib.resources import files
from types import SimpleNamespace
from typing import Any

from chainrule.errors import FormulaError
from chainrule.sources.formula import build
from chainrule.sources.formula.automaton import Automaton, UnexpectedTokenError
from chainrule.sources.formula.brackets import pair
from chainrule.sources.formula.build import Defined
from chainrule.sources.formula.complain import behind, unexpected
from chainrule.sources.formula.juxtapose import juxtapose
from chainrule.sources.formula.readings import sentences
from chainrule.sources.formula.scan import MOST_TOKENS, limited, scan
from chainrule.sources.formula.statements import scope_of, statements
from chainrule.sources.formula.syntax import Formula
from chainrule.sources.formula.tokens import Token
from chainrule.sources.formula.words import resolve


def parse(text: str, variables: Collection[str] = ()) -> Formula:
    """Read a formula, or several definitions separated by ``;`` or line breaks.

    Args:
        text: The formula, as people write it: ``sin(x²)``, ``x sin 2x``, ``\\frac{1}{1+e^{-x}}``.
        variables: Names known from elsewhere. They are not taken apart into letters.

    Raises:
        FormulaError: The text is not a formula; the error says why and points at the place.

    >>> parse("1/2x").readings
    ('`1/2x` is read as (1/2)·x',)
    """
    try:
        tokens = _tokens(text, variables)
        parts = _tree(tokens)
    except FormulaError as error:
        error.text = text
        raise
    notes = [note for part in parts for note in build.flat(part.notes)]
    return Formula(text, tuple(part.definition for part in parts), sentences(text, notes))


def _tokens(text: str, variables: Collection[str]) -> list[Token]:
    """The tokens that the grammar reads."""
    parts = statements(scan(text))
    scope = scope_of(parts, variables)
    tokens: list[Token] = []
    for part in parts:
        if tokens:
            tokens.append(Token("SEPARATOR", ";", tokens[-1].end, tokens[-1].end + 1))
        body = limited(resolve(part.body, scope.inside(part)), MOST_TOKENS - len(tokens))
        resolved, partner = pair(body)
        tokens.extend(part.head)
        tokens.extend(juxtapose(resolved, partner))
    return tokens


def _tree(tokens: list[Token]) -> list[Defined]:
    try:
        return _grammar().parse(tokens)  # type: ignore[no-any-return]
    except UnexpectedTokenError as error:
        problem = unexpected(error.token, behind(tokens, error.token))
    raise problem


@cache
def _grammar() -> Automaton:
    """The parser, made once; lark is only loaded when the first formula is read."""
    from lark import Lark
    from lark.lexer import Lexer

    class Prepared(Lexer):  # type: ignore[misc]
        """Stands for the earlier stages, so that lark makes no lexer of its own."""

        __future_interface__ = 1

        def __init__(self, _configuration: object) -> None: ...

        def lex(self, _state: object, _parser_state: object) -> Iterator[Any]:
            return iter(())

    source = files("chainrule.sources.formula").joinpath("grammar.lark").read_text("utf-8")
    actions = SimpleNamespace(**{name: _action(name) for name in _aliases(source)})
    return Automaton(Lark(source, parser="lalr", lexer=Prepared, transformer=actions))


def _aliases(source: str) -> set[str]:
    arrows = (line.partition("->")[2].strip() for line in source.splitlines())
    return {"start", "arguments", *filter(None, arrows)}


def _action(name: str) -> Callable[[list[Any]], Any]:
    """A function of ``build`` in the form in which lark calls it."""
    make = getattr(build, name)
    return lambda parts: make(*parts)
