"""Supports: where a tangent or cotangent can be non-zero at all.

A support is ``None`` (everywhere) or a boolean array that broadcasts to the value. Outside its
support there is nothing to multiply, so a product made by the chain rule is not taken there: the
gradient through ``np.where`` never meets the NaN of the branch not taken. A product written by the
*user* is an ordinary product: 0·∞ stays NaN there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from chainrule.graph.operand import Operand, bind, concrete, symbolic
from chainrule.graph.tape import dtype_of, known, shape_of
from chainrule.graph.unusual import Unusual
from chainrule.rules.piecewise import WHERE

Support = Any

_plain: ContextVar[bool] = ContextVar("plain", default=False)
# Whether the products of a walk are taken everywhere, also where nothing can flow.
plainly = _plain.get


@contextmanager
def plain_products(wanted: bool = True) -> Iterator[None]:
    """While it is entered, derivatives are computed without supports, as other libraries do it.

    Every product of the chain rule is then taken, also outside the support: a zero that a mask made
    meets the infinite slope behind it, and their product is NaN. It shows why a gradient is NaN
    elsewhere; compiled functions run on NumPy meanwhile.

    Args:
        wanted: ``False`` asks for supports again, inside of such a block.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> safe = cr.grad(lambda x: np.where(x > 0, np.sqrt(x), 0.0))
        >>> with plain_products():
        ...     print(safe(0.0))
        nan
        >>> print(safe(0.0))
        0.0
    """
    token = _plain.set(wanted)
    try:
        with Unusual():
            yield
    finally:
        _plain.reset(token)


def times(value: Any, factor: Any, support: Support) -> Any:
    """``value·factor`` inside the support and 0 outside, whatever the factor is there."""
    if support is None or (isinstance(factor, float) and 0.0 < factor < math.inf):
        return value * factor  # outside, it is 0 times a number
    return select(support, value * factor)


def select(support: Support, value: Any) -> Any:
    """``value`` inside the support and 0 outside."""
    return bind(WHERE, (support, value, 0.0))


def restrict(weight: Any, support: Support) -> Support:
    """The support that is left behind a mask: where its weight is not zero."""
    if symbolic(weight) and weight.dtype != np.bool_:
        return support  # a symbol stands for a value in general, not for the points where it is 0
    passes = weight if weight.dtype == np.bool_ else weight != 0
    if support is not None:
        passes = passes & support
    if isinstance(passes, np.ndarray | np.bool_) and passes.all():
        return None
    return passes


def nowhere(like: Any) -> tuple[Any, Support]:
    """A tangent or cotangent that arrives, and is zero everywhere for certain."""
    shape = shape_of(like)
    return np.zeros(shape, dtype_of(like))[()], np.zeros(shape, bool)[()]


def unite(a: Support, b: Support) -> Support:
    """The support of a sum."""
    return None if a is None or b is None else a | b


def moved(move: Any, support: Support, like: Any) -> Support:
    """The support behind a linear map that moves, repeats or adds elements.

    Such a map has no negative entries, so a place can be non-zero exactly where the map of the
    support's indicator is.
    """
    reached = move(indicator(support, like)) != 0
    return None if certainly(reached) else reached


def certainly(condition: Any) -> bool:
    """Whether a condition holds everywhere; an operand that is not looked into leaves it open."""
    condition = concrete(condition)
    return not isinstance(condition, Operand) and bool(np.all(condition))


def indicator(support: Support, like: Any) -> Any:
    """1 inside the support and 0 outside, in the shape of ``like``."""
    if support is None:
        return np.ones(np.shape(like))
    return np.broadcast_to(np.where(support, 1.0, 0.0), np.shape(like))


def contract(contraction: Any, value: Any, factor: Any, support: Support) -> Any:
    """``contraction(value, factor)``, leaving out the products outside the support.

    Only a factor with an infinity or a NaN makes a difference: the products with those are taken
    out, and what they add up to inside the support is put back.
    """
    if support is None:
        return contraction(value, factor)
    finite = np.isfinite(factor)
    if not isinstance(all_finite := known(np.all(finite)), Operand) and all_finite:
        return contraction(value, factor)
    inside = indicator(support, value) != 0

    def meet(these: Any, those: Any) -> Any:
        """Where one of these elements of the value meets one of those of the factor."""
        return contraction(_numbers(these & inside), _numbers(those)) > 0

    above, below = factor == np.inf, factor == -np.inf
    up = meet(value > 0, above) | meet(value < 0, below)
    down = meet(value < 0, above) | meet(value > 0, below)
    spoilt = meet(inside, np.isnan(factor)) | meet(~((value < 0) | (value > 0)), above | below)
    beyond = np.where(up, np.inf, 0.0) - np.where(down, np.inf, 0.0) + np.where(spoilt, np.nan, 0.0)
    return contraction(value, np.where(finite, factor, 0.0)) + beyond


def _numbers(condition: Any) -> Any:
    return np.where(condition, 1.0, 0.0)
