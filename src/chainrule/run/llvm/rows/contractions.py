"""Sums of products: by the BLAS where they are large, as loops where they are small."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from chainrule.rules.contractions import letters_of
from chainrule.run.llvm.expressions import ZERO, Expr, op
from chainrule.run.llvm.layouts import FEW_PRODUCTS
from chainrule.run.llvm.lowering import (
    Index,
    Lowering,
    Tensor,
    Unsupported,
    converted,
    loops_over,
    of_buffer,
    row_strides,
    rule,
    strides_of,
    view,
)
from chainrule.run.llvm.nests import Buffer, Call
from chainrule.run.llvm.program import Value
from chainrule.run.llvm.skipping import mostly_zero

# Products of matrices with fewer multiplications than this are loops: a call costs more.
_BLAS_FROM = 4000
_BLAS_FROM_FOR_MANY = 30_000
# Each product of a written-out sum waits for the one before, in chains of about so many products;
# but each chain takes a register.
_LINKS, _CHAINS = 4, 4
# An axis of a matrix that is too long for it to stay near.
_LONG = 256
# So many sums stay near.
_NEAR = 1 << 16


@rule("matmul", "einsum")
def _product_of_two(b: Lowering, value: Value, x: Tensor, y: Tensor) -> Tensor:
    left, right, out = labels_of(value)
    return contraction(b, value, x, left, y, right, out)


def labels_of(product: Value) -> tuple[str, str, str]:
    """The names of the axes of both factors and of their product."""
    assert product.op is not None
    letters = letters_of(product.op.name, product.args, product.attrs)
    assert letters is not None
    return letters


def contraction(
    b: Lowering, value: Value, x: Tensor, left: str, y: Tensor, right: str, out: str
) -> Tensor:
    """A sum of products over named axes; axes of length one are repeated."""
    if value.dtype.kind not in "fi":
        raise Unsupported("a contraction")
    sizes: dict[str, int] = {}
    for name, n in (*zip(left, x.shape, strict=True), *zip(right, y.shape, strict=True)):
        known = sizes.get(name, 1)
        sizes[name] = n if known == 1 else known
    summed = [c for c in dict.fromkeys(left + right) if c not in out]
    rows = [c for c in out if c in left and c not in right]
    columns = [c for c in out if c in right and c not in left]
    work = math.prod(sizes.values())
    x, y = converted(b, x, value.dtype), converted(b, y, value.dtype)
    m, n, k = (math.prod(sizes[c] for c in part) for part in (rows, columns, summed))
    shared = [c for c in out if c in left and c in right]
    floats = value.dtype.kind == "f"
    last = out[b.orders.get(value.number, (-1,))[-1]] if out else ""
    written_out = floats and 1 < k <= FEW_PRODUCTS and max(m, n) >= _LONG and last not in shared
    rare = _mostly_zero(x, y, rows, columns, sizes) if floats and k >= _LONG else None
    loops = written_out or rare is not None
    if b.blas and floats and not loops and _worth_a_call(m, n, k, len(shared)):
        return _product(
            b, value, (x, left), (y, right), (rows, columns, summed, shared), out, sizes
        )
    x = b.for_many(x, work / max(x.size, 1))
    y = b.for_many(y, work / max(y.size, 1))
    if written_out:
        x, y = _side_by_side(b, x, left, last), _side_by_side(b, y, right, last)
    order = [*out, *summed]
    shape = tuple(sizes[c] for c in order)

    def of(t: Tensor, names: str) -> Callable[[Index], Expr]:
        places = [order.index(c) for c in names]
        ones = [t.shape[k] == 1 for k in range(len(names))]
        return lambda index: t.at(
            tuple([ZERO if one else index[p] for one, p in zip(ones, places, strict=True)])
        )

    at_x, at_y = of(x, left), of(y, right)
    product = Tensor(
        shape, value.dtype,
        lambda index: op("multiply", value.dtype, at_x(index), at_y(index)),
        x.weight + y.weight + 1, 1 + max(x.depth, y.depth),
    )  # fmt: skip
    if k != 1 and not written_out:
        first: Sequence[int] | None = None
        if rare is not None:
            first = [order.index(c) for c in (*summed, *rare)]
        return b.reduce(product, range(len(out), len(order)), "add", 0, first)

    turns = list(itertools.product(*[range(sizes[c]) for c in summed]))
    chains = min(_CHAINS, -(-k // _LINKS))

    def at(index: Index) -> Expr:
        """The sum of all products, in chains that need not wait for each other."""
        sums = [
            chain([(*index, *map(ZERO.shifted, t)) for t in turns[n::chains]])
            for n in range(chains)
        ]
        while len(sums) > 1:
            half = len(sums) // 2
            pairs = zip(sums[:half], sums[half : 2 * half], strict=True)
            sums = [*(op("add", value.dtype, *pair) for pair in pairs), *sums[2 * half :]]
        return sums[0]

    def chain(places: Sequence[Index]) -> Expr:
        total = product.at(places[0])
        for place in places[1:]:
            total = op("multiply_add", value.dtype, at_x(place), at_y(place), total)
        return total

    return Tensor(
        shape[: len(out)], value.dtype, at, k * (product.weight + 1) - 1, k - 1 + product.depth
    )


def _mostly_zero(
    x: Tensor, y: Tensor, rows: Sequence[str], columns: Sequence[str], sizes: Any
) -> Sequence[str] | None:
    """The axes of a factor that is mostly zero, if the products are best summed where it is made.

    It then need not be kept. The sums have to stay near, and the other factor is a narrow matrix.
    """
    m, n = (math.prod(sizes[c] for c in part) for part in (rows, columns))
    for t, own, across in ((x, rows, n), (y, columns, m)):
        narrow = across <= FEW_PRODUCTS and m * n <= _NEAR
        if narrow and t.layout is None and mostly_zero(t.at(loops_over(t.shape)[1])):
            return own
    return None


def _side_by_side(b: Lowering, x: Tensor, names: str, last: str) -> Tensor:
    """An array whose elements along an axis lie side by side, so that loops read it in vectors."""
    axis = names.find(last)
    if axis < 0 or (x.layout is not None and x.layout[2][axis] == 1):
        return x
    moved = [k for k in range(len(names)) if k != axis] + [axis]
    back = [moved.index(k) for k in range(len(names))]
    source = x
    kept = b.stored(Tensor(
        tuple(x.shape[k] for k in moved), x.dtype,
        lambda index: source.at(tuple([index[k] for k in back])), x.weight, x.depth,
    ))  # fmt: skip
    return Tensor(x.shape, x.dtype, lambda index: kept.at(tuple([index[k] for k in moved])))


def _worth_a_call(m: int, n: int, k: int, batches: int) -> bool:
    """Whether the BLAS is faster than loops: for many products each has to be larger."""
    least, work = (12, _BLAS_FROM_FOR_MANY) if batches else (4, _BLAS_FROM)
    return min(m, n, k) >= least and m * n * k >= work


def _product(
    b: Lowering, value: Value, first: Any, second: Any, groups: Any, out: str, sizes: Any
) -> Tensor:
    """A product of two matrices, or one for each index of shared axes, by the BLAS."""
    rows, columns, summed, shared = groups
    if out and out[-1] in rows:  # the same product the other way round writes its rows side by side
        first, second, rows, columns = second, first, columns, rows
    (x, left), (y, right) = first, second
    m, n, k = (math.prod(sizes[c] for c in part) for part in (rows, columns, summed))
    one = _matrix(b, x, left, rows, summed, shared)
    other = _matrix(b, y, right, summed, columns, shared)
    # The result lies as it is wanted, if the BLAS can write it so; else one product after another.
    by_name = dict(zip(out, zip(value.shape, row_strides(value.shape), strict=True), strict=True))
    at = [_joined([by_name[c] for c in part]) for part in (rows, columns)]
    straight = at[0] is not None and at[1] is not None and at[1][1] == 1
    natural = [*out] if straight else [*shared, *rows, *columns]
    shape = tuple(sizes[c] for c in natural)
    stride = at[0][1] if straight and at[0] is not None and m > 1 else n
    steps = dict(zip(natural, row_strides(shape), strict=True))
    batches = [
        (sizes[c], one[4].get(c, 0), other[4].get(c, 0), steps[c]) for c in shared if sizes[c] > 1
    ]
    target = b.nests.buffer("m", shape, value.dtype)
    b.nests.call(Call(
        "gemm", [target], [one[0], other[0]],
        {"sizes": (m, n, k), "left": one[:4], "right": other[:4], "stride": stride,
         "batches": batches}, b.place,
    ))  # fmt: skip
    found = of_buffer(target)
    order = [natural.index(c) for c in out]
    if order == list(range(len(order))):
        return found
    strides = strides_of(found)
    inverse = [order.index(j) for j in range(len(order))]
    return view(
        found, value.shape, lambda index: tuple([index[j] for j in inverse]),
        [strides[a] for a in order],
    )  # fmt: skip


def _matrix(
    b: Lowering, x: Tensor, names: str, first: Sequence[str], second: Sequence[str],
    shared: Sequence[str],
) -> tuple[Buffer, int, bool, int, dict[str, int]]:  # fmt: skip
    """An array as matrices whose rows are ``first``.

    Returns:
        Buffer, offset, whether it lies transposed, stride, and the strides of the shared axes.
    """
    if x.layout is None:
        # Stored as it is written, it can often be read as it is wanted: the BLAS transposes.
        straight, axes = x.transposed or (x, tuple(range(len(x.shape))))
        own = b.stored(straight)
        strides = strides_of(own)
        assert own.layout is not None
        layout = own.layout[0], own.layout[1], tuple(strides[a] for a in axes)
        x = Tensor(x.shape, x.dtype, x.at, layout=layout)
    assert x.layout is not None
    source, offset, strides = x.layout
    by_name = dict(zip(names, zip(x.shape, strides, strict=True), strict=True))
    steps = {c: by_name[c][1] if by_name[c][0] > 1 else 0 for c in shared}
    one, other = (_joined([by_name[c] for c in part]) for part in (first, second))
    if one is not None and other is not None:
        (n_one, s_one), (n_other, s_other) = one, other
        if s_other == 1 and s_one >= n_other:
            return source, offset, False, s_one, steps
        if s_one == 1 and s_other >= n_one:
            return source, offset, True, s_other, steps
    wanted = (*shared, *first, *second)
    order = [names.index(c) for c in wanted]
    inverse = [order.index(j) for j in range(len(order))]
    moved = x
    x = Tensor(
        tuple(x.shape[a] for a in order), x.dtype,
        lambda index: moved.at(tuple([index[j] for j in inverse])), x.weight, x.depth,
    )  # fmt: skip
    kept = b.stored(x)
    assert kept.buffer is not None
    places = dict(zip(wanted, zip(kept.shape, row_strides(kept.shape), strict=True), strict=True))
    steps = {c: places[c][1] if places[c][0] > 1 else 0 for c in shared}
    stride = max(1, math.prod(places[c][0] for c in second))
    return kept.buffer, 0, False, stride, steps


def _joined(axes: Sequence[tuple[int, int]]) -> tuple[int, int] | None:
    """Neighbouring axes as one: its length and stride, if they lie like one."""
    axes = [(n, s) for n, s in axes if n != 1]
    if not axes:
        return 1, 1
    for (_, outer), (n, inner) in pairwise(axes):
        if outer != n * inner:
            return None
    return math.prod(n for n, _ in axes), axes[-1][1]
