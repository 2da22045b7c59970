"""The check: no explanation is shown before an independent derivative agrees with it.

Where a program is a formula, everything is done at 50 digits: the formula's own difference
quotients (mpmath's, which know nothing of our rules) against our derivative graph, and each line of
the derivation against the line before it. A Python function is called as it is at displaced points.
Left and right are compared first: where they differ there is no derivative to agree with.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from chainrule.chain.edges import factor
from chainrule.explanations.conventions import Remark
from chainrule.explanations.solution import Check, Derivative
from chainrule.explanations.worked import Work
from chainrule.graph.held import Held
from chainrule.graph.node import Node
from chainrule.graph.primitive import Mask, Scale
from chainrule.graph.tape import dtype_of
from chainrule.run.interpreter import evaluate_all
from chainrule.run.precise import NotReal, Precisely, evaluate_precisely
from chainrule.run.rounding import EPS, error_bounds
from chainrule.sources.elements import Element

DIGITS = 50
# Relative difference up to which two derivatives count as the same function's.
AGREE = 1e-20
# A first look carries 12 digits more than are asked for. It is enough if the quotients come out as
# near as they do for any formula in which little cancels.
SPARE_BITS = 40
SETTLED = 1e-30


@dataclass(slots=True, eq=False)
class Comparison:
    """One derivative compared: ours, the independent one, and whether there is one at all."""

    variable: str
    ours: float
    theirs: float
    error: float
    agrees: bool
    sides_differ: bool


def check_formula(work: Work, derivatives: Sequence[Derivative]) -> Check:
    """Check a program of scalars at 50 digits, at its point or at three points of its domain."""
    mp = _context()
    if work.at is not None:
        return _at_the_point(mp, work, derivatives)
    return _at_random_points(mp, work, derivatives)


@functools.cache
def _context() -> Any:
    """mpmath at the digits of the check and ten more, apart from the context that users set."""
    import mpmath

    context = mpmath.MPContext()
    context.dps = DIGITS + 10
    return context


def _at_the_point(mp: Any, work: Work, derivatives: Sequence[Derivative]) -> Check:
    assert work.at is not None
    for d in derivatives:
        if not np.isfinite(d.value):
            return Check(
                "not verifiable", _why(work.remarks, f"∂/∂{d.variable} is {_word(d.value)} here")
            )
    point = {n: mp.mpf(float(v)) for n, v in work.at.items()}
    try:
        verdict = _verdict(work, derivatives, *_look(mp, work, derivatives, point))
        if verdict.outcome != "verified":
            look = _looked(Precisely(mp, point), work, derivatives)
            verdict = _verdict(work, derivatives, *look)
    except NotReal as reason:
        why = f"{reason}, so there are no difference quotients from both sides"
        return Check("not verifiable", _why(work.remarks, why))
    return verdict


def _verdict(
    work: Work,
    derivatives: Sequence[Derivative],
    compared: Sequence[Comparison],
    uneven: str | None,
) -> Check:
    """What the comparisons at the point say."""
    for c in compared:
        decided = _judged(work, c)
        if decided is not None:
            return decided
    if uneven:
        return Check("failed", uneven)
    return _float_verdict(work, derivatives, compared)


Look = tuple[list["Comparison"], str | None]


def _look(mp: Any, work: Work, derivatives: Sequence[Derivative], point: Mapping[str, Any]) -> Look:
    """The comparisons at a point, and the first line that does not equal the derivative.

    This is done first with few digits to spare for what cancels inside the formula. Noise cannot
    make two derivatives, and the lines between them, agree to this many digits, so what agrees is
    settled. Anything else is looked at with all the digits before it is believed.

    Raises:
        NotReal: The formula has no value at the point or beside it.
    """
    try:
        compared, uneven = _looked(Precisely(mp, point, spare=SPARE_BITS), work, derivatives)
        if uneven is None and all(c.error < SETTLED and not c.sides_differ for c in compared):
            return compared, None
    except NotReal:
        pass
    return _looked(Precisely(mp, point), work, derivatives)


def _looked(evaluate: Precisely, work: Work, derivatives: Sequence[Derivative]) -> Look:
    ours = _ours(evaluate, work)
    return _compare(evaluate, work, ours), _uneven_line(evaluate, work, derivatives, ours)


def _ours(evaluate: Precisely, work: Work) -> dict[str, Any]:
    """Our derivatives at a point, from the derivative's own graph."""
    if work.gradient is None:
        raise NotReal("the derivative is too large for a check at high precision")
    values = evaluate([work.gradient[v] for v in work.wrt])
    return dict(zip(work.wrt, values, strict=True))


def _compare(evaluate: Precisely, work: Work, ours: Mapping[str, Any]) -> list[Comparison]:
    """Our derivatives beside the formula's own difference quotients at 50 digits.

    With 60 digits and a step of 10⁻²⁰ the centred quotient is good to about 10⁻⁴⁰.

    Raises:
        NotReal: The formula has no value at the point or beside it.
    """
    (here,) = evaluate([work.program.output])
    return [_compared(evaluate, work, v, ours[v], here) for v in work.wrt]


def _compared(evaluate: Precisely, work: Work, variable: str, ours: Any, here: Any) -> Comparison:
    mp, point = evaluate.mp, evaluate.inputs
    x = point[variable]
    scales = _scales(mp)
    h = scales.step * (abs(x) or 1)
    below, above = (
        evaluate_precisely(mp, [work.program.output], {**point, variable: moved}, evaluate.spare)[0]
        for moved in (x - h, x + h)
    )
    left, right = (here - below) / h, (above - here) / h
    theirs = (left + right) / 2
    # What rounding, and a second derivative that jumps, may take from the quotient.
    slack = (abs(here) + scales.least) * scales.rounding / h + 100 * h
    difference, size = abs(ours - theirs), max(abs(theirs), abs(ours))
    sides = abs(left - right)
    return Comparison(
        variable,
        float(ours),
        float(theirs),
        float(difference / size if size > scales.sizeable * slack else difference),
        bool(difference <= scales.agree * size + slack),
        # A smooth function's two quotients differ by about h, a kink's by the kink.
        bool(sides > scales.kink and sides > max(abs(left), abs(right)) * 1e-8),
    )


class Scales(NamedTuple):
    """The sizes that matter to a comparison, as numbers of the context it is made in.

    Attributes:
        step: The step of the quotients relative to the point.
        least: The least size of a value.
        rounding: What rounding may be of a value.
        agree: The relative difference up to which two derivatives count as the same.
        sizeable: How much larger than its uncertainty a derivative has its difference divided by.
        kink: The least difference of two one-sided quotients that is a kink.
    """

    step: Any
    least: Any
    rounding: Any
    agree: Any
    sizeable: Any
    kink: Any


@functools.cache
def _scales(mp: Any) -> Scales:
    ten = mp.mpf(10)
    rounding = ten ** (5 - mp.dps)
    return Scales(ten**-20, ten**-DIGITS, rounding, mp.mpf(AGREE), ten**10, mp.mpf(1e-15))


def _judged(work: Work, c: Comparison) -> Check | None:
    """A verdict if this comparison already decides."""
    if c.sides_differ:
        why = f"difference quotients from the left and the right of {c.variable} differ"
        return Check("not verifiable", _why(work.remarks, why), expected=c.theirs)
    if c.agrees:
        return None
    if any(r.singular for r in work.remarks):
        why = f"difference quotients give {c.theirs:.10g} where {c.ours:.10g} was used"
        return Check("not verifiable", _why(work.remarks, why), c.error, c.theirs)
    return Check(
        "failed",
        f"∂/∂{c.variable} came out as {c.ours:.17g}, but difference quotients give {c.theirs:.17g}",
        c.error,
        c.theirs,
    )


def _why(remarks: Sequence[Remark], reason: str) -> str:
    said = "; ".join(dict.fromkeys(r.says for r in remarks if r.singular))
    return f"{reason} ({said})" if said else reason


def _word(value: Any) -> str:
    return "not a number" if np.isnan(value) else "infinite"


def _float_verdict(
    work: Work, derivatives: Sequence[Derivative], compared: Sequence[Comparison]
) -> Check:
    """The float64 numbers on the page against the 50-digit ones, within ten rounding bounds."""
    worst = 0.0
    for d, c in zip(derivatives, compared, strict=True):
        difference = abs(float(d.value) - c.ours)
        worst = max(worst, c.error, difference / abs(c.ours) if c.ours else difference)
        negligible = 10 * EPS * abs(c.ours)  # never more than ten bounds: saves computing them
        if difference > negligible and difference > 10 * rounding_bound(work, d.variable):
            return Check(
                "not verifiable",
                f"rounding: ∂/∂{c.variable} is {float(d.value):.17g} in float64 and "
                f"{c.ours:.17g} at {DIGITS} digits",
                worst,
                c.ours,
            )
    says = f"{DIGITS}-digit difference quotients of the formula agree"
    return Check("verified", says, worst)


def rounding_bound(work: Work, variable: str) -> float:
    """A running bound on the float64 rounding error of a derivative, evaluated as its own graph."""
    expression = _gradient(work, variable)
    if not isinstance(expression, Node):
        return EPS * abs(float(expression or 0.0))
    with np.errstate(all="ignore"):
        values = evaluate_all([expression], dict(work.at or {}))
        return error_bounds([expression], values, _slopes)[expression.index]


def _slopes(node: Node, args: tuple[Any, ...], value: Any) -> list[float]:
    assert node.op is not None
    slopes = []
    for position in range(len(args)):
        edge = node.op.edge(position)
        slopes.append(float(factor(edge, args, value)) if isinstance(edge, Scale | Mask) else 0.0)
    return slopes


def _at_random_points(mp: Any, work: Work, derivatives: Sequence[Derivative]) -> Check:
    checked = 0
    worst = 0.0
    for point in _random_points(mp, work):
        try:
            compared, uneven = _look(mp, work, derivatives, point)
        except NotReal:
            continue
        for c in compared:
            if not c.agrees and not c.sides_differ:
                return _contradicted(point, c)
            worst = max(worst, 0.0 if c.sides_differ else c.error)
        if uneven:
            return Check("failed", uneven)
        checked += 1
        if checked == POINTS:
            says = f"{DIGITS}-digit difference quotients of the formula agree at {POINTS} points"
            return Check("verified", says, worst)
    return Check(
        "not verifiable", "too few points were found at which the formula has a real value"
    )


def _contradicted(point: Mapping[str, Any], c: Comparison) -> Check:
    where = ", ".join(f"{n}={float(v):.6g}" for n, v in point.items())
    says = f"∂/∂{c.variable} is {c.ours:.17g} but difference quotients give {c.theirs:.17g}"
    return Check(
        "failed",
        f"at {where}, {says}",
        c.error,
        c.theirs,
    )


POINTS = 3
TRIES = 60


def _random_points(mp: Any, work: Work) -> Iterator[dict[str, Any]]:
    """Points spread over small and larger numbers at which float64 can follow."""
    rng = random.Random(0)
    for attempt in range(TRIES):
        spread = (0.9, 2.0, 5.0)[attempt % 3]
        low = 0.05 if attempt % 2 else -spread
        point = {n: round(rng.uniform(low, spread), 6) for n in work.program.variables}
        if _tame(work, point):
            yield {n: mp.mpf(v) for n, v in point.items()}


def _tame(work: Work, point: Mapping[str, float]) -> bool:
    """Whether float64 can follow: astronomically large values make 50 digits too few."""
    with np.errstate(all="ignore"):
        values = evaluate_all([work.program.output], point)
    return all(abs(float(v)) < 1e100 for v in values.values() if np.isfinite(v))


def _uneven_line(
    evaluate: Precisely,
    work: Work,
    derivatives: Sequence[Derivative],
    ours: Mapping[str, Any],
) -> str | None:
    """The first line of a derivation that does not equal the derivative, in a sentence.

    Lines in the names of the steps are made of the local derivatives that the other lines
    substitute; what is compared are the closed expressions.
    """
    for d in derivatives:
        expected = ours[d.variable]
        for line in d.lines:
            if not line.closed or line.terms[0][0] is _gradient(work, d.variable):
                continue  # the derivative's own graph has been compared already
            try:
                value = _line_value(evaluate, line.terms)
            except NotReal:  # a factor behind a branch that is not taken has no value here
                continue
            if abs(value - expected) > max(abs(value), abs(expected), 1) * AGREE:
                return f"the line “{line.reason}” does not equal the derivative"
    return None


def _gradient(work: Work, variable: str) -> Any:
    return None if work.gradient is None else work.gradient[variable]


def _line_value(evaluate: Precisely, terms: Sequence[Sequence[Any]]) -> Any:
    total = evaluate.mp.zero
    for factors in terms:
        product = evaluate.mp.one
        for value in evaluate(factors):
            product *= value
        total += product
    return total


def check_function(
    f: Callable[[Mapping[str, Any]], Any],
    at: Mapping[str, Any],
    derivatives: Sequence[Derivative],
    work: Work,
) -> Check:
    """Check against the function itself, called at displaced points, in float64."""
    for d in derivatives:
        if not np.all(np.isfinite(d.value)):
            return Check(
                "not verifiable", _why(work.remarks, f"∂/∂{d.variable} is not finite here")
            )
    rng = np.random.default_rng(0)
    worst = 0.0
    held = Held()

    def measured(point: Mapping[str, Any]) -> Any:
        with held.during_call():
            return f(point)

    with np.errstate(all="ignore"):
        measured(at)
    rounding = coarsest(work.program.values)
    rough = 64 * rounding if rounding > EPS else 0.0
    for d in derivatives:
        x = np.asarray(at[d.variable], dtype=float)
        direction = rng.standard_normal(x.shape) if x.shape else np.float64(1.0)
        ours = float(np.sum(np.asarray(d.value) * direction))
        with np.errstate(all="ignore"):
            estimate = _directional(measured, at, d.variable, x, direction, rounding=rounding)
        verdict, error = _compare_float(work.remarks, d.variable, ours, estimate, rough)
        if verdict is not None:
            return verdict
        worst = max(worst, error)
    return Check("verified", _what(held), worst)


def coarsest(values: Mapping[int, Any] | None) -> float:
    """The distance from 1 to the next number in the least precise floats among some values."""
    kinds = {dtype_of(v) for v in (values or {}).values()}
    return max([float(np.finfo(k).eps) for k in kinds if k.kind == "f"], default=EPS)


@dataclass(slots=True, eq=False)
class Estimate:
    """A derivative from difference quotients: from both sides and from each, and how sure."""

    both: float
    error: float
    left: float
    right: float
    side_error: float


def _directional(
    f: Any, at: Mapping[str, Any], name: str, x: Any, direction: Any, size: float | None = None,
    rounding: float = EPS,
) -> Estimate:  # fmt: skip
    """Difference quotients along a direction with steps halved, extrapolated to zero (Ridders).

    C. J. F. Ridders, "Accurate computation of F'(x) and F'(x)F''(x)", Adv. Eng. Software 4 (1982).

    A function that rounds its values to few digits is a staircase: steps are then no shorter than
    the cube root of ``rounding``, where truncation and rounding weigh the same, and what rounding
    may do to a quotient is part of the error.
    """
    if size is None:
        size = max(1.0, float(np.max(np.abs(x), initial=0.0)))
    scale, rows = 1e-2 * size, _ROWS
    if rounding > EPS:
        shortest, rows = size * rounding ** (1 / 3), 3
        scale = shortest * 2 ** (rows - 1)

    @functools.cache
    def moved(t: float) -> float:
        return float(f({**at, name: (x + t * direction).astype(x.dtype)[()]}))

    here = moved(0.0)
    both, error = _extrapolated(lambda h: (moved(h) - moved(-h)) / (2 * h), scale, 4.0, rows)
    right, unsure_right = _extrapolated(lambda h: (moved(h) - here) / h, scale, 2.0, rows)
    left, unsure_left = _extrapolated(lambda h: (here - moved(-h)) / h, scale, 2.0, rows)
    noise = 4 * rounding * abs(here) / shortest if rounding > EPS else 0.0
    return Estimate(both, error + noise, left, right, unsure_left + unsure_right + noise)


_ROWS = 12


def _extrapolated(
    quotient: Callable[[float], float], h: float, factor: float, count: int
) -> tuple[float, float]:
    """Ridders' table: the entry whose neighbours agree best, and by how much they differ."""
    rows: list[list[float]] = []
    best, error = float("nan"), float("inf")
    for i in range(count):
        row = [quotient(h / 2**i)]
        for j in range(i):
            row.append(row[j] + (row[j] - rows[-1][j]) / (factor ** (j + 1) - 1))
            difference = max(abs(row[-1] - row[-2]), abs(row[-1] - rows[-1][j]))
            if difference < error:
                best, error = row[-1], difference
        rows.append(row)
    return best, error


def _compare_float(
    remarks: Sequence[Remark],
    variable: str,
    ours: float,
    estimate: Estimate,
    rough: float = 0.0,
    least: float = 0.0,
) -> tuple[Check | None, float]:
    scale = max(abs(ours), abs(estimate.both), 1e-8, least)
    error = abs(ours - estimate.both) / scale
    uncertain = estimate.error / scale
    if not np.isfinite(estimate.both) or uncertain > 1e-3:
        why = "difference quotients do not settle here"
        return Check("not verifiable", _why(remarks, why)), error
    if abs(estimate.left - estimate.right) > 1e-3 * scale + 20 * estimate.side_error:
        why = f"difference quotients from the left and the right of {variable} differ"
        return Check("not verifiable", _why(remarks, why), error, estimate.both), error
    if error <= max(10 * uncertain, 1e-7, rough):
        return None, error
    outcome = "not verifiable" if any(r.singular for r in remarks) else "failed"
    says = f"difference quotients give {estimate.both:.10g} where {ours:.10g} was used"
    return Check(outcome, _why(remarks, says), error, estimate.both), error  # type: ignore[arg-type]


# A program of more numbers than this is called twice for a check, and more often only in doubt.
SMALL = 20_000
_QUICK = 1e-6


def check_element(
    f: Callable[[Mapping[str, Any]], Any],
    at: Mapping[str, Any],
    element: Element,
    ours: float,
    largest: float,
    size: int,
    inside: float,
    remarks: Callable[[bool], Sequence[Remark]],
) -> Check:
    """Check one element of a gradient against the function itself, moved along this element alone.

    Numbers of less precision are taken as float64: quotients of float32 would say little.

    Args:
        f: The function of its inputs by name.
        at: The point.
        element: The element that the derivative is with respect to.
        ours: The derivative.
        largest: The largest element of the gradient: next to it, a tiny one is known less well.
        size: How many numbers the function computes.
        inside: The coarsest rounding that the function asks for itself, whatever its inputs are.
        remarks: What is known of the point; told whether it may take more runs to find out.
    """
    if not np.isfinite(ours):
        why = f"∂/∂{element.name} is {_word(ours)} here"
        return Check("not verifiable", _why(remarks(False), why))
    single = any(np.asarray(v).dtype.itemsize < 8 for v in at.values())
    point = {n: np.asarray(v, dtype=np.float64)[()] for n, v in at.items()}
    x = np.asarray(point[element.leaf])
    direction = np.zeros(x.shape)
    direction[element.index] = 1.0
    here = abs(float(x[element.index]))
    held = Held()

    def measured(moved: Mapping[str, Any]) -> Any:
        with held.during_call():
            return f(moved)

    rough = 1e-4 if single else 0.0  # what rounding in float32 may have taken from ours
    if inside > EPS:
        rough = max(rough, 64 * inside)
    elif size > SMALL:
        check = _quickly(measured, point, element, ours, held, rough)
        if check is not None:
            return check
    held = Held()
    with np.errstate(all="ignore"):
        value_here = measured(point)
        along: Any = direction[()]
        size_here = max(1.0, here)
        estimate = _directional(measured, point, element.leaf, x, along, size_here, inside)
        # What rounding of the function's own value may do to a quotient of the largest step.
        noise = EPS * abs(float(value_here)) / (2e-2 * size_here)
    estimate.error = max(estimate.error, noise)
    height = abs(float(value_here))
    least = 1e-3 * height / max(1.0, here)
    if np.isfinite(largest):
        least = max(least, 1e-4 * abs(largest))
    known = remarks(size <= SMALL)
    verdict, error = _compare_float(known, element.name, ours, estimate, rough, least)
    if verdict is not None and size > SMALL:
        verdict, error = _compare_float(remarks(True), element.name, ours, estimate, rough, least)
    if verdict is not None:
        return verdict
    if abs(ours) < least:  # a relative error would say little
        apart = abs(ours - estimate.both)
        if not apart:
            return Check("verified", _what(held), 0.0)
        return Check("verified", f"{_what(held)} to within {apart:.0e}".replace("e-", "e−"))
    return Check("verified", _what(held), error)


def _what(held: Held) -> str:
    parts = ", with what stop_gradient gives held," if held.values else ","
    return f"difference quotients of the function itself{parts} extrapolated to step 0, agree"


def _quickly(
    f: Any, point: Mapping[str, Any], element: Element, ours: float, held: Held, rough: float
) -> Check | None:
    """A verdict from two calls, if they agree with our derivative; ``None`` in any doubt."""
    x = np.asarray(point[element.leaf])
    h = EPS ** (1 / 3) * max(1.0, abs(float(x[element.index])))
    found = []
    for sign in (1, -1):
        moved = np.array(x)
        moved[element.index] += sign * h
        with np.errstate(all="ignore"):
            found.append((float(f({**point, element.leaf: moved[()]})), moved[element.index]))
    if held.values:
        return None  # they have to be those at the point
    (above, right), (below, left) = found
    theirs = (above - below) / float(right - left)
    rounding = 8 * EPS * max(abs(above), abs(below)) / h
    size = max(abs(ours), abs(theirs))
    difference = abs(ours - theirs)
    # Where rounding could hide the whole derivative, two calls prove nothing.
    if not difference <= max(_QUICK, rough) * size + rounding or (size and rounding > 1e-2 * size):
        return None
    says = "difference quotients of the function itself, moved along this element, agree"
    return Check("verified", says, difference / size if size else 0.0)
