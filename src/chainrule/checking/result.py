"""What a gradient check found, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

import numpy as np


class Verdict(StrEnum):
    """PASS, WRONG, KINK (there is no derivative here) or INCONCLUSIVE (it cannot be told)."""

    PASS = "PASS"
    WRONG = "WRONG"
    KINK = "KINK"
    INCONCLUSIVE = "INCONCLUSIVE"


@dataclass(frozen=True, slots=True)
class Worst:
    """The place where derivative and differences disagree most.

    Attributes:
        name: The element, named along the arguments: ``params['W1'][0,1]``.
        expected: The derivative that differences of the function give.
        found: The derivative that was checked.
        uncertainty: How far ``expected`` may be off, by rounding and the finite step.
        left: The one-sided derivative from below, where the two sides differ.
        right: The one-sided derivative from above, where the two sides differ.
    """

    name: str
    expected: float
    found: float
    uncertainty: float
    left: float | None = None
    right: float | None = None

    @property
    def difference(self) -> float:
        """Found minus expected."""
        return self.found - self.expected


@dataclass(frozen=True, slots=True)
class Pattern:
    """A kind of mistake that explains the wrong numbers.

    Attributes:
        kind: ``"sign"``, ``"factor"``, ``"lost 1/N"``, ``"extra 1/N"``, ``"transposed"``,
            ``"missing sum"``, ``"overwritten"``, ``"missing"``, ``"shape"``,
            ``"ignored cotangent"`` or ``"multiple of the argument"``.
        says: One sentence about it.
        factor: Found over expected, where that is a constant.
    """

    kind: str
    says: str
    factor: float | None = None


@dataclass(frozen=True, slots=True)
class GradientCheck:
    """The verdict of ``chainrule.check`` and what it rests on. True in a condition only for PASS.

    Attributes:
        verdict: PASS, WRONG, KINK or INCONCLUSIVE.
        function: The name of the function that was checked.
        derivative: Whose derivative it is: the name of ``backward``, or ``"chainrule"``.
        says: The reason for the verdict, in a sentence.
        worst: Where the disagreement is largest; ``None`` if nothing could be compared.
        pattern: For WRONG, the kind of mistake, if one fits.
        order: The order of convergence that the sweep showed at ``worst``: 2 for a smooth function
            and centred differences; ``None`` if it converged too fast, or not at all, to tell.
        coverage: What was compared: every element, or random projections.
        notes: Further observations.
        dtype: The dtype of the arguments.
        rtol: Relative difference up to which two numbers count as equal.
        eps: The width of the difference if it was fixed.
        seed: Seed of the random directions.
        calls: How often the function was called.
    """

    verdict: Verdict
    function: str
    derivative: str
    says: str
    worst: Worst | None
    pattern: Pattern | None
    order: float | None
    coverage: str
    notes: tuple[str, ...]
    dtype: str
    rtol: float
    eps: float | None
    seed: int
    calls: int

    @property
    def ok(self) -> bool:
        """Whether the verdict is PASS."""
        return self.verdict is Verdict.PASS

    def __bool__(self) -> bool:
        return self.ok

    def to_dict(self) -> dict[str, Any]:
        """Everything as numbers, strings, lists and dicts that JSON can hold.

        JSON has no infinities: ``"inf"``, ``"-inf"`` and ``"nan"`` stand for them.
        """
        found = {f.name: getattr(self, f.name) for f in fields(self)}
        worst = self.worst
        return found | {
            "schema": 1,
            "verdict": self.verdict.value,
            "ok": self.ok,
            "worst": None if worst is None else {
                "name": worst.name,
                **{
                    key: _number(getattr(worst, key))
                    for key in ("expected", "found", "difference", "uncertainty", "left", "right")
                },
            },
            "pattern": None if self.pattern is None else {
                "kind": self.pattern.kind,
                "says": self.pattern.says,
                "factor": _number(self.pattern.factor),
            },
            "notes": list(self.notes),
        }  # fmt: skip

    def __str__(self) -> str:
        from chainrule.checking.report import as_text

        return as_text(self)


def _number(value: float | None) -> float | str | None:
    return value if value is None or np.isfinite(value) else str(value)
