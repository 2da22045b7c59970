"""GradBench's ode: s steps of Runge and Kutta's method, and the gradient of the last state's end.

Defined by cmpad (`an_ode`): y₀' = x₀ and yᵢ' = xᵢ yᵢ₋₁ from zero at time 0 to time 2, for uniform
x; the result is the gradient of the last yᵢ by x, float64. In GradBench's sizes, n = 1,000 and
more, the last element of y is still zero after s ≤ 100 steps, as each reaches four elements
further, and so is its gradient; two smaller sizes, where it is not, come first. The reference is
our eager derivative of a loop written out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import chainrule as cr
from benchmarks import baselines
from benchmarks.workloads import peers
from benchmarks.workloads.contest import COMPILED, Case, Work

SIZES = (
    (30, 10), (100, 100), (1_000, 1), (1_000, 10), (1_000, 100), (10_000, 1), (10_000, 10),
    (10_000, 100), (100_000, 1), (100_000, 10),
)  # fmt: skip


def slope(x: Any, y: Any) -> Any:
    return np.concatenate([x[:1], x[1:] * y[:-1]])


def runge_kutta(slope: Callable[[Any], Any], y: Any, h: float) -> Any:
    """One step, with arrays of any library."""
    k1 = slope(y)
    k2 = slope(y + h / 2 * k1)
    k3 = slope(y + h / 2 * k2)
    k4 = slope(y + h * k3)
    return y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


def stepped(x: Any, y: Any, h: float) -> Any:
    return runge_kutta(lambda y: slope(x, y), y, h)


def end_by_scan(x: Any, steps: int) -> Any:
    step = lambda y, _: (stepped(x, y, 2 / steps), None)
    y, _ = cr.scan(step, np.zeros_like(x), None, length=steps)
    return y[-1]


def end_by_loop(x: Any, steps: int) -> Any:
    y = np.zeros_like(x)
    for _ in range(steps):
        y = stepped(x, y, 2 / steps)
    return y[-1]


def by_hand(x: Any, steps: int) -> Any:
    h = 2 / steps
    kept = []
    y = np.zeros_like(x)
    for _ in range(steps):
        k1 = slope(x, y)
        k2 = slope(x, y + h / 2 * k1)
        k3 = slope(x, y + h / 2 * k2)
        kept.append((y, y + h / 2 * k1, y + h / 2 * k2, y + h * k3))
        y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + slope(x, kept[-1][3]))
    gradient, v = np.zeros_like(x), np.zeros_like(x)
    v[-1] = 1
    rest = x[1:]
    for stages in reversed(kept):
        added = v.copy()
        passed = np.zeros_like(x)
        for at, share, reach in zip(stages[::-1], (1, 2, 2, 1), (0, 1, 0.5, 0.5), strict=True):
            # The cotangent of a stage: its share of the step, and what the next stage made of it.
            cotangent = h / 6 * share * v + h * reach * passed
            gradient[0] += cotangent[0]
            gradient[1:] += cotangent[1:] * at[:-1]
            passed = np.zeros_like(x)
            passed[:-1] = cotangent[1:] * rest
            added += passed
        v = added
    return gradient


def cases(small: bool = False) -> Iterator[Case]:
    for n, steps in ((7, 3), (30, 10), (1_030, 4)) if small else SIZES:
        yield case(n, steps)


def case(n: int, steps: int) -> Case:
    x = np.random.default_rng(31337).uniform(size=n)
    out, space = np.empty(n), np.empty((steps + 11) * (n + 8))
    scanned = cr.grad(lambda x: end_by_scan(x, steps))
    looped = cr.grad(lambda x: end_by_loop(x, steps))
    return Case(
        f"n = {n:,}, s = {steps}",
        lambda: looped(x),
        {
            **peers.ours(scanned, x),
            f"{COMPILED}, Python loop": peers.ours(looped, x)[COMPILED],
            "JAX": peers.with_jax(lambda jax: with_jax(jax, steps), x),
            "PyTorch": peers.with_torch(lambda torch, x: with_torch(torch, x, steps), (x,)),
            "autograd": lambda: with_autograd(x, steps),
            "NumPy by hand": lambda: peers.bound(by_hand, x, steps),
            "C by hand": lambda: baselines.call(
                "ode", "gradient", x, n, steps, space, out, result=out
            ),
        },
        primal=peers.primal(lambda x: end_by_scan(x, steps), x),
    )


def with_jax(jax: Any, steps: int) -> Any:
    """As GradBench writes it for JAX: `lax.scan`, and a `where` for the first equation."""
    jnp = jax.numpy
    h = 2 / steps

    def end(x: Any) -> Any:
        first = jnp.arange(len(x)) == 0
        slope = lambda y: jnp.where(first, x, x * jnp.roll(y, 1))

        def step(y: Any, _: Any) -> Any:
            return runge_kutta(slope, y, h), None

        return jax.lax.scan(step, jnp.zeros_like(x), None, length=steps)[0][-1]

    return jax.grad(end)


def with_torch(torch: Any, x: Any, steps: int) -> Any:
    h = 2 / steps
    slope = lambda y: torch.cat([x[:1], x[1:] * y[:-1]])
    y = torch.zeros_like(x)
    for _ in range(steps):
        y = runge_kutta(slope, y, h)
    return y[-1]


def with_autograd(x: Any, steps: int) -> Work:
    autograd, anp = peers.autograd()
    h = 2 / steps

    def end(x: Any) -> Any:
        slope = lambda y: anp.concatenate([x[:1], x[1:] * y[:-1]])
        y = anp.zeros_like(x)
        for _ in range(steps):
            y = runge_kutta(slope, y, h)
        return y[-1]

    return peers.bound(autograd.grad(end), x)
