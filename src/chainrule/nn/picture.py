"""The course of a training as a picture, drawn with matplotlib."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from chainrule.errors import ArgumentsError
from chainrule.nn import saving
from chainrule.nn.history import History

MOST_PARAMETERS = 12


def draw(history: History, path: str | Path) -> None:
    """Write a picture: the loss on the left, the gradient flow on the right.

    Args:
        history: What is drawn.
        path: A file; its ending says the format (png, svg, pdf, ...).

    Raises:
        ArgumentsError: matplotlib is not installed, or does not know the format.
        FileError: The file cannot be written.
    """
    figure_of = _matplotlib()
    figure = figure_of(figsize=(11.0, 4.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = range(1, len(history) + 1)
    for name in ("loss", "validation loss"):
        if name in history.columns:
            left.plot(epochs, history[name], label=name)
    _finish(left, "Loss", "loss", history.columns.get("loss", []))
    rows = list(history.gradients.items())
    layers = list(dict.fromkeys(_layer(name) for name, _ in rows))
    for name, values in rows[:MOST_PARAMETERS]:
        color = f"C{layers.index(_layer(name)) % 10}"
        style = "--" if name.endswith("bias") else "-"
        right.plot(epochs, values, style, color=color, label=name)
    more = len(rows) - MOST_PARAMETERS
    title = "Gradient flow" + (f" (the first {MOST_PARAMETERS} of {len(rows)})" if more > 0 else "")
    _finish(right, title, "mean ‖∂loss/∂parameter‖", [v for _, row in rows for v in row])
    format = Path(path).suffix[1:].lower() or "png"
    data = io.BytesIO()
    try:
        figure.savefig(data, format=format, dpi=150)
    except ValueError as error:
        raise ArgumentsError(f"a picture cannot be written as {format!r}: {error}") from None
    saving.write(path, data.getvalue())


def _finish(axes: Any, title: str, label: str, values: list[float]) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_title(title)
    axes.set_xlabel("epoch")
    axes.set_ylabel(label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if values and min(values) > 0:
        axes.set_yscale("log")
    axes.grid(alpha=0.3)
    if len(axes.lines) > 4:  # beside the curves, not on them
        axes.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    elif len(axes.lines) > 1:
        axes.legend(fontsize="small")


def _layer(parameter: str) -> str:
    """What the parameters of one layer have in common: they have one colour."""
    return parameter.rpartition(".")[0] or parameter


def _matplotlib() -> Any:
    """The class of figures: without pyplot there is no window and no global state."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ArgumentsError(
            'pictures are drawn with matplotlib: python -m pip install "chainrule[nn]"'
        ) from None
    return Figure
