"""The explanation as Markdown with TeX formulas, as notebooks and most sites show them."""

from __future__ import annotations

from collections.abc import Iterator

from chainrule.explanations.explanation import Explanation
from chainrule.explanations.ledger import Ledger
from chainrule.explanations.trace import Trace
from chainrule.notation.expression import latex
from chainrule.notation.names import latex_name
from chainrule.render.latex import MAX_ROWS, answer_rows, collapse_rows
from chainrule.render.ledger import shown
from chainrule.render.phrases import TEX, TEX_CODE, accumulation, edge_symbol, given, verdict
from chainrule.render.trace import SHORT, rows


def as_markdown(explanation: Explanation) -> str:
    """Markdown with ``$…$`` formulas and tables."""
    return "\n\n".join(_blocks(explanation))


def _blocks(explanation: Explanation) -> Iterator[str]:
    at = given(explanation, TEX)
    written = "" if explanation.expression is None else f" = {latex(explanation.expression)}"
    if explanation.traces:
        written = f" = {TEX.value(explanation.value)}"
    yield f"$${latex_name(explanation.result)}{written}$$" + (f"\n\nat ${at}$" if at else "")
    if explanation.readings:
        yield "\n".join(f"- {reading}" for reading in explanation.readings)
    for trace in explanation.traces:
        yield _trace_table(trace)
        for collapse in trace.collapses:
            lines = " \\\\\n".join(collapse_rows(collapse))
            yield f"$$\\begin{{aligned}}\n{lines}\n\\end{{aligned}}$$"
    if explanation.steps and not explanation.traces:
        yield _step_table(explanation)
        yield _accumulation_table(explanation)
    for derivative in explanation.derivatives:
        rows = " \\\\\n".join(answer_rows(explanation, derivative.variable))
        yield f"$$\\begin{{aligned}}\n{rows}\n\\end{{aligned}}$$"
        ledger = shown(explanation, derivative)
        if isinstance(ledger, Ledger):
            yield ledger.to_markdown()
    if explanation.notes:
        yield "\n".join(f"- {note}" for note in explanation.notes)
    mark, says = verdict(explanation.check)
    yield f"{mark} {says}"
    if explanation.rate is not None:
        yield explanation.update(explanation.rate).to_markdown()
    for further in explanation.higher:
        yield from _blocks(further)


def _row(cells: list[str]) -> str:
    # A bar inside a formula would end the cell.
    return "| " + " | ".join(c.replace("|", r"\vert ") for c in cells) + " |"


def _table(header: list[str], rows: list[list[str]]) -> str:
    return "\n".join([_row(header), "|" + " --- |" * len(header), *map(_row, rows)])


def _trace_table(trace: Trace) -> str:
    found = []
    for _, cells in list(rows(trace, TEX_CODE, SHORT))[:MAX_ROWS]:
        texts = (cells.symbol, cells.expression, cells.values, cells.result)
        found.append([f"${c}$" if c else "" for c in texts])
    return _table(["step", "expression", "values", "result"], found)


def _step_table(explanation: Explanation) -> str:
    numeric = any(s.value is not None for s in explanation.steps)
    header = ["step", "expression", *(["value"] if numeric else []), "local derivative"]
    header += ["its value"] if numeric else []
    rows = []
    for step in explanation.steps[:MAX_ROWS]:
        edges = step.partials
        shown = [
            edge.structure or ("…" if edge.expression is None else f"{latex(edge.expression)}")
            for edge in edges
        ]
        symbols = [
            f"${edge_symbol(explanation, e, TEX)} = {s}$" for e, s in zip(edges, shown, strict=True)
        ]
        values = [f"${TEX.value(e.value)}$" for e in edges if e.value is not None]
        cells = [f"${latex_name(step.name)}$"]
        cells.append("…" if step.expression is None else f"${latex(step.expression)}$")
        cells += [f"${TEX.value(step.value)}$"] if numeric else []
        cells.append("<br>".join(symbols))
        cells += ["<br>".join(values)] if numeric else []
        rows.append(cells)
    return _table(header, rows)


def _accumulation_table(explanation: Explanation) -> str:
    rows = []
    for row in list(accumulation(explanation, TEX))[:MAX_ROWS]:
        numbers = f"= {row.numbers} = {row.value}" if row.numbers else ""
        rows.append([f"${row.symbol}$", f"$= {row.expression} {numbers}$"])
    return _table(["", "accumulated"], rows)
