"""``vmap``: one function of many values at once."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from chainrule.errors import ArgumentsError
from chainrule.graph.batch import Batch, Batched
from chainrule.graph.fronts import fronts
from chainrule.graph.places import located
from chainrule.graph.tape import levels, shape_of
from chainrule.graph.versions import refreshed
from chainrule.tree import leaves, map_leaves, map_prefix

Axes = Any


def vmap(f: Callable[..., Any], in_axes: Axes = 0, out_axes: Axes = 0) -> Callable[..., Any]:
    """``f`` of every value of a batch, side by side.

    Args:
        f: A function of arrays or pytrees of them.
        in_axes: Which axis of each argument is the batch: an integer for all of them, or a tuple
            with an entry for each (an integer, a pytree of integers that is a prefix of the
            argument, or ``None`` for an argument that is the same for every value). Arguments given
            by name are batched along their first axis.
        out_axes: Where the batch stands in the results: an integer, or a prefix of what ``f``
            returns.

    Returns:
        A function with ``f``'s signature, of arguments that have the batch axis, which returns
        results that have it.

    Raises:
        ArgumentsError: There is no batched argument, or the batches differ in length.
        TraceError: ``f`` branches on a value of the batch.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> squares = cr.vmap(lambda x, y: np.dot(x, x) + y, in_axes=(0, None))
        >>> squares(np.array([[1.0, 2.0], [3.0, 4.0]]), 1.0)
        array([ 6., 26.])
    """

    @functools.wraps(f, assigned=("__name__", "__doc__"), updated=())
    def batched(*args: Any, **kwargs: Any) -> Any:
        level = next(levels)
        name = getattr(f, "__name__", "f")
        axes = _axes_of(in_axes, args, name)
        size = _batch_size(args, axes, kwargs, name)

        def enter(axis: int | None, leaf: Any) -> Any:
            return leaf if axis is None else Batched(level, _to_front(leaf, axis))

        inside = [map_prefix(enter, axis, arg) for axis, arg in zip(axes, args, strict=True)]
        named = {key: map_leaves(lambda leaf: enter(0, leaf), arg) for key, arg in kwargs.items()}
        with located(), fronts(Batch(level, size)):
            result = map_leaves(refreshed, f(*inside, **named))

        def leave(axis: int | None, leaf: Any) -> Any:
            own = isinstance(leaf, Batched) and leaf.level == level
            if axis is None:
                if own:
                    raise ArgumentsError(f"out_axes is None for a result of {name} that is batched")
                return leaf
            stack = leaf.stack if own else np.broadcast_to(leaf, (size, *shape_of(leaf)))
            moved = np.moveaxis(stack, 0, axis)
            return moved.copy() if isinstance(moved, np.ndarray) else moved

        return map_prefix(leave, out_axes, result)

    return batched


def _axes_of(in_axes: Axes, args: tuple[Any, ...], name: str) -> tuple[Axes, ...]:
    if not isinstance(in_axes, tuple | list):
        return (in_axes,) * len(args)
    if len(in_axes) != len(args):
        raise ArgumentsError(
            f"vmap: in_axes has {len(in_axes)} entries, but {name} was called with {len(args)} "
            "positional argument(s)"
        )
    return tuple(in_axes)


def _batch_size(
    args: tuple[Any, ...], axes: tuple[Axes, ...], kwargs: dict[str, Any], name: str
) -> int:
    """The length that all batch axes share."""
    sizes: dict[str, int] = {}

    def measure(axis: int | None, leaf: Any, where: str) -> Any:
        if axis is None:
            return leaf
        shape = shape_of(leaf)
        if not -len(shape) <= axis < len(shape):
            raise ArgumentsError(
                f"vmap: {where} of {name} has shape {shape}, so it has no axis {axis} to be "
                "batched along.\nGive in_axes with None for what is the same for every value."
            )
        sizes[where] = shape[axis]
        return leaf

    for n, (axis, arg) in enumerate(zip(axes, args, strict=True)):
        map_prefix(_with_names(measure, _names(arg, f"argument {n}")), axis, arg)
    for key, arg in kwargs.items():
        map_prefix(_with_names(measure, _names(arg, key)), 0, arg)
    if not sizes:
        raise ArgumentsError(f"vmap: no argument of {name} is batched: in_axes is None throughout")
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{where}: {size}" for where, size in sizes.items())
        raise ArgumentsError(f"vmap: the batches of {name} differ in length ({listed})")
    return next(iter(sizes.values()))


def _with_names(measure: Callable[..., Any], names: Iterator[str]) -> Callable[[Any, Any], Any]:
    return lambda axis, leaf: measure(axis, leaf, next(names))


def _names(tree: Any, name: str) -> Iterator[str]:
    return iter([where for where, _ in leaves(tree, name)])


def _to_front(leaf: Any, axis: int) -> Any:
    array = leaf if hasattr(leaf, "dtype") else np.asarray(leaf)
    return np.moveaxis(array, axis, 0) if axis % len(shape_of(array)) else array
