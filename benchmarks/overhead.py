"""What recording costs: gradients of programs in which arithmetic takes next to no time.

Everything is run on one thread and on the same numbers; each result is compared with the others'.
"""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np

import chainrule as cr
from benchmarks.table import Row, alternating, installed

Work = Callable[[], Any]


def chain(operations: int, sin: Callable[[Any], Any] = np.sin) -> Callable[[Any], Any]:
    """Sines, products, sums and differences of scalars: four operations at a time."""

    def f(x: Any) -> Any:
        y = x
        for _ in range(operations // 4):
            y = sin(y) * 1.01 + x
            y = y - 0.3
        return y

    return f


def mlp(library: Any, total: Callable[..., Any]) -> Callable[..., Any]:
    """The loss of a network of three layers: 17 operations."""

    def loss(params: Any, x: Any, target: Any) -> Any:
        w1, b1, w2, b2, w3, b3 = params
        h = library.tanh(x @ w1 + b1)
        h = library.tanh(h @ w2 + b2)
        out = h @ w3 + b3
        out = out - library.log(total(library.exp(out), 1)).reshape(-1, 1)
        return -library.mean(total(target * out, 1))

    return loss


MLP_OPERATIONS = 17


def rows() -> list[Row]:
    found = [
        _compared(f"gradient of {n:,} scalar operations", _chains(n), n) for n in (1_000, 10_000)
    ]
    step, works = "gradient of an MLP step (8-8-6-4, batch 5)", _mlps()
    found += [
        _compared(f"{step}, 20 calls in a row", works, MLP_OPERATIONS, 150, 20),
        _compared(f"{step}, one call between the others'", works, MLP_OPERATIONS, 400),
    ]
    found.append(_second_order())
    found.append(_million())
    return found


def _compared(
    what: str, works: dict[str, Work], operations: int, runs: int = 25, batch: int = 1
) -> Row:
    results = {name: np.ravel(np.asarray(work())) for name, work in works.items()}
    for name, result in results.items():
        np.testing.assert_allclose(result, results["ours"], rtol=1e-9, err_msg=name)
    times = dict(zip(works, alternating(list(works.values()), runs, batch), strict=True))
    ours = times.pop("ours")
    per = lambda seconds: f"{1e6 * seconds / operations:.2f} µs"
    beside = ", ".join(f"{name} {per(t)}" for name, t in times.items())
    ratios = ", ".join(f"{ours / t:.2f}" for t in times.values())
    bars = {"autograd": "≤ 0.25", "torch": "≤ 1.0"}
    bar = ", ".join(bars[name] for name in times)
    return Row(f"{what}, per operation", per(ours), beside, ratios, bar)


def _chains(n: int) -> dict[str, Work]:
    gradient = cr.grad(chain(n))
    works: dict[str, Work] = {"ours": lambda: gradient(1.0)}
    if installed("autograd"):
        import autograd
        import autograd.numpy as anp

        theirs = autograd.grad(chain(n, anp.sin))
        works["autograd"] = lambda: theirs(1.0)
    if installed("torch"):
        import torch

        torch.set_num_threads(1)
        f = chain(n, torch.sin)

        def backward() -> Any:
            x = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
            f(x).backward()
            return x.grad

        works["torch"] = backward
    return works


def _mlps() -> dict[str, Work]:
    rng = np.random.default_rng(0)
    sizes = (8, 8, 6, 4)
    params = tuple(
        array
        for a, b in itertools.pairwise(sizes)
        for array in (rng.normal(size=(a, b)), rng.normal(size=b))
    )
    x, target = rng.normal(size=(5, 8)), rng.normal(size=(5, 4))
    gradient = cr.grad(mlp(np, lambda v, axis: np.sum(v, axis=axis)))
    works: dict[str, Work] = {"ours": lambda: gradient(params, x, target)[0]}
    if installed("autograd"):
        import autograd
        import autograd.numpy as anp

        theirs = autograd.grad(mlp(anp, lambda v, axis: anp.sum(v, axis=axis)))
        works["autograd"] = lambda: theirs(params, x, target)[0]
    if installed("torch"):
        import torch

        torch.set_num_threads(1)
        loss = mlp(torch, lambda v, axis: torch.sum(v, dim=axis))
        leaves = [torch.tensor(p, requires_grad=True) for p in params]
        tx, ttarget = torch.tensor(x), torch.tensor(target)

        def backward() -> Any:
            for leaf in leaves:
                leaf.grad = None
            loss(leaves, tx, ttarget).backward()
            return leaves[0].grad

        works["torch"] = backward
    return works


def _second_order() -> Row:
    f = chain(1_000)
    first, second = cr.grad(f), cr.grad(cr.grad(f))
    once, twice = alternating([lambda: first(1.0), lambda: second(1.0)], runs=60)
    return Row(
        "second derivative of 1,000 scalar operations",
        f"{1e3 * twice:.1f} ms", f"first: {1e3 * once:.1f} ms", f"{twice / once:.2f}", "≤ 3",
    )  # fmt: skip


def _million() -> Row:
    n = 1_000_000
    (seconds,) = alternating([lambda: cr.grad(chain(n))(1.0)], runs=1)
    tracemalloc.start()
    cr.grad(chain(n // 10))(1.0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    memory = f"{peak / (n // 10):.0f} bytes per operation"
    return Row(f"gradient of {n:,} scalar operations", f"{seconds:.1f} s, {memory}")
