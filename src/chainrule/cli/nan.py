"""``chainrule nan``: where the NaNs and infinities of a function are born, from the shell."""

from __future__ import annotations

from typing import Annotated

import typer

from chainrule.cli.arguments import (
    Dtype,
    arguments_in_order,
    asking,
    given_arguments,
    loaded_function,
)
from chainrule.cli.output import ReportFormat, aside, fail, show
from chainrule.errors import ArgumentsError, ChainruleError


def nan_command(
    source: Annotated[str, typer.Argument(help="The function, file.py:f or package.module:f.")],
    at: Annotated[
        list[str] | None,
        typer.Option(
            help="The point: x=1,y=pi/2; arrays as x=[1,2], W=W.npy, W=data.npz:W, W=normal(3,4)."
        ),
    ] = None,
    wrt: Annotated[
        str | None,
        typer.Option(help="Parameters to differentiate with respect to; all if left out."),
    ] = None,
    supports: Annotated[
        bool,
        typer.Option(help="Without: take every product, as other libraries do."),
    ] = True,
    dtype: Annotated[
        Dtype | None, typer.Option(help="Cast the floating-point values of --at.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of random arrays.")] = 0,
    form: Annotated[
        ReportFormat, typer.Option("--format", help="What to print.")
    ] = ReportFormat.text,
) -> None:
    """Find where the first NaN or infinity of a value and its gradient is born, and a fix.

    Exit codes: 0 all is finite, 1 a bad value, 2 bad input.
    """
    from chainrule.diagnosis.birth import bad_values
    from chainrule.render.birth import page

    try:
        given = given_arguments([source], at, seed, dtype)
        with aside():
            f = loaded_function(source)
            report = bad_values(f, wrt, supports)(*arguments_in_order(f, given))
    except ArgumentsError as error:
        fail(f"{error}{asking(at)}")
    except ChainruleError as error:
        fail(str(error))
    show(report, form, page)
    raise typer.Exit(0 if report.finite else 1)
