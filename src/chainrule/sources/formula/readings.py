"""Readings: one sentence for each place that could be read in two ways.

The sentence quotes the place and writes it again so that it can be read in only one way.
"""

from __future__ import annotations

from collections.abc import Iterable

from chainrule.sources.formula.build import Note
from chainrule.sources.formula.syntax import Call, Expression, Name, Number, postorder

LONGEST_QUOTE = 60

_SUM, _PRODUCT, _SIGN, _POWER, _ATOM = range(5)
_INFIX = {
    "add": ("+", _SUM, _SUM, _PRODUCT),
    "subtract": ("-", _SUM, _SUM, _PRODUCT),
    "multiply": ("·", _PRODUCT, _PRODUCT, _SIGN),
    "divide": ("/", _PRODUCT, _PRODUCT, _POWER),
    "power": ("^", _POWER, _ATOM, _ATOM),
    "less": ("<", _SUM, _SUM, _SUM),
    "less_equal": ("<=", _SUM, _SUM, _SUM),
    "greater": (">", _SUM, _SUM, _SUM),
    "greater_equal": (">=", _SUM, _SUM, _SUM),
    "equal": ("==", _SUM, _SUM, _SUM),
    "not_equal": ("!=", _SUM, _SUM, _SUM),
}
"""For each operator: its sign, its strength, and how strong its operands must be."""


def sentences(text: str, notes: Iterable[Note]) -> tuple[str, ...]:
    """The readings of a formula, in the order of the text and without repetition."""
    return tuple(dict.fromkeys(_sentence(text, note) for note in _outermost(notes)))


def _outermost(notes: Iterable[Note]) -> list[Note]:
    """A sentence about a place speaks for everything inside it, unless it is cut short."""
    kept: list[Note] = []
    covered = 0
    for note in sorted(notes, key=lambda note: (note.start, -note.end)):
        if note.end <= covered:
            continue
        kept.append(note)
        if note.end - note.start <= LONGEST_QUOTE:
            covered = note.end
    return kept


def _sentence(text: str, note: Note) -> str:
    if note.end - note.start > LONGEST_QUOTE:
        quoted, read = _cut(text[note.start : note.end]), _outline(text, note.node)
    else:
        quoted, read = " ".join(text[note.start : note.end].split()), written(note.node)
    return f"`{quoted}` is read as {read}"


def _cut(quote: str) -> str:
    if len(quote) > 4 * LONGEST_QUOTE:  # the middle is never shown
        quote = quote[: 2 * LONGEST_QUOTE] + quote[-2 * LONGEST_QUOTE :]
    plain = " ".join(quote.split())
    return plain if len(plain) <= LONGEST_QUOTE // 2 else f"{plain[:12]}…{plain[-12:]}"


def _outline(text: str, node: Expression) -> str:
    """Only the outermost step of a long expression."""
    if not isinstance(node, Call):
        return _cut(text[node.start : node.end])
    parts = [_cut(text[arg.start : arg.end]) for arg in node.args]
    if node.function in _INFIX:
        return _INFIX[node.function][0].join(f"({part})" for part in parts)
    return f"{node.function}({', '.join(parts)})"


def written(root: Expression) -> str:
    """The expression with every product and every argument marked; for short expressions."""
    stack: list[tuple[str, int]] = []
    for node in postorder(root):
        if isinstance(node, Call):
            count = len(node.args)
            args, stack = stack[len(stack) - count :], stack[: len(stack) - count]
            stack.append(_written_call(node, args))
        else:
            stack.append((node.text if isinstance(node, Number) else node.name, _ATOM))
    return stack[0][0]


def _written_call(node: Call, args: list[tuple[str, int]]) -> tuple[str, int]:
    if node.function == "negative":
        return f"-{_at_least(args[0], _POWER)}", _SIGN
    if node.function not in _INFIX:
        name = "ln" if node.function == "log" else node.function
        return f"{name}({', '.join(text for text, _ in args)})", _ATOM
    sign, strength, left, right = _INFIX[node.function]
    if node.function == "multiply":
        return _product(node, args), strength
    return f"{_at_least(args[0], left)}{sign}{_at_least(args[1], right)}", strength


def _product(node: Call, args: list[tuple[str, int]]) -> str:
    """``2x``, ``x·y``, ``(1/2)·x``."""
    first, second = node.args
    left = _at_least(args[0], _PRODUCT)
    right = _at_least(args[1], _POWER)
    if isinstance(first, Call) and first.function in ("divide", "power"):
        left = f"({args[0][0]})"
    beside = isinstance(first, Number) and right[0].isalpha() and not _is_e(second)
    return f"{left}{right}" if beside else f"{left}·{right}"


def _is_e(node: Expression) -> bool:
    """``2e3`` must not come out of 2·e3."""
    return isinstance(node, Name) and node.name.startswith("e")


def _at_least(written: tuple[str, int], strength: int) -> str:
    text, own = written
    return text if own >= strength else f"({text})"
