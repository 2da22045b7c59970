"""``chainrule nan``: where the NaNs and infinities of a function are born, from the shell."""

from __future__ import annotations

from typing import Annotated

import typer

from chainrule.cli.arguments import (
    Cast,
    FunctionSource,
    Point,
    Seed,
    arguments_in_order,
    given_arguments,
    loaded_function,
)
from chainrule.cli.output import ReportFormat, aside, failing, show


def nan_command(
    source: FunctionSource,
    at: Point = None,
    wrt: Annotated[
        str | None,
        typer.Option(help="Parameters to differentiate with respect to; all if left out."),
    ] = None,
    supports: Annotated[
        bool,
        typer.Option(help="Without: take every product, as other libraries do."),
    ] = True,
    dtype: Cast = None,
    seed: Seed = 0,
    form: Annotated[
        ReportFormat, typer.Option("--format", help="What to print.")
    ] = ReportFormat.text,
) -> None:
    """Find where the first NaN or infinity of a value and its gradient is born, and a fix.

    Exit codes: 0 all is finite, 1 a bad value, 2 bad input.
    """
    from chainrule.diagnosis.birth import bad_values
    from chainrule.render.birth import page

    with failing(at):
        given = given_arguments([source], at, seed, dtype)
        with aside():
            f = loaded_function(source)
            report = bad_values(f, wrt, supports)(*arguments_in_order(f, given))
    show(report, form, page)
    raise typer.Exit(0 if report.finite else 1)
