"""New arrays beside traced ones: they are part of the computation, so that they can be assigned to.

``np.zeros_like(x)``, ``np.zeros(n, like=x)`` and ``np.array([u, v])`` of traced values give traced
arrays. Whole numbers and conditions stay plain arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.graph.fronts import FRONTS, innermost
from chainrule.graph.operand import CREATORS, Operand
from chainrule.graph.tape import dtype_of, shape_of
from chainrule.rules.arranging import copied
from chainrule.rules.book import numpy_function
from chainrule.rules.choosing import take
from chainrule.rules.joining import gathered
from chainrule.rules.shapes import astype, broadcast_to, cast, reshape


def _beside(operand: Operand, array: Any) -> Any:
    """A new array as a part of the computation, if there can be a derivative in it.

    It belongs to the innermost computation that is going on, so that all values there are may be
    assigned to it.
    """
    if array.dtype.kind != "f" or not array.shape:
        return array
    run = innermost()
    if run is None or run.computation.level < operand.level:
        return operand.constant(array)
    return run.computation.constant(array)


def _shape(shape: Any) -> tuple[int, ...]:
    return (int(shape),) if np.ndim(shape) == 0 else tuple(map(int, shape))


def _constant_like(function: Any) -> None:
    @numpy_function(function)
    def adapter(
        a: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None, *,
        device: Any = None,
    ) -> Any:  # fmt: skip
        prototype = np.broadcast_to(np.empty((), a.dtype), a.shape)
        return _beside(a, function(prototype, dtype=dtype, shape=shape))


for _alike in (np.zeros_like, np.ones_like, np.empty_like):
    _constant_like(_alike)


@numpy_function(np.full_like)
def _full_like(
    a: Any, fill_value: Any, dtype: Any = None, order: str = "K", subok: bool = True,
    shape: Any = None, *, device: Any = None,
) -> Any:  # fmt: skip
    wanted = dtype_of(a) if dtype is None else np.dtype(dtype)
    sizes = shape_of(a) if shape is None else _shape(shape)
    if not isinstance(fill_value, Operand):
        return _beside(a, np.full(sizes, fill_value, wanted))
    return copied(broadcast_to(astype(fill_value, wanted), sizes))


def _new_array(function: Any) -> None:
    def creator(like: Operand, *args: Any, **kwargs: Any) -> Any:
        return _beside(like, function(*args, **kwargs))

    CREATORS[function] = creator


for _new in (np.zeros, np.ones, np.empty, np.eye, np.identity, np.tri, np.arange):
    _new_array(_new)


def _full(like: Operand, shape: Any, fill_value: Any, dtype: Any = None, **kwargs: Any) -> Any:
    if isinstance(fill_value, Operand):
        filled = fill_value if dtype is None else astype(fill_value, np.dtype(dtype))
        return copied(broadcast_to(filled, _shape(shape)))
    return _beside(like, np.full(shape, fill_value, dtype))


CREATORS[np.full] = _full


def _array(
    object: Any, dtype: Any = None, *, copy: Any = True, order: str = "K", subok: bool = False,
    ndmin: int = 0, ndmax: int = 0,
) -> Any:  # fmt: skip
    """``np.array`` of something that holds operands."""
    value = gathered(object)
    if dtype is not None and isinstance(value, Operand):
        value = astype(value, np.dtype(dtype))
    if value is object and copy is True:
        value = copied(value)
    missing = ndmin - len(shape_of(value))
    return reshape(value, (1,) * missing + shape_of(value)) if missing > 0 else value


def _asarray(a: Any, dtype: Any = None, order: Any = None, **kwargs: Any) -> Any:
    """``np.asarray`` of something that holds operands."""
    return _array(a, dtype, copy=kwargs.get("copy"))


def _filled(shape: Any, fill_value: Any, dtype: Any = None, **kwargs: Any) -> Any:
    """``np.full`` with a traced value."""
    return _full(fill_value, shape, fill_value, dtype)


FRONTS.update(
    array=_array, asarray=_asarray, asanyarray=_asarray, ascontiguousarray=_asarray,
    asfortranarray=_asarray, asarray_chkfinite=_asarray, full=_filled,
    take=take,  # NumPy asks only the array, not the places
)  # fmt: skip


def _also_without_front(function: Callable[..., Any], adapter: Callable[..., Any]) -> None:
    """``np.array(…, like=x)``: NumPy hands it over by itself."""
    CREATORS[function] = lambda like, *args, **kwargs: (
        result if isinstance(result := adapter(*args, **kwargs), Operand) else _beside(like, result)
    )


_MADE_OF_LISTS: dict[Any, Callable[..., Any]] = {
    np.array: _array, np.asarray: _asarray, np.asanyarray: _asarray,
    np.ascontiguousarray: _asarray, np.asfortranarray: _asarray,
}  # fmt: skip
for _function, _adapter in _MADE_OF_LISTS.items():
    _also_without_front(_function, _adapter)


@numpy_function(np.linspace)
def _linspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, retstep: bool = False,
    dtype: Any = None, axis: int = 0, *, device: Any = None,
) -> Any:  # fmt: skip
    steps = num - 1 if endpoint else num
    parts = np.arange(num) / max(steps, 1)
    wide = np.broadcast_shapes(shape_of(start), shape_of(stop))
    parts = cast(reshape(parts, (num, *(1,) * len(wide))), start * 1.0 + stop * 1.0)
    values = start * (1 - parts) + stop * parts
    values = values if axis == 0 else np.moveaxis(values, 0, axis)
    values = values if dtype is None else astype(values, np.dtype(dtype))
    return (values, (stop - start) / steps) if retstep else values


@numpy_function(np.logspace)
def _logspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, base: Any = 10.0,
    dtype: Any = None, axis: int = 0,
) -> Any:  # fmt: skip
    values = np.power(base, _linspace(start, stop, num, endpoint, axis=axis))
    return values if dtype is None else astype(values, np.dtype(dtype))


@numpy_function(np.geomspace)
def _geomspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0
) -> Any:
    sign = np.sign(start)
    logs = _linspace(np.log(abs(start)), np.log(abs(stop)), num, endpoint, axis=axis)
    values = sign * np.exp(logs)
    return values if dtype is None else astype(values, np.dtype(dtype))
