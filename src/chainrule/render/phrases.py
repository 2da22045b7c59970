"""What every rendering says in the same way: dy/du, the lines of a derivation, the verdict."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.explanations.explanation import Explanation
from chainrule.explanations.solution import Check, Line, Partial, Step
from chainrule.graph.node import Node
from chainrule.notation.expression import (
    CODE,
    LATEX,
    LATEX_CODE,
    PRODUCT,
    TEXT,
    Latex,
    Style,
    piece,
)
from chainrule.notation.numbers import latex_value, text_value

_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


# Larger arrays are shown by their shape.
MOST_ELEMENTS = 6


@dataclass(frozen=True, slots=True)
class Script:
    """A way of setting symbols: plain text or LaTeX."""

    style: Style
    times: str
    plus: str
    d: str
    partial: str

    def name(self, name: str) -> str:
        """A variable or step."""
        return self.style.name(name)

    def value(self, value: Any) -> str:
        """A computed number, or a small array of them."""
        show = latex_value if isinstance(self.style, Latex) else text_value
        if np.ndim(value) == 0:
            return show(value)
        array = np.asarray(value)
        if array.size > MOST_ELEMENTS:
            times = r" \times " if isinstance(self.style, Latex) else "×"
            return "[" + times.join(map(str, array.shape)) + "]"
        return self._nested(array, show)

    def _nested(self, array: Any, show: Any) -> str:
        parts = (show(v, 6) if np.ndim(v) == 0 else self._nested(v, show) for v in array)
        return "[" + ", ".join(parts) + "]"

    def ratio(self, above: str, below: str, several: bool) -> str:
        """``dy/dx``, or ``∂y/∂x`` where there are several arguments."""
        d = self.partial if several else self.d
        if isinstance(self.style, Latex):
            return rf"\frac{{{d} {self.name(above)}}}{{{d} {self.name(below)}}}"
        return f"{d}{self.name(above)}/{d}{self.name(below)}"

    def held(self, symbol: str, names: Sequence[str]) -> str:
        """A derivative with other arguments held fixed: ``∂y/∂x|u``."""
        fixed = ",".join(map(self.name, names))
        if isinstance(self.style, Latex):
            return rf"\left.{symbol}\right|_{{{fixed}}}"
        return f"{symbol}|{fixed}"

    def higher_ratio(self, above: str, chain: Sequence[str], several: bool) -> str:
        """A derivative of higher order: ``d²y/dx²`` or ``∂²z/∂x∂y``."""
        d = self.partial if several else self.d
        below = "".join(
            f"{d}{self.name(name)}{self._raised(len(list(run)))}"
            for name, run in itertools.groupby(chain)
        )
        top = f"{d.strip()}{self._raised(len(chain))}{self.name(above)}"
        return rf"\frac{{{top}}}{{{below}}}" if isinstance(self.style, Latex) else f"{top}/{below}"

    def _raised(self, power: int) -> str:
        if power == 1:
            return ""
        if isinstance(self.style, Latex):
            return f"^{{{power}}}"
        return str(power).translate(_SUPERSCRIPTS)

    def factor(self, expression: Any, alone: bool) -> str:
        """An expression as a factor: a sum gets parentheses unless it stands alone."""
        printed = piece(expression, self.style)
        return printed.s if alone or printed.binds >= PRODUCT else self.style.wrap(printed.s)

    def terms(self, terms: Sequence[Sequence[Any]]) -> str:
        """A sum of products of expressions; a minus in front of a product is the sum's own."""
        line = ""
        for i, factors in enumerate(terms):
            positive = _without_minus(factors[0])
            first = factors[0] if positive is None else positive
            alone = len(factors) == 1 and len(terms) == 1 and positive is None
            printed = [self.factor(first, alone), *(self.factor(f, False) for f in factors[1:])]
            sign = self.style.minus if positive is not None else "+"
            joint = f" {sign} " if i else sign if positive is not None else ""
            line += joint + self.times.join(printed)
        return line


def _without_minus(expression: Any) -> Any:
    """What ``expression`` is the negative of, if it is written with a minus in front."""
    if not isinstance(expression, Node):
        return -expression if expression < 0 else None
    negative = expression.op is not None and expression.op.name == "negative"
    return expression.args[0] if negative else None


PLAIN = Script(TEXT, " · ", " + ", "d", "∂")
TEX = Script(LATEX, r" \cdot ", " + ", r"\mathrm{d}", r"\partial ")
# The same with the names of a program as they are typed.
PLAIN_CODE = Script(CODE, PLAIN.times, PLAIN.plus, PLAIN.d, PLAIN.partial)
TEX_CODE = Script(LATEX_CODE, TEX.times, TEX.plus, TEX.d, TEX.partial)


def several(explanation: Explanation) -> bool:
    """Whether the result depends on more than one input."""
    return len(explanation.inputs) > 1


def edge_symbol(explanation: Explanation, edge: Partial, script: Script) -> str:
    """The local derivative's symbol.

    Where the argument also reaches the step through another argument, that one is held fixed, and
    the symbol says so: ``∂y/∂x|u`` is not the whole ``dy/dx``.
    """
    steps = {s.name: s for s in explanation.steps}
    others = [e.of for e in steps[edge.step].partials if e.of != edge.of]
    symbol = script.ratio(edge.step, edge.of, bool(others) or several(explanation))
    held = [name for name in others if _depends(steps, name, edge.of)]
    return script.held(symbol, held) if held else symbol


def _depends(steps: Mapping[str, Step], name: str, on: str) -> bool:
    """Whether a step is computed from another step or input, by whatever way."""
    waiting, seen = [name], {name}
    while waiting:
        step = steps.get(waiting.pop())
        for edge in step.partials if step is not None else ():
            if edge.of == on:
                return True
            if edge.of not in seen:
                seen.add(edge.of)
                waiting.append(edge.of)
    return False


def answer_symbol(explanation: Explanation, variable: str, script: Script) -> str:
    """The symbol of the whole derivative: ``dy/dx``, ``d²y/dx²``, ``∂²z/∂x∂y``."""
    chain = (*explanation.before, variable)
    if len(chain) == 1:
        return script.ratio(explanation.result, variable, several(explanation))
    return script.higher_ratio(explanation.original, chain, several(explanation))


def line_text(explanation: Explanation, line: Line, script: Script) -> str:
    """One line of a derivation."""
    if line.terms and line.terms[0] and isinstance(line.terms[0][0], Partial):
        return script.plus.join(
            script.times.join(edge_symbol(explanation, e, script) for e in factors)
            for factors in line.terms
        )
    return script.terms(line.terms)


def derivation(explanation: Explanation, variable: str, script: Script) -> list[tuple[str, str]]:
    """The lines of a derivation with what was done, without repeated ones."""
    found: list[tuple[str, str]] = []
    for line in explanation.derivative(variable).lines:
        written = line_text(explanation, line, script)
        if not found or found[-1][1] != written:
            found.append((line.reason, written))
    return found


@dataclass(frozen=True, slots=True)
class Accumulated:
    """One row of the accumulation: a symbol, where it comes from, and its numbers."""

    symbol: str
    expression: str
    numbers: str
    value: str


def accumulation(explanation: Explanation, script: Script) -> Iterator[Accumulated]:
    """The walk over the edges, in the direction of the mode."""
    if explanation.mode == "forward":
        for variable in explanation.wrt:
            yield from _forward(explanation, variable, script)
    else:
        yield from _backward(explanation, script)


def _backward(explanation: Explanation, script: Script) -> Iterator[Accumulated]:
    result = explanation.result
    adjoints = {s.name: s.adjoint for s in explanation.steps}
    adjoints |= {d.variable: d.value for d in explanation.derivatives}
    consumers: dict[str, list[Partial]] = {}
    for step in explanation.steps:
        for edge in step.partials:
            consumers.setdefault(edge.of, []).append(edge)
    branching = several(explanation) or any(len(s.partials) > 1 for s in explanation.steps)

    def adjoint(name: str) -> str:
        """∂y/∂u where there are side paths, dy/du in a chain, and dy/dx of the only variable."""
        return script.ratio(
            result, name, several(explanation) if name in explanation.inputs else branching
        )

    yield Accumulated(adjoint(result), "1", "", "1")
    names = [s.name for s in reversed(explanation.steps[:-1])] + list(explanation.wrt)
    for name in names:
        edges = [e for e in consumers.get(name, []) if e.step == result or e.step in adjoints]
        if edges:
            yield _row(
                explanation, script, adjoint(name), edges,
                lambda e: adjoint(e.step), lambda e: adjoints.get(e.step), adjoints.get(name),
            )  # fmt: skip


def _forward(explanation: Explanation, variable: str, script: Script) -> Iterator[Accumulated]:
    many = several(explanation)
    yield Accumulated(script.ratio(variable, variable, many), "1", "", "1")
    reached = {variable: np.float64(1.0)}
    known = {variable}
    for step in explanation.steps:
        edges = [e for e in step.partials if e.of in known]
        if not edges:
            continue
        known.add(step.name)
        if variable in step.tangents:
            reached[step.name] = step.tangents[variable]
        yield _row(
            explanation, script, script.ratio(step.name, variable, many), edges,
            lambda e: script.ratio(e.of, variable, many),
            lambda e: reached.get(e.of), step.tangents.get(variable),
        )  # fmt: skip


def _row(
    explanation: Explanation,
    script: Script,
    symbol: str,
    edges: Sequence[Partial],
    incoming: Any,
    number: Any,
    total: Any,
) -> Accumulated:
    """A sum over edges of what comes in times the local derivative."""
    expression = script.plus.join(
        f"{incoming(e)}{script.times}"
        + (
            script.factor(e.expression, False)
            if e.expression is not None
            else edge_symbol(explanation, e, script)
        )
        for e in edges
    )
    numbers = ""
    if all(e.value is not None and number(e) is not None for e in edges):
        numbers = script.plus.join(
            f"{_signed(script, number(e))}{script.times}{_signed(script, e.value)}" for e in edges
        )
    return Accumulated(symbol, expression, numbers, "" if total is None else script.value(total))


def _signed(script: Script, value: Any) -> str:
    shown = script.value(value)
    return (
        script.style.wrap(shown) if np.ndim(value) == 0 and shown.startswith(("−", "-")) else shown
    )


def verdict(check: Check) -> tuple[str, str]:
    """A mark and a sentence for the outcome of the check."""
    if check.outcome != "verified":
        return "!", f"not verifiable here: {check.says}"
    if check.error is None:
        return "✓", f"verified: {check.says}"
    if not check.error:
        return "✓", f"verified: {check.says} to the last digit"
    within = text_value(10.0 ** math.ceil(math.log10(check.error)))
    return "✓", f"verified: {check.says} to a relative error below {within}"


def given(explanation: Explanation, script: Script) -> str:
    """The point, as ``x = 1, y = 2``; empty without one."""
    return ", ".join(
        f"{script.name(n)} = {script.value(v)}"
        for n, v in explanation.inputs.items()
        if v is not None
    )
