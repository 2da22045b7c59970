"""Which elements of every value move when one element of an input does.

This is a question about the structure of a computation and not about numbers: an element moves also
where the slope there happens to be zero, behind a ReLU that is off or a pixel that is black. It is
answered by carrying the marked elements forward once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.chain.edges import push
from chainrule.chain.quiet import quietly
from chainrule.graph.node import Node
from chainrule.graph.primitive import ELEMENTWISE, Custom, Flat, Linear, Primitive
from chainrule.graph.tape import shape_of
from chainrule.rules.reductions import summed

Axis = int | tuple[int, int]
Mask = Any  # booleans in the shape of a value


@dataclass(frozen=True, slots=True)
class Box:
    """The smallest block of an array in which all moving elements lie.

    Attributes:
        shape: The shape of the whole array.
        axes: For each axis one position, or the first position and the one behind the last.
        count: How many elements move; with gaps they are fewer than the block has.
    """

    shape: tuple[int, ...]
    axes: tuple[Axis, ...]
    count: int

    @property
    def single(self) -> bool:
        """Whether it is one element."""
        return all(isinstance(axis, int) for axis in self.axes)

    @property
    def whole(self) -> bool:
        """Whether the block is the whole array."""
        sizes = zip(self.axes, self.shape, strict=True)
        return all(axis == (0, size) for axis, size in sizes)

    @property
    def index(self) -> tuple[Any, ...]:
        """The block as an index of the array."""
        return tuple([a if isinstance(a, int) else slice(*a) for a in self.axes])

    @property
    def size(self) -> int:
        """How many elements the block has."""
        return int(
            np.prod([1 if isinstance(a, int) else a[1] - a[0] for a in self.axes], dtype=int)
        )

    def within(self, value: Any) -> Any:
        """The elements of the block: a number, or an array with one axis for each that is open."""
        return value if not self.axes else np.asarray(value)[self.index]


def box_of(mask: Mask) -> Box:
    """The block around the marked elements of a mask that has some."""
    mask = np.asarray(mask)
    axes: list[Axis] = []
    for axis, size in enumerate(mask.shape):
        others = tuple(i for i in range(mask.ndim) if i != axis)
        places = np.flatnonzero(mask.any(axis=others))
        first, last = int(places[0]), int(places[-1]) + 1
        axes.append(first if last - first == 1 and size > 1 else (first, last))
    if np.count_nonzero(mask) == 1:
        axes = [a if isinstance(a, int) else a[0] for a in axes]
    return Box(mask.shape, tuple(axes), int(np.count_nonzero(mask)))


def moving(
    nodes: Sequence[Node], values: Mapping[int, Any], start: Node, index: tuple[int, ...]
) -> dict[int, Mask]:
    """The elements that move, of every node that has some.

    Args:
        nodes: The computation in topological order.
        values: The value of every node.
        start: The input of which an element is moved.
        index: Which element.
    """
    mask = np.zeros(shape_of(values[start.index]), bool)
    mask[index] = True
    found: dict[int, Mask] = {start.index: mask}
    with quietly():
        for node in nodes:
            if node.op is None or not node.op.recorded:
                continue
            reached: Mask = None
            for position, arg in enumerate(node.args):
                if type(arg) is Node and arg.index in found:
                    part = _reached(node, position, values, found[arg.index])
                    if part is not None:
                        reached = part if reached is None else reached | part
            if reached is not None and reached.any():
                found[node.index] = reached
    return found


def _reached(node: Node, position: int, values: Mapping[int, Any], mask: Mask) -> Mask:
    """The elements of a node's value that move with the marked elements of one argument."""
    op, attrs = node.op, node.attrs
    assert op is not None
    edge = op.edge(position)
    if isinstance(edge, Flat):
        return None
    out = values[node.index]
    shape = shape_of(out)
    if isinstance(edge, ELEMENTWISE):
        if not op.elementwise:
            mask = np.asarray(summed(mask.astype(float), **attrs)) != 0
        return mask if mask.shape == shape else np.broadcast_to(mask, shape)
    args = tuple([values[a.index] if type(a) is Node else a for a in node.args])
    if op.name == "matmul":
        return _through_product(position, args, mask, shape)
    if isinstance(edge, Linear):
        return _mapped(op, position, args, attrs, mask) != 0
    # Numbers without a pattern: what they add up to is zero only where nothing arrives.
    tangent = np.where(mask, np.random.default_rng(0).uniform(1, 2, mask.shape), 0.0)
    if not isinstance(edge, Custom):
        args = tuple(
            a if i == position else np.random.default_rng(i + 1).uniform(1, 2, shape_of(a))
            for i, a in enumerate(args)
        )
        return np.asarray(op.evaluate(*_at(args, position, tangent), **attrs)) != 0
    carried = push(op, position, args, out, attrs, (tangent, None))
    return None if carried is None else np.asarray(carried[0]) != 0


def _at(args: tuple[Any, ...], position: int, value: Any) -> tuple[Any, ...]:
    return (*args[:position], value, *args[position + 1 :])


def _mapped(
    op: Primitive, position: int, args: tuple[Any, ...], attrs: Mapping[str, Any], mask: Mask
) -> Any:
    """A linear map of the marks alone; no two of them are equal, so that none cancel."""
    marks = np.where(mask, np.random.default_rng(0).uniform(1, 2, mask.shape), 0.0)
    linear = [isinstance(op.edge(i), Linear) for i in range(len(args))]
    others = tuple(np.zeros(shape_of(a)) if own else a for a, own in zip(args, linear, strict=True))
    return np.asarray(op.evaluate(*_at(others, position, marks[()]), **attrs))


def _through_product(
    position: int, args: tuple[Any, ...], mask: Mask, shape: tuple[int, ...]
) -> Mask:
    """The rows (or columns) of a matrix product that marked elements are in.

    Which elements move with those of a row is known without multiplying: the whole row.
    """
    own = mask.ndim
    kept = mask.any(axis=-1) if position == 0 or own == 1 else mask.any(axis=-2)
    other = shape_of(args[1 - position])
    if len(other) > 1:
        kept = np.expand_dims(kept, -1 if position == 0 else -2) if own > 1 else kept[None]
    if own == 1 and len(other) > 1:
        kept = np.broadcast_to(kept, shape)
    return np.broadcast_to(kept, shape)
