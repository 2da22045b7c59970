"""A sum over an axis that only one factor of a product has is taken before the product.

What arrives at something that was repeated for many points, behind a matrix that is the same for
all of them, is the sum of many products with that matrix: it is the product of the sum. The last
bit may differ, and a matrix with an infinity gives what its product with the sum is.
"""

from __future__ import annotations

from collections.abc import Sequence

from chainrule.graph.operand import NO_ATTRS
from chainrule.rules.arithmetic import NEGATIVE
from chainrule.rules.contractions import EINSUM
from chainrule.rules.reductions import SUM
from chainrule.run.llvm.program import Program, Value
from chainrule.run.llvm.rows.contractions import labels_of


def sum_before_product(program: Program, x: Value, axes: Sequence[int]) -> Value | None:
    """The sum of ``x`` over some axes; ``None`` if it is no product, or all factors have them."""
    if x.op is None or x.dtype.kind != "f":
        return None
    if x.op.name == "negative":
        inner = sum_before_product(program, x.args[0], axes)
        if inner is None:
            return None
        return program.apply(NEGATIVE, (inner,), NO_ATTRS, inner.shape, inner.dtype)
    matrices = x.op.name == "matmul" and all(len(a.shape) > 1 for a in x.args)
    if not (matrices or x.op.name == "einsum") or any(a.dtype != x.dtype for a in x.args):
        return None
    labels = labels_of(x)
    *names, out = labels
    summed = {out[a] for a in axes}
    if not summed or summed & set(names[0]) & set(names[1]):
        return None
    if not (set(names[0]) & set(names[1])) - set(out):  # nothing is summed: it costs no more
        return None
    factors = []
    for factor, own in zip(x.args, names, strict=True):
        places = tuple([k for k, name in enumerate(own) if name in summed])
        if any(factor.shape[k] != x.shape[out.index(own[k])] for k in places):
            return None  # repeated along the axis
        if places:
            kept = tuple([n for k, n in enumerate(factor.shape) if k not in places])
            over = {"axis": None if not kept else places, "keepdims": False}
            factor = program.apply(SUM, (factor,), over, kept, factor.dtype)
        factors.append(factor)
    left, right, result = ("".join(c for c in own if c not in summed) for own in labels)
    shape = tuple([n for a, n in enumerate(x.shape) if a not in axes])
    subscripts = {"subscripts": f"{left},{right}->{result}"}
    return program.apply(EINSUM, tuple(factors), subscripts, shape, x.dtype)
