"""Histograms: counts are whole numbers, sums of weights and the edges of bins have derivatives.

In which bin a value lies is constant between its jumps, so a count has no derivative. A sum of
traced weights is linear in them. Edges that are spread from the smallest to the largest value move
with these two, and so does a density, which is a count divided by the width of its bin.
"""

from __future__ import annotations

import builtins
import operator
from typing import Any

import numpy as np

from chainrule.errors import TraceError
from chainrule.graph.operand import Operand, bind, concrete
from chainrule.graph.tape import dtype_of, shape_of
from chainrule.rules.batching import ARRAY
from chainrule.rules.book import numpy_function
from chainrule.rules.choosing import known
from chainrule.rules.joining import gathered
from chainrule.rules.ordering import places
from chainrule.rules.shapes import SCATTER, astype, cast, ravel, reshape, transpose


def _bins_of(x: Any, edges: Any) -> Any:
    """The bin of each value; those outside have one more, behind all others."""
    count = len(edges) - 1
    found = np.searchsorted(edges, x, side="right") - 1
    found = np.where(x == edges[-1], count - 1, found)  # the last bin has both its edges
    return np.where((found < 0) | (found >= count), count, found)


BIN_OF = places("bin_of", _bins_of)


def _ends(x: Any, limits: Any) -> tuple[Any, Any]:
    """The smallest and the largest value, or the limits given; apart, if they are equal."""
    if limits is not None:
        low, high = limits
        if known(np.greater(low, high)):
            raise ValueError("max must be larger than min in range parameter.")
        given = "supplied"
    elif np.size(x):
        low, high, given = np.min(x), np.max(x), "autodetected"
    else:
        return 0.0, 1.0
    if known(~(np.isfinite(low) & np.isfinite(high))):
        raise ValueError(f"{given} range of [{concrete(low)}, {concrete(high)}] is not finite")
    same = np.equal(low, high)
    if not (isinstance(low, Operand) or isinstance(high, Operand)):
        # Python's numbers stay such: they take the dtype of the values.
        return (low - 0.5, high + 0.5) if same else (low, high)
    return np.where(same, low - 0.5, low), np.where(same, high + 0.5, high)


def _spread(low: Any, high: Any, count: int, dtype: Any) -> Any:
    """``count`` equal bins, rounded as ``np.linspace`` rounds."""
    steps = np.arange(count + 1, dtype=dtype)
    low, high = (astype(gathered(end), dtype) for end in (low, high))
    inner = steps * ((high - low) / dtype.type(count)) + low
    return np.where(steps == count, high, inner)


def _increasing(edges: Any) -> Any:
    if known(np.greater(edges[:-1], edges[1:])):
        raise ValueError("`bins` must increase monotonically, when an array")
    return edges


def _positive(bins: Any) -> int:
    count = operator.index(bins[()])
    if count < 1:
        raise ValueError("`bins` must be positive, when an integer")
    return count


def _edges(x: Any, bins: Any, limits: Any, weights: Any) -> Any:
    """The edges of the bins of a one-dimensional histogram."""
    if isinstance(bins, str):
        plain = [concrete(v) for v in (x, weights)]
        if any(isinstance(v, Operand) for v in plain):
            raise TraceError(
                f"np.histogram with bins={bins!r} inside vmap or a staged loop: how many bins "
                "there are would differ from value to value.\nPass their number."
            )
        inside = None if limits is None else tuple(map(concrete, limits))
        bins = len(np.histogram_bin_edges(plain[0], bins, inside, plain[1])) - 1
    bins = gathered(bins)
    if np.ndim(bins) == 1:
        return _increasing(bins)
    if np.ndim(bins) > 1:
        raise ValueError("`bins` must be 1d, when an array")
    count = _positive(bins)
    low, high = _ends(x, limits)
    # Python's own numbers take the dtype of the others.
    dtype = np.result_type(*(e.dtype if hasattr(e, "dtype") else e for e in (low, high)), x.dtype)
    dtype = dtype if dtype.kind == "f" else np.dtype(float)
    edges = _spread(low, high, count, dtype)
    if known(np.greater_equal(edges[:-1], edges[1:])):
        raise ValueError(
            f"Too many bins for data range. Cannot create {count} finite-sized bins."
        )
    return edges


def _values(a: Any, weights: Any) -> tuple[Any, Any]:
    a = gathered(a)
    if dtype_of(a) == np.bool_:
        raise TypeError("np.histogram of truth values: write a.astype(int)")
    if weights is None:
        return ravel(a), None
    weights = gathered(weights)
    if shape_of(weights) != shape_of(a):
        raise ValueError("weights should have the same shape as a.")
    return ravel(a), ravel(weights)


def _sums(weights: Any, found: tuple[Any, ...], counts: tuple[int, ...]) -> Any:
    """The sum of the weights in each bin; what is in none is dropped."""
    attrs = {"index": (ARRAY,) * len(found), "shape": tuple(n + 1 for n in counts)}
    return bind(SCATTER, (weights, *found), attrs)[(slice(0, -1),) * len(found)]


@numpy_function(np.histogram_bin_edges)
def _histogram_bin_edges(a: Any, bins: Any = 10, range: Any = None, weights: Any = None) -> Any:
    a, weights = _values(a, weights)
    return _edges(a, bins, range, weights)


@numpy_function(np.histogram)
def _histogram(
    a: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None
) -> tuple[Any, Any]:
    a, weights = _values(a, weights)
    edges = _edges(a, bins, range, weights)
    each = np.ones(shape_of(a), np.intp) if weights is None else weights
    sums = _sums(each, (bind(BIN_OF, (a, edges)),), (np.size(edges) - 1,))
    if density:
        sums = sums / astype(np.diff(edges), np.dtype(float)) / np.sum(sums)
    return sums, edges


@numpy_function(np.histogramdd)
def _histogramdd(
    sample: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None
) -> tuple[Any, list[Any]]:
    if not (isinstance(sample, Operand | np.ndarray) and np.ndim(sample) == 2):
        sample = gathered(sample)
        sample = transpose(sample if np.ndim(sample) == 2 else reshape(sample, (1, -1)))
    count, axes = shape_of(sample)
    listed = isinstance(bins, list | tuple) or np.ndim(bins) > 0
    each_bins = list(bins) if listed else [bins] * axes
    if len(each_bins) != axes:
        raise ValueError("The dimension of bins must be equal to the dimension of the sample x.")
    limits = [None] * axes if range is None else list(range)
    if len(limits) != axes:
        raise ValueError("range argument must have one entry per dimension")
    columns = [sample[:, i] for i in builtins.range(axes)]
    edges = []
    for x, wanted, limit in zip(columns, each_bins, limits, strict=True):
        wanted = gathered(wanted)
        if np.ndim(wanted) == 1:
            edges.append(_increasing(wanted))
            continue
        low, high = _ends(x, limit)
        dtype = np.result_type(*(e.dtype if hasattr(e, "dtype") else e for e in (low, high)), 0.0)
        edges.append(_spread(low, high, _positive(wanted), dtype))
    found = tuple(bind(BIN_OF, (x, e)) for x, e in zip(columns, edges, strict=True))
    weights = np.ones(count) if weights is None else cast(gathered(weights), np.float64(0))
    sums = _sums(weights, found, tuple(np.size(e) - 1 for e in edges))
    if density:
        total = np.sum(sums)
        for axis, e in enumerate(edges):
            shape = tuple(-1 if i == axis else 1 for i in builtins.range(axes))
            sums = sums / reshape(np.diff(e), shape)
        sums = sums / total
    return sums, edges


@numpy_function(np.histogram2d)
def _histogram2d(
    x: Any, y: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None
) -> tuple[Any, Any, Any]:
    x, y = gathered(x), gathered(y)
    if shape_of(x) != shape_of(y):
        raise ValueError("x and y must have the same length.")
    listed = isinstance(bins, list | tuple) or np.ndim(bins) > 0
    if listed and len(bins) not in (1, 2):
        bins = [bins, bins]
    sums, edges = _histogramdd(np.stack([x, y], axis=1), bins, range, density, weights)
    return sums, *edges
