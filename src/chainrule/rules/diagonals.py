"""Diagonals and triangles of matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from chainrule.graph.operand import bind
from chainrule.graph.primitive import Linear, Primitive
from chainrule.graph.tape import dtype_of, shape_of
from chainrule.rules.book import define, numpy_function
from chainrule.rules.shapes import ravel


def _on_diagonal(v: Any, rows: int, columns: int, offset: int) -> Any:
    """Matrices of zeros with the last axis of ``v`` on a diagonal: an even slice of their rows."""
    *stack, length = v.shape
    flat = np.zeros((*stack, rows * columns), v.dtype)
    start = offset if offset >= 0 else -offset * columns
    if length:
        flat[..., start : start + length * (columns + 1) : columns + 1] = v
    return flat.reshape((*stack, rows, columns))


def _back_on_diagonal(ct: Any, x: Any, offset: int, axes: tuple[int, int]) -> Any:
    sizes = {"rows": shape_of(x)[axes[0]], "columns": shape_of(x)[axes[1]], "offset": offset}
    return np.moveaxis(bind(ON_DIAGONAL, (ct,), sizes), (-2, -1), axes)


def _last_diagonal(ct: Any, v: Any, rows: int, columns: int, offset: int) -> Any:
    last = (np.ndim(ct) - 2, np.ndim(ct) - 1)
    return bind(DIAGONAL, (ct,), {"offset": offset, "axes": last})


DIAGONAL: Primitive = define(
    "diagonal", lambda x, offset, axes: np.diagonal(x, offset, *axes),
    Linear(_back_on_diagonal, selects=True),
    elementwise=False, structure="selection", axes=("axes",), view=True,
)
ON_DIAGONAL: Primitive = define(
    "diag", _on_diagonal, Linear(_last_diagonal),
    elementwise=False, structure="selection", stacked=(1,),
)  # fmt: skip


@numpy_function(np.diagonal, method="diagonal")
def _diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    ndim = np.ndim(a)
    if ndim < 2:
        raise ValueError("diag requires an array of at least two dimensions")
    axes = (normalize_axis_index(axis1, ndim), normalize_axis_index(axis2, ndim))
    if axes[0] == axes[1]:
        raise ValueError("axis1 and axis2 cannot be the same")
    return bind(DIAGONAL, (a,), {"offset": int(offset), "axes": axes})


@numpy_function(np.diag)
def _diag(v: Any, k: int = 0) -> Any:
    if np.ndim(v) == 1:
        side = shape_of(v)[0] + abs(k)
        return bind(ON_DIAGONAL, (v,), {"rows": side, "columns": side, "offset": int(k)})
    if np.ndim(v) == 2:
        return _diagonal(v, k)
    raise ValueError("Input must be 1- or 2-d.")


@numpy_function(np.diagflat)
def _diagflat(v: Any, k: int = 0) -> Any:
    return _diag(ravel(v), k)


def _connect_triangle(function: Any, lower: bool) -> None:
    @numpy_function(function)
    def adapter(m: Any, k: int = 0) -> Any:
        if np.ndim(m) == 0:
            raise TypeError(f"np.{function.__name__} needs an array of at least one dimension")
        rows, columns = (shape_of(m) * 2)[-2:]  # a vector is repeated to a square
        below = np.tri(rows, columns, k if lower else k - 1, bool)
        nothing = np.zeros(1, dtype_of(m))
        return np.where(below, m, nothing) if lower else np.where(below, nothing, m)


_connect_triangle(np.tril, lower=True)
_connect_triangle(np.triu, lower=False)
