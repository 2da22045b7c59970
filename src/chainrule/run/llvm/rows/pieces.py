"""What is done to an array that is put together of a few pieces is done to each of them.

The array itself is then often never made. Each piece has a loop of its own, in which what is
computed of it stays in registers, and is written once, to its place in the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from chainrule.graph.operand import NO_ATTRS, Attrs
from chainrule.graph.primitive import Primitive
from chainrule.rules.arithmetic import ADD
from chainrule.rules.contractions import letters_of, summed_products
from chainrule.rules.joining import CONCATENATE, STACK
from chainrule.rules.reductions import SUM, reduced_axes
from chainrule.rules.shapes import INDEX, written_out
from chainrule.run.llvm.layouts import FEW_PRODUCTS
from chainrule.run.llvm.program import JOINED, OF_PIECES, SIMPLER, Program, Value

# Each piece takes code of its own: of more, the array is put together.
_MOST = 4
# A piece that is more than so many times as short as another one is a border: the array is computed
# with as a whole.
_BORDER = 8
Part = slice | int


def in_pieces(
    program: Program, op: Primitive, args: Sequence[Value], attrs: Attrs, shape: Any, dtype: Any
) -> Value | None:
    """``op`` of the arguments, piece by piece; ``None`` where it needs them as a whole."""
    if op.name == "index":
        return _indexed(program, args, attrs, shape) if len(args) == 1 else None
    if op.name == "transpose":
        return _transposed(program, op, args[0], attrs)
    if 0 in shape:
        return None
    if op.name in ("einsum", "matmul"):
        return _contracted(program, op, args, attrs, shape, dtype)
    if op is SUM and len(args) == 1:
        return _summed(program, args[0], attrs, shape, dtype)
    if not op.elementwise:
        return None
    for x in args:
        if _is_joined(x):
            axis = _axis(x) + len(shape) - len(x.shape)
            if shape[axis] == x.shape[_axis(x)]:
                return _elementwise(program, op, args, attrs, shape, dtype, x, axis)
    return None


def _is_joined(x: Value) -> bool:
    """Whether an array is put together of a few pieces of its own dtype, none of them a border."""
    if x.op is None or x.op.name not in JOINED or not 1 < len(x.args) <= _MOST:
        return False
    if any(piece.dtype != x.dtype or not piece.size for piece in x.args):
        return False
    sizes = [piece.size for piece in x.args]
    return max(sizes) <= _BORDER * min(sizes)


def _axis(x: Value) -> int:
    """The axis along which the pieces of an array lie behind each other."""
    return int(x.attrs["axis"]) % len(x.shape)


def _parts(x: Value) -> list[Part]:
    """Where each piece lies along that axis; a number stands for one that has not got the axis."""
    assert x.op is not None
    if x.op.name == "stack":
        return list(range(len(x.args)))
    ends = [0]
    for piece in x.args:
        ends.append(ends[-1] + piece.shape[_axis(x)])
    return [slice(*ends) for ends in pairwise(ends)]


def _elementwise(
    program: Program, op: Primitive, args: Sequence[Value], attrs: Attrs, shape: Any, dtype: Any,
    joined: Value, axis: int,
) -> Value:  # fmt: skip
    """``op`` of arguments of which one is put together along an axis of the result."""
    made = []
    for part in _parts(joined):
        given = [_part(program, x, axis - len(shape) + len(x.shape), part) for x in args]
        whole = _without(shape, axis, part)
        made.append(program.apply(op, given, attrs, whole, dtype))
    return _put_together(program, made, joined.op, axis, shape)


def _without(shape: Sequence[int], axis: int, part: Part) -> tuple[int, ...]:
    """The shape of a part along an axis."""
    own = () if isinstance(part, int) else (part.stop - part.start,)
    return (*shape[:axis], *own, *shape[axis + 1 :])


def _part(program: Program, x: Value, axis: int, part: Part) -> Value:
    """A part of an argument along an axis, if it has that axis and does not repeat along it."""
    if axis < 0:
        return x
    if x.shape[axis] == 1:
        if not isinstance(part, int):
            return x
        part = 0
    if _is_joined(x) and _axis(x) == axis:
        known = [_same(p, part) for p in _parts(x)]
        if any(known):
            return x.args[known.index(True)]
    index = (*(slice(None),) * axis, part, *(slice(None),) * (len(x.shape) - axis - 1))
    whole = _without(x.shape, axis, part)
    if x.is_constant:
        return program.constant(
            np.broadcast_to(x.uniform, whole) if x.uniform is not None else x.constant[index]
        )
    return program.apply(INDEX, (x,), {"index": index}, whole, x.dtype)


def _same(one: Part, other: Part) -> bool:
    return type(one) is type(other) and one == other


def _put_together(
    program: Program, pieces: Sequence[Value], like: Any, axis: int, shape: Any
) -> Value:
    op = STACK if like.name == "stack" else CONCATENATE
    return program.apply(op, tuple(pieces), {"axis": axis}, tuple(shape), pieces[0].dtype)


def _contracted(
    program: Program, op: Primitive, args: Sequence[Value], attrs: Attrs, shape: Any, dtype: Any
) -> Value | None:
    """A sum of few products of arrays of which one is put together along an axis of the result."""
    named = letters_of(op.name, args, attrs)
    if named is None or summed_products(args, named) > FEW_PRODUCTS:
        return None
    *letters, out = named
    for x, own in zip(args, letters, strict=True):
        letter = own[_axis(x)] if _is_joined(x) else ""
        if not letter or letter not in out:
            continue
        axis = out.index(letter)
        parts = _parts(x)
        if op.name == "matmul" and isinstance(parts[0], int):
            return None  # which of its axes are rows and columns is a matter of how many there are
        made = []
        for part in parts:
            gone = letter if isinstance(part, int) else ""
            given = [
                _part(program, y, names.find(letter), part)
                for y, names in zip(args, letters, strict=True)
            ]
            fewer = {k: v.replace(gone, "") for k, v in attrs.items()}
            made.append(program.apply(op, given, fewer, _without(shape, axis, part), dtype))
        return _put_together(program, made, x.op, axis, shape)
    return None


def _summed(program: Program, x: Value, attrs: Attrs, shape: Any, dtype: Any) -> Value | None:
    """A sum over an array's layers, one after another as they lie, or of each of its pieces."""
    if not _is_joined(x) or attrs.get("keepdims"):
        return None
    axes, axis = set(reduced_axes(attrs["axis"], len(x.shape))), _axis(x)
    if axis in axes:
        if len(axes) > 1 or isinstance(_parts(x)[0], slice) or dtype != x.dtype:
            return None
        total = program.constant(x.dtype.type(0))
        for layer in x.args:
            total = program.apply(ADD, (layer, total), NO_ATTRS, shape, dtype)
        return total
    made = []
    for piece, part in zip(x.args, _parts(x), strict=True):
        own = axes if isinstance(part, slice) else {a - (a > axis) for a in axes}
        over = {**attrs, "axis": tuple(sorted(own))}
        at = axis - sum(a < axis for a in axes)
        made.append(program.apply(SUM, (piece,), over, _without(shape, at, part), dtype))
    return _put_together(program, made, x.op, at, shape)


def _transposed(program: Program, op: Primitive, x: Value, attrs: Attrs) -> Value | None:
    if not _is_joined(x):
        return None
    axes, axis = attrs["axes"], _axis(x)
    own = axes
    if x.op is not None and x.op.name == "stack":
        own = tuple([a - (a > axis) for a in axes if a != axis])
    made = [
        program.apply(op, (p,), {"axes": own}, tuple([p.shape[a] for a in own]), p.dtype)
        for p in x.args
    ]
    shape = [x.shape[a] for a in axes]
    return _put_together(program, made, x.op, axes.index(axis), shape)


def _indexed(program: Program, args: Sequence[Value], attrs: Attrs, shape: Any) -> Value | None:
    """Basic indexing: of one piece, where it stays within one, else of each of them."""
    (x,) = args
    if not _is_joined(x) or 0 in shape:
        return None
    template = written_out(attrs["index"], len(x.shape))
    places = [k for k, part in enumerate(template) if part is not None]
    at, length = places[_axis(x)], x.shape[_axis(x)]
    chosen = template[at]
    if isinstance(chosen, slice):
        first, stop, step = chosen.indices(length)
        if step != 1:
            return None
    else:
        first = chosen + length if chosen < 0 else chosen
        stop = first + 1
    axis = sum(p is None or isinstance(p, slice) for p in template[:at])
    found = []
    for piece, part in zip(x.args, _parts(x), strict=True):
        start, end = (part, part + 1) if isinstance(part, int) else (part.start, part.stop)
        low, high = max(first, start) - start, min(stop, end) - start
        if low >= high:
            continue
        inside: tuple[Any, ...] = () if isinstance(part, int) else (slice(low, high),)
        own = [*shape[:axis], *[high - low] * len(inside), *shape[axis + 1 :]]
        if not isinstance(chosen, slice):
            inside, own = (low,) * len(inside), list(shape)
        index = (*template[:at], *inside, *template[at + 1 :])
        found.append(program.apply(INDEX, (piece,), {"index": index}, tuple(own), x.dtype))
    if found[0].shape == tuple(shape):
        return found[0]
    return _put_together(program, found, x.op, axis, shape)


def _all(program: Program, args: Any, attrs: Any, shape: Any, dtype: Any) -> Value | None:
    """All of an array is the array."""
    (x, *more) = args
    if more or x.shape != shape or any(part is None for part in attrs["index"]):
        return None
    for part, n in zip(written_out(attrs["index"], len(x.shape)), x.shape, strict=True):
        if not isinstance(part, slice) or part.indices(n) != (0, n, 1):
            return None
    return x  # type: ignore[no-any-return]


SIMPLER["index"] = _all
SIMPLER[OF_PIECES] = in_pieces
