"""Text for a terminal, set with rich: tables with aligned columns, colour where there is some."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from chainrule.explanations.explanation import Explanation
from chainrule.explanations.solution import Derivative, Partial, Quotients, Step
from chainrule.notation.expression import text
from chainrule.notation.names import text_name
from chainrule.notation.numbers import text_count, text_value
from chainrule.render import trace_page
from chainrule.render.ledger import section, shown
from chainrule.render.phrases import (
    PLAIN,
    PLAIN_CODE,
    accumulation,
    answer_symbol,
    derivation,
    edge_symbol,
    given,
    verdict,
)

# Longer solutions show this many steps from either end.
SHOWN_AT_EACH_END = 15
MAX_LINE = 1200
# Beside a trace, so many paths are listed without being asked for.
MOST_UNASKED = 8


def as_text(explanation: Explanation, width: int = 100, color: bool = False) -> str:
    """The page as a string of lines at most ``width`` columns wide."""
    return printed(page(explanation), width, color)


def printed(shown: RenderableType, width: int, color: bool) -> str:
    """What is shown, as a string of lines at most ``width`` columns wide."""
    out = io.StringIO()
    console = Console(
        file=out, width=width, force_terminal=color, no_color=not color, legacy_windows=False,
        color_system="truecolor" if color else None, markup=False, emoji=False,
    )  # fmt: skip
    console.print(shown)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def page(explanation: Explanation) -> RenderableType:
    """The whole explanation as one renderable."""
    return Group(*_sections(explanation))


def _sections(explanation: Explanation) -> Iterator[RenderableType]:
    if explanation.traces:
        yield from trace_page.sections(explanation)
        yield from _ledgers(explanation)
    else:
        yield _title(explanation)
        for reading in explanation.readings:
            yield _marked("·", reading, "yellow")
        yield Text()
        if explanation.steps:
            yield from _worked(explanation)
        yield from _answers(explanation)
    for quotients in explanation.quotients:
        yield from _quotients(explanation, quotients)
    for note in explanation.notes:
        yield _marked("·", note, "yellow")
    mark, says = verdict(explanation.check)
    yield _marked(mark, says, "green" if mark == "✓" else "bold yellow")
    if explanation.rate is not None:
        yield Text()
        yield _heading(f"One step of gradient descent with rate {text_value(explanation.rate)}")
        yield Padding(Text(explanation.update(explanation.rate).to_text(90)), (0, 0, 0, 3))
    for further in explanation.higher:
        yield Text()
        yield from _sections(further)


def _title(explanation: Explanation) -> Text:
    line = Text("  ")
    if explanation.expression is None and explanation.title.startswith(f"{explanation.result}("):
        line.append(explanation.title, style="bold")
        line.append(" = ", style="dim")
        line.append(PLAIN.value(explanation.value), style="bold cyan")
        line.append(f"    at {given(explanation, PLAIN)}", style="cyan")
        return line
    line.append(text_name(explanation.result), style="bold cyan")
    many = len(explanation.inputs) > 1
    if explanation.before:
        line.append(
            f" = {PLAIN.higher_ratio(explanation.original, explanation.before, many)}",
            style="cyan",
        )
    line.append(" = ", style="dim")
    line.append(_cut(_written(explanation)), style="bold")
    at = given(explanation, PLAIN)
    if at:
        line.append(f"    at {at}", style="cyan")
    return line


def _written(explanation: Explanation) -> str:
    """The result in terms of the inputs, or its first step and the definitions it uses."""
    if explanation.expression is None:
        return explanation.title
    if not explanation.defined:
        return text(explanation.expression)
    steps = {s.name: s for s in explanation.steps}
    parts = [text(steps[explanation.result].expression)]
    parts += [f"{text_name(n)} = {text(steps[n].expression)}" for n in explanation.defined]
    return ",  ".join(parts)


def _marked(mark: str, words: str, style: str) -> Table:
    """A mark, and a sentence that stays to the right of it on every line."""
    grid = Table.grid(padding=(0, 1))
    grid.add_row(f"  {mark}", Text(words, style=style), style=style)
    return grid


def _heading(words: str) -> Text:
    return Text(f"  {words}", style="dim italic")


def _worked(explanation: Explanation) -> Iterator[RenderableType]:
    yield _heading("Each step and its local derivative")
    yield Padding(_step_table(explanation), (0, 0, 0, 1))
    rows = list(accumulation(explanation, PLAIN))
    yield Text()
    if explanation.mode == "forward":
        yield _heading("Forward: from each variable to the result")
    else:
        yield _heading(f"Backward: from {rows[0].symbol} = 1 to the variables")
    yield Padding(_accumulation_table(rows), (0, 0, 1, 2))


def _step_table(explanation: Explanation) -> Table:
    table = Table(box=box.ROUNDED, border_style="dim", header_style="bold", pad_edge=True)
    numeric = any(s.value is not None for s in explanation.steps)
    sourced = any(s.line is not None for s in explanation.steps)
    table.add_column("step", style="cyan", no_wrap=True)
    table.add_column("expression", overflow="fold")
    if numeric:
        table.add_column("value", justify="right", overflow="fold")
    table.add_column("local derivative", overflow="fold")
    if numeric:
        table.add_column("its value", justify="right", overflow="fold")
    if sourced:
        table.add_column("line", justify="right", style="dim")
    for step in _shortened(explanation.steps):
        if isinstance(step, int):
            table.add_row(*_gap(step, numeric, sourced))
        else:
            for cells in _step_cells(explanation, step, numeric, sourced):
                table.add_row(*cells)
    return table


def _shortened(steps: tuple[Step, ...]) -> Iterator[Step | int]:
    """All steps, or the ends with the number of steps between them."""
    if len(steps) <= 2 * SHOWN_AT_EACH_END + 1:
        yield from steps
        return
    yield from steps[:SHOWN_AT_EACH_END]
    yield len(steps) - 2 * SHOWN_AT_EACH_END
    yield from steps[-SHOWN_AT_EACH_END:]


def _gap(count: int, numeric: bool, sourced: bool) -> list[str]:
    words = f"… {count:,} steps folded …"
    return [
        "⋮",
        words,
        *([""] if numeric else []),
        "",
        *([""] if numeric else []),
        *([""] if sourced else []),
    ]


def _step_cells(
    explanation: Explanation, step: Step, numeric: bool, sourced: bool
) -> Iterator[list[RenderableType]]:
    """A row for the step with its first local derivative, and one for each further one."""
    expression = _folded(step) if step.expression is None else _cut(text(step.expression))
    value = "" if step.value is None else PLAIN.value(step.value)
    line = "" if step.line is None else str(step.line)
    for i, edge in enumerate(step.partials or (None,)):
        first = i == 0
        cells: list[RenderableType] = [
            text_name(step.name) if first else "",
            expression if first else "",
        ]
        cells += [value if first else ""] if numeric else []
        cells.append("" if edge is None else _local(explanation, edge))
        cells += (
            ["" if edge is None or edge.value is None else PLAIN.value(edge.value)]
            if numeric
            else []
        )
        cells += [line if first else ""] if sourced else []
        yield cells


def _folded(step: Step) -> str:
    names = ", ".join(text_name(e.of) for e in step.partials)
    return f"⋯ {step.count:,} operations on {names}, folded"


def _local(explanation: Explanation, edge: Partial) -> Text:
    """``du₂/du₁ = 1/u₁``; for arrays, with the structure of the Jacobian."""
    shown = Text(f"{edge_symbol(explanation, edge, PLAIN)} = ", style="dim")
    if edge.structure == "diagonal" and edge.expression is not None:
        return shown.append(f"diag({text(edge.expression)})", style="not dim")
    words = "…" if edge.expression is None else _cut(text(edge.expression))
    return shown.append(edge.structure or words, style="not dim")


def _accumulation_table(rows: list[Any]) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 1))
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column(style="dim", overflow="fold")
    table.add_column(overflow="fold")
    shown = rows if len(rows) <= 2 * SHOWN_AT_EACH_END else [
        *rows[:SHOWN_AT_EACH_END], None, *rows[-SHOWN_AT_EACH_END:]
    ]  # fmt: skip
    for row in shown:
        if row is None:
            table.add_row("⋮", f"… {len(rows) - 2 * SHOWN_AT_EACH_END:,} rows folded …", "", "")
            continue
        numbers = f"= {row.numbers}" if row.numbers else ""
        value = f"= {row.value}" if row.value and row.expression != "1" else ""
        table.add_row(row.symbol, f"= {row.expression}", numbers, value)
    return table


def _answers(explanation: Explanation) -> Iterator[RenderableType]:
    for derivative in explanation.derivatives:
        yield Padding(_derivation_table(explanation, derivative), (0, 0, 0, 2))
        if derivative.remark:
            yield Text(f"  {derivative.remark}", style="yellow")
        yield Text()
        yield from _ledger(explanation, derivative)


def _ledgers(explanation: Explanation) -> Iterator[RenderableType]:
    for derivative in explanation.derivatives:
        yield from _ledger(explanation, derivative)


def _ledger(explanation: Explanation, derivative: Derivative) -> Iterator[RenderableType]:
    routes = derivative.routes
    if explanation.traces and not explanation.show_paths and routes is not None:
        # The table says already how they add up: many of them would hide it.
        if not routes.small() or routes.count < 2:
            return
        if routes.count > MOST_UNASKED:
            yield _heading(
                f"{text_count(routes.count)} paths lead from {explanation.result} to "
                f"{derivative.variable}: --paths (paths=True) lists them"
            )
            yield Text()
            return
    ledger = shown(explanation, derivative)
    if isinstance(ledger, str):
        yield _marked("!", ledger, "yellow")
    elif ledger is not None:
        script = PLAIN_CODE if explanation.traces else PLAIN
        yield from section(ledger, bool(explanation.show_paths), script)


def _derivation_table(explanation: Explanation, derivative: Derivative) -> Table:
    symbol = answer_symbol(explanation, derivative.variable, PLAIN)
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 0))
    table.add_column(style="bold cyan", no_wrap=True)
    table.add_column()
    table.add_column(overflow="fold")
    table.add_column(style="dim italic")
    lines = derivation(explanation, derivative.variable, PLAIN)
    for i, (reason, line) in enumerate(lines):
        style = "bold green" if i == len(lines) - 1 else ""
        table.add_row(symbol if i == 0 else "", "=", Text(_cut(line), style=style), reason)
    if derivative.value is not None:
        at = given(explanation, PLAIN)
        where = f"at {at}" if len(at) < 30 else "at this point"
        value = Text(_full_value(derivative.value), style="bold green")
        table.add_row("" if lines else symbol, "=", value, where)
    return table


def _cut(line: str) -> str:
    """A line that a person may still read; the JSON has all of it."""
    if len(line) <= MAX_LINE:
        return line
    return f"{line[:MAX_LINE]} … ({len(line):,} characters; --format json has them all)"


def _full_value(value: Any) -> str:
    """A number, or an array as NumPy prints it."""
    return PLAIN.value(value) if np.ndim(value) == 0 else np.array2string(np.asarray(value))


def _quotients(explanation: Explanation, quotients: Quotients) -> Iterator[RenderableType]:
    variable = text_name(quotients.variable)
    result = text_name(explanation.result)
    yield _heading(f"Rates multiply: difference quotients for a shrinking Δ{variable}")
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", border_style="dim", padding=(0, 1))
    table.add_column("quotient", style="cyan")
    for delta in quotients.deltas:
        table.add_column(f"Δ{variable} = {text_value(delta, 6)}", justify="right", overflow="fold")
    table.add_column("limit", justify="right", style="green", overflow="fold")
    for row in quotients.rows:
        name = f"Δ{text_name(row.step)}/Δ{text_name(row.of)}"
        table.add_row(name, *(text_value(q) for q in row.quotients), text_value(row.limit))
    table.add_section()
    combined = "their product" if _is_chain(quotients) else "products, added over paths"
    table.add_row(
        combined, *(text_value(p) for p in quotients.products), text_value(quotients.limit)
    )
    direct = f"Δ{result}/Δ{variable} directly"
    table.add_row(direct, *(text_value(p) for p in quotients.direct), "")
    yield Padding(table, (0, 0, 0, 1))


def _is_chain(quotients: Quotients) -> bool:
    return len({row.step for row in quotients.rows}) == len(quotients.rows)
