"""An array cut into several: split and its relatives. Every piece is a slice."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from chainrule.graph.operand import concrete
from chainrule.graph.tape import shape_of
from chainrule.rules.book import numpy_function
from chainrule.rules.joining import gathered
from chainrule.rules.ordering import refuse_unknown


@numpy_function(np.array_split)
def _array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    axis = normalize_axis_index(axis, np.ndim(ary))
    length = shape_of(ary)[axis]
    if np.ndim(indices_or_sections):
        bounds = [0, *map(int, indices_or_sections), length]
    else:
        sections = int(indices_or_sections)
        if sections <= 0:
            raise ValueError("number sections must be larger than 0.")
        each, longer = divmod(length, sections)
        bounds = [each * i + min(i, longer) for i in range(sections + 1)]
    before = (slice(None),) * axis
    return [ary[(*before, slice(start, stop))] for start, stop in pairwise(bounds)]


@numpy_function(np.split)
def _split(ary: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    if not np.ndim(indices_or_sections):
        length = shape_of(ary)[normalize_axis_index(axis, np.ndim(ary))]
        if indices_or_sections > 0 and length % indices_or_sections:
            raise ValueError("array split does not result in an equal division")
    return _array_split(ary, indices_or_sections, axis)


@numpy_function(np.hsplit)
def _hsplit(ary: Any, indices_or_sections: Any) -> Any:
    if np.ndim(ary) == 0:
        raise ValueError("hsplit only works on arrays of 1 or more dimensions")
    return _split(ary, indices_or_sections, 1 if np.ndim(ary) > 1 else 0)


@numpy_function(np.vsplit)
def _vsplit(ary: Any, indices_or_sections: Any) -> Any:
    if np.ndim(ary) < 2:
        raise ValueError("vsplit only works on arrays of 2 or more dimensions")
    return _split(ary, indices_or_sections, 0)


@numpy_function(np.dsplit)
def _dsplit(ary: Any, indices_or_sections: Any) -> Any:
    if np.ndim(ary) < 3:
        raise ValueError("dsplit only works on arrays of 3 or more dimensions")
    return _split(ary, indices_or_sections, 2)


def _unstack(x: Any, /, *, axis: int = 0) -> tuple[Any, ...]:
    if np.ndim(x) == 0:
        raise ValueError("Input array must be at least 1-d.")
    axis = normalize_axis_index(axis, np.ndim(x))
    return tuple(x[(*(slice(None),) * axis, i)] for i in range(shape_of(x)[axis]))


if hasattr(np, "unstack"):  # since NumPy 2.1
    numpy_function(np.unstack)(_unstack)


@numpy_function(np.trim_zeros)
def _trim_zeros(filt: Any, trim: str = "fb", axis: Any = None) -> Any:
    """A slice; where it begins and ends is constant while no zero comes or goes."""
    filt = gathered(filt)
    refuse_unknown("trim_zeros", filt)
    ndim, trim = np.ndim(filt), trim.lower()
    axes = range(ndim) if axis is None else normalize_axis_tuple(axis, ndim)
    if trim not in ("fb", "bf", "f", "b"):
        raise ValueError(f"unexpected character(s) in `trim`: {trim!r}")
    index = [slice(None)] * ndim
    for i in axes:
        found = np.nonzero(concrete(filt))[i]
        if not found.size:
            index[i] = slice(0, 0)
            continue
        first, last = int(found.min()), int(found.max()) + 1
        index[i] = slice(first if "f" in trim else None, last if "b" in trim else None)
    return filt[tuple(index)]
