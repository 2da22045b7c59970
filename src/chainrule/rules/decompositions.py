"""Decompositions of matrices: cholesky, qr, eigh, svd.

A decomposition with several parts is one row whose result has them side by side in its last axis:
it is computed once, and one edge sees the cotangents of all parts together. NumPy reads only one
triangle of a symmetric matrix; the derivative is that of what it reads.

**Repeated eigenvalues and singular values.** Eigenvectors are divided by differences of eigenvalues
when they are differentiated. With repeated eigenvalues they are not differentiable, but many
functions of them are, and two kinds can be told from what arrives at the row:

- a function of the eigenvalues alone: nothing is divided;
- a function of the eigenvectors alone, such as the projector onto the space of a repeated
  eigenvalue: what would be divided is zero, and is left out.

Anything else is an error: in a function of both, such as ``V @ diag(f(w)) @ V.T``, zero is divided
by zero, and the quotient (the derivative of ``f``) is nowhere to be found. Inside vmap and staged
loops, where values are not looked at, it is not a number; so are the tangents of eigenvectors that
do not exist in forward mode, which leaves those of the eigenvalues as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.errors import NotDifferentiableError
from chainrule.graph.operand import NAMED_FUNCTIONS, Operand, bind, concrete
from chainrule.graph.primitive import Custom, Primitive
from chainrule.graph.tape import dtype_of, shape_of
from chainrule.rules.book import define, numpy_function
from chainrule.rules.linear_algebra import matmul, square_matrices, swap
from chainrule.rules.shapes import reshape
from chainrule.rules.solving import read_triangle, solve

Shape = tuple[int, ...]

# How many times the rounding of one operation two numbers may be apart and count as equal.
_SLACK = 16

# ---------------------------------------------------------------------------- parts side by side


def _packed(parts: Sequence[Any], cores: Sequence[int]) -> Any:
    """The parts, each with its last ``cores`` axes flattened, side by side in the last axis."""
    flat = []
    for part, core in zip(parts, cores, strict=True):
        shape = shape_of(part)[: np.ndim(part) - core]
        size = int(np.prod(shape_of(part)[np.ndim(part) - core :], dtype=int))
        flat.append(reshape(part, (*shape, size)) if core != 1 else part)
    return np.concatenate(flat, axis=-1)


def _parts(packed: Any, shapes: Sequence[Shape]) -> list[Any]:
    """The inverse of ``_packed``."""
    found, start = [], 0
    for shape in shapes:
        stop = start + int(np.prod(shape, dtype=int))
        part = packed[..., start:stop]
        found.append(reshape(part, (*shape_of(packed)[:-1], *shape)) if len(shape) != 1 else part)
        start = stop
    return found


def _reached(support: Any, ct: Any, shapes: Sequence[Shape]) -> list[Any]:
    """Where the cotangent of each part can be non-zero at all."""
    support = concrete(support)
    if support is None or isinstance(support, Operand):
        support = True
    return _parts(np.broadcast_to(support, shape_of(ct)), shapes)


def _any(condition: Any, axes: int) -> Any:
    """Whether it holds anywhere in the last axes, with two axes of length 1 in their place."""
    found = np.any(condition, axis=tuple(range(-axes, 0)))
    return reshape(found, (*shape_of(found), 1, 1))


def _unless(bad: Any, value: Any, message: str) -> Any:
    """``value``, or an error where a derivative does not exist; NaN where nobody may look."""
    seen = concrete(bad)
    if isinstance(seen, Operand):
        return np.where(_any(bad, 2), np.nan, value)
    if np.any(seen):
        raise NotDifferentiableError(message)
    return value


def _eye(n: int) -> Any:
    return np.eye(n, dtype=bool)


def _diag(v: Any) -> Any:
    """Diagonal matrices of vectors."""
    return np.where(_eye(shape_of(v)[-1]), v[..., None, :], 0.0)


def _largest(x: Any, axes: int) -> Any:
    """The largest absolute value in the last axes, which keep length 1."""
    return np.max(np.abs(x), axis=tuple(range(-axes, 0)), keepdims=True, initial=0.0)


def _rounding(x: Any, *shape: int) -> float:
    """What counts as zero beside 1 in the results of an algorithm on matrices of this shape."""
    return float(_SLACK * max(shape, default=1) * np.finfo(dtype_of(x)).eps)


def _inverse(x: Any, usable: Any) -> Any:
    """1/x where it may be divided, else 0."""
    return np.where(usable, 1 / np.where(usable, x, 1.0), 0.0)


# ------------------------------------------------------------------------------------- cholesky


def _halved(x: Any) -> Any:
    """The lower triangle, with half of the diagonal."""
    side = shape_of(x)[-1]
    return np.where(np.tri(side, dtype=bool), np.where(_eye(side), x / 2, x), 0.0)


def _onto_triangle(g: Any, lower: bool = True) -> Any:
    """The derivative with respect to the triangle that is read of a symmetric matrix."""
    side = shape_of(g)[-1]
    strictly = np.tri(side, k=-1, dtype=bool)
    return np.where(_eye(side), g, np.where(strictly if lower else strictly.T, g + swap(g), 0.0))


def _cholesky_push(t: Any, a: Any, out: Any) -> Any:
    middle = swap(solve(out, swap(solve(out, read_triangle(t)))))
    return matmul(out, _halved(middle))


def _cholesky_pull(ct: Any, a: Any, out: Any) -> Any:
    """By triangular algebra (I. Murray, 2016)."""
    upper = swap(out)
    middle = _halved(matmul(upper, ct))
    found = swap(solve(upper, swap(solve(upper, middle))))
    return _onto_triangle((found + swap(found)) / 2)


CHOLESKY = define(
    "cholesky", np.linalg.cholesky, Custom(_cholesky_push, _cholesky_pull),
    elementwise=False, structure="triangular", stacked=(2,), ulps=1e3,
)  # fmt: skip


@numpy_function(np.linalg.cholesky)
def _cholesky(a: Any, /, *, upper: bool = False) -> Any:
    square_matrices(a)
    return swap(bind(CHOLESKY, (swap(a),))) if upper else bind(CHOLESKY, (a,))


# ------------------------------------------------------------------------------------------- qr


def _qr_shapes(a: Any, complete: bool) -> list[Shape]:
    rows, columns = shape_of(a)[-2:]
    inner = rows if complete else min(rows, columns)
    return [(rows, inner), (inner, columns)]


def _qr_value(a: Any, complete: bool) -> Any:
    q, r = np.linalg.qr(a, "complete" if complete else "reduced")
    return _packed([q, r], [2, 2])


def _qr_thin(a: Any, packed: Any, complete: bool) -> tuple[Any, Any]:
    """Q and R without the columns that only complete the basis."""
    q, r = _parts(packed, _qr_shapes(a, complete))
    inner = min(shape_of(a)[-2:])
    return (q[..., :inner], r[..., :inner, :]) if complete else (q, r)


def _invertible(r: Any) -> tuple[Any, Any]:
    """The square part of R, or the unit matrix where it is singular, and which columns make it so.

    A column that depends on those before it has a zero on the diagonal.
    """
    inner = shape_of(r)[-2]
    square = r[..., :inner]
    size = np.max(np.abs(square), axis=-2, initial=0.0)
    dependent = np.abs(np.linalg.diagonal(square)) <= _rounding(r, *shape_of(r)[-2:]) * size
    dependent = dependent[..., None, :]
    return np.where(_any(dependent, 2), np.eye(inner, dtype=dtype_of(r)), square), dependent


def _below(x: Any) -> Any:
    rows, columns = shape_of(x)[-2:]
    return np.where(np.tri(rows, columns, -1, dtype=bool), x, 0.0)


def _upper(x: Any) -> Any:
    rows, columns = shape_of(x)[-2:]
    return np.where(np.tri(rows, columns, -1, dtype=bool), 0.0, x)


def _qr_push(t: Any, a: Any, out: Any, complete: bool) -> Any:
    q, r = _qr_thin(a, out, complete)
    square, dependent = _invertible(r)
    inner, extra = shape_of(square)[-1], shape_of(a)[-2] - shape_of(square)[-1]
    # X R⁻¹ for the columns that R is square for; the others of a wide matrix follow from Q.
    quotient = swap(solve(swap(square), swap(t[..., :inner])))
    c = matmul(swap(q), quotient)
    below = _below(c)
    turn = below - swap(below)
    dq = quotient - matmul(q, c - turn)
    dr = matmul(swap(q), t) - matmul(turn, r)
    dr = _upper(dr)
    if complete and extra:
        stack = shape_of(a)[:-2]
        dq = np.concatenate([dq, np.full((*stack, shape_of(a)[-2], extra), np.nan)], -1)
        dr = np.concatenate([dr, np.zeros((*stack, extra, shape_of(a)[-1]))], -2)
    lost = _any(dependent, 2)
    return _packed([np.where(lost, np.nan, dq), np.where(lost, np.nan, dr)], [2, 2])


def _qr_pull(ct: Any, a: Any, out: Any, complete: bool, support: Any = None) -> Any:
    (q, r), (ct_q, ct_r) = _qr_thin(a, out, complete), _qr_thin(a, ct, complete)
    square, dependent = _invertible(r)
    inner = shape_of(square)[-1]
    used_q, used_r = _reached(support, ct, _qr_shapes(a, complete))
    if complete:
        _refuse_extra(used_q[..., inner:], "qr")
    ct_r = _upper(ct_r)
    wide, others = ct_r[..., inner:], a[..., inner:]
    ct_q = ct_q + matmul(others, swap(wide))
    m = matmul(square, swap(ct_r[..., :inner])) - matmul(swap(ct_q), q)
    below = _below(m)
    symmetric = below + swap(below) + np.where(_eye(inner), m, 0.0)
    found = swap(solve(square, swap(ct_q + matmul(q, symmetric))))
    found = np.concatenate([found, matmul(q, wide)], -1)
    return _unless(dependent & (_any(used_q, 2) | _any(used_r, 2)), found, _DEPENDENT)


def _refuse_extra(reached: Any, name: str) -> None:
    if np.any(reached):
        raise NotDifferentiableError(
            f"np.linalg.{name}: the vectors that complete a basis are not determined by the "
            "matrix, so they have no derivative.\n"
            + ("Use mode='reduced'." if name == "qr" else "Use full_matrices=False.")
        )


_DEPENDENT = (
    "np.linalg.qr: a column depends on those before it (to rounding), and Q and R are not "
    "differentiable there."
)
QR: Primitive = define(
    "qr", _qr_value, Custom(_qr_push, _qr_pull, reached=True),
    elementwise=False, structure="matrix", stacked=(2,), ulps=1e3,
)
_QRResult: Any = type(np.linalg.qr(np.eye(1)))


@numpy_function(np.linalg.qr)
def _qr(a: Any, mode: str = "reduced") -> Any:
    if mode not in ("reduced", "complete", "r"):
        raise NotDifferentiableError(
            f"np.linalg.qr of a traced value has no mode={mode!r}.\n"
            "Use 'reduced', 'complete' or 'r'."
        )
    _at_least_matrices(a)
    complete = mode == "complete"
    out = bind(QR, (a,), {"complete": complete})
    q, r = _parts(out, _qr_shapes(a, complete))
    return r if mode == "r" else _QRResult(q, r)


def _at_least_matrices(a: Any) -> None:
    if np.ndim(a) < 2:
        raise np.linalg.LinAlgError(
            f"{np.ndim(a)}-dimensional array given. Array must be at least two-dimensional"
        )


# ----------------------------------------------------------------------------------------- eigh

_REPEATED = (
    "np.linalg.{name}: two {values} are equal (to rounding), and {vectors} are not differentiable "
    "there.\nFunctions of the {values} alone are, and functions of the {vectors} alone that depend "
    "on the space of the equal {values} and not on a basis of it (U @ U.T)."
)


def _eigh_shapes(a: Any) -> list[Shape]:
    side = shape_of(a)[-1]
    return [(side,), (side, side)]


def _eigh_value(a: Any, UPLO: Any) -> Any:
    return _packed(np.linalg.eigh(a, UPLO), [1, 2])


def _eigh_gaps(w: Any) -> tuple[Any, Any]:
    """1/(wⱼ − wᵢ) for eigenvalues that differ, and which pairs are equal."""
    side = shape_of(w)[-1]
    gap = w[..., None, :] - w[..., None]
    apart = np.abs(gap) > _rounding(w, side) * _largest(w, 1)[..., None]
    return _inverse(gap, apart), np.logical_not(apart | _eye(side))


def _eigh_push(t: Any, a: Any, out: Any, UPLO: str) -> Any:
    w, v = _parts(out, _eigh_shapes(a))
    inverse, equal = _eigh_gaps(w)
    e = matmul(matmul(swap(v), read_triangle(t, UPLO == "L")), v)
    undefined = equal & (np.abs(e) > _rounding(e, shape_of(a)[-1]) * _largest(e, 2))
    turn = np.where(undefined, np.nan, e * inverse)
    return _packed([np.linalg.diagonal(e), matmul(v, turn)], [1, 2])


def _eigh_pull(ct: Any, a: Any, out: Any, UPLO: str, support: Any = None) -> Any:
    shapes = _eigh_shapes(a)
    (w, v), (ct_w, ct_v) = _parts(out, shapes), _parts(ct, shapes)
    values, vectors = _reached(support, ct, shapes)
    inverse, equal = _eigh_gaps(w)
    m = matmul(swap(v), ct_v)
    turn = (m - swap(m)) / 2
    unequal = np.abs(turn) > _rounding(m, shape_of(a)[-1]) * _largest(m, 2)
    bad = equal & (unequal | (_any(values, 1) & _any(vectors, 2)))
    found = matmul(matmul(v, _diag(ct_w) + turn * inverse), swap(v))
    message = _REPEATED.format(name="eigh", values="eigenvalues", vectors="eigenvectors")
    return _onto_triangle(_unless(bad, found, message), UPLO == "L")


EIGH: Primitive = define(
    "eigh", _eigh_value, Custom(_eigh_push, _eigh_pull, reached=True),
    elementwise=False, structure="matrix", stacked=(2,), ulps=1e3,
)
_EighResult: Any = type(np.linalg.eigh(np.eye(1)))


def _eigh_parts(a: Any, UPLO: str) -> list[Any]:
    square_matrices(a)
    if UPLO.upper() not in ("L", "U"):
        raise ValueError("UPLO argument must be 'L' or 'U'")
    return _parts(bind(EIGH, (a,), {"UPLO": UPLO.upper()}), _eigh_shapes(a))


@numpy_function(np.linalg.eigh)
def _eigh(a: Any, UPLO: str = "L") -> Any:
    return _EighResult(*_eigh_parts(a, UPLO))


@numpy_function(np.linalg.eigvalsh)
def _eigvalsh(a: Any, UPLO: str = "L") -> Any:
    # Not a row of its own: were the vectors another record, a second derivative would not see
    # that both are used.
    return _eigh_parts(a, UPLO)[0]


# ------------------------------------------------------------------------------------------ svd


def _svd_shapes(a: Any, full: bool) -> list[Shape]:
    rows, columns = shape_of(a)[-2:]
    inner = min(rows, columns)
    return [(rows, rows if full else inner), (inner,), (columns if full else inner, columns)]


def _svd_value(a: Any, full: bool) -> Any:
    return _packed(np.linalg.svd(a, full_matrices=full), [2, 1, 2])


def _svd_thin(a: Any, packed: Any, full: bool) -> tuple[Any, Any, Any]:
    """U, S and Vᵀ without the vectors that only complete the bases."""
    u, s, vh = _parts(packed, _svd_shapes(a, full))
    inner = shape_of(s)[-1]
    return (u[..., :inner], s, vh[..., :inner, :]) if full else (u, s, vh)


class _Gaps:
    """The quotients of singular values that appear in their derivatives, and which do not exist."""

    def __init__(self, a: Any, s: Any) -> None:
        inner = shape_of(s)[-1]
        tiny = _rounding(s, *shape_of(a)[-2:]) * _largest(s, 1)
        gap, total = s[..., None, :] - s[..., None], s[..., None, :] + s[..., None]
        apart, present = np.abs(gap) > tiny[..., None], total > tiny[..., None]
        self.one = _eye(inner)
        self.gap, self.total = _inverse(gap, apart), _inverse(total, present)
        self.equal = np.logical_not(apart | self.one)
        self.both_zero = np.logical_not(present | self.one)
        self.regular = s > tiny
        self.inverse = _inverse(s, self.regular)


def _outside(basis: Any, x: Any) -> Any:
    """What of ``x`` is perpendicular to the columns of ``basis``."""
    return x - matmul(basis, matmul(swap(basis), x))


def _above_rounding(x: Any, like: Any, *shape: int) -> Any:
    return np.abs(x) > _rounding(x, *shape) * _largest(like, 2)


def _svd_push(t: Any, a: Any, out: Any, full: bool) -> Any:
    u, s, vh = _svd_thin(a, out, full)
    v, gaps, shape = swap(vh), _Gaps(a, s), shape_of(a)[-2:]
    p = matmul(matmul(swap(u), t), v)
    both, differ = (p + swap(p)) / 2, (p - swap(p)) / 2
    both = np.where(gaps.equal & _above_rounding(both, p, *shape), np.nan, both * gaps.gap)
    differ = np.where(
        gaps.both_zero & _above_rounding(differ, p, *shape), np.nan, differ * gaps.total
    )
    du, dv = matmul(u, both + differ), matmul(v, both - differ)
    zero = np.logical_not(gaps.regular)[..., None, :]
    for_u, for_v = _outside(u, matmul(t, v)), _outside(v, matmul(swap(t), u))
    if shape[0] > shape[1]:
        lost = zero & _above_rounding(for_u, t, *shape)
        du = du + np.where(lost, np.nan, for_u * gaps.inverse[..., None, :])
    if shape[1] > shape[0]:
        lost = zero & _above_rounding(for_v, t, *shape)
        dv = dv + np.where(lost, np.nan, for_v * gaps.inverse[..., None, :])
    if full:
        du, dv = (
            np.concatenate([d, np.full((*shape_of(d)[:-1], n - shape_of(d)[-1]), np.nan)], -1)
            for d, n in ((du, shape[0]), (dv, shape[1]))
        )
    return _packed([du, np.linalg.diagonal(p), swap(dv)], [2, 1, 2])


def _svd_pull(ct: Any, a: Any, out: Any, full: bool, support: Any = None) -> Any:
    (u, s, vh), (ct_u, ct_s, ct_vh) = _svd_thin(a, out, full), _svd_thin(a, ct, full)
    v, ct_v, gaps, shape = swap(vh), swap(ct_vh), _Gaps(a, s), shape_of(a)[-2:]
    used_u, values, used_vh = _reached(support, ct, _svd_shapes(a, full))
    inner = shape_of(s)[-1]
    if full:
        _refuse_extra(used_u[..., inner:], "svd")
        _refuse_extra(used_vh[..., inner:, :], "svd")
    mixed = _any(values, 1) & (_any(used_u, 2) | _any(used_vh, 2))
    x, y = matmul(swap(u), ct_u), matmul(swap(v), ct_v)
    x, y, size = (x - swap(x)) / 2, (y - swap(y)) / 2, np.abs(x) + np.abs(y)
    bad = gaps.equal & (mixed | _above_rounding(x + y, size, *shape))
    bad = bad | (gaps.both_zero & _above_rounding(x - y, size, *shape))
    middle = _diag(ct_s) + (x + y) * gaps.gap + (x - y) * gaps.total
    found = matmul(matmul(u, middle), vh)
    zero = np.logical_not(gaps.regular)[..., None, :]
    if shape[0] > shape[1]:
        for_u = _outside(u, ct_u)
        bad = bad | (zero & (mixed | _any_row(_above_rounding(for_u, ct_u, *shape))))
        found = found + matmul(for_u * gaps.inverse[..., None, :], vh)
    if shape[1] > shape[0]:
        for_v = _outside(v, ct_v)
        bad = bad | (zero & (mixed | _any_row(_above_rounding(for_v, ct_v, *shape))))
        found = found + matmul(u, swap(for_v * gaps.inverse[..., None, :]))
    message = _REPEATED.format(name="svd", values="singular values", vectors="singular vectors")
    return _unless(bad, found, message)


def _any_row(condition: Any) -> Any:
    return np.any(condition, axis=-2, keepdims=True)


SVD: Primitive = define(
    "svd", _svd_value, Custom(_svd_push, _svd_pull, reached=True),
    elementwise=False, structure="matrix", stacked=(2,), ulps=1e3,
)
_SVDResult: Any = type(np.linalg.svd(np.eye(1)))


@numpy_function(np.linalg.svd)
def _svd(
    a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False
) -> Any:
    _at_least_matrices(a)
    if hermitian:
        return _svd_of_symmetric(a, compute_uv)
    rows, columns = shape_of(a)[-2:]
    full = bool(full_matrices and compute_uv and rows != columns)
    u, s, vh = _parts(bind(SVD, (a,), {"full": full}), _svd_shapes(a, full))
    return _SVDResult(u, s, vh) if compute_uv else s


def _svd_of_symmetric(a: Any, compute_uv: bool) -> Any:
    w, v = _eigh_parts(a, "L")
    order = np.argsort(concrete(np.abs(w)), axis=-1)[..., ::-1]
    s = np.take_along_axis(np.abs(w), order, axis=-1)
    if not compute_uv:
        return s
    u = np.take_along_axis(v, order[..., None, :], axis=-1)
    sign = np.take_along_axis(np.sign(w), order, axis=-1)
    return _SVDResult(u, s, swap(u * sign[..., None, :]))


@numpy_function(np.linalg.svdvals)
def _svdvals(x: Any, /) -> Any:
    return _svd(x, full_matrices=False, compute_uv=False)


# --------------------------------------------------------------------------- complex results


def _complex(module: str, names: str, instead: str) -> None:
    """Functions whose results are complex: there are no derivatives of such yet."""
    for name in names.split():

        def adapter(*args: Any, name: str = name, **options: Any) -> Any:
            raise NotDifferentiableError(
                f"np.{module}.{name} of a traced value: its result is complex, and complex "
                f"derivatives are not supported yet.\n{instead}"
            )

        NAMED_FUNCTIONS[f"numpy.{module}.{name}"] = adapter


_complex(
    "linalg", "eig eigvals", "np.linalg.eigh and np.linalg.eigvalsh of a symmetric matrix are."
)
_complex(
    "fft", "fft ifft fft2 ifft2 fftn ifftn rfft irfft rfft2 irfft2 rfftn irfftn hfft ihfft",
    "Write the transform as a product with the matrices of its cosines and sines.",
)  # fmt: skip
