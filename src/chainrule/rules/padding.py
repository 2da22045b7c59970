"""``np.pad`` in all its modes.

Modes that repeat elements of the array are one row per axis; the others put something made from the
array on both sides of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.errors import NotDifferentiableError
from chainrule.graph.operand import Operand, bind
from chainrule.graph.primitive import Linear, Primitive
from chainrule.graph.tape import dtype_of, shape_of
from chainrule.rules.arranging import copied
from chainrule.rules.book import define, numpy_function
from chainrule.rules.joining import cast_into, concatenate, gathered, stretch, stretches
from chainrule.rules.shapes import SCATTER, astype, broadcast_to

Pairs = list[tuple[Any, Any]]
Side = tuple[slice, ...]


def _padded(x: Any, axis: int, before: int, after: int, mode: str) -> Any:
    width = [(0, 0)] * np.ndim(x)
    width[axis] = (before, after)
    return np.pad(x, width, mode)  # type: ignore[call-overload]


def _folded(y: Any, axis: int, before: int, after: int, mode: str) -> Any:
    """What was added at the sides is added to the elements that it repeats."""
    y = np.moveaxis(y, axis, -1)
    length = y.shape[-1] - before - after
    places = np.pad(np.arange(length), (before, after), mode)  # type: ignore[call-overload]
    out = y[..., before : before + length].copy("K")
    for start, stop in ((0, before), (before + length, len(places))):
        side = y[..., start:stop]
        pieces = stretches(places[start:stop])
        if pieces is None:
            np.add.at(out, (..., places[start:stop]), side)  # type: ignore[arg-type]
            continue
        for begin, end, first, step in pieces:
            if step:
                out[..., stretch(end - begin, first, step)] += side[..., begin:end]
            else:
                out[..., first] += side[..., begin:end].sum(axis=-1)
    return np.moveaxis(out, -1, axis)


PAD: Primitive = define(
    "pad", _padded,
    Linear(lambda ct, x, **attrs: bind(FOLD, (ct,), attrs)),
    elementwise=False, structure="repetition", axes=("axis",),
)
FOLD: Primitive = define(
    "fold", _folded,
    Linear(lambda ct, y, **attrs: bind(PAD, (ct,), attrs)),
    elementwise=False, structure="sums along the sides", axes=("axis",),
)  # fmt: skip

# ------------------------------------------------------------------------------------ every np.pad

_REPEATING = ("edge", "reflect", "symmetric", "wrap")
_OPTIONS = {
    "constant": "constant_values",
    "linear_ramp": "end_values",
    "maximum": "stat_length",
    "mean": "stat_length",
    "median": "stat_length",
    "minimum": "stat_length",
    "reflect": "reflect_type",
    "symmetric": "reflect_type",
}
_STATISTICS: dict[str, Callable[..., Any]] = {
    "maximum": np.max,
    "mean": np.mean,
    "median": np.median,
    "minimum": np.min,
}


@numpy_function(np.pad)
def _pad(array: Any, pad_width: Any, mode: Any = "constant", **kwargs: Any) -> Any:
    x = gathered(array)
    ndim = np.ndim(x)
    widths = _widths(pad_width, ndim)
    option = _option(mode, kwargs)
    if mode == "empty" or (mode == "constant" and _is_zero(option)):
        return _with_zeros(x, widths)
    if mode == "constant":
        values = _pairs(option, ndim)
        return _each_axis(x, widths, lambda x, axis, w: _constants(x, axis, w, values[axis]))
    for axis, (width, length) in enumerate(zip(widths, shape_of(x), strict=True)):
        if not length and any(width):
            raise ValueError(
                f"can't extend empty axis {axis} using modes other than 'constant' or 'empty'"
            )
    if mode == "linear_ramp":
        values = _pairs(0 if option is None else option, ndim)
        return _each_axis(x, widths, lambda x, axis, w: _ramps(x, axis, w, values[axis]))
    if mode in _STATISTICS:
        lengths = _pairs(option, ndim)
        return _each_axis(x, widths, lambda x, axis, w: _statistic(x, axis, w, mode, lengths[axis]))
    if option == "odd":
        return _each_axis(x, widths, lambda x, axis, w: _mirrored(x, axis, w, mode == "symmetric"))
    return _each_axis(x, widths, lambda x, axis, w: bind(
        PAD, (x,), {"axis": axis, "before": w[0], "after": w[1], "mode": mode}
    ))  # fmt: skip


def _widths(pad_width: Any, ndim: int) -> list[tuple[int, int]]:
    """How many elements are added before and after, for each axis."""
    if isinstance(pad_width, dict):
        found = [(0, 0)] * ndim
        for axis, width in pad_width.items():
            found[axis] = (width, width) if np.ndim(width) == 0 else tuple(width)
        pad_width = found
    widths = np.asarray(pad_width)
    if widths.dtype.kind != "i":
        raise TypeError("`pad_width` must be of integral type.")
    if np.any(widths < 0):
        raise ValueError("index can't contain negative values")
    return [(int(a), int(b)) for a, b in np.broadcast_to(widths, (ndim, 2))]


def _option(mode: Any, options: dict[str, Any]) -> Any:
    """The one option that a mode takes."""
    if callable(mode):
        raise NotDifferentiableError(
            "np.pad of a traced value with a function as mode: the function writes into an array, "
            "and what it writes would be lost.\n"
            "Make the sides yourself and join them with np.concatenate."
        )
    if mode not in (*_OPTIONS, *_REPEATING, "empty"):
        raise ValueError(f"mode {mode!r} is not supported")
    name = _OPTIONS.get(mode)
    unknown = set(options) - {name}
    if unknown:
        raise ValueError(f"unsupported keyword arguments for mode {mode!r}: {unknown}")
    return options.get(name) if name else None


def _is_zero(option: Any) -> bool:
    return option is None or (isinstance(option, int | float) and option == 0)


def _pairs(option: Any, ndim: int) -> Pairs:
    """An option for both sides of each axis: a number for all, a pair for all, or one of each."""
    if option is None:
        return [(None, None)] * ndim
    both = gathered(option)
    if isinstance(both, Operand):
        table: Any = np.broadcast_to(both, (ndim, 2))
        return [(table[axis, 0], table[axis, 1]) for axis in range(ndim)]
    return [(a, b) for a, b in np.broadcast_to(both, (ndim, 2)).tolist()]


def _each_axis(x: Any, widths: list[tuple[int, int]], pad: Callable[..., Any]) -> Any:
    """One axis after the other: corners are padding of what was padded before."""
    if not any(map(any, widths)):
        return copied(x)
    for axis, width in enumerate(widths):
        if any(width):
            x = pad(x, axis, width)
    return x


def _with_zeros(x: Any, widths: list[tuple[int, int]]) -> Any:
    sizes = tuple(zip(shape_of(x), widths, strict=True))
    return bind(SCATTER, (x,), {
        "index": tuple(slice(before, before + n) for n, (before, _) in sizes),
        "shape": tuple(before + n + after for n, (before, after) in sizes),
    })  # fmt: skip


def _side(x: Any, axis: int, width: int) -> tuple[int, ...]:
    """The shape of what is put beside ``x``."""
    return (*shape_of(x)[:axis], width, *shape_of(x)[axis + 1 :])


def _constants(x: Any, axis: int, width: tuple[int, int], values: tuple[Any, Any]) -> Any:
    before, after = (
        broadcast_to(cast_into(np.asarray(v) if not isinstance(v, Operand) else v, x, "np.pad"),
                     _side(x, axis, w))
        for v, w in zip(values, width, strict=True)
    )  # fmt: skip
    return concatenate([before, x, after], axis)


def _part(x: Any, axis: int, part: slice) -> Any:
    return x[(*(slice(None),) * axis, part)]


def _ramps(x: Any, axis: int, width: tuple[int, int], ends: tuple[Any, Any]) -> Any:
    """Straight lines from the end values to the edges; the edges themselves are not repeated."""
    sides = []
    for end, n, at in zip(ends, width, (0, shape_of(x)[axis] - 1), strict=True):
        edge = _part(x, axis, slice(at, at + 1))
        steps = np.arange(n).reshape((-1,) + (1,) * (np.ndim(x) - 1 - axis))
        line = end + steps * ((edge - end) / max(n, 1))
        sides.append(broadcast_to(astype(line, dtype_of(x)), _side(x, axis, n)))
    return concatenate([sides[0], x, np.flip(sides[1], axis)], axis)


def _statistic(
    x: Any, axis: int, width: tuple[int, int], mode: str, lengths: tuple[Any, Any]
) -> Any:
    """The mean (or another statistic) of the elements next to each side."""
    whole = shape_of(x)[axis]
    left, right = (whole if n is None else min(int(n), whole) for n in lengths)
    if mode in ("maximum", "minimum") and not (left and right):
        raise ValueError("stat_length of 0 yields no value for padding")
    statistic = _STATISTICS[mode]

    def found(part: slice) -> Any:
        return astype(statistic(_part(x, axis, part), axis=axis, keepdims=True), dtype_of(x))

    first = found(slice(0, left))
    last = first if left == right == whole else found(slice(whole - right, whole))
    before, after = (
        broadcast_to(value, _side(x, axis, n))
        for value, n in zip((first, last), width, strict=True)
    )
    return concatenate([before, x, after], axis)


def _mirrored(x: Any, axis: int, width: tuple[int, int], with_edge: bool) -> Any:
    """The array turned around each of its ends, as often as it takes (``reflect_type="odd"``)."""
    length = shape_of(x)[axis]
    left, right = width
    if length == 1:
        return bind(PAD, (x,), {"axis": axis, "before": left, "after": right, "mode": "edge"})
    # The element at the end is repeated in "symmetric" and not in "reflect".
    skipped = 0 if with_edge else 1
    period = length - skipped
    while left or right:
        most = (shape_of(x)[axis] - skipped) // period * period
        taken = min(most, left)
        if taken:
            turned = np.flip(_part(x, axis, slice(skipped, skipped + taken)), axis)
            x = concatenate([2 * _part(x, axis, slice(0, 1)) - turned, x], axis)
            left -= taken
        taken = min(most, right)
        if taken:
            end = shape_of(x)[axis]
            turned = np.flip(_part(x, axis, slice(end - skipped - taken, end - skipped)), axis)
            x = concatenate([x, 2 * _part(x, axis, slice(end - 1, end)) - turned], axis)
            right -= taken
    return x
