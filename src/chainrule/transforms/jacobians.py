"""Whole matrices of derivatives: one pass of a mode for each column or row, side by side."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from chainrule.errors import ArgumentsError
from chainrule.graph import unusual
from chainrule.graph.batch import Batched
from chainrule.graph.operand import Operand
from chainrule.graph.tape import Traced, dtype_of, shape_of
from chainrule.transforms.batching import vmap
from chainrule.transforms.derivatives import (
    check_tangents,
    grad,
    jvp,
    lowered,
    parted,
    positions,
    pull_from,
    push_along,
    trace,
)
from chainrule.transforms.watching import look
from chainrule.tree import flatten, map_leaves


def jacobian(
    f: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    *,
    mode: Literal["forward", "reverse"] | None = None,
) -> Callable[..., Any]:
    """A function that returns the Jacobian of ``f``: every ∂result/∂argument.

    Args:
        f: A function of arrays (or pytrees) that returns an array (or a pytree), or such a result
            and something else with ``has_aux``.
        argnums: Which positional arguments to differentiate with respect to.
        has_aux: Whether ``f`` returns a pair whose second part is passed through.
        mode: ``"forward"`` makes a pass for each element of the arguments, ``"reverse"`` one for
            each element of the result. Left out, whichever needs fewer passes.

    Returns:
        A function with ``f``'s signature. For arrays the Jacobian has shape
        ``result.shape + argument.shape`` and the argument's dtype (the result's in forward mode).
        For pytrees it is a tree like the result, with a tree like the argument at each leaf; for a
        sequence of ``argnums``, a tuple at each leaf. ``(jacobian, aux)`` with ``has_aux``.

    Raises:
        NotDifferentiableError: An argument is not made of floats.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> cr.jacobian(lambda x: x * x[0])(np.array([2.0, 3.0]))
        array([[4., 0.],
               [3., 2.]])
    """
    if mode not in (None, "forward", "reverse"):
        raise ArgumentsError(f"mode is 'forward' or 'reverse', not {mode!r}")
    single, nums = positions(f, argnums, "jacobian")

    @functools.wraps(f, assigned=("__name__", "__doc__"), updated=())
    def whole(*args: Any, **kwargs: Any) -> Any:
        tape, result, inputs, rebuild = trace(f, args, nums, kwargs)
        out, aux = parted(f, result, has_aux)
        columns = sum(int(np.size(x.value)) for x in inputs)
        rows = sum(int(np.size(lowered(y, tape))) for y in flatten(out)[0])
        backward = rows <= columns if mode is None else mode == "reverse"
        blocks = _by_rows if backward else _by_columns

        def at_leaf(leaf: Any) -> Any:
            tree = rebuild(blocks(tape, leaf, inputs))
            return tree[0] if single else tree

        found = map_leaves(at_leaf, out)
        passed_through = map_leaves(lambda leaf: lowered(leaf, tape), aux)
        tape.records.clear()
        if unusual.asked:
            look((found,), "jacobian", f, args, kwargs, nums, has_aux)
        return (found, passed_through) if has_aux else found

    return whole


def _by_rows(tape: Any, out: Any, inputs: Sequence[Any]) -> list[Any]:
    """∂out/∂input for each input, one cotangent of ``out`` after the other."""
    value = lowered(out, tape)
    shape, dtype = shape_of(value), dtype_of(value)
    if out is value:  # nothing of it was traced
        return [np.zeros((*shape, *shape_of(x.value)), dtype_of(x.value))[()] for x in inputs]
    if not shape:
        return pull_from(tape, out, dtype.type(1.0), inputs)
    units = _units(shape, dtype)
    pulled = _all_numbers(
        lambda sparse: vmap(lambda ct: tuple(pull_from(tape, out, ct, inputs, sparse)))(units)
    )
    return [
        np.reshape(rows, (*shape, *shape_of(x.value)))
        for rows, x in zip(pulled, inputs, strict=True)
    ]


def _by_columns(tape: Any, out: Any, inputs: Sequence[Any]) -> list[Any]:
    """∂out/∂input for each input, one tangent of the input after the other."""
    found = []
    for x in inputs:
        shape, dtype = shape_of(x.value), dtype_of(x.value)
        if not shape:
            found.append(push_along(tape, [x], [dtype.type(1.0)], out))
            continue
        if type(out) is Traced and out.level == tape.level and _compiled(x.value):
            from chainrule.transforms.columns import columns_along

            columns = columns_along(tape.records, x, out)
            if columns is not None:
                found.append(np.reshape(columns, (*shape_of(out.value), *shape)))
                continue
        units = _units(shape, dtype)

        def pushed(sparse: bool, x: Any = x, units: Any = units) -> Any:
            return vmap(lambda t: push_along(tape, [x], [t], out, sparse), out_axes=-1)(units)

        (columns,) = _all_numbers(lambda sparse: (pushed(sparse),))
        found.append(np.reshape(columns, (*shape_of(lowered(out, tape)), *shape)))
    return found


def _compiled(value: Any) -> bool:
    """Whether what is done with a value is recorded to be done again."""
    while isinstance(value, Operand):
        if isinstance(value, Batched):
            value = value.stack
        elif isinstance(value, Traced):
            if value.tape.staged:
                return True
            value = value.value
        else:
            return False
    return False


def _all_numbers(walk: Callable[[bool], tuple[Any, ...]]) -> tuple[Any, ...]:
    """What a walk with unit vectors gives; where that is not a number, respecting their zeros.

    Knowing where every row can be non-zero costs as much as the rows: it is worth it only where an
    infinite slope has met one of the zeros.
    """
    found = walk(False)
    if any(isinstance(part, np.ndarray) and np.isnan(part).any() for part in found):
        return walk(True)
    return found


def _units(shape: tuple[int, ...], dtype: Any) -> Any:
    """Every array of this shape with one 1 and zeros, stacked."""
    size = int(np.prod(shape, dtype=int))
    return np.eye(size, dtype=dtype).reshape((size, *shape))


def hessian(
    f: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """A function that returns the Hessian: every ∂²f/∂x∂y.

    It is the Jacobian of the Jacobian, forward over reverse, which for a scalar function is that of
    the gradient. Arguments and structure of the result are those of ``jacobian``: for an array
    argument the shape is ``f(x).shape + x.shape + x.shape``.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> cr.hessian(lambda x: x[0] * x[1] ** 2)(np.array([2.0, 3.0]))
        array([[0., 6.],
               [6., 4.]])
    """
    once = jacobian(f, argnums, has_aux, mode="reverse")
    return jacobian(once, argnums, has_aux, mode="forward")


def hvp(
    f: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any]
) -> tuple[Any, ...] | Any:
    """The Hessian of a scalar function times a vector, without making the Hessian.

    Args:
        f: A function of arrays (or pytrees) with a real scalar result.
        primals: Its arguments.
        tangents: The vector: one direction per argument.

    Returns:
        ``∇²f · tangent``, with the structure of the one argument, or a tuple with an entry for
        each of several. It is forward mode over reverse: about twice the cost of a gradient.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> cr.hvp(lambda x: np.sum(x**3), (np.array([1.0, 2.0]),), (np.array([1.0, 0.0]),))
        array([6., 0.])
    """
    check_tangents("hvp", primals, tangents)
    nums = tuple(range(len(primals)))
    _, product = jvp(grad(f, argnums=nums), tuple(primals), tuple(tangents))
    return product[0] if len(nums) == 1 else product
