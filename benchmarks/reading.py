"""What it costs to read the gradient of a network: one weight explained, all parameters diagnosed.

The gradient is taken eagerly, as the explanation takes it. With a batch 32 times as large next to
nothing but arithmetic on arrays is left: the ratio there says how many gradients' worth it is.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

import chainrule as cr
from benchmarks.table import Row, alternating

SIZES, BATCH, LARGE = (784, 128, 64, 10), 128, 4096


def rows() -> list[Row]:
    return [*_compared(BATCH, runs=25), *_compared(LARGE, runs=9)]


def _compared(batch: int, runs: int) -> list[Row]:
    arguments = _arguments(batch)
    gradient = cr.grad(loss, argnums=tuple(range(6)))
    explained, why = cr.explain(loss, wrt="W1[3,4]"), cr.why(loss, wrt="W1")
    diagnosed = cr.diagnose(loss, wrt=["W1", "b1", "W2", "b2", "W3", "b3"])
    works: list[Callable[[], Any]] = [
        lambda: gradient(*arguments),
        lambda: explained(*arguments),
        lambda: diagnosed(*arguments),
        lambda: why(*arguments),
    ]
    base, one, all_of_them, budget = alternating(works, runs)
    network = f"{'-'.join(map(str, SIZES))}, batch {batch:,}"
    small = batch == BATCH
    limit = 3 * base + 0.1
    return [
        _row(f"one weight explained, {network}", one, base, "≤ 100 ms" if small else "≤ 3 ×"),
        _row(
            f"all parameters diagnosed, {network}", all_of_them, base,
            f"≤ 3 × + 100 ms = {1e3 * limit:.0f} ms",
        ),
        _row(f"one array's gradient explained by why, {network}", budget, base, ""),
    ]  # fmt: skip


def _row(what: str, ours: float, gradient: float, bar: str) -> Row:
    return Row(
        what, f"{1e3 * ours:.1f} ms", f"gradient {1e3 * gradient:.1f} ms",
        f"{ours / gradient:.2f}", bar,
    )  # fmt: skip


def loss(
    W1: Any, b1: Any, W2: Any, b2: Any, W3: Any, b3: Any, x: Any, target: Any
) -> Any:  # fmt: skip
    h1 = np.maximum(x @ W1 + b1, 0)
    h2 = np.maximum(h1 @ W2 + b2, 0)
    z = h2 @ W3 + b3
    z = z - np.max(z, axis=1, keepdims=True)
    log_p = z - np.log(np.sum(np.exp(z), axis=1, keepdims=True))
    return -np.mean(np.sum(target * log_p, axis=1))


def _arguments(batch: int) -> tuple[Any, ...]:
    rng = np.random.default_rng(0)
    params = [
        part
        for a, b in itertools.pairwise(SIZES)
        for part in (rng.normal(size=(a, b)) * np.sqrt(2 / a), np.zeros(b))
    ]
    x = rng.normal(size=(batch, SIZES[0]))
    target = np.eye(SIZES[-1])[rng.integers(0, SIZES[-1], batch)]
    return (*params, x, target)
