"""The explanation as plain data for JSON; ``docs/json.md`` documents the layout."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.explanations.explanation import Explanation
from chainrule.explanations.solution import Derivative, Line, Partial, Path, Quotients, Step
from chainrule.explanations.trace import Trace, TraceRow
from chainrule.notation.expression import latex, text
from chainrule.notation.names import text_name
from chainrule.notation.numbers import text_count
from chainrule.render.phrases import PLAIN, PLAIN_CODE, TEX, TEX_CODE, line_text
from chainrule.render.trace import Cells, rows

SCHEMA = 1


def as_dict(explanation: Explanation) -> dict[str, Any]:
    """The explanation as dicts, lists, strings and numbers.

    Numbers that JSON cannot hold become the strings ``"inf"``, ``"-inf"`` and ``"nan"``.
    """
    from chainrule.render.ledger import listed, totals

    ledgers = {text_name(d.variable): listed(explanation, d) for d in explanation.derivatives}
    answers = {text_name(d.variable): _derivative(explanation, d) for d in explanation.derivatives}
    data: dict[str, Any] = {
        "schema": SCHEMA,
        "formula": explanation.title,
        "result": text_name(explanation.result),
        "order": explanation.order,
        "mode": explanation.mode,
        "at": {text_name(n): number(v) for n, v in explanation.inputs.items() if v is not None},
        "value": number(explanation.value),
        "steps": [_step(s) for s in explanation.steps],
        "paths": [
            {"variable": name, **path_data(p)}
            for name, ledger in ledgers.items()
            for p in ledger or ()
        ],
        "ledgers": [totals(ledger) for ledger in ledgers.values() if ledger is not None],
        "check": {
            "outcome": explanation.check.outcome,
            "says": explanation.check.says,
            "error": number(explanation.check.error),
            "expected": number(explanation.check.expected),
        },
        "readings": list(explanation.readings),
        "notes": list(explanation.notes),
    }
    if len(answers) == 1:
        data["derivative"] = next(iter(answers.values()))
    else:
        data["gradient"] = answers
    if explanation.traces:
        data["traces"] = [trace_data(t) for t in explanation.traces]
    if explanation.rate is not None:
        data["update"] = explanation.update(explanation.rate).to_dict()
    if explanation.quotients:
        data["quotients"] = [_quotients(q) for q in explanation.quotients]
    if explanation.higher:
        data["higher"] = [as_dict(e) for e in explanation.higher]
        data |= _highest(explanation)
    return data


def _highest(explanation: Explanation) -> dict[str, Any]:
    """The derivative of the order that was asked for, in the place where order 1 has its own."""
    if len(explanation.wrt) == 1:
        last = explanation
        while last.higher:
            last = last.higher[0]
        first = _derivative(explanation, explanation.derivatives[0])
        return {"derivative": as_dict(last)["derivative"], "first": first}
    rows = {
        text_name(d.variable): {
            text_name(inner.variable): _derivative(e, inner) for inner in e.derivatives
        }
        for d, e in zip(explanation.derivatives, explanation.higher, strict=True)
    }
    return {"hessian": rows}


def number(value: Any) -> Any:
    """A number (or nested list of them) that JSON can hold."""
    if value is None:
        return None
    if np.ndim(value):
        return [number(v) for v in np.asarray(value)]
    plain = float(value)
    return plain if math.isfinite(plain) else str(plain)


def _math(expression: Any) -> dict[str, str | None]:
    if expression is None:
        return {"text": None, "latex": None}
    return {"text": text(expression), "latex": latex(expression)}


def _derivative(explanation: Explanation, d: Derivative) -> dict[str, Any]:
    return {
        "value": number(d.value),
        **_math(d.expression),
        "simplified": d.remark is None,
        "lines": [_line(explanation, line) for line in d.lines],
        "path_count": path_count(d),
    }


def path_count(d: Derivative) -> int | str | None:
    """How many paths there are; ``None`` where finding out would take long."""
    return counted(d.path_count) if d.routes is None or d.routes.small() else None


def counted(count: int) -> int | str:
    """A whole number as JSON can hold it: with more than four thousand digits, a rounded text."""
    return count if count.bit_length() < 13_000 else text_count(count)


def _line(explanation: Explanation, line: Line) -> dict[str, str]:
    return {
        "reason": line.reason,
        "text": line_text(explanation, line, PLAIN),
        "latex": line_text(explanation, line, TEX),
    }


def _step(step: Step) -> dict[str, Any]:
    data: dict[str, Any] = {
        "name": text_name(step.name),
        "expression": _math(step.expression),
        "value": number(step.value),
        "local": [_partial(p) for p in step.partials],
        "adjoint": number(step.adjoint),
    }
    if step.tangents:
        data["tangents"] = {text_name(n): number(v) for n, v in step.tangents.items()}
    if step.line is not None:
        data |= {"line": step.line, "source": step.source}
    if step.notes:
        data["notes"] = list(step.notes)
    if step.known is not None:
        data["known"] = _math(step.known)
    if step.count > 1:
        data["operations"] = step.count
    return data


def _partial(partial: Partial) -> dict[str, Any]:
    data = {
        "of": text_name(partial.of),
        **_math(partial.expression),
        "value": number(partial.value),
    }
    return data if partial.structure is None else {**data, "structure": partial.structure}


def path_data(path: Path) -> dict[str, Any]:
    """A path with its factors and its product."""
    return {
        "names": [text_name(n) for n in path.names],
        "factors": [_partial(f) for f in path.factors],
        "product": {"value": number(path.product), **_math(path.expression)},
        "share": path.share,
    }


def _quotients(q: Quotients) -> dict[str, Any]:
    return {
        "variable": text_name(q.variable),
        "deltas": list(q.deltas),
        "edges": [
            {
                "step": text_name(r.step),
                "of": text_name(r.of),
                "quotients": [number(x) for x in r.quotients],
                "limit": number(r.limit),
            }
            for r in q.rows
        ],
        "products": [number(x) for x in q.products],
        "direct": [number(x) for x in q.direct],
        "limit": number(q.limit),
    }  # fmt: skip


def trace_data(trace: Trace) -> dict[str, Any]:
    """A gradient trace: its rows in order, and the gradient of the whole array."""
    return {
        "variable": trace.variable,
        "input": trace.element.leaf,
        "index": list(trace.element.index),
        "result": trace.result,
        "rows": [
            _trace_row(row, plain, tex)
            for (row, plain), (_, tex) in zip(
                rows(trace, PLAIN_CODE), rows(trace, TEX_CODE), strict=True
            )
        ],
        "value": number(trace.value),
        "gradient": number(trace.gradient),
        "collapses": [
            {
                "step": c.step,
                "of": c.of,
                "says": c.says,
                "lines": [{"reason": why, **_math(e)} for e, why in c.lines],
                "value": number(c.value),
            }
            for c in trace.collapses
        ],
    }


def _trace_row(row: TraceRow, plain: Cells, tex: Cells) -> dict[str, Any]:
    data: dict[str, Any] = {
        "kind": "accumulated" if row.total else "local",
        "symbol": plain.symbol,
        "step": row.step,
        "of": row.of,
        "expression": {"text": plain.expression, "latex": tex.expression},
        "values": {"text": plain.values, "latex": tex.values},
        "result": number(row.value),
        "terms": row.terms,
    }
    if row.structure is not None:
        data["structure"] = row.structure
    if row.letters:
        data["letters"] = {c: [first, behind] for c, (first, behind) in row.letters.items()}
    if row.addends:
        data["addends"] = [
            {
                "step": a.step,
                "of": a.of,
                "adjoint": number(a.adjoint),
                "slope": number(a.slope),
                "value": number(a.value),
            }
            for a in row.addends
        ]
    if row.largest:
        data["largest"] = [
            {"at": list(t.place), "adjoint": number(t.adjoint), "slope": number(t.slope)}
            for t in row.largest
        ]
    if row.line is not None:
        data["line"] = row.line
    return data
