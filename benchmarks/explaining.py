"""Explaining a formula inside a running process."""

from __future__ import annotations

from collections.abc import Callable

import chainrule as cr
from benchmarks.table import Row, alternating

TEN_STEPS = "sin(ln(tanh(sqrt(exp(cos(arctan(cosh(ln(x^2+1)))))))))"


def rows() -> list[Row]:
    assert len(cr.explain(TEN_STEPS).steps) == 10
    at = {"x": 1.0}
    plain = {
        "ten steps at a point, not simplified": lambda: cr.explain(TEN_STEPS, at, simplify=False),
        "ten steps, symbolic, not simplified": lambda: cr.explain(TEN_STEPS, simplify=False),
    }
    simplified = {
        "ten steps at a point, simplified": lambda: cr.explain(TEN_STEPS, at),
        "sin(ln(x²+1)) at a point, simplified": lambda: cr.explain("sin(ln(x^2+1))", at),
    }
    return [*_rows(plain, ["≤ 5 ms", ""], 400), *_rows(simplified, ["", ""], 15)]


def _rows(works: dict[str, Callable[[], object]], bars: list[str], runs: int) -> list[Row]:
    times = [alternating([work], runs)[0] for work in works.values()]  # there is no peer beside
    return [
        Row(what, f"{1e3 * t:.2f} ms", bar=bar)
        for what, t, bar in zip(works, times, bars, strict=True)
    ]
