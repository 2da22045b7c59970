"""Reductions: sum, mean, product.

A reduction that is not linear states its partial like an elementwise row, in the shape of its
argument: ``partial(x, out, **attrs)`` with ``out`` repeated to that shape.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.graph.operand import bind
from chainrule.graph.primitive import Linear, Scale
from chainrule.rules.book import define, numpy_function
from chainrule.rules.shapes import broadcast_to, reshape


def spread(cotangent: Any, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Transpose of a sum: every element that went into it receives the cotangent."""
    if not keepdims:
        cotangent = reshape(cotangent, _kept(x, axis))
    return broadcast_to(cotangent, np.shape(x))


def _kept(x: Any, axis: Any) -> tuple[int, ...]:
    """Shape of the reduction with the reduced axes kept at length 1."""
    reduced = _axes(axis, np.ndim(x))
    return tuple(1 if i in reduced else n for i, n in enumerate(np.shape(x)))


def _axes(axis: Any, ndim: int) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(ndim))
    return tuple(a % ndim for a in (axis if isinstance(axis, tuple) else (axis,)))


def _count(x: Any, axis: Any) -> int:
    """How many elements go into each output of the reduction."""
    return int(np.prod([np.shape(x)[a] for a in _axes(axis, np.ndim(x))], dtype=int))


def _product_of_others(x: Any, out: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """For each element, the product of the others it is multiplied with.

    Dividing the product by the element is right and cheap, unless there is a 0 or an overflow: then
    the others are multiplied out, each in a row of its own.
    """
    if np.all((out != 0) & np.isfinite(out)):
        return out / x
    moved = _reduced_last(x, axis)
    row = np.shape(moved)[-1]
    others = np.where(np.eye(row, dtype=bool), 1.0, np.expand_dims(moved, -2))
    products = bind(PROD, (others,), {"axis": -1, "keepdims": False})
    return _reduced_back(products, x, axis)


def _reduced_last(x: Any, axis: Any) -> Any:
    """``x`` with the reduced axes flattened into a last one."""
    reduced = _axes(axis, np.ndim(x))
    kept = tuple(i for i in range(np.ndim(x)) if i not in reduced)
    ordered = np.transpose(x, kept + reduced)
    return reshape(ordered, (*(np.shape(x)[i] for i in kept), _count(x, axis)))


def _reduced_back(y: Any, x: Any, axis: Any) -> Any:
    """The inverse of ``_reduced_last``."""
    reduced = _axes(axis, np.ndim(x))
    order = tuple(i for i in range(np.ndim(x)) if i not in reduced) + reduced
    unflattened = reshape(y, tuple(np.shape(x)[i] for i in order))
    return np.transpose(unflattened, tuple(int(i) for i in np.argsort(order)))


SUM = define(
    "sum", lambda x, axis=None, keepdims=False: np.sum(x, axis=axis, keepdims=keepdims),
    Linear(spread), elementwise=False, structure="row of ones", axes=("axis",), latex=r"\sum",
)
MEAN = define(
    "mean", lambda x, axis=None, keepdims=False: np.mean(x, axis=axis, keepdims=keepdims),
    Linear(lambda ct, x, axis=None, keepdims=False:
           spread(ct / _count(x, axis), x, axis, keepdims)),
    elementwise=False, structure="row of 1/n", axes=("axis",),
)  # fmt: skip
PROD = define(
    "prod", lambda x, axis=None, keepdims=False: np.prod(x, axis=axis, keepdims=keepdims),
    Scale(_product_of_others), elementwise=False, structure="row", axes=("axis",), latex=r"\prod",
)


def _connect(row: Any, function: Any, *more: Any, method: str) -> None:
    @numpy_function(function, *more, method=method)
    def adapter(
        a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False
    ) -> Any:
        if dtype is not None or out is not None:
            raise TypeError(f"np.{row.name} of a traced value takes neither dtype= nor out=")
        return bind(row, (a,), {"axis": axis, "keepdims": bool(keepdims)})


_connect(SUM, np.sum, np.add, method="sum")
_connect(MEAN, np.mean, method="mean")
_connect(PROD, np.prod, np.multiply, method="prod")
