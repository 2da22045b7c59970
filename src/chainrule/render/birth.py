"""Where a bad number was born, in print: a page for a terminal, plain text, Markdown, data."""

from __future__ import annotations

import dataclasses
import math
import os
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.diagnosis.pairs import shown
from chainrule.diagnosis.report import BadResult, BadValues, Birth, Fix, Proof, code_at
from chainrule.sources.names import Place

if TYPE_CHECKING:
    from rich.console import RenderableType

_WHEN = {
    "forward": "in the value",
    "backward": "on the way back",
    "tangent": "in the derivative, carried forward",
}
# A line of a section: how it is set, and the text.
Line = tuple[str, str]


def text(report: BadValues, width: int = 80) -> str:
    """The report as lines of at most ``width`` columns, where the code has no longer ones."""
    lines = ["\n".join(_wrapped(_title(report), width, "  ", "  ")), ""]
    for label, section in _sections(report):
        for n, (kind, line) in enumerate(section):
            indent = f"  {label if n == 0 else '':<7} "
            further = " " * len(indent)
            if kind == "code":
                lines.append(f"{indent}  {line}")
            else:
                lines += _wrapped(line, width, indent, further)
        lines.append("")
    mark, says = _verdict(report)
    lines += _wrapped(says, width, f"  {mark} ", "    ")
    return "\n".join(line.rstrip() for line in lines)


def _wrapped(line: str, width: int, first: str, further: str) -> list[str]:
    return textwrap.wrap(
        line, max(width, 40), initial_indent=first, subsequent_indent=further,
        break_on_hyphens=False, break_long_words=False,
    ) or [first]  # fmt: skip


def page(report: BadValues) -> RenderableType:
    """The report set for a terminal with colours."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    styles = {"head": "bold", "code": "cyan", "write": "bold green", "says": "", "items": "dim"}
    parts: list[Any] = [Text(f"  {_title(report)}", style="bold"), Text()]
    for label, section in _sections(report):
        grid = Table.grid(padding=(0, 1))
        grid.add_column(width=9, style="dim")
        grid.add_column(overflow="fold")
        for n, (kind, line) in enumerate(section):
            shift = "  " if kind == "code" else ""
            grid.add_row(f"  {label}" if n == 0 else "", Text(shift + line, style=styles[kind]))
        parts += [grid, Text()]
    mark, says = _verdict(report)
    style = "green" if mark == "✓" else "bold red" if mark == "✗" else "bold yellow"
    grid = Table.grid(padding=(0, 1))
    grid.add_row(Text(f"  {mark}", style=style), Text(says, style=style))
    return Group(*parts, grid)


def markdown(report: BadValues) -> str:
    """The report as Markdown."""
    lines = [f"**{_title(report)}**", ""]
    for label, section in _sections(report):
        for n, (kind, line) in enumerate(section):
            body = f"`{line}`" if kind in ("code", "write") else line
            lines.append(f"- **{label}**: {body}" if n == 0 else f"  {body}  ")
    mark, says = _verdict(report)
    return "\n".join([*lines, "", f"{mark} {says}"])


def data(report: Any) -> Any:
    """The report as numbers, strings, lists and dicts that JSON can hold.

    JSON has no infinities: ``"inf"``, ``"-inf"`` and ``"nan"`` stand for them.
    """
    if dataclasses.is_dataclass(report) and not isinstance(report, type):
        return {f.name: data(getattr(report, f.name)) for f in dataclasses.fields(report)}
    if isinstance(report, list | tuple):
        return [data(v) for v in report]
    if isinstance(report, np.ndarray | np.generic):
        return data(report.tolist())
    return str(report) if isinstance(report, float) and not math.isfinite(report) else report


# -------------------------------------------------------------------------------------- sentences


def _title(report: BadValues) -> str:
    if report.finite:
        return f"{report.function}: every value and every derivative is finite"
    named = [_result(r) for r in report.results[:3]]
    more = len(report.results) - len(named)
    return f"{report.function}: {'; '.join(named)}" + (f"; and {more} more" if more else "")


def _result(result: BadResult) -> str:
    what = {
        "value": "the value" if result.name == "result" else f"the value {result.name}",
        "gradient": f"the gradient of {result.name}",
        "tangent": "the derivative" if result.name == "result" else f"∂{result.name}",
    }[result.kind]
    said = f"{what} is {shown(result.value)}"
    if not result.index:
        return said
    return f"{said} at {_at(result.index)}" + _count(result.count, result.size)


def _at(index: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, index))}]"


def _count(count: int, size: int) -> str:
    return "" if size == 1 else f" ({count:,} of {size:,} elements)"


def _where(place: Place) -> str:
    if place.line is None:
        return ""
    file = os.path.basename(place.file or "")
    return f"{file}:{place.line}" if file else f"line {place.line}"


def _sections(report: BadValues) -> Iterator[tuple[str, list[Line]]]:
    """The parts of a report: a label and lines."""
    if report.birth is not None:
        yield "born", _birth(report.birth)
    for origin in report.origins:
        yield "as", _birth(origin)
    for after in report.later:
        yield "then", _birth(after)
    for hider in report.hidden_by:
        yield "hidden", _placed(f"by {hider.operation}", hider.place, [("says", hider.says)])
    for fix in report.fixes:
        yield "fix", _fix(fix)


def _birth(birth: Birth) -> list[Line]:
    size = int(np.prod(birth.shape, dtype=int))
    at = f" at {_at(birth.index)}{_count(birth.count, size)}" if birth.index else ""
    if birth.when == "argument":
        return [("head", f"{shown(birth.value)} came in with {_argument(birth.operation)}{at}")]
    if birth.when == "constant":
        return _placed(f"{shown(birth.value)} came in with a constant", birth.place, [])
    equals = f"{birth.pair} = {shown(birth.value)}{at}"
    lines: list[Line] = [("says", f"{_WHEN[birth.when]}, {equals}: {birth.because}")]
    items = [f"{i.label} = {shown(i.value)}" for i in birth.items if i.label != "constant"]
    if items:
        lines.append(("items", ", ".join(items)))
    named = birth.pair.startswith((f"{birth.operation}(", f"{birth.operation} of"))
    head = birth.pair if named else f"{birth.pair} at {birth.operation}"
    return _placed(head, birth.place, lines)


def _argument(name: str) -> str:
    return name if name.startswith("the ") else f"argument {name}"


def _placed(head: str, place: Place, lines: list[Line]) -> list[Line]:
    """A heading with its place, the line of code, and what is said of it."""
    where = _where(place)
    inside = f" in {place.function.rsplit('.', 1)[-1]}" if place.function else ""
    inside = "" if "<lambda>" in inside else inside
    found: list[Line] = [("head", f"{head}, {where}{inside}" if where else head)]
    code = code_at(place)
    if code:
        found.append(("code", code))
    return [*found, *lines]


def _fix(fix: Fix) -> list[Line]:
    where = _where(fix.place)
    lines: list[Line] = [("write", f"{where}: write" if where else "write")] if (
        fix.instead_of) else []  # fmt: skip
    if fix.instead_of:
        lines += [("code", fix.write), ("says", "in place of"), ("code", fix.instead_of)]
    else:
        lines.append(("write", f"{where}: {fix.write}" if where else fix.write))
    return [*lines, ("says", fix.because)]


def _verdict(report: BadValues) -> tuple[str, str]:
    if report.finite:
        return "✓", report.note or "nothing to mend"
    if report.proof is None:
        return "!", report.note or "no change was found that makes everything finite"
    fixes = "this fix" if len(report.fixes) == 1 else f"these {len(report.fixes)} fixes together"
    mark = "✓" if report.proof.finite else "✗"
    return mark, f"run again with {fixes}: {_proof(report.proof)}"


def _proof(proof: Proof) -> str:
    said = []
    shown_values = [v for _, _, v in proof.values]
    before = [v for _, v, _ in proof.values]
    was_finite = all(bool(np.all(np.isfinite(v))) for v in before)
    if len(shown_values) == 1 and np.ndim(shown_values[0]) == 0:
        said.append(f"the value is {shown(shown_values[0])}")
    else:
        said.append("the values are finite")
    if not was_finite:
        old = before[0]
        if len(before) == 1 and np.ndim(old) == 0:
            said[0] += f" (it was {shown(old)})"
    elif proof.unchanged:
        said[0] += ", unchanged" if len(said[0]) < 40 else " and unchanged"
    else:
        said[0] += f", which differs by {shown(proof.difference)}"
    for name, value in proof.derivatives[:2]:
        if np.size(value) <= 4:
            flat = ", ".join(map(shown, np.ravel(value)))
            written = flat if np.ndim(value) == 0 else f"[{flat}]"
            said.append(f"the derivative of {name} is {written}")
    rest = len(proof.derivatives) - (len(said) - 1)
    if rest > 0:
        said.append("every derivative is finite" if len(said) == 1 else "all others are finite")
    return "; ".join(said)
