"""Expressions in print: a graph node as text that reads like a textbook, or as LaTeX.

The text is written so that chainrule's own parser reads it back as the same expression. Strings
are built bottom-up over the topological order; a shared node is written out wherever it is used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from chainrule.graph.node import PI, E, Node, ancestors
from chainrule.render.names import latex_name, text_name
from chainrule.render.numbers import latex_number, text_number

# How tightly an expression holds together; an operand that holds less gets parentheses.
COMPARISON, SUM, PRODUCT, POWER, ATOM = range(5)
MAX_LENGTH = 4000


@dataclass(frozen=True, slots=True)
class Piece:
    """A printed expression, how tightly it binds, and whether it starts with a minus sign."""

    s: str
    binds: int
    number: bool = False

    @property
    def negative(self) -> bool:
        """Whether a sign stands in front."""
        return self.s.startswith(("−", "-"))


class Style(Protocol):
    """What text and LaTeX do differently."""

    minus: str

    def name(self, name: str) -> str: ...
    def number(self, value: Any) -> str: ...
    def wrap(self, s: str) -> str: ...
    def product(self, left: Piece, right: Piece) -> Piece: ...
    def quotient(self, left: Piece, right: Piece) -> Piece: ...
    def power(self, base: Piece, exponent: Piece) -> Piece: ...
    def call(self, node: Node, args: list[Piece]) -> Piece: ...
    def subscript(self, base: Piece, index: str) -> Piece: ...


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
        args = [
            pieces[a.index] if isinstance(a, Node) else _constant(a, style) for a in node.args
        ]
        done = _PRINTERS.get(node.op.name, _call)(node, args, style)
        pieces[node.index] = done if len(done.s) <= MAX_LENGTH else Piece("…", ATOM)
    return pieces[expression.index]


def _constant(value: Any, style: Style) -> Piece:
    if np.ndim(value):
        return Piece(_array(value, style), ATOM)
    s = style.number(value)
    power_of_ten = "10^" in s
    return Piece(s, SUM if s.startswith(style.minus) else PRODUCT if power_of_ten else ATOM, True)


def _array(value: Any, style: Style) -> str:
    array = np.asarray(value)
    if array.size > 8:
        return "[" + "×".join(map(str, array.shape)) + "]"
    return np.array2string(array, separator=", ", formatter={"all": style.number}).replace("\n", "")


def _within(p: Piece, level: int, style: Style) -> Piece:
    """Parentheses if ``p`` binds less than ``level``."""
    return p if p.binds >= level else Piece(style.wrap(p.s), ATOM)


def _add(_: Node, args: list[Piece], style: Style) -> Piece:
    left, right = args
    if right.negative and right.binds >= SUM:
        return Piece(f"{left.s} {style.minus} {right.s[len(style.minus):].lstrip()}", SUM)
    return Piece(f"{left.s} + {right.s}", SUM)


def _subtract(_: Node, args: list[Piece], style: Style) -> Piece:
    left, right = args
    right = Piece(style.wrap(right.s), ATOM) if right.negative else _within(right, PRODUCT, style)
    return Piece(f"{left.s} {style.minus} {right.s}", SUM)


def _negative(_: Node, args: list[Piece], style: Style) -> Piece:
    inner = args[0]
    inner = Piece(style.wrap(inner.s), ATOM) if inner.negative else _within(inner, PRODUCT, style)
    # Binds like a sum: −x must be wrapped inside products, powers and quotients.
    return Piece(f"{style.minus}{inner.s}", SUM)


def _multiply(_: Node, args: list[Piece], style: Style) -> Piece:
    return style.product(_within(args[0], PRODUCT, style), _within(args[1], PRODUCT, style))


def _divide(_: Node, args: list[Piece], style: Style) -> Piece:
    return style.quotient(args[0], args[1])


def _power(_: Node, args: list[Piece], style: Style) -> Piece:
    return style.power(_within(args[0], ATOM, style), args[1])


def _exp(node: Node, args: list[Piece], style: Style) -> Piece:
    if "e" in node.graph.inputs:  # the reader's own variable e
        return _call(node, args, style)
    return style.power(Piece("e", ATOM), args[0])


def _index(node: Node, args: list[Piece], style: Style) -> Piece:
    index = node.attrs["index"]
    parts = index if isinstance(index, tuple) else (index,)
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
    sign = node.op.notation.latex if style is LATEX else node.op.notation.text  # type: ignore[union-attr]
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
    "square": lambda node, args, style: style.power(
        _within(args[0], ATOM, style), Piece("2", ATOM, True)
    ),
    "exp": _exp,
    "index": _index,
    **dict.fromkeys(
        ("less", "less_equal", "greater", "greater_equal", "equal", "not_equal"), _comparison
    ),
}

_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


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
        plain_number = left.number and left.binds == ATOM
        letter = right.s[0].isalpha() or right.s[0] in "(√∛"
        joined = (plain_number and letter and not right.number) or (
            right.s[0] == "(" and (left.s[-1] == ")" or left.s[-1] in "⁰¹²³⁴⁵⁶⁷⁸⁹")
        )
        return Piece(f"{left.s}{'' if joined else '·'}{right.s}", PRODUCT)

    def quotient(self, left: Piece, right: Piece) -> Piece:
        """``a/b`` with parentheses as needed."""
        return Piece(
            f"{_within(left, PRODUCT, self).s}/{_within(right, POWER, self).s}", PRODUCT
        )

    def power(self, base: Piece, exponent: Piece) -> Piece:
        """``x²`` for small whole exponents, ``x^(…)`` otherwise."""
        if exponent.number and exponent.s.isdigit():
            return Piece(f"{base.s}{exponent.s.translate(_SUPERSCRIPTS)}", POWER)
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
        """Juxtaposition with a thin space, a dot before a digit."""
        sign = r" \cdot " if right.s[0].isdigit() or right.number else r"\, "
        return Piece(f"{left.s}{sign}{right.s}", PRODUCT)

    def quotient(self, left: Piece, right: Piece) -> Piece:
        """A fraction; a minus sign above moves in front of it."""
        return Piece(rf"\frac{{{left.s}}}{{{right.s}}}", PRODUCT)

    def power(self, base: Piece, exponent: Piece) -> Piece:
        """A superscript."""
        return Piece(f"{base.s}^{{{exponent.s}}}", POWER)

    def call(self, node: Node, args: list[Piece]) -> Piece:
        r"""``\\sin\\left(x\\right)``, or the row's template."""
        template = node.op.notation.latex  # type: ignore[union-attr]
        if template == r"{0}\,{1}":
            return Piece(template.format(*(_within(a, PRODUCT, self).s for a in args)), PRODUCT)
        if "{" in template and "{0}" in template:
            return Piece(template.format(*(a.s for a in args)), PRODUCT if "frac" in template else ATOM)
        return Piece(rf"{template}\left({', '.join(a.s for a in args)}\right)", ATOM)

    def subscript(self, base: Piece, index: str) -> Piece:
        """A subscript in brackets, as it was written."""
        return Piece(f"{base.s}_{{[{index}]}}", ATOM)


TEXT = Text()
LATEX = Latex()
