"""Random formulas over the whole vocabulary, and points at which they are smooth.

A formula is made as text, the way people write it, around one function of the vocabulary: asking
for them one after the other brings every one of them up. A point is kept if nothing of what a
formula is made of is undefined, huge, or about to change its branch there.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.explanations.point import arguments, needed
from chainrule.graph.node import Node, ancestors
from chainrule.graph.primitive import Flat, Mask
from chainrule.run.interpreter import evaluate_all
from chainrule.sources.formula import read_formula
from chainrule.sources.formula.vocabulary import FUNCTIONS
from chainrule.sources.program import Program

DEEPEST = 6
LARGEST_VALUE, SMALLEST_VALUE = 1e8, 1e-8
# A point keeps this distance, relative to its coordinates, from kinks, jumps, and ends of domains.
DISTANCE = 1e-3
# A zero of these is a number too small for float64.
UNDERFLOWING = {"exp", "exp2", "power", "erfc", "gelu", "sigmoid", "softplus", "sech", "csch"}
NAMES = ("x", "y", "z", "t", "α", "x₁", "x₂", "θ", "w_max", "rate")
NUMBERS = ("2", "3", "0.5", "1.5", "7", "0.1", "10", "1e-3", "2.25", "12", "1/3", "π", "e", "(-2)")
EXPONENTS = ("2", "3", "4", "-1", "-2", "0.5", "1/3", "-0.5", "1.5", "(2/3)", "2.7", "-3")

VOCABULARY: dict[str, list[str]] = {}
"""Every function of formulas by its rule-book name, with its spellings."""
for _spelling, _function in FUNCTIONS.items():
    VOCABULARY.setdefault(_function.name, []).append(_spelling)

# What brings any value into the domain of a function, or keeps its result small.
_UNIT = ("sin({})", "tanh({})", "erf({})", "({})/5")
_POSITIVE = ("({})^2 + 0.3", "e^({})", "|{}|", "{}", "softplus({})", "4 + {}")
_PROPER = ("σ({})", "1/(1 + ({})^2)", "sin({})^2", "{}")
_ABOVE_ONE = ("1.2 + ({})^2", "cosh({}) + 0.1", "2 + |{}|", "3{}")
_SMALL = ("{}", "sin({})", "-({})^2", "ln(1 + ({})^2)")
_INTO: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("arcsin", "arccos", "arctanh"), _UNIT),
    **dict.fromkeys(("log", "log2", "log10", "log1p", "sqrt", "root"), _POSITIVE),
    **dict.fromkeys(("logit", "arcsech"), _PROPER),
    **dict.fromkeys(("arccosh", "arccoth", "arcsec", "arccsc"), _ABOVE_ONE),
    **dict.fromkeys(("exp", "exp2", "expm1", "sinh", "cosh", "sech", "csch"), _SMALL),
}


@dataclass(frozen=True, slots=True, repr=False)
class Case:
    """A formula, what it was read as, and a point at which it is smooth."""

    text: str
    program: Program
    point: dict[str, float]

    def __repr__(self) -> str:
        return f"{self.text!r} at {self.point}"


def cases(seed: str, count: int, first: int = 0) -> Iterator[Case]:
    """``count`` formulas with a point each; the vocabulary is gone through from ``first`` on."""
    source = random.Random(seed)
    functions = list(VOCABULARY)
    for index in range(first, first + count):
        yield _case(source, functions[index % len(functions)])


def _case(source: random.Random, function: str) -> Case:
    """A formula with this function in it, tried until there is a point."""
    while True:
        text = Writer(source).formula(function)
        program = read_formula(text, NAMES)
        if not program.variables:
            continue
        points = points_of(source, program, 1)
        if points:
            return Case(text, program, points[0])


class Writer:
    """Writes one random formula in at most three variables."""

    def __init__(self, source: random.Random) -> None:
        self.source = source
        self.names = source.sample(NAMES, source.choice((1, 1, 2, 3)))

    def formula(self, function: str) -> str:
        """A formula with ``function`` somewhere in it."""
        depth = self.source.randint(1, DEEPEST)
        above = self.source.randrange(depth)
        text = self.call(function, depth - above - 1)
        for level in range(above):
            text = self.around(text, depth - above + level)
        return text

    def expression(self, depth: int) -> str:
        """Anything, at most ``depth`` functions and operators deep."""
        if depth <= 0:
            return self.leaf()
        return self.around(self.expression(depth - 1), depth - 1)

    def leaf(self) -> str:
        """A variable, or now and then a number."""
        return self.source.choice(self.names if self.source.random() < 0.8 else NUMBERS)

    def around(self, inner: str, depth: int) -> str:
        """One function or operator more around ``inner``."""
        kind = self.source.random()
        if kind < 0.45:
            function = self.source.choice(list(VOCABULARY))
            return self.call(function, depth, inner)
        if kind < 0.85:
            return self.operator(inner, depth)
        return self.sign(inner)

    def call(self, function: str, depth: int, inner: str | None = None) -> str:
        """``function`` of ``inner``, or of something."""
        inner = self.expression(depth) if inner is None else inner
        if function in _INTO and (inner not in self.names or self.source.random() < 0.6):
            inner = self.source.choice(_INTO[function]).format(inner)
        name = self.source.choice(VOCABULARY[function])
        other = self.expression(min(depth, 2))
        if function == "where":
            sign = self.source.choice(("<", "<=", ">", "≥", "==", "≠"))
            return f"{name}({self.leaf()} {sign} {self.leaf()}, {inner}, {other})"
        if function == "clip":
            low = self.source.choice(("-1", "0", "-2", f"-{self.names[0]}"))
            return f"{name}({inner}, {low}, {other})"
        if function == "power":
            return f"{name}({inner}, {self.source.choice((*EXPONENTS, other))})"
        if function == "root":
            return f"{name}({inner}, {self.source.choice('2345')})"
        if FUNCTIONS[name].least == 2:
            both = [inner, other]
            self.source.shuffle(both)
            return f"{name}({', '.join(both)})"
        return f"{name}({inner})"

    def operator(self, inner: str, depth: int) -> str:
        """``inner`` with something else on its left or right."""
        sign = self.source.choice(("+", "-", "*", "*", "/", "/", "^", "^"))
        if sign == "^":
            return self.power(inner)
        other = self.expression(min(depth, 2))
        left, right = (inner, other) if self.source.random() < 0.5 else (other, inner)
        return f"({left}) {sign} ({right})"

    def power(self, inner: str) -> str:
        """A power with a constant or variable exponent, or of e, 2 or π."""
        kind = self.source.random()
        if kind < 0.6:
            return f"({inner})^({self.source.choice(EXPONENTS)})"
        if kind < 0.8:
            return f"({self.leaf()})^({inner})"
        return f"{self.source.choice(('e', 'e', '2', 'π', '0.5'))}^({inner})"

    def sign(self, inner: str) -> str:
        """What needs no second operand."""
        form = self.source.choice(
            ("-({})", "|{}|", "⌊{}⌋", "⌈{}⌉", "√({})", "∛({})", "1/({})", "({})²", "sin²({})",
             "log_3({})", "3({})", "({})/7", r"\frac{{1}}{{{}}}", "-2({})", "1e-3({})", "1 - ({})")
        )  # fmt: skip
        return form.format(inner)


def points_of(source: random.Random, program: Program, count: int) -> list[dict[str, float]]:
    """Up to ``count`` points at which the formula is smooth; fewer if they are hard to find."""
    found: list[dict[str, float]] = []
    for attempt in range(4 * count + 4):
        low, high = ((-3, 3), (0.1, 2), (0.1, 0.9), (1.1, 4))[attempt % 4]
        point = {n: round(source.uniform(low, high), 4) or 0.5 for n in program.variables}
        if smooth(program, point):
            found.append(point)
        if len(found) == count:
            break
    return found


def smooth(program: Program, point: Mapping[str, float]) -> bool:
    """Whether the formula is defined, moderate and of one branch at the point and around it."""
    here = _choices(program, point)
    return here is not None and all(
        _choices(program, nearby) == here for nearby in _around(program.variables, point)
    )


def _around(names: Sequence[str], point: Mapping[str, float]) -> Iterator[dict[str, float]]:
    for name in names:
        for side in (1 - DISTANCE, 1 + DISTANCE):
            yield {**point, name: point[name] * side}


def _choices(program: Program, point: Mapping[str, float]) -> list[Any] | None:
    """What every step with pieces or jumps chooses; ``None`` if a step has no moderate value."""
    with np.errstate(all="ignore"):
        values = evaluate_all([program.output], {n: np.float64(v) for n, v in point.items()})
        chosen: list[Any] = []
        for node in needed(program.output, values):
            if node.op is None:
                continue
            args = arguments(node, values)
            if not _moderate(node, args, values[node.index]):
                return None
            chosen.extend(_chosen(node, args, values[node.index]))
    return chosen


def _moderate(node: Node, args: tuple[Any, ...], value: Any) -> bool:
    assert node.op is not None
    inside = node.op.domain is None or bool(node.op.domain.test(*args))
    if node.op.name == "power" and isinstance(node.args[1], Node) and args[0] <= 0:
        return False  # x^(t/t) is real for negative x, but nothing near it is
    if node.op.name in ("floor", "ceil") and abs(args[0] - np.round(args[0])) < SMALLEST_VALUE:
        return False  # ⌊e^(ln 5)⌋ is 5 or 4
    smooth = not any(bool(np.any(c.at(*args))) for c in node.op.conventions)
    underflow = value == 0 and node.op.name in UNDERFLOWING
    # What is 1e-16 in float64 may be a zero, sin(π), which is a kink or a pole of what comes next.
    moderate = value == 0 or SMALLEST_VALUE < abs(float(value)) < LARGEST_VALUE
    return inside and smooth and moderate and not underflow


def _chosen(node: Node, args: tuple[Any, ...], value: Any) -> list[Any]:
    """The branch of one step: of a jump its value, of a choice its weights, of a root the sign."""
    op = node.op
    assert op is not None
    if op.name in ("arctan2", "hypot"):
        return [float(np.sign(a)) for a in args]
    if op.name in ("cbrt", "power"):
        return [float(np.sign(args[0]))]
    if isinstance(op.edges[0], Flat) and op.name != "where":
        return [float(value)]
    return [
        float(edge.weight(*args, value))
        for edge in map(op.edge, range(len(args)))
        if isinstance(edge, Mask)
    ]


def functions_of(program: Program) -> set[str]:
    """The rule-book names of everything a program applies."""
    return {n.op.name for n in ancestors([program.output]) if n.op is not None}
