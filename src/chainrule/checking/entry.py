"""``check``: is this the derivative of that function, here?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.checking.derivative import (
    Gradient,
    cotangent_of,
    our_gradient,
    their_gradient,
)
from chainrule.checking.patterns import Evidence, gathered, pattern_of, sample
from chainrule.checking.probe import Probe, Tolerance
from chainrule.checking.result import GradientCheck, Pattern, Verdict, Worst
from chainrule.checking.search import Finding, coverage, element, examined, worst_of
from chainrule.checking.subject import Subject, Wrt
from chainrule.errors import ArgumentsError

RTOL = {2: 3e-2, 4: 1e-3, 8: 1e-6}
"""Relative difference up to which two derivatives are equal, by the bytes of the dtype."""


def check(
    f: Callable[..., Any],
    *args: Any,
    backward: Callable[..., Any] | None = None,
    wrt: Wrt = None,
    rtol: float | None = None,
    eps: float | None = None,
    seed: int = 0,
) -> GradientCheck:
    """Check a derivative of ``f`` at a point against differences of ``f`` itself.

    The step is swept and the differences are extrapolated to step zero, so that the verdict knows
    how far truncation and round-off can have moved them. Up to 256 numbers are each checked by
    themselves; of more, random projections are, and what fails is narrowed down to an element.

    Args:
        f: A function of floating-point arrays (or pytrees of them), any dtype, any shape; it
            returns a real scalar, an array, or a pytree of arrays. It is called with copies.
        args: Where to check it. Integers, strings and the like are passed on as they are.
        backward: The derivative to check; chainrule's own if left out. For a scalar ``f`` it is
            called as ``backward(*args)`` and returns the gradient, otherwise as
            ``backward(cotangent, *args)`` and returns the cotangents of the arguments: for one
            argument an array (or a pytree) like it, for several a tuple with one for each.
        wrt: Which arguments or leaves to check: a position, a name (``"W"``,
            ``"params['W']"``), or several of them; all floating-point ones if ``None``.
        rtol: Relative difference up to which two numbers are equal. By default 1e-6 for float64,
            1e-3 for float32 and 3e-2 for float16.
        eps: A fixed width for the centred difference ``(f(x + eps/2) - f(x - eps/2)) / eps``,
            instead of the sweep.
        seed: Seed of the random directions, and of the cotangent if ``f`` is not scalar.

    Returns:
        The verdict: PASS, WRONG, KINK (no derivative exists at the point) or INCONCLUSIVE. The
        result is true in a condition only for PASS, and ``print`` shows it.

    Raises:
        ArgumentsError: The options or the arguments do not fit, or ``backward`` returns something
            that is no gradient of them.
        NotDifferentiableError: There are no floats to differentiate with respect to.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> x = np.array([0.5, 2.0, -1.0])
        >>> cr.check(lambda x: np.sum(np.tanh(x)), x).verdict
        <Verdict.PASS: 'PASS'>
        >>> wrong = cr.check(lambda x: np.mean(x**2), x, backward=lambda x: 2 * x)
        >>> wrong.verdict, wrong.pattern.kind, wrong.pattern.factor
        (<Verdict.WRONG: 'WRONG'>, 'lost 1/N', 3.0)
    """
    _check_options(f, args, backward, rtol, eps, seed)
    with np.errstate(all="ignore"):
        subject = Subject(f, args, wrt)
        run = _Run(subject, backward, rtol, eps, seed)
        trouble = run.trouble()
        return run.undecided(trouble) if trouble else run.compared()


def _check_options(
    f: Any, args: Sequence[Any], backward: Any, rtol: Any, eps: Any, seed: Any
) -> None:
    if not callable(f):
        raise ArgumentsError(f"check takes a function and its arguments, not {f!r}")
    if not args:
        raise ArgumentsError(
            "check needs the point at which to check: check(f, x) or check(f, params, inputs)"
        )
    if backward is not None and not callable(backward):
        raise ArgumentsError(
            f"backward has to be a function that returns the gradient: {backward!r}"
        )
    for name, value in (("rtol", rtol), ("eps", eps)):
        if value is not None and not (np.ndim(value) == 0 and 0 < value < math.inf):
            raise ArgumentsError(f"{name} has to be a positive number, not {value!r}")
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise ArgumentsError(f"seed has to be a whole number from 0 on, not {seed!r}")


class _Run:
    """One check, step by step."""

    def __init__(
        self,
        subject: Subject,
        backward: Callable[..., Any] | None,
        rtol: float | None,
        eps: float | None,
        seed: int,
    ) -> None:
        self.subject = subject
        self.backward = backward
        self.seed = seed
        self.eps = None if eps is None else float(eps)
        dtypes = [leaf.value.dtype for leaf in subject.leaves] + [o.dtype for o in subject.outputs]
        self.dtype = min(dtypes, key=lambda d: d.itemsize)
        self.rtol = float(rtol) if rtol is not None else RTOL.get(self.dtype.itemsize, 1e-6)
        self.rng = np.random.default_rng(seed)
        self.weights = cotangent_of(subject, self.rng)

    def trouble(self) -> str | None:
        """Why nothing can be compared here, if that is so."""
        name, outputs = self.subject.name, self.subject.outputs
        for i, output in enumerate(outputs):
            again = np.asarray(self._again()[i])
            if again.shape != output.shape or not np.array_equal(again, output, equal_nan=True):
                return (
                    f"{name} is not deterministic: two calls at the same point gave "
                    f"{_shown(output)} and {_shown(again)}; fix what it draws at random"
                )
        if not all(np.isfinite(o).all() for o in outputs):
            bad = next(o for o in outputs if not np.isfinite(o).all())
            return f"{name} is not finite at the point: it returns {_shown(bad)}"
        for leaf in self.subject.leaves:
            if not np.isfinite(leaf.value).all():
                return f"{leaf.name} is not finite, so there are no points beside it"
        return None

    def _again(self) -> list[Any]:
        return self.subject.outputs_of(self.subject.call({}))

    def compared(self) -> GradientCheck:
        """The verdict, from the gradient and from differences."""
        gradient = self._gradient(self.weights)
        if self.backward is not None and not _same(gradient, self._gradient(self.weights)):
            return self.undecided(
                f"{self._derivative()} is not deterministic: two calls at the same point differ"
            )
        subject = self.subject
        misfits = [n for n, leaf in enumerate(subject.leaves) if not gradient.fits(n, leaf)]
        probe = self._probe(gradient, self.weights)
        findings = examined(subject, probe, misfits, self.rng)
        worst = worst_of(findings)
        if misfits and (worst is None or worst.judged.verdict is not Verdict.WRONG):
            return self._misfit(probe, gradient, misfits[0], findings)
        if worst is None:
            return self.undecided("the arguments have no elements")
        pattern = None
        if worst.judged.verdict is Verdict.WRONG:
            pattern = self._pattern(probe, gradient, worst.leaf, worst.index)
        return self._result(
            worst.judged.verdict, self._says(worst, findings), _worst(worst), pattern,
            worst.judged.order, self._notes(findings, worst),
        )  # fmt: skip

    def undecided(self, says: str) -> GradientCheck:
        """INCONCLUSIVE, for a reason that lies before any comparison."""
        return self._result(Verdict.INCONCLUSIVE, says, None, None, None, ())

    def _gradient(self, weights: Sequence[Any], at: Sequence[Any] | None = None) -> Gradient:
        if self.backward is None:
            return our_gradient(self.subject, weights, at)
        return their_gradient(self.subject, self.backward, weights, at)

    def _shaken(self, weights: Sequence[Any]) -> list[Any] | None:
        """The flat gradients after every argument was moved by a few units in the last place."""
        rng = np.random.default_rng(self.seed)
        # By three units: a shift by one may be rounded away in the first operation.
        moved = [
            np.asarray(x + rng.choice([-3.0, 3.0], x.shape) * np.where(x == 0, 0, np.spacing(x)))
            for x in (leaf.value for leaf in self.subject.leaves)
        ]
        at = [
            v.astype(leaf.value.dtype) for v, leaf in zip(moved, self.subject.leaves, strict=True)
        ]
        try:
            gradient = self._gradient(weights, at)
        except (ArithmeticError, ValueError):
            return None
        return self._flat(gradient)

    def _flat(self, gradient: Gradient) -> list[Any]:
        """The parts as flat arrays; zeros where a part has the wrong shape."""
        return [
            np.reshape(part, -1).astype(float)
            if gradient.fits(n, leaf)
            else np.zeros(leaf.value.size)
            for n, (part, leaf) in enumerate(zip(gradient.parts, self.subject.leaves, strict=True))
        ]

    def _derivative(self) -> str:
        if self.backward is None:
            return "chainrule"
        return getattr(self.backward, "__name__", "backward").replace("<lambda>", "backward")

    def _probe(self, gradient: Gradient, weights: Sequence[Any]) -> Probe:
        tolerance = Tolerance(self.rtol, self.eps)
        shaken = lambda: self._shaken(weights)
        return Probe(self.subject, self._flat(gradient), weights, tolerance, shaken)

    def _pattern(
        self, probe: Probe, gradient: Gradient, number: int, index: int | None
    ) -> Pattern | None:
        leaf, found = self.subject.leaves[number], gradient.parts[number]
        indices = sample(leaf, found, index, self.rng)
        swept = Probe(self.subject, probe.gradients, probe.cotangents, Tolerance(self.rtol, None))
        evidence = gathered(self.subject, swept, number, found, indices, self.weights)

        def with_ones() -> Evidence:
            ones = [np.ones_like(w) for w in self.weights]
            return gathered(self.subject, self._probe(gradient, ones), number, found, indices, ones)

        return pattern_of(evidence, None if self.subject.scalar else with_ones)

    def _misfit(
        self, probe: Probe, gradient: Gradient, number: int, findings: Sequence[Finding]
    ) -> GradientCheck:
        leaf, found = self.subject.leaves[number], gradient.parts[number]
        says = f"the gradient of {leaf.name} has the shape {found.shape}, not {leaf.value.shape}"
        pattern = self._pattern(probe, gradient, number, None)
        first = element(probe, leaf, number, 0) if leaf.value.size else None
        worst = None
        if first is not None:
            shown = float(np.reshape(found, -1)[0]) if found.size else math.nan
            worst = Worst(first.name, first.judged.expected, shown, first.judged.uncertainty)
        notes = self._notes(findings, None)
        return self._result(Verdict.WRONG, says, worst, pattern, None, notes)

    def _says(self, worst: Finding, findings: Sequence[Finding]) -> str:
        verdict = worst.judged.verdict
        if verdict is Verdict.PASS:
            return "differences of the function agree"
        count = sum(f.judged.verdict is verdict for f in findings)
        many = f" ({count} of {len(findings)} elements)" if count > 1 and worst.index is not None \
            and all(f.index is not None for f in findings) else ""  # fmt: skip
        return f"at {worst.name}, {worst.judged.says}{many}"

    def _notes(self, findings: Sequence[Finding], worst: Finding | None) -> tuple[str, ...]:
        notes = []
        for number, leaf in enumerate(self.subject.leaves):
            here = [f.judged for f in findings if f.leaf == number]
            if here and all(j.expected == 0 == j.found for j in here):
                notes.append(f"{self.subject.name} does not change with {leaf.name} here")
        kinks = [f for f in findings if f.judged.verdict is Verdict.KINK and f is not worst]
        if kinks and worst is not None and worst.judged.verdict is Verdict.WRONG:
            notes.append(f"there is a kink at {kinks[0].name}")
        if self.subject.held.values:
            notes.append("what stop_gradient gives was held at its value at the point")
        return tuple(notes)

    def _result(
        self,
        verdict: Verdict,
        says: str,
        worst: Worst | None,
        pattern: Pattern | None,
        order: float | None,
        notes: tuple[str, ...],
    ) -> GradientCheck:
        subject = self.subject
        return GradientCheck(
            verdict, f"{subject.name}({', '.join(subject.parameters)})", self._derivative(), says,
            worst, pattern, order, coverage(subject), notes, self.dtype.name, self.rtol, self.eps,
            int(self.seed), subject.calls,
        )  # fmt: skip


def _worst(finding: Finding) -> Worst:
    j = finding.judged
    return Worst(finding.name, j.expected, j.found, j.uncertainty, j.left, j.right)


def _same(one: Gradient, other: Gradient) -> bool:
    return all(
        np.array_equal(a, b, equal_nan=True) for a, b in zip(one.parts, other.parts, strict=True)
    )


def _shown(value: Any) -> str:
    return repr(float(value)) if np.ndim(value) == 0 else np.array2string(
        np.asarray(value), threshold=6, edgeitems=2
    )  # fmt: skip
