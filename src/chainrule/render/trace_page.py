"""The page of a gradient trace for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from chainrule.explanations.explanation import Explanation
from chainrule.explanations.solution import Step
from chainrule.explanations.trace import Collapse, Trace, TraceRow
from chainrule.notation.expression import CODE, piece
from chainrule.notation.numbers import text_value
from chainrule.render.phrases import PLAIN_CODE
from chainrule.render.trace import FULL, SHORT, Cells, product, rows, shaped

# Of longer programs this many steps and rows are shown from either end.
SHOWN_AT_EACH_END = 15
# More inputs than this are not listed with their values, and not more signs of them.
MOST_INPUTS = 12
MOST_SIGNS = 300
# Larger gradients are told by their shape, size and largest number.
MOST_NUMBERS = 64
# From this width on there is room for all digits of the numbers put in.
_WIDE = 116


def sections(explanation: Explanation) -> Iterator[RenderableType]:
    """The page without its notes and verdict."""
    yield _title(explanation)
    point = _point(explanation)
    if point:
        yield Padding(_Listed("at", point, "cyan"), (0, 0, 0, 2))
    yield Text()
    if explanation.steps:
        yield _heading("Forward: what each step is")
        yield Padding(_forward(explanation), (0, 0, 0, 1))
    for trace in explanation.traces:
        yield from _trace(trace)


def _title(explanation: Explanation) -> Text:
    line = Text("  ")
    line.append(explanation.title, style="bold")
    line.append(" = ", style="dim")
    line.append(PLAIN_CODE.value(explanation.value), style="bold cyan")
    return line


def _heading(words: str) -> Text:
    return Text(f"  {words}", style="dim italic")


def _point(explanation: Explanation) -> list[str]:
    """The point: small values in full, larger ones by their shape, if there is room for them."""
    inputs = {n: v for n, v in explanation.inputs.items() if v is not None}
    shown = [f"{n} = {PLAIN_CODE.value(v)}" for n, v in inputs.items()]
    if len(inputs) <= MOST_INPUTS and sum(map(len, shown)) <= MOST_SIGNS:
        return shown
    shapes = [f"{n} = {_shape(v)}" for n, v in inputs.items()]
    if len(shapes) > MOST_INPUTS:
        shapes = [*shapes[:MOST_INPUTS], f"and {len(shapes) - MOST_INPUTS} more"]
    return shapes


class _Listed:
    """Pieces with commas between them; a line ends between two of them."""

    def __init__(self, word: str, pieces: list[str], style: str) -> None:
        self.word, self.pieces, self.style = word, pieces, style

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines, line = [], self.word
        for i, part in enumerate(self.pieces):
            part += "," if i < len(self.pieces) - 1 else ""
            if len(line) + 1 + len(part) > options.max_width and line != self.word:
                lines.append(line)
                line = " " * len(self.word)
            line += f" {part}"
        yield Text("\n".join([*lines, line]), style=self.style)


def _shape(value: Any) -> str:
    if not np.ndim(value):
        return PLAIN_CODE.value(value)
    return "[" + "×".join(map(str, np.shape(value))) + "]"


def _forward(explanation: Explanation) -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", border_style="dim", padding=(0, 1))
    table.add_column("step", style="cyan", no_wrap=True)
    table.add_column("expression", overflow="fold")
    table.add_column("value", overflow="fold")
    table.add_column("line", justify="right", style="dim", no_wrap=True)
    steps = explanation.steps
    hidden = len(steps) - 2 * SHOWN_AT_EACH_END
    for i, step in enumerate(steps):
        if hidden > 1 and SHOWN_AT_EACH_END <= i < len(steps) - SHOWN_AT_EACH_END:
            if i == SHOWN_AT_EACH_END:
                table.add_row("⋮", f"… {hidden:,} steps folded …", "", "")
            continue
        line = "" if step.line is None else str(step.line)
        table.add_row(step.name, _expression(step), shaped(step.value, PLAIN_CODE), line)
    return table


def _expression(step: Step) -> str:
    if step.expression is None:
        return f"⋯ {step.count:,} operations"
    written = piece(step.expression, CODE).s
    if step.known is not None:
        written += f" = {piece(step.known, CODE).s}"
    return written if len(written) <= 200 else f"⋯ {step.count:,} operations"


def _trace(trace: Trace) -> Iterator[RenderableType]:
    symbol = PLAIN_CODE.ratio(trace.result, trace.variable, True)
    if not trace.rows:
        yield _heading(f"{trace.result} does not depend on {trace.variable}")
        yield Padding(_answer(symbol, "0"), (0, 0, 1, 2))
        return
    yield _heading(f"Gradient trace: from {trace.result} back to {trace.variable}")
    yield Padding(_Rows(trace), (0, 0, 0, 1))
    yield Padding(_Product(trace, symbol), (0, 0, 0, 2))
    for collapse in trace.collapses:
        yield Text()
        yield _heading(f"Shorter: {collapse.says}")
        yield Padding(_collapsed(collapse), (0, 0, 0, 2))
    if trace.element.index:
        yield Text()
        yield Padding(_gradient(trace), (0, 0, 0, 2))
    yield Text()


class _Rows:
    """The table: the numbers put in stand beside the expression where there is room for them."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for digits in (FULL, SHORT):
            found = _listed(self.trace, digits)
            if _width(found) <= options.max_width:
                yield _side_by_side(found)
                return
        yield _stacked(_listed(self.trace, FULL))


# A row of the table, and how its result is set; a number stands for that many rows left out.
_Row = tuple[TraceRow, Cells, str]


def _listed(trace: Trace, digits: int) -> list[_Row | int]:
    found: list[_Row | int] = []
    every = list(rows(trace, PLAIN_CODE, digits))
    for row, cells in every:
        last = row is every[-1][0]
        found.append((row, cells, "bold green" if last else "bold" if row.total else ""))
    hidden = len(found) - 4 * SHOWN_AT_EACH_END
    if hidden <= 1:
        return found
    return [*found[: 2 * SHOWN_AT_EACH_END], hidden, *found[-2 * SHOWN_AT_EACH_END :]]


def _width(found: list[_Row | int]) -> int:
    """How wide the table is with the numbers beside the expressions."""
    widest = [len(word) for word in ("step", "expression", "values", "result", "line")]
    for listed in found:
        if not isinstance(listed, int):
            row, cells, _ = listed
            texts = (cells.symbol, cells.expression, cells.values, cells.result, str(row.line))
            widest = [max(n, cell_len(text)) for n, text in zip(widest, texts, strict=True)]
    return sum(widest) + 3 * len(widest) + 1  # a space on both sides, and where lines would be


def _table() -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", border_style="dim", padding=(0, 1))
    table.add_column("step", style="cyan", no_wrap=True)
    return table


def _side_by_side(found: list[_Row | int]) -> Table:
    table = _table()
    table.add_column("expression", overflow="fold")
    table.add_column("values", style="dim", overflow="fold")
    table.add_column("result", overflow="fold")
    table.add_column("line", justify="right", style="dim", no_wrap=True)
    for listed in found:
        if isinstance(listed, int):
            table.add_row("⋮", f"… {listed:,} rows folded …", "", "", "")
            continue
        row, cells, style = listed
        line = "" if row.line is None or row.total else str(row.line)
        table.add_row(
            cells.symbol, cells.expression, cells.values, Text(cells.result, style=style), line
        )
    return table


def _stacked(found: list[_Row | int]) -> Table:
    """The numbers below the expression."""
    table = _table()
    table.add_column("expression, and its values", overflow="fold")
    table.add_column("result", overflow="fold")
    for listed in found:
        if isinstance(listed, int):
            table.add_row("⋮", f"… {listed:,} rows folded …", "")
            continue
        _, cells, style = listed
        put_in = Text(cells.expression)
        if cells.values:
            put_in.append(f"\n{cells.values}", style="dim")
        table.add_row(cells.symbol, put_in, Text(cells.result, style=style))
    return table


class _Product:
    """The answer, as the product of all slopes where the way is a single chain."""

    def __init__(self, trace: Trace, symbol: str) -> None:
        self.trace, self.symbol = trace, symbol

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        digits = FULL if options.max_width >= _WIDE else SHORT
        found = product(self.trace, PLAIN_CODE, digits)
        yield _answer(self.symbol, PLAIN_CODE.value(self.trace.value), *(found or ()))


def _answer(symbol: str, value: str, *before: str) -> Table:
    """What the derivative is, line by line."""
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(style="bold cyan", no_wrap=True)
    table.add_column()
    table.add_column(overflow="fold")
    for i, line in enumerate((*before, value)):
        style = "bold green" if i == len(before) else ""
        table.add_row(symbol if i == 0 else "", "=", Text(line, style=style))
    return table


def _collapsed(collapse: Collapse) -> Table:
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(style="bold cyan", no_wrap=True)
    table.add_column()
    table.add_column(overflow="fold")
    table.add_column(style="dim italic", overflow="fold")
    table.padding = (0, 2, 0, 0)
    symbol = PLAIN_CODE.ratio(collapse.step, collapse.of, True)
    for i, (expression, reason) in enumerate(collapse.lines):
        shown = piece(expression, CODE).s
        table.add_row(symbol if i == 0 else "", "=", shown, reason)
    table.add_row("", "=", shaped(collapse.value, PLAIN_CODE), "")
    return table


def _gradient(trace: Trace) -> Table:
    """The gradient of the whole array, or what is to know of it."""
    symbol = PLAIN_CODE.ratio(trace.result, trace.element.leaf, True)
    array = np.asarray(trace.gradient)
    if array.size <= MOST_NUMBERS:
        return _answer(symbol, np.array2string(array, max_line_width=70))
    with np.errstate(all="ignore"):
        norm = float(np.linalg.norm(array.astype(float)))
        place = np.unravel_index(int(np.nanargmax(np.abs(array))), array.shape) if (
            np.isfinite(array).any()
        ) else (0,) * array.ndim  # fmt: skip
    where = f"{trace.element.leaf}[{','.join(str(int(i)) for i in place)}]"
    words = (
        f"{'×'.join(map(str, array.shape))} numbers, ‖·‖ = {text_value(norm, 6)}, the largest "
        f"{text_value(array[place], 6)} at {where}"
    )
    return _answer(symbol, words)
