"""Batches of the few operations whose attributes do not simply move over by an axis.

Each function is a row's ``batch``: the batch is the first axis of the arguments that are
``batched``, and the first axis of what is returned.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.graph.batch import aligned, each
from chainrule.graph.operand import Attrs, bind
from chainrule.graph.primitive import Primitive
from chainrule.graph.tape import dtype_of, shape_of

# Stands in an index where one of the row's arguments goes.
ARRAY = "array"

Flags = tuple[bool, ...]


def transpose(row: Primitive, size: int, args: Sequence[Any], batched: Flags, attrs: Attrs) -> Any:
    """The batch stays in front."""
    return bind(row, tuple(args), {"axes": (0, *(a + 1 for a in attrs["axes"]))})


def flat(row: Primitive, size: int, args: Sequence[Any], batched: Flags, attrs: Attrs) -> Any:
    """One row for each value of the batch."""
    return np.reshape(args[0], (size, math.prod(shape_of(args[0])[1:])))


def matmul(row: Primitive, size: int, args: Any, batched: Flags, attrs: Attrs) -> Any:
    """Vectors of a batch become the rows or columns of matrices."""
    a, b = args
    ndims = [len(shape_of(x)) - is_batched for x, is_batched in zip(args, batched, strict=True)]
    if ndims[0] == 1 and batched[0] and not batched[1] and ndims[1] <= 2:
        return bind(row, (a, b), attrs)  # the vectors are the rows of one matrix
    dropped: list[int] = []
    if ndims[0] == 1 and batched[0]:
        a = np.expand_dims(a, -2)
        dropped.append(-2)
    if ndims[1] == 1 and batched[1]:
        b = np.expand_dims(b, -1)
        dropped.append(-1)
    cores = [2 if own else min(n, 2) for n, own in zip(ndims, batched, strict=True)]
    product = bind(row, aligned((a, b), batched, cores), attrs)
    return np.squeeze(product, tuple(dropped)) if dropped else product


def index(row: Primitive, size: int, args: Any, batched: Flags, attrs: Attrs) -> Any:
    """Indexing with the batch in front, or with an index of its own for each value."""
    x, *arrays = args
    x_batched, *own = batched
    template = _whole(attrs["index"], arrays, own, len(shape_of(x)) - x_batched)
    advanced = [i for i, part in enumerate(template) if _is_advanced(part, arrays)]
    together = not advanced or advanced[-1] - advanced[0] == len(advanced) - 1
    if not any(own):
        if together:
            return bind(row, (x, *arrays), {"index": (slice(None), *template)})
        return each(row, size, args, batched, attrs)
    if not together:
        return each(row, size, args, batched, attrs)
    arrays = list(aligned(arrays, own))
    before = sum(1 for part in template[: advanced[0]] if not isinstance(part, int))
    if not x_batched:
        found = bind(row, (x, *arrays), {"index": template})
        return np.moveaxis(found, before, 0)
    places, width = _places(size, arrays, own)
    found = bind(row, (x, places, *arrays), {"index": (ARRAY, *template)})
    # Arrays that do not stand together put their axes first: batch, theirs, then the others.
    if advanced[0] == 0:
        return found
    return _axes_moved(found, width, before)


def _axes_moved(found: Any, width: int, before: int) -> Any:
    """(batch, index axes, before, behind) → (batch, before, index axes, behind)."""
    ndim = len(shape_of(found))
    first = tuple(range(1, 1 + width))
    middle = tuple(range(1 + width, 1 + width + before))
    return np.transpose(found, (0, *middle, *first, *range(1 + width + before, ndim)))


def scatter(row: Primitive, size: int, args: Any, batched: Flags, attrs: Attrs) -> Any:
    """The transpose of ``index``."""
    x, *arrays = args
    placed = _placed(size, x, arrays, batched, attrs["index"], len(attrs["shape"]))
    if placed is None:
        return each(row, size, args, batched, attrs)
    x, arrays, template = placed
    return bind(row, (x, *arrays), {"index": template, "shape": (size, *attrs["shape"])})


def replace(row: Primitive, size: int, args: Any, batched: Flags, attrs: Attrs) -> Any:
    """Assignment to an index of every array of a batch."""
    x, value, *arrays = args
    ndim = len(shape_of(x)) - batched[0]
    placed = _placed(size, value, arrays, batched[1:], attrs["index"], ndim)
    if placed is None:
        return each(row, size, args, batched, attrs)
    value, arrays, template = placed
    x = x if batched[0] else np.broadcast_to(x, (size, *shape_of(x)))
    return bind(row, (x, value, *arrays), {"index": template})


def _placed(
    size: int, x: Any, arrays: Sequence[Any], batched: Flags, index: tuple[Any, ...], ndim: int
) -> tuple[Any, Sequence[Any], tuple[Any, ...]] | None:
    """A batch of values that go to an index of arrays of ``ndim`` axes: values, arrays, index.

    ``None`` if the index is one that a batch cannot share.
    """
    x_batched, *own = batched
    template = _whole(index, arrays, own, ndim)
    advanced = [i for i, part in enumerate(template) if _is_advanced(part, arrays)]
    if advanced and advanced[-1] - advanced[0] != len(advanced) - 1:
        return None
    if not x_batched:
        x = np.broadcast_to(x, (size, *shape_of(x)))
    if not any(own):
        return x, arrays, (slice(None), *template)
    arrays = aligned(arrays, own)
    places, width = _places(size, arrays, own)
    before = sum(1 for part in template[: advanced[0]] if not isinstance(part, int))
    if advanced[0]:
        moved = tuple(range(1 + before, 1 + before + width))
        behind = range(1 + before + width, len(shape_of(x)))
        x = np.transpose(x, (0, *moved, *range(1, 1 + before), *behind))
    return x, (places, *arrays), (ARRAY, *template)


def _whole(
    template: tuple[Any, ...], arrays: Sequence[Any], own: Sequence[bool], ndim: int
) -> tuple[Any, ...]:
    """The index without an ellipsis: with all the slices that it stands for."""
    if not any(part is Ellipsis for part in template):
        return template
    rest = iter(zip(arrays, own, strict=True))
    used = 0
    for part in template:
        if part is ARRAY:
            array, is_batched = next(rest)
            mask = dtype_of(array) == np.bool_
            used += len(shape_of(array)) - is_batched if mask else 1
        elif part is not None and part is not Ellipsis:
            used += 1
    filled = (slice(None),) * (ndim - used)
    at = next(i for i, part in enumerate(template) if part is Ellipsis)
    return (*template[:at], *filled, *template[at + 1 :])


def _is_advanced(part: Any, arrays: Sequence[Any]) -> bool:
    """Whether a part of an index is an array, or a number beside arrays, which counts as one."""
    return part is ARRAY or (bool(arrays) and isinstance(part, int))


def _places(size: int, arrays: Sequence[Any], own: Sequence[bool]) -> tuple[Any, int]:
    """The number of each value of the batch, to be indexed with beside its own index arrays."""
    width = max(len(shape_of(a)) - b for a, b in zip(arrays, own, strict=True))
    return np.arange(size).reshape((size, *(1,) * width)), width
