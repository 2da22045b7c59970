"""The course of a training in a terminal: the loss as a curve, gradient flow in rows."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from chainrule.nn.history import History
from chainrule.notation.numbers import text_value

ROWS = 9
WIDEST = 60
MOST_PARAMETERS = 24
_MARKS = (("loss", "●", "cyan"), ("validation loss", "○", "yellow"))
_BARS = "▁▂▃▄▅▆▇█"


def as_text(history: History, width: int = 100, color: bool = False) -> str:
    """The page as a string of lines at most ``width`` columns wide."""
    out = io.StringIO()
    console = Console(
        file=out, width=width, force_terminal=color, no_color=not color, legacy_windows=False,
        color_system="truecolor" if color else None, markup=False, emoji=False, highlight=False,
    )  # fmt: skip
    console.print(page(history, width))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def page(history: History, width: int = 100) -> RenderableType:
    """Curves, gradient flow and why training ended."""
    return Group(*_sections(history, width))


def _sections(history: History, width: int) -> Iterator[RenderableType]:
    if not len(history):
        yield Text("  no epoch was trained")
        return
    curves = {name: history[name] for name, _, _ in _MARKS if name in history.columns}
    yield from _chart(curves, min(WIDEST, width - 16))
    if history.gradients:
        yield Text()
        yield from _flow(history.gradients, width)
    if history.stopped:
        yield Text()
        yield Text(f"  · stopped after epoch {len(history)}: {history.stopped}", style="yellow")


def _chart(curves: dict[str, list[float]], columns: int) -> Iterator[Text]:
    """Curves over the epochs, on a logarithmic scale where all values are positive."""
    values = [v for curve in curves.values() for v in curve if math.isfinite(v)]
    if not values:
        yield Text("  the loss is not finite", style="bold red")
        return
    logarithmic = min(values) > 0
    low, high = _scaled(min(values), logarithmic), _scaled(max(values), logarithmic)
    rows = {
        name: _rows(_heights(curve, columns, logarithmic), low, high)
        for name, curve in curves.items()
    }
    title = Text("  Loss" + (" (logarithmic scale)" if logarithmic else ""), style="bold")
    if len(curves) > 1:
        for name, mark, style in _MARKS:
            title.append(f"   {mark} ", style=style).append(name, style="not bold")
    yield title
    scale = [low + (high - low) * row / (ROWS - 1) for row in range(ROWS)]
    labels = _labels([math.exp(v) if logarithmic else v for v in scale[::2]])
    for row in reversed(range(ROWS)):
        line = Text("  ")
        line.append(" " * 10 + "│" if row % 2 else f"{labels[row // 2]:>9} ┤")
        for column in range(columns):
            marks = [
                (mark, style) for name, mark, style in _MARKS
                if name in rows and row in rows[name][column]
            ]  # fmt: skip
            if len(marks) > 1:
                line.append("◉", style="bold")
            else:
                line.append(*(marks[0] if marks else (" ", "")))
        line.rstrip()
        yield line
    count = len(next(iter(curves.values())))
    yield Text("  " + " " * 10 + "└" + "─" * columns)
    yield Text("  " + " " * 11 + f"1{'epoch':^{max(columns - 1 - len(str(count)), 5)}}{count}")


def _labels(values: list[float]) -> list[str]:
    """Numbers with as few digits as tell them apart."""
    for digits in range(3, 8):
        found = [text_value(v, digits) for v in values]
        if len(set(found)) == len(set(values)):
            break
    return found


def _scaled(value: float, logarithmic: bool) -> float:
    return math.log(value) if logarithmic else value


def _heights(curve: Sequence[float], columns: int, logarithmic: bool) -> list[float]:
    """The curve at every column: straight lines between the epochs."""
    found = []
    for column in range(columns):
        place = column / max(columns - 1, 1) * (len(curve) - 1)
        left = min(int(place), max(len(curve) - 2, 0))
        a, b = curve[left], curve[min(left + 1, len(curve) - 1)]
        if not (math.isfinite(a) and math.isfinite(b)):
            found.append(math.nan)
            continue
        a, b = _scaled(a, logarithmic), _scaled(b, logarithmic)
        found.append(a + (b - a) * (place - left))
    return found


def _rows(heights: Sequence[float], low: float, high: float) -> list[range]:
    """The rows that a curve covers in each column: steep pieces have no gaps."""
    found: list[range] = []
    before: int | None = None
    for height in heights:
        if math.isnan(height):
            before = None
            found.append(range(0))
            continue
        row = round((height - low) / (high - low) * (ROWS - 1)) if high > low else 0
        if before is None or abs(before - row) < 2:
            found.append(range(row, row + 1))
        else:
            found.append(range(row, before) if row < before else range(before + 1, row + 1))
        before = row
    return found


def _flow(gradients: dict[str, list[float]], width: int) -> Iterator[RenderableType]:
    """One row for each parameter, all on one scale: a layer that gets no gradient is seen."""
    yield Text("  Gradient flow: the mean ‖∂loss/∂parameter‖ of each epoch", style="bold")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="not bold dim")
    table.add_column("parameter", style="cyan", overflow="fold")
    longest = max(map(len, gradients))
    columns = max(8, min(36, width - longest - 34))
    epochs = len(next(iter(gradients.values())))
    table.add_column(f"epochs 1 to {epochs}, log scale", no_wrap=True)
    for title in ("first", "last"):
        table.add_column(title, justify="right")
    logs = [math.log10(v) for row in gradients.values() for v in row if 0 < v < math.inf]
    low, high = (min(logs), max(logs)) if logs else (0.0, 0.0)
    for name, values in _shown(gradients):
        if values is None:
            table.add_row(name, "", "", "")
            continue
        table.add_row(name, _bars(values, low, high, columns), *map(_size, (values[0], values[-1])))
    yield Padding(table, (0, 0, 0, 2))


def _shown(gradients: dict[str, list[float]]) -> Iterator[tuple[str, list[float] | None]]:
    """The rows, with a gap in place of the middle ones where there are many."""
    rows = list(gradients.items())
    if len(rows) <= MOST_PARAMETERS:
        yield from rows
        return
    half = MOST_PARAMETERS // 2
    yield from rows[:half]
    yield f"… {len(rows) - 2 * half} more", None
    yield from rows[-half:]


def _bars(values: Sequence[float], low: float, high: float, columns: int) -> Text:
    """A column for each epoch; if there are more, for the mean of several."""
    count = min(columns, len(values))
    line = Text()
    for column in range(count):
        part = values[column * len(values) // count : (column + 1) * len(values) // count]
        value = sum(part) / len(part)
        if not math.isfinite(value):
            line.append("!", style="bold red")
        elif value <= 0:
            line.append("·", style="dim")
        else:
            height = (math.log10(value) - low) / (high - low) if high > low else 1.0
            place = round(height * (len(_BARS) - 1))
            line.append(_BARS[max(0, min(place, len(_BARS) - 1))], style="green")
    return line


def _size(value: float) -> str:
    return text_value(value, 3)
