"""Results of transforms, looked at for whoever asked: is everything finite?

A transform that is done, and is no part of another one, shows what it found. Only if a number is
bad, and somebody watches, is anything else done.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Protocol

import numpy as np

from chainrule.graph.fronts import innermost
from chainrule.graph.operand import Operand
from chainrule.tree import flatten


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """A call of a transform, as it can be made again.

    Attributes:
        transform: Its name: ``grad``, ``vjp``, ``jvp``, ``jacobian`` or ``jit``.
        f: The function that was differentiated, or compiled.
        args: Its positional arguments.
        kwargs: Its keyword arguments.
        argnums: Which arguments it was differentiated with respect to.
        has_aux: Whether the function returns a pair whose second part is passed through.
        along: The cotangent of ``vjp`` or the tangents of ``jvp``; ``None`` if there are none.
        found: The results that were looked at.
    """

    transform: str
    f: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)
    argnums: tuple[int, ...] = ()
    has_aux: bool = False
    along: Any = None
    found: tuple[Any, ...] = ()


class Watcher(Protocol):
    """Whoever wants to be told of a call with a bad result."""

    def told(self, call: Call) -> None:
        """A call gave a NaN or an infinity."""


watcher: ContextVar[Watcher | None] = ContextVar("watcher", default=None)


def look(
    found: Sequence[Any], transform: str, f: Callable[..., Any], args: tuple[Any, ...],
    kwargs: dict[str, Any], argnums: tuple[int, ...] = (), has_aux: bool = False,
    along: Any = None,
) -> None:  # fmt: skip
    """Look at a result: its parts, which may be trees.

    What is part of another computation is looked at there.
    """
    for part in found:
        kind = type(part)
        # What most results are is asked here: beside a small function, a call is a long time.
        if kind is np.float64:
            fine = isfinite(part)
        elif kind is np.ndarray and part.dtype.char == "d":
            fine = isfinite(np.vdot(part, part)) or all_finite(part)
        else:
            fine = tree_finite(part)
        if not fine:
            break
    else:
        return
    who = watcher.get()
    if who is not None and innermost() is None:
        leaves = tuple(flatten(found)[0])
        who.told(Call(transform, f, args, kwargs, argnums, has_aux, along, leaves))


def tree_finite(tree: Any) -> bool:
    """Whether no leaf has a NaN or an infinity."""
    kind = type(tree)
    if kind is np.float64:
        return isfinite(tree)
    if kind is np.ndarray:
        return all_finite(tree)
    if kind is tuple or kind is list:
        for part in tree:  # noqa: SIM110 - a generator takes as long as a number
            if not tree_finite(part):
                return False
        return True
    if kind is dict:
        return tree_finite([*tree.values()])
    if isinstance(tree, Operand):
        return True
    return all(map(all_finite, flatten(tree)[0]))


def all_finite(leaf: Any) -> bool:
    """Whether a number or an array has neither a NaN nor an infinity; what is no float has none.

    An array is multiplied by itself at first: a sum of squares is finite only if all of them are,
    and the BLAS takes a third of the time of asking each element. Only where the squares overflow
    are the elements asked.
    """
    if isinstance(leaf, float):  # NumPy's float64 too
        return isfinite(leaf)
    if not isinstance(leaf, np.ndarray | np.floating) or leaf.dtype.kind != "f":
        return True
    if isinstance(leaf, np.ndarray) and leaf.itemsize in (4, 8) and isfinite(np.vdot(leaf, leaf)):
        return True
    return bool(np.isfinite(leaf).all())
