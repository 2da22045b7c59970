"""The matrix form in print: the layers, the δ recursion, the gradients, each local Jacobian."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.explanations.layers.form import Factor, LayerForm, MatrixForm, ParameterForm, Way
from chainrule.notation.expression import piece
from chainrule.notation.numbers import latex_value, text_value
from chainrule.render.phrases import PLAIN, TEX, Script, verdict

# Larger arrays are shown by their shape and norm.
MOST_ELEMENTS = 9
# Vectors and matrices of no more elements than this are shown to ten digits.
_FEW_ELEMENTS = 2, 4


@dataclass(frozen=True, slots=True)
class Row:
    """One line: a symbol, the formulas it equals, its numbers, and what is said of it."""

    symbol: str
    formulas: tuple[str, ...]
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Signs:
    """What text and LaTeX write differently in formulas of matrices."""

    script: Script
    times: str
    hadamard: str
    delta: tuple[str, str]
    prime: str
    join: str
    phi: str

    @property
    def tex(self) -> bool:
        """Whether this is LaTeX."""
        return self.script is TEX

    def name(self, name: str) -> str:
        """A value or parameter."""
        return self.script.name(name)

    def transposed(self, symbol: str) -> str:
        """The transpose of a symbol."""
        return f"{{{symbol}}}^{{\\top}}" if self.tex else f"{symbol}ᵀ"

    def wrapped(self, formula: str) -> str:
        """In parentheses."""
        return self.script.style.wrap(formula)

    def numbered(self, sign: str, number: int) -> str:
        """A sign with the number of a layer."""
        return self.name(f"{sign}{number}") if not self.tex else f"{sign}_{{{number}}}"


TEXT_SIGNS = Signs(PLAIN, " ", " ⊙ ", ("δ", "Δ"), "′", " = ", "φ")
LATEX_SIGNS = Signs(TEX, r"\, ", r" \odot ", (r"\delta", r"\Delta"), "'", " = ", r"\varphi")


def forward_rows(form: MatrixForm, signs: Signs) -> Iterator[Row]:
    """The layers and what lies between them, first to last."""
    for layer in form.layers:
        yield Row(
            signs.name(layer.output), (_affine(layer, signs),), _value(layer.value, signs),
            _shapes(layer, signs),
        )  # fmt: skip
        for way in layer.ways:
            if way.slope.structure != "identity" and way.through and way.last:
                yield Row(signs.name(way.through), (_activation(layer, way, signs),), "")
    written = () if form.loss is None else (_printed(form.loss, signs),)
    yield Row(signs.name(form.result), written, _value(form.value, signs))


def backward_rows(form: MatrixForm, signs: Signs) -> Iterator[Row]:
    """δ of each layer, last to first."""
    for layer in reversed(form.layers):
        symbol = signs.script.ratio(form.result, layer.output, True)
        yield Row(
            _delta(layer, signs), (symbol, *_recursion(form, layer, signs)),
            _value(layer.delta, signs),
        )  # fmt: skip
        for way in layer.ways:
            yield from _slope_rows(layer, way, signs)


def gradient_rows(form: MatrixForm, signs: Signs) -> Iterator[Row]:
    """The gradient of each weight and bias."""
    for parameter in form.parameters:
        yield Row(
            signs.script.ratio(form.result, parameter.name, True),
            (_gradient(form, parameter, signs),),
            _value(parameter.value, signs),
            _said_of(parameter),
        )


def jacobian_rows(form: MatrixForm, signs: Signs) -> Iterator[Row]:
    """The structure of each local Jacobian."""
    for layer in form.layers:
        ratio = signs.script.ratio
        yield Row(ratio(layer.output, layer.weight, True), (_of_weight(layer, signs),), "")
        if layer.bias:
            added = "identity" if not _spread(layer) else "identity, repeated for each example"
            yield Row(ratio(layer.output, layer.bias, True), (_words(added, signs),), "")
        if layer.inner:
            yield Row(ratio(layer.output, layer.signal, True), (_of_signal(layer, signs),), "")
        for way in layer.ways:
            if way.slope.structure != "identity" and way.through:
                yield Row(
                    ratio(way.through, layer.output, True), (_of_slope(layer, way, signs),), ""
                )


# ------------------------------------------------------------------------------------- the parts


def _affine(layer: LayerForm, signs: Signs) -> str:
    weight = signs.name(layer.weight)
    weight = signs.transposed(weight) if layer.layer.transposed else weight
    signal = signs.name(layer.signal)
    pair = (weight, signal) if layer.layer.left else (signal, weight)
    return signs.times.join(pair) + (f" + {signs.name(layer.bias)}" if layer.bias else "")


def _activation(layer: LayerForm, way: Way, signs: Signs) -> str:
    slope = way.slope
    if slope.name is None and slope.definition is not None:
        return _printed(slope.definition, signs)
    return f"{_function(layer, way, signs)}{signs.wrapped(signs.name(layer.output))}"


def _function(layer: LayerForm, way: Way, signs: Signs) -> str:
    if way.slope.name is None:
        return signs.numbered(signs.phi, layer.number)
    return way.slope.name[1 if signs.tex else 0]


def _prime(layer: LayerForm, way: Way, signs: Signs) -> str:
    """The derivative of a function by its name, or of the value if the function has none."""
    if way.slope.name is None and way.through:
        return signs.script.ratio(way.through, layer.output, True)
    function = _function(layer, way, signs)
    return f"{function}{signs.prime}{signs.wrapped(signs.name(layer.output))}"


def _delta(layer: LayerForm, signs: Signs) -> str:
    return signs.numbered(signs.delta[1 if layer.batched else 0], layer.number)


def _factor(layer: LayerForm, factor: Factor, signs: Signs) -> str:
    symbol = {
        "weight": signs.name(layer.weight),
        "signal": signs.name(layer.signal),
        "delta": _delta(layer, signs),
    }[factor.part]
    return signs.transposed(symbol) if factor.transposed else symbol


def _pair(layer: LayerForm, pair: tuple[Factor, Factor], signs: Signs) -> str:
    times = signs.times if not layer.layer.scalar or signs.tex else "·"
    return times.join(_factor(layer, f, signs) for f in pair)


def _recursion(form: MatrixForm, layer: LayerForm, signs: Signs) -> Iterator[str]:
    """What δ is: in terms of the layers behind, and what it comes to."""
    terms = [_term(form, layer, way, signs, len(layer.ways) > 1) for way in layer.ways]
    written = " + ".join(t for t in terms if t)
    if written:
        yield written
    if len(layer.ways) == 1 and layer.ways[0].expression is not None:
        yield _printed(layer.ways[0].expression, signs)


def _term(form: MatrixForm, layer: LayerForm, way: Way, signs: Signs, several: bool) -> str:
    slope = way.slope
    if way.target is None:
        if slope.structure == "identity":
            return signs.script.ratio(form.result, layer.output, True) if several else ""
        arriving = signs.script.ratio(form.result, way.through, True)
    else:
        target = form.layers[way.target - 1]
        arriving = _pair(target, target.back, signs)
        if slope.structure == "identity":
            return arriving
        arriving = signs.wrapped(arriving)
    if slope.elementwise:
        scalar = np.ndim(layer.delta) == 0
        sign = signs.script.times if scalar else signs.hadamard
        return f"{arriving}{sign}{_prime(layer, way, signs)}"
    symbol = signs.script.ratio(way.through or f"a{layer.number}", layer.output, True)
    return f"{signs.transposed(signs.wrapped(symbol))}{signs.times}{arriving}"


def _slope_rows(layer: LayerForm, way: Way, signs: Signs) -> Iterator[Row]:
    slope = way.slope
    if slope.structure == "identity" or not slope.elementwise:
        return
    written = () if slope.derivative is None else (_printed(slope.derivative, signs),)
    with_words = "with" if not signs.tex else ""
    yield Row(_prime(layer, way, signs), written, _value(slope.value, signs), with_words)


def _gradient(form: MatrixForm, parameter: ParameterForm, signs: Signs) -> str:
    terms = []
    for number in parameter.uses:
        layer = form.layers[number - 1]
        if not parameter.bias:
            terms.append(_pair(layer, layer.gradient, signs))
        elif _spread(layer):
            total = r"\sum" if signs.tex else "Σ"
            terms.append(f"{total} {_delta(layer, signs)}")
        else:
            terms.append(_delta(layer, signs))
    return " + ".join(terms) + (" + …" if parameter.elsewhere is not None and not signs.tex else
                                r" + \dots" if parameter.elsewhere is not None else "")  # fmt: skip


def _said_of(parameter: ParameterForm) -> str:
    said = []
    if parameter.summed:
        said.append("summed over the batch")
    if len(parameter.uses) > 1:
        said.append(f"used by {len(parameter.uses)} layers")
    if parameter.elsewhere is not None:
        said.append("… is what its other uses add")
    return "; ".join(said)


def _spread(layer: LayerForm) -> bool:
    """Whether one bias is added to many examples."""
    return bool(layer.bias) and int(np.prod(layer.shapes["bias"])) < int(np.size(layer.value))


def _of_weight(layer: LayerForm, signs: Signs) -> str:
    signal, delta = signs.name(layer.signal), _delta(layer, signs)
    if layer.layer.scalar:
        return signal
    product = signs.times.join(
        {"delta": delta, "signal": signal}[f.part] if not f.transposed
        else signs.transposed({"delta": delta, "signal": signal}[f.part])
        for f in layer.gradient
    )  # fmt: skip
    kind = "sum of outer products" if layer.batched else "outer product"
    maps = r" \mapsto " if signs.tex else " ↦ "
    return f"{_words(kind + ': ', signs)}{delta}{maps}{product}"


def _of_signal(layer: LayerForm, signs: Signs) -> str:
    weight = signs.name(layer.weight)
    if layer.layer.left == layer.layer.transposed:  # of a row: u = a W, whose Jacobian is Wᵀ
        weight = signs.transposed(weight)
    if layer.layer.scalar:
        return signs.name(layer.weight)
    each = ", for each example" if layer.batched else ""
    return f"{_words('matrix: ', signs)}{weight}{_words(each, signs) if each else ''}"


def _of_slope(layer: LayerForm, way: Way, signs: Signs) -> str:
    if way.slope.elementwise:
        if np.ndim(layer.delta) == 0:
            return _prime(layer, way, signs)
        diagonal = r"\operatorname{diag}" if signs.tex else "diag"
        inner = _prime(layer, way, signs)
        return f"{_words('diagonal: ', signs)}{diagonal}{signs.wrapped(inner)}"
    return _words(way.slope.structure, signs)


def _words(words: str, signs: Signs) -> str:
    return rf"\text{{{words}}}" if signs.tex else words


def _printed(expression: Any, signs: Signs) -> str:
    return piece(expression, signs.script.style).s


def _shape(shape: tuple[int, ...], signs: Signs) -> str:
    times = r" \times " if signs.tex else "×"
    return times.join(map(str, shape)) if shape else "number" if not signs.tex else r"\text{number}"


def _shapes(layer: LayerForm, signs: Signs) -> str:
    """The shapes of the factors and of the result: ``(64×128)(128) → 64``."""
    if layer.layer.scalar:
        return ""
    weight = layer.shapes["weight"]
    weight = weight[::-1] if layer.layer.transposed else weight
    pair = [weight, layer.shapes["signal"]]
    pair = pair if layer.layer.left else pair[::-1]
    arrow = r" \to " if signs.tex else " → "
    factors = "".join(f"({_shape(s, signs)})" for s in pair)
    return f"{factors}{arrow}{_shape(layer.shapes['output'], signs)}"


def _value(value: Any, signs: Signs) -> str:
    """A number or a small array in full, the rows of a matrix one under the other; of a large one
    the shape and the norm."""
    array = np.asarray(value)
    if array.size > MOST_ELEMENTS:
        norm = signs.script.value(np.float64(np.linalg.norm(array.astype(np.float64))))
        shown = _shape(array.shape, signs)
        return (
            rf"[{shown}],\ \lVert\cdot\rVert = {norm}" if signs.tex else f"[{shown}], ‖·‖ = {norm}"
        )
    show = latex_value if signs.tex else text_value
    digits = 10 if array.size <= _FEW_ELEMENTS[array.ndim > 1] else 6
    entries = np.vectorize(lambda v: show(v, digits), otypes=[object])(array)
    if array.ndim == 0:
        return str(entries[()])
    if signs.tex:
        return _tex_array(entries)
    if array.ndim == 2:
        widths = [max(map(len, column)) for column in entries.T]
        rows = [", ".join(v.rjust(w) for v, w in zip(row, widths, strict=True)) for row in entries]
        return "[[" + "],\n   [".join(rows) + "]]"  # below the sign of equality
    return _nested(entries)


def _nested(entries: Any) -> str:
    if np.ndim(entries) == 0:
        return str(entries)
    return "[" + ", ".join(_nested(part) for part in entries) + "]"


def _tex_array(entries: Any) -> str:
    separator = r",\ "
    if entries.ndim == 1:
        return rf"\left({separator.join(entries)}\right)"
    if entries.ndim > 2:
        return _nested(entries)
    rows = r" \\ ".join(" & ".join(row) for row in entries)
    return rf"\begin{{pmatrix}} {rows} \end{{pmatrix}}"


# ------------------------------------------------------------------------------------------- text


def as_text(form: MatrixForm, width: int = 100, color: bool = False) -> str:
    """The page as a string of lines at most ``width`` columns wide."""
    from rich.console import Console

    out = io.StringIO()
    console = Console(
        file=out, width=width, force_terminal=color, no_color=not color, legacy_windows=False,
        color_system="truecolor" if color else None, markup=False, emoji=False, highlight=False,
    )  # fmt: skip
    console.print(page(form))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def page(form: MatrixForm) -> Any:
    """The whole form as one renderable of rich."""
    from rich.console import Group
    from rich.text import Text

    signs = TEXT_SIGNS
    count = len(form.layers)
    title = Text("  ")
    title.append(f"{form.title} in matrix form", style="bold")
    title.append(f"    {count} layer{'s' if count > 1 else ''}", style="cyan")
    deltas = sorted({signs.delta[1 if layer.batched else 0] for layer in form.layers})
    backward = f"Backward: {' and '.join(deltas)} is ∂{signs.name(form.result)}/∂u of each layer"
    sections: list[Any] = [title, Text()]
    for heading, rows in (
        ("Forward: u = weight · signal + bias, then an activation", forward_rows),
        (backward, backward_rows),
        ("Gradients of the parameters", gradient_rows),
        ("Local Jacobians", jacobian_rows),
    ):
        sections += [Text(f"  {heading}", style="dim italic"), _table(list(rows(form, signs))),
                     Text()]  # fmt: skip
    for remark in form.remarks:
        sections.append(_marked("·", remark, "yellow"))
    mark, says = verdict(form.check)
    sections.append(_marked(mark, says, "green" if mark == "✓" else "bold yellow"))
    return Group(*sections)


def _table(rows: list[Row]) -> Any:
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, padding=(0, 1, 0, 1), pad_edge=True)
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    if any(row.note and row.note != "with" for row in rows):
        table.add_column(style="dim", overflow="fold")
    for row in rows:
        within = row.note == "with"
        symbol = Text(f"  {row.symbol}", style="dim") if within else Text(row.symbol, style="cyan")
        formulas = row.formulas or ("",)
        for i, formula in enumerate(formulas):  # one under the other
            last = i == len(formulas) - 1
            cells: list[Any] = [
                symbol if i == 0 else "",
                f"= {formula}" if formula else "",
                f"= {row.value}" if row.value and last else "",
            ]
            if len(table.columns) > 3:
                cells.append("" if within or not last else row.note)
            table.add_row(*cells)
    return Padding(table, (0, 0, 0, 1))


def _marked(mark: str, words: str, style: str) -> Any:
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 1))
    grid.add_row(f"  {mark}", Text(words, style=style), style=style)
    return grid


# ------------------------------------------------------------------------- LaTeX, Markdown, data


def _aligned(rows: list[Row]) -> str:
    lines = []
    for row in rows:
        note = row.note if row.note and "\\" in row.note else _tex_note(row.note)
        formulas = [
            *row.formulas[:-1],
            " = ".join([*row.formulas[-1:], *filter(None, [row.value])]),
        ]
        for i, formula in enumerate(formulas):
            last = i == len(formulas) - 1
            behind = rf" && {note}" if note and last else ""
            lines.append(f"{row.symbol if i == 0 else ''} &= {formula}{behind}".lstrip())
    return " \\\\\n".join(lines)


def _tex_note(note: str) -> str:
    return rf"\text{{{note.replace('…', '...')}}}" if note else ""


_SECTIONS = (
    ("The layers", forward_rows),
    ("The recursion", backward_rows),
    ("The gradients", gradient_rows),
    ("The local Jacobians", jacobian_rows),
)


def as_latex(form: MatrixForm) -> str:
    """LaTeX for a document that loads ``amsmath``."""
    blocks = []
    for heading, rows in _SECTIONS:
        body = _aligned(list(rows(form, LATEX_SIGNS)))
        blocks.append(f"% {heading}\n\\begin{{align*}}\n{body}\n\\end{{align*}}")
    blocks.append(f"% {verdict(form.check)[1]}")
    return "\n\n".join(blocks)


def as_markdown(form: MatrixForm) -> str:
    """Markdown with TeX formulas."""
    blocks = []
    for heading, rows in _SECTIONS:
        body = _aligned(list(rows(form, LATEX_SIGNS)))
        blocks.append(f"**{heading}**\n\n$$\\begin{{aligned}}\n{body}\n\\end{{aligned}}$$")
    blocks += [f"- {remark}" for remark in form.remarks]
    mark, says = verdict(form.check)
    blocks.append(f"{mark} {says}")
    return "\n\n".join(blocks)


def as_dict(form: MatrixForm) -> dict[str, Any]:
    """The form as dicts, lists, strings and numbers."""
    from chainrule.render.data import number

    def rows(make: Any) -> list[dict[str, Any]]:
        found = []
        for plain, tex in zip(make(form, TEXT_SIGNS), make(form, LATEX_SIGNS), strict=True):
            found.append({
                "symbol": plain.symbol, "text": list(plain.formulas),
                "latex": {"symbol": tex.symbol, "formulas": list(tex.formulas)},
            })  # fmt: skip
        return found

    return {
        "schema": 1,
        "program": form.title,
        "result": form.result,
        "value": number(form.value),
        "chain": form.chain,
        "layers": [
            {
                "number": layer.number,
                "output": layer.output,
                "weight": layer.weight,
                "signal": layer.signal,
                "bias": layer.bias or None,
                "shapes": {k: list(v) for k, v in layer.shapes.items()},
                "value": number(layer.value),
                "delta": number(layer.delta),
                "slopes": [
                    {"to": way.through, "structure": way.slope.structure,
                     "value": number(way.slope.value)}
                    for way in layer.ways
                ],
            }
            for layer in form.layers
        ],
        "gradients": {p.name: number(p.value) for p in form.parameters},
        "formulas": {
            "forward": rows(forward_rows), "backward": rows(backward_rows),
            "gradients": rows(gradient_rows), "jacobians": rows(jacobian_rows),
        },
        "remarks": list(form.remarks),
        "check": {
            "outcome": form.check.outcome, "says": form.check.says,
            "error": number(form.check.error),
        },
    }  # fmt: skip
