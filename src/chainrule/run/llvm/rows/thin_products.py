"""Products with a known matrix that has very few terms in each row: these alone are added up.

The zeros that are left out would make a NaN of an infinity in the other factor: a recording counts
on that being finite, and is made again if it is not.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from chainrule.graph.primitive import Primitive
from chainrule.rules.batching import ARRAY
from chainrule.rules.contractions import EINSUM
from chainrule.rules.linear_algebra import MATMUL
from chainrule.rules.shapes import INDEX
from chainrule.run.llvm.program import SIMPLER, Program, Value
from chainrule.transforms.sparse import sparse_product


def _thin(
    op: Primitive, otherwise: Callable[..., Value | None] | None, program: Program, args: Any,
    attrs: Any, shape: Any, dtype: Any,
) -> Value | None:  # fmt: skip
    known = tuple([a.constant if a.is_constant else a for a in args])
    for position, x in enumerate(args):
        if x.number not in program.finite:
            continue
        sparse = sparse_product(op, position, known, attrs)
        if sparse is None or not sparse.is_thin:
            continue
        places, factors = sparse.terms()
        index = (*(slice(None),) * sparse.axis, ARRAY)
        picked_shape = (*x.shape[: sparse.axis], *places.shape, *x.shape[sparse.axis + 1 :])
        picked = program.apply(
            INDEX, (x, program.constant(places)), {"index": index}, picked_shape, x.dtype
        )
        given = picked, program.constant(factors)
        subscripts = {"subscripts": sparse.subscripts(stacked=False)}
        return program.apply(EINSUM, given, subscripts, shape, dtype)
    return None if otherwise is None else otherwise(program, args, attrs, shape, dtype)


for _op in (EINSUM, MATMUL):
    SIMPLER[_op.name] = functools.partial(_thin, _op, SIMPLER.get(_op.name))
