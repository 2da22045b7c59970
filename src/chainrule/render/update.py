"""A step of gradient descent in print: ``W₄ ← 1 − 0.1·(−8.9946339481) = 1.8994633948``."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.explanations.update import Change, Update
from chainrule.notation.names import text_name
from chainrule.notation.numbers import latex_value, text_value
from chainrule.render.data import number
from chainrule.render.phrases import MOST_ELEMENTS, PLAIN, PLAIN_CODE, TEX, Script

# One digit more than other values have: a small step shows in the last ones.
DIGITS = 11


def as_dict(update: Update) -> dict[str, Any]:
    """The update for JSON."""
    return {
        "result": text_name(update.result),
        "rate": update.rate,
        "changes": [
            {
                "name": text_name(c.name), "old": number(c.old), "gradient": number(c.gradient),
                "new": number(c.new),
            }
            for c in update.changes
        ],
    }  # fmt: skip


def as_text(update: Update, width: int = 100) -> str:
    """A line for each parameter; several where one would be longer than ``width``."""
    lines = []
    names = [_name(c.name) for c in update.changes]
    longest = max(map(len, names), default=0)
    for name, change in zip(names, update.changes, strict=True):
        head = f"{name:<{longest}} ← "
        if np.size(change.new) > MOST_ELEMENTS:
            lines.append(f"{head}{_in_words(update, change)}")
            continue
        old, step, new = _numbers(update, change, PLAIN)
        line = f"{head}{old} − {step} = {new}"
        if len(line) > width:
            indent = " " * (len(head) - 2)
            line = f"{head}{old}\n{indent}− {step}\n{indent}= {new}"
        lines.append(line)
    return "\n".join(lines)


def _name(name: str) -> str:
    """Elements of arrays are written as in the author's code, numbers as in a formula."""
    return (PLAIN_CODE if "[" in name else PLAIN).name(name)


def _in_words(update: Update, change: Change) -> str:
    """A large array: its step by name, and how large it is."""
    name, rate = _name(change.name), text_value(update.rate)
    with np.errstate(all="ignore"):
        moved = np.abs(np.asarray(change.new) - np.asarray(change.old))
        size = np.linalg.norm(np.asarray(change.old, float))
        relative = np.linalg.norm(moved.astype(float)) / size if size else np.inf
    gradient = PLAIN.ratio(update.result, change.name, True)
    return (
        f"{name} − {rate}·{gradient}   {PLAIN.value(change.new)}, "
        f"‖step‖/‖{name}‖ = {text_value(relative, 3)}, largest change {text_value(moved.max(), 3)}"
    )


def _numbers(update: Update, change: Change, script: Script) -> tuple[str, str, str]:
    """The old value, the rate times the derivative, and the new value."""
    times = r" \cdot " if script is TEX else "·"
    gradient = _shown(change.gradient, script)
    if np.ndim(change.gradient) == 0 and gradient.startswith(("−", "-")):
        gradient = script.style.wrap(gradient)
    show = latex_value if script is TEX else text_value
    step = f"{show(update.rate)}{times}{gradient}"
    return _shown(change.old, script), step, _shown(change.new, script)


def _shown(value: Any, script: Script) -> str:
    show = latex_value if script is TEX else text_value
    return show(value, DIGITS) if np.ndim(value) == 0 else script.value(value)


def as_latex(update: Update) -> str:
    """An aligned line for each parameter."""
    return f"\\begin{{align*}}\n{_tex_lines(update)}\n\\end{{align*}}"


def as_markdown(update: Update) -> str:
    """The same between dollar signs."""
    return f"$$\\begin{{aligned}}\n{_tex_lines(update)}\n\\end{{aligned}}$$"


def _tex_lines(update: Update) -> str:
    lines = []
    for change in update.changes:
        name = TEX.name(change.name)
        line = rf"{name} &\leftarrow {name} - \eta\, {TEX.ratio(update.result, change.name, True)}"
        if np.size(change.new) <= MOST_ELEMENTS:
            old, step, new = _numbers(update, change, TEX)
            line += f" = {old} - {step} = {new}"
        lines.append(line)
    return " \\\\\n".join(lines)
