"""Long scalar chains: explaining them, and what it costs to note where an operation was written."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import chainrule as cr
from benchmarks.table import Row, alternating
from chainrule.sources.names import Origins
from chainrule.transforms.derivatives import trace


def chain(operations: int) -> Callable[[Any], Any]:
    def f(x: Any) -> Any:
        h = x
        for _ in range(operations // 2):
            h = np.sin(h) * 1.0001
        return h

    return f


def rows() -> list[Row]:
    return [*_explanations(), _recording()]


def _explanations() -> list[Row]:
    found = []
    for n in (1_000, 10_000, 100_000):
        (seconds,) = alternating([lambda n=n: cr.explain(chain(n))(0.5)], runs=3)
        what = f"explanation of {n:,} operations, per operation"
        found.append(Row(what, f"{1e6 * seconds / n:.0f} µs"))
    return found


def _recording() -> Row:
    """Trace with and without noting where each operation was written, in turns."""
    n = 2_000
    f = chain(n)
    gc.disable()  # its pauses are longer than what is measured
    differences = []
    for _ in range(300):
        plain, noted = _seconds(f, None), _seconds(f, Origins())
        differences.append(1e6 * (noted - plain) / n)
    gc.enable()
    taken = f"{statistics.median(differences):.2f} µs"
    return Row("recording the origin of an operation", taken, bar="≤ 0.3 µs")


def _seconds(f: Callable[[Any], Any], recorder: Origins | None) -> float:
    start = time.perf_counter()
    trace(f, (0.5,), (0,), {}, recorder)
    taken = time.perf_counter() - start
    if recorder is not None:
        recorder.release()
    return taken
