"""GradBench's det: the gradient of a determinant by expansion by minors, ℓ = 5 to 8, float64.

Defined by cmpad (`det_by_minor`): recursion over the first row of what is left, in scalars. JAX
compiles the recursion for ℓ = 6 in most of a minute, so that it is there up to 5; the form
that GradBench offers to libraries of arrays, a sum over all permutations, is there for each. C is
there twice: with every minor where it occurs, as the definition has it, and with each made once,
which is what remains of the recursion when equal sub-expressions are merged. The reference is the
cofactor matrix by LU, at 1e-12.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

import chainrule as cr
from benchmarks import baselines
from benchmarks.workloads import peers
from benchmarks.workloads.contest import Case, Work

SIZES = (5, 6, 7, 8)
LONGEST_JAX = 5


def det(a: Any, row: int = 0, columns: tuple[int, ...] | None = None) -> Any:
    columns = tuple(range(len(a))) if columns is None else columns
    if len(columns) == 1:
        return a[row, columns[0]]
    total = 0.0
    for i, c in enumerate(columns):
        term = a[row, c] * det(a, row + 1, columns[:i] + columns[i + 1 :])
        total = total - term if i % 2 else total + term
    return total


def by_hand(a: Any) -> Any:
    """Top down in Python's floats: a minor's cotangent is known when it is entered."""
    entries = a.tolist()
    gradient = [[0.0] * len(a) for _ in entries]

    def visit(row: int, columns: tuple[int, ...], cotangent: float) -> float:
        if len(columns) == 1:
            gradient[row][columns[0]] += cotangent
            return entries[row][columns[0]]
        value = 0.0
        for i, c in enumerate(columns):
            entry = -entries[row][c] if i % 2 else entries[row][c]
            minor = visit(row + 1, columns[:i] + columns[i + 1 :], cotangent * entry)
            gradient[row][c] += (-cotangent if i % 2 else cotangent) * minor
            value += entry * minor
        return value

    value = visit(0, tuple(range(len(a))), 1.0)
    return value, np.array(gradient)


@functools.cache
def permutations(size: int) -> tuple[Any, Any]:
    """All permutations, one per row, and their signs."""
    found = np.array(list(itertools.permutations(range(size))))
    later = np.triu(np.ones((size, size), bool), 1)
    inversions = np.sum((found[:, :, None] > found[:, None, :]) & later, axis=(1, 2))
    return found, 1.0 - 2.0 * (inversions % 2)


def cases(small: bool = False) -> Iterator[Case]:
    for size in (3, 4) if small else SIZES:
        yield case(size)


def case(size: int) -> Case:
    a = np.random.default_rng(31337).uniform(size=(size, size))
    derivative = cr.value_and_grad(det)

    def reference() -> Any:
        value = np.linalg.det(a)
        return value, value * np.linalg.inv(a).T

    value, out = np.empty(1), np.empty((size, size))
    space = np.empty(2**size), np.empty(2**size)
    return Case(
        f"ℓ = {size}",
        reference,
        {
            **peers.ours(derivative, a),
            "JAX, permutations": peers.with_jax(lambda jax: jax_permutations(jax, size), a),
            "JAX, recursion": jax_recursion(a),
            "PyTorch": lambda: with_torch(det, a),
            "PyTorch, permutations": lambda: torch_permutations(a),
            "autograd": lambda: peers.bound(peers.autograd()[0].value_and_grad(det), a),
            "Python by hand": lambda: peers.bound(by_hand, a),
            "C by hand": lambda: baselines.call(
                "det", "gradient", a, size, value, out, result=(value, out)
            ),
            "C by hand, minors shared": lambda: baselines.call(
                "det", "gradient_shared", a, size, *space, value, out, result=(value, out)
            ),
        },
        primal=peers.primal(det, a),
    )


def jax_permutations(jax: Any, size: int) -> Any:
    jnp = jax.numpy
    columns, signs = permutations(size)

    def det(a: Any) -> Any:
        return jnp.sum(signs * jnp.prod(a[jnp.arange(size), columns], axis=1))

    return jax.value_and_grad(det)


def jax_recursion(a: Any) -> Any:
    if len(a) <= LONGEST_JAX:
        return peers.with_jax(lambda jax: jax.value_and_grad(det), a)
    return peers.left_out("left out: compiles too long")


def with_torch(det: Any, a: Any) -> Work:
    torch = peers.torch()
    leaf = torch.tensor(a, requires_grad=True)

    def work() -> Any:
        value = det(leaf)
        return value.detach(), torch.autograd.grad(value, leaf)

    return work


def torch_permutations(a: Any) -> Work:
    torch = peers.torch()
    columns, signs = (torch.tensor(given) for given in permutations(len(a)))
    rows = torch.arange(len(a))
    return with_torch(lambda a: torch.sum(signs * torch.prod(a[rows, columns], 1)), a)
