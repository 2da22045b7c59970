"""Matrix products: ``@`` and everything that NumPy builds from it."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from chainrule.errors import TraceError
from chainrule.graph.operand import GENERALISED, UFUNCS, bind, refuse_out
from chainrule.graph.primitive import Bilinear, Custom, Linear, Primitive
from chainrule.graph.tape import shape_of
from chainrule.rules import batching
from chainrule.rules.book import define, numpy_function
from chainrule.rules.contractions import operands, stacked_product, tensordot
from chainrule.rules.shapes import ravel, reshape, sum_to, transpose


def swap(x: Any) -> Any:
    """The last two axes swapped: the transposes of a stack of matrices."""
    if type(x) is np.ndarray:
        return x.swapaxes(-1, -2)
    ndim = np.ndim(x)
    return transpose(x, (*range(ndim - 2), ndim - 1, ndim - 2))


def matmul(a: Any, b: Any) -> Any:
    """``a @ b`` on arrays and operands alike."""
    return bind(MATMUL, (a, b))


# ------------------------------------------------------------------------------------------ rows


def _as_matrices(a: Any, b: Any) -> tuple[Any, Any]:
    """Vectors as matrices of one row (left) and one column (right), as ``@`` reads them."""
    left = reshape(a, (1, shape_of(a)[0])) if np.ndim(a) == 1 else a
    right = reshape(b, (shape_of(b)[0], 1)) if np.ndim(b) == 1 else b
    return left, right


def _full(ct: Any, a: Any, b: Any) -> Any:
    """The cotangent with the axes that ``@`` dropped for vectors put back."""
    shape = shape_of(ct)
    if np.ndim(b) == 1:
        shape = (*shape, 1)
    if np.ndim(a) == 1:
        shape = (*shape[:-1], 1, shape[-1])
    return reshape(ct, shape)


def _matmul_left(ct: Any, a: Any, b: Any) -> Any:
    if type(ct) is type(b) is np.ndarray and ct.ndim == b.ndim == 2:
        return ct.dot(b.T)  # of two plain matrices it is np.matmul in half the time
    if len(shape_of(a)) == len(shape_of(b)) == 2:
        return matmul(ct, swap(b))
    left, right = _as_matrices(a, b)
    ct = _full(ct, a, b)
    if shape_of(left)[:-2] == shape_of(ct)[:-2]:
        return reshape(matmul(ct, swap(right)), shape_of(a))
    return reshape(stacked_product(ct, "mn", right, "kn", "mk", shape_of(left)), shape_of(a))


def _matmul_right(ct: Any, a: Any, b: Any) -> Any:
    if type(ct) is type(a) is np.ndarray and ct.ndim == a.ndim == 2:
        return a.T.dot(ct)
    if len(shape_of(a)) == len(shape_of(b)) == 2:
        return matmul(swap(a), ct)
    left, right = _as_matrices(a, b)
    ct = _full(ct, a, b)
    if shape_of(right)[:-2] == shape_of(ct)[:-2]:
        return reshape(matmul(swap(left), ct), shape_of(b))
    return reshape(stacked_product(left, "mk", ct, "mn", "kn", shape_of(right)), shape_of(b))


MATMUL: Primitive = define(
    "matmul", np.matmul, Bilinear(_matmul_left), Bilinear(_matmul_right),
    text="{0} @ {1}", latex=r"{0}\,{1}", operator="matmul",
    elementwise=False, structure="matrix", batch=batching.matmul,
)  # fmt: skip
UFUNCS[np.matmul] = MATMUL


def _vecdot_back(ct: Any, this: Any, other: Any) -> Any:
    """Each pair of vectors has its own weight."""
    if shape_of(this)[:-1] == shape_of(ct):
        return reshape(ct, (*shape_of(ct), 1)) * other
    return stacked_product(ct, "", other, "k", "k", shape_of(this))


VECDOT = define(
    "vecdot", np.vecdot,
    Bilinear(lambda ct, a, b: _vecdot_back(ct, a, b)),
    Bilinear(lambda ct, a, b: _vecdot_back(ct, b, a)),
    text="{0} · {1}", latex=r"{0} \cdot {1}", elementwise=False, structure="row", stacked=(1,),
)  # fmt: skip


def _cross(a: Any, b: Any) -> Any:
    return bind(CROSS, (a, b))


# Its transposes add with both signs, so a support cannot be carried through it as through @.
CROSS: Primitive = define(
    "cross", lambda a, b: np.cross(a, b),
    Custom(lambda t, a, b, out: _cross(t, b),
           lambda ct, a, b, out: sum_to(_cross(b, ct), shape_of(a))),
    Custom(lambda t, a, b, out: _cross(a, t),
           lambda ct, a, b, out: sum_to(_cross(ct, a), shape_of(b))),
    text="{0} × {1}", latex=r"{0} \times {1}",
    elementwise=False, structure="skew-symmetric", stacked=(1,),
)  # fmt: skip


def _on_diagonal(ct: Any, x: Any, offset: int) -> Any:
    rows, columns = shape_of(x)[-2:]
    ct = reshape(ct, (*shape_of(ct), 1, 1))
    return np.where(np.eye(rows, columns, offset, dtype=bool), ct, 0.0)


TRACE = define(
    "trace", lambda x, offset=0: np.trace(x, offset, -2, -1), Linear(_on_diagonal),
    text="tr", latex=r"\operatorname{tr}", elementwise=False, structure="row", stacked=(2,),
)

# ------------------------------------------------------------------------------------- products


@numpy_function(np.dot, method="dot")
def _dot(a: Any, b: Any, out: Any = None) -> Any:
    refuse_out("dot", out)
    a, b = operands("np.dot", a, b)
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        return a * b
    return tensordot(a, b, (-1, -2)) if np.ndim(a) > 1 and np.ndim(b) > 2 else matmul(a, b)


@numpy_function(np.vdot)
def _vdot(a: Any, b: Any, /) -> Any:
    a, b = operands("np.vdot", a, b)
    return matmul(ravel(a), ravel(b))


@numpy_function(np.inner)
def _inner(a: Any, b: Any, /) -> Any:
    a, b = operands("np.inner", a, b)
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        return a * b
    return matmul(a, b) if np.ndim(b) == 1 else tensordot(a, b, (-1, -1))


@numpy_function(np.outer)
def _outer(a: Any, b: Any, out: Any = None) -> Any:
    refuse_out("outer", out)
    a, b = operands("np.outer", a, b)
    return reshape(a, (np.size(a), 1)) * ravel(b)


@numpy_function(np.linalg.outer)
def _linalg_outer(x1: Any, x2: Any, /) -> Any:
    x1, x2 = operands("np.linalg.outer", x1, x2)
    if np.ndim(x1) != 1 or np.ndim(x2) != 1:
        raise ValueError(
            "Input arrays must be one-dimensional, but they are "
            f"x1.ndim={np.ndim(x1)} and x2.ndim={np.ndim(x2)}."
        )
    return _outer(x1, x2)


@numpy_function(np.kron)
def _kron(a: Any, b: Any) -> Any:
    a, b = operands("np.kron", a, b)
    ndim = max(np.ndim(a), np.ndim(b))
    left, right = ((1,) * (ndim - np.ndim(x)) + shape_of(x) for x in (a, b))
    spread = reshape(a, tuple(k for n in left for k in (n, 1)))
    block = reshape(b, tuple(k for n in right for k in (1, n)))
    return reshape(spread * block, tuple(m * n for m, n in zip(left, right, strict=True)))


@numpy_function(np.linalg.matmul)
def _linalg_matmul(x1: Any, x2: Any, /) -> Any:
    return matmul(*operands("np.linalg.matmul", x1, x2))


def _vecdot(a: Any, b: Any) -> Any:
    return matmul(a, b) if np.ndim(a) == np.ndim(b) == 1 else bind(VECDOT, (a, b))


def _matvec(a: Any, v: Any) -> Any:
    if np.ndim(v) == 1:
        return matmul(a, v)
    if np.ndim(a) == 2:
        return matmul(v, swap(a))  # the vectors of the stack are the rows of one matrix
    return matmul(a, reshape(v, (*shape_of(v), 1)))[..., 0]


def _vecmat(v: Any, a: Any) -> Any:
    if np.ndim(v) == 1 or np.ndim(a) == 2:
        return matmul(v, a)
    return matmul(reshape(v, (*shape_of(v)[:-1], 1, shape_of(v)[-1])), a)[..., 0, :]


@numpy_function(np.linalg.vecdot)
def _linalg_vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    return _generalised_vecdot(x1, x2, axis=axis)


def _generalise(name: str, product: Callable[..., Any], *cores: int) -> Callable[..., Any]:
    """Connect a ufunc that acts on the last axes, which may be said to be others by ``axes=``.

    Args:
        name: Its name; NumPy has some of them only since 2.2.
        product: What it does on the last axes.
        cores: How many axes of each argument and of the result it acts on.
    """

    def adapter(
        x1: Any, x2: Any, /, *, axes: Any = None, axis: int | None = None, keepdims: bool = False,
        **options: Any,
    ) -> Any:  # fmt: skip
        if options:
            raise TraceError(f"np.{name} of a traced value does not take {', '.join(options)}.")
        x1, x2 = operands(f"np.{name}", x1, x2)
        for x, core in ((x1, cores[0]), (x2, cores[1])):
            if np.ndim(x) < (1 if name == "matmul" else core):
                raise ValueError(f"{name}: an operand of shape {shape_of(x)} has too few axes")
        if cores != (1, 1, 0) and (axis is not None or keepdims):
            raise TypeError(f"np.{name} does not support axis= and keepdims=: use axes=")
        if axis is not None:
            axes = [axis, axis]
        if axes is not None:
            x1, x2 = (
                np.moveaxis(x, which, range(-np.size(which), 0))
                for x, which in zip((x1, x2), axes, strict=False)
            )
        result = product(x1, x2)
        if keepdims:
            result = np.expand_dims(result, -1 if axes is None else axes[0])
        elif axes is not None and len(axes) == 3 and np.size(axes[2]):
            result = np.moveaxis(result, range(-np.size(axes[2]), 0), axes[2])
        return result

    ufunc = getattr(np, name, None)
    if ufunc is not None:
        GENERALISED[ufunc] = adapter
    return adapter


_generalise("matmul", matmul, 2, 2, 2)
_generalise("matvec", _matvec, 2, 1, 1)
_generalise("vecmat", _vecmat, 1, 2, 1)
_generalised_vecdot = _generalise("vecdot", _vecdot, 1, 1, 0)


@numpy_function(np.cross)
def _np_cross(
    a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None
) -> Any:
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = operands("np.cross", a, b)
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        raise ValueError("At least one array has zero dimension")
    a, b = np.moveaxis(a, axisa, -1), np.moveaxis(b, axisb, -1)
    widths = shape_of(a)[-1], shape_of(b)[-1]
    if not {*widths} <= {2, 3}:
        raise ValueError(
            f"Both input arrays must be arrays of 3-dimensional vectors, but they have {widths[0]} "
            f"and {widths[1]} dimensions instead."
        )
    if widths == (2, 2):
        return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    a, b = (_in_space(x) if shape_of(x)[-1] == 2 else x for x in (a, b))
    product = _cross(a, b)
    return np.moveaxis(product, -1, axisc)


def _in_space(x: Any) -> Any:
    """A vector of the plane with a third component 0."""
    return np.concatenate([x, np.zeros((*shape_of(x)[:-1], 1), x.dtype)], -1)


@numpy_function(np.linalg.cross)
def _linalg_cross(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    x1, x2 = operands("np.linalg.cross", x1, x2)
    if shape_of(x1)[axis] != 3 or shape_of(x2)[axis] != 3:
        raise ValueError(
            "Both input arrays must be (arrays of) 3-dimensional vectors, but they are "
            f"{shape_of(x1)[axis]} and {shape_of(x2)[axis]} dimensional instead."
        )
    return _np_cross(x1, x2, axis=axis)


# ------------------------------------------------------------------- traces, chains and powers


@numpy_function(np.trace, method="trace")
def _trace(
    a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: Any = None
) -> Any:
    refuse_out("trace", out)
    ndim = np.ndim(a)
    first, second = normalize_axis_index(axis1, ndim), normalize_axis_index(axis2, ndim)
    if first == second:
        raise ValueError("axis1 and axis2 cannot be the same")
    rest = [i for i in range(ndim) if i not in (first, second)]
    moved = a if (first, second) == (ndim - 2, ndim - 1) else transpose(a, [*rest, first, second])
    moved = moved if dtype is None else moved.astype(dtype)
    return bind(TRACE, (moved,), {"offset": operator.index(offset)})


@numpy_function(np.linalg.trace)
def _linalg_trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Any:
    return _trace(x, offset, -2, -1, dtype)


@numpy_function(np.linalg.diagonal)
def _linalg_diagonal(x: Any, /, *, offset: int = 0) -> Any:
    return np.diagonal(x, offset, -2, -1)


@numpy_function(np.linalg.matrix_transpose)
def _linalg_matrix_transpose(x: Any, /) -> Any:
    return np.matrix_transpose(x)


@numpy_function(np.linalg.multi_dot)
def _multi_dot(arrays: Sequence[Any], *, out: Any = None) -> Any:
    refuse_out("linalg.multi_dot", out)
    chain = operands("np.linalg.multi_dot", *arrays)
    if len(chain) < 2:
        raise ValueError("Expecting at least two arrays.")
    for i, x in enumerate(chain):
        allowed = (1, 2) if i in (0, len(chain) - 1) else (2,)
        if np.ndim(x) not in allowed:
            raise np.linalg.LinAlgError(
                f"{np.ndim(x)}-dimensional array given. Array must be two-dimensional"
            )
    left, right = _as_matrices(chain[0], chain[-1])
    sizes = [shape_of(x)[0] for x in (left, *chain[1:-1], right)] + [shape_of(right)[1]]
    return _chain(chain, _best_splits(sizes), 0, len(chain) - 1)


def _best_splits(sizes: Sequence[int]) -> dict[tuple[int, int], int]:
    """Where to split the product of matrices i…j for the fewest multiplications."""
    count = len(sizes) - 1
    costs = {(i, i): 0 for i in range(count)}
    splits: dict[tuple[int, int], int] = {}
    for width in range(1, count):
        for i in range(count - width):
            j = i + width
            costs[i, j], splits[i, j] = min(
                (costs[i, k] + costs[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k)
                for k in range(i, j)
            )
    return splits


def _chain(chain: Sequence[Any], splits: dict[tuple[int, int], int], i: int, j: int) -> Any:
    if i == j:
        return chain[i]
    k = splits[i, j]
    return matmul(_chain(chain, splits, i, k), _chain(chain, splits, k + 1, j))


def square_matrices(*matrices: Any) -> None:
    """Check that these are (stacks of) square matrices.

    Raises:
        LinAlgError: As NumPy's functions raise it.
    """
    for a in matrices:
        if np.ndim(a) < 2:
            raise np.linalg.LinAlgError(
                f"{np.ndim(a)}-dimensional array given. Array must be at least two-dimensional"
            )
        if shape_of(a)[-1] != shape_of(a)[-2]:
            raise np.linalg.LinAlgError("Last 2 dimensions of the array must be square")


@numpy_function(np.linalg.matrix_power)
def _matrix_power(a: Any, n: int) -> Any:
    square_matrices(a)
    try:
        n = operator.index(n)
    except TypeError as error:
        raise TypeError("exponent must be an integer") from error
    if n == 0:
        return np.broadcast_to(np.eye(shape_of(a)[-1], dtype=a.dtype), shape_of(a)).copy()
    factor = a if n > 0 else np.linalg.inv(a)
    result, left = None, abs(n)
    while True:
        if left & 1:
            result = factor if result is None else matmul(result, factor)
        left >>= 1
        if not left:
            return result
        factor = matmul(factor, factor)
