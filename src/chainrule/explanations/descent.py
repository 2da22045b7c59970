"""Gradient descent with its history: a table of step, loss, parameters and gradients."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.display import Displayed
from chainrule.errors import ArgumentsError
from chainrule.explanations.update import stepped
from chainrule.graph.node import Node
from chainrule.sources.elements import element
from chainrule.sources.function import trace_program
from chainrule.transforms import value_and_grad


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """The state before one step.

    Attributes:
        step: How many steps were taken before.
        loss: The loss there.
        values: The parameters, by name.
        gradients: The derivative of the loss with respect to each.
    """

    step: int
    loss: float
    values: Mapping[str, Any]
    gradients: Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Descent(Displayed):
    """The history of a gradient descent; it prints its head and its tail.

    Attributes:
        function: The name of the loss.
        rate: The learning rate η.
        steps: How many steps were taken: fewer than asked for if the loss stopped being finite.
        losses: The loss before each step and after the last, ``steps + 1`` numbers.
        moments: The kept moments, with parameters and gradients; the first and the last are there.
        stopped: Why it ended early; ``None`` if it did not.
    """

    function: str
    rate: float
    steps: int
    losses: Any
    moments: tuple[Moment, ...]
    stopped: str | None = None

    @property
    def values(self) -> Mapping[str, Any]:
        """The parameters after the last step, by name."""
        return self.moments[-1].values

    @property
    def loss(self) -> float:
        """The loss after the last step."""
        return float(self.losses[-1])

    def to_dict(self) -> dict[str, Any]:
        """The history as plain dicts, lists, strings and numbers, ready for JSON."""
        from chainrule.render.descent import as_dict

        return as_dict(self)

    def to_text(self, width: int = 100) -> str:
        """Head and tail of the table, as the terminal shows it."""
        from chainrule.render.descent import as_text

        return as_text(self, width)

    def to_markdown(self) -> str:
        """Head and tail of the table in Markdown."""
        from chainrule.render.descent import as_markdown

        return as_markdown(self)


def descent(
    loss: Callable[..., Any],
    wrt: str | Sequence[str] | None = None,
    *,
    rate: float = 0.1,
    steps: int = 100,
    every: int = 1,
) -> Callable[..., Descent]:
    """Gradient descent ``W ← W − rate·∂loss/∂W``, with the history of every step.

    It is the plain rule and shows what it does; ``chainrule.nn`` trains networks.

    Args:
        loss: A function of floats, arrays or pytrees of them, with a scalar result.
        wrt: The parameters to change, by name: ``"W"``, ``"W1, b1"``, a leaf ``"params['W']"`` or
            an element ``"W[0,1]"``; the first parameter if left out. What is not named stays.
        rate: The learning rate η.
        steps: How many steps to take.
        every: Keep parameters and gradients of every so many steps (the loss is kept of all).

    Returns:
        A function with the parameters of ``loss`` that descends from its arguments and returns the
        ``Descent``. Values keep their shapes and dtypes.

    Raises:
        ArgumentsError: A number of steps is none.
        NotDifferentiableError: ``loss`` has no such parameter, or it is not made of floats.

    Example:
        >>> import chainrule as cr
        >>> history = cr.descent(lambda w: (w - 3.0) ** 2, rate=0.25, steps=3)(1.0)
        >>> [float(x) for x in history.losses]
        [4.0, 1.0, 0.25, 0.0625]
        >>> float(history.values["w"])
        2.75
    """
    for name, number, least in (("steps", steps, 0), ("every", every, 1)):
        if isinstance(number, bool) or not isinstance(number, int) or number < least:
            raise ArgumentsError(f"{name} is a whole number from {least} on, not {number!r}")
    if isinstance(rate, bool | str) or np.ndim(rate) or not np.isfinite(rate):
        raise ArgumentsError(f"the rate of a descent is a finite number, not {rate!r}")

    @functools.wraps(loss, assigned=("__name__", "__doc__"), updated=())
    def descended(*args: Any, **kwargs: Any) -> Descent:
        return _descended(loss, args, kwargs, wrt, float(rate), steps, every)

    return descended


def _descended(
    loss: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    wrt: str | Sequence[str] | None,
    rate: float,
    steps: int,
    every: int,
) -> Descent:
    program, point, names = trace_program(loss, args, kwargs, wrt)
    function = program.function
    title = getattr(loss, "__name__", "loss").replace("<lambda>", "loss")
    places = {n: None if n in point else element(n, point) for n in names}
    leaves = {n if p is None else p.leaf: None for n, p in places.items()}
    values = {leaf: point[leaf] for leaf in leaves}
    if function is None or not isinstance(program.output, Node):
        raise ArgumentsError(f"{title} does not depend on {', '.join(names)}: nothing would change")
    run = function

    def parametrised(parameters: Mapping[str, Any]) -> Any:
        return run({**point, **parameters})

    parametrised.__name__ = title
    slope = value_and_grad(parametrised)
    losses: list[float] = []
    moments: list[Moment] = []
    stopped = None
    for step in range(steps + 1):
        with np.errstate(all="ignore"):
            value, gradient = slope(values)
        losses.append(float(value))
        if not np.isfinite(value):
            stopped = f"the loss is {float(value)} after {step} steps"
        if step % every == 0 or step == steps or stopped:
            moments.append(Moment(step, float(value), _of(values, places), _of(gradient, places)))
        if stopped or step == steps:
            break
        with np.errstate(all="ignore"):
            values = _stepped(values, gradient, places, rate)
    return Descent(title, rate, len(losses) - 1, np.array(losses), tuple(moments), stopped)


def _of(values: Mapping[str, Any], places: Mapping[str, Any]) -> dict[str, Any]:
    """What is asked for of the leaves: a leaf, or one element of it."""
    return {n: values[n] if p is None else values[p.leaf][p.index] for n, p in places.items()}


def _stepped(
    values: Mapping[str, Any], gradient: Mapping[str, Any], places: Mapping[str, Any], rate: float
) -> dict[str, Any]:
    """The values after a step, which leaves alone what was not asked for."""
    found = dict(values)
    for name, place in places.items():
        if place is None:
            found[name] = stepped(values[name], rate, gradient[name])
            continue
        if found[place.leaf] is values[place.leaf]:
            found[place.leaf] = np.array(values[place.leaf])
        old = values[place.leaf][place.index]
        found[place.leaf][place.index] = stepped(old, rate, gradient[place.leaf][place.index])
    return found
