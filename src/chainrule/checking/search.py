"""Which directions are tried, and how the worst element is found without trying all of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.checking.judge import Judged
from chainrule.checking.probe import Direction, Probe
from chainrule.checking.result import Verdict
from chainrule.checking.subject import Leaf, Subject

EVERY_ELEMENT = 256
"""Up to so many numbers in all, each is checked by itself."""
SMALL_LEAF = 4
PROJECTIONS = 2
LAST_GROUP = 8
MOST_HALVINGS = 100


@dataclass(frozen=True, slots=True)
class Finding:
    """The verdict on a direction, and which element it is, if it is one."""

    judged: Judged
    name: str
    leaf: int
    index: int | None


def examined(
    subject: Subject, probe: Probe, skip: Sequence[int], rng: np.random.Generator
) -> list[Finding]:
    """Check every element, or random projections; what fails is narrowed down to an element.

    Args:
        subject: The function.
        probe: What measures.
        skip: Leaves to leave out, as their gradient has the wrong shape.
        rng: Where random directions come from.
    """
    exact = is_exact(subject)
    found: list[Finding] = []
    for number, leaf in enumerate(subject.leaves):
        if number in skip:
            continue
        if exact or leaf.value.size <= SMALL_LEAF:
            found += [element(probe, leaf, number, i) for i in range(leaf.value.size)]
        else:
            found += _projected(probe, leaf, number, rng)
    return found


def is_exact(subject: Subject) -> bool:
    """Whether every element is checked by itself."""
    return sum(int(leaf.value.size) for leaf in subject.leaves) <= EVERY_ELEMENT


def coverage(subject: Subject) -> str:
    """What ``examined`` does, in words."""
    sizes = [leaf.value.size for leaf in subject.leaves]
    numbers = f"{sum(sizes):,} element{'s' * (sum(sizes) != 1)}"
    if is_exact(subject):
        return f"{numbers}, each by itself" if sum(sizes) != 1 else "1 element"
    large = [s for s in sizes if s > SMALL_LEAF]
    arrays = f"{len(large)} array{'s' * (len(large) != 1)}"
    return f"{numbers} by {PROJECTIONS} random projections of each of {arrays}"


def element(probe: Probe, leaf: Leaf, number: int, index: int) -> Finding:
    """The verdict on one element."""
    judged = probe.judged(Direction(number, np.array([index]), np.array([1.0])))
    return Finding(judged, leaf.element(index), number, index)


def _projected(
    probe: Probe, leaf: Leaf, number: int, rng: np.random.Generator
) -> Iterator[Finding]:
    finite = np.isfinite(probe.gradients[number])
    for bad in np.flatnonzero(~finite)[:1]:
        yield element(probe, leaf, number, int(bad))
    indices = np.flatnonzero(finite)
    for _ in range(PROJECTIONS if indices.size else 0):
        # Signs alone would let two equal errors cancel half of the time.
        weights = rng.choice([-1.0, 1.0], indices.size) * rng.uniform(0.5, 1.0, indices.size)
        finding = _narrowed(probe, leaf, number, Direction(number, indices, weights))
        yield finding
        if finding.judged.verdict is not Verdict.PASS:
            return


def _narrowed(probe: Probe, leaf: Leaf, number: int, direction: Direction) -> Finding:
    """A direction's verdict; if it is a bad one, that of its worst element, found by halving.

    Where all parts are right, so is their sum: fewer kinks and less noise are in each.
    """
    whole = f"a random projection of {leaf.name}"
    waiting = [(probe.judged(direction), direction)]
    for _ in range(MOST_HALVINGS):
        if not waiting:
            break
        judged, direction = waiting.pop()
        if judged.verdict is Verdict.PASS or not _worth_narrowing(judged):
            if judged.verdict is Verdict.PASS:
                continue
            return Finding(judged, whole, number, None)
        if direction.indices.size <= LAST_GROUP:
            found = [element(probe, leaf, number, int(i)) for i in direction.indices]
            worst = max(found, key=lambda f: f.judged.rank)
            if worst.judged.verdict is not Verdict.PASS:
                return worst
            continue
        middle = direction.indices.size // 2
        halves = [
            Direction(number, direction.indices[part], direction.weights[part])
            for part in (slice(None, middle), slice(middle, None))
        ]
        # The worse half last: it is looked into first.
        waiting += sorted(((probe.judged(h), h) for h in halves), key=lambda pair: pair[0].rank)
    return Finding(judged, whole, number, None)


def _worth_narrowing(judged: Judged) -> bool:
    """Noise cannot be pinned to an element; a missing value can."""
    return judged.verdict is not Verdict.INCONCLUSIVE or math.isnan(judged.expected)


def worst_of(findings: Sequence[Finding]) -> Finding | None:
    """The worst verdict; among equal ones the largest disagreement relative to its size."""

    def rank(finding: Finding) -> Any:
        severity, off = finding.judged.rank
        if finding.judged.verdict is Verdict.PASS:
            off /= max(abs(finding.judged.expected), abs(finding.judged.found), 1e-300)
        return severity, off

    return max(findings, key=rank, default=None)
