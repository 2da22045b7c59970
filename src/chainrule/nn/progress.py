"""A progress bar of epochs, where somebody is looking."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

Update = Callable[[int, dict[str, float]], None]


@contextlib.contextmanager
def progress_bar(epochs: int, done: int, shown: bool = True) -> Iterator[Update]:
    """A function to be told the number of epochs that are done, and what was measured.

    Nothing is shown, and rich is not loaded, unless standard error is a terminal.
    """
    import sys

    if not shown or sys.stderr is None or not sys.stderr.isatty():
        yield lambda _epoch, _values: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("  epoch"), MofNCompleteColumn(), BarColumn(bar_width=30),
        TimeRemainingColumn(), TextColumn("{task.fields[says]}"),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=epochs, completed=done, says="")

        def update(epoch: int, values: dict[str, float]) -> None:
            says = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
            bar.update(task, completed=epoch, says=says)

        yield update
