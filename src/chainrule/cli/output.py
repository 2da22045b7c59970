"""What commands print: text in UTF-8, pages on a terminal, errors with an exit code."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from typing import Any, NoReturn

import typer

from chainrule.errors import ArgumentsError, ChainruleError

WIDTH = 100  # columns, where the output is no terminal and nobody says


class Format(StrEnum):
    """How an explanation is printed."""

    text = "text"
    latex = "latex"
    markdown = "markdown"
    json = "json"


class ReportFormat(StrEnum):
    """How a report is printed."""

    text = "text"
    markdown = "markdown"
    json = "json"


class CheckFormat(StrEnum):
    """How a check is printed."""

    text = "text"
    json = "json"


def show(found: Any, form: str, page: Callable[[Any], Any] | None = None) -> None:
    """Print what a command has found.

    Args:
        found: Something with ``to_dict()``, ``to_text()`` and what else ``form`` asks for.
        form: ``"text"``, ``"latex"``, ``"markdown"`` or ``"json"``.
        page: Makes what rich prints in colours on a terminal; without it, ``to_text`` does.
    """
    if form == "json":
        write(json.dumps(found.to_dict(), ensure_ascii=False, indent=2))
    elif form == "markdown":
        write(found.to_markdown())
    elif form == "latex":
        write(found.to_latex())
    else:
        console = on_terminal()
        if console is None:
            write(found.to_text(width=width()))
        elif page is not None:
            console.print(page(found))
        else:
            write(found.to_text(width=console.width, color=not console.no_color))


def on_terminal() -> Any:
    """The console of a terminal, in which ``x[i]`` is no markup; ``None`` for a pipe or a file."""
    from rich.console import Console

    console = Console(highlight=False, markup=False, emoji=False)
    return console if console.is_terminal else None


def width() -> int:
    """The columns of text that goes into a pipe or a file."""
    from rich.console import Console

    return Console().width if "COLUMNS" in os.environ else WIDTH


def write(text: str) -> None:
    """Text to standard output in UTF-8, whatever the locale; a closed pipe is no error."""
    if sys.stdout is None:
        fail("there is no standard output to write to")
    try:
        sys.stdout.buffer.write((text + "\n").encode("utf-8", "replace"))
        sys.stdout.flush()
    except BrokenPipeError:
        sys.stderr.close()
    except OSError as error:
        fail(f"the output could not be written: {error}")


def fail(message: str, code: int = 2) -> NoReturn:
    """Print an error to standard error and leave."""
    from rich.console import Console

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print("error:", style="bold red", end=" ", markup=False)
    console.print(message, markup=False)
    raise typer.Exit(code)


@contextlib.contextmanager
def failing(at: Sequence[str] | None) -> Iterator[None]:
    """Errors of the user's become messages; one about arguments says how to give them."""
    try:
        yield
    except ArgumentsError as error:
        hint = "" if at else "\nGive them with --at, for example --at x=1,W=normal(3,4)."
        fail(f"{error}{hint}")
    except ChainruleError as error:
        fail(str(error))


@contextlib.contextmanager
def aside() -> Iterator[None]:
    """What the user's code prints meanwhile goes to standard error: the output is a report."""
    with contextlib.redirect_stdout(sys.stderr):
        yield
