"""Timing that alternates what it compares, and the table it ends in."""

from __future__ import annotations

import importlib.util
import os
import platform
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version

PEERS = ("autograd", "jax", "torch")


@dataclass(frozen=True)
class Row:
    """One line: what was measured, ours, what it is compared with, their ratio and the bar."""

    what: str
    ours: str
    beside: str = ""
    ratio: str = ""
    bar: str = ""


def alternating(works: Sequence[Callable[[], object]], runs: int, batch: int = 1) -> list[float]:
    """The median seconds of each piece of work, run in turns so that noise meets all alike.

    A turn is ``batch`` calls in a row. Of a call that takes microseconds, a turn of one would
    measure how long the processor takes to have another library's code at hand again; so that
    nobody always comes after the same one, the turns are taken in random order.
    """
    order = random.Random(0)
    turns = list(range(len(works)))
    times: list[list[float]] = [[] for _ in works]
    for work in works:
        work()
    for _ in range(runs):
        order.shuffle(turns)
        for turn in turns:
            work = works[turn]
            start = time.perf_counter()
            for _ in range(batch):
                work()
            times[turn].append((time.perf_counter() - start) / batch)
    return [statistics.median(taken) for taken in times]


def installed(peer: str) -> bool:
    return importlib.util.find_spec(peer) is not None


def machine() -> str:
    """What this was measured on, and which peers are installed."""
    names = ("numpy", "sympy", *PEERS)
    packages = ", ".join(
        f"{p} {version(p)}" if installed(p) else f"{p} not installed" for p in names
    )
    return (
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; "
        f"{packages}. Medians of alternating runs."
    )


def table(rows: Sequence[Row]) -> str:
    lines = ["| what | ours | beside | ratio | bar |", "| --- | --- | --- | --- | --- |"]
    lines += [f"| {r.what} | {r.ours} | {r.beside} | {r.ratio} | {r.bar} |" for r in rows]
    return "\n".join(lines)
