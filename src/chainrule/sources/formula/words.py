"""What a word means: a function, a constant, one name, or several names written together.

The order of the questions is the meaning: a name that is known wins over a function, a function
over a constant, and only what nobody knows is taken apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from itertools import pairwise

from chainrule.errors import FormulaError
from chainrule.sources.formula.names import LETTER, ascii_name, short_enough
from chainrule.sources.formula.statements import Scope
from chainrule.sources.formula.tokens import OPENERS, Token, wrong
from chainrule.sources.formula.vocabulary import (
    CONSTANTS,
    FUNCTIONS,
    GREEK,
    SIGMOID_LETTER,
    Function,
)

LONGEST_PRODUCT = 3
"""Unknown words of up to so many letters are products of their letters."""

_SEGMENT = re.compile(rf"(?P<letters>(?:{LETTER})+)(?P<digits>[0-9]*)")
_GREEK_RUN = re.compile(rf"([{''.join(GREEK)}][0-9]*)")
_ATOM = re.compile(rf"{LETTER}[0-9]*")
_LETTERS = re.compile(rf"pi|{LETTER}")
_STARTS_OPERAND = OPENERS.keys() | {"NUMBER", "WORD", "BAR", "ROOT", "RADICAL", "FRACTION"}


def resolve(tokens: tuple[Token, ...], scope: Scope) -> Iterator[Token]:
    """The tokens with every ``WORD`` replaced by ``NAME`` and ``FUNCTION`` tokens."""
    for token, following in zip(tokens, (*tokens[1:], None), strict=True):
        if token.kind == "WORD":
            yield from _Word(token, following, scope).pieces()
        else:
            yield token


class _Word:
    """One word, the token behind it, and the names that are known where it stands."""

    def __init__(self, token: Token, following: Token | None, scope: Scope) -> None:
        self.token = token
        self.scope = scope
        self.name = ascii_name(token.text, token.subscript)
        self.before = following.kind if following is not None else "END"
        short_enough(self.name, token.start, token.end)

    def pieces(self) -> list[Token]:
        """The tokens that this word stands for."""
        known = self._known() or self._constant_or_greek()
        if known is not None:
            return [known]
        if self.token.whole:
            return [self._as_name()]
        return self._together() or self._with_function() or self._letters()

    def _known(self) -> Token | None:
        if self.name in self.scope.functions:
            return self._as_function(self.scope.functions[self.name])
        if self.name in self.scope.plain:
            return self._as_name()
        return self._function()

    def _function(self) -> Token | None:
        if self.token.text in FUNCTIONS and not self.token.subscript:
            return self._as_function(FUNCTIONS[self.token.text])
        if self.name == SIGMOID_LETTER and self.before in ("LPAR", "LBRACKET"):
            return self._as_function(FUNCTIONS["sigmoid"], glued=True)
        if self.token.text in ("log", "ln") and self.token.subscript:
            return self._as_function(FUNCTIONS["log"])
        return None

    def _constant_or_greek(self) -> Token | None:
        named = self.name in CONSTANTS or self.token.text in GREEK.values()
        return self._as_name() if named or self.token.text in GREEK else None

    def _as_name(self) -> Token:
        return self.token._replace(kind="NAME", text=self.name, subscript="")

    def _as_function(self, function: Function, *, glued: bool = False) -> Token:
        word = self.token  # spelled out: _replace takes twice as long
        return Token(
            "FUNCTION", word.text, word.start, word.end, word.subscript, word.whole, function,
            glued or word.glued,
        )  # fmt: skip

    def _together(self) -> list[Token] | None:
        """``xy`` where ``x`` and ``y`` are known needs no sentence: it cannot mean much else."""
        below = f"_{self.token.subscript}" if self.token.subscript else ""
        marks = _cut_into(self.token.text + below, self.scope.plain)
        return [self._cut(a, b, glued=False) for a, b in pairwise(marks)] if marks else None

    def _with_function(self) -> list[Token] | None:
        """``sinx``, ``ln2x``, ``lnsinx``, and ``xsin`` before its argument."""
        for start in self._prefix_ends():
            match = _function_pattern().match(self.token.text, start)
            if match is not None and self._has_argument(match):
                functions = (each.end() for each in _single_functions().finditer(match[1]))
                cuts = [start, *(start + cut for cut in functions), match.end(), len(match.string)]
                marks = sorted({0, *cuts})
                return [self._cut(a, b, glued=a > 0) for a, b in pairwise(marks)]
        return None

    def _prefix_ends(self) -> Iterator[int]:
        """Where a function could begin: at once, behind one letter, behind a known name."""
        text = self.token.text
        yield 0
        yield from (end for end in range(1, len(text)) if self._is_atom(text[:end]))

    def _is_atom(self, text: str) -> bool:
        return text in self.scope.plain or _ATOM.fullmatch(text) is not None

    def _has_argument(self, match: re.Match[str]) -> bool:
        """Whether the functions have something to act on, in the word or behind it."""
        rest = match.string[match.end() :]
        if rest:
            return self._is_atom(rest) and self.before != "LPAR"
        return bool(match["number"]) or (
            not self.token.subscript and self.before in _STARTS_OPERAND
        )

    def _letters(self) -> list[Token]:
        self._refuse_call()
        marks = [0, *dict.fromkeys(self._cuts())]
        text = self.token.text
        return [self._cut(a, b, glued=_is_latin_pair(text, a)) for a, b in pairwise(marks)]

    def _cuts(self) -> Iterator[int]:
        """Where names end: behind each Greek letter, behind digits, and between few letters."""
        start = 0
        for part in filter(None, _GREEK_RUN.split(self.token.text)):
            if part[0] not in GREEK:
                yield from self._latin_cuts(part, start)
            start += len(part)
            yield start

    def _latin_cuts(self, part: str, start: int) -> Iterator[int]:
        for segment in _SEGMENT.finditer(part):
            last = start + segment.end() == len(self.token.text)
            one_name = segment["digits"] or (last and self.token.subscript)
            if not one_name and len(re.findall(LETTER, segment["letters"])) <= LONGEST_PRODUCT:
                cuts = _LETTERS.finditer(segment["letters"])
                yield from (start + segment.start() + match.end() for match in cuts)
            yield start + segment.end()

    def _refuse_call(self) -> None:
        """A word directly before a parenthesis was meant as a function."""
        letters = re.findall(LETTER, self.token.text)
        simple = self.token.text.isascii() and self.token.text.isalpha()
        if self.before == "LPAR" and simple and len(letters) > 1 and not self.token.subscript:
            raise unknown_function(self.token, self.scope)

    def _cut(self, start: int, end: int, *, glued: bool) -> Token:
        """The characters from ``start`` to ``end`` as a token; the last one keeps the subscript."""
        text, last = self.token.text[start:end], end >= len(self.token.text)
        left = self.token.start + start
        right = self.token.end if last else self.token.start + end
        piece = Token("NAME", text, left, right, glued=glued)
        if text in FUNCTIONS and text not in self.scope.plain:
            return piece._replace(kind="FUNCTION", function=FUNCTIONS[text])
        if text.isdecimal():
            return piece._replace(kind="NUMBER")
        return piece._replace(text=ascii_name(text, self.token.subscript if last else ""))


def unknown_function(token: Token, scope: Scope) -> FormulaError:
    """The error for a word before a parenthesis that is no function."""
    close = _closest(token.text.lower(), [*FUNCTIONS, *scope.functions])
    hint = f"did you mean {close}?" if close else f"for a product write {token.text}*(…)"
    return wrong(f"unknown function '{token.text}'", token.start, token.end, hint=hint)


def _closest(word: str, known: list[str]) -> str | None:
    """The word with letters swapped, a similar one, or the one that ``word`` continues."""
    import difflib

    swapped = [name for name in known if sorted(name) == sorted(word)]
    similar = difflib.get_close_matches(word, known, n=1, cutoff=0.76)
    continued = [name for name in known if len(name) > 2 and word.startswith(name)]
    return next(iter([*swapped, *similar, *sorted(continued, key=len, reverse=True)]), None)


def _cut_into(word: str, known: frozenset[str]) -> list[int] | None:
    """The marks at which ``word`` falls into known names, longest first; None if it does not."""
    routes: dict[int, list[int]] = {len(word): [len(word)]}
    for start in reversed(range(len(word))):
        for end in range(len(word), start, -1):
            if end in routes and word[start:end] in known:
                routes[start] = [start, *routes[end]]
                break
    return routes.get(0)


def _is_latin_pair(text: str, mark: int) -> bool:
    """Between two Latin letters a cut could have been none; next to a Greek one it is plain."""
    around = text[max(0, mark - 1) : mark + 1]
    return len(around) == 2 and not any(char in GREEK for char in around)


@cache
def _single_functions() -> re.Pattern[str]:
    """Functions of one argument, longest first, so that ``sinhx`` is not ``sin(hx)``."""
    single = (word for word, function in FUNCTIONS.items() if function.most == 1)
    return re.compile("|".join(sorted(single, key=len, reverse=True)))


@cache
def _function_pattern() -> re.Pattern[str]:
    return re.compile(rf"((?:{_single_functions().pattern})+)(?P<number>[0-9]+)?")
