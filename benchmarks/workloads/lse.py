"""GradBench's lse: the gradient of log(sum(exp(x))), with the largest element taken out first.

Uniform numbers, n = 2,500 to 1,280,000, float64. The reference is the closed form, exp(x) divided
by its sum, in NumPy's long double.

The way through the largest element contributes one minus the sum of all shares, which is zero but
for rounding. That is rounding of a one, and a share is about 1/n: what differentiates the formula
as it stands is right to some n · 2⁻⁵² of the largest share. So the tolerance is 64 n · 2⁻⁵² where
that is more than 1e-12.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import chainrule as cr
from benchmarks import baselines
from benchmarks.workloads import peers
from benchmarks.workloads.contest import Case

SIZES = (2_500, 5_000, 10_000, 20_000, 40_000, 80_000, 160_000, 320_000, 640_000, 1_280_000)


def log_sum_exp(x: Any) -> Any:
    top = np.max(x)
    return top + np.log(np.sum(np.exp(x - top)))


def theirs(np: Any, x: Any) -> Any:
    top = np.max(x)
    return top + np.log(np.sum(np.exp(x - top)))


def by_hand(x: Any) -> Any:
    e = x - x.max()
    np.exp(e, out=e)
    e /= e.sum()
    return e


def cases(small: bool = False) -> Iterator[Case]:
    for n in SIZES[:2] if small else SIZES:
        yield case(n)


def case(n: int) -> Case:
    x = np.random.default_rng(31337).uniform(size=n)

    def reference() -> Any:
        e = np.exp(x.astype(np.longdouble))
        return (e / np.sum(e)).astype(np.float64)

    out = np.empty(n)
    return Case(
        f"n = {n:,}",
        reference,
        {
            **peers.ours(cr.grad(log_sum_exp), x),
            "JAX": peers.with_jax(lambda jax: jax.grad(lambda x: theirs(jax.numpy, x)), x),
            **peers.torches(theirs, (x,)),
            "autograd": peers.with_autograd(theirs, (x,)),
            "NumPy by hand": lambda: peers.bound(by_hand, x),
            "C by hand": lambda: baselines.call("lse", "gradient", x, n, out, result=out),
        },
        tolerance=max(1e-12, 64 * n * np.finfo(float).eps),
        primal=peers.primal(log_sum_exp, x),
    )
