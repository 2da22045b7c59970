"""Samples of linear systems and determinants."""

import itertools
import math

import numpy as np

from samples import NAN, array, case, structured

NARROW = (np.float32,)


def matrices(*shape):
    """Matrices with a large diagonal, so that they are far from singular."""
    return array(*shape) * 0.2 + 1.5 * np.eye(shape[-2], shape[-1])


def matrices_of(shape):
    return matrices(*shape)


def leibniz(a, axis=None):
    """The sum over all permutations."""
    n = a.shape[-1]
    if a.shape[-2] != n:
        raise ValueError("not square")
    total = np.zeros(a.shape[:-2], a.dtype)
    for order in itertools.permutations(range(n)):
        inversions = sum(x > y for x, y in itertools.combinations(order, 2))
        factors = [a[..., i, j] for i, j in enumerate(order)]
        total = total + (-1) ** inversions * math.prod(factors, start=np.ones(a.shape[:-2]))
    return total


def minors(a):
    """Every cofactor as the determinant of what is left without a row and a column."""
    n = a.shape[-1]
    if a.shape[-2] != n:
        raise ValueError("not square")
    out = np.zeros(a.shape)
    for i, j in itertools.product(range(n), repeat=2):
        left = np.delete(np.delete(a, i, -2), j, -1)
        out[..., i, j] = (-1) ** (i + j) * leibniz(left)
    return out


def by_cofactors(a):
    return np.swapaxes(minors(a), -1, -2) / leibniz(a)[..., None, None]


def solved(a, b):
    return np.matmul(by_cofactors(a), b)


def solved_vector(a, b):
    return solved(a, b[..., None])[..., 0]


def normal_equations(a, rcond):
    """The pseudo-inverse of a matrix of full rank."""
    if a.shape[-2] >= a.shape[-1]:
        return by_cofactors(np.swapaxes(a, -1, -2) @ a) @ np.swapaxes(a, -1, -2)
    return np.swapaxes(normal_equations(np.swapaxes(a, -1, -2), rcond), -1, -2)


SQUARES = [(3, 3), (1, 1), (2, 2, 2), (2, 0, 0)]
SYSTEMS = [((3, 3), (3, 2)), ((2, 3, 3), (3, 1)), ((2, 2), (3, 2, 2)), ((2, 1, 2, 2), (3, 2, 1))]
VECTORS = [((3, 3), (3,)), ((2, 3, 3), (3,)), ((2, 2), (3, 2)), ((0, 0), (0,))]
SINGULAR = [
    np.array([[1.0, 2.0, 0.5], [2.0, 4.0, 1.0], [0.3, -0.7, 1.1]]),
    np.outer([1.0, 2.0, -0.5], [0.4, 1.5, 0.3]),
    np.zeros((2, 2)),
    np.stack([np.eye(2), np.zeros((2, 2))]),
]

STRUCTURED = {
    "inv": structured(
        by_cofactors, [case(matrices(*s)) for s in SQUARES], dtypes=NARROW, rtol=1e-12
    ),
    "solve": structured(
        solved,
        [case(matrices(*a), array(*b) + 0.1) for a, b in SYSTEMS],
        dtypes=NARROW,
        rtol=1e-12,
    ),
    "solve_vector": structured(
        solved_vector,
        [case(matrices(*a), array(*b) + 0.1) for a, b in VECTORS],
        dtypes=NARROW,
        rtol=1e-12,
    ),
    "pinv": structured(
        normal_equations,
        [case(matrices(*s), 1e-15) for s in ((3, 3), (4, 2), (2, 4), (2, 3, 2))],
        analytic=False,
        dtypes=NARROW,
        rtol=1e-11,
    ),
    "matrix_rank": structured(
        lambda a, *_, relative, hermitian: np.sum(
            np.linalg.svd(a, compute_uv=False) > 1e-10, axis=-1
        ),
        [case(x, relative=False, hermitian=False) for x in (*SINGULAR, matrices(2, 3, 2))]
        + [case(SINGULAR[0], np.float64(1e-9), relative=r, hermitian=False) for r in (True, False)],
        analytic=False,
        dtypes=NARROW,
    ),
    "cofactors": structured(
        minors,
        [case(x) for x in (*map(matrices_of, SQUARES), SINGULAR[0])],
        analytic=False,
        dtypes=NARROW,
        rtol=1e-11,
    ),
    "det": structured(
        leibniz,
        [case(x, axis=(-2, -1)) for x in (*map(matrices_of, SQUARES), *SINGULAR)],
        dtypes=NARROW,
        rtol=1e-12,
    ),
    "log_abs_det": structured(
        lambda a, axis: np.log(np.abs(leibniz(a))),
        [case(matrices(*s), axis=(-2, -1)) for s in SQUARES],
        analytic=False,
        dtypes=NARROW,
        rtol=1e-12,
    ),
    "sign_det": structured(
        lambda a: np.sign(leibniz(a)),
        [case(matrices(*s)) for s in SQUARES] + [case(x) for x in SINGULAR[2:]],
        dtypes=NARROW,
    ),
}

CONVENTIONS = {
    "log_abs_det": [(case(np.zeros((2, 2)), axis=(-2, -1)), (np.full((2, 2), NAN),))],
}
