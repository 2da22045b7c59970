"""Order: sort and partition, and where the largest, the equal and the true ones stand.

Places are plain integers: they are constant between their jumps. What stands at a place is
differentiable: a sorted array is a selection of the elements of the array, in stable order, so of
equal elements the first in the array is the first in the result, and that one carries the
derivative.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from chainrule.errors import TraceError
from chainrule.graph.operand import METHODS, Operand, bind, concrete, refuse_out
from chainrule.graph.primitive import Flat, Linear, Primitive
from chainrule.graph.tape import dtype_of
from chainrule.graph.versions import assigned
from chainrule.rules.book import define, numpy_function
from chainrule.rules.cumulative import LATEST_RECORD
from chainrule.rules.reductions import normal_axis
from chainrule.rules.shapes import array_of, broadcast_to, reshape, transpose

_PLACE = "a place: constant between its jumps"
_INDEX = Flat("an index")


def places(name: str, evaluate: Any, **facts: Any) -> Primitive:
    """A row whose result is places or conditions: plain integers or booleans."""
    return define(
        name, lambda *args, **attrs: np.asarray(evaluate(*args, **attrs)), Flat(_PLACE),
        elementwise=False, structure="steps", recorded=False, **facts,
    )  # fmt: skip


# -------------------------------------------------------------------------------------------- rows

ARGSORT = places("argsort", np.argsort, axes=("axis",))
ARGPARTITION = places("argpartition", np.argpartition, axes=("axis",))
ARGMAX = places("argmax", np.argmax, axes=("axis",))
ARGMIN = places("argmin", np.argmin, axes=("axis",))
NANARGMAX = places("nanargmax", np.nanargmax, axes=("axis",))
NANARGMIN = places("nanargmin", np.nanargmin, axes=("axis",))
LEXSORT = places("lexsort", lambda *keys, axis: np.lexsort(keys, axis), axes=("axis",))
SEARCHSORTED = places(
    "searchsorted",
    lambda a, v, *sorter, side="left":
        np.searchsorted(a, v, side, *(np.asarray(s, np.intp) for s in sorter)),
)  # fmt: skip
DIGITIZE = places("digitize", np.digitize)
ARGWHERE = places("argwhere", np.argwhere)


def _unique(x: Any, what: str, axis: int | None, equal_nan: bool) -> Any:
    """The first place of each different value, or which of them each is, or how often it is."""
    extras = ("index", "inverse", "counts")
    found = np.unique(
        x, return_index=True, return_inverse=True, return_counts=True, axis=axis,
        equal_nan=equal_nan,
    )  # fmt: skip
    return found[1 + extras.index(what)]


UNIQUE = places("unique", _unique)


def refuse_unknown(name: str, *values: Any) -> None:
    """An array whose length depends on values cannot be made where those are not known."""
    if any(isinstance(concrete(value), Operand) for value in values):
        raise TraceError(
            f"np.{name} inside vmap or a staged loop: the length of the result would differ from "
            "value to value.\nWrite np.where(condition, x, 0), or call it outside."
        )


def _add_along(x: Any, indices: Any, axis: int, length: int) -> Any:
    """Zeros with ``x`` added at the places along one axis: the transpose of ``take_along_axis``."""
    x, indices = np.asarray(x), np.asarray(indices)
    axis %= x.ndim
    out = np.zeros((*x.shape[:axis], length, *x.shape[axis + 1 :]), x.dtype)
    grid = list(np.ogrid[tuple(map(slice, x.shape))])
    grid[axis] = indices
    np.add.at(out, tuple(grid), x)  # places may be named more than once
    return out


def _along(x: Any, indices: Any, axis: int) -> Any:
    return np.take_along_axis(np.asarray(x), np.asarray(indices), axis)


def _along_transpose(ct: Any, x: Any, indices: Any, axis: int) -> Any:
    attrs = {"axis": axis, "length": np.shape(x)[axis]}
    return bind(ADD_ALONG_AXIS, (ct, indices), attrs)


TAKE_ALONG_AXIS: Primitive = define(
    "take_along_axis", _along, Linear(_along_transpose, selects=True), _INDEX,
    elementwise=False, structure="selection", axes=("axis",),
)
ADD_ALONG_AXIS: Primitive = define(
    "add_along_axis", _add_along,
    Linear(
        lambda ct, x, indices, axis, length: bind(TAKE_ALONG_AXIS, (ct, indices), {"axis": axis}),
        selects=True,
    ),
    _INDEX, elementwise=False, structure="selection", axes=("axis",),
)  # fmt: skip
# The same selection; its own row, so that an explanation says "sort".
SORT: Primitive = define(
    "sort", _along, Linear(_along_transpose, selects=True), _INDEX,
    text="sort({0})", latex=r"\operatorname{{sort}}\left({0}\right)",
    elementwise=False, structure="permutation", axes=("axis",),
)

# ------------------------------------------------------------------------------ NumPy's functions


def along(x: Any, axis: Any) -> tuple[Any, int]:
    """The array and the axis to go along: all of it, flattened, if there is none."""
    x = array_of(x)
    if axis is None:
        return reshape(x, (-1,)), 0
    return x, normalize_axis_index(operator.index(axis), np.ndim(x))


def sort(x: Any, axis: int) -> Any:
    """``x`` in increasing order along one axis; equal elements stay in their order."""
    order = bind(ARGSORT, (x,), {"axis": axis, "kind": "stable"})
    return bind(SORT, (x, order), {"axis": axis})


def take_along_axis(x: Any, indices: Any, axis: int) -> Any:
    """``np.take_along_axis`` where both have the same shape but for the axis."""
    return bind(TAKE_ALONG_AXIS, (x, indices), {"axis": axis})


def _no_fields(name: str, order: Any) -> None:
    if order is not None:
        raise TraceError(
            f"np.{name}(..., order=...) names fields of a structured array, and a traced value has "
            "none.\nLeave order out."
        )


@numpy_function(np.sort)
def _sort(
    a: Any, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None
) -> Any:
    _no_fields("sort", order)
    a, axis = along(a, axis)
    return sort(a, axis)


@numpy_function(np.sort_complex)
def _sort_complex(a: Any) -> Any:
    raise TraceError(
        "np.sort_complex makes complex numbers, which are not supported.\nUse np.sort."
    )


@numpy_function(np.argsort, method="argsort")
def _argsort(
    a: Any, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None
) -> Any:
    _no_fields("argsort", order)
    a, axis = along(reshape(array_of(a), (-1,)) if np.ndim(a) == 0 else a, axis)
    kind = "stable" if stable else kind
    return bind(ARGSORT, (a,), {"axis": axis, "kind": kind} if kind else {"axis": axis})


def _kth(kth: Any) -> Any:
    return operator.index(kth) if np.ndim(kth) == 0 else tuple(map(operator.index, kth))


@numpy_function(np.argpartition, method="argpartition")
def _argpartition(
    a: Any, kth: Any, axis: Any = -1, kind: str = "introselect", order: Any = None
) -> Any:
    _no_fields("argpartition", order)
    a, axis = along(a, axis)
    return bind(ARGPARTITION, (a,), {"kth": _kth(kth), "axis": axis})


@numpy_function(np.partition)
def _partition(
    a: Any, kth: Any, axis: Any = -1, kind: str = "introselect", order: Any = None
) -> Any:
    _no_fields("partition", order)
    a, axis = along(a, axis)
    return take_along_axis(a, _argpartition(a, kth, axis), axis)


def _partition_in_place(
    self: Operand, kth: Any, axis: int = -1, kind: str = "introselect", order: Any = None
) -> None:
    assigned(self, lambda a: _partition(a, kth, axis, kind, order))


METHODS["partition"] = _partition_in_place


@numpy_function(np.lexsort)
def _lexsort(keys: Any, axis: Any = -1) -> Any:
    listed = tuple(keys)
    return bind(LEXSORT, listed, {"axis": normalize_axis_index(axis, np.ndim(listed[0]))})


def _connect_argument(row: Primitive, function: Any, method: str | None = None) -> None:
    @numpy_function(function, method=method)
    def adapter(a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = False) -> Any:
        refuse_out(row.name, out)
        a = array_of(a)
        axis = None if axis is None or np.ndim(a) == 0 else normal_axis(axis, np.ndim(a))
        kept = keepdims is not np._NoValue and bool(keepdims)
        # Which element of all: not an axis each, so the array is flattened before.
        flat = reshape(a, (-1,)) if axis is None else a
        found = bind(row, (flat,), {"axis": 0 if axis is None else axis, "keepdims": kept})
        return reshape(found, (1,) * np.ndim(a)) if kept and axis is None else found


_connect_argument(ARGMAX, np.argmax, "argmax")
_connect_argument(ARGMIN, np.argmin, "argmin")
_connect_argument(NANARGMAX, np.nanargmax)
_connect_argument(NANARGMIN, np.nanargmin)


@numpy_function(np.searchsorted, method="searchsorted")
def _searchsorted(a: Any, v: Any, side: str = "left", sorter: Any = None) -> Any:
    return bind(SEARCHSORTED, (a, v) if sorter is None else (a, v, sorter), {"side": side})


@numpy_function(np.digitize)
def _digitize(x: Any, bins: Any, right: bool = False) -> Any:
    return bind(DIGITIZE, (x, bins), {"right": bool(right)})


@numpy_function(np.argwhere)
def _argwhere(a: Any) -> Any:
    refuse_unknown("argwhere", a)
    return bind(ARGWHERE, (a,))


@numpy_function(np.flatnonzero)
def _flatnonzero(a: Any) -> Any:
    refuse_unknown("flatnonzero", a)
    return bind(ARGWHERE, (reshape(a, (-1,)),))[:, 0]


@numpy_function(np.nonzero, method="nonzero")
def _nonzero(a: Any) -> Any:
    if np.ndim(a) == 0:
        raise ValueError(
            "Calling nonzero on 0d arrays is not allowed. Use np.atleast_1d(scalar).nonzero() "
            "instead."
        )
    refuse_unknown("nonzero", a)
    found = bind(ARGWHERE, (a,))
    return tuple(found[:, i] for i in range(np.ndim(a)))


@numpy_function(np.unique)
def _unique_values(
    ar: Any, return_index: bool = False, return_inverse: bool = False,
    return_counts: bool = False, axis: Any = None, *, equal_nan: bool = True, sorted: bool = True,
) -> Any:  # fmt: skip
    x = array_of(ar)
    refuse_unknown("unique", x)
    if axis is None:
        flat, along = reshape(x, (-1,)), 0
    else:
        flat, along = x, normalize_axis_index(axis, np.ndim(x))

    def found(what: str) -> Any:
        of = None if axis is None else along
        attrs = {"what": what, "axis": of, "equal_nan": equal_nan}
        return bind(UNIQUE, (x,), attrs)

    first = found("index")
    values = flat[(slice(None),) * along + (first,)]
    wanted = {"index": return_index, "inverse": return_inverse, "counts": return_counts}
    more = [found(what) for what, asked in wanted.items() if asked]
    return (values, *more) if more else values


@numpy_function(np.take_along_axis)
def _take_along_axis(arr: Any, indices: Any, axis: Any = -1) -> Any:
    arr, indices = array_of(arr), array_of(indices)
    if axis is None:
        if np.ndim(indices) != 1:
            raise ValueError(
                "when axis=None, `indices` must have a single dimension, "
                f"not {np.ndim(indices)}"
            )
        arr, axis = reshape(arr, (-1,)), 0
    if dtype_of(indices).kind not in "iu":
        raise IndexError("`indices` must be an integer array")
    if np.ndim(arr) != np.ndim(indices):
        raise ValueError("`indices` and `arr` must have the same number of dimensions")
    axis = normalize_axis_index(axis, np.ndim(arr))
    common = np.broadcast_shapes(*(
        tuple(1 if i == axis else n for i, n in enumerate(np.shape(v))) for v in (arr, indices)
    ))  # fmt: skip
    arr, indices = (
        broadcast_to(v, (*common[:axis], np.shape(v)[axis], *common[axis + 1 :]))
        for v in (arr, indices)
    )
    return take_along_axis(arr, indices, axis)


def moved_to_front(x: Any, axis: int) -> Any:
    """``x`` with one axis moved to the front."""
    return transpose(x, (axis, *(i for i in range(np.ndim(x)) if i != axis)))


def running_extreme(x: Any, axis: Any, smallest: bool = False) -> Any:
    """``np.maximum.accumulate`` (``minimum``): of equal elements the first keeps its place."""
    x, axis = along(x, axis)
    attrs = {"axis": axis, "smallest": smallest}
    return take_along_axis(x, bind(LATEST_RECORD, (x,), attrs), axis)
