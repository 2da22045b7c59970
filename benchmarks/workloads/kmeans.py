"""GradBench's kmeans: the gradient of the cost by the centroids, and the Hessian's diagonal.

The cost is the sum over n points of the squared distance to the nearest of k centroids, in d
dimensions. The Hessian is diagonal, so that its product with ones is all of it. Uniform points, the
last k of which are the centroids, as GradBench has them; float64. The reference is the closed form:
twice the centroid times the number of its points minus their sum, and twice that number.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import chainrule as cr
from benchmarks import baselines
from benchmarks.workloads import peers
from benchmarks.workloads.contest import Case, Work

SIZES = (
    (10, 1_000, 8), (10, 10_000, 8), (10, 10_000, 16), (100, 1_000, 8), (100, 10_000, 8),
    (100, 10_000, 16), (10, 100_000, 8), (1_000, 10_000, 16),
)  # fmt: skip


def cost(centroids: Any, points: Any) -> Any:
    products = points @ centroids.T
    squares = np.sum(points**2, axis=1)[:, None] + np.sum(centroids**2, axis=1)
    return np.sum(np.min(squares - 2 * products, axis=1))


def direction(centroids: Any, points: Any) -> Any:
    """The gradient, and the Hessian's product with ones."""
    gradient = cr.grad(lambda c: cost(c, points))
    return cr.jvp(gradient, (centroids,), (np.ones_like(centroids),))


def by_hand(centroids: Any, points: Any) -> Any:
    away = points @ centroids.T
    away *= -2
    away += np.einsum("kd,kd->k", centroids, centroids)
    nearest = np.argmin(away, axis=1)
    k, d = centroids.shape
    counts = np.bincount(nearest, minlength=k).astype(float)
    sums = np.stack(
        [np.bincount(nearest, weights=points[:, j], minlength=k) for j in range(d)], axis=1
    )
    hessian = np.repeat(2 * counts[:, None], d, axis=1)
    return hessian * centroids - 2 * sums, hessian


def cases(small: bool = False) -> Iterator[Case]:
    for k, n, d in [(10, 203, 8), (35, 100, 16)] if small else SIZES:
        yield case(k, n, d)


def case(k: int, n: int, d: int) -> Case:
    points = np.random.default_rng(31337).uniform(size=(n, d))
    centroids = points[-k:].copy()

    def reference() -> Any:
        nearest = np.empty(n, int)
        for i in range(0, n, 1000):
            between = points[i : i + 1000, None] - centroids
            nearest[i : i + 1000] = np.argmin(np.sum(between**2, axis=2), axis=1)
        counts, sums = np.zeros(k), np.zeros((k, d))
        np.add.at(counts, nearest, 1)
        np.add.at(sums, nearest, points)
        hessian = np.repeat(2 * counts[:, None], d, axis=1)
        return 2 * (counts[:, None] * centroids - sums), hessian

    out = np.empty((k, d)), np.empty((k, d))
    space = np.empty((d + 1) * (k + 16))
    return Case(
        f"k = {k:,}, n = {n:,}, d = {d}",
        reference,
        {
            **peers.ours(direction, centroids, points),
            "JAX": peers.with_jax(with_jax, centroids, points),
            "PyTorch": lambda: with_torch(centroids, points, compiled=False),
            "torch.compile": lambda: with_torch(centroids, points, compiled=True),
            "autograd": lambda: with_autograd(centroids, points),
            "NumPy by hand": lambda: peers.bound(by_hand, centroids, points),
            "C by hand": lambda: baselines.call(
                "kmeans", "gradient", points, centroids, n, k, d, space, *out, result=out
            ),
        },
        primal=peers.primal(cost, centroids, points),
    )


def with_jax(jax: Any) -> Any:
    jnp = jax.numpy

    def cost(centroids: Any, points: Any) -> Any:
        products = points @ centroids.T
        squares = jnp.sum(points**2, axis=1)[:, None] + jnp.sum(centroids**2, axis=1)
        return jnp.sum(jnp.min(squares - 2 * products, axis=1))

    def direction(centroids: Any, points: Any) -> Any:
        gradient = jax.grad(lambda c: cost(c, points))
        return jax.jvp(gradient, (centroids,), (jnp.ones_like(centroids),))

    return direction


def with_torch(centroids: Any, points: Any, compiled: bool) -> Work:
    """Eagerly as GradBench writes it, by `torch.autograd.functional`, which cannot be compiled."""
    torch = peers.torch()
    functional = torch.autograd.functional
    tcentroids, tpoints = torch.tensor(centroids), torch.tensor(points)
    one, ones = torch.tensor(1.0, dtype=torch.float64), torch.ones_like(tcentroids)

    def cost(centroids: Any) -> Any:
        products = torch.matmul(tpoints, centroids.T)
        squares = (tpoints**2).sum(1)[:, None] + (centroids**2).sum(1)
        return torch.min(squares - 2 * products, dim=1)[0].sum()

    def direction(centroids: Any) -> Any:
        _, gradient = functional.vjp(cost, centroids, v=one)
        _, hessian = functional.vhp(cost, centroids, v=ones)
        return gradient, hessian

    if compiled:
        torch._dynamo.reset()
        forward = torch.compile(
            lambda c: torch.func.jvp(torch.func.grad(cost), (c,), (ones,)), dynamic=False
        )
        return lambda: forward(tcentroids)
    return lambda: direction(tcentroids)


def with_autograd(centroids: Any, points: Any) -> Work:
    autograd, anp = peers.autograd()

    def cost(centroids: Any) -> Any:
        products = anp.dot(points, centroids.T)
        squares = anp.sum(points**2, axis=1)[:, None] + anp.sum(centroids**2, axis=1)
        return anp.sum(anp.min(squares - 2 * products, axis=1))

    gradient = autograd.grad(cost)
    hessian = autograd.grad(lambda c: anp.sum(gradient(c)))
    return lambda: (gradient(centroids), hessian(centroids))
