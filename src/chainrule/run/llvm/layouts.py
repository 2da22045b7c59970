"""In which order the axes of an array lie in memory: that in which what is made of it is written.

A function may compute with its axes in one order and return them in another: a forward Jacobian has
its columns first while it is computed, and last when it is done. Arrays on the way to such a result
are stored as it lies. The loops that make them, and those that read them, then run alike, and all
go along what is side by side.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import NoneType

import numpy as np

from chainrule.rules.batching import ARRAY
from chainrule.rules.contractions import letters_of, summed_products
from chainrule.rules.reductions import reduced_axes
from chainrule.rules.shapes import written_out
from chainrule.run.llvm.program import Value

Order = tuple[int, ...]
# Sums of up to so many products are written out for each element, in the loops that use it: a
# matrix would take longer to be written and read again than to be computed. Sums of more may be the
# BLAS's, which is asked once for a whole matrix, and reads its factors in either order.
FEW_PRODUCTS = 20
_CONTRACTIONS = frozenset(("einsum", "matmul", "vecdot"))


def orders(values: Sequence[Value], results: Sequence[Value]) -> dict[int, Order]:
    """The axes of values from the outermost in memory, where all who use them want them so.

    What is not listed lies in the order of its axes: nobody asks for another one.
    """
    asked: dict[int, Order] = {v.number: _natural(v) for v in results}
    for value in reversed(values):
        order = asked.get(value.number)
        if order is None or value.op is None:
            continue
        wanted = dict(_asked_of(value, order))
        for arg in value.args:
            own = wanted.get(arg)
            if own is None and (value.op.name in _CONTRACTIONS or not value.shape):
                continue  # read in any order
            own = own or _natural(arg)
            if asked.setdefault(arg.number, own) != own:
                asked[arg.number] = _natural(arg)
    return {
        v.number: asked[v.number]
        for v in values
        if v.number in asked and _differs(v, asked[v.number])
    }


def _differs(value: Value, order: Order) -> bool:
    """Whether an order is another one in memory: axes of length one lie anywhere."""
    wide = [k for k in order if value.shape[k] != 1]
    return wide != sorted(wide)


def _natural(value: Value) -> Order:
    return tuple(range(len(value.shape)))


def _asked_of(value: Value, order: Order) -> Iterator[tuple[Value, Order]]:
    """How arguments of an operation should lie for its result to be written in another order."""
    op, attrs = value.op, value.attrs
    assert op is not None
    if order == _natural(value) and op.name != "transpose" and not _sums_few(value):
        return
    if op.elementwise or op.name in ("broadcast_to", "concatenate", "astype", "copy"):
        for arg in value.args:
            extra = len(value.shape) - len(arg.shape)
            yield arg, tuple([k - extra for k in order if k >= extra])
    elif op.name == "transpose":
        yield value.args[0], tuple([attrs["axes"][k] for k in order])
    elif op.name == "stack":
        axis = attrs["axis"] % len(value.shape)
        own = tuple([k - (k > axis) for k in order if k != axis])
        for arg in value.args:
            yield arg, own
    elif op.name == "reshape":
        (arg,) = value.args
        parts = groups(arg.shape, value.shape)
        first = sorted((p for p in parts if p[1]), key=lambda p: min(map(order.index, p[1])))
        yield arg, _with_others([a for olds, _ in first for a in olds], len(arg.shape))
    elif op.name in ("sum", "mean", "prod", "max", "min") and not attrs.get("keepdims"):
        (arg,) = value.args
        gone = reduced_axes(attrs.get("axis"), len(arg.shape))
        axes = [a for a in range(len(arg.shape)) if a not in gone]
        yield arg, _with_others([axes[k] for k in order], len(arg.shape))
    elif op.name == "index":
        (arg, *arrays) = value.args
        if any(a.dtype == np.bool_ for a in arrays):
            return
        among = np.broadcast_shapes(*[a.shape for a in arrays])
        kept_axes = _kept(attrs["index"], len(arg.shape), len(among))
        kept = list(dict.fromkeys(a for k in order for a in kept_axes[k]))
        yield arg, _with_others(kept, len(arg.shape))
        for array in arrays:
            yield array, _natural(array)
    elif op.name == "einsum":
        inputs, out = attrs["subscripts"].split("->")
        wanted = [out[k] for k in order]
        for arg, letters in zip(value.args, inputs.split(","), strict=True):
            known = [letters.index(c) for c in wanted if c in letters]
            yield arg, _with_others(known, len(letters), wanted[-1] in letters)


def _sums_few(value: Value) -> bool:
    """Whether a contraction is a sum of few products, which loops make along its last axis."""
    if value.op is None or value.op.name != "einsum" or not value.shape:
        return False
    letters = letters_of(value.op.name, value.args, value.attrs)
    return letters is not None and summed_products(value.args, letters) <= FEW_PRODUCTS


def groups(old: Sequence[int], new: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    """Which axes of one shape are which of another with as many elements, in order."""
    found: list[tuple[list[int], list[int]]] = []
    j = 0
    i = 0
    while i < len(old) or j < len(new):
        olds, news = [], []
        one = other = 1
        while True:
            if i < len(old) and (one <= other or j == len(new)):
                one *= old[i]
                olds.append(i)
                i += 1
            elif j < len(new):
                other *= new[j]
                news.append(j)
                j += 1
            if one == other or (i == len(old) and j == len(new)):
                break
        found.append((olds, news))
    return found


def _kept(template: tuple[object, ...], ndim: int, picked: int) -> list[tuple[int, ...]]:
    """For each axis of what an index picks, the axes that it goes through.

    Args:
        template: The index.
        ndim: How many axes the array has.
        picked: How many axes the arrays of the index have together.
    """
    whole = written_out(template, ndim)
    advanced = [k for k, part in enumerate(whole) if not isinstance(part, slice | NoneType)]
    together = bool(advanced) and advanced[-1] - advanced[0] == len(advanced) - 1
    found: list[tuple[int, ...]] = []
    through: list[int] = []
    axis = first = 0
    for k, part in enumerate(whole):
        if part is None:
            found.append(())
            continue
        if isinstance(part, slice):
            found.append((axis,))
        else:
            if together and k == advanced[0]:
                first = len(found)
            if part is ARRAY:
                through.append(axis)
        axis += 1
    found[first:first] = [tuple(through)] * picked
    return found


def _with_others(axes: Sequence[int | None], ndim: int, lanes: bool = True) -> Order:
    """An order of some axes, completed by the others: before the last one, which stays it."""
    known = [a for a in axes if a is not None]
    others = [a for a in range(ndim) if a not in known]
    if not lanes or not known:
        return (*known, *others)
    return (*known[:-1], *others, known[-1])
