"""GradBench's gmm: the log-posterior of a Gaussian mixture with a Wishart prior, and its gradient.

Defined by ADBench (`gmm`), in GradBench's data: 1,000 points of a normal distribution in d
dimensions, k components, γ = 1, m = 0. The precision of a component is QᵀQ; Q is triangular, given
by the logarithms of its diagonal and then its columns below. Float64. The reference is our eager
derivative of another formulation: triangles by a table of places, points and means as one product.
"""

from __future__ import annotations

import ctypes
import math
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

import chainrule as cr
from benchmarks import baselines
from benchmarks.workloads import peers
from benchmarks.workloads.contest import Case, Work

GAMMA, M = 1.0, 0
SIZES = ((2, 5), (2, 50), (10, 5), (10, 25), (20, 50), (32, 25), (64, 10), (64, 50))


def log_multigamma(a: float, d: int) -> float:
    pairs = d * (d - 1) / 4 * math.log(math.pi)
    return pairs + sum(math.lgamma(a - j / 2) for j in range(d))


def constant(n: int, d: int, k: int) -> float:
    """What does not depend on the parameters."""
    freedom = d + M + 1
    norm = freedom * d * math.log(GAMMA / math.sqrt(2)) - log_multigamma(freedom / 2, d)
    return -0.5 * n * d * math.log(2 * math.pi) - k * norm


def data(d: int, k: int, n: int) -> tuple[Any, Any, Any, Any]:
    rng = np.random.default_rng(31337)
    x = rng.normal(size=(n, d))
    means = rng.uniform(size=(k, d))
    diagonals = rng.normal(size=(k, d))
    below = rng.normal(size=(k, d * (d - 1) // 2))
    alphas = rng.normal(size=k)
    return alphas, means, np.concatenate([diagonals, below], axis=1), x


def log_sum_exp(a: Any) -> Any:
    top = np.max(a, axis=-1, keepdims=True)
    return np.log(np.sum(np.exp(a - top), axis=-1)) + top[..., 0]


def objective(alphas: Any, means: Any, icf: Any, x: Any) -> Any:
    n, d = x.shape
    k = len(alphas)
    columns, rows = np.triu_indices(d, 1)
    log_diagonal, below = icf[:, :d], icf[:, d:]
    q = np.zeros((k, d, d), like=icf)
    q[:, rows, columns] = below
    q[:, np.arange(d), np.arange(d)] = np.exp(log_diagonal)
    z = np.einsum("kij,nkj->nki", q, x[:, None, :] - means)
    log_det = np.sum(log_diagonal, axis=1)
    inner = alphas + log_det - 0.5 * np.sum(z**2, axis=2)
    likelihood = np.sum(log_sum_exp(inner)) - n * log_sum_exp(alphas)
    prior = 0.5 * GAMMA**2 * np.sum(q**2) - M * np.sum(log_det)
    return likelihood + prior + constant(n, d, k)


def other_objective(alphas: Any, means: Any, icf: Any, x: Any) -> Any:
    """The same by other operations, for the reference."""
    n, d = x.shape
    k = len(alphas)
    columns, rows = np.triu_indices(d, 1)
    places = np.zeros((len(rows), d, d))
    places[np.arange(len(rows)), rows, columns] = 1
    log_diagonal = icf[:, :d]
    q = np.tensordot(icf[:, d:], places, 1) + np.exp(log_diagonal)[:, :, None] * np.eye(d)
    shift = np.sum(q * means[:, None, :], axis=2)
    z = x @ q.reshape(k * d, d).T - shift.reshape(k * d)
    norms = np.sum(z.reshape(n, k, d) ** 2, axis=2)
    inner = alphas + np.sum(log_diagonal, axis=1) - 0.5 * norms
    weight = alphas - np.logaddexp.reduce(alphas)
    likelihood = np.sum(np.logaddexp.reduce(inner, axis=1)) + n * (weight[0] - alphas[0])
    prior = 0.5 * GAMMA**2 * np.sum(q * q) - M * np.sum(log_diagonal)
    return likelihood + prior + constant(n, d, k)


def by_hand(alphas: Any, means: Any, icf: Any, x: Any) -> Any:
    n, d = x.shape
    k = len(alphas)
    columns, rows = np.triu_indices(d, 1)
    log_diagonal = icf[:, :d]
    diagonal = np.exp(log_diagonal)
    q = np.zeros((k, d, d))
    q[:, rows, columns] = icf[:, d:]
    q[:, np.arange(d), np.arange(d)] = diagonal
    z = x @ q.reshape(k * d, d).T
    z -= np.einsum("kij,kj->ki", q, means).reshape(k * d)
    z = z.reshape(n, k, d)
    log_det = log_diagonal.sum(axis=1)
    r = np.einsum("nki,nki->nk", z, z)
    r *= -0.5
    r += alphas + log_det
    top = r.max(axis=1, keepdims=True)
    r -= top
    np.exp(r, out=r)
    sums = r.sum(axis=1, keepdims=True)
    r /= sums
    e = np.exp(alphas - alphas.max())
    value = np.sum(np.log(sums)) + np.sum(top) - n * (np.log(e.sum()) + alphas.max())
    value += 0.5 * GAMMA**2 * np.sum(q * q) - M * log_det.sum() + constant(n, d, k)
    by_component = r.sum(axis=0)
    z *= r[:, :, None]
    of_z = z.sum(axis=0)
    g_q = (z.reshape(n, k * d).T @ x).reshape(k, d, d)
    g_q -= of_z[:, :, None] * means[:, None, :]
    g_q -= GAMMA**2 * q
    g_icf = np.empty_like(icf)
    at = np.arange(d)
    g_icf[:, :d] = by_component[:, None] - M - g_q[:, at, at] * diagonal
    g_icf[:, d:] = -g_q[:, rows, columns]
    g_means = np.einsum("kij,ki->kj", q, of_z)
    return value, (by_component - n * e / e.sum(), g_means, g_icf)


def cases(small: bool = False) -> Iterator[Case]:
    for d, k in ((2, 5), (14, 3)) if small else SIZES:
        yield case(d, k, 50 if small else 1000)


def case(d: int, k: int, n: int) -> Case:
    alphas, means, icf, x = data(d, k, n)
    args = (alphas, means, icf)
    derivative = cr.value_and_grad(objective, argnums=(0, 1, 2))

    def reference() -> Any:
        return cr.value_and_grad(other_objective, argnums=(0, 1, 2))(*args, x)

    return Case(
        f"d = {d}, k = {k}, n = {n:,}",
        reference,
        {
            **peers.ours(derivative, *args, x),
            "JAX": lambda: with_jax(args, x),
            "PyTorch": lambda: with_torch(args, x, compiled=False),
            "torch.compile": lambda: with_torch(args, x, compiled=True),
            "autograd": lambda: with_autograd(args, x),
            "NumPy by hand": lambda: peers.bound(by_hand, *args, x),
            "C by hand": lambda: in_c(args, x),
        },
        primal=peers.primal(objective, *args, x),
    )


def with_jax(args: Any, x: Any) -> Work:
    jax = peers.jax()
    jnp = jax.numpy
    (n, d), k = x.shape, len(args[0])
    columns, rows = np.triu_indices(d, 1)

    def objective(alphas: Any, means: Any, icf: Any, x: Any) -> Any:
        def triangle(row: Any) -> Any:
            return jnp.diag(jnp.exp(row[:d])).at[rows, columns].set(row[d:])

        q = jax.vmap(triangle)(icf)
        z = jnp.einsum("kij,nkj->nki", q, x[:, None, :] - means)
        log_det = jnp.sum(icf[:, :d], axis=1)
        inner = alphas + log_det - 0.5 * jnp.sum(z**2, axis=2)
        likelihood = jnp.sum(jax.nn.logsumexp(inner, axis=1)) - n * jax.nn.logsumexp(alphas)
        prior = 0.5 * GAMMA**2 * jnp.sum(q**2) - M * jnp.sum(log_det)
        return likelihood + prior + constant(n, d, k)

    f = jax.jit(jax.value_and_grad(objective, argnums=(0, 1, 2)))
    given = jax.device_put((*args, x))
    return lambda: jax.block_until_ready(f(*given))


def with_torch(args: Any, x: Any, compiled: bool) -> Work:
    torch = peers.torch()
    (n, d), k = x.shape, len(args[0])
    leaves = [torch.tensor(a, requires_grad=True) for a in args]
    tx = torch.tensor(x)
    columns, rows = (torch.tensor(i) for i in np.triu_indices(d, 1))
    rest = constant(n, d, k)

    def objective(alphas: Any, means: Any, icf: Any) -> Any:
        diagonal = torch.exp(icf[:, :d])
        log_det = torch.sum(icf[:, :d], 1)
        lower = torch.zeros(k, d, d, dtype=torch.float64).index_put(
            (torch.arange(k)[:, None], rows, columns), icf[:, d:]
        )
        centred = tx[:, None, :] - means
        z = diagonal * centred + torch.einsum("kij,nkj->nki", lower, centred)
        inner = alphas + log_det - 0.5 * torch.sum(z**2, 2)
        likelihood = torch.sum(torch.logsumexp(inner, 1)) - n * torch.logsumexp(alphas, 0)
        squares = torch.sum(diagonal**2) + torch.sum(icf[:, d:] ** 2)
        return likelihood + 0.5 * GAMMA**2 * squares - M * torch.sum(log_det) + rest

    if compiled:
        torch._dynamo.reset()
        objective = torch.compile(objective, dynamic=False)

    def work() -> Any:
        value = objective(*leaves)
        return value.detach(), torch.autograd.grad(value, leaves)

    return work


def with_autograd(args: Any, x: Any) -> Work:
    autograd, anp = peers.autograd()
    (n, d), k = x.shape, len(args[0])
    columns, rows = np.triu_indices(d, 1)
    # Autograd cannot assign to elements: a triangle is a product with a table of its places.
    places = np.zeros((d * (d - 1) // 2, d, d))
    places[np.arange(len(rows)), rows, columns] = 1
    eye = np.eye(d)

    def objective(args: Any) -> Any:
        alphas, means, icf = args
        q = anp.exp(icf[:, :d])[:, :, None] * eye
        q = q + anp.dot(icf[:, d:], places.reshape(-1, d * d)).reshape((k, d, d))
        z = anp.einsum("kij,nkj->nki", q, x[:, None, :] - means)
        log_det = anp.sum(icf[:, :d], axis=1)
        inner = alphas + log_det - 0.5 * anp.sum(z**2, axis=2)
        top = anp.max(inner, axis=1, keepdims=True)
        likelihood = anp.sum(anp.log(anp.sum(anp.exp(inner - top), axis=1)) + top[:, 0])
        likelihood = likelihood - n * anp.log(anp.sum(anp.exp(alphas)))
        prior = 0.5 * GAMMA**2 * anp.sum(q**2) - M * anp.sum(log_det)
        return likelihood + prior + constant(n, d, k)

    return peers.bound(autograd.value_and_grad(objective), args)


def in_c(args: Any, x: Any) -> Work:
    (n, d), k = x.shape, len(args[0])
    threads = os.cpu_count() or 1
    library = baselines.library("gmm")
    library.space_of_thread.restype = library.space_of_all.restype = ctypes.c_long
    sizes = ctypes.c_long(d), ctypes.c_long(k)
    shared = np.empty(library.space_of_all(*sizes))
    own = np.empty(threads * library.space_of_thread(*sizes))
    value, out = np.empty(1), tuple(np.empty_like(a) for a in args)
    return baselines.call(
        "gmm", "gradient", *args, x, n, d, k, GAMMA, M, constant(n, d, k), threads, shared, own,
        value, *out, result=(value, out),
    )  # fmt: skip
