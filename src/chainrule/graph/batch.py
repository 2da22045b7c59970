"""A batch: many values of one shape, computed side by side by one call of each primitive.

The batch is the first axis of what is stored, and hidden from the computation: ``shape`` is the
shape of one value. How a primitive computes a batch follows from what its row declares: elementwise
rows broadcast, attributes that name axes or shapes move over by one, rows that act on the last axes
of a stack take one more axis of it. A row that declares nothing is called once for each value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.errors import TraceError
from chainrule.graph.bundle import Bundle
from chainrule.graph.operand import Attrs, Operand, bind
from chainrule.graph.primitive import Primitive
from chainrule.graph.tape import dtype_of, shape_of
from chainrule.graph.versions import View, refresh, view


class Batched(Operand):
    """The values of a batch, in the first axis of ``stack``."""

    __slots__ = ("source", "stack", "version")

    def __init__(self, level: int, stack: Any) -> None:
        self.level = level
        self.stack = stack
        # How often it was assigned to, and what it may be a view of: primitive, array, attributes
        # and how often the array had been assigned to.
        self.version = 0
        self.source: tuple[Primitive, Batched, Attrs, int] | None = None

    def apply(self, primitive: Primitive, args: tuple[Any, ...], attrs: Attrs) -> Any:
        """Compute ``primitive`` for the whole batch."""
        for arg in args:
            if type(arg) is Batched and arg.source is not None:
                refresh(arg)
        batched = tuple([isinstance(a, Batched) and a.level == self.level for a in args])
        stacks = tuple([a.stack if b else a for a, b in zip(args, batched, strict=True)])
        size = shape_of(self.stack)[0]
        found = apply_to_batch(primitive, size, stacks, batched, attrs)
        if isinstance(found, Bundle):
            return Bundle(Batched(self.level, stack) for stack in found)
        result = Batched(self.level, found)
        if primitive.view and len(args) == 1:
            result.source = (primitive, self, attrs, self.version)
        return result

    @property
    def view(self) -> View | None:
        """Which array NumPy would show here."""
        if self.source is None:
            return None
        primitive, base, attrs, version = self.source
        return view(base, primitive, attrs, base.version != version)

    def become(self, new: Batched) -> None:
        """Be what ``new`` is from here on."""
        self.level, self.stack, self.source = new.level, new.stack, new.source
        self.version += 1

    def __repr__(self) -> str:
        return f"Batched(shape={self.shape}, batch={shape_of(self.stack)[0]})"

    def __format__(self, spec: str) -> str:
        return repr(self)  # a message that is printed on the way is no reason to stop

    def __bool__(self) -> bool:
        raise TraceError(
            "a branch on a value inside vmap: it may turn out differently for each value of the "
            "batch.\nWrite np.where(condition, a, b)."
        )

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("a scalar of a batch has no len()")
        return self.shape[0]

    def example(self) -> Any:
        """The first value of the batch; ones if it is empty."""
        if shape_of(self.stack)[0]:
            return self.stack[0]
        return np.ones(self.shape, self.dtype)[()]

    def constant(self, value: Any) -> Batched:
        """A plain array as a part of this computation: the same for every value of the batch."""
        return Batch(self.level, shape_of(self.stack)[0]).constant(value)

    def alias(self) -> Batched:
        """Another handle of the same values."""
        return Batched(self.level, self.stack)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one value."""
        return shape_of(self.stack)[1:]

    @property
    def ndim(self) -> int:
        """Number of dimensions of one value."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements of one value."""
        return int(np.prod(self.shape, dtype=int))

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of the values."""
        return dtype_of(self.stack)


class Batch:
    """The run of a function of batched values."""

    staged = True

    def __init__(self, level: int, size: int) -> None:
        self.level = level
        self.size = size

    def constant(self, value: Any) -> Batched:
        """A plain array as a part of this computation: the same for every value of the batch."""
        return Batched(self.level, np.repeat(np.asarray(value)[None], self.size, axis=0))


def apply_to_batch(
    row: Primitive, size: int, args: tuple[Any, ...], batched: tuple[bool, ...], attrs: Attrs
) -> Any:
    """``row`` of every value of a batch.

    Args:
        row: The primitive.
        size: How many values there are.
        args: The arguments, with the batch as first axis where ``batched``.
        batched: Which arguments belong to the batch; the others are the same for all its values.
        attrs: The attributes, as for one value.

    Returns:
        The results, with the batch as first axis.
    """
    if row.batch is not None:
        return row.batch(row, size, args, batched, attrs)
    if row.elementwise:
        return bind(row, aligned(args, batched), attrs)
    if row.stacked is not None:
        cores = [row.stacked[min(i, len(row.stacked) - 1)] for i in range(len(args))]
        return bind(row, aligned(args, batched, cores), attrs)
    if row.axes or row.shapes:
        ndim = max(len(shape_of(a)) - b for a, b in zip(args, batched, strict=True))
        moved = {name: _moved_over(row, name, value, ndim, size) for name, value in attrs.items()}
        rank = max([len(attrs[name]) for name in row.shapes], default=0)
        return bind(row, _everywhere(args, batched, size, rank), moved)
    return each(row, size, args, batched, attrs)


def _moved_over(row: Primitive, name: str, value: Any, ndim: int, size: int) -> Any:
    """An attribute of one value as the attribute of a batch."""
    if name in row.shapes:
        return (size, *value)
    if name not in row.axes:
        return value
    if value is None:
        return tuple(range(1, ndim + 1))
    if isinstance(value, tuple):
        return tuple(a % ndim + 1 for a in value)
    return value % ndim + 1 if ndim else 0


def aligned(
    args: Sequence[Any], batched: Sequence[bool], cores: Sequence[int] | None = None
) -> tuple[Any, ...]:
    """The arguments with axes of length 1 behind the batch, so that they broadcast as one would.

    ``cores`` says how many trailing axes of each do not take part in broadcasting.
    """
    cores = cores or [0] * len(args)
    shapes = [shape_of(a)[b:] for a, b in zip(args, batched, strict=True)]
    ndim = max(len(s) - c for s, c in zip(shapes, cores, strict=True))
    return tuple(
        _padded(a, s, ndim + c) if b and len(s) < ndim + c else a
        for a, b, s, c in zip(args, batched, shapes, cores, strict=True)
    )


def _padded(stack: Any, shape: tuple[int, ...], ndim: int) -> Any:
    return np.reshape(stack, (shape_of(stack)[0], *(1,) * (ndim - len(shape)), *shape))


def _everywhere(
    args: Sequence[Any], batched: Sequence[bool], size: int, rank: int
) -> tuple[Any, ...]:
    """Every argument with the batch in front, and with at least ``rank`` axes behind it."""
    found = []
    for arg, is_batched in zip(args, batched, strict=True):
        stack = arg if is_batched else np.broadcast_to(arg, (size, *shape_of(arg)))
        shape = shape_of(stack)[1:]
        found.append(_padded(stack, shape, rank) if len(shape) < rank else stack)
    return tuple(found)


def each(
    row: Primitive, size: int, args: tuple[Any, ...], batched: tuple[bool, ...], attrs: Attrs
) -> Any:
    """The results one after the other, stacked."""

    def one(place: int) -> Any:
        picked = (a[place] if b else a for a, b in zip(args, batched, strict=True))
        return bind(row, tuple(picked), attrs)

    if size:
        return np.stack([one(place) for place in range(size)])
    like = (
        np.ones(shape_of(a)[1:], dtype_of(a))[()] if b else a
        for a, b in zip(args, batched, strict=True)
    )
    result = bind(row, tuple(like), attrs)
    return np.zeros((0, *shape_of(result)), dtype_of(result))
