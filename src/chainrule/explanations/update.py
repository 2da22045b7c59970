"""One step of gradient descent as arithmetic: a parameter minus the rate times its derivative."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.display import Displayed
from chainrule.errors import ArgumentsError
from chainrule.explanations.solution import Derivative
from chainrule.sources.elements import element


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """What a step does to one parameter.

    Attributes:
        name: The parameter: ``W1``, ``params['b']``, or one element, ``W1[0,0]``.
        old: Its value before the step.
        gradient: The derivative of the result with respect to it, in the shape of the value.
        new: Its value after the step.
    """

    name: str
    old: Any
    gradient: Any
    new: Any


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Update(Displayed):
    """One step of gradient descent, ``W ← W − rate·∂L/∂W``.

    It prints as arithmetic, and gives ``to_dict()``, ``to_latex()`` and ``to_markdown()``.

    Attributes:
        result: The name of what the step makes smaller.
        rate: The learning rate η.
        changes: What happens to each parameter.
    """

    result: str
    rate: float
    changes: tuple[Change, ...]

    @property
    def old(self) -> dict[str, Any]:
        """The values before the step, by name."""
        return {c.name: c.old for c in self.changes}

    @property
    def gradient(self) -> dict[str, Any]:
        """The derivatives, by name."""
        return {c.name: c.gradient for c in self.changes}

    @property
    def new(self) -> dict[str, Any]:
        """The values after the step, by name."""
        return {c.name: c.new for c in self.changes}

    def to_dict(self) -> dict[str, Any]:
        """The update as plain dicts, lists, strings and numbers, ready for JSON."""
        from chainrule.render.update import as_dict

        return as_dict(self)

    def to_latex(self) -> str:
        """The update as LaTeX source."""
        from chainrule.render.update import as_latex

        return as_latex(self)

    def to_markdown(self) -> str:
        """The update as Markdown with TeX formulas."""
        from chainrule.render.update import as_markdown

        return as_markdown(self)

    def to_text(self, width: int = 100) -> str:
        """The update as the terminal shows it."""
        from chainrule.render.update import as_text

        return as_text(self, width)


def update_of(
    result: str, inputs: Mapping[str, Any], derivatives: tuple[Derivative, ...], rate: float
) -> Update:
    """The step that a gradient asks for.

    Raises:
        ArgumentsError: There are no numbers, or the rate is none.
    """
    if isinstance(rate, bool | str) or np.ndim(rate) or not np.isfinite(rate):
        raise ArgumentsError(f"the rate of an update is a finite number, not {rate!r}")
    if any(d.value is None for d in derivatives):
        raise ArgumentsError("an update needs numbers: give a point, at={'x': 1.0}")
    changes = []
    for derivative in derivatives:
        old = _value(derivative.variable, inputs)
        with np.errstate(all="ignore"):
            new = stepped(old, rate, derivative.value)
        changes.append(Change(derivative.variable, old, derivative.value, new))
    return Update(result, float(rate), tuple(changes))


def stepped(old: Any, rate: float, gradient: Any) -> Any:
    """The value after a step; it keeps its dtype."""
    return old - float(rate) * gradient


def _value(name: str, inputs: Mapping[str, Any]) -> Any:
    if name in inputs:
        return inputs[name]
    place = element(name, inputs)
    assert place is not None
    return inputs[place.leaf][place.index]
