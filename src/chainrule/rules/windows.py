"""Sliding windows, and the sum of overlapping windows that is their transpose."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple
from numpy.lib.stride_tricks import sliding_window_view

from chainrule.graph.operand import bind
from chainrule.graph.primitive import Linear, Primitive
from chainrule.graph.tape import shape_of
from chainrule.rules.book import define, numpy_function


def _overlapped(y: Any, axis: int) -> Any:
    """Windows, each laid one place after the one before it along ``axis``, added up."""
    rows = np.moveaxis(y, axis, -2)
    count, window = rows.shape[-2:]
    shape = list(y.shape[:-1])
    shape[axis] = count + window - 1
    out = np.zeros(shape, y.dtype)
    sums = np.moveaxis(out, axis, -1)
    if window <= count:
        for k in range(window):
            sums[..., k : k + count] += rows[..., :, k]
    else:
        for k in range(count):
            sums[..., k : k + window] += rows[..., k, :]
    return out


WINDOWS: Primitive = define(
    "sliding_window_view", lambda x, window, axis: sliding_window_view(x, window, axis),
    Linear(lambda ct, x, window, axis: bind(OVERLAP_ADD, (ct,), {"axis": axis})),
    text="windows", elementwise=False, structure="repetition", axes=("axis",), view=True,
)
OVERLAP_ADD: Primitive = define(
    "overlap_add", _overlapped,
    Linear(lambda ct, y, axis:
           bind(WINDOWS, (ct,), {"window": shape_of(y)[-1], "axis": axis})),
    elementwise=False, structure="sums along windows", axes=("axis",),
)  # fmt: skip


@numpy_function(sliding_window_view)
def _sliding_window_view(
    x: Any, window_shape: Any, axis: Any = None, *, subok: bool = False, writeable: bool = False
) -> Any:
    if writeable:
        raise TypeError("sliding_window_view of a traced value cannot be written to")
    windows = tuple(window_shape) if isinstance(window_shape, Iterable) else (window_shape,)
    ndim = np.ndim(x)
    axes = tuple(range(ndim)) if axis is None else normalize_axis_tuple(axis, ndim, None, True)
    if len(windows) != len(axes):
        raise ValueError(
            f"window_shape has {len(windows)} elements, but it slides along {len(axes)} axes"
        )
    for window, along in zip(windows, axes, strict=True):
        x = bind(WINDOWS, (x,), {"window": int(window), "axis": along})
    return x
