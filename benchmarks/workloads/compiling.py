"""Compiling a training step and a mixture: the first call, in a process that runs already.

What is timed is everything up to the first result of a function made anew: tracing,
differentiating, compiling, running. Nothing comes from a cache on disk.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.workloads import gmm, mlp, peers
from benchmarks.workloads.contest import COMPILED, Case, Work


def cases(small: bool = False) -> Iterator[Case]:
    for what, case in [
        ("MLP step", mlp.case(16 if small else mlp.BATCH)),
        ("gmm", gmm.case(2, 5, 50) if small else gmm.case(10, 25, 1000)),
    ]:
        contenders = {
            COMPILED: anew(case, COMPILED, peers.other_disk_cache),
            "JAX": anew(case, "JAX"),
            "torch.compile": anew(case, "torch.compile", lambda _: peers.torch_without_caches()),
        }
        yield dataclasses.replace(
            case, size=f"{what}, {case.size}", contenders=contenders, primal=None, slow=30.0
        )


def anew(
    case: Case, name: str, before: Callable[[int], Any] = lambda _: None
) -> Callable[[], Work]:
    """A contender whose work is to be made and to run once."""

    def make() -> Work:
        made = itertools.count()
        if name == COMPILED:
            peers.jit()
        elif name == "JAX":
            peers.jax()

        def work() -> Any:
            before(next(made))
            return case.contenders[name]()()

        return work

    return make
