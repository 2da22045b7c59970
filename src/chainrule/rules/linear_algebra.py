"""Matrix products."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.graph.operand import UFUNCS, bind
from chainrule.graph.primitive import Bilinear
from chainrule.rules import batching
from chainrule.rules.book import define, numpy_function
from chainrule.rules.shapes import reshape, sum_to


def _swap(x: Any) -> Any:
    """The last two axes swapped."""
    ndim = np.ndim(x)
    return np.transpose(x, (*range(ndim - 2), ndim - 1, ndim - 2))


def _as_matrices(a: Any, b: Any) -> tuple[Any, Any]:
    """Vectors as matrices of one row (left) and one column (right), as ``@`` reads them."""
    left = reshape(a, (1, np.shape(a)[0])) if np.ndim(a) == 1 else a
    right = reshape(b, (np.shape(b)[0], 1)) if np.ndim(b) == 1 else b
    return left, right


def _full(ct: Any, a: Any, b: Any) -> Any:
    """The cotangent with the axes that ``@`` dropped for vectors put back."""
    shape = np.shape(ct)
    if np.ndim(b) == 1:
        shape = (*shape, 1)
    if np.ndim(a) == 1:
        shape = (*shape[:-1], 1, shape[-1])
    return reshape(ct, shape)


def _matmul_left(ct: Any, a: Any, b: Any) -> Any:
    left, right = _as_matrices(a, b)
    product = bind(MATMUL, (_full(ct, a, b), _swap(right)))
    return reshape(sum_to(product, np.shape(left)), np.shape(a))


def _matmul_right(ct: Any, a: Any, b: Any) -> Any:
    left, right = _as_matrices(a, b)
    product = bind(MATMUL, (_swap(left), _full(ct, a, b)))
    return reshape(sum_to(product, np.shape(right)), np.shape(b))


MATMUL = define(
    "matmul", np.matmul, Bilinear(_matmul_left), Bilinear(_matmul_right),
    text="{0} @ {1}", latex=r"{0}\,{1}", operator="matmul",
    elementwise=False, structure="matrix", batch=batching.matmul,
)  # fmt: skip
UFUNCS[np.matmul] = MATMUL


@numpy_function(np.dot, method="dot")
def _dot(a: Any, b: Any) -> Any:
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        return a * b
    if np.ndim(b) > 2:
        raise TypeError("np.dot of a traced value takes arrays of at most two dimensions: use @")
    return bind(MATMUL, (a, b))
