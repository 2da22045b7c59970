"""Diagnoses in print: why one gradient is what it is, and all gradients of a model as bars."""

from __future__ import annotations

import dataclasses
import io
import math
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any

from chainrule.diagnosis.diagnose import Diagnosis
from chainrule.diagnosis.why import GainStep, GradientReport, Verdict
from chainrule.notation.numbers import text_value

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

MARKS = {
    Verdict.HEALTHY: ("✓", "green"),
    Verdict.VANISHING: ("✗", "bold red"),
    Verdict.EXPLODING: ("✗", "bold red"),
    Verdict.ZERO: ("✗", "bold red"),
    Verdict.NOT_FINITE: ("!", "bold yellow"),
}
# Longer walks show so many steps at either end, and so many of those between that count most.
AT_EACH_END, BETWEEN = 3, 8
_BAR = 20
_PARTS_SHOWN = 3
_BLOCKS = " ▏▎▍▌▋▊▉"


def as_text(page: RenderableType, width: int = 100) -> str:
    """A page as a string of lines at most ``width`` columns wide."""
    from rich.console import Console

    out = io.StringIO()
    console = Console(
        file=out, width=width, no_color=True, legacy_windows=False, color_system=None, markup=False,
        emoji=False, highlight=False,
    )  # fmt: skip
    console.print(page)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def data(value: Any) -> Any:
    """A report as numbers, strings, lists and dicts that JSON can hold.

    JSON has no infinities: ``"inf"``, ``"-inf"`` and ``"nan"`` stand for them.
    """
    if isinstance(value, Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        found = {f.name: data(getattr(value, f.name)) for f in dataclasses.fields(value)}
        if isinstance(value, GainStep):
            found["gain"] = data(value.gain)
        return found
    if isinstance(value, Mapping):
        return {k: data(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [data(v) for v in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


# ------------------------------------------------------------------------------- one gradient


def report_page(report: GradientReport) -> RenderableType:
    """Why one gradient is what it is, as one renderable."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.text import Text

    rows: list[RenderableType] = [
        Text.assemble(
            "  ",
            (f"{report.function}", "bold"),
            (f" = {_number(report.loss)}", "cyan"),
            "    the gradient of ",
            (report.parameter, "bold cyan"),
            f" ({_kind(report)}) has the norm ",
            (_number(report.norm), "bold"),
        ),
        *_verdict_rows(report),
    ]
    if report.steps:
        rows += [Text(), Text("  From the loss back, in decades (powers of ten)", "dim italic")]
        rows.append(Padding(_budget_table(report), (0, 0, 0, 1)))
    return Group(*rows)


def _kind(report: GradientReport) -> str:
    shape = "×".join(map(str, report.shape)) or "a number"
    return f"{shape}, {report.dtype}"


def _verdict_rows(report: GradientReport) -> Iterator[RenderableType]:
    from rich.table import Table
    from rich.text import Text

    mark, style = MARKS[report.verdict]
    grid = Table.grid(padding=(0, 1))
    grid.add_row(Text(f"  {mark}", style), Text(verdict_sentence(report), style))
    if report.source:
        grid.add_row("", Text(f"{report.line}:  {report.source}", "dim"))
    yield grid


def verdict_sentence(report: GradientReport) -> str:
    """The verdict, the cause and where it is, in one sentence."""
    if report.healthy:
        return "healthy: no gradient vanishes or explodes on the way"
    if report.cause is None:
        return f"{report.verdict.value}: {report.says}"
    place = report.step
    if report.line:
        place = f"{place} ({report.line})" if place else report.line
    at = f" at {place}" if place else ""
    kind = f"{report.verdict.value} ({report.cause.value})"
    if report.decades is None or report.norm == 0:
        return f"{kind}{at}: {report.says}"
    total = math.log10(report.norm)
    verb = "lost" if total < 0 else "gained"
    many = f"{abs(report.decades):.1f} decades are {verb}"
    if abs(report.decades) <= abs(total) + 0.05:  # else other parts work against it
        many = f"{abs(report.decades):.1f} of the {abs(total):.1f} decades are {verb}"
    return f"{kind}: {many}{at}: {report.says}"


def _budget_table(report: GradientReport) -> RenderableType:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    table.add_column("through", style="cyan", overflow="fold", max_width=34)
    table.add_column("line", style="dim", no_wrap=True)
    table.add_column("gain", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("by", min_width=16)
    sizes = [_size(s.size_in) for s in report.steps]
    table.add_column("after", justify="right", min_width=max(map(len, [*sizes, "after"])))
    largest = max((abs(s.gain) for s in report.steps if math.isfinite(s.gain)), default=0.0)
    for step in shortened(report.steps):
        if isinstance(step, tuple):
            count, gain = step
            table.add_row(f"⋮ {count:,} more", "", _decades(gain), "", "", "")
            continue
        table.add_row(
            step.name, step.line, _decades(step.gain), _signed_bar(step.gain, largest), _by(step),
            _size(step.size_in),
        )  # fmt: skip
        for branch in step.branches:
            many = f" ×{branch.count}" if branch.count > 1 else ""
            share = "" if branch.share is None else _percent(branch.share)
            table.add_row(f"  · {branch.through}{many}", branch.line, share, "", "", "")
    table.add_row(report.parameter, "", "", "", "", "")
    return table


def shortened(steps: tuple[GainStep, ...]) -> Iterator[GainStep | tuple[int, float]]:
    """The steps at both ends and those that count most; the others as their number and gain."""
    count = len(steps)
    ranked = sorted(
        (i for i in range(count) if math.isfinite(steps[i].gain)),
        key=lambda i: -abs(steps[i].gain),
    )
    shown = {*range(AT_EACH_END), *range(count - AT_EACH_END, count), *ranked[:BETWEEN]}
    if count <= 2 * AT_EACH_END + BETWEEN:
        shown = set(range(count))
    skipped: list[GainStep] = []
    for i, step in enumerate(steps):
        if i not in shown:
            skipped.append(step)
            continue
        if skipped:
            yield len(skipped), sum(s.gain for s in skipped)
            skipped = []
        yield step


def _by(step: GainStep) -> str:
    """The parts of a gain, largest first, without those that round to nothing."""
    parts = sorted(step.parts.items(), key=lambda p: -abs(p[1]))
    shown = [f"{name} {_decades(x)}" for name, x in parts if abs(x) >= 0.05]
    return ", ".join(shown[:_PARTS_SHOWN])


def _decades(x: float) -> str:
    if math.isnan(x):
        return ""
    if math.isinf(x):
        return "→ 0"
    rounded = f"{abs(x):.1f}"
    return rounded if rounded == "0.0" else f"{'−' if x < 0 else '+'}{rounded}"


def _percent(share: float) -> str:
    percent = 100 * share
    if abs(percent) < 1:
        return "0 %" if percent == 0 else "< 1 %"
    return f"{percent:.0f} %".replace("-", "−")


def _size(log: float) -> str:
    return "0" if log == -math.inf else "" if math.isnan(log) else _number(10.0**log)


def _number(x: float) -> str:
    return text_value(x, 2).replace("nan", "NaN")


def _signed_bar(x: float, largest: float) -> Text:
    from rich.text import Text

    if not math.isfinite(x) or largest == 0:
        return Text("")
    return Text(_bar(abs(x) / max(largest, 1.0), 8), "red" if x < 0 else "green")


def _bar(share: float, width: int) -> str:
    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    full, rest = divmod(eighths, 8)
    return "█" * full + (_BLOCKS[rest] if rest else "")


# ------------------------------------------------------------------------------- all gradients


def diagnosis_page(found: Diagnosis) -> RenderableType:
    """All gradients of a model as bars on a logarithmic scale, worst first."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    mark, style = MARKS[Verdict.HEALTHY if found.healthy else Verdict.VANISHING]
    rows: list[RenderableType] = [
        Text.assemble(
            "  ", (found.function, "bold"), (f" = {_number(found.loss)}", "cyan"),
            f"    the gradients of {len(found.gradients):,} arrays",
        ),
        Text(f"  {mark} {diagnosis_sentence(found)}", style),
    ]  # fmt: skip
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=True)
    table.add_column("", no_wrap=True)
    table.add_column("array", style="cyan", overflow="fold")
    table.add_column("norm", justify="right", no_wrap=True)
    table.add_column(_axis(found), no_wrap=True)
    table.add_column("", overflow="fold", ratio=1)
    before: tuple[str, ...] = ()
    for one in found.gradients:
        mark, style = MARKS[one.verdict]
        reason = (one.cause or "", one.step, one.line)
        repeated = bool(one.cause) and reason == before
        before = reason
        table.add_row(
            Text(mark, style), one.parameter, _number(one.norm),
            Text(_log_bar(one, *_range(found)), style.removeprefix("bold ")),
            Text("as above", "dim") if repeated else _why(one),
        )  # fmt: skip
    rows.append(table)
    if sick := [a for a in found.activations if not a.healthy]:
        rows += [Text(f"  ✗ {_activation(a)}", "bold red") for a in sick]
    return Group(*rows)


def diagnosis_sentence(found: Diagnosis) -> str:
    """How many gradients are sick, in a sentence."""
    if found.healthy:
        return "nothing wrong"
    sick = [g for g in found.gradients if not g.healthy]
    if not sick:
        return "the gradients are healthy, but not the activations"
    kinds = {v: sum(g.verdict is v for g in sick) for v in Verdict}
    listed = ", ".join(f"{n} {v.value}" for v, n in kinds.items() if n)
    return f"{len(sick)} of {len(found.gradients)} gradients are sick: {listed}"


def _activation(activation: Any) -> str:
    line = f" ({activation.line})" if activation.line else ""
    if activation.dead >= 0.5 * activation.units:
        return (
            f"{activation.name}{line}: {activation.dead:,} of {activation.units:,} units are dead "
            "for the whole batch"
        )
    share = 100 * activation.saturated
    return f"{activation.name}{line}: {share:.0f} % of the values are saturated"


def _why(one: GradientReport) -> str:
    if one.healthy:
        return "" if one.zeros < 0.5 else f"{100 * one.zeros:.0f} % of the elements are 0"
    cause = one.verdict.value if one.cause is None else one.cause.value
    place = f"{one.step} ({one.line})" if one.step and one.line else one.step or one.line
    return f"{cause}, {place}: {one.says}" if place else f"{cause}: {one.says}"


def _range(found: Diagnosis) -> tuple[int, int]:
    """The decades that the bars cover: at least from 10⁻⁴ to 1."""
    logs = [math.log10(g.norm) for g in found.gradients if 0 < g.norm < math.inf]
    return min(-4, math.floor(min(logs, default=0)) - 1), max(0, math.ceil(max(logs, default=0)))


def _log_bar(one: GradientReport, low: int, high: int) -> str:
    if not 0 < one.norm < math.inf:
        return "" if one.norm == 0 else "?"
    return _bar((math.log10(one.norm) - low) / (high - low), _BAR)


def _axis(found: Diagnosis) -> str:
    low, high = _range(found)
    left, right = text_value(10.0**low, 1), text_value(10.0**high, 1)
    return left + " " * max(_BAR - len(left) - len(right), 1) + right


# ------------------------------------------------------------------------------------ Markdown


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |"


def report_markdown(report: GradientReport) -> str:
    """Why one gradient is what it is, in Markdown."""
    mark, _ = MARKS[report.verdict]
    head = (
        f"`{report.function}` = {_number(report.loss)}; the gradient of `{report.parameter}` "
        f"({_kind(report)}) has the norm {_number(report.norm)}."
    )
    lines = [head, "", f"{mark} {verdict_sentence(report)}"]
    if report.steps:
        lines += ["", _row(["through", "to", "line", "gain", "by", "size"])]
        lines.append("| --- | --- | --- | --: | --- | --: |")
        for step in shortened(report.steps):
            if isinstance(step, tuple):
                lines.append(_row(["⋮", f"{step[0]:,} more", "", _decades(step[1]), "", ""]))
            else:
                cells = [f"`{step.name}`", f"`{step.of}`", step.line, _decades(step.gain)]
                lines.append(_row([*cells, _by(step), _size(step.size_in)]))
    return "\n".join(lines)


def diagnosis_markdown(found: Diagnosis) -> str:
    """All gradients of a model, in Markdown."""
    mark = "✓" if found.healthy else "✗"
    lines = [
        f"`{found.function}` = {_number(found.loss)}",
        "",
        f"{mark} {diagnosis_sentence(found)}",
    ]
    lines += ["", _row(["array", "norm", "verdict", "why"]), "| --- | --: | --- | --- |"]
    for one in found.gradients:
        lines.append(_row([f"`{one.parameter}`", _number(one.norm), one.verdict.value, _why(one)]))
    for activation in found.activations:
        if not activation.healthy:
            lines += ["", f"✗ {_activation(activation)}"]
    return "\n".join(lines)
