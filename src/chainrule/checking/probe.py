"""Measuring: one direction of one leaf, swept, judged, and if need be measured more precisely."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.checking.differences import (
    FACTOR,
    MOST_LEVELS,
    Limit,
    Sweep,
    first_step,
    noise_of,
    smallest_step,
)
from chainrule.checking.judge import Judged, Scale, compared, judge
from chainrule.checking.result import Verdict
from chainrule.checking.subject import Leaf, Subject

SURE_LEVEL = 6
"""A verdict of WRONG is not given on fewer steps than these: coarse ones can agree by chance."""


@dataclass(frozen=True, slots=True)
class Direction:
    """Elements of a leaf that move together, and how far each moves for a step of 1."""

    leaf: int
    indices: Any
    weights: Any


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What counts as equal, and the width of the differences if it is fixed."""

    rtol: float
    eps: float | None


class Probe:
    """Compares a gradient with differences of the subject, one direction at a time."""

    def __init__(
        self,
        subject: Subject,
        gradients: Sequence[Any],
        cotangents: Sequence[Any],
        tolerance: Tolerance,
        shaken: Callable[[], Sequence[Any] | None] = lambda: None,
    ) -> None:
        """``gradients`` are flat float64 arrays, one per leaf of the subject.

        ``shaken`` gives the same after all arguments have been moved by about a unit in the last
        place: no gradient can be closer to the right one than to that. It is asked at most once,
        when something seems to be wrong.
        """
        self.subject = subject
        self.gradients = gradients
        self.cotangents = [np.asarray(c, np.longdouble) for c in cotangents]
        self.tolerance = tolerance
        self._wide: Subject | bool | None = False
        self._shaken = functools.cache(shaken)
        self._noise: dict[tuple[int, bool], float] = {}

    def judged(self, direction: Direction) -> Judged:
        """The verdict on one direction.

        For many elements together a smaller difference counts: one that a single wrong element
        among them would make. Whether that is one is seen when they are taken apart.
        """
        if self.tolerance.eps is not None:
            return self._fixed(direction, self.tolerance.eps)
        count = direction.indices.size
        judged = self._judged(direction, self.tolerance.rtol / math.sqrt(max(count, 1)))
        if judged.verdict is Verdict.INCONCLUSIVE and count > 1:
            return self._judged(direction, self.tolerance.rtol)
        return judged

    def _judged(self, direction: Direction, rtol: float) -> Judged:
        judged, sweep = self._swept(self.subject, direction, rtol, None)
        narrow = self.subject.leaves[direction.leaf].value.itemsize < 8
        coarse = sweep.flat_below() is not None
        if judged.verdict is Verdict.PASS or not (
            narrow or coarse or judged.verdict is Verdict.INCONCLUSIVE
        ):
            return judged
        wide = self.wide()
        if wide is None:
            return judged
        again, _ = self._swept(wide, direction, rtol, sweep.flat_below())
        return judged if again.verdict is Verdict.INCONCLUSIVE else again

    def wide(self) -> Subject | None:
        """The subject in a wider dtype, if it can be computed so; found out once."""
        if isinstance(self._wide, bool):
            self._wide = self.subject.widened()
        return self._wide

    def _swept(
        self, subject: Subject, direction: Direction, rtol: float, flat_before: int | None
    ) -> tuple[Judged, Sweep]:
        """Sweep the step until smaller ones cannot change the verdict.

        ``flat_before`` is the level at which the function stopped to change in the narrower dtype:
        values that are only coarse go on changing for longer in the wider one.
        """
        line = Line(subject, direction, self)
        scale, found = self._scale(line, direction, rtol), line.found
        sweep = Sweep(line.floor())
        judged = judge(sweep, found, scale)
        h, last = first_step(line.start), smallest_step(line.start)
        for level in range(MOST_LEVELS):
            if h < last:
                break
            above, below = line.residual(h), line.residual(-h)
            change = math.nan if above is None or below is None else above[1] - below[1]
            sweep.add(h, above and above[0], below and below[0], change)
            h /= FACTOR
            if level >= 3:
                judged = judge(sweep, found, scale)
                if judged.settled and (judged.verdict is Verdict.PASS or level >= SURE_LEVEL):
                    break
        if judged.verdict is not Verdict.PASS:
            sweep.noise = max(sweep.noise, self._noise_along(line, direction, sweep))
            flat = sweep.flat_below()
            if flat is not None and (flat != flat_before or sweep.coarse_fits(flat, found)):
                sweep.noise = max(sweep.noise, sweep.grain())
            judged = judge(sweep, found, scale)
        if judged.verdict is Verdict.WRONG:
            scale = dataclasses.replace(scale, slack=self._slack(direction))
            judged = judge(sweep, found, scale)
        return judged, sweep

    def _noise_along(self, line: Line, direction: Direction, sweep: Sweep) -> float:
        """The noise of the function's values: very near the point, and within the steps used."""
        best = sweep.centred()
        near = sweep.steps[best.level] / 17.3 if math.isfinite(best.error) else 0.0
        if direction.indices.size == 1:
            return max(line.noise(), line.noise(near))
        # Measured once for all groups of a leaf's elements.
        key = direction.leaf, line.subject is self.subject
        if key not in self._noise:
            self._noise[key] = max(line.noise(), line.noise(near))
        return self._noise[key]

    def _fixed(self, direction: Direction, width: float) -> Judged:
        """One centred difference of the given width; one of twice the width shows its error."""
        line = Line(self.subject, direction, self)
        sweep = Sweep(max(line.floor(), line.noise()))
        quotients, jumps = [], []
        for h in (width, width / 2):
            above, below = line.residual(h), line.residual(-h)
            if above is None or below is None:
                sweep.add(h, above and above[0], below and below[0], math.nan)
                continue
            change = above[1] - below[1]
            sweep.add(h, above[0], below[0], change)
            quotients.append(change / (2 * h))
            jumps.append((above[0] + below[0]) / h)
        found = line.found
        if len(quotients) < 2 or not math.isfinite(found):
            return judge(sweep, found, self._scale(line, direction, self.tolerance.rtol))
        rounding = math.sqrt(2) * sweep.noise / width + line.misplaced(width / 2)
        truncation = abs(quotients[1] - quotients[0]) / 3
        off = Limit(quotients[1] - found, rounding + truncation, 1)
        jump = Limit(2 * jumps[1] - jumps[0], abs(jumps[1] - jumps[0]) + 9 * rounding, 1)
        return compared(sweep, off, jump, found, self._scale(line, direction, self.tolerance.rtol))

    def _slack(self, direction: Direction) -> float:
        shaken = self._shaken()
        if shaken is None:
            return 0.0
        here, there = (g[direction.leaf][direction.indices] for g in (self.gradients, shaken))
        moved = (there - here) * direction.weights
        return 4 * float(np.linalg.norm(moved)) if np.isfinite(moved).all() else 0.0

    def _scale(self, line: Line, direction: Direction, rtol: float) -> Scale:
        gradient = self.gradients[direction.leaf]
        finite = gradient[np.isfinite(gradient)]
        largest = float(np.max(np.abs(finite), initial=0.0))
        along = gradient[direction.indices] * direction.weights
        own = float(np.linalg.norm(along[np.isfinite(along)])) if along.size > 1 else 0.0
        size = line.size() / max(1.0, float(np.max(np.abs(line.start), initial=0.0)))
        eps = float(np.finfo(self.subject.leaves[direction.leaf].value.dtype).eps)
        return Scale(rtol, own, max(largest, own), size, eps)


class Line:
    """The function along one direction from the point."""

    def __init__(self, subject: Subject, direction: Direction, probe: Probe) -> None:
        self.subject = subject
        self.cotangents = probe.cotangents
        self.indices, self.weights = direction.indices, direction.weights
        self.leaf: Leaf = subject.leaves[direction.leaf]
        self.start = self.leaf.value.reshape(-1)[self.indices]
        slopes = np.asarray(probe.gradients[direction.leaf][self.indices], np.longdouble)
        self.found = float(np.sum(slopes * self.weights))
        self.slopes = slopes if np.isfinite(self.found) else np.zeros_like(slopes)

    def residual(self, h: float) -> tuple[float, float] | None:
        """What the function changes by beyond what the gradient says, and what it changes by."""
        value = self.leaf.value.copy().reshape(-1)
        value[self.indices] = (self.start + h * self.weights).astype(value.dtype)
        moved = value[self.indices].astype(np.longdouble) - self.start
        outputs = self.subject.beside(self.leaf, value.reshape(self.leaf.value.shape))
        if outputs is None:
            return None
        change = sum(
            np.sum(c * (o.astype(np.longdouble) - before))
            for c, o, before in zip(self.cotangents, outputs, self.subject.outputs, strict=True)
        )
        return float(change - np.sum(self.slopes * moved)), float(change)

    def size(self) -> float:
        """The size of the function's values, weighted as the outputs are."""
        parts = [
            float(np.linalg.norm((c * o).astype(float)))
            for c, o in zip(self.cotangents, self.subject.outputs, strict=True)
        ]
        return math.hypot(*parts)

    def floor(self) -> float:
        """What rounding of the function's values alone amounts to."""
        dtypes = [self.leaf.value.dtype, *(o.dtype for o in self.subject.outputs)]
        eps = max(float(np.finfo(d).eps) for d in dtypes)
        return 0.5 * eps * self.size()

    def misplaced(self, h: float) -> float:
        """What the rounding of ``x ± h`` does to a quotient over the nominal width."""
        spacing = float(np.max(np.spacing(np.abs(self.start)), initial=0.0))
        return abs(self.found) * spacing / (2 * h)

    def noise(self, width: float | None = None) -> float:
        """The noise of the function's values, from nearby values on either side of the point.

        The sides are taken apart, so that a kink or a jump at the point is not taken for noise.
        The values are ``width`` apart, by default a little more than the arguments' own spacing.
        """
        if width is None:
            size = max(1.0, float(np.max(np.abs(self.start), initial=0.0)))
            width = float(np.finfo(self.leaf.value.dtype).eps) ** (2 / 3) * size
        found = []
        for side in (1, -1):
            values = [self.residual(side * k * width) for k in range(1, 8)]
            if None not in values:
                found.append(noise_of([v[0] for v in values if v is not None]))
        return min(found, default=0.0)
