"""``why``: the size of one gradient as a budget in decades, and one cause if it is sick."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Any

import numpy as np

from chainrule.diagnosis.budget import Arrival, Budget
from chainrule.diagnosis.causes import Cause, Finding
from chainrule.diagnosis.gains import PARTS, no_parts, wide
from chainrule.diagnosis.naming import Names, line_of
from chainrule.diagnosis.run import Run, call_of, run
from chainrule.diagnosis.size import sized
from chainrule.diagnosis.zero import zero
from chainrule.display import Displayed
from chainrule.errors import ArgumentsError
from chainrule.graph.tape import Traced
from chainrule.sources.elements import listed

SMALL, LARGE = 1e-4, 1e4
"""A gradient whose norm is below the first is vanishing, above the second exploding."""

BRANCHES_LISTED = 8

_NOT_FINITE = "the gradient holds NaN or infinities: cr.nan_guard() finds where they are born"


class Verdict(StrEnum):
    """What a gradient looks like."""

    HEALTHY = "healthy"
    VANISHING = "vanishing"
    EXPLODING = "exploding"
    ZERO = "zero"
    NOT_FINITE = "not finite"


@dataclass(frozen=True, slots=True)
class Branch:
    """One of the ways that meet again at the end of a step.

    Attributes:
        through: The operation that the way comes from.
        line: Its line, ``net.py:14``.
        share: Its share of the gradient, along the gradient; all of them add up to 1, and one that
            works against the others is negative. ``None`` where the sum is zero.
        count: How many ways like it there are: the same line in a loop.
    """

    through: str
    line: str
    share: float | None
    count: int


@dataclass(frozen=True, slots=True)
class GainStep:
    """From one value that every path passes to the next.

    Attributes:
        name: The value nearer to the loss, whose operation is crossed.
        of: The value that the step leads to.
        line: The line of the operation, ``net.py:14``.
        size_out: ``log₁₀`` of the gradient's norm at ``name``.
        size_in: ``log₁₀`` of the gradient's norm at ``of``; ``-inf`` where it is zero.
        parts: What the gain consists of, in decades, by name; parts of zero are left out.
        branches: The ways between the two, where there are several.
    """

    name: str
    of: str
    line: str
    size_out: float
    size_in: float
    parts: Mapping[str, float]
    branches: tuple[Branch, ...]

    @property
    def gain(self) -> float:
        """Decades gained on the step; negative where they are lost."""
        return self.size_in - self.size_out


@dataclass(frozen=True, slots=True, repr=False)
class GradientReport(Displayed):
    """Why one gradient has the size it has.

    It prints as text, shows itself in a notebook, and gives ``to_text()``, ``to_markdown()`` and
    ``to_dict()``.

    Attributes:
        function: The name of the function.
        parameter: The leaf that the gradient belongs to.
        shape: Its shape.
        dtype: Its dtype.
        loss: The value of the function.
        norm: The gradient's norm.
        zeros: The share of its elements that are exactly zero.
        verdict: ``healthy``, ``vanishing``, ``exploding``, ``zero`` or ``not finite``.
        cause: One cause of a closed list; ``None`` for a healthy gradient.
        says: The cause in a sentence with names and numbers.
        line: Its line, ``net.py:14``.
        file: The whole name of the file.
        source: The text of that line.
        step: The step that it lies in: the name of the value whose operation it is.
        decades: How many decades the cause accounts for; ``None`` for a gradient of zero.
        steps: The budget: one gain for each value that all paths pass, from the loss on.
    """

    function: str
    parameter: str
    shape: tuple[int, ...]
    dtype: str
    loss: float
    norm: float
    zeros: float
    verdict: Verdict
    cause: Cause | None
    says: str
    line: str
    file: str
    source: str
    step: str
    decades: float | None
    steps: tuple[GainStep, ...]

    @property
    def healthy(self) -> bool:
        """Whether there is nothing to report."""
        return self.verdict is Verdict.HEALTHY

    def to_dict(self) -> dict[str, Any]:
        """Everything as numbers, strings, lists and dicts that JSON can hold."""
        from chainrule.render.diagnosis import data

        return {"schema": 1, **data(self), "healthy": self.healthy}

    def to_text(self, width: int = 100) -> str:
        """The report as lines of text at most ``width`` columns wide."""
        from chainrule.render.diagnosis import as_text, report_page

        return as_text(report_page(self), width)

    def to_markdown(self) -> str:
        """The report as Markdown."""
        from chainrule.render.diagnosis import report_markdown

        return report_markdown(self)


def why(
    f: Callable[..., Any], wrt: str | None = None, *, small: float = SMALL, large: float = LARGE
) -> Callable[..., GradientReport]:
    """Say why a gradient has the size it has: a budget in decades, and a cause if it is sick.

    The gradient of the loss is 1. On the way back to the parameter it is multiplied by one local
    derivative after another; on a logarithmic scale these are gains that add up. ``docs/why.md``
    defines the parts that each gain is split into.

    Args:
        f: A function of floating-point arrays (or pytrees of them) that returns a real scalar.
        wrt: The parameter or leaf whose gradient is meant (``"W1"``, ``"params['W1']"``), or a part
            of one (``"W1[0,0]"``, ``"embedding[7]"``); the first parameter if left out.
        small: A gradient whose norm is below this is vanishing.
        large: A gradient whose norm is above this is exploding.

    Returns:
        A function with the same parameters that returns a ``GradientReport``.

    Raises:
        ArgumentsError: The name stands for several leaves, or the arguments do not fit ``f``.
        NotDifferentiableError: There is no such parameter, it holds no floats, or the result is not
            a real scalar.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> def loss(w, x):
        ...     h = np.maximum(w * x, 0)
        ...     return np.sum(h)
        >>> report = cr.why(loss)(np.array([-3.0, -4.0]), 2.0)
        >>> report.verdict.value, report.cause.value, report.step
        ('zero', 'dead mask', 'h')
    """
    check_options(f, small, large)

    @functools.wraps(f, assigned=("__name__", "__doc__"), updated=())
    def explained(*args: Any, **kwargs: Any) -> GradientReport:
        with np.errstate(all="ignore"):
            arguments = call_of(f, args, kwargs)
            asked = arguments.chosen(wrt, parts=True)
            if len(asked) > 1:
                names = [one.name for one in asked]
                raise ArgumentsError(
                    f"why explains one array, but {wrt or arguments.first} stands for "
                    f"{len(names)}: {listed(names)}.\nName one of them, or use cr.diagnose for all "
                    "of them at once."
                )
            (one,) = asked
            here = run(arguments, one if one.index else None)
            budget = walked(here, [here.inputs[one.name].index])
            return report(here, budget, Names(here), one.name, small, large)

    return explained


def check_options(f: Any, small: float, large: float) -> None:
    """Raise ``ArgumentsError`` unless there is a function, and thresholds in their order."""
    if not callable(f):
        raise ArgumentsError(f"a diagnosis takes a function and then its arguments, not {f!r}")
    if not 0 <= small < large:
        raise ArgumentsError(f"small={small!r} has to be at least 0 and below large={large!r}")


def walked(here: Run, indices: list[int]) -> Budget:
    """The budget of everything between the loss and the leaves."""
    records, loss = here.tape.records, here.output
    if not isinstance(loss, Traced):
        loss = records[indices[0]]  # a constant: nothing is reached
        return Budget(records, loss, (), here.places)
    return Budget(records, loss, indices, here.places)


def report(
    here: Run, budget: Budget, names: Names, name: str, small: float, large: float,
    steps: bool = True,
) -> GradientReport:  # fmt: skip
    """The report of one leaf."""
    leaf = here.inputs[name]
    index, value = leaf.index, here.output
    size = budget.log_norms.get(index, -math.inf)
    verdict = _verdict(size, small, large)
    finding = _finding(here, budget, names, index, verdict)
    walk = tuple(_steps(budget, names, index)) if steps and index in budget.cotangents else ()
    place = finding.place if finding is not None else names.place(-1)
    gradient = budget.cotangents.get(index)
    return GradientReport(
        function=here.function,
        parameter=name,
        shape=np.shape(leaf.value),
        dtype=leaf.dtype.name,
        loss=float(value.value if isinstance(value, Traced) else value),
        norm=10.0**size if math.isfinite(size) else 0.0 if size < 0 else math.nan,
        zeros=1.0 if gradient is None else float(np.mean(wide(gradient) == 0)),
        verdict=verdict,
        cause=None if finding is None else finding.cause,
        says=_NOT_FINITE
        if verdict is Verdict.NOT_FINITE
        else ""
        if finding is None
        else finding.says,
        line=line_of(place),
        file=place.file or "",
        source=place.source or "",
        step=_step_of(budget, names, index, finding),
        decades=None if finding is None else finding.decades,
        steps=walk,
    )


def _verdict(size: float, small: float, large: float) -> Verdict:
    if size == -math.inf:
        return Verdict.ZERO
    if not math.isfinite(size):
        return Verdict.NOT_FINITE
    if small > 0 and size < math.log10(small):
        return Verdict.VANISHING
    return Verdict.EXPLODING if size > math.log10(large) else Verdict.HEALTHY


def _finding(
    here: Run, budget: Budget, names: Names, index: int, verdict: Verdict
) -> Finding | None:
    if verdict is Verdict.HEALTHY:
        return None
    if verdict is Verdict.ZERO:
        return zero(here, budget, names, index)
    if verdict is Verdict.NOT_FINITE:
        return None
    return sized(budget, names, index, -1 if verdict is Verdict.VANISHING else 1)


def _step_of(budget: Budget, names: Names, index: int, finding: Finding | None) -> str:
    """The nearest named value that the operation of a finding is computed for."""
    if finding is None or finding.record is None:
        return ""
    if finding.record == index or index not in budget.cotangents:
        return names.own(finding.record) or names.of(finding.record)
    at = finding.record
    while names.own(at) is None and at in budget.dominator:
        at = budget.dominator[at]
    return names.of(at)


def _steps(budget: Budget, names: Names, index: int) -> list[GainStep]:
    """The dominators with names of their own, and what is gained between them."""
    chain = budget.dominators(index)
    stops = [i for i in chain if i in (budget.loss, index) or i in budget.boundary]
    found = []
    for source, target in pairwise(stops):
        out, into = budget.log_norms[source], budget.log_norms[target]
        known = source in budget.total and target in budget.total
        parts = budget.total[target] - budget.total[source] if known else no_parts()
        found.append(
            GainStep(
                names.of(source), names.of(target), line_of(names.place(source)), out, into,
                {p: float(x) for p, x in zip(PARTS, parts, strict=True) if x},
                tuple(_branches(budget, names, source, target)),
            )
        )  # fmt: skip
    return found


def _branches(budget: Budget, names: Names, source: int, target: int) -> list[Branch]:
    """The ways that meet at the last record of a step that several edges reach."""
    at = target
    while at != source and len(budget.arrivals[at]) == 1:
        at = budget.dominator[at]
    arrivals = budget.arrivals[at]
    if at == source or len(arrivals) < 2:
        return []
    groups: dict[tuple[str, str], list[Arrival]] = {}
    for arrival in arrivals:
        line = line_of(names.place(arrival.source))
        role = f"{names.function(arrival.source)}#{arrival.position}"
        groups.setdefault((line, role), []).append(arrival)
    whole = wide(budget.cotangents[at])
    energy = float(np.vdot(whole, whole))
    found = []
    for (line, _), members in groups.items():
        share = None
        if energy and math.isfinite(energy):
            share = sum(
                float(np.vdot(wide(budget.contribution(a)), whole)) / energy for a in members
            )
        found.append(Branch(names.operation(members[0].source), line, share, len(members)))
    return sorted(found, key=lambda b: -abs(b.share or 0.0))[:BRANCHES_LISTED]
