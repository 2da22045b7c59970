"""Ufuncs called in another way: with options, with two results, or by one of their methods.

``UFUNC_METHODS`` sends here whatever is not a plain call of a ufunc that is a row: calls with
``dtype=`` and the like, ufuncs that are put together from rows (``divmod``, ``modf``), and
``reduce``, ``accumulate``, ``outer`` and ``reduceat``. Nothing here is a row of its own.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from chainrule.errors import TraceError
from chainrule.graph.operand import UFUNC_METHODS, bind, refused_out
from chainrule.graph.tape import dtype_of
from chainrule.rules.arithmetic import (
    EXPONENT,
    FLOOR_DIVIDE,
    LOGICAL_AND,
    LOGICAL_NOT,
    LOGICAL_OR,
    LOGICAL_XOR,
    MANTISSA,
    MOD,
    on_conditions,
)
from chainrule.rules.batching import ARRAY
from chainrule.rules.piecewise import ABS, ROUND, TRUNC, WHERE
from chainrule.rules.powers import POWER
from chainrule.rules.shapes import SCATTER, array_of, astype, reshape, transpose

# Ufuncs that are no row: put together from rows, or with several results. SciPy's by their names.
CALLS: dict[np.ufunc | str, Callable[..., Any]] = {}

_NO_MATTER = {"order", "subok", "casting"}  # the memory layout, and what dtype= may do


def ufunc_call(ufunc: np.ufunc | str) -> Callable[..., Any]:
    """Decorate what a call of this ufunc does with an operand."""

    def connect(adapter: Callable[..., Any]) -> Callable[..., Any]:
        CALLS[ufunc] = adapter
        return adapter

    return connect


# --------------------------------------------------------------------------------------- calls


def _call(ufunc: np.ufunc, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """A call that is no row's, or has options."""
    _refuse_out(ufunc, "", options.get("out"))
    given = {k: v for k, v in options.items() if k not in {"where", "dtype", "out"} | _NO_MATTER}
    if given:
        return NotImplemented
    where = options.get("where", True)
    if where is not True:
        raise TraceError(
            f"np.{ufunc.__name__}(..., where=...) of a traced value leaves elements undefined.\n"
            f"Write np.where(mask, np.{ufunc.__name__}(...), otherwise)."
        )
    dtype = options.get("dtype")
    if dtype is not None:
        casting = options.get("casting", "same_kind")
        args = tuple([_as_dtype(ufunc, a, np.dtype(dtype), casting) for a in args])
    if options:
        return ufunc(*args)
    adapter = CALLS.get(ufunc) or CALLS.get(ufunc.__name__)
    if adapter is None:
        return NotImplemented
    return adapter(*(np.asarray(a) if isinstance(a, list | tuple) else a for a in args))


def _as_dtype(ufunc: np.ufunc, x: Any, dtype: np.dtype[Any], casting: Any) -> Any:
    """An argument in the dtype that the ufunc shall compute in."""
    if dtype == np.bool_ or isinstance(x, bool | int | float):
        return x  # conditions have no other dtype, and Python's numbers take any
    if not np.can_cast(dtype_of(x), dtype, casting):
        raise TypeError(
            f"cannot cast the argument of np.{ufunc.__name__} from {dtype_of(x)} to {dtype} "
            f"with casting rule {casting!r}"
        )
    if dtype.kind != "f":
        raise TraceError(
            f"np.{ufunc.__name__}(..., dtype={dtype}) of a traced value has no derivative.\n"
            "Write x.astype(...) to leave the computation on purpose."
        )
    return astype(x, dtype)


@ufunc_call(np.divmod)
def _divmod(x: Any, y: Any) -> tuple[Any, Any]:
    return bind(FLOOR_DIVIDE, (x, y)), bind(MOD, (x, y))


def _inexact(x: Any) -> Any:
    """``x`` as floats, where a ufunc has none but these: whole numbers in the dtype they fit in."""
    return astype(x, np.result_type(dtype_of(x), np.float16))


@ufunc_call(np.fabs)
def _fabs(x: Any) -> Any:
    return bind(ABS, (_inexact(x),))


@ufunc_call(np.rint)
def _rint(x: Any) -> Any:
    return bind(ROUND, (_inexact(x),))


@ufunc_call(np.modf)
def _modf(x: Any) -> tuple[Any, Any]:
    """The fraction and the whole part; of an infinity, the fraction is 0."""
    x = _inexact(x)
    whole = bind(TRUNC, (x,))
    fraction = np.where(np.isinf(x), 0.0, x - np.where(np.isinf(x), 0.0, whole))
    return np.copysign(fraction, x), whole


@ufunc_call(np.frexp)
def _frexp(x: Any) -> tuple[Any, Any]:
    return bind(MANTISSA, (x,)), bind(EXPONENT, (x,))


@ufunc_call(np.ldexp)
def _ldexp(x: Any, exponent: Any) -> Any:
    """x·2ⁿ in two steps, as 2ⁿ alone may be too large or too small for a number."""
    if dtype_of(exponent).kind not in "biu":
        raise TypeError("np.ldexp takes whole exponents")
    half = np.floor_divide(exponent, 2)
    one = np.ones((), dtype_of(x) if dtype_of(x).kind == "f" else np.float64)
    return x * np.exp2(half * one) * np.exp2((exponent - half) * one)


@ufunc_call(np.float_power)
def _float_power(x: Any, p: Any) -> Any:
    """A power in double precision at least."""
    return bind(POWER, (_at_least_double(x), _at_least_double(p)))


def _at_least_double(x: Any) -> Any:
    return astype(x, np.result_type(dtype_of(x), np.float64))


for _ufunc, _row in {
    np.bitwise_and: LOGICAL_AND, np.bitwise_or: LOGICAL_OR, np.bitwise_xor: LOGICAL_XOR,
    np.invert: LOGICAL_NOT,
}.items():  # fmt: skip
    CALLS[_ufunc] = functools.partial(on_conditions, _row)

# ------------------------------------------------------------------------------------- methods

# Ufuncs whose operands may be combined in any grouping, with the element that changes nothing.
_ASSOCIATIVE = {
    np.logaddexp: -np.inf, np.logaddexp2: -np.inf, np.hypot: 0.0, np.fmax: np.nan, np.fmin: np.nan,
}  # fmt: skip


def _refuse_out(ufunc: np.ufunc, method: str, out: Any) -> None:
    if out is not None and any(o is not None for o in (out if isinstance(out, tuple) else (out,))):
        raise refused_out(f"np.{ufunc.__name__}{method}", out)


def _converted(x: Any, dtype: Any) -> Any:
    return array_of(x) if dtype is None else array_of(x).astype(dtype)


def _part(x: Any, axis: int, *bounds: Any) -> Any:
    return x[(*(slice(None),) * axis, slice(*bounds))]


def _reduce(ufunc: np.ufunc, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """Reductions of ufuncs that are no NumPy function by themselves."""
    (x,) = args
    settings = {"axis": 0, "dtype": None, "out": None, "keepdims": False} | options
    _refuse_out(ufunc, ".reduce", settings["out"])
    if ufunc in (np.subtract, np.divide):
        return _reduced_from_first(ufunc, x, settings)
    if ufunc not in (np.hypot, np.logaddexp2):
        return NotImplemented
    x, identity = _converted(x, settings["dtype"]), _ASSOCIATIVE[ufunc]
    where, initial = settings.get("where", True), settings.get("initial", np._NoValue)
    if where is not True:
        x = bind(WHERE, (where, x, identity))
    ndim = np.ndim(x)
    axis = settings["axis"] if ndim else None
    axes = tuple(range(ndim)) if axis is None else normalize_axis_tuple(axis, ndim)
    rest = tuple(i for i in range(ndim) if i not in axes)
    sizes = tuple(np.shape(x)[i] for i in rest)
    flat = reshape(transpose(x, axes + rest), (math.prod(np.shape(x)[i] for i in axes), *sizes))
    found = _combined(ufunc, flat, identity)
    if settings["keepdims"]:
        found = reshape(found, tuple(1 if i in axes else n for i, n in enumerate(np.shape(x))))
    return found if initial is np._NoValue or initial is None else ufunc(found, initial)


def _combined(ufunc: np.ufunc, x: Any, identity: float) -> Any:
    """All rows of ``x`` in one: halves are combined until a single one is left."""
    if np.shape(x)[0] == 0:
        return np.full(np.shape(x)[1:], identity, dtype_of(x))[()]
    if np.shape(x)[0] == 1:
        return ufunc(x[0], identity)
    while np.shape(x)[0] > 1:
        half = np.shape(x)[0] // 2
        combined = ufunc(x[:half], x[half : 2 * half])
        odd = np.shape(x)[0] % 2
        x = np.concatenate((combined, x[2 * half :])) if odd else combined
    return x[0]


def _reduced_from_first(ufunc: np.ufunc, x: Any, settings: dict[str, Any]) -> Any:
    """a₀ − a₁ − a₂ … and a₀/a₁/a₂ …: the first, and the sum or product of the others."""
    if settings.get("where", True) is not True or "initial" in settings:
        raise TraceError(f"np.{ufunc.__name__}.reduce takes no where= and no initial= here.")
    x = _converted(x, settings["dtype"])
    if not np.ndim(x):
        return x
    if (settings["axis"] is None and np.ndim(x) > 1) or isinstance(settings["axis"], tuple):
        raise ValueError(f"reduction operation {ufunc.__name__!r} is not reorderable")
    axis = normalize_axis_index(settings["axis"] or 0, np.ndim(x))
    if np.shape(x)[axis] == 0:
        raise ValueError(f"zero-size array to np.{ufunc.__name__}.reduce, which has no identity")
    others = np.sum if ufunc is np.subtract else np.prod
    found = ufunc(_part(x, axis, 0, 1), others(_part(x, axis, 1, None), axis=axis, keepdims=True))
    shape = np.shape(found)
    return found if settings["keepdims"] else reshape(found, shape[:axis] + shape[axis + 1 :])


def _accumulate(ufunc: np.ufunc, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    (x,) = args
    settings = {"axis": 0, "dtype": None, "out": None} | options
    _refuse_out(ufunc, ".accumulate", settings["out"])
    x = _converted(x, settings["dtype"])
    axis = normalize_axis_index(settings["axis"], np.ndim(x))
    if ufunc in (np.add, np.multiply):
        return (np.cumsum if ufunc is np.add else np.cumprod)(x, axis=axis)
    if ufunc in (np.maximum, np.minimum):
        from chainrule.rules.ordering import running_extreme

        return running_extreme(x, axis, smallest=ufunc is np.minimum)
    if ufunc in (np.subtract, np.divide):
        running = np.cumsum if ufunc is np.subtract else np.cumprod
        first = _part(x, axis, 0, 1)
        later = ufunc(first, running(_part(x, axis, 1, None), axis=axis))
        return np.concatenate((first, later), axis=axis)
    return _scanned(ufunc, x, axis) if ufunc in _ASSOCIATIVE else NotImplemented


def _scanned(ufunc: np.ufunc, x: Any, axis: int) -> Any:
    """Every element combined with all before it, in ⌈log₂ n⌉ steps of twice the reach."""
    reach = 1
    while reach < np.shape(x)[axis]:
        later = ufunc(_part(x, axis, None, -reach), _part(x, axis, reach, None))
        x = np.concatenate((_part(x, axis, None, reach), later), axis=axis)
        reach *= 2
    return x


def _outer(ufunc: np.ufunc, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """Every element of the one with every element of the other."""
    a, b = map(array_of, args)
    return ufunc(reshape(a, np.shape(a) + (1,) * np.ndim(b)), b, **options)


def _reduceat(ufunc: np.ufunc, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """Sums of slices that begin at the indices; an element that is in two is taken twice."""
    if ufunc is not np.add:
        return NotImplemented
    x, indices = args
    settings = {"axis": 0, "dtype": None, "out": None} | options
    _refuse_out(ufunc, ".reduceat", settings["out"])
    x, starts = _converted(x, settings["dtype"]), np.asarray(indices)
    if not starts.size:
        starts = starts.astype(np.intp)  # an empty list is an array of floats to NumPy
    axis = normalize_axis_index(settings["axis"], np.ndim(x))
    length = np.shape(x)[axis]
    if starts.size and (starts.min() < 0 or starts.max() >= length):
        raise IndexError(f"an index of np.add.reduceat is not in [0, {length})")
    stops = np.append(starts[1:], length)[: len(starts)]
    lengths = np.maximum(stops - starts, 1)
    segments = np.repeat(np.arange(len(starts)), lengths)
    places = np.arange(lengths.sum()) + np.repeat(starts - np.cumsum(lengths) + lengths, lengths)
    before = (slice(None),) * axis
    shape = (*np.shape(x)[:axis], len(starts), *np.shape(x)[axis + 1 :])
    taken = x[(*before, places)]
    return bind(SCATTER, (taken, segments), {"index": (*before, ARRAY), "shape": shape})


UFUNC_METHODS.update({
    "__call__": _call, "reduce": _reduce, "accumulate": _accumulate, "outer": _outer,
    "reduceat": _reduceat,
})  # fmt: skip
