"""One training step of a network 784-128-64-10, batch 128, float32.

Relu, softmax cross entropy against integer labels, the value and the gradient, and a step of
gradient descent. Ours and JAX return new parameters; PyTorch, NumPy and C by hand change theirs in
place, as people write it. What is compared is the loss and the change of the parameters divided by
the rate, against the closed form in float64, at 1e-4.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

import chainrule as cr
from benchmarks import baselines
from benchmarks.workloads import peers
from benchmarks.workloads.contest import Case, Work, arrays

SIZES = (784, 128, 64, 10)
BATCH = 128
RATE = 0.1

Params = list[Any]


def data(batch: int = BATCH) -> tuple[Params, Any, Any]:
    rng = np.random.default_rng(0)
    params: Params = []
    for a, b in itertools.pairwise(SIZES):
        params += [rng.normal(size=(a, b)) * np.sqrt(2 / a), 0.1 * rng.normal(size=b)]
    x = rng.uniform(size=(batch, SIZES[0]))
    labels = rng.integers(0, SIZES[-1], size=batch)
    return [p.astype(np.float32) for p in params], x.astype(np.float32), labels


def loss(params: Params, x: Any, labels: Any) -> Any:
    w1, b1, w2, b2, w3, b3 = params
    h = np.maximum(x @ w1 + b1, 0)
    h = np.maximum(h @ w2 + b2, 0)
    out = h @ w3 + b3
    out = out - np.max(out, axis=1, keepdims=True)
    log_p = out - np.log(np.sum(np.exp(out), axis=1, keepdims=True))
    return -np.mean(log_p[np.arange(len(labels)), labels])


def step(params: Params, x: Any, labels: Any) -> Any:
    value, gradient = cr.value_and_grad(loss)(params, x, labels)
    return value, [p - np.float32(RATE) * g for p, g in zip(params, gradient, strict=True)]


def gradient_by_hand(params: Params, x: Any, labels: Any) -> tuple[Any, Params]:
    w1, b1, w2, b2, w3, b3 = params
    rows = np.arange(len(labels))
    h1 = x @ w1
    h1 += b1
    np.maximum(h1, 0, out=h1)
    h2 = h1 @ w2
    h2 += b2
    np.maximum(h2, 0, out=h2)
    out = h2 @ w3
    out += b3
    out -= out.max(axis=1, keepdims=True)
    chosen = out[rows, labels]
    np.exp(out, out=out)
    sums = out.sum(axis=1, keepdims=True)
    value = np.mean(np.log(sums[:, 0]) - chosen)
    out /= sums
    out[rows, labels] -= 1
    out /= len(labels)
    d2 = out @ w3.T
    d2 *= h2 > 0
    d1 = d2 @ w2.T
    d1 *= h1 > 0
    return value, [x.T @ d1, d1.sum(0), h1.T @ d2, d2.sum(0), h2.T @ out, out.sum(0)]


def cases(small: bool = False) -> Iterator[Case]:
    yield case(16 if small else BATCH)


def case(batch: int) -> Case:
    params, x, labels = data(batch)
    before = arrays(params)

    def reference() -> Any:
        wide = [np.float64(p) for p in params]
        value, gradient = gradient_by_hand(wide, np.float64(x), labels)
        return value, gradient

    def read(result: Any) -> list[Any]:
        value, *after = arrays(result)
        return [value, *((p - q) / RATE for p, q in zip(before, after, strict=True))]

    return Case(
        f"batch {batch}",
        reference,
        {
            **peers.ours(step, params, x, labels),
            "JAX": lambda: with_jax(params, x, labels),
            "PyTorch": lambda: with_torch(params, x, labels, compiled=False),
            "torch.compile": lambda: with_torch(params, x, labels, compiled=True),
            "autograd": lambda: with_autograd(params, x, labels),
            "NumPy by hand": lambda: by_hand(params, x, labels),
            "C by hand": lambda: in_c(params, x, labels),
        },
        tolerance=1e-4,
        primal=peers.primal(loss, params, x, labels),
        read=read,
    )


def by_hand(params: Params, x: Any, labels: Any) -> Work:
    params = [p.copy() for p in params]
    rate = np.float32(RATE)

    def work() -> Any:
        value, gradient = gradient_by_hand(params, x, labels)
        for p, g in zip(params, gradient, strict=True):
            g *= rate
            p -= g
        return value, params

    return work


def with_jax(params: Params, x: Any, labels: Any) -> Work:
    jax = peers.jax()
    jnp = jax.numpy

    def loss(params: Params, x: Any, labels: Any) -> Any:
        w1, b1, w2, b2, w3, b3 = params
        h = jax.nn.relu(x @ w1 + b1)
        h = jax.nn.relu(h @ w2 + b2)
        log_p = jax.nn.log_softmax(h @ w3 + b3)
        return -jnp.mean(jnp.take_along_axis(log_p, labels[:, None], axis=1))

    @jax.jit
    def step(params: Params, x: Any, labels: Any) -> Any:
        value, gradient = jax.value_and_grad(loss)(params, x, labels)
        return value, jax.tree.map(lambda p, g: p - jnp.float32(RATE) * g, params, gradient)

    given = jax.device_put((params, x, labels))
    return lambda: jax.block_until_ready(step(*given))


def with_torch(params: Params, x: Any, labels: Any, compiled: bool) -> Work:
    torch = peers.torch()
    leaves = [torch.tensor(p, requires_grad=True) for p in params]
    tx, tlabels = torch.tensor(x), torch.tensor(labels)
    functional = torch.nn.functional

    def loss(w1: Any, b1: Any, w2: Any, b2: Any, w3: Any, b3: Any) -> Any:
        h = torch.relu(torch.addmm(b1, tx, w1))
        h = torch.relu(torch.addmm(b2, h, w2))
        return functional.cross_entropy(torch.addmm(b3, h, w3), tlabels)

    if compiled:
        torch._dynamo.reset()
        loss = torch.compile(loss, dynamic=False)

    def work() -> Any:
        value = loss(*leaves)
        gradient = torch.autograd.grad(value, leaves)
        with torch.no_grad():
            torch._foreach_sub_(leaves, gradient, alpha=RATE)
        return value.detach(), [leaf.detach() for leaf in leaves]

    return work


def with_autograd(params: Params, x: Any, labels: Any) -> Work:
    autograd, anp = peers.autograd()
    rows = np.arange(len(labels))

    def loss(params: Params) -> Any:
        w1, b1, w2, b2, w3, b3 = params
        h = anp.maximum(anp.dot(x, w1) + b1, 0)
        h = anp.maximum(anp.dot(h, w2) + b2, 0)
        out = anp.dot(h, w3) + b3
        out = out - anp.max(out, axis=1, keepdims=True)
        log_p = out - anp.log(anp.sum(anp.exp(out), axis=1, keepdims=True))
        return -anp.mean(log_p[rows, labels])

    both = autograd.value_and_grad(loss)

    def work() -> Any:
        value, gradient = both(params)
        return value, [p - np.float32(RATE) * g for p, g in zip(params, gradient, strict=True)]

    return work


def in_c(params: Params, x: Any, labels: Any) -> Work:
    params = [p.copy() for p in params]
    batch = len(labels)
    space = [np.empty((batch, n), np.float32) for n in (*SIZES[1:], *SIZES[1:3])]
    value = np.empty(1, np.float32)
    return baselines.call(
        "mlp", "step", *params, x, labels, batch, *SIZES, RATE, *space, value,
        result=(value, params),
    )  # fmt: skip
