"""``chainrule why`` and ``chainrule diagnose``: why gradients are what they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from chainrule.cli.arguments import Seed, given_arguments, loaded_function
from chainrule.cli.output import ReportFormat, aside, failing, show

Source = Annotated[str, typer.Argument(help="The loss, file.py:f or package.module:f.")]
At = Annotated[
    list[str] | None,
    typer.Option(
        help="The arguments: x=1,y=pi/2; arrays as x=[1,2], W=W.npy, W=data.npz:W, W=normal(3,4)."
    ),
]
Small = Annotated[float, typer.Option(help="A gradient with a smaller norm is vanishing.")]
Large = Annotated[float, typer.Option(help="A gradient with a larger norm is exploding.")]
Form = Annotated[ReportFormat, typer.Option("--format", help="What to print.")]


def why_command(
    source: Source,
    param: Annotated[
        str | None,
        typer.Option("--param", "--wrt", help="The parameter; the first if left out."),
    ] = None,
    at: At = None,
    small: Small = 1e-4,
    large: Large = 1e4,
    seed: Seed = 0,
    form: Form = ReportFormat.text,
) -> None:
    """Say why a gradient is as small or large as it is, with the cause and its line.

    Exit codes: 0 healthy, 1 sick, 2 bad input.
    """
    from chainrule.diagnosis.why import why
    from chainrule.render.diagnosis import report_page

    _run(lambda f: why(f, param, small=small, large=large), report_page, source, at, seed, form)


def diagnose_command(
    source: Source,
    param: Annotated[
        str | None,
        typer.Option("--param", "--wrt", help="Parameters, separated by commas; all if left out."),
    ] = None,
    at: At = None,
    small: Small = 1e-4,
    large: Large = 1e4,
    seed: Seed = 0,
    form: Form = ReportFormat.text,
) -> None:
    """Look at the gradients of all parameters: which are sick, why, and on which line.

    Exit codes: 0 healthy, 1 sick, 2 bad input.
    """
    from chainrule.diagnosis.diagnose import diagnose
    from chainrule.render.diagnosis import diagnosis_page

    _run(
        lambda f: diagnose(f, param, small=small, large=large),
        diagnosis_page, source, at, seed, form,
    )  # fmt: skip


def _run(
    of: Callable[[Callable[..., Any]], Callable[..., Any]],
    page: Callable[[Any], Any],
    source: str,
    at: list[str] | None,
    seed: int,
    form: ReportFormat,
) -> None:
    with failing(at):
        given = given_arguments([source], at, seed)
        with aside():
            found = of(loaded_function(source))(**given)
    show(found, form, page)
    raise typer.Exit(0 if found.healthy else 1)
