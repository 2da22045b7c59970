"""Statistics: variance, averages, quantiles, covariances.

The policy where the elements are all equal: the standard deviation is a distance from the mean, and
has derivative 0 at 0, as a norm has (PyTorch's choice; JAX gives NaN). Medians and quantiles are
taken from the sorted array: of equal elements, the ones that stand in those places carry the
derivative. Between two order statistics the derivative with respect to ``q`` is the slope of the
line between them, at one the slope to its right, and at the last one to its left.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from chainrule.errors import NotDifferentiableError
from chainrule.graph.operand import Operand, bind, refuse_out
from chainrule.graph.primitive import Convention, Primitive, Scale
from chainrule.graph.tape import dtype_of
from chainrule.rules.batching import ARRAY
from chainrule.rules.book import define, numpy_function
from chainrule.rules.choosing import known
from chainrule.rules.cumulative import converted
from chainrule.rules.ordering import ARGSORT, moved_to_front, sort, take_along_axis
from chainrule.rules.piecewise import WHERE
from chainrule.rules.reductions import (
    COUNT_NONZERO,
    MEAN,
    SUM,
    count,
    counted,
    given,
    kept_where,
    last_axis_of,
    normal_axis,
    reduced,
    reduced_shape,
)
from chainrule.rules.shapes import SCATTER, array_of, astype, broadcast_to, cast, reshape, transpose

# -------------------------------------------------------------------------------------------- rows


def _from_mean(x: Any, axis: Any) -> Any:
    return x - bind(MEAN, (x,), {"axis": axis, "keepdims": True})


def _freedom(x: Any, axis: Any, ddof: float) -> Any:
    """The divisor of a variance, in the dtype of ``x``; as in NumPy it is never below 0."""
    return dtype_of(x).type(max(count(x, axis) - ddof, 0))


def _var_slope(x: Any, out: Any, axis: Any = None, keepdims: bool = False, ddof: float = 0) -> Any:
    return 2 * _from_mean(x, axis) / _freedom(x, axis, ddof)


def _std_slope(x: Any, out: Any, axis: Any = None, keepdims: bool = False, ddof: float = 0) -> Any:
    """(x − mean)/((n − ddof)·std), and 0 where the standard deviation is 0."""
    constant = np.equal(out, 0)
    slope = _from_mean(x, axis) / _freedom(x, axis, ddof) / np.where(constant, 1, out)
    return np.where(constant, 0, slope)


VAR = define(
    "var",
    lambda x, axis=None, keepdims=False, ddof=0: np.var(x, axis=axis, keepdims=keepdims, ddof=ddof),
    Scale(_var_slope), elementwise=False, structure="row", axes=("axis",), ulps=8.0,
)
STD = define(
    "std",
    lambda x, axis=None, keepdims=False, ddof=0: np.std(x, axis=axis, keepdims=keepdims, ddof=ddof),
    Scale(_std_slope), elementwise=False, structure="row", axes=("axis",), ulps=8.0,
    conventions=(
        Convention(
            lambda x, axis=None, **_attrs: np.std(x, axis=axis) == 0, "equal elements",
            "not differentiable; 0 used",
        ),
    ),
)  # fmt: skip

# ------------------------------------------------------------------------------------- variance


def _variance(
    row: Primitive, a: Any, axis: Any, keepdims: Any, ddof: float, where: Any, mean: Any
) -> Any:
    a = array_of(a)
    axis = normalize_axis_tuple(axis, np.ndim(a)) if axis is not None else None
    if given(mean):
        distance = kept_where(a - mean, where, 0.0)
        freedom = np.maximum(counted(a, axis, keepdims, _everywhere(where)) - ddof, 0)
        variance = reduced(SUM, distance * distance, axis, keepdims) / cast(freedom, a)
        return variance if row is VAR else np.sqrt(variance)
    if where is True or not given(where):
        return reduced(row, a, axis, keepdims, ddof=ddof)
    return _variance_of_some(row, a, axis, keepdims, ddof, where)


def _everywhere(where: Any) -> Any:
    return where if given(where) else True


def _variance_of_some(
    row: Primitive, a: Any, axis: Any, keepdims: Any, ddof: float, where: Any
) -> Any:
    """Where ``where`` is not true the mean is put, which adds nothing to the variance."""
    with np.errstate(all="ignore"):
        some = counted(a, axis, True, where)
        mean = reduced(SUM, kept_where(a, where, 0.0), axis, True) / some
        filled = kept_where(a, where, broadcast_to(mean, np.shape(a)))
        over_all = reduced(row, filled, axis, keepdims, ddof=0)
        freedom = np.maximum(reshape(some, np.shape(over_all)) - ddof, 0)
        ratio = dtype_of(a).type(count(a, axis)) / freedom
        return over_all * cast(ratio if row is VAR else np.sqrt(ratio), a)


def _connect_variance(row: Primitive, function: Any, nan_function: Any) -> None:
    name = row.name

    @numpy_function(function, method=name)
    def adapter(
        a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: float = 0,
        keepdims: Any = False, *, where: Any = True, mean: Any = None, correction: Any = None,
    ) -> Any:  # fmt: skip
        refuse_out(name, out)
        ddof = _ddof(ddof, correction)
        return _variance(row, converted(array_of(a), dtype), axis, keepdims, ddof, where, mean)

    @numpy_function(nan_function)
    def without_nans(
        a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: float = 0,
        keepdims: Any = False, *, where: Any = True, mean: Any = None, correction: Any = None,
    ) -> Any:  # fmt: skip
        refuse_out(f"nan{name}", out)
        a, ddof = converted(array_of(a), dtype), _ddof(ddof, correction)
        numbers = np.logical_not(np.isnan(a)) & _everywhere(where)
        found = _variance(row, a, axis, keepdims, ddof, numbers, mean)
        some = counted(a, normal_axis(axis, np.ndim(a)), keepdims, numbers)
        return bind(WHERE, (some <= ddof, np.nan, found))


def _ddof(ddof: float, correction: Any) -> float:
    if not given(correction):
        return ddof
    if ddof != 0:
        raise ValueError("ddof and correction can't be provided simultaneously.")
    return float(correction)


_connect_variance(VAR, np.var, np.nanvar)
_connect_variance(STD, np.std, np.nanstd)


@numpy_function(np.average)
def _average(
    a: Any, axis: Any = None, weights: Any = None, returned: bool = False, *, keepdims: Any = False
) -> Any:
    a = array_of(a)
    axis = normal_axis(axis, np.ndim(a))
    if weights is None:
        average = reduced(MEAN, a, axis, keepdims)
        total: Any = np.full(np.shape(average), count(a, axis), dtype_of(average))[()]
        return (average, total) if returned else average
    weights = _weights_like(array_of(weights), a, axis)
    dtype = np.result_type(dtype_of(a), dtype_of(weights))
    weights = astype(weights, dtype if dtype.kind == "f" else np.dtype(np.float64))
    total = reduced(SUM, weights, axis, keepdims)
    if known(np.equal(total, 0)):
        raise ZeroDivisionError("Weights sum to zero, can't be normalized")
    average = reduced(SUM, a * weights, axis, keepdims) / total
    return (average, total) if returned else average


def _weights_like(weights: Any, a: Any, axis: Any) -> Any:
    """The weights in the shape of ``a``: given for each element, or for the axes averaged over."""
    if np.shape(weights) == np.shape(a):
        return weights
    if axis is None:
        raise TypeError("Axis must be specified when shapes of a and weights differ.")
    axes = axis if isinstance(axis, tuple) else (axis,)
    if np.shape(weights) != tuple(np.shape(a)[i] for i in axes):
        raise ValueError(
            "Shape of weights must be consistent with shape of a along specified axis."
        )
    ordered = transpose(weights, np.argsort(axes))
    shape = tuple(n if i in axes else 1 for i, n in enumerate(np.shape(a)))
    return broadcast_to(reshape(ordered, shape), np.shape(a))


# ------------------------------------------------------------------------------------- quantiles

# α and β of the interpolating methods (Hyndman and Fan, 1996).
_INTERPOLATING = {
    "linear": (1.0, 1.0), "interpolated_inverted_cdf": (0.0, 1.0), "hazen": (0.5, 0.5),
    "weibull": (0.0, 0.0), "median_unbiased": (1 / 3.0, 1 / 3.0),
    "normal_unbiased": (3 / 8.0, 3 / 8.0),
}  # fmt: skip
_METHODS = (
    "inverted_cdf", "averaged_inverted_cdf", "closest_observation", *_INTERPOLATING,
    "lower", "higher", "midpoint", "nearest",
)  # fmt: skip


def _sorted_last(a: Any, axis: Any) -> Any:
    """The axes that are reduced as a last one, in increasing order, NaNs behind."""
    moved = last_axis_of(a, axis)
    return sort(moved, np.ndim(moved) - 1)


def _numbers(ordered: Any) -> Any:
    """How many elements of each last axis are not NaN, with an axis of length 1 in its place."""
    there = np.logical_not(np.isnan(ordered))
    return bind(COUNT_NONZERO, (there,), {"axis": np.ndim(ordered) - 1, "keepdims": True})


def _whole(x: Any) -> Any:
    return astype(x, np.dtype(np.intp))


def _nan_wins(found: Any, ordered: Any) -> Any:
    """NaN where there is one: sorted, it stands last."""
    last = ordered[..., -1:]
    wide = np.shape(found)
    return bind(WHERE, (broadcast_to(np.isnan(last), wide), broadcast_to(last, wide), found))


def _median(a: Any, axis: Any, keepdims: Any, ignoring_nans: bool) -> Any:
    a = array_of(a)
    axis = None if axis is None else normalize_axis_tuple(axis, np.ndim(a))
    length = count(a, axis)
    if length == 0:
        return reduced(MEAN, a, axis, keepdims)
    ordered = _sorted_last(a, axis)
    last = np.ndim(ordered) - 1
    if ignoring_nans:
        n = _numbers(ordered)
        middle = np.concatenate(
            (np.maximum(np.floor_divide(n - 1, 2), 0), np.floor_divide(n, 2)), axis=last
        )
        middle = np.minimum(middle, length - 1)
        found = bind(MEAN, (take_along_axis(ordered, middle, last),), _LAST_KEPT | {"axis": last})
    else:
        middle = ordered[..., (length - 1) // 2 : length // 2 + 1]
        found = bind(MEAN, (middle,), _LAST_KEPT | {"axis": last})
        found = _nan_wins(found, ordered)
    return reshape(found, reduced_shape(a, axis, bool(keepdims)))


_LAST_KEPT = {"keepdims": True}


@numpy_function(np.median)
def _median_adapter(
    a: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, keepdims: Any = False
) -> Any:
    refuse_out("median", out)
    return _median(a, axis, keepdims, ignoring_nans=False)


@numpy_function(np.nanmedian)
def _nanmedian(
    a: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, keepdims: Any = False
) -> Any:
    refuse_out("nanmedian", out)
    return _median(a, axis, keepdims is not np._NoValue and keepdims, ignoring_nans=True)


def _neighbours(n: Any, q: Any, method: str) -> tuple[Any, Any, Any]:
    """The two places between which a quantile lies, and how far from the first to the second.

    ``n`` is how many elements there are. The last is ``None`` where there is only one place.
    """
    last = max(n - 1, 0) if isinstance(n, int) else np.maximum(n - 1, 0)

    def within(place: Any) -> Any:
        return np.minimum(np.maximum(_whole(place), 0), _whole(last))

    if method in ("lower", "higher", "nearest"):
        rounding: dict[str, Any] = {"lower": np.floor, "higher": np.ceil, "nearest": np.round}
        return within(rounding[method](last * q)), None, None
    if method in ("inverted_cdf", "closest_observation"):
        place = n * q - (1.0 if method == "inverted_cdf" else 1.5)
        below = np.floor(place)
        exact = np.equal(place, below)
        if method == "closest_observation":
            exact = exact & np.equal(np.remainder(below, 2), 1)
        return within(np.where(exact, below, below + 1)), None, None
    if method == "midpoint":
        below, above = np.floor(last * q), np.ceil(last * q)
        return within(below), within(above), cast(np.where(np.equal(below, above), 0.0, 0.5), q)
    if method == "averaged_inverted_cdf":
        place = n * q - 1
        below = np.floor(place)
        return within(below), within(below + 1), cast(np.where(np.equal(place, below), 0.5, 1.0), q)
    alpha, beta = _INTERPOLATING[method]
    # NumPy prefers this for rounding; elsewhere it is the same.
    place = last * q if method == "linear" else n * q + (alpha + q * (1 - alpha - beta)) - 1
    place = np.clip(place, 0.0, last)
    below = np.maximum(np.minimum(np.floor(place), last - 1), 0.0)
    return within(below), within(below + 1), place - below


def _between(a: Any, b: Any, t: Any) -> Any:
    """From ``a`` to ``b`` by ``t``, rounded as NumPy rounds it: exactly ``b`` at the end."""
    return np.where(t >= 0.5, b - (b - a) * (1 - t), a + (b - a) * t)


def _quantile(
    a: Any, q: Any, axis: Any, method: str, keepdims: Any, weights: Any, ignoring_nans: bool
) -> Any:
    if method not in _METHODS:
        raise ValueError(f"{method!r} is not a valid method. Use one of: {', '.join(_METHODS)}")
    if np.ndim(q) > 2:
        raise ValueError("q must be a scalar or 1d")
    if known(np.less(q, 0)) or known(np.greater(q, 1)):
        raise ValueError("Quantiles must be in the range [0, 1]")
    axis = None if axis is None else normalize_axis_tuple(axis, np.ndim(a))
    if count(a, axis) == 0:
        raise IndexError("a quantile of no elements is not defined")
    flat_q = reshape(q, (-1,))
    if weights is not None:
        found = _weighted_quantile(a, flat_q, axis, method, array_of(weights), ignoring_nans)
    else:
        ordered = _sorted_last(a, axis)
        n: Any = np.shape(ordered)[-1]
        if ignoring_nans:
            n = cast(_numbers(ordered), flat_q)
        below, above, t = _neighbours(n, flat_q, method)
        found = _at_places(ordered, below)
        if t is not None:
            found = _between(found, _at_places(ordered, above), t)
        if not ignoring_nans:
            found = _nan_wins(found, ordered)
    front = moved_to_front(found, np.ndim(found) - 1)
    keepdims = keepdims is not np._NoValue and bool(keepdims)
    return reshape(front, (*np.shape(q), *reduced_shape(a, axis, keepdims)))


def _at_places(ordered: Any, places: Any) -> Any:
    """The elements at these places of the last axis."""
    wide = (*np.shape(ordered)[:-1], np.shape(places)[-1])
    return take_along_axis(ordered, broadcast_to(places, wide), np.ndim(ordered) - 1)


def _weighted_quantile(
    a: Any, q: Any, axis: Any, method: str, weights: Any, ignoring_nans: bool
) -> Any:
    """The first element with as much weight up to it as was asked for."""
    if method != "inverted_cdf":
        raise ValueError(f"Only method 'inverted_cdf' supports weights. Got: {method}.")
    if known(np.less(weights, 0)):
        raise ValueError("Weights must be non-negative.")
    weights = _weights_like(weights, a, axis)
    if ignoring_nans:
        weights = np.where(np.isnan(a), 0.0, weights)
    values, weights = last_axis_of(a, axis), last_axis_of(weights, axis)
    last = np.ndim(values) - 1
    order = bind(ARGSORT, (values,), {"axis": last, "kind": "stable"})
    ordered = take_along_axis(values, order, last)
    summed_up = np.cumsum(take_along_axis(cast(weights, np.float64(0)), order, last), axis=last)
    share = cast(summed_up / summed_up[..., -1:], q)
    share = np.where(np.equal(share, 0), -1.0, share)
    less = np.less(reshape(share, (*np.shape(share), 1)), q)
    place = bind(COUNT_NONZERO, (less,), {"axis": last, "keepdims": False})
    found = _at_places(ordered, np.minimum(place, np.shape(ordered)[-1] - 1))
    return found if ignoring_nans else _nan_wins(found, ordered)


def _connect_quantile(function: Any, percent: bool, ignoring_nans: bool) -> None:
    @numpy_function(function)
    def adapter(
        a: Any, q: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False,
        method: str = "linear", keepdims: Any = False, *, weights: Any = None,
    ) -> Any:  # fmt: skip
        refuse_out(function.__name__, out)
        a = array_of(a)
        if dtype_of(a).kind != "f":
            a = a.astype(np.float64)
        dtype = dtype_of(a)
        if not isinstance(q, Operand):
            q = np.asarray(q, dtype if isinstance(q, int | float) else None)
        if percent:
            q = q / dtype.type(100)
        elif dtype_of(q).kind != "f":
            q = q.astype(np.float64)
        return _quantile(a, q, axis, method, keepdims, weights, ignoring_nans)


_connect_quantile(np.quantile, percent=False, ignoring_nans=False)
_connect_quantile(np.percentile, percent=True, ignoring_nans=False)
_connect_quantile(np.nanquantile, percent=False, ignoring_nans=True)
_connect_quantile(np.nanpercentile, percent=True, ignoring_nans=True)

# ------------------------------------------------------------------------------------- covariances


def _observations(x: Any, rowvar: bool, alone: bool) -> Any:
    """Variables as rows, observations as columns, in float64 as in NumPy."""
    x = cast(array_of(x), np.float64(0))
    ndim = np.ndim(x)
    if ndim > 2:
        raise ValueError("an array of observations has more than 2 dimensions")
    matrix = reshape(x, ((1,) * (2 - ndim) + np.shape(x)))
    turned = not rowvar and (ndim != 1 if alone else np.shape(matrix)[0] != 1)
    return transpose(matrix) if turned else matrix


@numpy_function(np.cov)
def _cov(
    m: Any, y: Any = None, rowvar: bool = True, bias: bool = False, ddof: Any = None,
    fweights: Any = None, aweights: Any = None, *, dtype: Any = None,
) -> Any:  # fmt: skip
    if ddof is not None and ddof != int(ddof):
        raise ValueError("ddof must be integer")
    x = _observations(m, rowvar, alone=True)
    if np.shape(x)[0] == 0:
        return np.array([]).reshape(0, 0)
    if y is not None:
        x = np.concatenate((x, _observations(y, rowvar, alone=False)), axis=0)
    x = converted(x, dtype)
    ddof = ddof if ddof is not None else 0 if bias else 1
    frequencies = _one_weight_each(fweights, x, "fweights")
    importance = _one_weight_each(aweights, x, "aweights")
    if frequencies is not None and known(np.not_equal(frequencies, np.round(frequencies))):
        raise TypeError("fweights must be integer")
    if frequencies is None or importance is None:
        w = importance if frequencies is None else frequencies
    else:
        w = frequencies * importance
    mean, total = _average(x, axis=1, weights=w, returned=True)
    total = total[0]
    if w is None:
        freedom: Any = np.shape(x)[1] - ddof
    elif ddof == 0 or importance is None:
        freedom = total - ddof
    else:
        freedom = total - ddof * np.sum(w * importance) / total
    if known(np.less_equal(freedom, 0)):
        warnings.warn("Degrees of freedom <= 0 for slice", RuntimeWarning, stacklevel=2)
    freedom = np.maximum(freedom, 0.0)
    x = x - mean[:, None]
    product = np.matmul(x, transpose(x if w is None else x * w))
    return np.squeeze(product * np.true_divide(1, freedom))


def _one_weight_each(weights: Any, x: Any, name: str) -> Any:
    if weights is None:
        return None
    weights = cast(array_of(weights), np.float64(0))
    if np.ndim(weights) > 1:
        raise RuntimeError(f"cannot handle multidimensional {name}")
    if np.shape(weights)[0] != np.shape(x)[1]:
        raise RuntimeError(f"incompatible numbers of samples and {name}")
    if known(np.less(weights, 0)):
        raise ValueError(f"{name} cannot be negative")
    return weights


@numpy_function(np.corrcoef)
def _corrcoef(x: Any, y: Any = None, rowvar: bool = True, *, dtype: Any = None) -> Any:
    c = _cov(x, y, rowvar, dtype=dtype)
    if np.ndim(c) == 0:
        return c / c
    deviations = np.sqrt(np.diagonal(c))
    c = c / deviations[:, None]
    return np.clip(c / deviations[None, :], -1, 1)


# ------------------------------------------------------------------------------------------ counts


@numpy_function(np.bincount)
def _bincount(x: Any, /, weights: Any = None, minlength: int = 0) -> Any:
    if isinstance(x, Operand) and dtype_of(x).kind == "f":
        raise NotDifferentiableError(
            "np.bincount counts integers, and these are traced floats.\n"
            "Pass integers; the weights may be traced."
        )
    length = max(int(minlength), int(np.max(x, initial=-1)) + 1)
    places = np.asarray(x)
    if places.dtype == np.bool_:
        places = places.astype(np.intp)
    if weights is None:
        ones = np.ones(places.shape, np.intp)
        return bind(SCATTER, (ones, places), {"index": (ARRAY,), "shape": (length,)})
    if np.shape(weights) != places.shape:
        raise ValueError("The weights and list don't have the same length.")
    double = cast(weights, np.float64(0))
    return bind(SCATTER, (double, places), {"index": (ARRAY,), "shape": (length,)})
