"""The commands and their options."""

from __future__ import annotations

import contextlib
import json
import sys
from enum import StrEnum
from typing import Annotated, Any, NoReturn

import typer

from chainrule.cli import train
from chainrule.cli.arguments import (
    arguments_in_order,
    array_reader,
    formula_value,
    loaded_function,
    looks_like_function,
    point,
)
from chainrule.cli.nan import register as register_nan
from chainrule.cli.why import register as register_why
from chainrule.errors import ChainruleError
from chainrule.explanations.entry import CheckFailedError, explain
from chainrule.explanations.explanation import Explanation

app = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False,
    rich_markup_mode="rich", context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip


class Mode(StrEnum):
    """Direction of accumulation."""

    reverse = "reverse"
    forward = "forward"


class Fold(StrEnum):
    """How far the steps of a function of arrays are folded."""

    variables = "variables"
    functions = "functions"
    primitives = "primitives"


class Format(StrEnum):
    """How the explanation is printed."""

    text = "text"
    latex = "latex"
    markdown = "markdown"
    json = "json"


class CheckFormat(StrEnum):
    """How a check is printed."""

    text = "text"
    json = "json"


class Dtype(StrEnum):
    """What the arrays of a check are cast to."""

    float16 = "float16"
    float32 = "float32"
    float64 = "float64"


@app.callback()
def root() -> None:
    """Differentiate, and read every derivative as a worked chain of local derivatives."""


@app.command("explain", context_settings={"ignore_unknown_options": True})
def explain_command(
    source: Annotated[
        str, typer.Argument(help='A formula, "sin(ln(x^2+1))", or a function, file.py:f.')
    ],
    at: Annotated[
        list[str] | None,
        typer.Option(
            help="The point: x=1,y=pi/2; a function's arrays as x=[1,2], W=W.npy, W=normal(3,4)."
        ),
    ] = None,
    wrt: Annotated[
        str | None,
        typer.Option(help="Variables to differentiate with respect to; also elements, W1[0,0]."),
    ] = None,
    order: Annotated[int, typer.Option(help="Which derivative: 1, 2, ...")] = 1,
    mode: Annotated[Mode, typer.Option(help="Accumulate backward or forward.")] = Mode.reverse,
    delta: Annotated[
        float | None, typer.Option(help="Show difference quotients for this Δ and smaller ones.")
    ] = None,
    paths: Annotated[bool, typer.Option("--paths", help="Show every path and its share.")] = False,
    most: Annotated[
        int | None, typer.Option(min=1, help="Of many paths, show so many of the largest.")
    ] = None,
    update: Annotated[
        float | None, typer.Option(help="Show a step of gradient descent with this rate.")
    ] = None,
    unfold: Annotated[
        bool, typer.Option("--unfold", help="Make every operation a step of its own.")
    ] = False,
    fold: Annotated[
        Fold, typer.Option(help="What is one step of a function of arrays.")
    ] = Fold.variables,
    matrix: Annotated[
        bool, typer.Option("--matrix", help="Show a network of layers in matrix form.")
    ] = False,
    simplify: Annotated[bool, typer.Option(help="Simplify the answer.")] = True,
    form: Annotated[Format, typer.Option("--format", help="What to print.")] = Format.text,
) -> None:
    """Explain a derivative, step by step, checked before it is shown."""
    options: dict[str, Any] = {
        "wrt": wrt, "order": order, "mode": mode.value, "delta": delta,
        "paths": most or paths, "unfold": unfold, "simplify": simplify, "fold": fold.value,
        "update": update,
    }  # fmt: skip
    try:
        function = looks_like_function(source)
        given = point(at or [], array_reader(0) if function else None)
        if function:
            with contextlib.redirect_stdout(sys.stderr):  # what the user's code prints
                explanation = explain(loaded_function(source), **options)(**given)
        else:
            values = {name: formula_value(name, v) for name, v in given.items()}
            explanation = explain(source, values or None, **options)
        if matrix:
            explanation = explanation.matrix_form()
    except CheckFailedError as failed:
        _fail(str(failed), 1)
    except ChainruleError as error:
        _fail(str(error), 2)
    _print(explanation, form)


EXIT_CODES = {"PASS": 0, "WRONG": 1, "KINK": 3, "INCONCLUSIVE": 4}


@app.command("check", context_settings={"ignore_unknown_options": True})
def check_command(
    source: Annotated[str, typer.Argument(help="The function, file.py:f or package.module:f.")],
    at: Annotated[
        list[str] | None,
        typer.Option(
            help="The point: x=1,y=pi/2; arrays as x=[1,2], W=W.npy, W=data.npz:W, W=normal(3,4)."
        ),
    ] = None,
    backward: Annotated[
        str | None,
        typer.Option(help="The derivative to check, file.py:df; chainrule's own if left out."),
    ] = None,
    wrt: Annotated[
        str | None, typer.Option(help="Arguments to check, separated by commas.")
    ] = None,
    eps: Annotated[
        float | None, typer.Option(help="A fixed width for the centred difference; no sweep.")
    ] = None,
    rtol: Annotated[
        float | None, typer.Option(help="Relative difference up to which numbers are equal.")
    ] = None,
    dtype: Annotated[
        Dtype | None, typer.Option(help="Cast the floating-point values of --at.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of random directions and arrays.")] = 0,
    form: Annotated[
        CheckFormat, typer.Option("--format", help="What to print.")
    ] = CheckFormat.text,
) -> None:
    """Check a derivative against differences of the function, and give a verdict.

    Exit codes: 0 PASS, 1 WRONG, 2 bad input, 3 KINK, 4 INCONCLUSIVE.
    """
    from chainrule.checking.entry import check

    try:
        for name in filter(None, [source, backward]):
            if not looks_like_function(name):
                _fail(f"{name!r} does not name a function: write file.py:f", 2)
        if seed < 0:
            _fail(f"--seed takes a whole number from 0 on, not {seed}", 2)
        given = point(at or [], array_reader(seed))
        if dtype is not None:
            given = {n: _cast(v, dtype.value) for n, v in given.items()}
        with contextlib.redirect_stdout(sys.stderr):  # what the user's code prints
            f = loaded_function(source)
            df = None if backward is None else loaded_function(backward)
            names = None if wrt is None else [n.strip() for n in wrt.split(",")]
            arguments = arguments_in_order(f, given)
            result = check(f, *arguments, backward=df, wrt=names, eps=eps, rtol=rtol, seed=seed)
    except ChainruleError as error:
        _fail(str(error), 2)
    if form is CheckFormat.json:
        _write(json.dumps(result.to_dict(), ensure_ascii=False, indent=2))
    else:
        _print_check(result)
    raise typer.Exit(EXIT_CODES[result.verdict.value])


app.command("train")(train.train_command)


def _cast(value: Any, dtype: str) -> Any:
    import numpy as np

    array = np.asarray(value)
    return array.astype(dtype)[()] if array.dtype.kind == "f" else value


def _print_check(result: Any) -> None:
    from rich.console import Console

    from chainrule.checking.report import page

    console = Console(highlight=False, markup=False, emoji=False)  # x[i] is no markup
    if console.is_terminal:
        console.print(page(result))
    else:
        _write(str(result))


def _print(explanation: Any, form: Format) -> None:
    if form is Format.text:
        _print_page(explanation)
    else:
        render = {
            Format.latex: explanation.to_latex,
            Format.markdown: explanation.to_markdown,
            Format.json: lambda: json.dumps(explanation.to_dict(), ensure_ascii=False, indent=2),
        }[form]
        _write(render())


def _print_page(explanation: Any) -> None:
    from rich.console import Console

    from chainrule.render.terminal import page

    console = Console(highlight=False, markup=False, emoji=False)  # x[i] is no markup
    if console.is_terminal and isinstance(explanation, Explanation):
        console.print(page(explanation))
    elif console.is_terminal:
        _write(explanation.to_text(width=console.width, color=not console.no_color))
    else:
        _write(explanation.to_text(width=console.width if "COLUMNS" in _environment() else 100))


def _environment() -> Any:
    import os

    return os.environ


def _write(text: str) -> None:
    """Text to standard output in UTF-8, whatever the locale; a closed pipe is no error."""
    if sys.stdout is None:
        _fail("there is no standard output to write to", 2)
    try:
        sys.stdout.buffer.write((text + "\n").encode("utf-8", "replace"))
        sys.stdout.flush()
    except BrokenPipeError:
        sys.stderr.close()
    except OSError as error:
        _fail(f"the output could not be written: {error}", 2)


def _fail(message: str, code: int) -> NoReturn:
    """Print an error to standard error and leave."""
    from rich.console import Console

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print("error:", style="bold red", end=" ", markup=False)
    console.print(message, markup=False)
    raise typer.Exit(code)


register_why(app, _fail, _write)
register_nan(app, _fail, _write)
