"""Runs: stretches of operations that repeat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

# A run has at least so many turns.
TURNS = 4
# Windows of 2 to the power of these are compared to find a period.
_WINDOWS = (0, 2, 4, 6, 8, 10)


class Run:
    """Operations from ``start`` on that repeat ``turns`` times with a ``period``."""

    __slots__ = ("period", "start", "turns")

    def __init__(self, start: int, period: int, turns: int) -> None:
        self.start = start
        self.period = period
        self.turns = turns

    @property
    def end(self) -> int:
        """The first operation after it."""
        return self.start + self.period * self.turns


def runs_of(tokens: Any, places: Sequence[Any], saved: int) -> list[Run]:
    """Stretches that repeat, from the first to the last.

    Args:
        tokens: What each operation does, as a number: shape (n,).
        places: For each argument where it lies, shape (n,) each. In a run all of them move on by
            the same distance from each turn to the next.
        saved: A run leaves out at least so many operations.

    Returns:
        Runs that do not overlap, in order.
    """
    n = len(tokens)
    if n < saved:
        return []
    gaps = [_gaps(rank) for rank in _ranks(tokens)]
    # A period is looked for where a window comes again, and once more at the same distance.
    starts = np.zeros(n, bool)
    for gap in gaps:
        again = np.minimum(np.arange(n) + gap, n - 1)
        good = (gap > 0) & (gap[again] == gap)
        gap[~good] = 0
        starts |= good
    candidates = np.flatnonzero(starts)
    table = np.stack([gap[candidates] for gap in gaps], axis=1).tolist()
    extents = _Extents(tokens, places)
    found: list[Run] = []
    position = 0
    while position < len(candidates):
        start = int(candidates[position])
        best: Run | None = None
        for period in set(table[position]):
            if not period:
                continue
            turns = (extents.end(start, period) - start) // period
            if turns >= TURNS and (turns - 1) * period >= saved and (
                best is None or turns * period - period > best.turns * best.period - best.period
            ):  # fmt: skip
                best = Run(start, period, turns)
        if best is None:
            position += 1
            continue
        found.append(best)
        position = int(np.searchsorted(candidates, best.end))
    return found


def _ranks(tokens: Any) -> list[Any]:
    """For each length of window a number that is equal where windows are."""
    _, rank = np.unique(tokens, return_inverse=True)
    found = []
    for power in range(max(_WINDOWS) + 1):
        if power in _WINDOWS:
            found.append(rank)
        step = 1 << power
        if 4 * step > len(tokens):
            break
        later = np.full(len(tokens), -1)
        later[:-step] = rank[step:]
        _, rank = np.unique(rank * (len(tokens) + 1) + later, return_inverse=True)
    return found


def _gaps(rank: Any) -> Any:
    """How far each window is from where it comes next; 0 for never."""
    order = np.argsort(rank, kind="stable")
    same = rank[order[1:]] == rank[order[:-1]]
    gap = np.zeros(len(rank), np.int64)
    gap[order[:-1]] = np.where(same, order[1:] - order[:-1], 0)
    return gap


class _Extents:
    """How far stretches with a period go on."""

    def __init__(self, tokens: Any, places: Sequence[Any]) -> None:
        self.tokens = tokens
        self.places = places
        # By period: the first operation that is not done again, and up to where the answer holds.
        self._alike: dict[int, int] = {}
        self._known: dict[int, tuple[int, int]] = {}

    def end(self, start: int, period: int) -> int:
        """Where a run ends that begins at ``start``."""
        until, end = self._known.get(period, (-1, 0))
        if start <= until:
            return end
        alike = self._alike.get(period, -1)
        if start > alike:
            alike = self._alike[period] = self._differs(self.tokens, start, period)
        # Arguments that move on by another distance end it as well.
        last = alike - period
        moved = last
        for place in self.places:
            moved = min(moved, self._turns_aside(place, start, moved, period))
        until = min(alike, moved) if moved < last else alike
        end = moved + 2 * period if moved < last else alike + period
        self._known[period] = until, end
        return end

    @staticmethod
    def _differs(tokens: Any, start: int, period: int) -> int:
        last = len(tokens) - period
        length = max(8 * period, 128)
        while start < last:
            stop = min(start + length, last)
            found = tokens[start:stop] != tokens[start + period : stop + period]
            first = int(found.argmax())
            if found[first]:
                return start + first
            start, length = stop, 2 * length
        return max(start, last)

    @staticmethod
    def _turns_aside(place: Any, start: int, last: int, period: int) -> int:
        length = max(8 * period, 128)
        while start < last:
            stop = min(start + length, last)
            a, b = place[start:stop], place[start + period : stop + period]
            found = place[start + 2 * period : stop + 2 * period] - b != b - a
            first = int(found.argmax())
            if found[first]:
                return start + first
            start, length = stop, 2 * length
        return last
