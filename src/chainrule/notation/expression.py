"""Expressions in print: a graph node as text that reads like a textbook, or as LaTeX.

Both are written so that chainrule's own parser reads them back with the same value. Where signs
and quotients meet, a product is written the usual way: ``(−x)·(1/y)`` as ``−x/y``. Strings are
built bottom-up over the topological order; a shared node is written out wherever it is used.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from chainrule.graph.node import PI, E, Node, ancestors
from chainrule.notation.names import escaped, latex_name, text_name
from chainrule.notation.numbers import latex_number, proper_fraction, text_number
from chainrule.rules.batching import ARRAY

# How tightly an expression holds together; an operand that holds less gets parentheses.
COMPARISON, SUM, PRODUCT, POWER, ATOM = range(5)
MAX_LENGTH = 4000


@dataclass(frozen=True, slots=True)
class Piece:
    """A printed expression, how tightly it binds, and what it is made of.

    ``unsigned`` is what stands behind its minus sign, ``over`` are the two sides of a quotient, and
    ``group`` says that it ends in a parenthesis which groups, ``(x + 1)`` or ``(x + 1)²``.
    """

    s: str
    binds: int
    number: bool = False
    unsigned: Piece | None = None
    over: tuple[Piece, Piece] | None = None
    group: bool = False

    @property
    def negative(self) -> bool:
        """Whether a sign stands in front."""
        return self.s.startswith(("−", "-"))


class Style(Protocol):
    """What text and LaTeX do differently."""

    minus: str

    def name(self, name: str) -> str:
        """A variable or constant."""

    def number(self, value: Any) -> str:
        """A number that is not negative, and no fraction."""

    def wrap(self, s: str) -> str:
        """In parentheses."""

    def product(self, left: Piece, right: Piece) -> Piece:
        """Two factors."""

    def quotient(self, left: Piece, right: Piece) -> Piece:
        """One expression over another."""

    def power(self, base: Piece, exponent: Piece) -> Piece:
        """A power, whose base is in parentheses already if it needs them."""

    def call(self, node: Node, args: list[Piece]) -> Piece:
        """A function of its arguments."""

    def subscript(self, base: Piece, index: str) -> Piece:
        """An element of an array."""


def text(expression: Any) -> str:
    """``expression`` as a line of text: ``2x·cos(u₁)/(x² + 1)``."""
    return piece(expression, TEXT).s


def latex(expression: Any) -> str:
    r"""``expression`` as LaTeX: ``\\frac{2 x}{x^{2} + 1}``."""
    return piece(expression, LATEX).s


def piece(expression: Any, style: Style) -> Piece:
    """``expression`` printed in ``style``, with what a caller needs to place it."""
    if not isinstance(expression, Node):
        return _constant(expression, style)
    pieces: dict[int, Piece] = {}
    for node in ancestors([expression]):
        if node.op is None:
            pieces[node.index] = Piece(style.name(node.name), ATOM)
            continue
        args = [pieces[a.index] if isinstance(a, Node) else _constant(a, style) for a in node.args]
        done = _PRINTERS.get(node.op.name, _call)(node, args, style)
        pieces[node.index] = done if len(done.s) <= MAX_LENGTH else Piece("…", ATOM)
    return pieces[expression.index]


def _constant(value: Any, style: Style) -> Piece:
    if np.ndim(value):
        return Piece(_array(value, style), ATOM)
    if value < 0:
        return _minus(_constant(-value, style), style)
    fraction = proper_fraction(value)
    if fraction is not None:
        sides = float(fraction.numerator), float(fraction.denominator)
        above, below = (_constant(side, style) for side in sides)
        return replace(style.quotient(above, below), number=True)
    s = style.number(value)
    return Piece(s, ATOM if s.replace(".", "").isdecimal() else PRODUCT, True)


def _array(value: Any, style: Style) -> str:
    array = np.asarray(value)
    if array.size > 8:
        return "[" + "×".join(map(str, array.shape)) + "]"
    return np.array2string(array, separator=", ", formatter={"all": style.number}).replace("\n", "")


def _within(p: Piece, level: int, style: Style) -> Piece:
    """Parentheses if ``p`` binds less than ``level``."""
    return p if p.binds >= level else _wrapped(p, style)


def _wrapped(p: Piece, style: Style) -> Piece:
    return Piece(style.wrap(p.s), ATOM, group=True)


def _minus(p: Piece, style: Style) -> Piece:
    """Binds like a sum: −x must be wrapped inside products, powers and quotients."""
    return Piece(f"{style.minus}{p.s}", SUM, p.number, unsigned=p)


def _add(_: Node, args: list[Piece], style: Style) -> Piece:
    left, right = args
    if right.negative and right.binds >= SUM:
        return Piece(f"{left.s} {style.minus} {right.s[len(style.minus) :].lstrip()}", SUM)
    return Piece(f"{left.s} + {right.s}", SUM)


def _subtract(_: Node, args: list[Piece], style: Style) -> Piece:
    left, right = args
    right = _wrapped(right, style) if right.negative else _within(right, PRODUCT, style)
    return Piece(f"{left.s} {style.minus} {right.s}", SUM)


def _negative(_: Node, args: list[Piece], style: Style) -> Piece:
    inner = args[0]
    inner = _wrapped(inner, style) if inner.negative else _within(inner, PRODUCT, style)
    return _minus(inner, style)


def _multiply(_: Node, args: list[Piece], style: Style) -> Piece:
    return _product(args[0], args[1], style)


def _product(left: Piece, right: Piece, style: Style) -> Piece:
    """A product; a quotient on either side takes the other factor above its line."""
    if left.unsigned is not None:
        return _minus(_product(left.unsigned, right, style), style)
    if left.number and left.over is not None and not right.number:
        above, below = left.over
        return style.quotient(right if above.s == "1" else _product(above, right, style), below)
    if right.over is not None and not right.number:
        above, below = right.over
        if above.s == "1":
            return style.quotient(left, below)
        if left.number and not above.number:
            return style.quotient(_product(left, above, style), below)
    return style.product(_within(left, PRODUCT, style), _within(right, PRODUCT, style))


def _divide(_: Node, args: list[Piece], style: Style) -> Piece:
    return _quotient(args[0], args[1], style)


def _quotient(left: Piece, right: Piece, style: Style) -> Piece:
    if left.unsigned is not None:
        return _minus(_quotient(left.unsigned, right, style), style)
    return style.quotient(left, right)


def _power(_: Node, args: list[Piece], style: Style) -> Piece:
    return style.power(_within(args[0], ATOM, style), args[1])


def _exp(node: Node, args: list[Piece], style: Style) -> Piece:
    if "e" in node.graph.inputs:  # the reader's own variable e
        return _call(node, args, style)
    return style.power(Piece("e", ATOM), args[0])


def _index(node: Node, args: list[Piece], style: Style) -> Piece:
    arrays = iter(node.args[1:])
    parts = [next(arrays) if part is ARRAY else part for part in node.attrs["index"]]
    return style.subscript(_within(args[0], ATOM, style), ", ".join(map(_index_part, parts)))


def _index_part(part: Any) -> str:
    if isinstance(part, slice):
        ends = [part.start, part.stop] + ([part.step] if part.step is not None else [])
        return ":".join("" if e is None else str(e) for e in ends)
    if part is None or part is Ellipsis:
        return "…" if part is Ellipsis else "None"
    return str(part) if np.ndim(part) == 0 else "mask" if part.dtype == bool else "indices"


def _comparison(node: Node, args: list[Piece], style: Style) -> Piece:
    left, right = (_within(a, SUM, style) for a in args)
    assert node.op is not None
    sign = node.op.notation.latex if isinstance(style, Latex) else node.op.notation.text
    if sign == "=" and isinstance(style, Text):
        sign = "=="  # as it is typed: a single one defines a name
    return Piece(f"{left.s} {sign} {right.s}", COMPARISON)


def _call(node: Node, args: list[Piece], style: Style) -> Piece:
    return style.call(node, args)


_PRINTERS: dict[str, Callable[[Node, list[Piece], Style], Piece]] = {
    "add": _add,
    "subtract": _subtract,
    "negative": _negative,
    "multiply": _multiply,
    "divide": _divide,
    "power": _power,
    "square": lambda _, args, style: style.power(
        _within(args[0], ATOM, style), Piece("2", ATOM, True)
    ),
    "exp": _exp,
    "exp2": lambda _, args, style: style.power(Piece("2", ATOM, True), args[0]),
    "reciprocal": lambda _, args, style: style.quotient(Piece("1", ATOM, True), args[0]),
    "index": _index,
    **dict.fromkeys(
        ("less", "less_equal", "greater", "greater_equal", "equal", "not_equal"), _comparison
    ),
}

_SUPERSCRIPTS = str.maketrans("−0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_MONOMIAL = re.compile(r"\d+[a-zA-Z]")
# LaTeX names which a parenthesis right behind would make look like a function's.
# Where an argument goes in LaTeX: the 0 of J_{0} is a subscript.
_PLACE = re.compile(r"(?<!_)\{0\}")
_LONG_NAME = re.compile(r"(\\[a-zA-Z]+|\\mathrm\{.*\}|_\{.*\})$")


class Text:
    """Unicode text for a terminal."""

    minus = "−"

    def name(self, name: str) -> str:
        """A name with subscripts and Greek letters."""
        return {E: "e", PI: "π"}.get(name) or text_name(name)

    def number(self, value: Any) -> str:
        """A number in full."""
        return text_number(value)

    def wrap(self, s: str) -> str:
        """Parentheses."""
        return f"({s})"

    def product(self, left: Piece, right: Piece) -> Piece:
        """``2x``, ``x·y``, ``6x(x + 1)``: a dot wherever juxtaposition could be misread."""
        left, right = self._unquotient(left), self._unquotient(right)
        if left.number and left.binds == ATOM:
            joined = (right.s[0].isalpha() or right.s[0] in "(√∛") and not right.number
        else:
            before = left.group or left.s[-1] in "⁰¹²³⁴⁵⁶⁷⁸⁹" or _MONOMIAL.fullmatch(left.s)
            joined = bool(before) and right.s[0] == "("
        dot = "" if joined else "·"
        return Piece(f"{left.s}{dot}{right.s}", PRODUCT, group=right.group)

    def _unquotient(self, p: Piece) -> Piece:
        """A quotient on a line of text next to another sign: in parentheses."""
        return p if p.over is None else _wrapped(p, self)

    def quotient(self, left: Piece, right: Piece) -> Piece:
        """``a/b`` with parentheses as needed."""
        above = self._unquotient(_within(left, PRODUCT, self))
        s = f"{above.s}/{_within(right, POWER, self).s}"
        return Piece(s, PRODUCT, over=(left, right))

    def power(self, base: Piece, exponent: Piece) -> Piece:
        """``x²`` for whole exponents, ``x^(…)`` otherwise."""
        digits = exponent.s.removeprefix("−")
        if exponent.number and digits.isascii() and digits.isdigit():
            raised = exponent.s.translate(_SUPERSCRIPTS)
            return Piece(f"{base.s}{raised}", POWER, group=base.group)
        return Piece(f"{base.s}^{_within(exponent, ATOM, self).s}", POWER)

    def call(self, node: Node, args: list[Piece]) -> Piece:
        """``name(x, y)``, or the row's template."""
        template = node.op.notation.text  # type: ignore[union-attr]
        if template in ("√({0})", "∛({0})"):
            # A root is wrapped inside a power: √(x)² would be read as √(x²).
            simple = args[0].binds == ATOM and len(args[0].s) <= 2
            return Piece(template[0] + (args[0].s if simple else f"({args[0].s})"), POWER)
        if template == "{0} @ {1}":
            return Piece(template.format(*(_within(a, PRODUCT, self).s for a in args)), PRODUCT)
        if template == "|{0}|" and "|" in args[0].s:  # which bar closes which would be a riddle
            template = "abs"
        if template == "σ" and "sigma" in node.graph.inputs:  # the reader's own variable σ
            template = "sigmoid"
        if "{" in template:
            return Piece(template.format(*(a.s for a in args)), ATOM)
        return Piece(f"{template}({', '.join(a.s for a in args)})", ATOM)

    def subscript(self, base: Piece, index: str) -> Piece:
        """``x[1]``."""
        return Piece(f"{base.s}[{index}]", ATOM)


class Latex:
    """LaTeX for mathematics mode."""

    minus = "-"

    def name(self, name: str) -> str:
        """A name with subscripts and Greek letters."""
        return {E: "e", PI: r"\pi"}.get(name) or latex_name(name)

    def number(self, value: Any) -> str:
        """A number in full."""
        return latex_number(value)

    def wrap(self, s: str) -> str:
        """Parentheses that grow with what is inside."""
        return rf"\left({s}\right)"

    def product(self, left: Piece, right: Piece) -> Piece:
        """Juxtaposition with a thin space; a dot before a digit and where a call could be meant."""
        calling = right.s.startswith(r"\left(") and _LONG_NAME.search(left.s)
        sign = r" \cdot " if right.s[0].isdigit() or right.number or calling else r"\, "
        return Piece(f"{left.s}{sign}{right.s}", PRODUCT)

    def quotient(self, left: Piece, right: Piece) -> Piece:
        """A fraction."""
        return Piece(rf"\frac{{{left.s}}}{{{right.s}}}", PRODUCT, over=(left, right))

    def power(self, base: Piece, exponent: Piece) -> Piece:
        """A superscript."""
        return Piece(f"{base.s}^{{{exponent.s}}}", POWER)

    def call(self, node: Node, args: list[Piece]) -> Piece:
        r"""``\\sin\\left(x\\right)``, or the row's template."""
        template = node.op.notation.latex  # type: ignore[union-attr]
        if template == r"{0}\,{1}":
            return Piece(template.format(*(_within(a, PRODUCT, self).s for a in args)), PRODUCT)
        if _PLACE.search(template):
            binds = PRODUCT if "frac" in template else ATOM
            return Piece(template.format(*(a.s for a in args)), binds)
        return Piece(rf"{template}\left({', '.join(a.s for a in args)}\right)", ATOM)

    def subscript(self, base: Piece, index: str) -> Piece:
        """A subscript in brackets, as it was written."""
        inner = f"{{{base.s}}}" if "_{" in base.s else base.s  # LaTeX takes one subscript only
        return Piece(f"{inner}_{{[{index}]}}", ATOM)


class Code(Text):
    """Unicode text with the names of a program as they are typed: ``W1[0,0]`` and not W₁."""

    def name(self, name: str) -> str:
        """The name itself."""
        return {E: "e", PI: "π"}.get(name, name)


class LatexCode(Latex):
    """LaTeX with elements of a program's arrays."""

    def name(self, name: str) -> str:
        """The name with subscripts, and what stands in brackets behind it as it is typed."""
        stem, bracket, index = name.partition("[")
        if not bracket:
            return latex_name(name) if name.isidentifier() else super().name(name)
        if "'" in index or not stem.isidentifier():
            leaf, last, place = name.rpartition("']")
            return rf"\texttt{{{escaped(leaf + last)}}}{place}" if last else _typed(name)
        return latex_name(stem) + bracket + index


def _typed(name: str) -> str:
    return rf"\texttt{{{escaped(name)}}}"


TEXT = Text()
LATEX = Latex()
CODE = Code()
LATEX_CODE = LatexCode()
