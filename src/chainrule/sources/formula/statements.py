"""Definitions: where one ends and the next begins, and which names they bring with them.

``h(x) = …`` and ``y = …`` have to be recognised before anything else is read, because a name
that is defined anywhere in the formula keeps its meaning everywhere in it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from chainrule.errors import FormulaError
from chainrule.sources.formula.names import ascii_name, canonical_name, short_enough
from chainrule.sources.formula.tokens import Token, wrong
from chainrule.sources.formula.vocabulary import FUNCTIONS, Function


@dataclass(slots=True, eq=False)
class Statement:
    """One definition, cut in two: its head up to ``=`` (empty for a bare body), and its body."""

    head: tuple[Token, ...]
    body: tuple[Token, ...]

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names between the parentheses of the head."""
        return tuple(token.text for token in self.head if token.kind == "PARAMETER")


@dataclass(slots=True, eq=False)
class Scope:
    """What the names mean: plain ones are variables or definitions, functions have arguments."""

    plain: frozenset[str] = frozenset()
    functions: dict[str, Function] = field(default_factory=dict)

    def inside(self, statement: Statement) -> Scope:
        """The scope in a body, where the parameters hide everything else of the same name."""
        hidden = statement.parameters
        functions = {key: value for key, value in self.functions.items() if key not in hidden}
        return Scope(self.plain | frozenset(hidden), functions)


def statements(tokens: list[Token]) -> list[Statement]:
    """The definitions of a formula, heads marked as ``DEFINED`` and ``PARAMETER`` tokens."""
    return [_statement(part) for part in _parts(tokens)]


def scope_of(parts: list[Statement], variables: Collection[str]) -> Scope:
    """All names the formula defines, together with those known from elsewhere."""
    arguments: dict[str, int] = {}
    for name, count in ((part.head[0], len(part.parameters)) for part in parts if part.head):
        if name.text in arguments:
            raise wrong(f"'{name.text}' is defined twice", name.start, name.end)
        arguments[name.text] = count
    functions = {name: Function(name, count, count) for name, count in arguments.items() if count}
    plain = {*map(canonical_name, variables), *arguments} - functions.keys()
    return Scope(frozenset(plain), functions)


def _parts(tokens: list[Token]) -> Iterator[list[Token]]:
    """The tokens between separators."""
    part: list[Token] = []
    for token in tokens:
        if token.kind not in ("SEPARATOR", "NEWLINE"):
            part.append(token)
        elif part:
            yield part
            part = []
        elif token.kind == "SEPARATOR":
            hint = "nothing stands before this semicolon"
            raise wrong("empty definition", token.start, token.end, hint=hint)
    if part:
        yield part


def _statement(tokens: list[Token]) -> Statement:
    signs = [index for index, token in enumerate(tokens) if token.kind == "EQUALS"]
    if not signs:
        return Statement((), tuple(tokens))
    sign = tokens[signs[0]]
    if len(signs) > 1:
        second = tokens[signs[1]]
        hint = "a comparison is written =="
        raise wrong("two '=' in one definition", second.start, second.end, hint=hint)
    head, body = tokens[: signs[0]], tokens[signs[0] + 1 :]
    if not body:
        raise wrong("nothing stands on the right of '='", sign.start, sign.end)
    return Statement((*_head(head, sign), sign), tuple(body))


def _head(tokens: list[Token], sign: Token) -> tuple[Token, ...]:
    if not tokens:
        raise wrong("nothing stands on the left of '='", sign.start, sign.end)
    name = _defined(tokens[0], "DEFINED")
    if len(tokens) == 1:
        return (name,)
    parameters = [_parameter(token) for token in tokens[2:-1]]
    _check_shape(tokens)
    _check_distinct(parameters)
    return (name, tokens[1], *parameters, tokens[-1])


def _parameter(token: Token) -> Token:
    return token if token.kind == "COMMA" else _defined(token, "PARAMETER")


def _defined(token: Token, kind: str) -> Token:
    if token.kind != "WORD":
        raise _not_a_head(token.start, token.end)
    name = short_enough(ascii_name(token.text, token.subscript), token.start, token.end)
    if name in FUNCTIONS:
        hint = "choose another name"
        raise wrong(f"'{name}' is a function already", token.start, token.end, hint=hint)
    return token._replace(kind=kind, text=name, subscript="")


def _check_shape(tokens: list[Token]) -> None:
    """After the name: a parenthesis, names with commas between them, a parenthesis."""
    kinds = [token.kind for token in tokens[1:]]
    names = (len(kinds) - 1) // 2
    if kinds != ["LPAR", *(["WORD", "COMMA"] * names)[:-1], "RPAR"] or not names:
        raise _not_a_head(tokens[0].start, tokens[-1].end)


def _check_distinct(parameters: list[Token]) -> None:
    seen: set[str] = set()
    for token in parameters:
        if token.kind == "PARAMETER" and token.text in seen:
            raise wrong(f"'{token.text}' is a parameter twice", token.start, token.end)
        seen.add(token.text)


def _not_a_head(start: int, end: int) -> FormulaError:
    hint = "write y = … or f(x) = …"
    return wrong(
        "only a name, or a function of names, can stand on the left of '='", start, end, hint
    )
