"""A gradient check in print: plain text, and the same set with rich for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from chainrule.checking.result import GradientCheck, Verdict
from chainrule.notation.numbers import text_value

if TYPE_CHECKING:
    from rich.console import RenderableType

MARKS = {
    Verdict.PASS: ("✓", "green"),
    Verdict.WRONG: ("✗", "bold red"),
    Verdict.KINK: ("!", "bold yellow"),
    Verdict.INCONCLUSIVE: ("?", "bold yellow"),
}
DIGITS = {"float16": 4, "float32": 8}


def as_text(check: GradientCheck) -> str:
    """The check as lines of text."""
    rows = list(_rows(check))
    width = max((len(label) for label, _ in rows), default=0)
    lines = [_title(check), ""]
    lines += [f"  {label:<{width}}   {value}" for label, value in rows]
    mark, _ = MARKS[check.verdict]
    return "\n".join([*lines, "", *(f"  {mark if i == 0 else '·'} {s}" for i, s in _said(check))])


def page(check: GradientCheck) -> RenderableType:
    """The check set for a terminal with colours."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    mark, style = MARKS[check.verdict]
    rows = Table.grid(padding=(0, 3, 0, 0))
    rows.add_column(style="dim")
    rows.add_column(overflow="fold")
    for label, value in _rows(check):
        rows.add_row(f"  {label}", Text(value, style="cyan" if label == "worst" else ""))
    said = Table.grid(padding=(0, 1))
    for i, sentence in _said(check):
        shown = Text(sentence, style=style if i == 0 else "")
        said.add_row(Text(f"  {mark}" if i == 0 else "  ·", style=style), shown)
    return Group(Text(_title(check), style="bold"), Text(), rows, Text(), said)


def _title(check: GradientCheck) -> str:
    by = "chainrule's derivative" if check.derivative == "chainrule" else check.derivative
    return f"  {by} against {check.function}"


def _rows(check: GradientCheck) -> Iterator[tuple[str, str]]:
    digits = DIGITS.get(check.dtype, 12)
    worst = check.worst
    if worst is not None:
        yield "worst", worst.name
        sure = f"   ± {worst.uncertainty:.1g}"
        yield "expected", f"{text_value(worst.expected, digits)}{sure}, from differences"
        if worst.left is not None and worst.right is not None:
            yield "left", text_value(worst.left, digits)
            yield "right", text_value(worst.right, digits)
        yield "found", text_value(worst.found, digits)
    if check.order is not None:
        yield "order", f"{check.order:.2f}"
    step = "step swept" if check.eps is None else f"eps = {check.eps:g} fixed"
    yield "checked", f"{check.coverage}; {check.dtype}, {step}, {check.calls:,} calls"


def _said(check: GradientCheck) -> Iterator[tuple[int, str]]:
    """The verdict first, then the pattern and the notes."""
    yield 0, f"{check.verdict.value}: {check.says}"
    further = [] if check.pattern is None else [check.pattern.says]
    yield from enumerate([*further, *check.notes], 1)
