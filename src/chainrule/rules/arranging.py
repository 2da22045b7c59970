"""NumPy's functions that change the shape or the order of axes, or turn an array around."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.exceptions import AxisError
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from chainrule.errors import NotDifferentiableError, TraceError
from chainrule.graph.operand import ADVICE, METHODS, Operand, bind
from chainrule.graph.primitive import Linear, Primitive
from chainrule.graph.tape import dtype_of, example, shape_of
from chainrule.graph.versions import is_view
from chainrule.rules.book import define, numpy_function
from chainrule.rules.shapes import COPY, astype, broadcast_to, ravel, reshape, transpose

# Turning an array around twice, and rolling it there and back, is the identity.
FLIP: Primitive = define(
    "flip", lambda x, axis: np.flip(x, axis),
    Linear(lambda ct, x, axis: bind(FLIP, (ct,), {"axis": axis})),
    elementwise=False, structure="permutation", axes=("axis",), view=True,
)  # fmt: skip
ROLL: Primitive = define(
    "roll", lambda x, shift, axis: np.roll(x, shift, axis),
    Linear(lambda ct, x, shift, axis:
           bind(ROLL, (ct,), {"shift": tuple(-s for s in shift), "axis": axis})),
    elementwise=False, structure="permutation", axes=("axis",),
)  # fmt: skip

# ------------------------------------------------------------------------------------------ shapes


def _order(a: Any, order: str, allowed: str) -> str:
    """``order`` as C, F or K: what A means is seen in the memory of the array."""
    order = order.upper()
    if order not in allowed:
        raise ValueError(f"order must be one of {', '.join(allowed)}, not {order!r}")
    if order in "CF" or np.ndim(a) < 2:
        return "F" if order == "F" else "C"
    return order if order == "K" else "F" if example(a).flags.fnc else "C"


def _in_order(a: Any, shape: Any, order: str) -> Any:
    """``reshape`` that reads and writes the elements with the first index changing fastest."""
    if order == "C":
        return reshape(a, shape)
    sizes = (shape,) if np.ndim(shape) == 0 else tuple(shape)
    return transpose(reshape(transpose(a), sizes[::-1]))


@numpy_function(np.reshape)
def _reshape(a: Any, /, shape: Any, order: str = "C", *, copy: bool | None = None) -> Any:
    if copy is False:
        raise TypeError("np.reshape of a traced value makes a new value: copy=False cannot be kept")
    return _in_order(a, shape, _order(a, order, "CFA"))


def _reshape_method(self: Operand, *shape: Any, order: str = "C", copy: bool | None = None) -> Any:
    sizes = shape[0] if len(shape) == 1 else shape
    if order == "C" and copy is None:
        return reshape(self, sizes)
    return _reshape(self, sizes, order, copy=copy)


@numpy_function(np.ravel, method="ravel")
def _ravel(a: Any, order: str = "C") -> Any:
    order = _order(a, order, "CFAK")
    memory = np.asarray(example(a))
    if order == "K":
        strides = memory.strides
        axes = sorted(range(np.ndim(a)), key=lambda i: -abs(strides[i]))
        a, memory = transpose(a, axes), memory.transpose(axes)
    elif order == "F":
        a, memory = transpose(a), memory.T
    # A view where the elements lie one behind the other; ``reshape`` makes more views than that.
    return ravel(a) if memory.flags.c_contiguous else copied(ravel(a))


@numpy_function(np.transpose, np.permute_dims)
def _transpose(a: Any, axes: Any = None) -> Any:
    return transpose(a, axes)


def _transpose_method(self: Operand, *axes: Any) -> Any:
    if len(axes) == 1 and (axes[0] is None or isinstance(axes[0], Iterable)):
        return transpose(self, axes[0])
    return transpose(self, axes or None)


@numpy_function(np.matrix_transpose)
def _matrix_transpose(x: Any, /) -> Any:
    if np.ndim(x) < 2:
        raise ValueError(
            f"Input array must be at least 2-dimensional, but it is {np.ndim(x)}-dimensional"
        )
    return _swapaxes(x, -1, -2)


@numpy_function(np.swapaxes, method="swapaxes")
def _swapaxes(a: Any, axis1: int, axis2: int) -> Any:
    axes = list(range(np.ndim(a)))
    one, two = (normalize_axis_index(axis, len(axes)) for axis in (axis1, axis2))
    axes[one], axes[two] = axes[two], axes[one]
    return transpose(a, axes)


@numpy_function(np.moveaxis)
def _moveaxis(a: Any, source: Any, destination: Any) -> Any:
    ndim = np.ndim(a)
    taken = normalize_axis_tuple(source, ndim, "source")
    placed = normalize_axis_tuple(destination, ndim, "destination")
    if len(taken) != len(placed):
        raise ValueError(
            "`source` and `destination` arguments must have the same number of elements"
        )
    order = [axis for axis in range(ndim) if axis not in taken]
    for place, axis in sorted(zip(placed, taken, strict=True)):
        order.insert(place, axis)
    return transpose(a, order)


@numpy_function(np.rollaxis)
def _rollaxis(a: Any, axis: int, start: int = 0) -> Any:
    ndim = np.ndim(a)
    axis = normalize_axis_index(axis, ndim)
    before = start + ndim if start < 0 else start
    if not 0 <= before <= ndim:
        raise AxisError(f"'start' must lie between {-ndim} and {ndim}, but it is {start}")
    return _moveaxis(a, axis, before - 1 if axis < before else before)


@numpy_function(np.expand_dims)
def _expand_dims(a: Any, axis: Any) -> Any:
    new = axis if isinstance(axis, tuple | list) else (axis,)
    ndim = np.ndim(a) + len(new)
    places = normalize_axis_tuple(new, ndim)
    sizes = iter(shape_of(a))
    return reshape(a, tuple(1 if i in places else next(sizes) for i in range(ndim)))


@numpy_function(np.squeeze, method="squeeze")
def _squeeze(a: Any, axis: Any = None) -> Any:
    shape = shape_of(a)
    if axis is None:
        return reshape(a, tuple(n for n in shape if n != 1))
    dropped = normalize_axis_tuple(axis, len(shape))
    if any(shape[i] != 1 for i in dropped):
        raise ValueError(
            f"cannot squeeze out an axis whose length is not 1: axis {axis} of shape {shape}"
        )
    return reshape(a, tuple(n for i, n in enumerate(shape) if i not in dropped))


@numpy_function(np.broadcast_to)
def _broadcast_to(array: Any, shape: Any, subok: bool = False) -> Any:
    sizes = tuple(shape) if isinstance(shape, Iterable) else (shape,)
    return broadcast_to(array, tuple(map(operator.index, sizes)))


@numpy_function(np.broadcast_arrays)
def _broadcast_arrays(*args: Any, subok: bool = False) -> tuple[Any, ...]:
    shape = np.broadcast_shapes(*map(np.shape, args))
    return tuple(broadcast_to(array, shape) for array in args)


# ------------------------------------------------------------------------------------ turned around


@numpy_function(np.flip)
def _flip(m: Any, axis: Any = None) -> Any:
    ndim = np.ndim(m)
    axes = tuple(range(ndim)) if axis is None else normalize_axis_tuple(axis, ndim)
    return bind(FLIP, (m,), {"axis": axes})


@numpy_function(np.flipud)
def _flipud(m: Any) -> Any:
    if np.ndim(m) < 1:
        raise ValueError("Input must be >= 1-d.")
    return _flip(m, 0)


@numpy_function(np.fliplr)
def _fliplr(m: Any) -> Any:
    if np.ndim(m) < 2:
        raise ValueError("Input must be >= 2-d.")
    return _flip(m, 1)


@numpy_function(np.rot90)
def _rot90(m: Any, k: int = 1, axes: Any = (0, 1)) -> Any:
    if len(axes) != 2:
        raise ValueError("len(axes) must be 2.")
    one, two = (normalize_axis_index(axis, np.ndim(m)) for axis in axes)
    if one == two:
        raise ValueError("Axes must be different.")
    quarters = k % 4
    if quarters == 0:
        return m[:]
    if quarters == 2:
        return _flip(m, (one, two))
    if quarters == 1:
        return _swapaxes(_flip(m, two), one, two)
    return _flip(_swapaxes(m, one, two), two)


@numpy_function(np.roll)
def _roll(a: Any, shift: Any, axis: Any = None) -> Any:
    if axis is None:
        if np.ndim(a) == 1:
            return _roll(a, shift, 0)
        return copied(reshape(_roll(ravel(a), shift, 0), shape_of(a)))
    axes = normalize_axis_tuple(axis, np.ndim(a), allow_duplicate=True)
    pairs = np.broadcast(shift, axes)
    if pairs.ndim > 1:
        raise ValueError("'shift' and 'axis' should be scalars or 1D sequences")
    shifts = dict.fromkeys(axes, 0)
    for by, along in pairs:
        shifts[along] += int(by)
    return bind(ROLL, (a,), {"shift": tuple(shifts.values()), "axis": tuple(shifts)})


# ----------------------------------------------------------------------- copies, dtypes, attributes


def copied(x: Any) -> Any:
    """A value of its own: assigning to one does not change the other."""
    if not isinstance(x, Operand):
        return np.array(x)
    return bind(COPY, (x,)) if is_view(x) else x.alias()


@numpy_function(np.copy)
def _copy(a: Any, order: str = "K", subok: bool = False) -> Any:
    return copied(a)


def _copy_method(self: Operand, order: str = "C") -> Any:
    if order == "C" and not np.asarray(example(self)).flags.c_contiguous:
        return reshape(copied(ravel(self)), shape_of(self))  # its elements in the order of indices
    return copied(self)


def _flatten(self: Operand, order: str = "C") -> Any:
    return copied(_ravel(self, order))


def _astype_method(
    self: Operand, dtype: Any, order: str = "K", casting: str = "unsafe", subok: bool = True,
    copy: bool = True,
) -> Any:  # fmt: skip
    wanted = np.dtype(dtype)
    if not np.can_cast(dtype_of(self), wanted, casting):  # type: ignore[arg-type]
        raise TypeError(
            f"Cannot cast array data from {dtype_of(self)!r} to {wanted!r} "
            f"according to the rule {casting!r}"
        )
    if wanted.kind not in "fiub":
        raise NotDifferentiableError(
            f"a traced value cannot be cast to {wanted}: derivatives are taken of real numbers"
        )
    if wanted == dtype_of(self):
        return copied(self) if copy else self
    return astype(self, wanted)


def _astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Any:
    return _astype_method(x, dtype, copy=copy)


@numpy_function(np.real)
def _real(val: Any) -> Any:
    return val


@numpy_function(np.imag)
def _imag(val: Any) -> Any:
    return np.zeros(shape_of(val), dtype_of(val))[()]


def _not_a_list(name: str) -> Callable[..., Any]:
    def method(self: Operand, *args: Any) -> Any:
        self.refuse_leak()
        raise TraceError(
            f"{name}() of a traced value would make plain Python numbers, and lose its gradient.\n"
            "Go on with the traced value itself: x[i] is an element of it, x.reshape(()) the only "
            "one, list(x) its elements. To look at numbers: cr.stop_gradient(x)."
        )

    return method


_MEMORY = ".\nIt stands for numbers, not for memory that could be looked at or reinterpreted."
ADVICE |= dict.fromkeys(
    ("strides", "flags", "data", "base", "ctypes", "view", "tobytes", "byteswap", "setflags"),
    _MEMORY,
)
ADVICE["__array_interface__"] = (
    f"{_MEMORY}\nFor as_strided write sliding_window_view, or index with an array of places."
)
# What arrays have elsewhere.
ADVICE |= {
    "at": ".\nAssign to it as to any array: y = x.copy(); y[i] = v; y[j] += w.",
    "detach": ".\nWrite cr.stop_gradient(x).",
    "numpy": ".\nWrite cr.stop_gradient(x) for plain numbers without a derivative.",
    "clone": ".\nWrite x.copy().",
    "unsqueeze": ".\nWrite np.expand_dims(x, axis), or x[..., None].",
    "permute": ".\nWrite x.transpose(axes).",
    "backward": ".\nDerivatives are functions of functions: cr.grad(f)(x).",
}
ADVICE["view"] = f"{_MEMORY}\nFor another shape write x.reshape(shape)."
ADVICE["resize"] = ".\nIts size stays as it is: np.resize(x, shape) makes a new value."
ADVICE["coords"] = ".\nWrite for i in np.ndindex(x.shape) and x[i], not np.ndenumerate."


if hasattr(np, "astype"):  # since NumPy 2.1
    numpy_function(np.astype)(_astype)
METHODS |= {
    "reshape": _reshape_method,
    "transpose": _transpose_method,
    "flatten": _flatten,
    "copy": _copy_method,
    "astype": _astype_method,
    "item": _not_a_list("item"),
    "tolist": _not_a_list("tolist"),
    # A traced value is real.
    "conj": _copy_method,
    "conjugate": _copy_method,
}
_ATTRIBUTES: dict[str, Callable[[Any], Any]] = {
    "T": transpose,
    "mT": _matrix_transpose,
    "real": _real,
    "imag": _imag,
    "itemsize": lambda x: x.dtype.itemsize,
    "nbytes": lambda x: x.dtype.itemsize * x.size,
}
for _name, _attribute in _ATTRIBUTES.items():
    setattr(Operand, _name, property(_attribute))
