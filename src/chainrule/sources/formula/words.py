"""What a word means: a function, a constant, one name, or several names written together.

The order of the questions is the meaning: a name that is known wins over a function, a function
over a constant, and only what nobody knows is taken apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache, lru_cache

from chainrule.errors import FormulaError
from chainrule.sources.formula.names import LETTER, ascii_name, short_enough
from chainrule.sources.formula.statements import Scope
from chainrule.sources.formula.tokens import OPENERS, Token, wrong
from chainrule.sources.formula.vocabulary import (
    CONSTANTS,
    FUNCTIONS,
    GREEK,
    SIGMOID_LETTER,
)

LONGEST_PRODUCT = 3
"""Unknown words of up to so many letters are products of their letters."""

_SEGMENT = re.compile(rf"(?P<letters>(?:{LETTER})+)(?P<digits>[0-9]*)")
_GREEK_RUN = re.compile(rf"([{''.join(GREEK)}][0-9]*)")
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
            return replace(self.token, kind="FUNCTION", function=self.scope.functions[self.name])
        if self.name in self.scope.plain:
            return self._as_name()
        return self._function()

    def _function(self) -> Token | None:
        if self.token.text in FUNCTIONS and not self.token.subscript:
            return replace(self.token, kind="FUNCTION", function=FUNCTIONS[self.token.text])
        if self.name == SIGMOID_LETTER and self.before in ("LPAR", "LBRACKET"):
            function = FUNCTIONS["sigmoid"]
            return replace(self.token, kind="FUNCTION", function=function, glued=True)
        if self.token.text in ("log", "ln") and self.token.subscript:
            return replace(self.token, kind="FUNCTION", function=FUNCTIONS["log"])
        return None

    def _constant_or_greek(self) -> Token | None:
        named = self.name in CONSTANTS or self.token.text in GREEK.values()
        return self._as_name() if named or self.token.text in GREEK else None

    def _as_name(self) -> Token:
        return replace(self.token, kind="NAME", text=self.name, subscript="")

    def _together(self) -> list[Token] | None:
        """``xy`` where ``x`` and ``y`` are known needs no sentence: it cannot mean much else."""
        known = tuple(sorted(self.scope.plain, key=len, reverse=True))
        whole = self.token.text + (f"_{self.token.subscript}" if self.token.subscript else "")
        if not known or not re.fullmatch(_any_of(known) + "+", whole):
            return None
        cuts = [match.end() for match in re.finditer(_any_of(known), whole)]
        if cuts[-1] != len(whole):
            return None
        return [self._cut(a, b, glued=False) for a, b in _spans([0, *cuts])]

    def _with_function(self) -> list[Token] | None:
        """``sinx``, ``ln2x``, ``lnsinx``, and ``xsin`` before its argument."""
        match = _function_pattern(self.scope.plain).fullmatch(self.token.text)
        if match is None or not self._has_argument(match):
            return None
        end = match.end("functions")
        cuts = [match.start("functions") + each.end() for each in
                re.finditer(_any_of(_prefixes()), match["functions"])]  # fmt: skip
        marks = [0, match.start("functions"), *cuts, end, match.end("number"), match.end()]
        return [self._cut(a, b, glued=a > 0) for a, b in _spans(sorted(set(marks)))]

    def _has_argument(self, match: re.Match[str]) -> bool:
        inside = match["number"] or match["after"]
        if not inside and self.token.subscript:
            return False
        if match["after"] and self.before == "LPAR":
            return False
        return bool(inside) or self.before in _STARTS_OPERAND

    def _letters(self) -> list[Token]:
        marks = [0]
        for part in filter(None, _GREEK_RUN.split(self.token.text)):
            marks.extend(marks[-1] + cut for cut in self._part_cuts(part, marks[-1]))
            marks = [*dict.fromkeys(marks)]
        latin = [bool(_latin_pair(self.token.text, mark)) for mark in marks]
        self._refuse_call()
        return [
            self._cut(a, b, glued=glue)
            for (a, b), glue in zip(_spans(marks), latin, strict=False)
        ]

    def _part_cuts(self, part: str, start: int) -> Iterator[int]:
        """Where to cut a piece without Greek letters: behind digits, and between few letters."""
        for segment in _SEGMENT.finditer(part):
            letters = _LETTERS.findall(segment["letters"])
            last = start + segment.end() == len(self.token.text)
            joined = segment["digits"] or (last and self.token.subscript)
            if not joined and len(letters) <= LONGEST_PRODUCT:
                cuts = _LETTERS.finditer(segment["letters"])
                yield from (segment.start() + match.end() for match in cuts)
            yield segment.end()

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
            return replace(piece, kind="FUNCTION", function=FUNCTIONS[text])
        if text.isdecimal():
            return replace(piece, kind="NUMBER")
        return replace(piece, text=ascii_name(text, self.token.subscript if last else ""))


def unknown_function(token: Token, scope: Scope) -> FormulaError:
    """The error for a word before a parenthesis that is no function."""
    import difflib

    known = [*FUNCTIONS, *scope.functions]
    close = difflib.get_close_matches(token.text.lower(), known, n=1, cutoff=0.6)
    hint = f"did you mean {close[0]}?" if close else f"for a product write {token.text}*(…)"
    return wrong(f"unknown function '{token.text}'", token.start, token.end, hint=hint)


def _spans(marks: list[int]) -> list[tuple[int, int]]:
    return list(zip(marks, marks[1:], strict=False))


def _latin_pair(text: str, mark: int) -> bool:
    """Between two Latin letters a cut could have been none; next to a Greek one it is plain."""
    around = text[max(0, mark - 1) : mark + 1]
    return len(around) == 2 and not any(char in GREEK for char in around)


def _any_of(words: tuple[str, ...]) -> str:
    return f"(?:{'|'.join(map(re.escape, words))})"


@cache
def _prefixes() -> tuple[str, ...]:
    """Functions of one argument, longest first, so that ``sinhx`` is not ``sin(hx)``."""
    single = (word for word, function in FUNCTIONS.items() if function.most == 1)
    return tuple(sorted(single, key=len, reverse=True))


@lru_cache(maxsize=64)
def _function_pattern(known: frozenset[str]) -> re.Pattern[str]:
    names = "|".join(map(re.escape, sorted(known, key=len, reverse=True)))
    atom = rf"(?:{names + '|' if names else ''}{LETTER}[0-9]*)"
    functions = rf"(?P<functions>{_any_of(_prefixes())}+)"
    return re.compile(rf"{atom}?{functions}(?P<number>[0-9]+)?(?P<after>{atom})?")
