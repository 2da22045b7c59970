"""From characters to tokens: numbers, words, signs and LaTeX commands, each with its place.

Characters are replaced by plain ones one for one (``−`` by ``-``, ``𝑥`` by ``x``), so an offset in
the plain text is an offset in the reader's text. What a word means is decided later, in ``words``.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import islice

from chainrule.errors import FormulaError
from chainrule.sources.formula import names
from chainrule.sources.formula.tokens import Token, wrong
from chainrule.sources.formula.vocabulary import (
    FUNCTIONS,
    GREEK_COMMANDS,
    INVISIBLE,
    LATEX_FRACTIONS,
    LATEX_SIGNS,
    LATEX_SIZES,
    LATEX_SPACES,
    LATEX_TEXT,
    OPERATORS,
    SAME_SIGN,
    SUBSCRIPTS,
    SUPERSCRIPTS,
)

LONGEST_FORMULA = 20_000
MOST_TOKENS = 5_000

# A whole number of up to so many digits needs no looking at.
_PLAINLY_FINITE = 15

# For a set of characters, in which a plain minus has to stand last.
_MINUS = "".join([*(char for char, sign in SAME_SIGN.items() if sign == "-"), "-"])
_TOKEN = re.compile(
    rf"""
    (?P<space>   [^\S\r\n]+ | ~ | \\[ ,;:!>] )
  | (?P<newline> [\r\n]+ | \\\\ )
  | (?P<number>  (?: [0-9]+\.?[0-9]* | \.[0-9]+ ) (?: [eE][+{_MINUS}]?[0-9]+ )? )
  | (?P<word>    {names.WORD} ) (?P<below>{names.SUBSCRIPT})?
  | (?P<raised>  [{"".join(SUPERSCRIPTS)}]+ )
  | \\(?P<textual> {"|".join(sorted(LATEX_TEXT))} ) \*? \s* \{{ (?P<content> [^{{}}\\]* ) \}}
    (?P<under>{names.SUBSCRIPT})?
  | \\(?P<command> [A-Za-z]+ ) (?P<lower>{names.SUBSCRIPT})?
  | \\(?P<escaped> [{{}}|] )
  | (?P<sign>    <= | >= | == | != | \*\* | . )
    """,
    re.VERBOSE | re.DOTALL,
)
_VULGAR_FRACTION = re.compile("([0-9]+)⁄([0-9]+)")
_SINGLE = re.compile(rf"[0-9]|{names.LETTER}")
_WRAPPERS = (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"))
_HARMLESS = ("", "<font>", "<wide>", "<narrow>", "<compat>", "<noBreak>")
_SIDED_BARS = {"|(": "LBAR", "|)": "RBAR"}
# Signs that no other token begins with, so that they need no search.
_PLAIN_SIGNS = {sign: OPERATORS[sign] for sign in "()[]{}+-/^,"}
_PRIMES = "'’′"
_HINTS = {
    **dict.fromkeys(
        _PRIMES, "chainrule takes the derivative itself: write the function without the prime"
    ),
    "!": "a factorial has no derivative; 'not equal' is written !=",
    "%": "write a division by 100",
    "∂": "chainrule takes the derivative itself: write only the function",
}


@lru_cache(maxsize=4096)
def plain_character(char: str) -> str:
    """The character that ``char`` is a variant of: always exactly one."""
    if char.isascii() or char in SUPERSCRIPTS or char in SUBSCRIPTS:
        return char
    if char in INVISIBLE:
        return " "
    kind = unicodedata.decomposition(char).partition(">")[0]
    folded = unicodedata.normalize("NFKC", char)
    if len(folded) == 1 and (not kind.startswith("<") or f"{kind}>" in _HARMLESS):
        return folded
    return char


def scan(text: str) -> list[Token]:
    """All tokens of a formula, in order; raises ``FormulaError`` at what cannot be one."""
    if len(text) > LONGEST_FORMULA:
        limit = f"the formula is longer than {LONGEST_FORMULA:,} characters"
        raise wrong(limit, LONGEST_FORMULA)
    start, end = _unwrapped(text)
    plain = text if text.isascii() else "".join(map(plain_character, text))
    scanner = _Scanner(plain, start, end)
    tokens = scanner.tokens()
    if all(token.kind == "NEWLINE" for token in tokens):
        raise FormulaError("the formula is empty", hint="write something such as sin(x^2)")
    return tokens


def limited(tokens: Iterable[Token], most: int = MOST_TOKENS) -> list[Token]:
    """The tokens, as long as there are not too many."""
    found = list(islice(tokens, most + 1))
    if len(found) > most:
        raise _too_many(found[most])
    return found


def _too_many(token: Token) -> FormulaError:
    limit = f"the formula has more than {MOST_TOKENS:,} signs and names"
    return wrong(limit, token.start, token.end)


def _unwrapped(text: str) -> tuple[int, int]:
    """The extent of the formula inside ``$…$`` and white space."""
    start = len(text) - len(text.lstrip())
    end = max(start, len(text.rstrip()))
    for before, after in _WRAPPERS:
        inside = end - start >= len(before) + len(after)
        if inside and text.startswith(before, start) and text.endswith(after, start, end):
            return start + len(before), end - len(after)
    return start, end


class _Scanner:
    """One pass over the text. ``depth`` and ``single`` are the only things it must remember.

    ``depth`` counts open brackets, inside which a line break is only white space. ``single``
    counts the arguments that ``\\frac`` and ``\\sqrt`` still wait for: without braces each of
    them is a single character (``\\frac12``).
    """

    def __init__(self, text: str, start: int, end: int) -> None:
        self.text = text
        self.position = start
        self.end = end
        self.single = 0
        self.waiting: list[int] = []
        self.found: list[Token] = []

    def tokens(self) -> list[Token]:
        """The tokens from here to the end, as long as there are not too many."""
        text, end, found = self.text, self.end, self.found
        while (position := self.position) < end:
            sign = text[position]
            kind = _PLAIN_SIGNS.get(sign)
            if kind is None:
                self._next()
            else:
                self.position = position + 1
                self._note_bracket(sign)
                found.append(Token(kind, sign, position, position + 1))
            if len(found) > MOST_TOKENS:
                raise _too_many(found[MOST_TOKENS])
        return found

    def _add(
        self, kind: str, text: str, start: int, end: int, below: str = "", whole: bool = False
    ) -> None:
        self.found.append(Token(kind, text, start, end, below, whole))

    def _next(self) -> None:
        short = _SINGLE.match(self.text, self.position, self.end) if self.single else None
        if short is not None:
            self._single_character(short)
            return
        match = _TOKEN.match(self.text, self.position, self.end)
        assert match is not None  # the last alternative takes any character
        self.position = match.end()
        _READERS[match.lastgroup](self, match)

    def _single_character(self, match: re.Match[str]) -> None:
        self.single -= 1
        self.position = match.end()
        kind = "NUMBER" if match[0].isdecimal() else "WORD"
        self._add(kind, match[0], match.start(), match.end(), whole=True)

    def _space(self, _match: re.Match[str]) -> None:
        """White space only keeps apart what stands beside it."""

    def _newline(self, match: re.Match[str]) -> None:
        if not self.waiting:
            self._add("NEWLINE", "\n", match.start(), match.end())

    def _number(self, match: re.Match[str]) -> None:
        self._add("NUMBER", _within_float(match), match.start(), match.end())

    def _word(self, match: re.Match[str]) -> None:
        word = match["word"]
        for offset, char in enumerate("" if word.isascii() else word):
            if not (char.isalpha() or char.isdecimal() or unicodedata.combining(char)):
                raise _unexpected(char, match.start() + offset)
        below = match["below"]
        start, end = match.span()
        self._add("WORD", word, start, end, names.subscript_of(below) if below else "")

    def _raised(self, match: re.Match[str]) -> None:
        inner = "".join(SUPERSCRIPTS[char] for char in match[0])
        start, end = match.span()
        mixed = re.search(r"(?<=[a-z])[0-9]", inner)
        if mixed:
            hint = "write the exponent with ^ and parentheses"
            raise wrong("a raised digit after a raised letter", start + mixed.start(), hint=hint)
        self._add("LSUPER", match[0], start, start)
        for part in re.finditer(r"[0-9]+|[a-z]+|[-+()]", inner):
            kind = OPERATORS.get(part[0]) or ("NUMBER" if part[0].isdecimal() else "WORD")
            self._add(kind, part[0], start + part.start(), start + part.end())
        self._add("RSUPER", "", end, end)

    def _content(self, match: re.Match[str]) -> None:
        word = "".join(match["content"].split())
        if not re.fullmatch(names.WORD, word):
            hint = "only a function or variable name can stand there"
            raise wrong(f"cannot read the text in {match[0]}", *match.span(), hint=hint)
        below = names.subscript_of(match["under"] or "")
        self._add("WORD", word, *match.span(), below, whole=True)

    def _command(self, match: re.Match[str]) -> None:
        command, start = match["command"], match.start()
        if command in FUNCTIONS and command != "sqrt":
            self._command_word(match, command)
        elif command in GREEK_COMMANDS:
            self._command_word(match, GREEK_COMMANDS[command])
        else:
            self.position = match.end("command")
            self._command_sign(command, start, self.position)

    def _command_word(self, match: re.Match[str], word: str) -> None:
        self.single = max(0, self.single - 1)
        below = names.subscript_of(match["lower"] or "")
        self._add("WORD", word, *match.span(), below, whole=True)

    def _command_sign(self, command: str, start: int, end: int) -> None:
        if command in LATEX_FRACTIONS or command == "sqrt":
            self.single = 1 if command == "sqrt" else 2
            kind = "RADICAL" if command == "sqrt" else "FRACTION"
            self._add(kind, f"\\{command}", start, end)
        elif command in LATEX_SIGNS:
            self._sign_token(LATEX_SIGNS[command], start, end)
        elif command in LATEX_SIZES:
            self._sized(LATEX_SIZES[command], start, end)
        elif command not in LATEX_SPACES:
            raise _unknown_command(command, start, end)

    def _sized(self, side: str, start: int, end: int) -> None:
        """``\\left|`` says on which side of its content the bar stands; else sizes mean nothing."""
        bar = re.compile(r"\s*(?:\\?\||\\vert(?![A-Za-z]))").match(self.text, end, self.end)
        if bar and side:
            self.position = bar.end()
            self._sign_token(f"|{side}", start, bar.end())
        elif self.position == self.end:
            raise wrong(f"'{self.text[start:end]}' needs a bracket after it", start, end)

    def _escaped(self, match: re.Match[str]) -> None:
        self._sign_token(match["escaped"], match.start(), match.end())

    def _sign(self, match: re.Match[str]) -> None:
        sign = match[0]
        if not sign.isascii():
            vulgar = _VULGAR_FRACTION.fullmatch(unicodedata.normalize("NFKC", sign))
            if vulgar:
                self.found.extend(_vulgar_fraction(vulgar, *match.span()))
                return
            sign = SAME_SIGN.get(sign, sign)
        self._sign_token(sign, match.start(), match.end())

    def _sign_token(self, sign: str, start: int, end: int) -> None:
        kind = _SIDED_BARS.get(sign) or OPERATORS.get(sign)
        if kind is None:
            raise _unexpected(sign, start)
        self._note_bracket(sign)
        if kind == "EQUALS" and self.waiting:
            # Inside brackets nothing can be defined: where(x = 0, …) asks.
            self.found.append(Token("COMPARISON", "==", start, end, glued=True))
            return
        self._add(kind, "|" if sign in _SIDED_BARS else sign, start, end)

    def _note_bracket(self, sign: str) -> None:
        """What a bracket contains does not count as arguments of the ``\\frac`` before it."""
        if sign in ("(", "[", "{"):
            optional = sign == "[" and self.single == 1
            self.waiting.append(self.single if optional else max(0, self.single - 1))
            self.single = 0
        elif sign in (")", "]", "}") and self.waiting:
            self.single = self.waiting.pop()


# By the last group of a match: a subscript belongs to what stands before it.
_READERS: dict[str | None, Callable[[_Scanner, re.Match[str]], None]] = {
    "space": _Scanner._space,
    "newline": _Scanner._newline,
    "number": _Scanner._number,
    "word": _Scanner._word,
    "below": _Scanner._word,
    "raised": _Scanner._raised,
    "content": _Scanner._content,
    "under": _Scanner._content,
    "command": _Scanner._command,
    "lower": _Scanner._command,
    "escaped": _Scanner._escaped,
    "sign": _Scanner._sign,
}


def _vulgar_fraction(parts: re.Match[str], start: int, end: int) -> Iterator[Token]:
    """``½`` is ``(1/2)``; behind a number it could have been a sum, so it counts as glued."""
    yield Token("LPAR", "(", start, start, glued=True)
    yield Token("NUMBER", parts[1], start, end)
    yield Token("DIVIDE", "/", start, end)
    yield Token("NUMBER", parts[2], start, end)
    yield Token("RPAR", ")", end, end)


def _within_float(match: re.Match[str]) -> str:
    """The number as written, if a float64 can hold something of it."""
    written = match[0]
    if written.isdecimal() and len(written) <= _PLAINLY_FINITE:
        return written
    written = re.sub(f"[{_MINUS}]", "-", written)
    value = float(written)
    lost = value == 0 and re.search(r"[1-9]", re.split(r"[eE]", written)[0])
    if value == float("inf") or lost or len(written) > names.LONGEST_NAME:
        raise wrong("the number does not fit into a float64", *match.span())
    return written


def _unexpected(char: str, start: int) -> FormulaError:
    code = f"U+{ord(char):04X}"
    if char == "∞":
        hint = "derivatives are taken at finite numbers: use a large number instead"
        return wrong("infinity is not a number that a formula can use", start, hint=hint)
    if char in _PRIMES:
        return wrong("a prime cannot be used in a formula", start, hint=_HINTS[char])
    shown = f"'{char}' ({code})" if char.isprintable() and char.strip() else code
    return wrong(f"unexpected character {shown}", start, hint=_HINTS.get(char))


def _unknown_command(command: str, start: int, end: int) -> FormulaError:
    import difflib

    known = [*FUNCTIONS, *GREEK_COMMANDS, *LATEX_SIGNS, *LATEX_FRACTIONS]
    close = difflib.get_close_matches(command[: names.LONGEST_NAME], known, n=1)
    shown = command if len(command) <= names.LONGEST_NAME else f"{command[:20]}…"
    hint = f"did you mean \\{close[0]}?" if close else None
    return wrong(f"unknown LaTeX command '\\{shown}'", start, end, hint=hint)
