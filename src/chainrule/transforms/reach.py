"""Which column of a Jacobian can be non-zero at which element, and products that heed it.

A *reach* is a boolean array: of each column, where behind a record it can be anything but zero.
``None`` stands for everywhere.
"""

from __future__ import annotations

import math
import string
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from chainrule.graph.operand import Attrs, Operand, bind
from chainrule.graph.primitive import ELEMENTWISE, Bilinear, Custom, Linear, Primitive
from chainrule.graph.tape import dtype_of, shape_of
from chainrule.rules.contractions import EINSUM, letters_of
from chainrule.rules.reductions import summed
from chainrule.transforms.batching import vmap

Groups = tuple[tuple[int, ...], ...]

# Of larger results it is not asked which columns reach which element.
_MOST_PLACES = 1 << 20


def reached(
    op: Primitive, args: tuple[Any, ...], out: Any, attrs: Attrs, before: Mapping[int, Any],
    pattern: Any = None,
) -> Any:  # fmt: skip
    """The reach behind a primitive, from those of the arguments at some positions.

    Of a product, ``pattern`` says where the other factor is not zero; everywhere if left out.
    """
    if any(reach is None for reach in before.values()):
        return None
    shape = shape_of(out)
    position, reach = next(iter(before.items()))
    edge = op.edge(position)
    count = len(reach)
    if count * math.prod(shape) > _MOST_PLACES:
        return None
    if isinstance(edge, ELEMENTWISE) and op.elementwise:
        own = reach.shape[1:]
        apart = reach.reshape(count, *(1,) * (len(shape) - len(own)), *own)
        return np.broadcast_to(apart, (count, *shape))
    if isinstance(edge, ELEMENTWISE):
        return _moved(lambda t: summed(t, **attrs), reach)
    if isinstance(edge, Bilinear):
        other = np.ones(shape_of(args[1 - position])) if pattern is None else pattern
        return _moved(lambda t: bind(op, (t, other) if position == 0 else (other, t), attrs), reach)
    if isinstance(edge, Custom) and op.stacked is not None:
        return _item_by_item(op.stacked, position, args, shape, reach)
    if not isinstance(edge, Linear):
        return None
    fixed = [
        np.zeros(shape_of(a)) if isinstance(op.edge(k), Linear) else a for k, a in enumerate(args)
    ]
    if any(isinstance(a, Operand) for a in fixed):
        return None

    def moved(*tangents: Any) -> Any:
        given = dict(zip(before, tangents, strict=True))
        return bind(op, tuple([given.get(k, a) for k, a in enumerate(fixed)]), attrs)

    return _moved(moved, *before.values())


def _item_by_item(
    stacked: Sequence[int], position: int, args: tuple[Any, ...], shape: tuple[int, ...], reach: Any
) -> Any:
    """The reach behind what is done to each item of a stack: within an item, everything mixes."""
    cores = [stacked[min(k, len(stacked) - 1)] for k in range(len(args))]
    depth = max(len(shape_of(a)) - core for a, core in zip(args, cores, strict=True))
    own = reach.ndim - 1 - cores[position]
    items = reach.any(tuple(range(1 + own, reach.ndim)))
    items = items.reshape(len(reach), *(1,) * (depth - own), *items.shape[1:])
    found = items.reshape(*items.shape, *(1,) * (len(shape) - depth))
    return np.broadcast_to(found, (len(reach), *shape))


def _moved(move: Any, *reaches: Any) -> Any:
    """The reach behind a map without negative entries."""
    found = vmap(move)(*(np.where(reach, 1.0, 0.0) for reach in reaches)) != 0
    return None if found.all() else found


def product_of_few(
    op: Primitive, position: int, args: tuple[Any, ...], attrs: Attrs,
    rows: Any, sources: Sequence[int], own: Any, others: Any,
) -> Any:  # fmt: skip
    """A contraction of each row with the other argument, over the places where it is not zero.

    ``None`` where this is not worth while: most rows have more than half of the places.

    Args:
        op: The primitive.
        position: Of the argument that the rows are tangents of.
        args: Its arguments.
        attrs: Its attributes.
        rows: Stacked tangents.
        sources: Of which of these each row of the result is made.
        own: For each row of the result, where its tangent may be non-zero.
        others: For each, where that which it is made of belongs to other rows.
    """
    letters = product_letters(op.name, args, attrs)
    if letters is None:
        return None
    left, right, out = letters[position], letters[1 - position], letters[2]
    for axis, letter in enumerate(left):
        if letter in right and letter not in out:
            own, others = (np.moveaxis(part, 1 + axis, 1) for part in (own, others))
            found = _few_places(own)
            if found is not None:
                break
            own, others = (np.moveaxis(part, 1, 1 + axis) for part in (own, others))
    else:
        return None
    places, filled = found
    each, above = np.arange(len(own))[:, None], np.array(sources)[:, None]
    mine = own[each, places] & filled.reshape(*filled.shape, *(1,) * (own.ndim - 2))
    few = np.moveaxis(rows, 1 + axis, 1)[above, places]
    if (others[each, places] | (own[each, places] & ~mine)).any():
        few = np.where(mine, few, np.zeros((), dtype_of(few)))
    row, place = [c for c in string.ascii_letters if c not in left + right][:2]
    along = right.index(letter)
    factor = args[1 - position][(slice(None),) * along + (places,)]
    subscripts = (
        f"{row}{place}{left.replace(letter, '')},{right.replace(letter, row + place)}->{row}{out}"
    )
    return bind(EINSUM, (few, factor), {"subscripts": subscripts})


def product_letters(name: str, args: tuple[Any, ...], attrs: Attrs) -> tuple[str, str, str] | None:
    """The axes of a contraction; ``None`` if ``np.einsum`` could not be told of it by these."""
    letters = letters_of(name, args, attrs)
    if name == "matmul":
        x, y = map(shape_of, args)
        if min(len(x), len(y)) > 1 and x[:-2] != y[:-2]:
            return None  # one is repeated along the other
    return letters


def _few_places(own: Any) -> tuple[Any, Any] | None:
    """For each row, the places of the first axis where it may be non-zero, if these are few.

    Returns:
        The places, as many for each row, and which of them are not there to fill up.
    """
    apart = own.reshape(*own.shape[:2], -1).any(2)
    width = int(apart.sum(1).max())
    if not width or 2 * width > apart.shape[1]:
        return None
    places = np.argsort(~apart, axis=1, kind="stable")[:, :width]
    return places, np.take_along_axis(apart, places, 1)
