"""Schedules: the learning rate as a function of the number of steps that were taken.

An optimiser takes one wherever it takes a rate. Steps are counted from 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from chainrule.errors import ArgumentsError

Schedule = Callable[[Any], Any]


def constant_schedule(rate: float) -> Schedule:
    """Always the same rate."""
    return lambda step: rate + 0.0 * step


def exponential_schedule(rate: float, factor: float, every: int = 1) -> Schedule:
    """rate · factor^(step/every): times ``factor`` in the course of ``every`` steps.

    Example:
        >>> from chainrule import nn
        >>> float(nn.exponential_schedule(0.1, 0.5, every=10)(20))
        0.025
    """
    return lambda step: rate * factor ** (step / every)


def step_schedule(rate: float, factors: Mapping[int, float]) -> Schedule:
    """A rate that is multiplied by a factor at certain steps, and constant between them.

    Args:
        rate: The first rate.
        factors: For each step from which on a factor counts, that factor.

    Example:
        >>> from chainrule import nn
        >>> rate = nn.step_schedule(0.1, {100: 0.1, 200: 0.5})
        >>> float(rate(99)), round(float(rate(100)), 6), round(float(rate(200)), 6)
        (0.1, 0.01, 0.005)
    """

    def at(step: Any) -> Any:
        value = constant_schedule(rate)(step)
        for begin, factor in factors.items():
            value = np.where(step >= begin, value * factor, value)
        return value

    return at


def cosine_schedule(rate: float, steps: int, last: float = 0.0) -> Schedule:
    """Down from ``rate`` to ``last`` along half a cosine in ``steps`` steps, and then constant.

    last + (rate − last)·(1 + cos(π·step/steps))/2. Loshchilov and Hutter: "SGDR", 2016, equation 5.

    Example:
        >>> from chainrule import nn
        >>> [round(float(nn.cosine_schedule(1.0, 10)(n)), 3) for n in (0, 5, 10, 11)]
        [1.0, 0.5, 0.0, 0.0]
    """
    if steps < 1:
        raise ArgumentsError(f"cosine_schedule: steps is a whole number from 1 on, not {steps!r}")

    def at(step: Any) -> Any:
        done = np.minimum(step, steps) / steps
        return last + (rate - last) * (1 + np.cos(np.pi * done)) / 2

    return at


def warmup_schedule(steps: int, then: float | Schedule) -> Schedule:
    """Evenly up from 0 to where ``then`` begins in ``steps`` steps, and then ``then``.

    Args:
        steps: How long it takes.
        then: A rate, or a schedule (which counts its steps from the end of the warm-up).

    Example:
        >>> from chainrule import nn
        >>> rate = nn.warmup_schedule(10, nn.cosine_schedule(1.0, 100))
        >>> float(rate(0)), float(rate(5)), float(rate(10)), float(rate(110))
        (0.0, 0.5, 1.0, 0.0)
    """
    if steps < 1:
        raise ArgumentsError(f"warmup_schedule: steps is a whole number from 1 on, not {steps!r}")
    after = as_schedule(then)

    def at(step: Any) -> Any:
        rising = np.minimum(step, steps) / steps * after(0 * step)
        return np.where(step < steps, rising, after(np.maximum(step - steps, 0)))

    return at


def as_schedule(rate: float | Schedule) -> Schedule:
    """A schedule as it is, a number as a schedule that never changes."""
    return rate if callable(rate) else constant_schedule(rate)
