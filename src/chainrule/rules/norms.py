"""Norms of vectors and matrices, and the condition number.

A norm is not differentiable at 0 (the tip of a cone); 0, the smallest of its subgradients, is used
there, so that the square of a norm has its derivative 0. As with |x|, what is used stays 0 when it
is differentiated again. The second derivative of ‖x‖² therefore comes out as 0 at the tip, where
that of x·x is 2: it is 2·∇n·∇nᵀ + 2·n·∇²n, and no value of ∇²n makes up for n = 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from chainrule.graph.operand import bind
from chainrule.graph.primitive import Convention, Primitive, Scale
from chainrule.graph.tape import dtype_of, shape_of
from chainrule.rules.book import define, numpy_function
from chainrule.rules.decompositions import _svdvals
from chainrule.rules.shapes import reshape, transpose


def _norm_value(x: Any, ord: float, axis: Any, keepdims: bool) -> Any:
    if ord == 2:
        return np.sqrt(np.sum(x * x, axis=axis, keepdims=keepdims))
    total = np.sum(np.abs(x) ** ord, axis=axis, keepdims=keepdims)
    return total ** np.reciprocal(ord, dtype=total.dtype)


def _norm_partial(x: Any, out: Any, ord: float, axis: Any, keepdims: bool) -> Any:
    """sign(x)·(|x|/‖x‖)^(p−1), and 0 at 0."""
    if ord == 2:
        return np.where(out == 0, 0.0, x / np.where(out == 0, 1.0, out))
    zero = (x == 0) | (out == 0)
    ratio = np.where(zero, 1.0, np.abs(x)) / np.where(zero, 1.0, out)
    return np.where(zero, 0.0, np.sign(x) * ratio ** (ord - 1))


NORM: Primitive = define(
    "norm", _norm_value, Scale(_norm_partial),
    text="‖{0}‖", latex=r"\left\lVert {0}\right\rVert",
    elementwise=False, structure="row", axes=("axis",), ulps=10.0,
    conventions=(
        Convention(lambda x, **_: np.all(x == 0), "the zero vector",
                   "not differentiable (the tip of a cone); 0 used, at every order"),
    ),
)  # fmt: skip


def vector_norm(x: Any, ord: Any, axis: Any, keepdims: bool) -> Any:
    """The norm of the vectors that lie along an axis, or along several taken as one."""
    if ord is None or ord == 2:
        ord = 2
    elif isinstance(ord, str):
        raise ValueError(f"Invalid norm order '{ord}' for vectors")
    elif ord == np.inf:
        return np.max(np.abs(x), axis=axis, keepdims=keepdims)
    elif ord == -np.inf:
        return np.min(np.abs(x), axis=axis, keepdims=keepdims)
    elif ord == 0:
        return np.sum((x != 0).astype(dtype_of(x)), axis=axis, keepdims=keepdims)
    elif ord == 1:
        return np.sum(np.abs(x), axis=axis, keepdims=keepdims)
    return bind(NORM, (x,), {"ord": float(ord), "axis": axis, "keepdims": keepdims})


def matrix_norm(x: Any, ord: Any, axes: tuple[int, int], keepdims: bool) -> Any:
    """The norm of the matrices that lie along two axes."""
    ndim = np.ndim(x)
    row, column = normalize_axis_index(axes[0], ndim), normalize_axis_index(axes[1], ndim)
    if row == column:
        raise ValueError("Duplicate axes given.")
    if ord in (None, "fro", "f"):
        return vector_norm(x, 2, (row, column), keepdims)
    if ord in (2, -2, "nuc"):
        rest = [i for i in range(ndim) if i not in (row, column)]
        # |s| is s, and says that 0 is used where a singular value is 0.
        s = np.abs(_svdvals(transpose(x, [*rest, row, column])))
        reduction: Any = {2: np.max, -2: np.min, "nuc": np.sum}[ord]
        found = reduction(s, axis=-1)
    elif ord in (1, -1, np.inf, -np.inf):
        summed, compared = (row, column) if abs(ord) == 1 else (column, row)
        sums = np.sum(np.abs(x), axis=summed, keepdims=True)
        best: Any = np.max if ord > 0 else np.min
        found = best(sums, axis=(summed, compared))
    else:
        raise ValueError("Invalid norm order for matrices.")
    if not keepdims:
        return found
    return reshape(found, tuple(1 if i in (row, column) else n for i, n in enumerate(shape_of(x))))


@numpy_function(np.linalg.norm)
def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    ndim = np.ndim(x)
    if axis is None:
        whole = tuple(range(ndim))
        if ord is None or (ord in ("f", "fro") and ndim == 2) or (ord == 2 and ndim == 1):
            return vector_norm(x, 2, whole, bool(keepdims))
        axes = whole
    else:
        axes = normalize_axis_tuple(axis, ndim)
    if len(axes) == 1:
        return vector_norm(x, ord, axes[0], bool(keepdims))
    if len(axes) == 2:
        return matrix_norm(x, ord, axes, bool(keepdims))
    raise ValueError("Improper number of dimensions to norm.")


@numpy_function(np.linalg.vector_norm)
def _vector_norm(
    x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2
) -> Any:
    axes = tuple(range(np.ndim(x))) if axis is None else normalize_axis_tuple(axis, np.ndim(x))
    return vector_norm(x, ord, axes, bool(keepdims))


@numpy_function(np.linalg.matrix_norm)
def _matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    return matrix_norm(x, ord, (-2, -1), bool(keepdims))


@numpy_function(np.linalg.cond)
def _cond(x: Any, p: Any = None) -> Any:
    if np.ndim(x) < 2 or not np.size(x):
        raise np.linalg.LinAlgError("cond is not defined on empty arrays")
    if p in (None, 2, -2):
        s = _svdvals(x)
        return s[..., -1] / s[..., 0] if p == -2 else s[..., 0] / s[..., -1]
    return matrix_norm(x, p, (-2, -1), False) * matrix_norm(np.linalg.inv(x), p, (-2, -1), False)
