"""The verdict on one direction: what a sweep says about one number."""

from __future__ import annotations

import math
from dataclasses import dataclass

from chainrule.checking.differences import Limit, Sweep
from chainrule.checking.result import Verdict

SAFETY = 10.0
"""How many times its estimated error a limit may be off."""
SEVERITY = {Verdict.PASS: 0, Verdict.INCONCLUSIVE: 1, Verdict.KINK: 2, Verdict.WRONG: 3}


@dataclass(frozen=True, slots=True)
class Scale:
    """What counts as equal for one direction.

    Attributes:
        rtol: Relative difference that is allowed.
        own: A size that the derivative along the direction would normally have.
        natural: The size of derivatives here: the largest in the gradient of the leaf.
        size: The size of the function's values, over that of the leaf.
        eps: Machine epsilon of the dtype in which the gradient was computed.
        slack: How far rounding the arguments by a unit in the last place moves the gradient.
    """

    rtol: float
    own: float
    natural: float
    size: float
    eps: float
    slack: float = 0.0


@dataclass(frozen=True, slots=True)
class Judged:
    """The verdict on one direction and the numbers behind it.

    Attributes:
        settled: Whether smaller steps cannot change the verdict.
        says: Why it is not PASS.
    """

    verdict: Verdict
    says: str
    expected: float
    found: float
    uncertainty: float
    settled: bool = False
    left: float | None = None
    right: float | None = None
    order: float | None = None

    @property
    def rank(self) -> tuple[int, float]:
        """By how bad it is: the verdict first, then the size of the disagreement."""
        off = abs(self.found - self.expected)
        if self.verdict is Verdict.KINK and self.left is not None and self.right is not None:
            off = abs(self.right - self.left)
        return SEVERITY[self.verdict], math.inf if math.isnan(off) else off


def judge(sweep: Sweep, found: float, scale: Scale) -> Judged:
    """Compare ``found`` with what the sweep's residuals converge to."""
    if not math.isfinite(found):
        return _not_finite(sweep, found)
    off, jump = sweep.centred(), sweep.jump()
    return compared(sweep, off, jump, found, scale)


def compared(sweep: Sweep, off: Limit, jump: Limit, found: float, scale: Scale) -> Judged:
    """The verdict from the two limits: how far off it is, and by how much the sides differ."""
    expected = found + off.value
    if not math.isfinite(expected):
        return _no_quotients(sweep, found)
    own = max(abs(found), abs(expected), scale.own)
    tolerance = scale.rtol * own + 64 * scale.eps * max(scale.natural, scale.size)
    unsure = SAFETY * off.error
    kink = abs(jump.value)
    if kink > max(SAFETY * jump.error, 10 * max(tolerance, scale.rtol * kink)):
        return _at_kink(off, jump, found, unsure + tolerance)
    enough = max(tolerance, min(10 * tolerance, 0.2 * own))
    if unsure > enough:
        broken = _broken(sweep, found, expected)
        if broken is not None:
            return broken
    # A kink of less than a twentieth of the derivative could still hide in the steps so far.
    smooth = SAFETY * jump.error <= 0.05 * max(own, 1e-2 * scale.natural)
    difference = abs(off.value)
    small = own <= 1e-2 * scale.natural and off.error <= scale.rtol * scale.natural
    negligible = small or own + unsure <= 0.1 * scale.rtol * scale.size

    def judged(verdict: Verdict, says: str, settled: bool) -> Judged:
        return Judged(
            verdict, says, expected, found, off.error, settled and smooth, order=sweep.order()
        )

    slack = min(scale.slack, 100 * tolerance, 0.05 * own)
    if difference > max(tolerance + slack, unsure):
        says = "differences of the function contradict it"
        return judged(Verdict.WRONG, says, unsure <= tolerance)
    if unsure <= enough:
        return judged(Verdict.PASS, "", unsure <= max(tolerance, 0.1 * own * scale.rtol))
    if negligible:
        return judged(Verdict.PASS, "", False)
    near = sweep.near_kink()
    if near is not None:
        step, left, right = near
        slack = 0.1 * abs(right - left)
        if min(left, right) - slack <= 0 <= max(left, right) + slack:
            return Judged(
                Verdict.KINK, f"there is a kink within {step:.0e} of it", expected, found,
                off.error, left=found + left, right=found + right,
            )  # fmt: skip
    return judged(Verdict.INCONCLUSIVE, _why(sweep, off, difference), False)


def _why(sweep: Sweep, off: Limit, difference: float) -> str:
    rounding = sweep.noise / sweep.steps[-1] if len(sweep.steps) < 3 else off.error
    explained = "round-off explains it" if difference > 0 else "round-off hides it"
    if sweep.flat_below() is not None:
        return (
            "at small steps the function does not change at all, and at larger ones it does: "
            "its values are too coarse, or a kink is near"
        )
    return (
        f"the difference is {difference:.2g} and the quotients are only good to {rounding:.2g}: "
        f"{explained}"
    )


def _at_kink(off: Limit, jump: Limit, found: float, slack: float) -> Judged:
    expected = found + off.value
    left, right = expected - jump.value / 2, expected + jump.value / 2
    between = abs(off.value) <= abs(jump.value) / 2 + slack + SAFETY * jump.error
    says = (
        "the derivatives from the left and from the right differ"
        if between
        else "the derivatives from the left and from the right differ, and it lies outside of both"
    )
    verdict = Verdict.KINK if between else Verdict.WRONG
    return Judged(verdict, says, expected, found, off.error, False, left, right)


def _broken(sweep: Sweep, found: float, expected: float) -> Judged | None:
    """A jump of the function, or a slope without bound, if the sweep shows one."""
    power = sweep.growth()
    if power is None or power > 0.9:
        return None
    if power < 0.1:
        says = "the function jumps here: its values on either side do not meet"
    else:
        says = "the slope grows without bound here"
    return Judged(Verdict.KINK, says, math.copysign(math.inf, expected), found, math.inf)


def _no_quotients(sweep: Sweep, found: float) -> Judged:
    says = {
        "right": "the function has no finite value on the left of the point",
        "left": "the function has no finite value on the right of the point",
    }.get(sweep.sides(), "the function has no finite value near the point")
    return Judged(Verdict.INCONCLUSIVE, says, math.nan, found, math.inf)


def _not_finite(sweep: Sweep, found: float) -> Judged:
    """The derivative is infinite or NaN: wrong, unless the function has no slope here either."""
    if sweep.sides() != "both":
        return _no_quotients(sweep, found)
    slope, jump = sweep.centred(), sweep.jump()
    own = max(abs(slope.value), 1e-300)
    broken = _broken(sweep, found, slope.value) if SAFETY * slope.error > 1e-3 * own else None
    if broken is not None:
        return broken
    word = "not a number" if math.isnan(found) else "infinite"
    if abs(jump.value) > max(SAFETY * jump.error, 1e-3 * own):
        says = f"it is {word}, and the derivatives from the left and from the right differ"
        return Judged(
            Verdict.KINK, says, slope.value, found, slope.error,
            left=slope.value - jump.value / 2, right=slope.value + jump.value / 2,
        )  # fmt: skip
    if SAFETY * slope.error > 1e-2 * own and abs(slope.value) > SAFETY * sweep.noise:
        says = f"it is {word}, and difference quotients do not settle"
        return Judged(Verdict.INCONCLUSIVE, says, slope.value, found, slope.error)
    says = f"it is {word}, and the function has a slope here"
    return Judged(Verdict.WRONG, says, slope.value, found, slope.error, order=sweep.order())
