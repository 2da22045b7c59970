"""Compiling long scalar chains: the first call of the gradient of 10² to 10⁵ operations.

A Python loop of sines, products, sums and differences of scalars. What is timed is everything up
to the first result: tracing, differentiating, compiling, running; nothing comes from a cache on
disk. JAX and torch.compile are left out where they take minutes. The reference is the chain rule
along the chain, in floats.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import chainrule as cr
from benchmarks.workloads import peers
from benchmarks.workloads.contest import COMPILED, Case, Work

SIZES = (100, 1_000, 4_000, 10_000, 100_000)
LONGEST = {"JAX": 4_000, "torch.compile": 100}
X = 0.7


def chain(operations: int, np: Any = np) -> Callable[[Any], Any]:
    def f(x: Any) -> Any:
        y = x
        for _ in range(operations // 4):
            y = np.sin(y) * 1.01 + x
            y = y - 0.3
        return y

    return f


def by_hand(operations: int) -> float:
    y, slope = X, 1.0
    for _ in range(operations // 4):
        slope = math.cos(y) * 1.01 * slope + 1.0
        y = math.sin(y) * 1.01 + X - 0.3
    return slope


def cases(small: bool = False) -> Iterator[Case]:
    for operations in SIZES[:1] if small else SIZES:
        yield case(operations)


def case(operations: int) -> Case:
    return Case(
        f"{operations:,} operations",
        lambda: by_hand(operations),
        {
            COMPILED: lambda: ours(operations),
            "JAX": bounded("JAX", operations, with_jax),
            "torch.compile": bounded("torch.compile", operations, with_torch),
            "CasADi": lambda: with_casadi(operations),
        },
    )


def bounded(name: str, operations: int, make: Callable[[int], Work]) -> Callable[[], Work]:
    if operations <= LONGEST[name]:
        return lambda: make(operations)
    return peers.left_out("left out: compiling takes minutes")


def ours(operations: int) -> Work:
    jit, caches = peers.jit(), itertools.count()

    def work() -> Any:
        peers.other_disk_cache(next(caches))
        return jit(cr.grad(chain(operations)))(X)

    return work


def with_jax(operations: int) -> Work:
    jax = peers.jax()
    return lambda: jax.jit(jax.grad(chain(operations, jax.numpy)))(X).block_until_ready()


def with_torch(operations: int) -> Work:
    torch = peers.torch_without_caches()

    def work() -> Any:
        torch._dynamo.reset()
        x = torch.tensor(X, dtype=torch.float64, requires_grad=True)
        f = torch.compile(chain(operations, torch), dynamic=False)
        return torch.autograd.grad(f(x), x)

    return work


def with_casadi(operations: int) -> Work:
    casadi = peers.casadi()

    def work() -> Any:
        x = casadi.SX.sym("x")
        y = chain(operations, casadi)(x)
        return float(casadi.Function("gradient", [x], [casadi.gradient(y, x)])(X))

    return work
