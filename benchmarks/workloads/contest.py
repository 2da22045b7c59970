"""Cases, those who take part in them, and how they are checked and timed.

A contender is made lazily: what it needs may not be installed. What it gives is held against a
reference before any time is taken, and a contender that is wrong, missing or fails stays in the
table, with the reason.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Work = Callable[[], Any]

COMPILED, EAGER = "chainrule jit", "chainrule"
PRIMAL = "primal"


class Absent(Exception):
    """A contender takes no part, and this is why."""


def arrays(result: Any) -> list[np.ndarray[Any, Any]]:
    """The arrays of a result of any library, in order, in float64."""
    if isinstance(result, Mapping):
        return [array for key in sorted(result) for array in arrays(result[key])]
    if isinstance(result, list | tuple):
        return [array for part in result for array in arrays(part)]
    return [np.array(result, np.float64)]


@dataclass(frozen=True)
class Case:
    """One problem at one size.

    ``tolerance`` is relative to the largest entry of each array of the reference. ``read`` turns a
    result into the arrays that are compared. ``primal`` is our function without its derivative.
    What takes longer than ``slow`` seconds is timed once.
    """

    size: str
    reference: Callable[[], Any]
    contenders: Mapping[str, Callable[[], Work]]
    tolerance: float = 1e-12
    primal: Callable[[], Work] | None = None
    slow: float = 2.0  # seconds: what takes longer is run once
    read: Callable[[Any], list[np.ndarray[Any, Any]]] = arrays


@dataclass
class Outcome:
    """What became of one contender: its seconds, or why there are none."""

    seconds: float | None = None
    first: float | None = None
    error: float | None = None
    failure: str = ""
    runs: int = 0


@dataclass
class Result:
    """One case, run: what became of everyone, and the seconds of our function itself."""

    size: str
    outcomes: dict[str, Outcome] = field(default_factory=dict)

    def seconds(self, name: str) -> float | None:
        return self.outcomes[name].seconds if name in self.outcomes else None


def deviation(found: list[np.ndarray[Any, Any]], expected: list[np.ndarray[Any, Any]]) -> float:
    """The largest error, relative to the largest entry of the array it is in."""
    if len(found) != len(expected):
        raise ValueError(f"{len(found)} arrays where there should be {len(expected)}")
    worst = 0.0
    for ours, theirs in zip(found, expected, strict=True):
        if ours.size != theirs.size:
            raise ValueError(f"shape {ours.shape} where it should be {theirs.shape}")
        if not theirs.size:
            continue
        scale = np.max(np.abs(theirs))
        away = np.max(np.abs(ours.ravel() - theirs.ravel()))
        if not np.isfinite(away):
            return np.inf
        worst = max(worst, float(away / scale) if scale else (np.inf if away else 0.0))
    return worst


def entered(case: Case, without: Collection[str] = ()) -> tuple[dict[str, Work], Result]:
    """Every contender made, run once and checked; only those that pass are returned as works."""
    expected = arrays(case.reference())
    works: dict[str, Work] = {}
    result = Result(case.size)
    for name, make in case.contenders.items():
        outcome = result.outcomes[name] = Outcome()
        if name in without:
            outcome.failure = "left out"
            continue
        try:
            start = time.perf_counter()
            work = make()
            found = work()
            outcome.first = time.perf_counter() - start
            outcome.error = deviation(case.read(found), expected)
        except Absent as reason:
            outcome.failure = str(reason)
            continue
        except Exception as failure:  # whatever a library raises belongs into the table
            outcome.failure = f"{type(failure).__name__}: {first_line(failure)}"
            continue
        if outcome.error <= case.tolerance:
            works[name] = work
        else:
            outcome.failure = f"wrong: {outcome.error:.1e} away"
    return works, result


def first_line(failure: Exception) -> str:
    return (str(failure).strip().splitlines() or [""])[0][:160]


def run(case: Case, seconds: float, without: Collection[str] = ()) -> Result:
    """A case checked and then timed, in turns, within about so many seconds."""
    works, result = entered(case, without)
    if case.primal is not None:
        outcome = result.outcomes[PRIMAL] = Outcome()
        try:
            works[PRIMAL] = case.primal()
            works[PRIMAL]()
        except Exception as failure:  # the table then has no ratio to the primal
            works.pop(PRIMAL, None)
            outcome.failure = first_line(failure)
    for name, (taken, runs) in alternating(works, seconds, case.slow).items():
        result.outcomes[name].seconds, result.outcomes[name].runs = taken, runs
    return result


BATCH = 0.005  # seconds: a batch of calls lasts about as long, or is one call
PAUSE = 0.03  # seconds: threads of BLAS and OpenMP keep their core for a while after a call


def alternating(
    works: Mapping[str, Work], seconds: float, slow: float
) -> dict[str, tuple[float, int]]:
    """Median seconds per call and the number of batches, batches taking turns.

    Before each batch comes a pause, in which the threads of the one before go to sleep, and calls
    that are not counted.
    """
    found: dict[str, tuple[float, int]] = {}
    calls: dict[str, int] = {}
    for name, work in works.items():
        once = timed(work, 1)
        if once > slow:
            found[name] = once, 1
        else:
            if once < BATCH * 10:  # the first calls may be slower than the others
                once = min(once, *(timed(work, 1) for _ in range(3)))
            calls[name] = max(1, int(BATCH / once))
    taken: dict[str, list[float]] = {name: [] for name in calls}
    end = time.perf_counter() + seconds
    for turn in range(31):
        if turn >= 3 and time.perf_counter() > end:
            break
        for name, count in calls.items():
            time.sleep(PAUSE)
            timed(works[name], min(count, 1 + count // 4))
            taken[name].append(timed(works[name], count))
    for name, times in taken.items():
        found[name] = statistics.median(times), len(times)
    return found


def timed(work: Work, calls: int) -> float:
    """Seconds per call, without pauses of the garbage collector."""
    was = gc.isenabled()
    gc.disable()
    start = time.perf_counter()
    for _ in range(calls):
        work()
    taken = time.perf_counter() - start
    if was:
        gc.enable()
    return taken / calls


def names(results: Iterable[Result]) -> list[str]:
    """Everyone who is in any of the results, in the order of their entry."""
    found: dict[str, None] = {}
    for result in results:
        found.update(dict.fromkeys(name for name in result.outcomes if name != PRIMAL))
    return list(found)
