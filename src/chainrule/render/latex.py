"""The explanation as LaTeX source: align environments and arrays that any document can take in."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from chainrule.explanations.explanation import Explanation
from chainrule.explanations.ledger import Ledger
from chainrule.explanations.solution import Step
from chainrule.explanations.trace import Collapse, Trace
from chainrule.notation.expression import latex, piece
from chainrule.notation.names import latex_name
from chainrule.render.ledger import shown
from chainrule.render.phrases import (
    TEX,
    TEX_CODE,
    accumulation,
    answer_symbol,
    derivation,
    edge_symbol,
    given,
    verdict,
)
from chainrule.render.trace import SHORT, rows

MAX_ROWS = 60


def as_latex(explanation: Explanation) -> str:
    """LaTeX for a document that loads ``amsmath``."""
    return "\n\n".join(_blocks(explanation))


def _blocks(explanation: Explanation) -> Iterator[str]:
    at = given(explanation, TEX)
    written = "" if explanation.expression is None else f" = {latex(explanation.expression)}"
    if explanation.traces:
        written = f" = {TEX.value(explanation.value)}"
    point = rf" \qquad \text{{at }} {at}" if at else ""
    yield rf"\[ {latex_name(explanation.result)}{written}{point} \]"
    for trace in explanation.traces:
        yield _align(trace_rows(trace))
        for collapse in trace.collapses:
            yield _align(collapse_rows(collapse))
    if explanation.steps and not explanation.traces:
        yield _align(step_rows(explanation))
        yield _align(accumulation_rows(explanation))
    for derivative in explanation.derivatives:
        yield _align(answer_rows(explanation, derivative.variable))
        ledger = shown(explanation, derivative)
        if isinstance(ledger, Ledger):
            yield ledger.to_latex()
    yield f"% {verdict(explanation.check)[1]}"
    if explanation.rate is not None:
        yield explanation.update(explanation.rate).to_latex()
    for further in explanation.higher:
        yield from _blocks(further)


def _align(rows: list[str]) -> str:
    body = " \\\\\n".join(rows)
    return f"\\begin{{align*}}\n{body}\n\\end{{align*}}"


def trace_rows(trace: Trace) -> list[str]:
    """A row for each local derivative, and for what has been accumulated after it."""
    found = []
    for row, cells in rows(trace, TEX_CODE, SHORT):
        shown = cells.values and row.numbers is not None and not row.conditions
        values = f" = {cells.values}" if shown else ""
        if row.total and not row.largest:
            values = f" = {cells.values}" if not np.ndim(row.value) else ""
        note = rf" \qquad ({cells.values})" if cells.values and not values else ""
        result = f" = {cells.result}" if cells.result and not np.ndim(row.value) else ""
        result += note
        found.append(f"{cells.symbol} &= {cells.expression}{values}{result}")
    return found[:MAX_ROWS]


def collapse_rows(collapse: Collapse) -> list[str]:
    """How the slopes of two steps simplify together, line by line."""
    symbol = TEX_CODE.ratio(collapse.step, collapse.of, True)
    lines = [
        (piece(e, TEX_CODE.style).s, why.replace("σ", r"$\sigma$").replace("−", "$-$"))
        for e, why in collapse.lines
    ]
    if np.ndim(collapse.value) == 0:
        lines.append((TEX_CODE.value(collapse.value), ""))
    return [
        f"{symbol if i == 0 else ''} &= {line}" + (rf" && \text{{{why}}}" if why else "")
        for i, (line, why) in enumerate(lines)
    ]


def step_rows(explanation: Explanation) -> list[str]:
    """A row for each step: its expression and value, its local derivatives and theirs."""
    shown = explanation.steps[:MAX_ROWS]
    return [_step_row(explanation, step) for step in shown]


def _step_row(explanation: Explanation, step: Step) -> str:
    expression = r"\cdots" if step.expression is None else latex(step.expression)
    value = "" if step.value is None else f" = {TEX.value(step.value)}"
    partials = []
    for edge in step.partials:
        number = "" if edge.value is None else f" = {TEX.value(edge.value)}"
        shown = rf"\text{{{edge.structure}}}" if edge.structure else (
            r"\cdots" if edge.expression is None else latex(edge.expression)
        )  # fmt: skip
        partials.append(f"{edge_symbol(explanation, edge, TEX)} = {shown}{number}")
    return rf"{latex_name(step.name)} &= {expression}{value} & " + r",\quad ".join(partials)


def accumulation_rows(explanation: Explanation) -> list[str]:
    """A row for each value of the accumulation."""
    rows = []
    for row in list(accumulation(explanation, TEX))[:MAX_ROWS]:
        numbers = f" = {row.numbers}" if row.numbers else ""
        value = f" = {row.value}" if row.value and row.expression != "1" else ""
        rows.append(f"{row.symbol} &= {row.expression}{numbers}{value}")
    return rows


def answer_rows(explanation: Explanation, variable: str) -> list[str]:
    """The derivation of one derivative, line by line."""
    symbol = answer_symbol(explanation, variable, TEX)
    lines = [line for _, line in derivation(explanation, variable, TEX)]
    value = explanation.derivative(variable).value
    if value is not None:
        lines.append(TEX.value(value))
    return [f"{symbol if i == 0 else ''} &= {line}" for i, line in enumerate(lines)]
