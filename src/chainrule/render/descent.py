"""A gradient descent in print: the head and the tail of its table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.explanations.descent import Descent, Moment
from chainrule.notation.numbers import text_value
from chainrule.render.data import number
from chainrule.render.phrases import PLAIN, TEX

SHOWN_AT_EACH_END = 5
# Of more parameters than this, a row shows the size of the whole gradient.
MOST_COLUMNS = 3


def as_dict(descent: Descent) -> dict[str, Any]:
    """The history for JSON."""
    return {
        "function": descent.function,
        "rate": descent.rate,
        "steps": descent.steps,
        "stopped": descent.stopped,
        "losses": [number(x) for x in descent.losses],
        "moments": [
            {
                "step": m.step, "loss": number(m.loss),
                "values": {n: number(v) for n, v in m.values.items()},
                "gradients": {n: number(g) for n, g in m.gradients.items()},
            }
            for m in descent.moments
        ],
    }  # fmt: skip


def as_text(descent: Descent, width: int = 100) -> str:
    """The table with aligned columns."""
    head, rows = _table(descent, width, "∂{}/∂{}", PLAIN.name)
    table = [head, *(r for r in rows if r is not None)]
    widths = [max(len(row[i]) for row in table) for i in range(len(head))]

    def line(row: Sequence[str]) -> str:
        return "   ".join(cell.rjust(w) for cell, w in zip(row, widths, strict=True)).rstrip()

    text = [f"gradient descent on {descent.function} with rate {text_value(descent.rate)}", ""]
    text += [line(head), "─" * len(line(head))]
    text += ["⋮".rjust(widths[0]) if row is None else line(row) for row in rows]
    if descent.stopped:
        text += ["", f"! stopped: {descent.stopped}; a smaller rate may help"]
    return "\n".join(text)


def as_markdown(descent: Descent) -> str:
    """The table in Markdown."""
    head, rows = _table(descent, 1000, "∂{}/∂{}", TEX.name)
    head = [h if h in ("step", "‖gradient‖") else f"${h}$" for h in head]
    lines = [f"| {' | '.join(head)} |", "|" + " ---: |" * len(head)]
    for row in rows:
        cells = ["⋮", *[""] * (len(head) - 1)] if row is None else row
        lines.append(f"| {' | '.join(cells)} |")
    if descent.stopped:
        lines += ["", f"Stopped: {descent.stopped}."]
    return "\n".join(lines)


def _table(
    descent: Descent, width: int, ratio: str, name: Any
) -> tuple[list[str], list[list[str] | None]]:
    moments = descent.moments
    first = moments[0].values
    single = [n for n, v in first.items() if np.ndim(v) == 0]
    apart = len(single) == len(first) <= MOST_COLUMNS and width >= 30 * (1 + len(first))
    head = ["step", descent.function]
    for n in single if apart else ():
        head += [name(n), ratio.format(name(descent.function), name(n))]
    if not apart:
        head.append("‖gradient‖")
    rows: list[list[str] | None] = []
    for i, moment in enumerate(moments):
        if SHOWN_AT_EACH_END <= i < len(moments) - SHOWN_AT_EACH_END:
            if rows[-1] is not None:
                rows.append(None)
            continue
        rows.append(_row(moment, single if apart else None))
    return head, rows


def _row(moment: Moment, names: Sequence[str] | None) -> list[str]:
    cells = [f"{moment.step:,}", text_value(moment.loss)]
    if names is None:
        squares = [np.sum(np.abs(np.asarray(g, float)) ** 2) for g in moment.gradients.values()]
        return [*cells, text_value(np.sqrt(sum(squares)))]
    for name in names:
        cells += [text_value(moment.values[name]), text_value(moment.gradients[name])]
    return cells
