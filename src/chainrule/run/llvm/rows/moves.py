"""Operations that only move elements: views, selections, and their transposes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.rules.reductions import reduced_axes
from chainrule.rules.shapes import written_out
from chainrule.run.llvm.expressions import ZERO, Affine, Expr, cast, const, op
from chainrule.run.llvm.lowering import (
    RULES,
    Index,
    Lowering,
    Tensor,
    Unsupported,
    converted,
    loops_over,
    of_buffer,
    repeated,
    reshaped,
    rule,
    strides_of,
    view,
)
from chainrule.run.llvm.nests import Buffer, Statement
from chainrule.run.llvm.program import JOINED, Value
from chainrule.run.llvm.rows import elementwise  # noqa: F401 - the rule for `add` stands there


@rule("transpose")
def _transpose(b: Lowering, value: Value, x: Tensor) -> Tensor:
    axes = value.attrs["axes"]
    inverse = [axes.index(k) for k in range(len(axes))]
    strides = strides_of(x)
    found = view(
        x, value.shape, lambda index: tuple([index[k] for k in inverse]),
        [strides[a] for a in axes],
    )  # fmt: skip
    found.transposed = x, tuple(axes)
    return found


@rule("broadcast_to")
def _broadcast(b: Lowering, value: Value, x: Tensor) -> Tensor:
    x = b.for_many(x, value.size / max(x.size, 1))
    extra = len(value.shape) - len(x.shape)
    strides = [0] * extra + [
        0 if n == 1 and value.shape[extra + k] != 1 else s
        for k, (n, s) in enumerate(zip(x.shape, strides_of(x), strict=True))
    ]
    at = repeated(x, value.shape)
    layout = None if x.layout is None else (x.layout[0], x.layout[1], tuple(strides))
    return Tensor(value.shape, x.dtype, at, x.weight, x.depth, layout)


@rule("reshape", "flat")
def _reshape(b: Lowering, value: Value, x: Tensor) -> Tensor:
    return reshaped(b, x, value.shape)


def slice_of(x: Tensor, parts: Sequence[Any]) -> Tensor:
    """Basic indexing: whole numbers, slices and new axes; an ellipsis is written out already."""
    shape: list[int] = []
    moves: list[tuple[int, int, int | None]] = []  # for each axis of x: start, step, new axis
    steps: list[int | None] = []
    strides = strides_of(x)
    offset = 0
    axis = 0
    for part in parts:
        if part is None:
            shape.append(1)
            steps.append(0)
            continue
        n, stride = x.shape[axis], strides[axis]
        axis += 1
        if isinstance(part, slice):
            start, stop, step = part.indices(n)
            moves.append((start, step, len(shape)))
            count = len(range(start, stop, step))
            shape.append(count)
            steps.append(stride * step)
            offset += start * stride if count else 0
        else:
            at = part + n if part < 0 else part
            if not 0 <= at < n:
                raise Unsupported("an index out of bounds")
            moves.append((at, 0, None))
            offset += at * stride

    def move(index: Index) -> Index:
        return tuple(
            [
                Affine(start) if k is None else _stepped(index[k], start, step)
                for start, step, k in moves
            ]
        )

    return view(x, tuple(shape), move, steps, offset)


def _stepped(index: Any, start: int, step: int) -> Any:
    if isinstance(index, Affine):
        return index.scaled(step).shifted(start)
    scaled = op("multiply", np.int64, index, const(step, np.int64))
    return op("add", np.int64, scaled, const(start, np.int64))


# -------------------------------------------------------------------------------- parts of a bundle


@rule("item")
def _item(b: Lowering, value: Value, _: Any) -> Tensor:
    return b.bundles[value.args[0].number][value.attrs["position"]]


# ----------------------------------------------------------------------------------------- indexing


def picked(b: Lowering, value: Value, x_shape: tuple[int, ...], arrays: Sequence[Tensor]) -> Any:
    """An index with arrays: the shape of what it picks, and where each element of that comes from.

    Returns:
        The shape, and a function from an index there to an index in the array.
    """
    template = written_out(value.attrs["index"], len(x_shape))
    if not arrays:
        plain = slice_of(Tensor(x_shape, np.float64, _nowhere), template)
        source = Tensor(x_shape, np.float64, _nowhere)
        seen: list[Index] = []
        source.at = lambda index: seen.append(index) or const(0, np.float64)  # type: ignore[func-returns-value]
        shown = slice_of(source, template)

        def where(index: Index) -> Index:
            shown.at(index)
            return seen.pop()

        return plain.shape, where
    known = iter(value.args[len(value.args) - len(arrays) :])
    left = iter(arrays)
    several = np.broadcast_shapes(*[t.shape for t in arrays])
    shape: list[int] = []
    axes: list[tuple[str, Any]] = []  # for each axis of x: how its index is found
    basic = (slice, type(None))
    advanced = [k for k, part in enumerate(template) if not isinstance(part, basic)]
    together = advanced[-1] - advanced[0] == len(advanced) - 1
    first: int | None = None if together else 0
    axis = 0
    for part in template:
        if part is None:
            shape.append(1)
            continue
        n = x_shape[axis]
        axis += 1
        if isinstance(part, slice):
            start, stop, step = part.indices(n)
            axes.append(("slice", (start, step, len(shape))))
            shape.append(len(range(start, stop, step)))
            continue
        if first is None:
            first = len(shape)
        if isinstance(part, int):
            axes.append(("number", part + n if part < 0 else part))
            if not -n <= part < n:
                raise Unsupported("an index out of bounds")
            continue
        array, own = next(left), next(known)
        if own.dtype == np.bool_:
            raise Unsupported("a mask as an index")
        axes.append(("array", (in_bounds(array, own, n), array.shape)))
    assert first is not None
    count = len(several)
    whole = (*shape[:first], *several, *shape[first:])

    def find(index: Index) -> Index:
        inside = index[first : first + count]
        rest = (*index[:first], *index[first + count :])
        found: list[Any] = []
        for how, data in axes:
            if how == "slice":
                start, step, k = data
                found.append(_stepped(rest[k], start, step))
            elif how == "number":
                found.append(Affine(data))
            else:
                at, own_shape = data
                found.append(at(_aligned(inside, own_shape)))
        return tuple(found)

    return whole, find


def _nowhere(_: Index) -> Expr:
    raise AssertionError("an element of an array that is only a shape")


def _aligned(index: Index, shape: tuple[int, ...]) -> Index:
    """An index in an array that is broadcast."""
    own = index[len(index) - len(shape) :]
    return tuple([ZERO if n == 1 else i for n, i in zip(shape, own, strict=True)])


def in_bounds(array: Tensor, value: Value, n: int) -> Any:
    """Elements of an array of indices as indices of an axis of length ``n``."""
    if value.is_constant:
        numbers = np.asarray(value.constant)
        if numbers.size and (numbers.min() < -n or numbers.max() >= n):
            raise Unsupported("an index out of bounds")
        if not numbers.size or numbers.min() >= 0:
            return lambda index: cast(array.at(index), np.int64)
    return lambda index: op("wrap", np.int64, cast(array.at(index), np.int64), const(n, np.int64))


@rule("index")
def _index(b: Lowering, value: Value, x: Tensor, *arrays: Tensor) -> Tensor:
    if not arrays:
        return slice_of(x, written_out(value.attrs["index"], len(x.shape)))
    if not x.size and value.size:
        raise Unsupported("an index out of bounds")
    x = b.for_many(x, value.size / max(x.size, 1))
    shape, find = picked(b, value, x.shape, arrays)
    weight = x.weight + 2 * len(arrays) + sum(t.weight for t in arrays)
    depth = 1 + max(x.depth, *[t.depth for t in arrays])
    return Tensor(shape, x.dtype, lambda index: x.at(find(index)), weight, depth)


# ------------------------------------------------------------------------------- writing into parts


def written(
    b: Lowering, target: Buffer, shape: tuple[int, ...], find: Any, x: Tensor, combine: str | None
) -> None:
    """``target[find(i)] = x[i]`` for all of ``x``, or added to it."""
    variables, index = loops_over(shape)
    value = repeated(x, shape)(index)
    b.add(Statement(target, variables, find(index), value, combine, place=b.place))


def own_copy(b: Lowering, value: Value, old: Value | None, x: Tensor) -> Buffer:
    """A buffer in which ``value`` is made of ``x``: that of the ``old`` value where it may be."""
    source = x.buffer
    may = old is not None and b.uses(old) == 1 and b.notes.get(("in", id(source))) == old.number
    if source is None or not may:
        source = b.stored(Tensor(x.shape, x.dtype, x.at, x.weight, x.depth)).buffer
        assert source is not None
    b.notes["in", id(source)] = value.number  # of all values in the buffer, the one that is current
    return source


def zeros(b: Lowering, value: Value) -> Buffer:
    """A buffer of zeros in which ``value`` is made."""
    zero = const(0, value.dtype)
    return own_copy(b, value, None, Tensor(value.shape, value.dtype, lambda _: zero))


@rule("scatter")
def _scatter(b: Lowering, value: Value, *args: Tensor) -> Tensor | None:
    consumer = b.consumer.get(value.number)
    if b.uses(value) == 1 and consumer is not None and consumer.op and consumer.op.name == "add":
        picked(b, value, value.shape, args[1:])  # what is left to NumPy is not put off
        b.deferred.add(value.number)
        return None
    return _scattered(b, value)


def _scattered(b: Lowering, value: Value) -> Tensor:
    """Zeros, and the elements added in their places."""
    x, *arrays = (b.tensors[a.number] for a in value.args)
    if not arrays:
        between = _between_zeros(value)
        if between is not None:
            axis, start, stop = between
            zero = const(0, value.dtype)
            added = Tensor(
                x.shape, value.dtype, lambda i: op("add", value.dtype, x.at(i), zero),
                x.weight + 1, x.depth + 1,
            )  # fmt: skip
            return joined(b, value, axis, [
                _zeros_along(value, axis, start), added,
                _zeros_along(value, axis, value.shape[axis] - stop),
            ])  # fmt: skip
    target = zeros(b, value)
    _add_scattered(b, value, target, x, arrays)
    return of_buffer(target)


def _between_zeros(value: Value) -> tuple[int, int, int] | None:
    """The axis along which a slice lies among zeros, and where it begins and ends."""
    parts = written_out(value.attrs["index"], len(value.shape))
    if not all(isinstance(p, slice) for p in parts):
        return None
    ends = [p.indices(n) for p, n in zip(parts, value.shape, strict=True)]
    partial = [k for k, n in enumerate(value.shape) if ends[k] != (0, n, 1)]
    if len(partial) != 1 or ends[partial[0]][2] != 1:
        return None
    (axis,) = partial
    start, stop, _ = ends[axis]
    return axis, start, max(start, stop)


def _zeros_along(value: Value, axis: int, count: int) -> Tensor:
    zero = const(0, value.dtype)
    shape = (*value.shape[:axis], count, *value.shape[axis + 1 :])
    return Tensor(shape, value.dtype, lambda _: zero)


def _add_scattered(
    b: Lowering, value: Value, target: Buffer, x: Tensor, arrays: Sequence[Tensor]
) -> None:
    shape, find = picked(b, value, value.shape, arrays)
    written(b, target, shape, find, x, "add")


@rule("replace")
def _replace(b: Lowering, value: Value, x: Tensor, new: Tensor, *arrays: Tensor) -> Tensor:
    shape, find = picked(b, value, value.shape, arrays)
    target = own_copy(b, value, value.args[0], x)
    written(b, target, shape, find, converted(b, new, value.dtype), None)
    return of_buffer(target)


@rule("concatenate", "stack")
def _concatenate(b: Lowering, value: Value, *_: Tensor) -> Tensor | None:
    consumer = b.consumer.get(value.number)
    if (
        b.uses(value) == 1 and consumer is not None and consumer.op is not None
        and consumer.op.name in JOINED and consumer.dtype == value.dtype
    ):  # fmt: skip
        b.deferred.add(value.number)  # its pieces are pieces of what it is a piece of
        return None
    room = b.room("t", value.shape, value.dtype, b.orders.get(value.number))
    _lay(b, value, room.buffer, room.index)
    return room.tensor


def _lay(b: Lowering, value: Value, target: Buffer, find: Callable[[Index], Index]) -> None:
    """Write the pieces of an array, whose elements ``find`` finds their places in a buffer."""
    assert value.op is not None
    axis = value.attrs["axis"] % len(value.shape)
    layers = value.op.name == "stack"
    start = 0
    for piece in value.args:

        def inside(index: Index, start: int = start) -> Index:
            own = Affine(start) if layers else index[axis].shifted(start)
            return find((*index[:axis], own, *index[axis + (not layers) :]))

        if piece.number in b.deferred:
            _lay(b, piece, target, inside)
        else:
            x = converted(b, b.tensors[piece.number], value.dtype)
            written(b, target, piece.shape, inside, x, None)
        start += 1 if layers else piece.shape[axis]


def joined(b: Lowering, value: Value, axis: int, pieces: Sequence[Tensor]) -> Tensor:
    """Pieces one behind the other along an axis."""
    room = b.room("t", value.shape, value.dtype, b.orders.get(value.number))
    start = 0
    for piece in pieces:

        def find(index: Index, start: int = start) -> Index:
            moved = (*index[:axis], index[axis].shifted(start), *index[axis + 1 :])
            return room.index(moved)

        written(b, room.buffer, piece.shape, find, piece, None)
        start += piece.shape[axis]
    return room.tensor


@rule("flip")
def _flip(b: Lowering, value: Value, x: Tensor) -> Tensor:
    axes = reduced_axes(value.attrs["axis"], len(x.shape))
    return slice_of(x, [slice(None, None, -1 if k in axes else None) for k in range(len(x.shape))])


_plain_add = RULES["add"]


@rule("add")
def _add(b: Lowering, value: Value, *args: Tensor) -> Tensor:
    """``y + scatter(x)`` is added in place, so that many of them take time in proportion."""
    for source, other in (value.args[::-1], value.args):
        if source.number in b.deferred:
            if other.shape != value.shape or other.dtype != value.dtype:
                continue
            y = _scattered(b, other) if other.number in b.deferred else b.tensors[other.number]
            target = own_copy(b, value, other, y)
            x, *arrays = (b.tensors[a.number] for a in source.args)
            _add_scattered(b, source, target, x, arrays)
            return of_buffer(target)
    for v in value.args:
        if v.number in b.deferred:
            b.tensors[v.number] = _scattered(b, v)
    found: Tensor = _plain_add(b, value, *[b.tensors[v.number] for v in value.args])
    return found
