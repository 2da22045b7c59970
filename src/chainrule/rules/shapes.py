"""Operations that only move elements: their derivative is the same move, backwards."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.errors import TraceError
from chainrule.graph.operand import Operand, bind, concrete
from chainrule.graph.primitive import Flat, Linear, Primitive
from chainrule.graph.tape import PLAIN, dtype_of, known, shape_of
from chainrule.rules import batching
from chainrule.rules.batching import ARRAY
from chainrule.rules.book import define, numpy_function

# Arrays of up to this many elements are copied where a view would take longer to make.
_SMALL = 4096
# What ``np.sum`` comes to in the end.
add_up: Any = np.add.reduce


def reshape(x: Any, shape: Any) -> Any:
    """``np.reshape(x, shape)`` on arrays and operands alike."""
    if type(x) is np.ndarray:  # nothing to be recorded
        if type(shape) is tuple and shape == x.shape:
            return x
        found = x.reshape(shape)
        return found if found.ndim else found[()]
    before = shape_of(x)
    if type(shape) is tuple:
        if shape == before:
            return x
        known = _INTEGERS.issuperset(map(type, shape))
        sizes = _known_sizes(shape, before) if known else _sizes(shape, before)
    else:
        several = isinstance(shape, list) or np.ndim(shape) > 0
        sizes = _sizes(shape if several else (shape,), before)
    if isinstance(x, Operand):  # what ``bind`` does
        return x.apply(RESHAPE, (x,), {"shape": sizes})
    return RESHAPE.evaluate(x, shape=sizes)


_INTEGERS = frozenset((int,))


def _sizes(shape: Any, before: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that is asked for, its −1 worked out."""
    sizes = tuple([int(n) for n in shape])
    if -1 in sizes:
        if sizes.count(-1) > 1:
            raise ValueError("can only specify one unknown dimension")
        known = -math.prod(sizes)
        rest = math.prod(before) // known if known else 0
        sizes = tuple([rest if n == -1 else n for n in sizes])
    return sizes


_known_sizes = functools.lru_cache(maxsize=4096)(_sizes)


def ravel(x: Any) -> Any:
    """``np.ravel(x)`` on arrays and operands alike."""
    return reshape(x, (math.prod(shape_of(x)),))


def transpose(x: Any, axes: Any = None) -> Any:
    """``np.transpose(x, axes)`` on arrays and operands alike."""
    if type(x) is np.ndarray:  # nothing to be recorded
        return x.transpose(axes)
    ndim = len(shape_of(x))
    order = range(ndim)[::-1] if axes is None else [operator.index(a) for a in axes]
    if sorted(a % ndim if ndim else a for a in order) != list(range(ndim)):
        raise ValueError(f"axes {tuple(order)} are no order of the {ndim} axes of the array")
    return bind(TRANSPOSE, (x,), {"axes": tuple(a % ndim for a in order)})


def broadcast_to(x: Any, shape: tuple[int, ...]) -> Any:
    """``np.broadcast_to(x, shape)`` on arrays and operands alike."""
    if shape_of(x) == shape:
        return x
    return repeated(x, shape) if type(x) in PLAIN else bind(BROADCAST, (x,), {"shape": shape})


def cast(x: Any, like: Any) -> Any:
    """``x`` in the dtype of ``like``, on arrays and operands alike."""
    dtype = dtype_of(like)
    return x if dtype_of(x) == dtype else astype(x, dtype)


def astype(x: Any, dtype: Any) -> Any:
    """``x`` in a dtype, on arrays and operands alike.

    Floats stay part of the computation; whole numbers and truth values are steps.
    """
    if dtype_of(x) == dtype:
        return x
    steps = isinstance(x, Operand) and dtype.kind in "iub"
    return bind(TRUNCATE if steps else CAST, (x,), {"dtype": dtype})


def floating(x: Any) -> Any:
    """``x`` as an array or operand of floats: whole numbers and truth values in float64."""
    x = array_of(x)
    return astype(x, np.dtype(np.float64)) if dtype_of(x).kind in "iub" else x


def array_of(x: Any) -> Any:
    """An operand as it is, anything else as an array."""
    return x if isinstance(x, Operand) else np.asarray(x)


def sum_to(x: Any, shape: tuple[int, ...]) -> Any:
    """The transpose of ``broadcast_to``: sum over whatever broadcasting repeated."""
    wide = shape_of(x)
    if wide == shape:
        return x
    extra = len(wide) - len(shape)
    if type(x) is np.ndarray:
        if extra == 1 and wide[1:] == shape:  # a bias, and the batch that it is added to
            return add_up(x, 0)
        total = add_up(x, _repeated(wide, shape), None, None, True)
        return total.reshape(shape)[()] if extra else total
    axes = _repeated(wide, shape)
    return reshape(np.sum(x, axis=axes, keepdims=True) if axes else x, shape)


@functools.lru_cache(maxsize=4096)
def _repeated(wide: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    """The axes along which broadcasting to ``wide`` repeats an array of ``shape``."""
    extra = len(wide) - len(shape)
    inner = range(extra, len(wide))
    return (*range(extra), *(i for i in inner if shape[i - extra] == 1 != wide[i]))


def split_index(index: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """An index as a row takes it: what stands still in its attributes, arrays among its arguments.

    Returns:
        The index as a tuple with ``ARRAY`` in place of each array, and the arrays.
    """
    parts = index if isinstance(index, tuple) else (index,)
    template: list[Any] = []
    arrays: list[Any] = []
    for part in map(concrete, parts):
        if part is None or part is Ellipsis or isinstance(part, slice):
            template.append(part)
        elif isinstance(part, int | np.integer) and not isinstance(part, bool):
            template.append(int(part))
        else:
            template.append(ARRAY)
            arrays.append(_index_array(part))
    return tuple(template), tuple(arrays)


def written_out(template: tuple[Any, ...], ndim: int) -> list[Any]:
    """An index with as many parts as it has axes (and new axes)."""
    taken = sum(1 for part in template if part is not None and part is not Ellipsis)
    parts: list[Any] = []
    for part in template:
        if part is Ellipsis:
            parts.extend([slice(None)] * (ndim - taken))
        else:
            parts.append(part)
    if Ellipsis not in template:
        parts.extend([slice(None)] * (ndim - taken))
    return parts


def _index_array(part: Any) -> Any:
    if isinstance(part, Operand) and dtype_of(part) == np.bool_:
        part = known(part)
    if isinstance(part, Operand):
        if dtype_of(part) == np.bool_ and not part.symbol:
            raise TraceError(
                "x[mask] where one run stands for many (vmap, the body of a loop): how many "
                "elements it picks would differ from run to run.\nWrite np.where(mask, x, 0)."
            )
        return part
    array = np.asarray(part)
    # An empty list is an index of nothing; NumPy makes it an array of floats.
    return array.astype(np.intp) if array.size == 0 and array.dtype.kind == "f" else array


def joined_index(template: tuple[Any, ...], arrays: Sequence[Any]) -> Any:
    """The index that NumPy takes: the inverse of ``split_index``."""
    rest = iter(arrays)
    index = tuple(next(rest) if part is ARRAY else part for part in template)
    return index[0] if len(index) == 1 else index


def _index(x: Any, *arrays: Any, index: tuple[Any, ...]) -> Any:
    return x[joined_index(index, arrays)]


def _add_at(total: Any, ct: Any, x: Any, *arrays: Any, index: tuple[Any, ...]) -> None:
    """Add to the places of an index, each as often as it is named."""
    if arrays:
        np.add.at(total, joined_index(index, arrays), ct)
    else:
        total[joined_index(index, ())] += ct


def _scatter(x: Any, *arrays: Any, index: tuple[Any, ...], shape: tuple[int, ...]) -> Any:
    """Zeros of ``shape`` with ``x`` added at the index: the transpose of indexing."""
    out = np.zeros(shape, np.result_type(x))
    if arrays:
        np.add.at(out, joined_index(index, arrays), x)  # places may be named more than once
    else:
        out[joined_index(index, ())] = x
    return out


def repeated(x: Any, shape: tuple[int, ...]) -> Any:
    """``broadcast_to`` of a plain value.

    Small arrays are written out: that is faster than NumPy's making of a view.
    """
    if math.prod(shape) > _SMALL:
        return np.broadcast_to(x, shape)
    out = np.empty(shape, dtype_of(x))
    out[...] = x
    return out


RESHAPE = define(
    "reshape", lambda x, shape: (x if type(x) is np.ndarray else np.asarray(x)).reshape(shape),
    Linear(lambda ct, x, shape: reshape(ct, shape_of(x))),
    elementwise=False, structure="permutation", shapes=("shape",), view=True,
)  # fmt: skip
TRANSPOSE = define(
    "transpose", lambda x, axes: np.transpose(x, axes),
    Linear(lambda ct, x, axes: transpose(ct, np.argsort(axes))),
    text="({0})ᵀ", latex=r"{0}^{{\top}}", elementwise=False, structure="permutation",
    batch=batching.transpose, view=True,
)  # fmt: skip
BROADCAST = define(
    "broadcast_to", repeated,
    Linear(lambda ct, x, shape: sum_to(ct, shape_of(x))),
    text="broadcast", elementwise=False, structure="repetition", shapes=("shape",), view=True,
)  # fmt: skip
INDEX: Primitive = define(
    "index", _index,
    Linear(
        lambda ct, x, *arrays, index:
            bind(SCATTER, (ct, *arrays), {"index": index, "shape": np.shape(x)}),
        selects=True, add_into=_add_at,
    ),
    Flat("an index"),
    elementwise=False, structure="selection", batch=batching.index, view=True,
)  # fmt: skip
CAST = define(
    "astype", lambda x, dtype: np.asarray(x).astype(dtype),
    Linear(lambda ct, x, dtype: cast(ct, x)),
    elementwise=False, structure="identity", stacked=(0,),
)  # fmt: skip
COPY = define(
    "copy", lambda x: np.array(x), Linear(lambda ct, x: ct),
    text="{0}", latex="{0}", elementwise=False, structure="identity", stacked=(0,),
)
TRUNCATE = define(
    "truncate", lambda x, dtype: np.asarray(x).astype(dtype),
    Flat("constant between its jumps: derivative 0 where it exists"),
    elementwise=False, structure="step", stacked=(0,), recorded=False,
)  # fmt: skip
SCATTER: Primitive = define(
    "scatter", _scatter,
    Linear(lambda ct, x, *arrays, index, shape: bind(INDEX, (ct, *arrays), {"index": index})),
    Flat("an index"),
    elementwise=False, structure="selection", batch=batching.scatter,
)  # fmt: skip


def _getitem(self: Operand, index: Any) -> Any:
    template, arrays = split_index(index)
    return bind(INDEX, (self, *arrays), {"index": template})


setattr(Operand, "__getitem__", _getitem)  # noqa: B010 - declared where the rows are known


@numpy_function(np.shape)
def _shape(a: Any) -> tuple[int, ...]:
    return tuple(a.shape)


@numpy_function(np.ndim)
def _ndim(a: Any) -> int:
    return int(a.ndim)


@numpy_function(np.size)
def _size(a: Any, axis: int | None = None) -> int:
    return int(a.size) if axis is None else int(a.shape[axis])


@numpy_function(np.result_type)
def _result_type(*operands: Any) -> Any:
    return np.result_type(*(o.dtype if isinstance(o, Operand) else o for o in operands))
