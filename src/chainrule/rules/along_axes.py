"""Functions of one axis applied along an axis, or over several."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from chainrule.graph.tape import shape_of
from chainrule.rules.arranging import copied
from chainrule.rules.book import numpy_function
from chainrule.rules.joining import gathered


@numpy_function(np.apply_along_axis)
def _apply_along_axis(
    func1d: Callable[..., Any], axis: int, arr: Any, *args: Any, **kwargs: Any
) -> Any:
    axis = normalize_axis_index(axis, np.ndim(arr))
    last = np.moveaxis(arr, axis, -1)
    *others, length = shape_of(last)
    rows = np.reshape(last, (-1, length)) if length else np.reshape(last, (np.prod(others), 0))
    if not shape_of(rows)[0]:
        raise ValueError("Cannot apply_along_axis when any iteration dimensions are 0")
    found = np.stack([gathered(func1d(row, *args, **kwargs)) for row in rows])
    shape = shape_of(found)[1:]
    whole = np.reshape(found, (*others, *shape))
    # What each row became goes where the axis was.
    ndim = len(others)
    last_axes, its_axes = range(ndim, ndim + len(shape)), range(axis, axis + len(shape))
    return copied(np.moveaxis(whole, tuple(last_axes), tuple(its_axes)))


@numpy_function(np.apply_over_axes)
def _apply_over_axes(func: Callable[..., Any], a: Any, axes: Any) -> Any:
    ndim = np.ndim(a)
    for axis in axes if np.ndim(axes) else (axes,):
        axis = normalize_axis_index(axis, ndim)
        found = func(a, axis)
        a = found if np.ndim(found) == ndim else np.expand_dims(found, axis)
        if np.ndim(a) != ndim:
            raise ValueError("function is not returning an array of the correct shape")
    return a
