"""``chainrule check``: a derivative against differences of its function, and a verdict."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from chainrule.cli.arguments import (
    Cast,
    FunctionSource,
    Point,
    arguments_in_order,
    given_arguments,
    loaded_function,
)
from chainrule.cli.output import CheckFormat, aside, fail, on_terminal, show, write
from chainrule.errors import ChainruleError

EXIT_CODES = {"PASS": 0, "WRONG": 1, "KINK": 3, "INCONCLUSIVE": 4}


def check_command(
    source: FunctionSource,
    at: Point = None,
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
    dtype: Cast = None,
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
        given = given_arguments([source, *filter(None, [backward])], at, seed, dtype)
        with aside():
            f = loaded_function(source)
            df = None if backward is None else loaded_function(backward)
            names = None if wrt is None else [n.strip() for n in wrt.split(",")]
            arguments = arguments_in_order(f, given)
            result = check(f, *arguments, backward=df, wrt=names, eps=eps, rtol=rtol, seed=seed)
    except ChainruleError as error:
        fail(str(error))
    _print(result, form)
    raise typer.Exit(EXIT_CODES[result.verdict.value])


def _print(result: Any, form: CheckFormat) -> None:
    if form is CheckFormat.json:
        show(result, form)
        return
    from chainrule.checking.report import page

    console = on_terminal()
    if console is None:
        write(str(result))
    else:
        console.print(page(result))
