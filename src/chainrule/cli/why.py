"""``chainrule why`` and ``chainrule diagnose``: why gradients are what they are, from the shell."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Any

import typer

from chainrule.cli.arguments import array_reader, loaded_function, looks_like_function, point
from chainrule.errors import ArgumentsError, ChainruleError


class ReportFormat(StrEnum):
    """How a diagnosis is printed."""

    text = "text"
    markdown = "markdown"
    json = "json"


Source = Annotated[str, typer.Argument(help="The loss, file.py:f or package.module:f.")]
At = Annotated[
    list[str] | None,
    typer.Option(
        help="The arguments: x=1,y=pi/2; arrays as x=[1,2], W=W.npy, W=data.npz:W, W=normal(3,4)."
    ),
]
Small = Annotated[float, typer.Option(help="A gradient with a smaller norm is vanishing.")]
Large = Annotated[float, typer.Option(help="A gradient with a larger norm is exploding.")]
Seed = Annotated[int, typer.Option(help="Seed of random arrays.")]
Form = Annotated[ReportFormat, typer.Option("--format", help="What to print.")]


def register(
    app: typer.Typer, fail: Callable[[str, int], Any], write: Callable[[str], None]
) -> None:
    """Add the commands to the program.

    Args:
        app: The program.
        fail: Prints an error and leaves with an exit code.
        write: Prints text.
    """

    @app.command("why", context_settings={"ignore_unknown_options": True})
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

        _run(lambda f: why(f, param, small=small, large=large), source, at, seed, form, fail, write)

    @app.command("diagnose", context_settings={"ignore_unknown_options": True})
    def diagnose_command(
        source: Source,
        param: Annotated[
            str | None,
            typer.Option(
                "--param", "--wrt", help="Parameters, separated by commas; all if left out."
            ),
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

        _run(
            lambda f: diagnose(f, param, small=small, large=large),
            source, at, seed, form, fail, write,
        )  # fmt: skip


def _run(
    of: Callable[[Callable[..., Any]], Callable[..., Any]],
    source: str,
    at: list[str] | None,
    seed: int,
    form: ReportFormat,
    fail: Callable[[str, int], Any],
    write: Callable[[str], None],
) -> None:
    try:
        if not looks_like_function(source):
            fail(f"{source!r} does not name a function: write file.py:f", 2)
        if seed < 0:
            fail(f"--seed takes a whole number from 0 on, not {seed}", 2)
        given = point(at or [], array_reader(seed))
        with contextlib.redirect_stdout(sys.stderr):  # what the user's code prints
            found = of(loaded_function(source))(**given)
    except ArgumentsError as error:
        hint = "" if at else "\nGive them with --at, for example --at x=1,W=normal(3,4)."
        fail(f"{error}{hint}", 2)
    except ChainruleError as error:
        fail(str(error), 2)
    _print(found, form, write)
    raise typer.Exit(0 if found.healthy else 1)


def _print(found: Any, form: ReportFormat, write: Callable[[str], None]) -> None:
    if form is ReportFormat.json:
        write(json.dumps(found.to_dict(), ensure_ascii=False, indent=2))
        return
    if form is ReportFormat.markdown:
        write(found.to_markdown())
        return
    from rich.console import Console

    from chainrule.diagnosis.diagnose import Diagnosis
    from chainrule.render.diagnosis import diagnosis_page, report_page

    console = Console(highlight=False, markup=False, emoji=False)  # x[i] is no markup
    if console.is_terminal:
        page = diagnosis_page if isinstance(found, Diagnosis) else report_page
        console.print(page(found))
    else:
        import os

        write(found.to_text(width=console.width if "COLUMNS" in os.environ else 100))
