"""Random formulas over the whole rule book: every derivative is right, and every line means it.

``CHAINRULE_FORMULAS`` sets how many formulas are tried (2,000 unless told), ``CHAINRULE_SEED``
which ones.
The oracle is mpmath's difference quotient of the formula itself at 50 digits and more, which knows
nothing of our rules, and for a tenth as many SymPy's own derivative.
"""

from __future__ import annotations

import functools
import os
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy as sp
from formulas import NAMES, VOCABULARY, Case, cases, functions_of, points_of

import chainrule
from chainrule.chain import reverse
from chainrule.explanations import check
from chainrule.explanations.explanation import Explanation
from chainrule.explanations.simplify import simplified
from chainrule.explanations.worked import symbolic_gradient
from chainrule.graph.node import PI, E, Graph, Node, ancestors
from chainrule.graph.rational import exactly
from chainrule.graph.tape import Tape, Traced
from chainrule.notation.expression import latex, text
from chainrule.notation.names import text_name
from chainrule.render.phrases import PLAIN, TEX, derivation, edge_symbol
from chainrule.run.interpreter import evaluate, evaluate_all
from chainrule.run.precise import NotReal, evaluate_precisely
from chainrule.run.rounding import EPS, error_bounds
from chainrule.sources.formula import read_formula
from chainrule.sources.program import Program

COUNT = int(os.environ.get("CHAINRULE_FORMULAS", "2000"))
SEED = os.environ.get("CHAINRULE_SEED", "2024")
CHUNKS = 20
PER_CHUNK = -(-COUNT // CHUNKS)
# One formula in this many is simplified.
SIMPLIFIED = 7
# So many in each chunk are compared with SymPy's derivative: 200 in all, for 2,000 formulas.
WITH_SYMPY = -(-COUNT // (10 * CHUNKS))
# One in this many is read back from LaTeX as well as from text.
LATEX = 3
SECONDS = 1.0

DIGITS = 50
AGREE = mpmath.mpf(10) ** -25
# Derivatives below this size, relative to the function's own, are compared absolutely: a zero that
# comes of a cancellation has no digits of its own, and 35 of 50 are still asked for.
FLOOR = mpmath.mpf(10) ** -10

chunks = pytest.mark.parametrize("chunk", range(CHUNKS))


def cases_of(chunk: int) -> list[Case]:
    return list(cases(f"{SEED}-{chunk}", PER_CHUNK))


def context() -> Any:
    mp = mpmath.MPContext()
    mp.dps = DIGITS
    return mp


def exact_point(mp: Any, point: Mapping[str, float]) -> dict[str, Any]:
    return {name: mp.mpf(value) for name, value in point.items()}


def assert_equal(ours: Any, theirs: Any, size: Any, *what: object) -> None:
    scale = max(abs(ours), abs(theirs), FLOOR * max(1, size))
    assert abs(ours - theirs) <= AGREE * scale, (*what, ours, theirs)


@pytest.mark.skipif(len(VOCABULARY) > PER_CHUNK, reason="too few formulas to reach them all")
def test_every_function_of_the_vocabulary_occurs():
    found = {name for case in cases_of(0) for name in functions_of(case.program)}
    # These two are read as powers.
    assert set(VOCABULARY) - found == {"root", "square"}


# ---- derivatives --------------------------------------------------------------------------------


@chunks
def test_first_and_second_derivatives_agree_with_difference_quotients_at_50_digits(chunk: int):
    mp = context()
    for index, case in enumerate(cases_of(chunk)):
        program, point = case.program, exact_point(mp, case.point)
        gradient = symbolic_gradient(program, program.variables)
        size = abs(evaluate_precisely(mp, [program.output], point)[0])
        for name, ours in gradient.items():
            theirs = quotient(mp, program, point, (name,))
            assert_equal(evaluate_precisely(mp, [ours], point)[0], theirs, size, case, name)
        first = program.variables[index % len(program.variables)]
        second = program.variables[index // 3 % len(program.variables)]
        ours = twice(program, gradient[first], second)
        theirs = quotient(mp, program, point, (first, second))
        assert_equal(evaluate_precisely(mp, [ours], point)[0], theirs, size, case, first, second)


def quotient(mp: Any, program: Program, point: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    """A difference quotient of the formula itself, once or twice, in mpmath."""
    moved = tuple(dict.fromkeys(names))

    def f(*values: Any) -> Any:
        displaced = {**point, **dict(zip(moved, values, strict=True))}
        return evaluate_precisely(mp, [program.output], displaced)[0]

    at = tuple(point[n] for n in moved)
    orders = tuple(names.count(n) for n in moved)
    return mp.diff(f, at, orders) if len(at) > 1 else mp.diff(f, at[0], orders[0])


def twice(program: Program, derivative: Any, name: str) -> Any:
    """The derivative of a derivative, itself read as a program."""
    if not isinstance(derivative, Node):
        return 0.0
    again = replace(program, graph=derivative.graph, output=derivative, names={})
    return symbolic_gradient(again, (name,))[name]


# SymPy leaves the derivatives of jumps standing, and needs very long for large formulas.
UNKNOWN_TO_SYMPY = {"floor", "ceil", "round", "sign"}
LARGEST_FOR_SYMPY = 20
# Formulas are drawn until enough have been compared, but no more than so many for each.
TRIED_FOR_EACH = 10


@chunks
def test_first_derivatives_agree_with_sympy(chunk: int):
    mp = context()
    compared = 0
    tried = cases(f"{SEED}-{chunk}-sympy", TRIED_FOR_EACH * WITH_SYMPY, chunk * WITH_SYMPY)
    while compared < WITH_SYMPY:
        case = next(tried, None)
        assert case is not None, f"only {compared} formulas of {WITH_SYMPY} could be compared"
        program = case.program
        if functions_of(program) & UNKNOWN_TO_SYMPY or len(program.graph.nodes) > LARGEST_FOR_SYMPY:
            continue
        point = exact_point(mp, case.point)
        name = program.variables[0]
        expression = in_sympy(program.output)
        values = {sp.Symbol(n, real=True): sp.Float(v, 60) for n, v in case.point.items()}
        theirs = sp.diff(expression, sp.Symbol(name, real=True)).subs(values).evalf(DIGITS)
        if not (theirs.is_Float or theirs.is_Rational):
            continue  # a jump's derivative was left standing
        ours = evaluate_precisely(mp, [symbolic_gradient(program, (name,))[name]], point)[0]
        size = abs(evaluate_precisely(mp, [program.output], point)[0])
        assert_equal(ours, mp.mpf(str(theirs)), size, case, name, expression)
        compared += 1


def in_sympy(output: Node) -> Any:
    """The formula in SymPy's own functions."""
    values: dict[int, Any] = {}
    for node in ancestors([output]):
        if node.op is None:
            constant = {E: sp.E, PI: sp.pi}.get(node.name)
            values[node.index] = sp.Symbol(node.name, real=True) if constant is None else constant
        else:
            args = [values[a.index] if isinstance(a, Node) else sympy_number(a) for a in node.args]
            values[node.index] = node.op.sympy(sp, *args)
    return values[output.index]


def sympy_number(constant: float) -> Any:
    number = exactly(constant)
    return sp.Rational(number.numerator, number.denominator)


@chunks
def test_float64_gradients_are_within_ten_rounding_bounds(chunk: int):
    mp = context()
    for case in cases_of(chunk):
        point = exact_point(mp, case.point)
        symbolic = symbolic_gradient(case.program, case.program.variables)
        for name, ours in gradient_of(case).items():
            precise = evaluate_precisely(mp, [symbolic[name]], point)[0]
            bound = 10 * bound_of(symbolic[name], case.point)
            if np.isnan(bound):  # a jump of a power's exponent, of which there is no slope
                continue
            assert abs(mp.mpf(float(ours)) - precise) <= bound, (case, name, ours, precise, bound)


def gradient_of(case: Case) -> dict[str, Any]:
    """The gradient that a tape of float64 values gives."""
    tape = Tape()
    inputs = {n: tape.input(np.float64(v)) for n, v in case.point.items()}
    with np.errstate(all="ignore"):
        output = evaluate([case.program.output], inputs)[0]
        if not isinstance(output, Traced):
            return dict.fromkeys(inputs, 0.0)
        found = reverse(tape.records, {output.index: (np.float64(1.0), None)})
    return {n: found[t.index][0] if t.index in found else 0.0 for n, t in inputs.items()}


def bound_of(expression: Any, point: Mapping[str, float]) -> float:
    if not isinstance(expression, Node):
        return EPS * abs(float(expression))
    with np.errstate(all="ignore"):
        values = evaluate_all([expression], {n: np.float64(v) for n, v in point.items()})
        return error_bounds([expression], values, check._slopes)[expression.index]


# ---- what is printed ----------------------------------------------------------------------------


@functools.lru_cache(maxsize=2000)
def read(printed: str, names: tuple[str, ...]) -> Any:
    """What our own parser makes of printed text or LaTeX."""
    return read_formula(printed, names).output


class Reader:
    """Reads what was printed, and evaluates all of it at once: what is equal is computed once."""

    def __init__(
        self, mp: Any, names: Sequence[str], points: Sequence[Mapping[str, float]]
    ) -> None:
        self.mp = mp
        self.names = tuple(names)
        self.points = [exact_point(mp, p) for p in points]
        self.graph = Graph()
        self.meant: dict[str, Any] = {}
        self.pairs: list[tuple[Any, Any, object]] = []

    def name(self, name: str, expression: Any) -> None:
        """``name`` stands for ``expression`` from here on."""
        self.meant[name] = self.inside(expression)

    def inside(self, expression: Any) -> Any:
        """An expression as a part of the one graph, names put in."""
        inputs = {n.name: self.graph.input(n.name) for n in ancestors([expression]) if n.op is None}
        return evaluate([expression], {**inputs, **self.meant}, self.graph)[0]

    def read(self, printed: str) -> Any:
        """Printed text or LaTeX, read by our own parser."""
        return self.inside(read(printed, self.names))

    def expect(self, printed: str, expression: Any, *what: object) -> None:
        """``printed`` has to mean ``expression``, unless it was too long to be written out."""
        if "…" in printed or re.search(r"\b(and|or)\b", printed):
            return
        self.pairs.append((self.read(printed), expression, (printed, *what)))

    def check(self) -> None:
        """Evaluate both sides of every expectation at every point, and compare."""
        different = [p for p in self.pairs if p[0] is not p[1]]
        for point in self.points:
            flat = [side for pair in different for side in pair[:2]]
            values = iter(evaluate_precisely(self.mp, flat, point))
            for _, _, what in different:
                assert_equal(next(values), next(values), 1, what, point)


def check_printed(case: Case, simplify: bool, styles: Sequence[Callable[[Any], str]]) -> None:
    """Everything in a worked solution means what was computed."""
    explanation = chainrule.explain(case.text, wrt=case.program.variables, simplify=simplify)
    points = defined_points(explanation, case)
    if not points:
        return
    names = {*explanation.inputs, *(s.name for s in explanation.steps)}
    reader = Reader(context(), sorted(names), points)
    for step in explanation.steps:
        meant = reader.inside(step.expression)
        for style in styles:
            reader.expect(style(step.expression), meant, step.name, case)
        reader.meant[step.name] = meant
        for partial in step.partials:
            meant = reader.inside(partial.expression)
            for style in styles:
                printed = style(partial.expression)
                reader.expect(printed, meant, step.name, partial.of, case)
    for found in explanation.derivatives:
        answer = reader.inside(found.expression)
        unsimplified = symbolic_gradient(case.program, (found.variable,))[found.variable]
        reader.pairs.append((answer, reader.inside(unsimplified), ("the answer", case)))
        for reason, line in derivation(explanation, found.variable, PLAIN):
            reader.expect(without_symbols(explanation, line), answer, reason, case)
        if latex in styles:
            last = derivation(explanation, found.variable, TEX)[-1][1]
            reader.expect(last, answer, "in LaTeX", case)
        if found.path_count == len(found.paths):
            total: Any = 0.0
            for path in found.paths:
                product = reader.inside(path.expression)
                if len(path.factors) > 1:
                    reader.expect(text(path.expression), product, path.names, case)
                total = total + product
            reader.pairs.append((total, answer, ("the paths together", found.variable, case)))
    definitions = "; ".join(
        f"{text_name(s.name)} = {text(s.expression)}" for s in reversed(explanation.steps)
    )
    program = reader.inside(case.program.output)
    if explanation.steps and explanation.steps[-1].name not in explanation.inputs:
        reader.expect(definitions, program, "the steps together", case)
    reader.check()


def defined_points(explanation: Explanation, case: Case) -> list[dict[str, float]]:
    """Three points at which nothing that is printed is undefined, also what a mask hides."""
    mp = context()
    parts = [e for d in explanation.derivatives for p in d.paths for e in products(explanation, p)]
    source = random.Random(case.text)
    found = []
    for point in [case.point, *points_of(source, case.program, 5)]:
        try:
            for part in parts:
                evaluate_precisely(mp, [part], exact_point(mp, point))
        except NotReal:
            continue
        found.append(point)
    return found[:3]


def products(explanation: Explanation, path: Any) -> Iterator[Any]:
    """The factors of a path in terms of the inputs."""
    graph = Graph()
    meant: dict[str, Any] = {}

    def inside(expression: Any) -> Any:
        inputs = {n.name: graph.input(n.name) for n in ancestors([expression]) if n.op is None}
        return evaluate([expression], {**inputs, **meant}, graph)[0]

    for step in explanation.steps:
        meant[step.name] = inside(step.expression)
    for factor in path.factors:
        yield inside(factor.expression)


def without_symbols(explanation: Explanation, line: str) -> str:
    """The line with dy/du₁ and its like replaced by the printed local derivatives."""
    symbols = {
        edge_symbol(explanation, p, PLAIN): f"({text(p.expression)})"
        for s in explanation.steps
        for p in s.partials
    }
    terms = [term.split(PLAIN.times) for term in line.split(PLAIN.plus)]
    if not all(factor in symbols for term in terms for factor in term):
        return line
    return PLAIN.plus.join(PLAIN.times.join(symbols[f] for f in term) for term in terms)


@chunks
def test_every_printed_line_means_what_was_computed(chunk: int):
    for index, case in enumerate(cases_of(chunk)):
        check_printed(case, False, (text,) if index % LATEX else (text, latex))


# A simplification that is stopped inside a callback of the garbage collector is told again.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@chunks
def test_simplified_answers_mean_the_same_and_come_in_time(
    chunk: int, monkeypatch: pytest.MonkeyPatch
):
    def timed(expression: Any) -> Any:
        began = time.perf_counter()
        found = simplified(expression, SECONDS)
        assert time.perf_counter() - began < SECONDS + 1, text(expression)
        return found

    monkeypatch.setattr("chainrule.explanations.worked.simplified", timed)
    for case in cases_of(chunk)[chunk % SIMPLIFIED :: SIMPLIFIED]:
        check_printed(case, True, (text, latex))


def test_the_names_of_random_formulas_are_read_as_one_name_each():
    for name in NAMES:
        assert len(read_formula(name, NAMES).variables) == 1
