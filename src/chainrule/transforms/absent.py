"""Absent gradients: a result that an input never reaches, and what was in the way."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from chainrule.graph.places import depth_of_call, sentence
from chainrule.graph.tape import Tape, Traced


class AbsentGradientWarning(UserWarning):
    """The result does not depend on an input at all: its gradient is absent, and shown as zeros."""


def warn_of_absent(f: Callable[..., Any], name: str, leaf: Traced, tape: Tape) -> None:
    """Warn that no path leads from an input to the result, and say where one was cut."""
    called = getattr(f, "__name__", "f")
    reached = _reached_from(leaf, tape)
    cuts = [cut for cut in tape.cuts.values() if reached.intersection(cut.indices)]
    message = f"{called} does not depend on {name}: its gradient is zero everywhere."
    if cuts:
        where = "\n".join(f"  {cut.because} at {sentence(cut.place)}" for cut in cuts[:3])
        message += f"\nThe way from {name} to the result ends where nothing flows on:\n{where}"
    warnings.warn(message, AbsentGradientWarning, stacklevel=depth_of_call())


def _reached_from(leaf: Traced, tape: Tape) -> set[int]:
    """The records that depend on an input."""
    reached = {leaf.index}
    for record in tape.records[leaf.index + 1 :]:
        if any(
            type(a) is Traced and a.level == tape.level and a.index in reached for a in record.args
        ):
            reached.add(record.index)
    return reached
