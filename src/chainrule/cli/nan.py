"""``chainrule nan``: where the NaNs and infinities of a function are born, from the shell."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Any

import typer

from chainrule.cli.arguments import (
    arguments_in_order,
    array_reader,
    loaded_function,
    looks_like_function,
    point,
)
from chainrule.errors import ArgumentsError, ChainruleError


class NanFormat(StrEnum):
    """How the report is printed."""

    text = "text"
    markdown = "markdown"
    json = "json"


class NanDtype(StrEnum):
    """What the arrays are cast to."""

    float16 = "float16"
    float32 = "float32"
    float64 = "float64"


def register(
    app: typer.Typer, fail: Callable[[str, int], Any], write: Callable[[str], None]
) -> None:
    """Add the command to the program.

    Args:
        app: The program.
        fail: Prints an error and leaves with an exit code.
        write: Prints text.
    """

    @app.command("nan", context_settings={"ignore_unknown_options": True})
    def nan_command(
        source: Annotated[str, typer.Argument(help="The function, file.py:f or package.module:f.")],
        at: Annotated[
            list[str] | None,
            typer.Option(
                help="The point: x=1,y=pi/2; arrays as x=[1,2], W=W.npy, W=data.npz:W, "
                "W=normal(3,4)."
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
            NanDtype | None, typer.Option(help="Cast the floating-point values of --at.")
        ] = None,
        seed: Annotated[int, typer.Option(help="Seed of random arrays.")] = 0,
        form: Annotated[
            NanFormat, typer.Option("--format", help="What to print.")
        ] = NanFormat.text,
    ) -> None:
        """Find where the first NaN or infinity of a value and its gradient is born, and a fix.

        Exit codes: 0 all is finite, 1 a bad value, 2 bad input.
        """
        from chainrule.diagnosis.birth import bad_values

        try:
            if not looks_like_function(source):
                fail(f"{source!r} does not name a function: write file.py:f", 2)
            if seed < 0:
                fail(f"--seed takes a whole number from 0 on, not {seed}", 2)
            given = point(at or [], array_reader(seed))
            if dtype is not None:
                given = {name: _cast(value, dtype.value) for name, value in given.items()}
            with contextlib.redirect_stdout(sys.stderr):  # what the user's code prints
                f = loaded_function(source)
                report = bad_values(f, wrt, supports)(*arguments_in_order(f, given))
        except ArgumentsError as error:
            hint = "" if at else "\nGive them with --at, for example --at x=1,W=normal(3,4)."
            fail(f"{error}{hint}", 2)
        except ChainruleError as error:
            fail(str(error), 2)
        _print(report, form, write)
        raise typer.Exit(0 if report.finite else 1)


def _cast(value: Any, dtype: str) -> Any:
    import numpy as np

    array = np.asarray(value)
    return array.astype(dtype)[()] if array.dtype.kind == "f" else value


def _print(report: Any, form: NanFormat, write: Callable[[str], None]) -> None:
    if form is NanFormat.json:
        write(json.dumps(report.to_dict(), ensure_ascii=False, indent=2))
        return
    if form is NanFormat.markdown:
        write(report.to_markdown())
        return
    from rich.console import Console

    from chainrule.render.birth import page

    console = Console(highlight=False, markup=False, emoji=False)  # x[i] is no markup
    if console.is_terminal:
        console.print(page(report))
    else:
        import os

        write(report.to_text(width=console.width if "COLUMNS" in os.environ else 100))
