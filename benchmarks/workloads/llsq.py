"""GradBench's llsq: the gradient of a least squares fit by the coefficients of a polynomial.

Defined by cmpad (`llsq_obj`): ½ Σᵢ (sᵢ − Σⱼ xⱼ tᵢʲ)² with tᵢ from −1 to 1 and sᵢ its sign; 128
coefficients, n = 16 to 16,392, float64. The numbers t and s are arguments, so that nothing that is
made from them can be prepared before. We, JAX and PyTorch write it twice: as a polynomial
(`np.polyval`, Horner's rule) and with the matrix of powers. The reference is the closed form,
Vᵀ(Vx − s) for the matrix V of powers, in NumPy's long double.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import chainrule as cr
from benchmarks import baselines
from benchmarks.workloads import peers
from benchmarks.workloads.contest import COMPILED, EAGER, Case

SIZES = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8196, 16392)
COEFFICIENTS = 128


def by_polyval(x: Any, t: Any, s: Any) -> Any:
    return 0.5 * np.sum((s - np.polyval(x[::-1], t)) ** 2)


def by_powers(x: Any, t: Any, s: Any) -> Any:
    powers = t[:, None] ** np.arange(len(x))
    return 0.5 * np.sum((s - powers @ x) ** 2)


def by_hand(x: Any, t: Any, s: Any) -> Any:
    powers = np.vander(t, len(x), increasing=True)
    away = powers @ x
    away -= s
    return away @ powers


def cases(small: bool = False) -> Iterator[Case]:
    for n in (16, 100) if small else SIZES:
        yield case(n, COEFFICIENTS)


def case(n: int, m: int) -> Case:
    x = np.random.default_rng(31337).uniform(size=m)
    t = -1 + np.arange(n) * 2 / (n - 1)
    s = np.sign(t)

    def reference() -> Any:
        powers = np.vander(t.astype(np.longdouble), m, increasing=True)
        return ((powers @ x.astype(np.longdouble) - s) @ powers).astype(np.float64)

    polyval, powers = (cr.grad(f) for f in (by_polyval, by_powers))
    as_powers = peers.ours(powers, x, t, s)
    out = np.empty(m)
    return Case(
        f"n = {n:,}, m = {m}",
        reference,
        {
            **peers.ours(polyval, x, t, s),
            f"{COMPILED}, powers": as_powers[COMPILED],
            f"{EAGER}, powers": as_powers[EAGER],
            "JAX": peers.with_jax(jax_cumprod, x, t, s),
            "JAX, polyval": peers.with_jax(jax_polyval, x, t, s),
            **peers.torches(torch_powers, (x,), t, s),
            "autograd": peers.with_autograd(autograd_powers, (x,), t, s),
            "NumPy by hand": lambda: peers.bound(by_hand, x, t, s),
            "C by hand": lambda: baselines.call("llsq", "gradient", x, t, s, n, m, out, result=out),
        },
        primal=peers.primal(by_polyval, x, t, s),
    )


def jax_cumprod(jax: Any) -> Any:
    """As GradBench writes it for JAX: the powers of each point by a cumulative product."""
    jnp = jax.numpy

    def loss(x: Any, t: Any, s: Any) -> Any:
        def squared(t: Any, s: Any) -> Any:
            powers = jnp.cumprod(jnp.full(len(x), t).at[0].set(1))
            return (s - jnp.sum(x * powers)) ** 2

        return 0.5 * jnp.sum(jax.vmap(squared)(t, s))

    return jax.grad(loss)


def jax_polyval(jax: Any) -> Any:
    jnp = jax.numpy
    return jax.grad(lambda x, t, s: 0.5 * jnp.sum((s - jnp.polyval(x[::-1], t)) ** 2))


def torch_powers(torch: Any, x: Any, t: Any, s: Any) -> Any:
    powers = torch.linalg.vander(t, N=len(x))
    return 0.5 * torch.sum((s - powers @ x) ** 2)


def autograd_powers(anp: Any, x: Any, t: Any, s: Any) -> Any:
    powers = np.vander(t, len(x), increasing=True)
    return 0.5 * anp.sum((s - anp.dot(powers, x)) ** 2)
