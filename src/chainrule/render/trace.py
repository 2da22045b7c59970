"""The rows of a gradient trace in words and signs, for every page alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.explanations.trace import Addend, Trace, TraceRow
from chainrule.graph.node import Graph, Node
from chainrule.notation.expression import SUM, Latex, piece
from chainrule.notation.numbers import latex_value, text_value
from chainrule.render.phrases import MOST_ELEMENTS, Script
from chainrule.run.interpreter import evaluate

_BELOW = str.maketrans("ijklmnprst", "ᵢⱼₖₗₘₙₚᵣₛₜ")
# Numbers put into an expression have this many digits where the line would be long with more.
SHORT, FULL = 6, 10
_LONG = 34
# Of more parts than this, a sum over steps shows the first and the last.
MOST_ADDENDS = 5


@dataclass(frozen=True, slots=True)
class Cells:
    """A row of the table: ∂a/∂b, what that is, the numbers put in, and what comes out."""

    symbol: str
    expression: str
    values: str
    result: str


def rows(trace: Trace, script: Script, digits: int = FULL) -> Iterator[tuple[TraceRow, Cells]]:
    """Every row with its cells.

    Args:
        trace: The trace.
        script: Text or LaTeX.
        digits: How many significant digits the numbers have that are put in.
    """
    writer = _Writer(script, digits)
    for row in trace.rows:
        yield row, writer.cells(row, trace)


def _news(letters: Mapping[str, Any] | None, told: dict[str, Any]) -> dict[str, Any]:
    """The letters that run elsewhere than a reader was told last."""
    news = {c: ends for c, ends in (letters or {}).items() if told.get(c) != ends}
    told.update(news)
    return news


def product(trace: Trace, script: Script, digits: int = SHORT) -> tuple[str, str] | None:
    """The whole chain as one product of slopes, in signs and in numbers, if it is one."""
    local = [r for r in trace.rows if not r.total]
    totals = [r for r in trace.rows if r.total]
    if not trace.chain or len(local) < 2 or any(len(r.addends) > 1 for r in totals):
        return None
    writer = _Writer(script, digits)
    signs = script.times.join(script.ratio(r.step, r.of, True) for r in local)
    return signs, script.times.join(writer.number(r.value, signed=True) for r in local)


def shaped(value: Any, script: Script) -> str:
    """An array by its shape and the range of its numbers; small ones in full."""
    array = np.asarray(value)
    if array.size <= MOST_ELEMENTS:
        return script.value(value)
    tex = isinstance(script.style, Latex)
    show = latex_value if tex else text_value
    low, high = array.min(), array.max()
    if low == high:
        words = f"all {show(low, 3)}"
    elif np.isin(array, (0, low or high)).all():
        other = low or high
        words = f"{show(other, 3)} at {np.count_nonzero(array):,} of {array.size:,}, else 0"
    else:
        dots = r" \dots " if tex else " … "
        ends = f"{show(low, 3)}{dots}{show(high, 3)}"
        return rf"{script.value(array)}\;{ends}" if tex else f"{script.value(array)}  {ends}"
    return rf"{script.value(array)}\;\text{{{words}}}" if tex else f"{script.value(array)}  {words}"


class _Writer:
    """Writes rows in one script."""

    def __init__(self, script: Script, digits: int) -> None:
        self.script, self.digits = script, digits
        self.tex = isinstance(script.style, Latex)
        self.show = latex_value if self.tex else text_value
        self.told: dict[str, Any] = {}

    def cells(self, row: TraceRow, trace: Trace) -> Cells:
        script = self.script
        symbol = script.ratio(row.step, row.of, True)
        if row.held:
            symbol = script.held(symbol, row.held)
        expression = self._sum(row, trace) if row.total else self._local(row)
        values = self._products(row, trace) if row.total else self._put_in(row)
        return Cells(symbol, expression, values, self._result(row))

    def number(self, value: Any, signed: bool = False, digits: int | None = None) -> str:
        """A number; a negative one in parentheses where it is a factor."""
        shown = self.show(value, digits or self.digits)
        negative = signed and shown.startswith(("−", "-"))
        return self.script.style.wrap(shown) if negative else shown

    def _result(self, row: TraceRow) -> str:
        if row.value is None:
            return ""
        return self.show(row.value) if not np.ndim(row.value) else shaped(row.value, self.script)

    # --------------------------------------------------------------------------- local derivatives

    def _local(self, row: TraceRow) -> str:
        parts = []
        if row.function is not None:
            (plain, tex), of = row.function
            sign = f"{tex}'" if self.tex else f"{plain}′"
            parts.append(f"{sign}({self.script.name(of)})")
        constant = not isinstance(row.expression, Node)
        if row.expression is not None and not (parts and (constant or self._branches(row))):
            written = piece(row.expression, self.script.style)
            total = self._sigma(row.summed)
            parts.append(total + (self.script.style.wrap(written.s)
                                  if total and written.binds <= SUM else written.s))  # fmt: skip
        if not parts:
            words = row.structure or "…"
            return rf"\text{{{words}}}" if self.tex else words
        return " = ".join(parts)

    def _branches(self, row: TraceRow) -> bool:
        from chainrule.graph.node import ancestors

        pieces = ("where", "greater", "less", "greater_equal", "less_equal")
        return any(n.op is not None and n.op.name in pieces for n in ancestors([row.expression]))

    def _put_in(self, row: TraceRow) -> str:
        """The expression with its numbers; what decides between branches; where letters run."""
        if row.numbers is None:
            if row.expression is None:
                return self._picked(row)
            return self._ranges(_news(row.letters, self.told))
        if row.conditions:
            return ", ".join(self._condition(c, row.numbers) for c in row.conditions)
        expression = row.expression
        if not isinstance(expression, Node) or expression.op is None or row.summed:
            return ""
        full = self._with_numbers(expression, row.numbers, self.digits)
        if len(full) <= _LONG or self.digits <= SHORT or self.tex:
            return full
        return self._with_numbers(expression, row.numbers, SHORT)

    def _picked(self, row: TraceRow) -> str:
        """Of a derivative without a short form, how large it is."""
        if row.shapes is None or row.value is not None:
            return ""
        words = " by ".join("×".join(map(str, s)) or "1" for s in row.shapes)
        return rf"\text{{{words}}}" if self.tex else words

    def _with_numbers(self, expression: Any, numbers: Mapping[str, Any], digits: int) -> str:
        graph = Graph()
        inputs = {n: graph.input(self.number(v, True, digits)) for n, v in numbers.items()}
        (made,) = evaluate([expression], inputs, graph)
        return piece(made, _AsTyped(self.script.style)).s

    def _condition(self, condition: Any, numbers: Mapping[str, Any]) -> str:
        left, right = (
            piece(side, self.script.style).s for side in (condition.left, condition.right)
        )
        shown = [
            self.number(numbers[side.name], digits=SHORT) if isinstance(side, Node)
            and side.op is None and side.name in numbers
            else self._with_numbers(side, numbers, SHORT) if isinstance(side, Node) else text
            for side, text in ((condition.left, left), (condition.right, right))
        ]  # fmt: skip
        return f"{left} = {shown[0]} {condition.sign} {shown[1]}"

    def _ranges(self, letters: Mapping[str, tuple[int, int]] | None) -> str:
        dots = r" \dots " if self.tex else "…"
        return ", ".join(
            f"{c} = {first}{dots}{behind - 1}" for c, (first, behind) in (letters or {}).items()
        )

    # --------------------------------------------------------------------------------------- sums

    def _sigma(self, letters: Sequence[str]) -> str:
        if not letters:
            return ""
        if self.tex:
            return rf"\sum_{{{','.join(letters)}}} "
        return "Σ" + "".join(letters).translate(_BELOW) + " "

    def _sum(self, row: TraceRow, trace: Trace) -> str:
        return self._shortened([self._addend(a, trace) for a in row.addends])

    def _shortened(self, parts: Sequence[str]) -> str:
        """A sum; of many parts the first and the last."""
        hidden = len(parts) - MOST_ADDENDS
        if hidden < 2:
            return self.script.plus.join(parts)
        more = rf"\text{{{hidden:,} more}}" if self.tex else f"{hidden:,} more"
        return self.script.plus.join([*parts[: MOST_ADDENDS - 1], more, parts[-1]])

    def _addend(self, addend: Addend, trace: Trace) -> str:
        script = self.script
        local = script.ratio(addend.step, addend.of, True)
        if addend.held:
            local = script.held(local, addend.held)
        if addend.step == trace.result:
            return local
        above = script.ratio(trace.result, addend.step, True)
        return f"{self._sigma(addend.summed)}{above}{script.times}{local}"

    def _products(self, row: TraceRow, trace: Trace) -> str:
        """Numbers multiplied and added, or how many terms there are and the largest of them."""
        script = self.script
        numeric = [
            np.ndim(a.adjoint) == 0 and a.slope is not None and np.ndim(a.slope) == 0
            for a in row.addends
        ]
        if all(numeric):
            return self._shortened([
                self.number(a.slope, len(row.addends) > 1) if a.step == trace.result
                else f"{self.number(a.adjoint, True)}{script.times}{self.number(a.slope, True)}"
                for a in row.addends
            ])  # fmt: skip
        if row.largest:
            return self._terms(row)
        if not np.ndim(row.value) and len(row.addends) > 1:
            return self._shortened([self.number(a.value, True) for a in row.addends])
        return self._each(row)

    def _terms(self, row: TraceRow) -> str:
        dot = r" \cdot " if self.tex else "·"
        digits = 4 if row.terms > len(row.largest) else SHORT
        shown = self.script.plus.join(
            f"{self.number(t.adjoint, True, digits)}{dot}{self.number(t.slope, True, digits)}"
            for t in row.largest
        )
        rest = row.terms - len(row.largest)
        if rest <= 0:
            return shown
        more = f"{rest:,} more"
        more = rf"\text{{{more}}}" if self.tex else more
        return f"{shown}{self.script.plus}{more}"

    def _each(self, row: TraceRow) -> str:
        """Of an array: how many products go into each of its numbers."""
        counts = []
        for addend in row.addends:
            count = 1
            for letter in addend.summed:
                first, behind = (row.letters or {}).get(letter, (0, 1))
                count *= behind - first
            counts.append(count)
        total = sum(counts)
        if total < 2 or not any(a.summed for a in row.addends):
            return ""
        words = f"{total:,} terms each"
        return rf"\text{{{words}}}" if self.tex else words


class _AsTyped:
    """A style in which names are printed as they are: here they are numbers."""

    def __init__(self, style: Any) -> None:
        self._style = style

    def __getattr__(self, name: str) -> Any:
        return getattr(self._style, name)

    def name(self, name: str) -> str:
        """The name."""
        return name
