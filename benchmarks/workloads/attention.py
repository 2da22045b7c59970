"""Softmax attention: the gradient of a block's squared error by its four weight matrices, float32.

The block is self-attention of several heads with a residual connection and a layer norm. The
reference is the gradient written out, in float64; what is compared agrees to 1e-4.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import chainrule as cr
from benchmarks.workloads import peers
from benchmarks.workloads.contest import Case, Work


def loss(weights: Any, x: Any, target: Any, heads: int, np: Any = np) -> Any:
    wq, wk, wv, wo = weights
    batch, length, width = x.shape
    split = lambda y: y.reshape(batch, length, heads, width // heads).transpose((0, 2, 1, 3))
    q, k, v = split(x @ wq), split(x @ wk), split(x @ wv)
    scores = q @ k.transpose((0, 1, 3, 2)) / np.float32((width // heads) ** 0.5)
    e = np.exp(scores - np.max(scores, axis=-1, keepdims=True))
    p = e / np.sum(e, axis=-1, keepdims=True)
    h = x + (p @ v).transpose((0, 2, 1, 3)).reshape(batch, length, width) @ wo
    h = h - np.mean(h, axis=-1, keepdims=True)
    h = h / np.sqrt(np.mean(h**2, axis=-1, keepdims=True) + np.float32(1e-5))
    return np.mean((h - target) ** 2)


def by_hand(weights: Any, x: Any, target: Any, heads: int) -> Any:
    wq, wk, wv, wo = weights
    batch, length, width = x.shape
    each = width // heads
    scale = x.dtype.type(each**-0.5)
    split = lambda y: y.reshape(batch, length, heads, each).transpose(0, 2, 1, 3)
    join = lambda y: y.transpose(0, 2, 1, 3).reshape(batch * length, width)
    flat = x.reshape(-1, width)
    q, k, v = split(flat @ wq), split(flat @ wk), split(flat @ wv)
    p = q @ k.transpose(0, 1, 3, 2)
    p *= scale
    p -= p.max(axis=-1, keepdims=True)
    np.exp(p, out=p)
    p /= p.sum(axis=-1, keepdims=True)
    mixed = join(p @ v)
    h = mixed @ wo
    h += flat
    h -= h.mean(axis=-1, keepdims=True)
    size = np.sqrt(np.mean(h * h, axis=-1, keepdims=True) + x.dtype.type(1e-5))
    h /= size
    d = h - target.reshape(-1, width)
    d *= x.dtype.type(2 / d.size)
    d = (d - h * np.mean(d * h, axis=-1, keepdims=True)) / size
    d -= d.mean(axis=-1, keepdims=True)
    d_mixed = split(d @ wo.T)
    d_p = d_mixed @ v.transpose(0, 1, 3, 2)
    d_p -= np.sum(d_p * p, axis=-1, keepdims=True)
    d_p *= p
    d_p *= scale
    return (
        flat.T @ join(d_p @ k),
        flat.T @ join(d_p.transpose(0, 1, 3, 2) @ q),
        flat.T @ join(p.transpose(0, 1, 3, 2) @ d_mixed),
        mixed.T @ d,
    )


def cases(small: bool = False) -> Iterator[Case]:
    for batch, length, width, heads in (
        [(2, 16, 16, 2)] if small else [(8, 64, 64, 4), (8, 128, 128, 8), (2, 512, 256, 8)]
    ):
        yield case(batch, length, width, heads)


def case(batch: int, length: int, width: int, heads: int) -> Case:
    rng = np.random.default_rng(0)
    x, target = rng.normal(size=(2, batch, length, width)).astype(np.float32)
    weights = tuple((rng.normal(size=(4, width, width)) / np.sqrt(width)).astype(np.float32))
    wide = tuple(np.float64(w) for w in weights)

    def f(weights: Any, x: Any, target: Any) -> Any:
        return loss(weights, x, target, heads)

    def with_jax(jax: Any) -> Any:
        return jax.grad(lambda w, x, target: loss(w, x, target, heads, jax.numpy))

    return Case(
        f"{batch} × {length} × {width}, {heads} heads",
        lambda: by_hand(wide, np.float64(x), np.float64(target), heads),
        {
            **peers.ours(cr.grad(f), weights, x, target),
            "JAX": peers.with_jax(with_jax, weights, x, target),
            "PyTorch": lambda: with_torch(weights, x, target, heads, compiled=False),
            "torch.compile": lambda: with_torch(weights, x, target, heads, compiled=True),
            "autograd": lambda: with_autograd(weights, x, target, heads),
            "NumPy by hand": lambda: peers.bound(by_hand, weights, x, target, heads),
        },
        tolerance=1e-4,
        primal=peers.primal(f, weights, x, target),
    )


def with_torch(weights: Any, x: Any, target: Any, heads: int, compiled: bool) -> Work:
    torch = peers.torch()
    functional = torch.nn.functional
    leaves = [torch.tensor(w, requires_grad=True) for w in weights]
    tx, ttarget = torch.tensor(x), torch.tensor(target)
    batch, length, width = x.shape

    def loss(wq: Any, wk: Any, wv: Any, wo: Any) -> Any:
        split = lambda y: y.view(batch, length, heads, width // heads).transpose(1, 2)
        q, k, v = split(tx @ wq), split(tx @ wk), split(tx @ wv)
        mixed = functional.scaled_dot_product_attention(q, k, v)
        h = tx + mixed.transpose(1, 2).reshape(batch, length, width) @ wo
        return functional.mse_loss(functional.layer_norm(h, (width,), eps=1e-5), ttarget)

    if compiled:
        torch._dynamo.reset()
        loss = torch.compile(loss, dynamic=False)
    return lambda: torch.autograd.grad(loss(*leaves), leaves)


def with_autograd(weights: Any, x: Any, target: Any, heads: int) -> Work:
    autograd, anp = peers.autograd()
    gradient = autograd.grad(lambda w: loss(w, x, target, heads, anp))
    return peers.bound(gradient, weights)
