"""Running sums and products, differences, and what is made of differences.

A running product has its derivative by a linear recurrence and without a division, so that zeros,
one or many, are numbers like all others, at every order.
"""

from __future__ import annotations

import operator
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from chainrule.errors import TraceError
from chainrule.graph.operand import Operand, bind, refuse_out
from chainrule.graph.primitive import Custom, Flat, Linear, Primitive
from chainrule.graph.tape import dtype_of
from chainrule.rules.book import define, numpy_function
from chainrule.rules.piecewise import WHERE
from chainrule.rules.shapes import CAST, array_of, broadcast_to, cast, floating, reshape

# ------------------------------------------------------------------------------------ helpers


def without_nans(x: Any, otherwise: Any) -> Any:
    """``x`` with ``otherwise`` in place of NaN; whole numbers, which have none, as they are."""
    return bind(WHERE, (np.isnan(x), otherwise, x)) if dtype_of(x).kind in "fc" else x


def converted(x: Any, dtype: Any) -> Any:
    """``x`` in the ``dtype`` that a reduction was asked to work in."""
    if dtype is None or np.dtype(dtype) == dtype_of(x):
        return x
    if np.dtype(dtype).kind == "f":
        return bind(CAST, (x,), {"dtype": np.dtype(dtype)})
    return array_of(x).astype(dtype)


def sliced(x: Any, axis: int, *bounds: Any) -> Any:
    """``x[..., slice(*bounds), ...]`` along one axis."""
    return x[(slice(None),) * axis + (slice(*bounds),)]


def _flattened(x: Any, axis: Any) -> tuple[Any, int]:
    """The array and the axis along which a running operation goes: all of it if there is none."""
    x = array_of(x)
    if axis is None or np.ndim(x) == 0:
        axis = normalize_axis_index(0 if axis is None else operator.index(axis), 1)
        return reshape(x, (-1,)), axis
    return x, normalize_axis_index(operator.index(axis), np.ndim(x))


# --------------------------------------------------------------------------------------- rows


def _along(function: Any, x: Any, axis: int, reverse: bool) -> Any:
    return np.flip(function(np.flip(x, axis), axis=axis), axis) if reverse else function(x, axis)


def _shift(x: Any, axis: int, by: int) -> Any:
    """Every element one place further (``by=1``) or nearer (``by=-1``), with a zero moving in."""
    out = np.zeros_like(x)
    here, there = (slice(1, None), slice(None, -1))[::by]
    whole = (slice(None),) * (axis % np.ndim(x))
    out[(*whole, here)] = x[(*whole, there)]
    return out


def _recurrence(a: Any, b: Any, axis: int, reverse: bool = False) -> Any:
    """y[i] = a[i]·y[i−1] + b[i], from y[−1] = 0.

    Nothing is multiplied where y[i−1] is 0: it stands for a tangent or cotangent, and where that is
    zero, an infinite or undefined factor makes no difference.
    """
    dtype = np.result_type(a, b)
    a, b = (np.moveaxis(np.asarray(v), axis, 0)[:: -1 if reverse else 1] for v in (a, b))
    if b.size == len(b):
        pairs = zip(a.ravel().tolist(), b.ravel().tolist(), strict=True)
        steps = accumulate(pairs, lambda y, ab: ab[0] * y + ab[1] if y else ab[1], initial=0.0)
        y = np.array(list(steps)[1:], dtype).reshape(b.shape)
    else:
        y = np.array(b, dtype)
        finite = bool(np.all(np.isfinite(a)))
        for i in range(1, len(y)):
            product = a[i] * y[i - 1]
            y[i] += product if finite else np.where(y[i - 1] == 0, 0, product)
    return np.moveaxis(y[:: -1 if reverse else 1], 0, axis)


def shift(x: Any, axis: int, by: int) -> Any:
    """Every element one place further (``by=1``) or nearer (``by=-1``), with a zero moving in."""
    return bind(SHIFT, (x,), {"axis": axis, "by": by})


def _recurrence_transpose(ct: Any, a: Any, axis: int, reverse: bool) -> Any:
    """The same recurrence from the other end."""
    factors = shift(a, axis, 1 if reverse else -1)
    return bind(RECURRENCE, (factors, ct), {"axis": axis, "reverse": not reverse})


def _before(y: Any, axis: int, reverse: bool) -> Any:
    """The element before each one, and 0 before the first."""
    return shift(y, axis, -1 if reverse else 1)


def exclusive_cumprod(x: Any, axis: int, reverse: bool = False) -> Any:
    """The product of everything before each element, and 1 before the first."""
    products = bind(CUMPROD, (x,), {"axis": axis, "reverse": reverse})
    return _product_before(products, axis, reverse)


def _product_before(products: Any, axis: int, reverse: bool) -> Any:
    shape, axis = np.shape(products), axis % np.ndim(products)
    place = np.arange(shape[axis]) == (shape[axis] - 1 if reverse else 0)
    first = place.reshape([-1 if i == axis else 1 for i in range(len(shape))])
    return _before(products, axis, reverse) + first.astype(dtype_of(products))


def _times(carried: Any, factor: Any) -> Any:
    """Their product, and 0 where a tangent or cotangent of 0 meets an infinity or a NaN."""
    return carried * np.where(np.isfinite(factor) | np.not_equal(carried, 0), factor, 0)


SHIFT: Primitive = define(
    "shift", _shift,
    Linear(lambda ct, x, axis, by: shift(ct, axis, -by), selects=True),
    elementwise=False, structure="shift", axes=("axis",),
)  # fmt: skip
RECURRENCE: Primitive = define(
    "recurrence", _recurrence,
    Custom(
        push=lambda t, a, b, out, axis, reverse=False:
            bind(RECURRENCE, (a, _times(t, _before(out, axis, reverse))),
                 {"axis": axis, "reverse": reverse}),
        pull=lambda ct, a, b, out, axis, reverse=False:
            _times(_recurrence_transpose(ct, a, axis, reverse), _before(out, axis, reverse)),
    ),
    Linear(lambda ct, a, b, axis, reverse=False: _recurrence_transpose(ct, a, axis, reverse)),
    elementwise=False, structure="triangular", axes=("axis",), ulps=64.0,
)  # fmt: skip
CUMSUM: Primitive = define(
    "cumsum", lambda x, axis, reverse=False: _along(np.cumsum, x, axis, reverse),
    Linear(lambda ct, x, axis, reverse=False:
           bind(CUMSUM, (ct,), {"axis": axis, "reverse": not reverse})),
    elementwise=False, structure="triangle of ones", axes=("axis",),
)  # fmt: skip
CUMPROD: Primitive = define(
    "cumprod", lambda x, axis, reverse=False: _along(np.cumprod, x, axis, reverse),
    Custom(
        push=lambda t, x, out, axis, reverse=False:
            bind(RECURRENCE, (x, _times(t, _product_before(out, axis, reverse))),
                 {"axis": axis, "reverse": reverse}),
        pull=lambda ct, x, out, axis, reverse=False:
            _times(_recurrence_transpose(ct, x, axis, reverse),
                   _product_before(out, axis, reverse)),
    ),
    elementwise=False, structure="triangular", axes=("axis",),
)  # fmt: skip


def _unwrapping(p: Any, axis: int, discont: float, period: float) -> Any:
    """What ``np.unwrap`` adds: whole periods, constant between the jumps."""
    steps = np.diff(p, axis=axis)
    half = period / 2
    wrapped = np.mod(steps + half, period) - half
    wrapped = np.where((wrapped == -half) & (steps > 0), half, wrapped)
    correction = np.where(np.abs(steps) < discont, 0.0, wrapped - steps)
    start = np.zeros_like(np.take(p, [0], axis=axis)) if np.shape(p)[axis] else p
    return np.concatenate((start, np.cumsum(correction, axis)), axis).astype(np.result_type(p))


UNWRAPPING = define(
    "unwrapping", _unwrapping, Flat("a multiple of the period: constant between its jumps"),
    elementwise=False, structure="steps", axes=("axis",), recorded=False,
)  # fmt: skip


def _latest_record(x: Any, axis: int, smallest: bool = False) -> Any:
    """For each element the place of the largest (smallest) one so far, the first of equal ones."""
    best = (np.minimum if smallest else np.maximum).accumulate(x, axis)
    before = np.take(best, np.maximum(np.arange(x.shape[axis]) - 1, 0), axis=axis)
    same = (best == before) | (np.isnan(best) & np.isnan(before))
    places = np.arange(x.shape[axis]).reshape([-1 if i == axis % x.ndim else 1
                                               for i in range(x.ndim)])  # fmt: skip
    return np.maximum.accumulate(np.where(same, 0, places), axis)


LATEST_RECORD = define(
    "latest_record", _latest_record, Flat("a place: constant between its jumps"),
    elementwise=False, structure="steps", axes=("axis",), recorded=False,
)  # fmt: skip

# ----------------------------------------------------------------------- running sums and products


def _running(row: Primitive, a: Any, axis: Any, dtype: Any) -> Any:
    a, axis = _flattened(converted(a, dtype), axis)
    return bind(row, (a,), {"axis": axis})


def _connect(row: Primitive, function: Any, nan_function: Any, identity: float) -> None:
    @numpy_function(function, method=row.name)
    def adapter(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
        refuse_out(row.name, out)
        return _running(row, a, axis, dtype)

    @numpy_function(nan_function)
    def of_numbers(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
        refuse_out(f"nan{row.name}", out)
        return _running(row, without_nans(a, identity), axis, dtype)


_connect(CUMSUM, np.cumsum, np.nancumsum, 0.0)
_connect(CUMPROD, np.cumprod, np.nancumprod, 1.0)


def _connect_standard(row: Primitive, function: Any, identity: float) -> None:
    """The functions of the array API standard, which came with NumPy 2.1."""

    @numpy_function(function)
    def adapter(
        x: Any, /, *, axis: Any = None, dtype: Any = None, out: Any = None,
        include_initial: bool = False,
    ) -> Any:  # fmt: skip
        refuse_out(function.__name__, out)
        if axis is None and np.ndim(x) != 1:
            raise ValueError("for arrays which are not 1-D, axis= must be given")
        running = _running(row, x, axis, dtype)
        if not include_initial:
            return running
        axis = 0 if axis is None else normalize_axis_index(axis, np.ndim(x))
        shape = tuple(1 if i == axis else n for i, n in enumerate(np.shape(running)))
        return np.concatenate([np.full(shape, identity, dtype_of(running)), running], axis=axis)


if hasattr(np, "cumulative_sum"):
    _connect_standard(CUMSUM, np.cumulative_sum, 0.0)
    _connect_standard(CUMPROD, np.cumulative_prod, 1.0)

# -------------------------------------------------------------------------------------- differences


def _joined(a: Any, prepend: Any, append: Any, axis: int) -> Any:
    """``a`` with what was to be put before and behind it; a number stands for a slice of itself."""
    parts = []
    for part in (prepend, a, append):
        if part is None or part is np._NoValue:
            continue
        part = array_of(part)
        if part is not a and np.ndim(part) == 0:
            shape = tuple(1 if i == axis else n for i, n in enumerate(np.shape(a)))
            part = broadcast_to(part, shape)
        parts.append(part)
    return np.concatenate(parts, axis=axis) if len(parts) > 1 else a


@numpy_function(np.diff)
def _diff(
    a: Any, n: int = 1, axis: int = -1, prepend: Any = np._NoValue, append: Any = np._NoValue
) -> Any:
    if n == 0:
        return a
    if n < 0:
        raise ValueError(f"order must be non-negative but got {n!r}")
    a = array_of(a)
    if np.ndim(a) == 0:
        raise ValueError("diff requires input that is at least one dimensional")
    axis = normalize_axis_index(axis, np.ndim(a))
    a = _joined(a, prepend, append, axis)
    for _ in range(n):
        step = np.not_equal if dtype_of(a) == np.bool_ else np.subtract
        a = step(sliced(a, axis, 1, None), sliced(a, axis, None, -1))
    return a


@numpy_function(np.ediff1d)
def _ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    flat = reshape(array_of(ary), (-1,))
    parts = [flat[1:] - flat[:-1]]
    if to_begin is not None:
        parts.insert(0, reshape(array_of(to_begin), (-1,)))
    if to_end is not None:
        parts.append(reshape(array_of(to_end), (-1,)))
    return np.concatenate(parts) if len(parts) > 1 else parts[0]


@numpy_function(*(getattr(np, name) for name in ("trapezoid", "trapz") if hasattr(np, name)))
def _trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    y = array_of(y)
    axis = normalize_axis_index(axis, np.ndim(y))
    if x is None:
        widths = dx
    else:
        x = array_of(x)
        alone = np.ndim(x) == 1
        widths = _diff(x, axis=-1 if alone else axis)
        if alone:
            widths = _beside(widths, axis, np.ndim(y))
    heights = sliced(y, axis, 1, None) + sliced(y, axis, None, -1)
    return np.sum(widths * heights / 2.0, axis=axis)


def _beside(x: Any, axis: int, ndim: int) -> Any:
    """A vector along ``axis`` of an array of ``ndim`` dimensions."""
    return reshape(x, tuple(-1 if i == axis else 1 for i in range(ndim)))


@numpy_function(np.gradient)
def _gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    f = array_of(f)
    if dtype_of(f).kind != "b":  # of truth values there is no difference
        f = floating(f)
    ndim = np.ndim(f)
    axes = normalize_axis_tuple(range(ndim) if axis is None else axis, ndim)
    if len(varargs) in (0, 1) and all(np.ndim(v) == 0 for v in varargs):
        spacings = list(varargs or (1.0,)) * len(axes)
    elif len(varargs) == len(axes):
        spacings = [_spacing(v, f, along) for v, along in zip(varargs, axes, strict=True)]
    else:
        raise TypeError("invalid number of arguments")
    if edge_order not in (1, 2):
        raise ValueError("'edge_order' greater than 2 not supported")
    found = []
    for along, h in zip(axes, spacings, strict=True):
        if np.shape(f)[along] < edge_order + 1:
            raise ValueError(
                "Shape of array too small to calculate a numerical gradient, "
                "at least (edge_order + 1) elements are required."
            )
        uneven = np.ndim(h) == 1
        found.append(cast((_uneven if uneven else _even)(f, h, along, edge_order), f))
    return found[0] if len(axes) == 1 else tuple(found)


def _spacing(given: Any, f: Any, axis: int) -> Any:
    """A distance, or the distances between the coordinates that were given."""
    given = array_of(given)
    if np.ndim(given) == 0:
        return given
    if np.ndim(given) != 1:
        raise ValueError("distances must be either scalars or 1d")
    if len(given) != np.shape(f)[axis]:
        raise ValueError("when 1d, distances must match the length of the corresponding dimension")
    if dtype_of(given).kind in "iu":
        given = given.astype(np.float64)
    return _diff(given)


def _even(f: Any, h: Any, axis: int, edge_order: int) -> Any:
    """Central differences inside and one-sided ones at the ends, for equal distances."""

    def at(start: int, stop: int | None) -> Any:
        return sliced(f, axis, start, stop)

    inside = (at(2, None) - at(0, -2)) / (2.0 * h)
    if edge_order == 1:
        first, last = (at(1, 2) - at(0, 1)) / h, (at(-1, None) - at(-2, -1)) / h
    else:
        first = -1.5 / h * at(0, 1) + 2.0 / h * at(1, 2) + -0.5 / h * at(2, 3)
        last = 0.5 / h * at(-3, -2) + -2.0 / h * at(-2, -1) + 1.5 / h * at(-1, None)
    return np.concatenate([first, inside, last], axis=axis)


def _uneven(f: Any, h: Any, axis: int, edge_order: int) -> Any:
    """The same for distances that differ: parabolas through three points."""

    def at(start: int, stop: int | None) -> Any:
        return sliced(f, axis, start, stop)

    def parabola(p: Any, q: Any, where: str) -> tuple[Any, Any, Any]:
        """Weights of three values, ``p`` and ``q`` apart, in the slope at one of them."""
        if where == "first":
            return -(2.0 * p + q) / (p * (p + q)), (p + q) / (p * q), -p / (q * (p + q))
        if where == "last":
            return q / (p * (p + q)), -(q + p) / (p * q), (2.0 * q + p) / (q * (p + q))
        return -q / (p * (p + q)), (q - p) / (p * q), p / (q * (p + q))

    def combined(weights: tuple[Any, Any, Any], *values: Any) -> Any:
        a, b, c = (_beside(w, axis, np.ndim(f)) for w in weights)
        return a * values[0] + b * values[1] + c * values[2]

    inside = combined(parabola(h[:-1], h[1:], "middle"), at(0, -2), at(1, -1), at(2, None))
    if edge_order == 1:
        first = (at(1, 2) - at(0, 1)) / h[0]
        last = (at(-1, None) - at(-2, -1)) / h[-1]
    else:
        start, end = parabola(h[:1], h[1:2], "first"), parabola(h[-2:-1], h[-1:], "last")
        first = combined(start, at(0, 1), at(1, 2), at(2, 3))
        last = combined(end, at(-3, -2), at(-2, -1), at(-1, None))
    return np.concatenate([first, inside, last], axis=axis)


@numpy_function(np.unwrap)
def _unwrap(
    p: Any, discont: float | None = None, axis: int = -1, *, period: float = 2 * np.pi
) -> Any:
    for name, given in (("discont", discont), ("period", period)):
        if isinstance(given, Operand):
            raise TraceError(
                f"np.unwrap takes no traced {name}=: the result jumps with it.\nPass a number."
            )
    axis = normalize_axis_index(axis, np.ndim(p))
    p = floating(p)
    period = float(period)
    discont = period / 2 if discont is None else float(discont)
    attrs = {"axis": axis, "discont": discont, "period": period}
    return p + cast(bind(UNWRAPPING, (p,), attrs), p)
