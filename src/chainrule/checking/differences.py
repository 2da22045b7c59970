"""Differences of a function along a line: a sweep of steps, extrapolated to zero.

Everything is measured on what is left when the derivative under suspicion is taken away:
``ρ(h) = φ(h) − φ(0) − g·(the displacement that really happened)``. For the right ``g`` nothing of
first order remains, the rounding of ``x + h`` does not matter, and the limit of ``ρ`` over ``h`` is
directly the error of ``g``.

The table of extrapolated quotients is Romberg's; taking the entry whose neighbours agree best is
due to C. J. F. Ridders (Adv. Eng. Software 4, 1982). The noise of the function's values is
estimated from high differences of nearby values (R. W. Hamming; J. Moré and S. Wild, "Estimating
computational noise", SIAM J. Sci. Comput. 33, 2011).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

FACTOR = 3.7
"""Each step of a sweep is this much smaller than the one before; no power of two, so that the
rounding of values is not the same at step after step."""
FIRST_STEP = 0.0437
"""First step, for numbers around 1; no round number, so that no period fits into it."""
MOST_LEVELS = 30
EVEN_POWERS = (2, 4, 6, 8, 10)
ODD_POWERS = (1, 3, 5, 7)


@dataclass(frozen=True, slots=True)
class Limit:
    """A value extrapolated to step zero, and how far it may be off."""

    value: float
    error: float
    level: int


def extrapolated(
    rows: Sequence[float], powers: Sequence[int], noise: Callable[[int], float]
) -> Limit:
    """The limit of quotients at steps that shrink by ``FACTOR``.

    Args:
        rows: The quotients, largest step first.
        powers: The powers of the step in the quotient's expansion, in order.
        noise: What rounding may do to the quotient of a level.

    Returns:
        The entry of the table whose neighbours agree best; infinitely uncertain for one quotient.
    """
    start = 0
    while True:  # at most once for each row
        best = _best(rows, start, powers, noise)
        finer = range(best.level + 1, len(rows))
        against = any(_contradicts(rows[i], noise(i), best) for i in finer)
        # Coarse steps can agree by chance, or on a slope that is only an average: over a kink, over
        # many periods. Smaller steps see more, if they are clear of the noise.
        if not against or not math.isfinite(best.error):
            return best
        start = best.level + 1


def _contradicts(quotient: float, noise: float, limit: Limit) -> bool:
    return abs(quotient - limit.value) > 5 * (limit.error + noise)


def _best(
    rows: Sequence[float], start: int, powers: Sequence[int], noise: Callable[[int], float]
) -> Limit:
    """The best entry of the table that is made of the rows from ``start`` on."""
    best = second = Limit(math.nan, math.inf, 0)
    before: list[float] = []
    for i, quotient in enumerate(rows[start:], start):
        row = [quotient]
        for j, power in enumerate(powers[: len(before)]):
            row.append(row[j] + (row[j] - before[j]) / (FACTOR**power - 1))
        here = Limit(math.nan, math.inf, i)
        for j in range(1, len(row)):
            spread = max(abs(row[j] - row[j - 1]), abs(row[j] - before[j - 1]))
            error = spread + 1.5 * noise(i)
            if error < here.error:
                here = Limit(row[j], error, i)
        best, second = sorted((best, second, here), key=lambda limit: limit.error)[:2]
        before = row
    if math.isfinite(second.error):
        # Neighbours can agree by chance; that the next best level agrees too is unlikelier.
        apart = abs(best.value - second.value) / 5
        return Limit(best.value, max(best.error, apart), best.level)
    return best


@dataclass(slots=True)
class Sweep:
    """Residuals ``ρ(h)`` and ``ρ(−h)`` for shrinking steps; ``None`` where there is no value."""

    noise: float
    steps: list[float] = field(default_factory=list)
    above: list[float | None] = field(default_factory=list)
    below: list[float | None] = field(default_factory=list)
    changes: list[float] = field(default_factory=list)

    def add(self, h: float, above: float | None, below: float | None, change: float) -> None:
        """One more step: both residuals, and by how much the function itself changed."""
        self.steps.append(h)
        self.above.append(above)
        self.below.append(below)
        self.changes.append(change)

    def _both(self) -> list[tuple[float, float, float]]:
        """The steps from the first one on from which there are values on both sides."""
        found: list[tuple[float, float, float]] = []
        for h, up, down in zip(self.steps, self.above, self.below, strict=True):
            if up is None or down is None:
                found.clear()
            else:
                found.append((h, up, down))
        return found

    def centred(self) -> Limit:
        """Limit of ``(ρ(h) − ρ(−h)) / 2h``: the derivative less ``g``."""
        both = self._both()
        return extrapolated(
            [(up - down) / (2 * h) for h, up, down in both],
            EVEN_POWERS,
            lambda i: self.noise / both[i][0],
        )

    def jump(self) -> Limit:
        """Limit of ``(ρ(h) + ρ(−h)) / h``: the right derivative less the left one."""
        both = self._both()
        return extrapolated(
            [(up + down) / h for h, up, down in both],
            ODD_POWERS,
            lambda i: 3 * self.noise / both[i][0],
        )

    def sides(self) -> str:
        """``"both"`` if there are values on both sides at small steps, or the side that has."""
        if len(self._both()) >= 3:
            return "both"
        right = any(v is not None for v in self.above[-3:])
        left = any(v is not None for v in self.below[-3:])
        return "right" if right and not left else "left" if left and not right else "neither"

    def flat_below(self) -> int | None:
        """From which level on the function does not change at all, though at larger steps it does.

        Its values are too coarse for smaller steps, or the point lies on a flat piece.
        """
        level = len(self.changes)
        while level and self.changes[level - 1] == 0:
            level -= 1
        return level if 0 < level < len(self.changes) else None

    def coarse_fits(self, level: int, found: float) -> bool:
        """Whether ``found`` is about the slope at some step before ``level``.

        Then what looks flat at smaller steps are single treads of a staircase.
        """
        return any(
            abs(up - down) / (2 * h) <= 0.05 * abs(found)
            for h, up, down in self._both()
            if h >= self.steps[level - 1]
        )

    def grain(self) -> float:
        """The smallest change of the function that was seen."""
        return min((abs(c) for c in self.changes if c), default=0.0)

    def growth(self) -> float | None:
        """How ``ρ(h) − ρ(−h)`` goes down with the step, as a power: 0 if it stays, for a jump.

        Read off the smallest steps at which it is clear of the noise; ``None`` if it never is.
        """
        spans = [
            (h, abs(up - down)) for h, up, down in self._both() if abs(up - down) > 100 * self.noise
        ]
        if len(spans) < 4:
            return None
        (h1, first), (h2, last) = spans[-4], spans[-1]
        return math.log(first / last) / math.log(h1 / h2)

    def near_kink(self) -> tuple[float, float, float] | None:
        """A kink that is too near to look inside: smallest such step, both sides' slopes less g.

        The one-sided quotients differ by the same at step after step, which curvature never does.
        """
        gaps = [
            (h, (up + down) / h, (up - down) / (2 * h))
            for h, up, down in self._both()
            if abs(up + down) > 60 * self.noise
        ]
        run = 1
        found = None
        for (_, before, _), (h, gap, slope) in itertools.pairwise(gaps):
            run = run + 1 if abs(gap - before) <= 0.02 * abs(gap) else 1
            if run >= 4:
                found = h, slope - gap / 2, slope + gap / 2
        return found

    def order(self) -> float | None:
        """The order at which centred quotients converge, from neighbouring differences."""
        both = self._both()
        quotients = [(up - down) / (2 * h) for h, up, down in both]
        clear = [
            abs(a - b) if abs(a - b) > 20 * self.noise / both[i + 1][0] else 0.0
            for i, (a, b) in enumerate(itertools.pairwise(quotients))
        ]
        found = [math.log(a / b, FACTOR) for a, b in itertools.pairwise(clear) if a and b]
        order = float(np.median(found[-3:])) if len(found) >= 2 else -1.0
        return order if order > 0 else None  # at a kink between two steps it means nothing


def first_step(x: Any) -> float:
    """The largest step tried around the numbers ``x``."""
    return FIRST_STEP * max(1.0, float(np.max(np.abs(x), initial=0.0)))


def smallest_step(x: Any) -> float:
    """The smallest step that still moves the numbers ``x`` by a few of their spacings."""
    return 8 * float(np.spacing(np.max(np.abs(x), initial=np.finfo(x.dtype).tiny)))


def noise_of(values: Sequence[float]) -> float:
    """The standard deviation of the noise in equally spaced values of a smooth function.

    The k-th differences of independent noise of variance σ² have variance σ²·(2k)!/(k!)², and those
    of the smooth part vanish quickly.

    >>> noise_of([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    0.0
    """
    row = np.asarray(values, dtype=np.longdouble)
    found = []
    for k in range(1, len(values) - 1):
        row = np.diff(row)
        if k >= 3:
            scale = math.factorial(k) ** 2 / math.factorial(2 * k)
            found.append(math.sqrt(scale * float(np.mean(row**2))))
    return float(np.median(found)) if found else 0.0
