"""The gradient of sum(sin(log(x²+1))) for vectors of 10² to 10⁷ numbers, float64.

The reference is the closed form, cos(log(x²+1)) · 2x / (x²+1), in NumPy's long double.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import chainrule as cr
from benchmarks import baselines
from benchmarks.workloads import peers
from benchmarks.workloads.contest import Case


def total(x: Any) -> Any:
    return np.sum(np.sin(np.log(x**2 + 1)))


def by_hand(x: Any) -> Any:
    t = x * x
    t += 1
    out = np.log(t)
    np.cos(out, out=out)
    out /= t
    out *= x
    out *= 2
    return out


def theirs(np: Any, x: Any) -> Any:
    return np.sum(np.sin(np.log(x**2 + 1)))


def cases(small: bool = False) -> Iterator[Case]:
    for power in (2, 3) if small else (2, 3, 4, 5, 6, 7):
        yield case(10**power)


def case(n: int) -> Case:
    x = np.random.default_rng(n).normal(size=n)

    def reference() -> Any:
        y = x.astype(np.longdouble)
        t = y * y + 1
        return (np.cos(np.log(t)) / t * (2 * y)).astype(np.float64)

    out = np.empty(n)
    return Case(
        f"n = {n:,}",
        reference,
        {
            **peers.ours(cr.grad(total), x),
            "JAX": peers.with_jax(lambda jax: jax.grad(lambda x: theirs(jax.numpy, x)), x),
            **peers.torches(theirs, (x,)),
            "autograd": peers.with_autograd(theirs, (x,)),
            "NumPy by hand": lambda: peers.bound(by_hand, x),
            "C by hand": lambda: baselines.call("elementwise", "gradient", x, n, out, result=out),
        },
        primal=peers.primal(total, x),
    )
