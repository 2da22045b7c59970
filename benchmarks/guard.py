"""What ``nan_guard`` costs while nothing is wrong: every result is looked at, nothing more is done.

The same call is made without and with a guard around it, in turns. Of each, the time is compared
that one in twenty turns undercuts: what else the machine does makes most of the others longer.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import chainrule as cr
from benchmarks.table import Row

Work = Callable[[], Any]
SIZES, BATCH = (784, 128, 64, 10), 128


def rows() -> list[Row]:
    step, arguments = _mlp()
    compiled = cr.jit(step)
    network = f"MLP step {'-'.join(map(str, SIZES))}, batch {BATCH}"
    slope = cr.grad(lambda x: np.sin(x) * x + np.exp(-x))
    fast = cr.jit(slope)
    chain = cr.grad(_chain)
    vector = np.linspace(0.0, 1.0, 100)
    of_vector = cr.grad(lambda x: np.sum(np.sin(x) ** 2))
    works: list[tuple[str, Work, int, int, str]] = [
        (f"{network}, jitted", lambda: compiled(*arguments), 1, 600, "≤ +3 %"),
        (f"{network}, eager", lambda: step(*arguments), 1, 120, "≤ +3 %"),
        ("gradient of 1,000 scalar operations, eager", lambda: chain(1.0), 2, 100, "≤ +3 %"),
        ("gradient of 5 scalar operations, eager", lambda: slope(1.5), 50, 150, ""),
        ("gradient over 100 numbers, eager", lambda: of_vector(vector), 50, 150, ""),
        ("gradient of 5 scalar operations, jitted", lambda: fast(1.5), 2000, 150, ""),
    ]
    return [_compared(*work) for work in works]


def _mlp() -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """A step of gradient descent, and its arguments."""
    rng = np.random.default_rng(0)
    params = [
        (rng.normal(size=(a, b)) * np.sqrt(2 / a), np.zeros(b))
        for a, b in itertools.pairwise(SIZES)
    ]
    x = rng.normal(size=(BATCH, SIZES[0]))
    target = np.eye(SIZES[-1])[rng.integers(0, SIZES[-1], BATCH)]

    def loss(params: Any, x: Any, target: Any) -> Any:
        for w, b in params[:-1]:
            x = np.maximum(x @ w + b, 0.0)
        w, b = params[-1]
        z = x @ w + b
        z = z - np.max(z, axis=1, keepdims=True)
        log_p = z - np.log(np.sum(np.exp(z), axis=1, keepdims=True))
        return -np.mean(np.sum(target * log_p, axis=1))

    gradient = cr.value_and_grad(loss)

    def step(params: Any, x: Any, target: Any) -> Any:
        value, slopes = gradient(params, x, target)
        moved = [
            (w - 0.1 * dw, b - 0.1 * db) for (w, b), (dw, db) in zip(params, slopes, strict=True)
        ]
        return value, moved

    return step, (params, x, target)


def _chain(x: Any) -> Any:
    y = x
    for _ in range(250):
        y = np.sin(y) * 1.01 + x
        y = y - 0.3
    return y


def _compared(what: str, work: Work, calls: int, turns: int, bar: str) -> Row:
    guard = cr.nan_guard()

    def timed() -> float:
        start = time.perf_counter()
        for _ in range(calls):
            work()
        return (time.perf_counter() - start) / calls

    plain, guarded = [timed()], []
    with guard:
        timed()
    for turn in range(2 * turns):
        # Each comes first half of the time.
        if turn % 4 in (0, 3):
            plain.append(timed())
        else:
            with guard:
                guarded.append(timed())
    ours, beside = (statistics.quantiles(taken, n=20)[0] for taken in (guarded, plain))
    return Row(
        what, f"{_time(ours)} guarded", f"{_time(beside)} without",
        f"{100 * (ours / beside - 1):+.1f} %", bar,
    )  # fmt: skip


def _time(seconds: float) -> str:
    return f"{1e6 * seconds:.2f} µs" if seconds < 1e-4 else f"{1e3 * seconds:.2f} ms"
