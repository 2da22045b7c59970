"""Samples of matrix products."""

import numpy as np

from samples import array, case, structured

MATRICES = [
    ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 3), (3, 4)), ((1, 1), (1, 1)),
    ((4, 2, 3), (3,)), ((3,), (4, 3, 2)), ((4, 2, 3), (3, 2)), ((2, 3), (4, 3, 2)),
    ((4, 2, 3), (4, 3, 2)), ((4, 1, 2, 3), (2, 3, 2)), ((0, 3), (3, 2)), ((2, 0), (0, 2)),
]  # fmt: skip
VECTORS = [((4, 3), (3,)), ((3,), (3,)), ((2, 3), (4, 1, 3)), ((0, 3), (1, 3)), ((2, 0), (2, 0))]
SPACE = [((3,), (3,)), ((4, 3), (3,)), ((2, 1, 3), (4, 3)), ((0, 3), (3,))]


def looped_matmul(a, b):
    if a.shape[-1] != b.shape[-2 if b.ndim > 1 else -1]:
        raise ValueError("the summed axes have different lengths")  # einsum broadcasts a 1
    letters = "ik" if a.ndim > 1 else "k", "kj" if b.ndim > 1 else "k"
    out = "".join(c for c in letters[0] + letters[1] if c != "k")
    return np.einsum(f"...{letters[0]},...{letters[1]}->...{out}", a, b)


def summed_products(a, b):
    if a.shape[-1] != b.shape[-1]:
        raise ValueError("the summed axes have different lengths")
    return np.sum(a * b, -1)


def permuted_products(a, b):
    """The cross product by the signs of all permutations."""
    signs = np.zeros((3, 3, 3))
    signs[[0, 1, 2], [1, 2, 0], [2, 0, 1]], signs[[0, 1, 2], [2, 0, 1], [1, 2, 0]] = 1.0, -1.0
    return np.einsum("ijk,...j,...k->...i", signs, a, b)


def summed_diagonal(x, offset):
    return np.sum(np.diagonal(x, offset, -2, -1), -1)


STRUCTURED = {
    "matmul": (looped_matmul, [case(array(*a), array(*b) + 0.1) for a, b in MATRICES]),
    # NumPy conjugates the first of two complex vectors, so that a complex step sees −1.
    "vecdot": structured(
        summed_products,
        [case(array(*a), array(*b) + 0.1) for a, b in VECTORS],
        analytic=False,
    ),
    "cross": (permuted_products, [case(array(*a), array(*b) + 0.1) for a, b in SPACE]),
    "trace": (
        summed_diagonal,
        [
            case(array(*shape), offset=offset)
            for shape in ((3, 3), (2, 4), (2, 3, 2), (2, 0, 0))
            for offset in (0, 1, -2, 5)
        ],
    ),
}
