"""Which mistake explains the wrong numbers, if one does."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.checking.probe import Direction, Probe
from chainrule.checking.result import Pattern, Verdict
from chainrule.checking.subject import Leaf, Subject
from chainrule.checking.uses import Uses
from chainrule.notation.numbers import text_value

SAMPLE = 12
ALL = 64


@dataclass(slots=True)
class Evidence:
    """One leaf's wrong gradient beside the right values at a sample of its elements.

    Attributes:
        leaf: The leaf.
        found: The gradient as it was returned, in whatever shape.
        right: The right derivative, by index in the flattened leaf, as differences give it.
        unsure: How far each of them may be off.
        rtol: Relative difference up to which two numbers are equal.
    """

    subject: Subject
    leaf: Leaf
    number: int
    found: Any
    right: dict[int, float]
    unsure: dict[int, float]
    rtol: float
    uses: Uses | None
    reference: Any | None = None

    def explains(self, candidate: Any) -> bool:
        """Whether an array in the leaf's shape has the right values at the sample."""
        flat = np.reshape(candidate, -1)
        return all(self._same(flat[i], right, i) for i, right in self.right.items()) and bool(
            self.right
        )

    def _same(self, value: float, right: float, index: int) -> bool:
        slack = 20 * self.unsure[index] + 20 * self.rtol * max(abs(value), abs(right))
        return bool(abs(value - right) <= slack + 1e-300)

    def clear(self) -> dict[int, float]:
        """The right values that are clear of zero."""
        largest = max(map(abs, self.right.values()), default=0.0)
        return {
            i: v
            for i, v in self.right.items()
            if abs(v) > max(100 * self.unsure[i], 1e-8 * largest)
        }


def sample(leaf: Leaf, found: Any, worst: int | None, rng: np.random.Generator) -> list[int]:
    """Which elements to measure: all of a small leaf; of a large one the worst, some large, some.

    Those of a matrix come with their mirror images.
    """
    size = leaf.value.size
    if size <= ALL:
        return list(range(size))
    chosen = [] if worst is None else [worst]
    if np.size(found) == size:
        chosen += [int(i) for i in np.argsort(-np.abs(np.reshape(found, -1)))[:3]]
    chosen += [int(i) for i in rng.choice(size, SAMPLE // 2, replace=False)]
    if leaf.value.ndim == 2 and leaf.value.shape[0] == leaf.value.shape[1]:
        width = leaf.value.shape[1]
        chosen += [(i % width) * width + i // width for i in chosen[:4]]
    return list(dict.fromkeys(chosen))


def gathered(
    subject: Subject,
    probe: Probe,
    number: int,
    found: Any,
    indices: Sequence[int],
    weights: Sequence[Any],
) -> Evidence:
    """Measure the right values of a leaf, and compute them with our rules where those agree."""
    leaf = subject.leaves[number]
    right, unsure = {}, {}
    for i in indices:
        judged = probe.judged(Direction(number, np.array([i]), np.array([1.0])))
        usable = judged.verdict in (Verdict.PASS, Verdict.WRONG)
        if usable and math.isfinite(judged.expected):
            right[i], unsure[i] = judged.expected, judged.uncertainty
    evidence = Evidence(
        subject, leaf, number, found, right, unsure, probe.tolerance.rtol, _uses(subject, weights)
    )
    if evidence.uses is not None:
        ours = evidence.uses.gradients()[number]
        if evidence.explains(ours):
            evidence.reference = ours
        else:
            evidence.uses = None
    if evidence.reference is None and len(right) == leaf.value.size:
        values = [right[i] for i in range(leaf.value.size)]
        evidence.reference = np.reshape(values, leaf.value.shape)
    return evidence


def _uses(subject: Subject, weights: Sequence[Any]) -> Uses | None:
    """A tape of the function; ``None`` if it cannot be traced."""
    try:
        return Uses(subject, weights)
    except Exception:  # whatever the function does with a traced value, the verdict stands
        return None


def pattern_of(evidence: Evidence, with_ones: Callable[[], Evidence] | None) -> Pattern | None:
    """The first kind of mistake that explains all measured elements.

    Args:
        evidence: The leaf, what was found there and what is right.
        with_ones: For functions that do not return a scalar, the evidence for a cotangent of ones.
    """
    if not evidence.right:
        return None
    if np.shape(evidence.found) != evidence.leaf.value.shape:
        return _wrong_shape(evidence)
    if not np.all(np.isfinite(evidence.found)):
        return None
    clear = evidence.clear()
    flat = np.reshape(evidence.found, -1)
    if clear and all(flat[i] == 0 for i in clear):
        return Pattern("missing", f"the gradient of {evidence.leaf.name} is 0: it never arrives")
    if with_ones is not None and with_ones().explains(evidence.found):
        says = "it is right for a cotangent of ones: the cotangent is ignored"
        return Pattern("ignored cotangent", says)
    alone = len(evidence.right) == 1
    tests = (
        [_overwritten, _factor] if alone else [_transposed, _factor, _of_the_argument, _overwritten]
    )
    for test in tests:
        pattern = test(evidence)
        if pattern is not None:
            return pattern
    return None


def _transposed(e: Evidence) -> Pattern | None:
    if e.found.ndim < 2:
        return None
    a, b = e.found.shape[-2:]
    if a != b or not e.explains(np.swapaxes(e.found, -1, -2)):
        return None
    return Pattern("transposed", "it is transposed: found[i,j] is what belongs at [j,i]")


def _factor(e: Evidence) -> Pattern | None:
    clear = e.clear()
    flat = np.reshape(e.found, -1)
    if not clear:
        return None
    heavy = max(clear, key=lambda i: abs(clear[i]))
    factor = float(flat[heavy] / clear[heavy])
    if factor == 0 or not e.explains(e.found / factor):
        return None
    slack = 20 * e.rtol + 20 * e.unsure[heavy] / abs(clear[heavy])
    factor = _rounded(factor, slack)
    if factor == -1:
        return Pattern("sign", "the sign is wrong: it is −1 times what is right", -1.0)
    for length, where in _lengths(e):
        if abs(factor / length - 1) <= slack:
            says = (
                f"it is {length} times what is right, and {length} is {where}: "
                "a factor 1/N was lost"
            )
            return Pattern("lost 1/N", says, float(length))
        if abs(factor * length - 1) <= slack:
            says = (
                f"it is 1/{length} of what is right, and {length} is {where}: "
                "there is a factor 1/N too many"
            )
            return Pattern("extra 1/N", says, 1 / length)
    if len(e.right) == 1 and not _plain(factor):
        return None  # a single number always has some factor
    also = _overwritten(e)
    if also is not None and not _plain(factor):
        return also
    more = f" ({also.says})" if also else ""
    says = f"it is off by a constant factor: {text_value(factor, 6)} times what is right{more}"
    return Pattern("factor", says, factor)


def _rounded(factor: float, slack: float) -> float:
    """A factor as the small whole number, or one over it, that it is meant to be."""
    for value in (factor, 1 / factor):
        if 0.5 < abs(value) < 1e9 and abs(value - round(value)) <= slack * abs(value):
            return float(round(value)) if value == factor else 1 / round(value)
    return factor


def _plain(factor: float) -> bool:
    size = max(abs(factor), 1 / abs(factor))
    return size <= 16 and size == round(size)


def _lengths(e: Evidence) -> Iterator[tuple[int, str]]:
    """Lengths that a mean may run over, with words for where each was seen."""
    seen: set[int] = {0, 1, 2}  # a factor of 2 has likelier causes than a mean of two
    for name, value in e.subject.arrays():
        for axis, length in enumerate(np.shape(value)):
            if length not in seen:
                seen.add(length)
                where = f"axis {axis} of {name}" if np.ndim(value) > 1 else name
                yield length, f"the length of {where}"
        if np.size(value) not in seen:
            seen.add(np.size(value))
            yield np.size(value), f"the number of elements of {name}"
    for shape in e.uses.shapes() if e.uses is not None else ():
        for length in (*shape, math.prod(shape)):
            if length not in seen:
                seen.add(length)
                what = "the length of an axis" if length in shape else "the number of elements"
                yield length, f"{what} of an array in the computation"


def _overwritten(e: Evidence) -> Pattern | None:
    if e.uses is None:
        return None
    flat = np.reshape(e.found, -1)
    for partial in e.uses.partials():
        candidate = np.reshape(partial.gradients[e.number], -1)
        # The rounding of two orders of summation, and no more, may lie between the two.
        near = 20 * e.rtol * np.maximum(np.abs(candidate), np.abs(flat))
        near = near + 20 * e.rtol * 1e-2 * float(np.max(np.abs(candidate), initial=0.0))
        if np.all(np.abs(candidate - flat) <= near) and not e.explains(candidate):
            return Pattern("overwritten", partial.says)
    return None


def _of_the_argument(e: Evidence) -> Pattern | None:
    """A term proportional to the argument itself is missing or too many, as of a weight decay."""
    x = np.reshape(e.leaf.value, -1).astype(float)
    flat = np.reshape(e.found, -1)
    if len([i for i in e.right if x[i] != 0]) < 3:
        return None
    heavy = max(e.right, key=lambda i: abs(x[i]))
    rate = (e.right[heavy] - flat[heavy]) / x[heavy]
    if rate == 0 or not e.explains(e.found + rate * np.reshape(x, e.found.shape)):
        return None
    word = "missing" if abs(rate) == rate else "too many"
    size, name = text_value(abs(rate), 6), e.leaf.name
    says = f"a term {size}·{name} is {word}: the derivative of {text_value(abs(rate) / 2, 6)}·"
    return Pattern("multiple of the argument", f"{says}‖{name}‖²")


def _wrong_shape(e: Evidence) -> Pattern | None:
    found, shape, name = e.found, e.leaf.value.shape, e.leaf.name
    for axes in _axis_sets(found.ndim):
        for keep in (False, True):
            total = found.sum(axis=axes, keepdims=keep)
            if total.shape == shape and e.explains(total):
                words = _axes(axes)
                says = (
                    f"summed over {words} it is right: the sum over the axis along which {name} "
                    "was broadcast is missing"
                )
                return Pattern("missing sum", says)
    if found.ndim == 2 and found.T.shape == shape and e.explains(found.T):
        return Pattern("transposed", f"it is transposed: its transpose has the shape of {name}")
    if e.reference is not None:
        for axes in _axis_sets(len(shape)):
            total = np.sum(e.reference, axis=axes)
            if total.shape == found.shape and np.allclose(total, found, rtol=20 * e.rtol):
                says = f"it is the gradient of {name} summed over {_axes(axes)}: one sum too many"
                return Pattern("extra sum", says)
    if found.size == e.leaf.value.size and e.explains(found.reshape(shape)):
        return Pattern("shape", "the numbers are right, only the shape is not")
    return None


def _axis_sets(count: int) -> Iterator[tuple[int, ...]]:
    for size in range(1, count + 1):
        yield from itertools.combinations(range(count), size)


def _axes(axes: Sequence[int]) -> str:
    numbers = ", ".join(map(str, axes))
    return f"axis {numbers}" if len(axes) == 1 else f"the axes {numbers}"
