"""Samples of decompositions, whose parts stand side by side in the last axis."""

import numpy as np

from samples import Made, array, case, structured

NARROW = (np.float32,)
SQUARES = [(3, 3), (1, 1), (2, 2, 2), (0, 0)]
SHAPES = [(3, 3), (4, 2), (2, 3), (2, 3, 2), (1, 1)]


def spread_out(*shape):
    """Matrices whose eigenvalues and singular values lie apart."""
    return array(*shape) * 0.25 + np.eye(*shape[-2:]) * np.arange(1.0, 1.0 + shape[-1])


def positive(x):
    return x @ np.swapaxes(x, -1, -2) + np.eye(np.shape(x)[-1], dtype=x.dtype)


def side_by_side(*parts):
    stack = parts[-1].shape[:-2]
    return np.concatenate(
        [p.reshape(*stack, int(np.prod(p.shape[len(stack) :]))) for p in parts], -1
    )


def row_by_row(a):
    """Cholesky–Banachiewicz."""
    out = np.zeros_like(a)
    for i, j in zip(*np.tril_indices(a.shape[-1]), strict=True):
        rest = a[..., i, j] - np.sum(out[..., i, :j] * out[..., j, :j], -1)
        out[..., i, j] = np.sqrt(rest) if i == j else rest / out[..., j, j]
    return out


def reflections(a, complete):
    """Q and R from the normal equations, with the signs that NumPy gives them."""
    if complete and a.shape[-2] > a.shape[-1]:
        raise ValueError("the completion is anybody's choice")
    square = a[..., : min(a.shape[-2:])]
    upper = np.swapaxes(row_by_row(np.swapaxes(square, -1, -2) @ square), -1, -2)
    q = square @ np.linalg.inv(upper)
    r = np.swapaxes(q, -1, -2) @ a
    r = np.where(np.tri(*r.shape[-2:], -1, dtype=bool), 0.0, r)
    sign = np.sign(np.sum(np.linalg.qr(a)[0] * q, -2))
    return side_by_side(q * sign[..., None, :], r * sign[..., None])


def by_eig(a, UPLO):
    """Eigenvalues in ascending order, and eigenvectors with the signs that NumPy gives them."""
    if a.shape[-2] != a.shape[-1]:
        raise ValueError("not square")
    lower = np.tri(a.shape[-1], dtype=bool)
    whole = np.where(lower if UPLO == "L" else lower.T, a, np.swapaxes(a, -1, -2))
    w, v = np.linalg.eig(whole)
    order = np.argsort(w.real, -1)
    w, v = (
        np.take_along_axis(w.real, order, -1),
        np.take_along_axis(v.real, order[..., None, :], -1),
    )
    sign = np.sign(np.sum(v * np.linalg.eigh(a, UPLO)[1], -2))
    return side_by_side(w, v * sign[..., None, :])


def by_eigh(a, full):
    """Singular values and vectors from the eigenvectors of AᵀA or AAᵀ."""
    if full and a.shape[-2] != a.shape[-1]:
        raise ValueError("the completion is anybody's choice")
    u, s, vh = np.linalg.svd(a, full_matrices=full)
    inner = s.shape[-1]
    tall = a.shape[-2] >= a.shape[-1]
    gram = np.swapaxes(a, -1, -2) @ a if tall else a @ np.swapaxes(a, -1, -2)
    w, basis = np.linalg.eigh(gram)
    w, basis = np.sqrt(w[..., ::-1]), basis[..., ::-1]
    known = np.swapaxes(vh, -1, -2) if tall else u
    basis = basis * np.sign(np.sum(basis * known[..., :inner], -2))[..., None, :]
    if tall:
        u = np.concatenate([a @ basis / w[..., None, :], u[..., inner:]], -1)
        return side_by_side(u, w, np.swapaxes(basis, -1, -2))
    rows = np.swapaxes(basis, -1, -2) @ a / w[..., None]
    return side_by_side(basis, w, np.concatenate([rows, vh[..., inner:, :]], -2))


STRUCTURED = {
    "cholesky": structured(
        row_by_row,
        [case(Made(positive, array(*s))) for s in SQUARES],
        analytic=False,
        dtypes=NARROW,
        rtol=1e-11,
    ),
    "qr": structured(
        reflections,
        [case(spread_out(*s), complete=False) for s in SHAPES]
        + [case(spread_out(*s), complete=True) for s in ((3, 3), (2, 3))],
        analytic=False,
        dtypes=NARROW,
        rtol=1e-11,
    ),
    "eigh": structured(
        by_eig,
        [case(spread_out(*s), UPLO=triangle) for s in SQUARES for triangle in "LU"],
        analytic=False,
        dtypes=NARROW,
        rtol=1e-11,
    ),
    "svd": structured(
        by_eigh,
        [case(spread_out(*s), full=False) for s in SHAPES] + [case(spread_out(3, 3), full=True)],
        analytic=False,
        dtypes=NARROW,
        rtol=1e-11,
    ),
}
