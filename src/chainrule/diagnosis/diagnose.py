"""``diagnose``: every parameter of a model at once, worst first, each with its cause and line."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.diagnosis.budget import Budget
from chainrule.diagnosis.gains import Diagonal, wide
from chainrule.diagnosis.naming import Names, line_of
from chainrule.diagnosis.run import call_of, run
from chainrule.diagnosis.why import (
    LARGE,
    SMALL,
    GradientReport,
    Verdict,
    check_options,
    report,
    walked,
)
from chainrule.display import Displayed
from chainrule.errors import NotDifferentiableError
from chainrule.sources.arguments import Arguments
from chainrule.sources.elements import is_below

DEAD = 0.5
"""From this share of dead units on, an activation is reported."""
SATURATED = 0.5
"""From this share of saturated values on, an activation is reported."""

_FLAT = 1e-3
_SEVERITY = {Verdict.NOT_FINITE: 0, Verdict.ZERO: 1, Verdict.VANISHING: 2, Verdict.EXPLODING: 2}


@dataclass(frozen=True, slots=True)
class Activation:
    """An elementwise function between layers, over the whole batch.

    Attributes:
        name: The value that it gives.
        line: Its line, ``net.py:14``.
        units: How many units it has: the length of the last axis.
        dead: How many of them pass no gradient for any example.
        saturated: The share of values where the function is flat: its slope is below 1e-3, and so
            small that even a change of the argument by its own size (or by 1, if that is more)
            would move the value by less than 1 % of the largest.
    """

    name: str
    line: str
    units: int
    dead: int
    saturated: float

    @property
    def healthy(self) -> bool:
        """Whether there is nothing to report."""
        return self.dead < DEAD * self.units and self.saturated < SATURATED


@dataclass(frozen=True, slots=True, repr=False)
class Diagnosis(Displayed):
    """The gradients of all parameters of a model at one point.

    It prints as text, shows itself in a notebook, and gives ``to_text()``, ``to_markdown()`` and
    ``to_dict()``.

    Attributes:
        function: The name of the function.
        loss: Its value.
        gradients: A report for each parameter, worst first; without the steps, which
            ``why`` gives for one parameter.
        activations: The elementwise functions between layers, from the loss back.
    """

    function: str
    loss: float
    gradients: tuple[GradientReport, ...]
    activations: tuple[Activation, ...]

    @property
    def healthy(self) -> bool:
        """Whether there is nothing to report."""
        return all(g.healthy for g in self.gradients) and all(a.healthy for a in self.activations)

    @property
    def worst(self) -> GradientReport:
        """The report that comes first."""
        return self.gradients[0]

    @property
    def verdict(self) -> Verdict:
        """The verdict on the worst gradient."""
        return self.worst.verdict

    def __getitem__(self, parameter: str) -> GradientReport:
        """The report of a parameter by its name."""
        for one in self.gradients:
            if one.parameter == parameter.replace('"', "'"):
                return one
        raise KeyError(parameter)

    def to_dict(self) -> dict[str, Any]:
        """Everything as numbers, strings, lists and dicts that JSON can hold."""
        from chainrule.render.diagnosis import data

        return {"schema": 1, **data(self), "healthy": self.healthy}

    def to_text(self, width: int = 100) -> str:
        """The diagnosis as lines of text at most ``width`` columns wide."""
        from chainrule.render.diagnosis import as_text, diagnosis_page

        return as_text(diagnosis_page(self), width)

    def to_markdown(self) -> str:
        """The diagnosis as Markdown."""
        from chainrule.render.diagnosis import diagnosis_markdown

        return diagnosis_markdown(self)


def diagnose(
    f: Callable[..., Any],
    wrt: str | Sequence[str] | None = None,
    *,
    small: float = SMALL,
    large: float = LARGE,
) -> Callable[..., Diagnosis]:
    """Look at the gradients of all parameters at once: which are sick, why, and on which line.

    Runs the function once and walks back once. Beside the gradients, it looks at the activations
    between the layers: how many units are dead for the whole batch, how many values saturated.

    Args:
        f: A function of floating-point arrays (or pytrees of them) that returns a real scalar.
        wrt: Which parameters or leaves: names, several of them in a list or separated by commas.
            Left out, the leaves of the first parameter if it is a tree of arrays, and all arguments
            otherwise.
        small: A gradient whose norm is below this is vanishing.
        large: A gradient whose norm is above this is exploding.

    Returns:
        A function with the same parameters that returns a ``Diagnosis``.

    Raises:
        ArgumentsError: The arguments do not fit ``f``.
        NotDifferentiableError: There is no such parameter, it holds no floats, or the result is not
            a real scalar.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> def loss(params, x):
        ...     h = np.maximum(x @ params["W"] + params["b"], 0)
        ...     return np.mean((h @ params["V"]) ** 2)
        >>> params = {"W": np.ones((2, 3)), "b": np.full(3, -9.0), "V": np.ones((3, 1))}
        >>> found = cr.diagnose(loss)(params, np.ones((4, 2)))
        >>> found["params['W']"].cause.value, found["params['W']"].step
        ('dead mask', 'h')
        >>> [(a.name, a.dead, a.units) for a in found.activations]
        [('h', 3, 3)]
    """
    check_options(f, small, large)

    @functools.wraps(f, assigned=("__name__", "__doc__"), updated=())
    def diagnosed(*args: Any, **kwargs: Any) -> Diagnosis:
        with np.errstate(all="ignore"):
            arguments = call_of(f, args, kwargs)
            leaves = _asked(arguments, wrt)
            here = run(arguments)
            budget = walked(here, [here.inputs[n].index for n in leaves])
            names = Names(here)
            reports = [report(here, budget, names, n, small, large, steps=False) for n in leaves]
            found = tuple(sorted(reports, key=_severity))
            return Diagnosis(
                here.function, found[0].loss, found, tuple(_activations(budget, names))
            )

    return diagnosed


def _asked(arguments: Arguments, wrt: str | Sequence[str] | None) -> list[str]:
    """The names of the leaves that are asked for, in the order of the arguments."""
    first = arguments.first
    if wrt is None and not any(n != first and is_below(n, first) for n in arguments.floats):
        # A number that is left to its default (eps=1e-5) is no parameter of a model.
        wrt = [
            n for n, x in arguments.floats.items()
            if np.shape(x) or not any(is_below(n, d) for d in arguments.defaults)
        ]  # fmt: skip
    chosen = {one.leaf: one for one in arguments.chosen(wrt)}
    for leaf, one in chosen.items():
        if one.index:
            raise NotDifferentiableError(
                f"diagnose looks at whole arrays, and {one.name} is a part of one.\nAsk for {leaf}"
                f", or ask cr.why about {one.name}."
            )
    return [n for n in arguments.floats if n in chosen]


def _severity(one: GradientReport) -> tuple[int, float]:
    if one.healthy:
        return 3, 0.0
    return _SEVERITY[one.verdict], -abs(math.log10(one.norm)) if one.norm > 0 else 0.0


def _activations(budget: Budget, names: Names) -> Iterator[Activation]:
    """Named values that are an elementwise function of something, with a slope or a mask."""
    for source, (target, diagonal) in budget.elementwise().items():
        value = wide(budget.records[source].value)
        if value.ndim == 0 or value.size < 2 or source not in budget.boundary:
            continue
        if diagonal.mask is None and np.ndim(diagonal.slope) == 0:
            continue
        dead = np.broadcast_to(diagonal.product == 0, value.shape)
        units = dead.reshape(-1, value.shape[-1]).all(axis=0)
        saturated = _saturated(diagonal, wide(budget.records[target].value), value)
        yield Activation(
            names.of(source), line_of(names.place(source)), units.size, int(units.sum()), saturated
        )


def _saturated(diagonal: Diagonal, x: Any, value: Any) -> float:
    """The share of values where a function is flat, and not only at a point."""
    slope = np.abs(np.broadcast_to(diagonal.slope, value.shape))
    moves = slope * np.maximum(np.abs(x), 1.0)
    flat = (slope < _FLAT) & (moves < 1e-2 * np.max(np.abs(value)))
    if diagonal.mask is not None:
        flat = flat & (diagonal.mask != 0)
    return float(np.mean(flat))
