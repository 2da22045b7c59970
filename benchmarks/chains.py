"""Long scalar chains: time and memory per operation of the tape, and what recording names costs."""

from __future__ import annotations

import gc
import statistics
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np

import chainrule as cr
from benchmarks.table import Row, alternating, installed
from chainrule.sources.names import Origins
from chainrule.transforms.derivatives import trace


def chain(operations: int, library: Any = np) -> Callable[[Any], Any]:
    def f(x: Any) -> Any:
        h = x
        for _ in range(operations // 2):
            h = library.sin(h) * 1.0001
        return h

    return f


def rows() -> list[Row]:
    return [*_gradients(), *_explanations(), _recording()]


def _gradients() -> list[Row]:
    found = []
    for n in (1_000, 10_000, 100_000):
        works: dict[str, Callable[[], object]] = {"ours": lambda n=n: cr.grad(chain(n))(0.5)}
        if installed("autograd"):
            works["autograd"] = _autograd(n)
        if installed("torch"):
            works["torch eager"] = _torch(n)
        times = alternating(list(works.values()), runs=9 if n < 100_000 else 3)
        per = {name: f"{1e6 * t / n:.2f} µs" for name, t in zip(works, times, strict=True)}
        beside = ", ".join(f"{k}: {v}" for k, v in per.items() if k != "ours")
        ratios = ", ".join(f"{times[0] / t:.2f}" for t in times[1:])
        what = f"gradient of {n:,} operations, per operation"
        found.append(Row(what, f"{per['ours']}, {_memory(n):.0f} bytes", beside, ratios))
    return found


def _autograd(n: int) -> Callable[[], object]:
    import autograd
    import autograd.numpy as anp

    gradient = autograd.grad(chain(n, anp))
    return lambda: gradient(0.5)


def _torch(n: int) -> Callable[[], object]:
    import torch

    f = chain(n, torch)

    def run() -> None:
        x = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
        f(x).backward()

    return run


def _memory(n: int) -> float:
    tracemalloc.start()
    cr.grad(chain(n))(0.5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / n


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
