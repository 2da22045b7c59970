"""Choosing: take, choose, select, piecewise, interpolation, and the comparisons within a tolerance.

The policy of ``np.interp``: at a coordinate the slope to its right is used (to its left at the last
one), and outside the coordinates the slope is 0.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from chainrule.errors import TraceError
from chainrule.graph.operand import METHODS, Operand, bind, concrete, refuse_out
from chainrule.graph.primitive import Flat
from chainrule.graph.tape import dtype_of
from chainrule.rules.batching import ARRAY
from chainrule.rules.book import define, numpy_function
from chainrule.rules.ordering import ARGSORT, ARGWHERE, SEARCHSORTED, refuse_unknown
from chainrule.rules.piecewise import WHERE
from chainrule.rules.reductions import ALL
from chainrule.rules.shapes import (
    INDEX,
    SCATTER,
    array_of,
    broadcast_to,
    cast,
    floating,
    reshape,
    split_index,
)

# -------------------------------------------------------------------------------------------- rows


ISCLOSE = define(
    "isclose",
    lambda a, b, rtol, atol, equal_nan=False: np.asarray(np.isclose(a, b, rtol, atol, equal_nan)),
    Flat("a condition"), recorded=False,
    mpmath=lambda mp, a, b, rtol, atol: abs(a - b) <= atol + rtol * abs(b),
)

# --------------------------------------------------------------------------- places, and conditions


def indexed(x: Any, index: Any) -> Any:
    """``x[index]``, on arrays and operands alike, the index as well."""
    template, arrays = split_index(index)
    return bind(INDEX, (x, *arrays), {"index": template})


def known(condition: Any) -> bool:
    """Whether a condition is known to hold for some element (staged values are not looked at)."""
    condition = concrete(condition)
    if isinstance(condition, Operand):
        return False
    return bool(np.any(condition))


@numpy_function(np.take, method="take")
def take(a: Any, indices: Any, axis: Any = None, out: Any = None, mode: str = "raise") -> Any:
    """``np.take`` on arrays and operands alike."""
    refuse_out("take", out)
    a = array_of(a)
    if axis is None or np.ndim(a) == 0:
        a, axis = reshape(a, (-1,)), normalize_axis_index(axis or 0, 1)
    axis = normalize_axis_index(operator.index(axis), np.ndim(a))
    indices = array_of(indices)
    if np.size(indices) == 0 and dtype_of(indices).kind == "f":
        indices = indices.astype(np.intp)  # NumPy makes an empty list an array of floats
    length = np.shape(a)[axis]
    if mode == "clip":
        indices = np.minimum(np.maximum(indices, 0), max(length - 1, 0))
    elif mode == "wrap":
        indices = np.remainder(indices, length)
    elif mode != "raise":
        raise ValueError(f"clipmode must be one of 'clip', 'raise', or 'wrap' (got {mode!r})")
    return indexed(a, ((slice(None),) * axis + (indices,)))


def _chosen_places(condition: Any) -> Any:
    """Where a condition of one dimension holds."""
    return bind(ARGWHERE, (condition,))[:, 0]


@numpy_function(np.compress)
def _compress(condition: Any, a: Any, axis: Any = None, out: Any = None) -> Any:
    refuse_out("compress", out)
    condition = array_of(condition)
    refuse_unknown("compress", condition)
    if np.ndim(condition) != 1:
        raise ValueError("condition must be a 1-d array")
    return take(a, _chosen_places(condition), axis)


def _compress_method(self: Any, condition: Any, axis: Any = None, out: Any = None) -> Any:
    return _compress(condition, self, axis, out)


METHODS["compress"] = _compress_method


@numpy_function(np.extract)
def _extract(condition: Any, arr: Any) -> Any:
    refuse_unknown("extract", condition)
    return take(arr, _chosen_places(reshape(array_of(condition), (-1,))))


@numpy_function(np.choose, method="choose")
def _choose(a: Any, choices: Any, out: Any = None, mode: str = "raise") -> Any:
    refuse_out("choose", out)
    if isinstance(a, Operand) and dtype_of(a).kind == "f":
        raise TraceError(
            "np.choose is told by integers what to choose, and these are traced floats.\n"
            "Choose with np.where, or convert with a.astype(int)."
        )
    a, count = array_of(a), len(choices)
    if mode == "clip":
        a = np.minimum(np.maximum(a, 0), count - 1)
    elif mode == "wrap":
        a = np.remainder(a, count)
    elif mode != "raise":
        raise ValueError(f"clipmode must be one of 'clip', 'raise', or 'wrap' (got {mode!r})")
    elif known(np.less(a, 0)) or known(np.greater_equal(a, count)):
        raise ValueError("invalid entry in choice array")
    listed = [array_of(choices[i]) for i in range(count)]
    shape = np.broadcast_shapes(np.shape(a), *map(np.shape, listed))
    a, listed = broadcast_to(a, shape), [broadcast_to(choice, shape) for choice in listed]
    found = listed[-1]
    for i in reversed(range(count - 1)):
        found = bind(WHERE, (np.equal(a, i), listed[i], found))
    return found


@numpy_function(np.select)
def _select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    if len(condlist) != len(choicelist):
        raise ValueError("list of cases must be same length as list of conditions")
    if len(condlist) == 0:
        raise ValueError("select with an empty condition list is not possible")
    conditions = [array_of(condition) for condition in condlist]
    for i, condition in enumerate(conditions):
        if dtype_of(condition) != np.bool_:
            raise TypeError(f"invalid entry {i} in condlist: should be boolean ndarray")
    shape = np.broadcast_shapes(*map(np.shape, [*conditions, *choicelist, default]))
    found = default
    for condition, choice in zip(reversed(conditions), reversed(choicelist), strict=True):
        found = bind(WHERE, (broadcast_to(condition, shape), choice, found))
    return found


@numpy_function(np.piecewise)
def _piecewise(x: Any, condlist: Any, funclist: Any, *args: Any, **kw: Any) -> Any:
    """Each function is called on the elements where its condition holds, and on no others."""
    x = array_of(x)
    refuse_unknown("piecewise", x, *condlist if isinstance(condlist, list | tuple) else [condlist])
    count = len(funclist)
    if np.ndim(condlist) == 0 or (np.ndim(condlist[0]) == 0 and np.ndim(x) != 0):
        condlist = [condlist]  # a single condition, as NumPy takes it
    conditions = [
        broadcast_to(np.not_equal(array_of(condition), False), np.shape(x))
        for condition in condlist
    ]
    if len(conditions) == count - 1:
        otherwise = ~conditions[0]
        for condition in conditions[1:]:
            otherwise = otherwise & ~condition
        conditions.append(otherwise)
    elif len(conditions) != count:
        raise ValueError(
            f"with {len(conditions)} condition(s), either {len(conditions)} or "
            f"{len(conditions) + 1} functions are expected"
        )
    found: Any = np.zeros(np.shape(x), dtype_of(x))
    for condition, function in zip(conditions, funclist, strict=True):
        if callable(function):
            inside = indexed(x, (condition,))
            if np.size(inside) == 0:
                continue
            values = broadcast_to(cast(function(inside, *args, **kw), x), np.shape(inside))
            attrs = {"index": (ARRAY,), "shape": np.shape(x)}
            piece = bind(SCATTER, (values, condition), attrs)
        else:
            piece = function
        found = bind(WHERE, (condition, piece, found))
    return found


# --------------------------------------------------------------------------- numbers put in place


@numpy_function(np.nan_to_num)
def _nan_to_num_adapter(
    x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None
) -> Any:
    if not copy:
        raise TraceError(
            "np.nan_to_num(..., copy=False) overwrites a value that the derivative needs.\n"
            "Assign the result to a name instead."
        )
    if dtype_of(x).kind in "iub":
        return np.copy(x)
    limits = np.finfo(dtype_of(x))
    upper = limits.max if posinf is None else posinf
    lower = limits.min if neginf is None else neginf
    x = bind(WHERE, (np.equal(x, np.inf), upper, x))
    x = bind(WHERE, (np.equal(x, -np.inf), lower, x))
    return bind(WHERE, (np.isnan(x), nan, x))


@numpy_function(np.interp)
def _interp(
    x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None
) -> Any:
    x, xp, fp = (_double(v) for v in (x, xp, fp))
    if np.ndim(xp) != 1 or np.ndim(fp) != 1:
        raise ValueError("Data points must be 1-D sequences")
    if np.size(xp) != np.size(fp):
        raise ValueError("fp and xp are not of the same length.")
    if np.size(xp) == 0:
        raise ValueError("array of sample points is empty")
    if period is not None:
        if known(np.equal(period, 0)):
            raise ValueError("period must be a non-zero value")
        period = np.abs(period)
        x, xp, left, right = np.remainder(x, period), np.remainder(xp, period), None, None
        order = bind(ARGSORT, (xp,), {"axis": 0})
        xp, fp = indexed(xp, (order,)), indexed(fp, (order,))
        xp = np.concatenate((xp[-1:] - period, xp, xp[:1] + period))
        fp = np.concatenate((fp[-1:], fp, fp[:1]))
    first, last = xp[0], xp[-1]
    if np.size(xp) == 1:
        inside = broadcast_to(fp[0], np.shape(x))
    else:
        after = bind(SEARCHSORTED, (xp, x), {"side": "right"})
        segment = np.minimum(np.maximum(np.subtract(after, 1), 0), np.size(xp) - 2)
        slopes = (fp[1:] - fp[:-1]) / (xp[1:] - xp[:-1])
        start, slope = indexed(xp, (segment,)), indexed(slopes, (segment,))
        inside = slope * (x - start) + indexed(fp, (segment,))
        # Exactly the value given at the last coordinate, whatever the last slope rounds to.
        inside = bind(WHERE, (np.equal(x, last), fp[-1] + slope * (x - last), inside))
    below = fp[0] if left is None else left
    above = fp[-1] if right is None else right
    found = bind(WHERE, (np.less(x, first), below, inside))
    return bind(WHERE, (np.greater(x, last), above, found))


def _double(x: Any) -> Any:
    """``np.interp`` works in float64, whatever it is given."""
    return cast(array_of(x), np.float64(0))


# -------------------------------------------------------------------------------------- comparisons


@numpy_function(np.isclose)
def _isclose(
    a: Any, b: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: bool = False
) -> Any:
    attrs = {"equal_nan": True} if equal_nan else {}
    return bind(ISCLOSE, (a, floating(b), rtol, atol), attrs)  # the difference is one of floats


@numpy_function(np.allclose)
def _allclose(
    a: Any, b: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: bool = False
) -> Any:
    return _everywhere(_isclose(a, b, rtol, atol, equal_nan))


def _everywhere(condition: Any) -> Any:
    found = bind(ALL, (condition,), {"axis": None, "keepdims": False})
    return found if isinstance(found, Operand) else bool(found)


@numpy_function(np.array_equal)
def _array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> Any:
    a1, a2 = array_of(a1), array_of(a2)
    if np.shape(a1) != np.shape(a2):
        return False
    same = np.equal(a1, a2)
    return _everywhere(same | (np.isnan(a1) & np.isnan(a2)) if equal_nan else same)


@numpy_function(np.array_equiv)
def _array_equiv(a1: Any, a2: Any) -> Any:
    a1, a2 = array_of(a1), array_of(a2)
    try:
        np.broadcast_shapes(np.shape(a1), np.shape(a2))
    except ValueError:
        return False
    return _everywhere(np.equal(a1, a2))
