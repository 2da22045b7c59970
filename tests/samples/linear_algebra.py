"""Samples of matrix products."""

import numpy as np

from samples import array, case

MATRICES = [
    ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 3), (3, 4)), ((1, 1), (1, 1)),
    ((4, 2, 3), (3,)), ((3,), (4, 3, 2)), ((4, 2, 3), (3, 2)), ((2, 3), (4, 3, 2)),
    ((4, 2, 3), (4, 3, 2)), ((4, 1, 2, 3), (2, 3, 2)), ((0, 3), (3, 2)), ((2, 0), (0, 2)),
]  # fmt: skip


def looped_matmul(a, b):
    if a.shape[-1] != b.shape[-2 if b.ndim > 1 else -1]:
        raise ValueError("the summed axes have different lengths")  # einsum broadcasts a 1
    letters = "ik" if a.ndim > 1 else "k", "kj" if b.ndim > 1 else "k"
    out = "".join(c for c in letters[0] + letters[1] if c != "k")
    return np.einsum(f"...{letters[0]},...{letters[1]}->...{out}", a, b)


STRUCTURED = {
    "matmul": (looped_matmul, [case(array(*a), array(*b) + 0.1) for a, b in MATRICES]),
}
