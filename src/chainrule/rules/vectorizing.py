"""``np.vectorize`` of traced values: its function is called for every element.

NumPy has no protocol for a call of an ``np.vectorize``, and such an object may have been made long
before. So while a function is being traced, the class's method looks for an operand among the
arguments, and calls NumPy's own method if there is none.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from chainrule.errors import TraceError
from chainrule.graph.fronts import METHOD_FRONTS, holds_operand
from chainrule.graph.operand import Operand
from chainrule.graph.tape import dtype_of, shape_of
from chainrule.rules.joining import gathered
from chainrule.rules.shapes import astype, broadcast_to, ravel, reshape


def _elements(array: Any, shape: tuple[int, ...]) -> Any:
    """Every element of an array that is broadcast; of a plain one as Python's numbers, as NumPy."""
    flat = ravel(broadcast_to(array, shape))
    return flat if isinstance(flat, Operand) else flat.tolist()


def _joined(values: list[Any], dtype: Any, shape: tuple[int, ...]) -> Any:
    """The results of all calls as one array, in the dtype of the first or the one asked for."""
    if any(np.ndim(value) for value in values):
        raise ValueError("setting an array element with a sequence.")
    found = gathered(values)
    dtype = dtype_of(gathered(values[0])) if dtype is None else np.dtype(dtype)
    return reshape(astype(found, dtype), shape)


def _called(self: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if self.signature is not None:
        raise TraceError(
            "np.vectorize(..., signature=...) puts its results into plain arrays, and the gradient "
            "of a traced value would be lost.\nUse cr.vmap, or np.stack of a list of results."
        )
    places: list[Any] = [i for i in range(len(args)) if i not in self.excluded]
    names = [name for name in kwargs if name not in self.excluded]
    arrays = [gathered(args[i]) for i in places] + [gathered(kwargs[name]) for name in names]
    if not arrays:
        return self.pyfunc(*args, **kwargs)
    shape = np.broadcast_shapes(*map(shape_of, arrays))
    if not math.prod(shape):
        if self.otypes is None:
            raise ValueError("cannot call `vectorize` on size 0 inputs unless `otypes` is set")
        empty = tuple(np.zeros(shape, dtype) for dtype in self.otypes)
        return empty if len(empty) > 1 else empty[0]
    columns = [_elements(array, shape) for array in arrays]
    results = []
    for k in range(math.prod(shape)):
        these = list(args)
        for i, column in zip(places, columns, strict=False):
            these[i] = column[k]
        named = zip(names, columns[len(places) :], strict=True)
        results.append(self.pyfunc(*these, **(kwargs | {name: c[k] for name, c in named})))
    if not isinstance(results[0], tuple):
        return _joined(results, self.otypes[0] if self.otypes else None, shape)
    dtypes = self.otypes or [None] * len(results[0])
    return tuple(
        _joined(list(values), dtype, shape)
        for values, dtype in zip(zip(*results, strict=True), dtypes, strict=True)
    )


_plain = np.vectorize.__call__


@functools.wraps(_plain)
def _call(self: Any, *args: Any, **kwargs: Any) -> Any:
    traced = any(map(holds_operand, args)) or any(map(holds_operand, kwargs.values()))
    return _called(self, args, kwargs) if traced else _plain(self, *args, **kwargs)


METHOD_FRONTS.append((np.vectorize, "__call__", _call, _plain))
