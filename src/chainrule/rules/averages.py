"""Averages over an interval: divided differences without the division.

sin x / x is the average of cos(x·t) over t in [0, 1], and the derivative of the average is the
average of the derivative. Beside the point where the quotient is 0/0, where the difference in the
numerator of its derivative has lost its digits, the average has all of them, at every order. It is
taken by Gauss and Legendre's rule, whose error is far below rounding for the functions here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.graph.operand import symbolic
from chainrule.graph.tape import dtype_of
from chainrule.rules.shapes import reshape


@functools.cache
def _rule() -> tuple[Any, Any]:
    """Where the function is asked, and the weight of each answer."""
    nodes, weights = np.polynomial.legendre.leggauss(18)
    return (nodes + 1) / 2, weights / 2


def average(f: Callable[[Any, Any], Any], x: Any) -> Any:
    """The average of ``f(t, x)`` over t from 0 to 1, for each element of ``x``."""
    dtype = dtype_of(x)
    nodes, weights = _rule()
    values = f(nodes.astype(dtype), reshape(x, (*np.shape(x), 1)))
    return np.sum(weights.astype(dtype) * values, axis=-1)


def beside(
    x: Any, radius: float, f: Callable[[Any, Any], Any], quotient: Callable[[Any], Any]
) -> Any:
    """The average of ``f`` where ``|x| < radius``, and the same as ``quotient(x)`` elsewhere."""
    if symbolic(x):
        return quotient(x)
    near = np.abs(x) < radius
    return np.where(
        near, average(f, np.where(near, x, 0.0)), quotient(np.where(near, 2 * radius, x))
    )


def sine_ratio(x: Any) -> Any:
    """sin(x)/x, and 1 at 0."""
    return beside(x, 1.0, lambda t, x: np.cos(t * x), lambda x: np.sin(x) / x)


def sinh_ratio(x: Any) -> Any:
    """sinh(x)/x, and 1 at 0."""
    return beside(x, 1.0, lambda t, x: np.cosh(t * x), lambda x: np.sinh(x) / x)


def log1p_ratio(x: Any) -> Any:
    """ln(1 + x)/x, and 1 at 0."""
    return beside(x, 0.5, lambda t, x: 1 / (1 + t * x), lambda x: np.log1p(x) / x)


def log1p_ratio_slope(x: Any) -> Any:
    """The derivative of ``log1p_ratio``."""
    return beside(
        x, 0.5, lambda t, x: -t / (1 + t * x) ** 2,
        lambda x: (1 / (1 + x) - np.log1p(x) / x) / x,
    )  # fmt: skip


def expm1_ratio_slope(x: Any) -> Any:
    """The derivative of (e^x − 1)/x."""
    return beside(
        x, 1.0, lambda t, x: t * np.exp(t * x), lambda x: (np.exp(x) - np.expm1(x) / x) / x
    )
