"""The ledger of paths as terminal text, Markdown, LaTeX and JSON."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from chainrule.explanations.entries import TooManyEntriesError
from chainrule.explanations.explanation import Explanation
from chainrule.explanations.ledger import Ledger
from chainrule.explanations.solution import Derivative, Path
from chainrule.notation.expression import text
from chainrule.notation.names import text_name
from chainrule.notation.numbers import text_count, text_value
from chainrule.render.data import counted, number, path_data
from chainrule.render.phrases import PLAIN, PLAIN_CODE, TEX, Script

MAX_CELL = 600
# Of longer paths only the steps are shown in which the listed ones differ.
LONGEST_WRITTEN = 14
_NUMBER = 6  # digits of a factor among many


def shown(explanation: Explanation, derivative: Derivative) -> Ledger | str | None:
    """The ledger that belongs on a page, or why it is not there; ``None`` if nobody asked for it.

    Several paths are worth showing without being asked, as long as that costs next to nothing.
    """
    routes, asked = derivative.routes, explanation.show_paths
    if routes is None or not (asked or routes.small()):
        return None
    try:
        if not asked and routes.count < 2:
            return None
        return routes.ledger(None if isinstance(asked, bool) else asked)
    except TooManyEntriesError as error:
        return str(error) if asked else None


def listed(explanation: Explanation, derivative: Derivative) -> Ledger | None:
    """The ledger that belongs in the data, with a single path too."""
    routes, asked = derivative.routes, explanation.show_paths
    if routes is None or not (asked or routes.small()):
        return None
    try:
        return routes.ledger(None if isinstance(asked, bool) else asked)
    except TooManyEntriesError:
        return None


def as_dict(ledger: Ledger) -> dict[str, Any]:
    """The ledger for JSON: ``docs/json.md`` documents the layout."""
    return {**totals(ledger), "paths": [path_data(p) for p in ledger]}


def totals(ledger: Ledger) -> dict[str, Any]:
    """What a ledger says of all its paths together."""
    return {
        "result": text_name(ledger.result),
        "variable": text_name(ledger.variable),
        "count": counted(ledger.count),
        "blocked": counted(ledger.blocked),
        "operations": counted(ledger.operations or ledger.count),
        "total": number(ledger.total),
        "magnitude": number(ledger.magnitude),
        "cancellation": number(ledger.cancellation),
        "remainder": {
            "value": number(ledger.remainder),
            "share": number(ledger.remainder_share),
            "count": counted(ledger.remainder_count),
        },
    }


def as_text(ledger: Ledger, width: int = 100, color: bool = False) -> str:
    """The ledger as a string of lines at most ``width`` columns wide."""
    from chainrule.render.terminal import printed

    return printed(Group(*section(ledger, True, script_for(ledger))), width, color).rstrip()


def script_for(ledger: Ledger) -> Script:
    """Elements of arrays are written as in the author's code, numbers as in a formula."""
    names = (ledger.variable, *(ledger.listed[0].names if len(ledger) else ()))
    return PLAIN_CODE if any("[" in name for name in names) else PLAIN


def heading(ledger: Ledger, script: Script) -> str:
    """How many paths there are, and which are listed."""
    words = "1 path" if ledger.count == 1 else f"{text_count(ledger.count)} paths"
    listed = len(ledger)
    words += f" from {script.name(ledger.result)} to {script.name(ledger.variable)}"
    if 0 < listed < ledger.count:
        valued = ledger.listed[0].product is not None
        many = f"{listed} " if listed > 1 else ""
        words += f", the {many}{'largest' if valued else 'first'} shown"
    return words


def section(ledger: Ledger, asked: bool, script: Script = PLAIN) -> Iterator[RenderableType]:
    """The ledger as a part of a page."""
    yield Text(f"  {heading(ledger, script)}", style="dim italic")
    if len(ledger):
        yield Padding(_table(ledger, script), (0, 0, 0, 1))
    found = remarks(ledger, PLAIN, asked)
    for remark in found:
        yield Padding(Text(remark, style="dim"), (0, 0, 0, 2))
    if found or not len(ledger):  # a table ends with an empty line
        yield Text()


def remarks(ledger: Ledger, script: Script, asked: bool) -> list[str]:
    """What else is worth knowing of the paths together."""
    found = []
    if ledger.cancellation is not None and ledger.cancellation > 1 + 1e-9:
        index, size, total = (
            script.value(v) for v in (ledger.cancellation, ledger.magnitude, ledger.total)
        )
        found.append(f"paths cancel: Σ|p|/|Σp| = {index}, with Σ|p| = {size} and Σp = {total}")
    if ledger.blocked:
        many = f"{text_count(ledger.blocked)} {'path' if ledger.blocked == 1 else 'paths'}"
        found.append(f"nothing passes on {many}, through what is off or a branch that is not taken")
    if asked and ledger.example is not None:
        name = PLAIN_CODE.name(ledger.example)
        found.append(f"paths over whole arrays have no products: ask for an element, {name}")
    if asked and ledger.operations:
        found.append(
            f"over single operations there are {text_count(ledger.operations)} paths: steps that "
            "combine several of them have one derivative"
        )
    return found


def _table(ledger: Ledger, script: Script) -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", border_style="dim", padding=(0, 1))
    symbolic = _symbolic(ledger)
    numeric = any(p.product is not None for p in ledger)
    table.add_column("path", style="cyan", overflow="fold")
    table.add_column("factors", overflow="fold")
    if symbolic:
        table.add_column("product", overflow="fold")
    if numeric:
        table.add_column("value" if symbolic else "product", justify="right", no_wrap=True)
        table.add_column("share", justify="right", no_wrap=True)
    blank = ["", ""] if symbolic else [""]
    for names, factors, path in rows(ledger, script):
        cells = [names[:MAX_CELL], factors[:MAX_CELL]]
        if symbolic:
            cells.append("" if path.expression is None else text(path.expression)[:MAX_CELL])
        if numeric:
            cells += [_value(path.product, PLAIN), percent(path.share)]
        table.add_row(*cells)
    if numeric:
        for i, (words, value, part) in enumerate(sums(ledger)):
            if not i:
                table.add_section()
            table.add_row(words, *blank, _value(value, PLAIN), percent(part))
    return table


def _symbolic(ledger: Ledger) -> bool:
    """Whether products have expressions that a person may want to read."""
    return any(
        p.expression is not None and len(p.names) <= LONGEST_WRITTEN for p in ledger.listed[:1]
    )


def rows(ledger: Ledger, script: Script) -> Iterator[tuple[str, str, Path]]:
    """Each listed path with its names and its factors in print."""
    common = _common([p.names for p in ledger])
    for path in ledger:
        yield _names(path.names, common, script), _factors(path, script), path


def _common(names: Sequence[Sequence[str]]) -> set[str]:
    """What all listed paths go through, where these are too long to be written out."""
    if len(names) < 2 or max(map(len, names)) <= LONGEST_WRITTEN:
        return set()
    return set.intersection(*map(set, names))


def _names(names: Sequence[str], common: Collection[str], script: Script) -> str:
    arrow = r" \leftarrow " if script is TEX else " ← "
    gap = r"\cdots" if script is TEX else "…"
    cut = len(names) > LONGEST_WRITTEN
    shown: list[str] = []
    for i, name in enumerate(names):
        inner = 0 < i < len(names) - 1
        if inner and (name in common or (cut and not common and 6 < i < len(names) - 6)):
            if shown[-1] != gap:
                shown.append(gap)
        else:
            shown.append(script.name(name))
    return arrow.join(shown)


def _factors(path: Path, script: Script) -> str:
    if len(path.names) > LONGEST_WRITTEN:
        return f"{len(path.factors):,} factors"
    alone = len(path.factors) == 1
    return script.times.join(
        script.factor(f.expression, alone) if f.expression is not None
        else (r"\text{off}" if script is TEX else "off") if f.blocked
        else _signed(f.value, script, alone) if f.value is not None
        else script.ratio(f.step, f.of, True)
        for f in path.factors
    )  # fmt: skip


def _signed(value: Any, script: Script, alone: bool) -> str:
    from chainrule.notation.numbers import latex_value

    shown = (latex_value if script is TEX else text_value)(value, _NUMBER)
    return script.style.wrap(shown) if not alone and shown.startswith(("−", "-")) else shown


def _value(value: Any, script: Script) -> str:
    """A product in print; a zero has no sign there."""
    return "" if value is None else script.value(value + 0.0)


def percent(part: float | None) -> str:
    """A share in print."""
    return "" if part is None else f"{text_value(100 * part + 0.0, 4)} %"


def sums(ledger: Ledger) -> Iterator[tuple[str, Any, float | None]]:
    """The lines below the paths: what is listed, what is not, and all of it."""
    if ledger.total is None or (len(ledger) == 1 and not ledger.remainder_count):
        return
    whole = 1.0 if ledger.total and math.isfinite(ledger.total) else None
    if not ledger.remainder_count:
        yield "sum", ledger.total, whole
        return
    together = math.fsum(float(p.product) for p in ledger)
    if len(ledger) > 1:
        known = [p.share for p in ledger]
        part = None if None in known else math.fsum(s for s in known if s is not None)
        yield "these together", together, part
    rest = ledger.remainder_count
    words = "the other path" if rest == 1 else f"the other {text_count(rest)}"
    yield words, ledger.remainder, ledger.remainder_share
    yield "sum of all", ledger.total, whole


def as_markdown(ledger: Ledger) -> str:
    """The ledger as a Markdown table."""
    lines = [heading(ledger, PLAIN), ""]
    if len(ledger):
        lines += ["| path | factors | product | share |", "| --- | --- | ---: | ---: |"]
    for names, factors, path in rows(ledger, TEX):
        value = "" if path.product is None else f"${_value(path.product, TEX)}$"
        factors = f"${factors}$" if len(path.names) <= LONGEST_WRITTEN else factors
        # A bar inside a formula would end the cell.
        cells = [c.replace("|", r"\vert ") for c in (f"${names}$", factors, value)]
        lines.append(f"| {' | '.join([*cells, percent(path.share)])} |")
    lines += [
        f"| {words} | | ${_value(v, TEX)}$ | {percent(part)} |" for words, v, part in sums(ledger)
    ]
    lines += [f"\n{remark}" for remark in remarks(ledger, PLAIN, False)]
    return "\n".join(lines)


def as_latex(ledger: Ledger) -> str:
    """The ledger as an array with a line for each path."""
    body = []
    for names, factors, path in rows(ledger, TEX):
        value = _value(path.product, TEX)
        if len(path.names) > LONGEST_WRITTEN:
            factors = rf"\text{{{factors}}}"
        body.append(f"{names} & {factors} & {value} & {_tex_percent(path.share)}")
    total = [
        rf"\text{{{words}}} & & {_value(v, TEX)} & {_tex_percent(part)}"
        for words, v, part in sums(ledger)
    ]
    if total:
        total[0] = rf"\hline {total[0]}"
    rows_ = " \\\\\n".join([*body, *total])
    return f"\\[\n\\begin{{array}}{{llrr}}\n{rows_}\n\\end{{array}}\n\\]"


def _tex_percent(part: float | None) -> str:
    return percent(part).replace(" %", r"\,\%").replace("−", "-")
