"""Assignment in place: ``a[i] = v``, ``a += v``, ``np.add.at``, ``np.put`` and their relatives.

The value of the array stays as it was; the object moves on to a new record (``graph/versions.py``).
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.errors import TraceError
from chainrule.graph.operand import METHODS, UFUNC_METHODS, UFUNCS, Operand, bind, concrete
from chainrule.graph.primitive import Flat, Linear
from chainrule.graph.tape import dtype_of, example, shape_of
from chainrule.graph.versions import (
    WRITING,
    assigned,
    is_number,
    is_view,
    owner,
    view_of,
)
from chainrule.rules import batching
from chainrule.rules.arranging import FLIP
from chainrule.rules.book import define, numpy_function
from chainrule.rules.joining import gathered
from chainrule.rules.shapes import (
    INDEX,
    RESHAPE,
    SCATTER,
    TRANSPOSE,
    array_of,
    broadcast_to,
    cast,
    joined_index,
    ravel,
    reshape,
    split_index,
    sum_to,
    transpose,
)


def _replaced(x: Any, value: Any, *arrays: Any, index: tuple[Any, ...]) -> Any:
    out = np.array(x)
    out[joined_index(index, arrays)] = value
    return out


def _last_written(value: Any, *arrays: Any, index: tuple[Any, ...], shape: Any) -> Any:
    """Where an element of the value is still there when a place was written more than once."""
    number = np.arange(np.size(value)).reshape(np.shape(value))
    written = np.zeros(shape, np.intp)
    written[joined_index(index, arrays)] = number
    return written[joined_index(index, arrays)] == number


LAST_WRITTEN = define(
    "last_written", _last_written, Flat("which element was written last"),
    elementwise=False, structure="step", recorded=False,
)  # fmt: skip


def _what_is_left(ct: Any, x: Any, value: Any, *arrays: Any, index: tuple[Any, ...]) -> Any:
    """The cotangent without what was overwritten."""
    zero = np.zeros(shape_of(value), dtype_of(ct))
    return bind(REPLACE, (ct, zero, *arrays), {"index": index})


def _what_was_written(ct: Any, x: Any, value: Any, *arrays: Any, index: tuple[Any, ...]) -> Any:
    """The cotangent of the places that were written."""
    written = bind(INDEX, (ct, *arrays), {"index": index})
    if any(dtype_of(a) != np.bool_ for a in arrays):
        attrs = {"index": index, "shape": shape_of(x)}
        # Integers may name a place more than once: the last one is in the array.
        last = bind(LAST_WRITTEN, (np.zeros(shape_of(written)), *arrays), attrs)
        written = np.where(last, written, 0)
    return sum_to(written, shape_of(value))


REPLACE = define(
    "replace", _replaced,
    Linear(_what_is_left, selects=True), Linear(_what_was_written, selects=True), Flat("an index"),
    elementwise=False, structure="selection", batch=batching.replace,
)  # fmt: skip


def replaced(x: Any, index: Any, value: Any) -> Any:
    """``x`` with ``value`` at an index: what ``x[index] = value`` makes of it."""
    mask = concrete(index)
    if isinstance(mask, Operand) and dtype_of(mask) == np.bool_ and not shape_of(value):
        # One number for all elements, wherever they are: this needs no places.
        behind = (1,) * (len(shape_of(x)) - len(shape_of(mask)))
        return np.where(reshape(mask, (*shape_of(mask), *behind)), cast(value, x), x)
    template, arrays = split_index(index)
    place = shape_of(np.broadcast_to(np.empty(()), shape_of(x))[joined_index(
        template, [np.zeros(shape_of(a), dtype_of(a)) if isinstance(a, Operand) else a
                   for a in arrays])])  # fmt: skip
    value = array_of(value)
    if shape_of(value) != place:
        extra = len(shape_of(value)) - len(place)
        if extra > 0 and shape_of(value)[:extra] == (1,) * extra:
            value = reshape(value, shape_of(value)[extra:])
        try:
            fits = np.broadcast_shapes(shape_of(value), place) == place
        except ValueError:
            fits = False
        if not fits:
            raise ValueError(
                f"could not broadcast input array from shape {shape_of(value)} into shape {place}"
            )
        value = broadcast_to(value, place)
    return bind(REPLACE, (x, cast(value, x), *arrays), {"index": template})


# ``a.flat`` is no array: it can be written through even where the elements do not lie in order.
FLAT = define(
    "flat", lambda x: np.asarray(x).reshape(-1),
    Linear(lambda ct, x: reshape(ct, shape_of(x))), elementwise=False, structure="permutation",
    batch=batching.flat, view=True,
)  # fmt: skip


def _flat(self: Operand) -> Any:
    inside = len(shape_of(self)) > 1 and not np.asarray(example(self)).flags.c_contiguous
    return bind(FLAT, (self,)) if inside else ravel(self)


setattr(Operand, "flat", property(_flat))  # noqa: B010 - declared where the rows are known

WRITING.update({
    INDEX: lambda array, new, attrs: bind(REPLACE, (array, new), attrs),
    RESHAPE: lambda array, new, attrs: reshape(new, shape_of(array)),
    TRANSPOSE: lambda array, new, attrs: transpose(new, np.argsort(attrs["axes"])),
    FLIP: lambda array, new, attrs: bind(FLIP, (new,), attrs),
    FLAT: lambda array, new, attrs: reshape(new, shape_of(array)),
})  # fmt: skip


def _setitem(self: Operand, index: Any, value: Any) -> None:
    # ``a[i] += v`` writes through the view ``a[i]``, and then Python assigns it to its own place.
    view = view_of(value)
    if view is not None and view.base is self and view.primitive is INDEX:
        template, arrays = split_index(index)
        if not arrays and template == view.attrs["index"]:
            return
    if _reads_what_it_writes(self, index, value):
        raise TraceError(
            "a[mask] = v where v is a view of a: NumPy reads v while it writes into it.\n"
            "Make a copy first: v = v.copy()."
        )
    assigned(self, lambda a: replaced(a, index, value))


def _reads_what_it_writes(target: Operand, index: Any, value: Any) -> bool:
    """Whether NumPy would not see to it that the value is as it was before."""
    parts = index if isinstance(index, tuple) else (index,)
    if not any(getattr(part, "dtype", None) == np.bool_ for part in parts):
        return False
    return bool(shape_of(value)) and is_view(value) and owner(value) is owner(target)


setattr(Operand, "__setitem__", _setitem)  # noqa: B010 - declared where the rows are known


def _in_place(name: str, operation: Callable[[Any, Any], Any]) -> None:
    def method(self: Operand, other: Any) -> Any:
        if is_number(self):
            return operation(self, other)  # the name is bound to the result

        def make(a: Any) -> Any:
            new = operation(a, other)
            if shape_of(new) != shape_of(a):
                raise ValueError(
                    f"an operation in place gives shape {shape_of(new)} for an array of shape "
                    f"{shape_of(a)}"
                )
            return cast(new, a)

        assigned(self, make)
        return self

    setattr(Operand, f"__{name}__", method)


for _name in ("iadd", "isub", "imul", "itruediv", "ipow", "imatmul", "ifloordiv", "imod"):
    _in_place(_name, getattr(operator, _name[1:]))


def _at(ufunc: Any, args: tuple[Any, ...], options: Any) -> Any:
    """``np.add.at(a, index, v)`` and its like: every mention of a place counts."""
    if options or not isinstance(args[0], Operand):
        if isinstance(args[0], np.ndarray):
            raise TraceError(
                f"np.{ufunc.__name__}.at would put a traced value into a plain array, and its "
                "gradient would be lost.\nMake the array with np.zeros_like(x) or "
                "np.zeros(n, like=x) of a traced x."
            )
        return NotImplemented
    a, index, *values = args
    if ufunc is np.add or ufunc is np.subtract:
        template, arrays = split_index(index)

        def added(x: Any) -> Any:
            place = shape_of(bind(INDEX, (x, *arrays), {"index": template}))
            attrs = {"index": template, "shape": shape_of(x)}
            value = broadcast_to(gathered(values[0]), place)
            change = bind(SCATTER, (cast(value, x), *arrays), attrs)
            return UFUNCS[ufunc].evaluate(x, change)

        return assigned(a, added)
    if ufunc.nin == 1 and ufunc in UFUNCS:
        return assigned(a, lambda x: replaced(x, index, ufunc(x[index])))
    return NotImplemented


UFUNC_METHODS["at"] = _at


def _an_array(method: str, target: Any) -> None:
    """NumPy's numbers have these methods too, and they do nothing."""
    if is_number(target):
        raise TraceError(
            f"a.{method}() of a traced number: an array of no dimensions would change, a number "
            "would not.\nGive the new value a name instead."
        )


def _fill(self: Operand, value: Any) -> None:
    _an_array("fill", self)
    _setitem(self, ..., value)


def _sort_in_place(self: Operand, axis: int = -1, kind: Any = None, order: Any = None) -> None:
    assigned(self, lambda a: np.sort(a, axis=axis))


METHODS["fill"] = _fill
METHODS["sort"] = _sort_in_place


@numpy_function(np.copyto)
def _copyto(dst: Any, src: Any, casting: str = "same_kind", where: Any = True) -> None:
    _traced_target("np.copyto", dst)
    assigned(dst, lambda a: cast(np.where(where, src, a), a))


@numpy_function(np.putmask)
def _putmask(a: Any, /, mask: Any, values: Any) -> None:
    _traced_target("np.putmask", a)
    assigned(a, lambda x: cast(np.where(mask, np.resize(values, shape_of(x)), x), x))


@numpy_function(np.place)
def _place(arr: Any, mask: Any, vals: Any) -> None:
    _traced_target("np.place", arr)
    if isinstance(concrete(mask), Operand) and np.size(vals) == 1:
        assigned(arr, lambda x: cast(np.where(mask, reshape(gathered(vals), ()), x), x))
        return
    _, (places,) = split_index(mask)
    count = int(np.count_nonzero(places))
    assigned(arr, lambda x: replaced(x, places.astype(bool), np.resize(vals, (count,))))


@numpy_function(np.put, method="put")
def _put(a: Any, ind: Any, v: Any, mode: str = "raise") -> None:
    _traced_target("np.put", a)
    _an_array("put", a)
    places = np.asarray(ind).ravel()
    size = int(np.size(a))
    if mode != "raise":
        places = places % size if mode == "wrap" else np.clip(places, 0, size - 1)

    def put(x: Any) -> Any:
        flat = replaced(reshape(x, (size,)), places, np.resize(v, places.shape))
        return reshape(flat, shape_of(x))

    assigned(a, put)


@numpy_function(np.put_along_axis)
def _put_along_axis(arr: Any, indices: Any, values: Any, axis: Any) -> None:
    _traced_target("np.put_along_axis", arr)

    def put(x: Any) -> Any:
        if axis is None:
            return reshape(replaced(reshape(x, (-1,)), indices, values), shape_of(x))
        where = np.ix_(*map(np.arange, shape_of(x)))  # indices may be broadcast
        at = axis % len(shape_of(x))
        return replaced(x, (*where[:at], indices, *where[at + 1 :]), values)

    assigned(arr, put)


@numpy_function(np.fill_diagonal)
def _fill_diagonal(a: Any, val: Any, wrap: bool = False) -> None:
    _traced_target("np.fill_diagonal", a)
    if wrap:
        raise TraceError("np.fill_diagonal of a traced array does not take wrap=True.")
    number = min(shape_of(a))
    places = (np.arange(number),) * len(shape_of(a))
    values = np.resize(val, (number,)) if np.ndim(val) else val
    assigned(a, lambda x: replaced(x, places, values))


def _traced_target(function: str, target: Any) -> None:
    if not isinstance(target, Operand):
        raise TraceError(
            f"{function} would put a traced value into a plain array, and its gradient would be "
            "lost.\nMake the array with np.zeros_like(x) or np.zeros(n, like=x) of a traced x."
        )
