"""Linear systems: solve, inv, pinv, lstsq, and determinants.

All rows act on stacks of matrices, as ``np.linalg`` does.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from chainrule.graph.operand import Operand, bind, concrete
from chainrule.graph.primitive import Convention, Custom, Flat, Primitive, Scale
from chainrule.graph.tape import dtype_of, shape_of
from chainrule.rules.book import define, numpy_function
from chainrule.rules.contractions import operands, stacked_product
from chainrule.rules.linear_algebra import matmul, square_matrices, swap
from chainrule.rules.shapes import reshape, sum_to, transpose

# The two axes that a determinant takes away.
_BOTH = {"axis": (-2, -1)}


def _column(v: Any) -> Any:
    return reshape(v, (*shape_of(v), 1))


# ------------------------------------------------------------------------------- solve and inv

INV: Primitive = define(
    "inv", np.linalg.inv,
    Custom(
        lambda t, a, out: -matmul(matmul(out, t), out),
        lambda ct, a, out: -matmul(matmul(swap(out), ct), swap(out)),
    ),
    text="({0})⁻¹", latex=r"\left({0}\right)^{{-1}}",
    elementwise=False, structure="matrix", stacked=(2,), ulps=1e3,
)  # fmt: skip


def solve(a: Any, b: Any) -> Any:
    """The solution of ``a @ x == b`` for a (stack of) matrices ``b``."""
    return bind(SOLVE, (a, b))


def _solve_back_to_matrix(ct: Any, a: Any, b: Any, out: Any) -> Any:
    return -stacked_product(solve(swap(a), ct), "ik", out, "jk", "ij", shape_of(a))


# Their edges are not said to be linear in b: supports travel through positive matrices alone.
SOLVE: Primitive = define(
    "solve", np.linalg.solve,
    Custom(lambda t, a, b, out: -solve(a, matmul(t, out)), _solve_back_to_matrix),
    Custom(
        lambda t, a, b, out: solve(a, t),
        lambda ct, a, b, out: sum_to(solve(swap(a), ct), shape_of(b)),
    ),
    text="({0})⁻¹ @ {1}", latex=r"\left({0}\right)^{{-1}} {1}",
    elementwise=False, structure="matrix", stacked=(2,), ulps=1e3,
)  # fmt: skip


def _solve_vectors(a: Any, b: Any) -> Any:
    return np.linalg.solve(a, np.asarray(b)[..., None])[..., 0]


def _solve_vector(a: Any, b: Any) -> Any:
    return bind(SOLVE_VECTOR, (a, b))


def _apply(a: Any, v: Any) -> Any:
    """Each matrix of a stack times its vector."""
    return matmul(a, _column(v))[..., 0]


def _solve_vector_back_to_matrix(ct: Any, a: Any, b: Any, out: Any) -> Any:
    return -stacked_product(_solve_vector(swap(a), ct), "i", out, "j", "ij", shape_of(a))


SOLVE_VECTOR: Primitive = define(
    "solve_vector", _solve_vectors,
    Custom(lambda t, a, b, out: -_solve_vector(a, _apply(t, out)), _solve_vector_back_to_matrix),
    Custom(
        lambda t, a, b, out: _solve_vector(a, t),
        lambda ct, a, b, out: sum_to(_solve_vector(swap(a), ct), shape_of(b)),
    ),
    text="({0})⁻¹ @ {1}", latex=r"\left({0}\right)^{{-1}} {1}",
    elementwise=False, structure="matrix", stacked=(2, 1), ulps=1e3,
)  # fmt: skip


@numpy_function(np.linalg.inv)
def _inv(a: Any) -> Any:
    square_matrices(a)
    return bind(INV, (a,))


@numpy_function(np.linalg.solve)
def _solve(a: Any, b: Any) -> Any:
    a, b = operands("np.linalg.solve", a, b)
    square_matrices(a)
    return bind(SOLVE_VECTOR if np.ndim(b) == 1 else SOLVE, (a, b))


@numpy_function(np.linalg.tensorinv)
def _tensorinv(a: Any, ind: int = 2) -> Any:
    if ind <= 0:
        raise ValueError("Invalid ind argument.")
    shape = shape_of(a)
    matrix = reshape(a, (math.prod(shape[:ind]), math.prod(shape[ind:])))
    return reshape(_inv(matrix), (*shape[ind:], *shape[:ind]))


@numpy_function(np.linalg.tensorsolve)
def _tensorsolve(a: Any, b: Any, axes: Any = None) -> Any:
    a, b = operands("np.linalg.tensorsolve", a, b)
    if axes is not None:
        last = [normalize_axis_index(axis, np.ndim(a)) for axis in axes]
        a = transpose(a, [*(i for i in range(np.ndim(a)) if i not in last), *last])
    rest = shape_of(a)[np.ndim(b) :]
    if np.size(a) != math.prod(rest) ** 2:
        raise np.linalg.LinAlgError(
            "Input arrays must satisfy the requirement prod(a.shape[b.ndim:]) == "
            "prod(a.shape[:b.ndim])"
        )
    matrix = reshape(a, (math.prod(rest), math.prod(rest)))
    return reshape(_solve(matrix, reshape(b, (math.prod(rest),))), rest)


# ------------------------------------------------------------------------------- pseudo-inverse


def _beside(a: Any, p: Any, x: Any) -> Any:
    """What of ``x`` lies outside the range of ``a``, whose pseudo-inverse is ``p``."""
    return x - matmul(a, matmul(p, x))


def _pinv_push(t: Any, a: Any, rcond: Any, p: Any) -> Any:
    """While the rank stays the same (G. H. Golub and V. Pereyra, 1973)."""
    inside = -matmul(matmul(p, t), p)
    rows = matmul(p, matmul(swap(p), swap(_beside(a, p, t))))
    columns = matmul(_beside(p, a, swap(t)), matmul(swap(p), p))
    return inside + rows + columns


def _pinv_pull(ct: Any, a: Any, rcond: Any, p: Any) -> Any:
    pt = swap(p)
    inside = -matmul(matmul(pt, ct), pt)
    rows = _beside(a, p, matmul(matmul(swap(ct), p), pt))
    columns = swap(_beside(p, a, matmul(ct, matmul(pt, p))))
    return inside + rows + columns


PINV: Primitive = define(
    "pinv", lambda a, rcond: np.linalg.pinv(a, rcond),
    Custom(_pinv_push, _pinv_pull), Flat("the size at which a singular value counts as zero"),
    text="({0})⁺", latex=r"\left({0}\right)^{{+}}",
    elementwise=False, structure="matrix", stacked=(2, 0), ulps=1e3,
)  # fmt: skip


def read_triangle(a: Any, lower: bool = True) -> Any:
    """The symmetric matrix whose lower (or upper) triangle is that of ``a``."""
    side = shape_of(a)[-1]
    own = np.tri(side, dtype=bool)
    return np.where(own if lower else own.T, a, swap(a))


@numpy_function(np.linalg.pinv)
def _pinv(a: Any, rcond: Any = None, hermitian: bool = False, *, rtol: Any = np._NoValue) -> Any:
    (a,) = operands("np.linalg.pinv", a)
    if rcond is None:
        smallest = max(shape_of(a)[-2:]) * np.finfo(a.dtype).eps
        rcond = 1e-15 if rtol is np._NoValue else smallest if rtol is None else rtol
    elif rtol is not np._NoValue:
        raise ValueError("`rtol` and `rcond` can't be both set.")
    return bind(PINV, (read_triangle(a) if hermitian else a, rcond))


@numpy_function(np.linalg.lstsq)
def _lstsq(a: Any, b: Any, rcond: Any = None) -> Any:
    """The solution of least norm; its derivative while the rank stays the same."""
    a, b = operands("np.linalg.lstsq", a, b)
    for x, allowed in ((a, (2,)), (b, (1, 2))):
        if np.ndim(x) not in allowed:
            raise np.linalg.LinAlgError(
                f"{np.ndim(x)}-dimensional array given. Array must be two-dimensional"
            )
    rows, columns = shape_of(a)
    if rows != shape_of(b)[0]:
        raise np.linalg.LinAlgError("Incompatible dimensions")
    eps = float(np.finfo(np.result_type(a.dtype, b.dtype)).eps)
    rcond = eps * max(rows, columns) if rcond is None else eps if rcond == -1 else rcond
    x = matmul(bind(PINV, (a, rcond)), b)
    values = np.linalg.svdvals(a) if np.size(a) else np.zeros(0, dtype_of(a))
    rank = concrete(np.sum(values > rcond * np.max(values, initial=0.0)))
    if rows <= columns or (not isinstance(rank, Operand) and rank < columns):
        return x, np.zeros(0, dtype_of(x)), rank, values
    misses = b - matmul(a, x)
    return x, np.sum(misses * misses, axis=0, keepdims=np.ndim(b) == 1), rank, values


def _rank(a: Any, *tolerance: Any, relative: bool, hermitian: bool) -> Any:
    given = {"rtol" if relative else "tol": tolerance[0]} if tolerance else {}
    return np.asarray(np.linalg.matrix_rank(a, hermitian=hermitian, **given))


MATRIX_RANK = define(
    "matrix_rank", _rank, Flat("a rank: a whole number"), Flat("a tolerance"),
    text="rank", elementwise=False, structure="nothing", stacked=(2, 0), recorded=False,
)  # fmt: skip


@numpy_function(np.linalg.matrix_rank)
def _matrix_rank(A: Any, tol: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Any:
    if tol is not None and rtol is not None:
        raise ValueError("`tol` and `rtol` can't be both set.")
    if np.ndim(A) < 2:
        return np.any(A != 0).astype(np.intp)
    tolerance = () if tol is None and rtol is None else (tol if rtol is None else rtol,)
    attrs = {"relative": rtol is not None, "hermitian": bool(hermitian)}
    return bind(MATRIX_RANK, (A, *tolerance), attrs)


# --------------------------------------------------------------------------------- determinants


def _cofactors(a: Any) -> Any:
    """The matrix of cofactors by singular values, which divides by nothing.

    The cofactors of a product are the product of the cofactors, and those of an orthogonal matrix
    are the matrix itself times its determinant.
    """
    u, s, vh = np.linalg.svd(a)
    others = np.prod(np.where(np.eye(s.shape[-1], dtype=bool), 1, s[..., None, :]), -1)
    return _turn(u, vh) * (u * others[..., None, :]) @ vh


def _turn(u: Any, vh: Any) -> Any:
    """1 or −1: the determinant of two orthogonal matrices."""
    return np.round(np.linalg.det(u) * np.linalg.det(vh))[..., None, None]


def _cofactors_change(t: Any, a: Any, out: Any) -> Any:
    """How the cofactors change along ``t``: the second derivative of the determinant.

    It is symmetric in both directions, so that this is push and pull. Of a singular matrix it is
    found in the basis of its singular vectors; of any other by the inverse, where it can be
    differentiated again whether singular values are repeated or not.
    """
    side = shape_of(a)[-1]
    if side == 0:
        return t
    u, s, vh = np.linalg.svd(a)
    one = np.eye(side, dtype=bool)
    tiny = side * np.finfo(dtype_of(a)).eps
    regular = reshape(s[..., -1:] > tiny * s[..., :1], (*shape_of(s)[:-1], 1, 1))
    inverse = bind(INV, (np.where(regular, a, np.eye(side, dtype=dtype_of(a))),))
    turned = matmul(inverse, t)
    by_inverse = np.linalg.trace(turned)[..., None, None] * out - matmul(out, swap(turned))
    f = matmul(matmul(swap(u), t), swap(vh))
    left_out = one[:, None] | one[None, :]  # of the pair i, j the factors i and j
    pairs = np.prod(np.where(left_out, 1.0, s[..., None, None, :]), -1)
    pairs = np.where(one, 0.0, pairs)
    diagonal = matmul(pairs, _column(np.linalg.diagonal(f)))
    in_basis = np.where(one, diagonal, -pairs * swap(f))
    return np.where(regular, by_inverse, _sign(u, vh) * matmul(matmul(u, in_basis), vh))


def _sign(u: Any, vh: Any) -> Any:
    """The determinant of two orthogonal matrices, which does not change."""
    sign = bind(SIGN_OF_DET, (u,)) * bind(SIGN_OF_DET, (vh,))
    return reshape(sign, (*shape_of(u)[:-2], 1, 1))


COFACTORS: Primitive = define(
    "cofactors", _cofactors, Custom(_cofactors_change, _cofactors_change),
    text="cof", elementwise=False, structure="symmetric", stacked=(2,), ulps=1e3,
)  # fmt: skip
DET = define(
    "det", lambda a, axis: np.linalg.det(a),
    Scale(lambda a, out, axis: bind(COFACTORS, (a,))),
    latex=r"\det", elementwise=False, structure="row", stacked=(2,), ulps=1e3,
)


def _inverse_transposed(a: Any, out: Any, axis: Any) -> Any:
    """The derivative of log |det|; not a number where a matrix is singular."""
    singular = out == -np.inf
    regular = np.where(singular, np.eye(shape_of(a)[-1], dtype=dtype_of(a)), a)
    return np.where(singular, np.nan, swap(bind(INV, (regular,))))


LOG_OF_DET = define(
    "log_abs_det", lambda a, axis: np.linalg.slogdet(a)[1], Scale(_inverse_transposed),
    text="log|det {0}|", latex=r"\ln\left|\det {0}\right|",
    elementwise=False, structure="row", stacked=(2,), ulps=1e3,
    conventions=(
        Convention(lambda a, axis=(-2, -1): np.linalg.slogdet(a)[1] == -np.inf,
                   "a singular matrix", "not differentiable; not a number used"),
    ),
)  # fmt: skip
SIGN_OF_DET = define(
    "sign_det", lambda a: np.linalg.slogdet(a)[0], Flat("constant where the determinant is not 0"),
    text="sign(det {0})", latex=r"\operatorname{{sign}}\det {0}",
    elementwise=False, structure="nothing", stacked=(2,),
)  # fmt: skip
_SlogdetResult: Any = type(np.linalg.slogdet(np.eye(1)))


@numpy_function(np.linalg.det)
def _det(a: Any) -> Any:
    square_matrices(a)
    return bind(DET, (a,), _BOTH)


@numpy_function(np.linalg.slogdet)
def _slogdet(a: Any) -> Any:
    square_matrices(a)
    return _SlogdetResult(bind(SIGN_OF_DET, (a,)), bind(LOG_OF_DET, (a,), _BOTH))
