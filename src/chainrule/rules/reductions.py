"""Reductions: sum, mean, product, largest and smallest, log-sum-exp; any, all, count.

A reduction that is not linear states its partial like an elementwise row, in the shape of its
argument: ``partial(x, out, **attrs)`` with ``out`` repeated to that shape.

The policy at a kink: elements that tie for the maximum or minimum share its derivative equally. A
NaN wins, as it does in the value; those that lose are not multiplied with anything.
"""

from __future__ import annotations

import functools
import math
import operator
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from chainrule.graph.operand import METHODS, Operand, bind, refuse_out
from chainrule.graph.primitive import Convention, Custom, Flat, Linear, Mask, Primitive, Scale
from chainrule.graph.tape import dtype_of, shape_of
from chainrule.rules.book import define, numpy_function
from chainrule.rules.cumulative import converted, exclusive_cumprod, without_nans
from chainrule.rules.piecewise import WHERE
from chainrule.rules.shapes import (
    add_up,
    array_of,
    broadcast_to,
    cast,
    floating,
    repeated,
    reshape,
    transpose,
)

# -------------------------------------------------------------------------------------------- axes


def spread(cotangent: Any, x: Any, axis: Any = None, keepdims: bool = False, **_more: Any) -> Any:
    """Transpose of a sum: every element that went into it receives the cotangent."""
    shape = shape_of(x)
    if axis is not None and not keepdims:
        ones = _with_ones(shape, axis)
        if type(cotangent) is np.ndarray:
            return repeated(cotangent.reshape(ones), shape)
        cotangent = reshape(cotangent, ones)
    return broadcast_to(cotangent, shape)


def summed(x: Any, axis: Any = None, keepdims: bool = False, **_more: Any) -> Any:
    """The sum over the axes that a reduction reduces, whatever else it is told."""
    return bind(SUM, (x,), {"axis": axis, "keepdims": keepdims})


def normal_axis(axis: Any, ndim: int) -> Any:
    """``axis`` as rows take it: ``None``, an integer, or a tuple of integers, none negative."""
    if axis is None or (type(axis) is int and 0 <= axis < ndim):
        return axis
    if isinstance(axis, tuple | list):
        return normalize_axis_tuple(tuple(axis), ndim)
    axis = operator.index(axis)
    # NumPy takes the first axis of a value of no dimensions for none at all.
    return () if ndim == 0 and axis in (0, -1) else normalize_axis_index(axis, ndim)


def reduced_axes(axis: Any, ndim: int) -> tuple[int, ...]:
    """The axes that are reduced, one by one."""
    if axis is None:
        return tuple(range(ndim))
    return tuple(a % ndim for a in (axis if isinstance(axis, tuple) else (axis,)))


def reduced_shape(x: Any, axis: Any, keepdims: bool) -> tuple[int, ...]:
    """Shape of the reduction."""
    shape = shape_of(x)
    if keepdims:
        return _with_ones(shape, axis)
    reduced = reduced_axes(axis, len(shape))
    return tuple([n for i, n in enumerate(shape) if i not in reduced])


def _with_ones(shape: tuple[int, ...], axis: Any) -> tuple[int, ...]:
    """The shape with length 1 in place of the reduced axes."""
    if type(axis) is int and axis >= 0:
        return (*shape[:axis], 1, *shape[axis + 1 :])
    reduced = reduced_axes(axis, len(shape))
    return tuple([1 if i in reduced else n for i, n in enumerate(shape)])


def count(x: Any, axis: Any) -> int:
    """How many elements go into each output of the reduction."""
    shape = shape_of(x)
    if axis is None:
        return math.prod(shape)
    if type(axis) is int:
        return shape[axis]
    return math.prod([shape[a] for a in reduced_axes(axis, len(shape))])


def last_axis_of(x: Any, axis: Any) -> Any:
    """``x`` with the reduced axes flattened into a last one."""
    reduced = reduced_axes(axis, np.ndim(x))
    kept = tuple(i for i in range(np.ndim(x)) if i not in reduced)
    ordered = transpose(x, kept + reduced)
    return reshape(ordered, (*(np.shape(x)[i] for i in kept), count(x, axis)))


def _back_from_last_axis(y: Any, x: Any, axis: Any) -> Any:
    """The inverse of ``last_axis_of``."""
    reduced = reduced_axes(axis, np.ndim(x))
    order = tuple(i for i in range(np.ndim(x)) if i not in reduced) + reduced
    unflattened = reshape(y, tuple(np.shape(x)[i] for i in order))
    return transpose(unflattened, tuple(int(i) for i in np.argsort(order)))


# -------------------------------------------------------------------------------------------- rows


def _product_of_others(x: Any, out: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """For each element, the product of those before it times the product of those behind it."""
    moved = last_axis_of(x, axis)
    last = np.ndim(moved) - 1
    others = exclusive_cumprod(moved, last) * exclusive_cumprod(moved, last, reverse=True)
    return _back_from_last_axis(others, x, axis)


def _winners(x: Any, out: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """1 for the largest (smallest), 0 for the others; equal ones share it, and a NaN wins.

    Where there is a NaN, ``out`` is one, and no number is equal to it.
    """
    return _shared(np.equal(x, out) | np.isnan(x), x, axis)


def _winning_numbers(x: Any, out: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The same where NaNs are skipped: one wins only where there is nothing else."""
    return _shared(np.equal(x, out) | (np.isnan(x) & np.isnan(out)), x, axis)


def _shared(wins: Any, x: Any, axis: Any) -> Any:
    """1 for those that win, divided by how many they are."""
    wins = cast(wins, x)
    winners = bind(SUM, (wins,), {"axis": axis, "keepdims": True})
    return wins / broadcast_to(winners, np.shape(x))


def _ties(extreme: Any) -> tuple[Convention, ...]:
    def at(x: Any, axis: Any = None, **_attrs: Any) -> Any:
        return np.sum(x == extreme(x, axis=axis, keepdims=True), axis=axis) > 1

    return (Convention(at, "a tie", "not differentiable; the equal elements share the derivative"),)


def _extreme(name: str, evaluate: Any, winners: Any = _winners, **facts: Any) -> Primitive:
    return define(
        name, lambda x, axis=None, keepdims=False: evaluate(x, axis=axis, keepdims=keepdims),
        Mask(winners), elementwise=False, structure="selection", axes=("axis",),
        conventions=_ties(evaluate), **facts,
    )  # fmt: skip


# Of these, ``np.mean`` is the sum divided by the number of elements.
_SUMMED_AS_THEY_ARE = (np.float64, np.float32)


def _mean_of(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """What ``np.mean`` gives, without its way there where that is all the same."""
    if type(x) is np.ndarray and x.size and (kind := x.dtype.type) in _SUMMED_AS_THEY_ARE:
        return add_up(x, axis, None, None, keepdims) / kind(count(x, axis))
    return np.mean(x, axis=axis, keepdims=keepdims)


SUM = define(
    "sum", functools.partial(add_up, axis=None),
    Linear(spread), elementwise=False, structure="row of ones", axes=("axis",), latex=r"\sum",
)
MEAN = define(
    "mean", _mean_of,
    Linear(lambda ct, x, axis=None, keepdims=False:
           spread(ct / count(x, axis), x, axis, keepdims)),
    elementwise=False, structure="row of 1/n", axes=("axis",),
)  # fmt: skip
PROD = define(
    "prod", lambda x, axis=None, keepdims=False: np.prod(x, axis=axis, keepdims=keepdims),
    Scale(_product_of_others), elementwise=False, structure="row", axes=("axis",), latex=r"\prod",
)
MAX = _extreme("max", np.max, latex=r"\max")
MIN = _extreme("min", np.min, latex=r"\min")
NANMAX = _extreme("nanmax", np.nanmax, _winning_numbers)
NANMIN = _extreme("nanmin", np.nanmin, _winning_numbers)


def _logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """ln Σ eˣ: the largest element, and what all together exceed it by."""
    with np.errstate(all="ignore"):
        largest = np.max(x, axis=axis, keepdims=True, initial=-np.inf)
        finite = np.isfinite(largest)
        at_top = x == largest
        tops = np.sum(at_top, axis=axis, keepdims=True, dtype=dtype_of(x))
        decays = np.exp(np.where(at_top, -np.inf, x - np.where(finite, largest, 0)))
        rest = np.sum(decays, axis=axis, keepdims=True)
        found = np.where(finite, largest + (np.log(tops) + np.log1p(rest / tops)), largest)
    return found if keepdims else found.reshape(reduced_shape(x, axis, keepdims=False))


def _probabilities(x: Any, out: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Softmax of x, and 0 if all of them are e^(−∞) = 0.

    It is e^(x − out), but the rounding of ``out`` must not come in: it can be larger than 1.
    """
    return np.where(np.equal(out, -np.inf), 0, bind(SOFTMAX, (x,), {"axis": axis}))


def _powers(x: Any, axis: Any) -> tuple[Any, Any]:
    """e^(x − largest), and their sum."""
    powers = np.exp(x - _finite_max(x, axis=axis))
    return powers, np.sum(powers, axis=axis, keepdims=True)


def _finite_max(x: Any, b: Any = 1.0, axis: Any = None) -> Any:
    """The largest element whose weight is not 0, in reduced axes of length 1; 0 if not finite."""
    counting = np.where(np.equal(b, 0), -np.inf, x).astype(dtype_of(x))
    largest = np.max(counting, axis=axis, keepdims=True, initial=-np.inf)
    return np.where(np.isfinite(largest), largest, 0).astype(dtype_of(x))


def _softmax(x: Any, axis: Any = None) -> Any:
    with np.errstate(all="ignore"):
        powers, total = _powers(x, axis)
        return powers / total


def _log_softmax(x: Any, axis: Any = None) -> Any:
    with np.errstate(all="ignore"):
        return x - _finite_max(x, axis=axis) - np.log(_powers(x, axis)[1])


def _softmax_edge(t: Any, x: Any, out: Any, axis: Any = None) -> Any:
    """Its Jacobian diag(p) − p·pᵀ is symmetric, so push and pull are the same."""
    scaled = out * t
    return scaled - out * _total(scaled, axis)


def _total(x: Any, axis: Any) -> Any:
    return bind(SUM, (x,), {"axis": axis, "keepdims": True})


LOGSUMEXP = define(
    "logsumexp", _logsumexp, Scale(_probabilities),
    elementwise=False, structure="row", axes=("axis",), ulps=8.0,
    conventions=(
        Convention(
            lambda x, axis=None, **_attrs: np.max(x, axis=axis) == -np.inf, "−∞ throughout",
            "not differentiable; 0 used",
        ),
    ),
)  # fmt: skip
SOFTMAX = define(
    "softmax", _softmax, Custom(_softmax_edge, _softmax_edge),
    elementwise=False, structure="symmetric", axes=("axis",), ulps=8.0,
)
LOG_SOFTMAX = define(
    "log_softmax", _log_softmax,
    Custom(
        push=lambda t, x, out, axis=None: t - _total(np.exp(out) * t, axis),
        pull=lambda ct, x, out, axis=None: ct - np.exp(out) * _total(ct, axis),
    ),
    elementwise=False, structure="matrix", axes=("axis",), ulps=8.0,
)  # fmt: skip
FINITE_MAX = define(
    "finite_max", _finite_max, Flat("an offset that the result does not depend on"),
    elementwise=False, structure="step", axes=("axis",), recorded=False,
)


def _condition(name: str, function: Any) -> Primitive:
    return define(
        name,
        lambda x, axis=None, keepdims=False: np.asarray(function(x, axis=axis, keepdims=keepdims)),
        Flat("a condition"), elementwise=False, structure="step", axes=("axis",), recorded=False,
    )


ANY = _condition("any", np.any)
ALL = _condition("all", np.all)
COUNT_NONZERO = _condition("count_nonzero", np.count_nonzero)

# ------------------------------------------------------------------------------ NumPy's functions


def reduced(row: Primitive, x: Any, axis: Any, keepdims: Any, **attrs: Any) -> Any:
    """``row`` of ``x``, its axes in normal form."""
    if axis is not None:
        axis = normal_axis(axis, len(shape_of(x)))
    if keepdims is not False:
        keepdims = _truth(keepdims)
    options = {"axis": axis, "keepdims": keepdims}
    options = options | attrs if attrs else options
    return x.apply(row, (x,), options) if isinstance(x, Operand) else row.evaluate(x, **options)


def _truth(option: Any) -> bool:
    return option is not np._NoValue and bool(option)


def given(option: Any) -> bool:
    """Whether an option was given at all."""
    return option is not None and option is not np._NoValue


def kept_where(x: Any, where: Any, otherwise: Any) -> Any:
    """``x`` with ``otherwise`` in the places that ``where=`` leaves out."""
    if where is True or not given(where):
        return x
    return bind(WHERE, (broadcast_to(array_of(where), np.shape(x)), x, otherwise))


def counted(x: Any, axis: Any, keepdims: Any, where: Any) -> Any:
    """How many elements of each reduction ``where`` counts, for floats in their dtype."""
    places = broadcast_to(array_of(where), np.shape(x))
    found = reduced(COUNT_NONZERO, places, axis, keepdims)
    return cast(found, x) if dtype_of(x).kind == "f" else found


def _connect_sum(row: Primitive, function: Any, ufunc: Any, combine: Any, identity: float) -> None:
    @numpy_function(function, ufunc, method=row.name)
    def adapter(
        a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False,
        initial: Any = None, where: Any = True,
    ) -> Any:  # fmt: skip
        if dtype is out is initial is None and where is True:
            return reduced(row, array_of(a), axis, keepdims)
        a = array_of(a)
        refuse_out(row.name, out)
        kept = kept_where(converted(a, dtype), where, identity)
        found = reduced(row, kept, axis, keepdims)
        return combine(found, initial) if given(initial) else found


_connect_sum(SUM, np.sum, np.add, np.add, 0.0)
_connect_sum(PROD, np.prod, np.multiply, np.multiply, 1.0)


def _connect_nansum(row: Primitive, function: Any, plain: Any, identity: float) -> None:
    @numpy_function(function)
    def adapter(
        a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False,
        initial: Any = None, where: Any = True,
    ) -> Any:  # fmt: skip
        refuse_out(function.__name__, out)
        kept = without_nans(a, identity)
        options = {"initial": initial, "where": where}
        options = {name: option for name, option in options.items() if given(option)}
        return plain(kept, axis, dtype, None, _truth(keepdims), **options)


_connect_nansum(SUM, np.nansum, np.sum, 0.0)
_connect_nansum(PROD, np.nanprod, np.prod, 1.0)


@numpy_function(np.mean, method="mean")
def _mean(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False, *,
    where: Any = True,
) -> Any:  # fmt: skip
    a = array_of(a)
    if dtype is out is None and where is True:
        return reduced(MEAN, a, axis, keepdims)
    refuse_out("mean", out)
    a = converted(a, dtype)
    if where is True or not given(where):
        return reduced(MEAN, a, axis, keepdims)
    total = reduced(SUM, kept_where(a, where, 0.0), axis, keepdims)
    return total / counted(a, axis, keepdims, where)


@numpy_function(np.nanmean)
def _nanmean(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False, *,
    where: Any = True,
) -> Any:  # fmt: skip
    refuse_out("nanmean", out)
    numbers = ~np.isnan(a)
    if given(where) and where is not True:
        numbers = numbers & where
    return _mean(a, axis, dtype, None, keepdims, where=numbers)


def _connect_extreme(
    row: Primitive, functions: Any, pairwise: Any, never: float, method: str | None = None
) -> None:
    @numpy_function(*functions, method=method)
    def adapter(
        a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, initial: Any = None,
        where: Any = True, dtype: Any = None,
    ) -> Any:  # fmt: skip
        refuse_out(row.name, out)
        a = converted(array_of(a), dtype)
        if where is not True and given(where) and not given(initial):
            raise ValueError(
                f"reduction operation {row.name!r} does not have an identity, so to use a where "
                "mask one has to specify 'initial'"
            )
        axes = normal_axis(axis, np.ndim(a))
        if given(initial) and count(a, axes) == 0:
            shape = reduced_shape(a, axes, _truth(keepdims))
            return cast(broadcast_to(array_of(initial), shape), a)
        found = reduced(row, kept_where(a, where, never), axes, keepdims)
        return pairwise(found, cast(array_of(initial), a)) if given(initial) else found


_connect_extreme(MAX, (np.max, np.amax), np.maximum, -np.inf, "max")
_connect_extreme(MIN, (np.min, np.amin), np.minimum, np.inf, "min")
_connect_extreme(NANMAX, (np.nanmax,), np.fmax, -np.inf)
_connect_extreme(NANMIN, (np.nanmin,), np.fmin, np.inf)


def _connect_reduce(ufunc: Any, function: Any) -> None:
    """``ufunc.reduce`` of an operand: the function that reduces with this ufunc."""

    @numpy_function(ufunc)
    def adapter(a: Any, axis: Any = 0, dtype: Any = None, out: Any = None, **options: Any) -> Any:
        refuse_out(ufunc.__name__, out)
        return function(converted(array_of(a), dtype), axis=axis, **options)


_connect_reduce(np.maximum, np.max)
_connect_reduce(np.minimum, np.min)
_connect_reduce(np.fmax, np.nanmax)
_connect_reduce(np.fmin, np.nanmin)


@numpy_function(np.ptp)
def _ptp(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False) -> Any:
    refuse_out("ptp", out)
    return reduced(MAX, a, axis, keepdims) - reduced(MIN, a, axis, keepdims)


def _connect_condition(row: Primitive, function: Any, ufunc: Any, neutral: Any) -> None:
    @numpy_function(function, ufunc, method=row.name)
    def adapter(
        a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, *, where: Any = True,
        dtype: Any = None,
    ) -> Any:  # fmt: skip
        refuse_out(row.name, out)
        return reduced(row, kept_where(array_of(a), where, neutral), axis, keepdims)


_connect_condition(ANY, np.any, np.logical_or, False)
_connect_condition(ALL, np.all, np.logical_and, True)


@numpy_function(np.count_nonzero)
def _count_nonzero(a: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    return reduced(COUNT_NONZERO, a, axis, keepdims)


# ------------------------------------------------------------------------------ SciPy's functions


def logsumexp(
    a: Any, axis: Any = None, b: Any = None, keepdims: bool = False, return_sign: bool = False
) -> Any:
    """``ln Σ b·eᵃ``, without overflow: SciPy's function, on arrays and operands.

    Args:
        a: Exponents, of any shape. An exponent of −∞ adds nothing and has derivative 0.
        axis: Which axes to sum over: an integer, a tuple, or ``None`` for all.
        b: Weights that broadcast with ``a``, of any sign.
        keepdims: Keep the reduced axes, with length 1.
        return_sign: Return the logarithm of the sum's size, and the sum's sign.

    Returns:
        The logarithm, in the dtype of the arguments (NaN for a negative sum), or it and the sign.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> from chainrule.rules.reductions import logsumexp
        >>> cr.grad(logsumexp)(np.array([0.0, -np.inf, 0.0]))
        array([0.5, 0. , 0.5])
    """
    a = floating(a)
    if b is None and not return_sign:
        return reduced(LOGSUMEXP, a, axis, keepdims)
    b = cast(floating(1.0 if b is None else b), a)
    shape = np.broadcast_shapes(np.shape(a), np.shape(b))
    a, b = broadcast_to(a, shape), broadcast_to(b, shape)
    axis = normal_axis(axis, np.ndim(a))
    offset = bind(FINITE_MAX, (a, b), {"axis": axis})
    exponents = a - offset
    # e^(a − offset) can only overflow where b = 0, and there it must not become 0·∞.
    beyond = np.equal(b, 0) & (exponents > np.log(np.finfo(dtype_of(a)).max))
    total = reduced(SUM, b * np.exp(bind(WHERE, (beyond, -np.inf, exponents))), axis, keepdims)
    with np.errstate(divide="ignore"):
        size = np.log(np.abs(total)) + reshape(offset, np.shape(total))
    if return_sign:
        return size, np.sign(total)
    return bind(WHERE, (total < 0, np.nan, size))


def softmax(x: Any, axis: Any = None) -> Any:
    """``eˣ / Σ eˣ``: SciPy's function, on arrays and operands.

    Args:
        x: Numbers of any shape. An element of −∞ has probability 0 and derivative 0.
        axis: Which axes sum to 1: an integer, a tuple, or ``None`` for all.

    Returns:
        Probabilities in the shape and dtype of ``x``.

    Example:
        >>> import numpy as np
        >>> from chainrule.rules.reductions import softmax
        >>> softmax(np.array([0.0, -np.inf, 0.0]))
        array([0.5, 0. , 0.5])
    """
    x = floating(x)
    return bind(SOFTMAX, (x,), {"axis": normal_axis(axis, np.ndim(x))})


def log_softmax(x: Any, axis: Any = None) -> Any:
    """``x − ln Σ eˣ``: SciPy's function, on arrays and operands.

    Args:
        x: Numbers of any shape.
        axis: Over which axes to sum: an integer, a tuple, or ``None`` for all.

    Returns:
        Logarithms of probabilities in the shape and dtype of ``x``.

    Example:
        >>> import numpy as np
        >>> from chainrule.rules.reductions import log_softmax
        >>> log_softmax(np.array([1000.0, 0.0]))
        array([    0., -1000.])
    """
    x = floating(x)
    return bind(LOG_SOFTMAX, (x,), {"axis": normal_axis(axis, np.ndim(x))})


@numpy_function(np.logaddexp)
def _logaddexp_reduce(
    a: Any, axis: Any = 0, dtype: Any = None, out: Any = None, keepdims: Any = False,
    initial: Any = None, where: Any = True,
) -> Any:  # fmt: skip
    refuse_out("logaddexp.reduce", out)
    kept = kept_where(converted(array_of(a), dtype), where, -np.inf)
    found = logsumexp(kept, axis, keepdims=_truth(keepdims))
    return np.logaddexp(found, initial) if given(initial) else found


METHODS["ptp"] = _ptp
