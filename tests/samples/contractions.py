"""Samples of contractions and convolutions."""

import numpy as np

from samples import array, case

SUBSCRIPTS = [
    ("ij,jk->ik", (2, 3), (3, 4)),
    ("ij,jk->ki", (2, 3), (3, 4)),
    ("i,j->ji", (2,), (3,)),
    ("ij,ij->", (2, 3), (2, 3)),
    ("bi,bi->b", (4, 3), (4, 3)),
    ("bij,kjb->bik", (2, 3, 4), (3, 4, 2)),
    ("aij,ija->a", (2, 3, 2), (3, 2, 2)),
    (",ij->ji", (), (2, 3)),
    ("ijk,kl->lij", (2, 0, 3), (3, 2)),
    ("ij,jk->ik", (2, 0), (0, 2)),
]
SIGNALS = [((5,), (3,)), ((4,), (4,)), ((3,), (1,)), ((2, 6), (2,)), ((4,), (3, 1, 2))]


def summed_products(a, b, subscripts):
    """One entry of the result after the other."""
    inputs, out = subscripts.split("->")
    left, right = inputs.split(",")
    sizes = dict(zip(left + right, a.shape + b.shape, strict=True))
    lengths = zip(left + right, a.shape + b.shape, strict=True)
    if any(sizes[c] != n for c, n in lengths):
        raise ValueError("axes of the same letter have different lengths")
    result = np.zeros([sizes[c] for c in out], np.result_type(a, b))
    letters = sorted(sizes)
    for place in np.ndindex(*(sizes[c] for c in letters)):
        at = dict(zip(letters, place, strict=True))
        pick = lambda part, at=at: tuple(at[c] for c in part)
        result[pick(out)] += a[pick(left)] * b[pick(right)]
    return result


def shifted_sums(a, v, mode):
    n, m = a.shape[-1], v.shape[-1]
    if not 0 < m <= n:
        raise ValueError("the second signal is not the shorter one")
    stack = np.broadcast_shapes(a.shape[:-1], v.shape[:-1])
    full = np.zeros((*stack, n + m - 1), np.result_type(a, v))
    for j in range(m):
        full[..., j : j + n] += a * v[..., j : j + 1]
    return full if mode == "full" else full[..., m - 1 : n]


STRUCTURED = {
    "einsum": (
        summed_products,
        [
            case(array(*a), array(*b) + 0.1, subscripts=subscripts)
            for subscripts, a, b in SUBSCRIPTS
        ],
    ),
    "convolve": (
        shifted_sums,
        [
            case(array(*a), array(*v) + 0.1, mode=mode)
            for a, v in SIGNALS
            for mode in ("full", "valid")
        ],
    ),
}
