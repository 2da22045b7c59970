"""What users say about derivatives: a rule of their own, no derivative, recomputation."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from chainrule.chain import reverse
from chainrule.errors import ArgumentsError
from chainrule.graph.bundle import Bundle
from chainrule.graph.held import held
from chainrule.graph.operand import Operand, bind, concrete
from chainrule.graph.primitive import Custom, Flat, Notation, Primitive
from chainrule.graph.tape import Tape, Traced, dtype_of, example, running, shape_of
from chainrule.graph.versions import refreshed
from chainrule.rules.shapes import broadcast_to, sum_to
from chainrule.transforms.derivatives import jvp, vjp
from chainrule.transforms.staging import (
    composite,
    explained,
    identity,
    is_float,
    items,
    linear_parts,
    placed,
    refuse_operands,
    taken_from_outside,
    value_of,
    zeros_for,
)
from chainrule.tree import flatten, map_leaves

# What tells these rows apart: their names are those of the user's functions, whatever these are.
BY_AUTHOR = "given by its author"
STOP = Primitive(
    "stop_gradient", lambda x: held(np.array(x)[()]), (Flat("detached"),),
    Notation("stop_gradient", r"\mathrm{stop}"), recorded=False,
)  # fmt: skip


def stop_gradient(x: Any) -> Any:
    """``x`` as a constant: its value, with no derivative of any order.

    Args:
        x: An array or a pytree of arrays.

    Example:
        >>> import chainrule as cr
        >>> cr.grad(lambda x: x * cr.stop_gradient(x))(3.0)
        np.float64(3.0)
    """
    return map_leaves(lambda leaf: bind(STOP, (leaf,)), x)


# -------------------------------------------------------------------------------------- custom_rule


def custom_rule(
    f: Callable[..., Any] | None = None,
    *,
    partials: Sequence[Callable[..., Any] | float] | None = None,
    pull: Callable[..., Any] | None = None,
    push: Callable[..., Any] | None = None,
) -> Any:
    """Give a function a derivative of your own; it is not looked into any more.

    Args:
        f: A function of positional arrays that returns an array, written with any library. It is
            called with plain arrays.
        partials: For an elementwise function, the local derivative with respect to each argument:
            ``partial(*args, out)``, or a number.
        pull: ``pull(cotangent, *args, out)`` gives the cotangent of each argument (the one itself
            if there is one argument): the product with the transposed Jacobian.
        push: ``push(tangents, *args, out)``, with a tuple of tangents, gives the tangent of the
            result.

    Returns:
        The function, differentiable by what was given. Written over NumPy, the rule may be
        differentiated again. With only one of ``pull`` and ``push``, the other mode transposes it.

    Raises:
        ArgumentsError: No rule is given, or partials beside another.

    Check a rule against differences with ``chainrule.check(f, *args)``.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> @cr.custom_rule(partials=[lambda x, out: 1 / (1 + np.exp(-x))])
        ... def softplus(x):
        ...     return np.logaddexp(x, 0.0)
        >>> cr.grad(softplus)(0.0)
        np.float64(0.5)
    """
    if f is None:
        return functools.partial(custom_rule, partials=partials, pull=pull, push=push)
    if (partials is None) == (pull is None and push is None):
        raise ArgumentsError("custom_rule takes partials, or pull and push (or one of them)")
    if partials is not None:
        pull, push = _of_partials(partials, getattr(f, "__name__", "f"))
    row = _row(f, pull, push)

    @functools.wraps(f)
    def ruled(*args: Any) -> Any:
        return bind(row, tuple(map(value_of, args)))

    return ruled


def _row(f: Callable[..., Any], pull: Any, push: Any) -> Primitive:
    name = getattr(f, "__name__", "f")

    def evaluate(*args: Any) -> Any:
        result = f(*args)
        if not any(isinstance(a, Operand) for a in args):
            refuse_operands(result, name)
        return value_of(result)

    def pulled(cotangent: Any, args: Any, out: Any, attrs: Any) -> Sequence[Any]:
        if pull is None:
            return _transposed_push(push, cotangent, args, out)
        parts = pull(cotangent, *args, out)
        parts = parts if isinstance(parts, tuple | list) else (parts,)
        if len(parts) != len(args):
            raise ArgumentsError(
                f"the pull of {name} gives {len(parts)} cotangent(s) for {len(args)} argument(s)"
            )
        for i, (part, arg) in enumerate(zip(parts, args, strict=True)):
            if part is not None and shape_of(part) != shape_of(arg):
                raise ArgumentsError(
                    f"the pull of {name} gives a cotangent of shape {shape_of(part)} for argument "
                    f"{i} of shape {shape_of(arg)}"
                )
        return tuple([_typed(part, arg) for part, arg in zip(parts, args, strict=True)])

    def pushed(tangents: Any, args: Any, out: Any, attrs: Any) -> Any:
        filled = _filled(tangents, args)
        if push is None:
            return _transposed_pull(pull, filled, args, out)
        tangent = push(filled, *args, out)
        if shape_of(tangent) != shape_of(out):
            raise ArgumentsError(
                f"the push of {name} gives a tangent of shape {shape_of(tangent)} for a result of "
                f"shape {shape_of(out)}"
            )
        return _typed(tangent, out)

    return Primitive(
        name, evaluate, (Custom(pushed, pulled, joint=True),),
        Notation(name, rf"\operatorname{{{name}}}".replace("_", r"\_")), elementwise=False,
        structure=BY_AUTHOR,
    )  # fmt: skip


def _filled(tangents: Sequence[Any], args: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(zeros_for(a) if t is None else t for t, a in zip(tangents, args, strict=True))


def _typed(found: Any, value: Any) -> Any:
    """A tangent or cotangent in the dtype of its value: a rule may well compute in another."""
    dtype = dtype_of(value)
    if found is None or dtype.kind != "f" or dtype_of(found) == dtype:
        return found
    return found.astype(dtype) if hasattr(found, "astype") else dtype.type(found)


def _transposed_pull(pull: Any, tangents: Any, args: Any, out: Any) -> Any:
    """The tangent that a pull implies: it is linear in the cotangent, and so is its transpose."""

    def along(cotangent: Any) -> Any:
        parts = pull(cotangent, *args, out)
        parts = parts if isinstance(parts, tuple | list) else (parts,)
        return sum(
            np.sum(p * t)
            for p, t, a in zip(parts, tangents, args, strict=True)
            if p is not None and is_float(a)
        )

    return vjp(along, zeros_for(out))[1](1.0)[0]


def _transposed_push(push: Any, cotangent: Any, args: Any, out: Any) -> list[Any]:
    where = [i for i, a in enumerate(args) if is_float(a)]

    def tangent(*floats: Any) -> Any:
        moving = [zeros_for(a) for a in args]
        for i, value in zip(where, floats, strict=True):
            moving[i] = value
        return push(tuple(moving), *args, out)

    _, transpose = vjp(tangent, *(zeros_for(args[i]) for i in where))
    return placed(transpose(cotangent), where, len(args))


def _of_partials(partials: Sequence[Any], name: str) -> tuple[Any, Any]:
    def counted(args: Sequence[Any]) -> None:
        if len(args) != len(partials):
            raise ArgumentsError(
                f"{name} has {len(partials)} partial(s) for {len(args)} argument(s)"
            )

    def slope(i: int, args: Any, out: Any) -> Any:
        return partials[i](*args, out) if callable(partials[i]) else partials[i]

    def pull(cotangent: Any, *rest: Any) -> tuple[Any, ...]:
        *args, out = rest
        counted(args)
        return tuple(
            sum_to(cotangent * slope(i, args, out), shape_of(a)) if is_float(a) else None
            for i, a in enumerate(args)
        )

    def push(tangents: Any, *rest: Any) -> Any:
        *args, out = rest
        counted(args)
        parts = [
            t * slope(i, args, out)
            for i, (t, a) in enumerate(zip(tangents, args, strict=True))
            if is_float(a)
        ]
        return broadcast_to(sum(parts[1:], parts[0]), shape_of(out))

    return pull, push


# --------------------------------------------------------------------------------------- checkpoint


def checkpoint(f: Callable[..., Any]) -> Callable[..., Any]:
    """``f``, of which only the arguments are kept: the way back computes it again.

    A chain of n operations in √n checkpointed pieces needs memory for about 2√n values instead of
    n, and one more evaluation. ``f`` must do the same when it is called again: no random numbers
    that differ, nothing changed outside. What it takes from outside may be traced. A compiled loop
    keeps of its steps what would be dear to compute again; of a checkpointed step it keeps nothing.

    Args:
        f: A function of arrays or pytrees of them.

    Returns:
        A function with the same arguments and results.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> piece = cr.checkpoint(lambda x: np.sin(np.sin(x)))
        >>> bool(np.isclose(cr.grad(piece)(1.0), np.cos(1.0) * np.cos(np.sin(1.0))))
        True
    """

    @functools.wraps(f, assigned=("__name__", "__doc__"), updated=())
    def checkpointed(*args: Any, **kwargs: Any) -> Any:
        given, rebuild = flatten((args, kwargs))
        given = list(map(value_of, given))
        if not _can_be_looked_at(given):
            return f(*args, **kwargs)  # a batch, a staged loop: nothing is kept that could be saved

        def called(values: Sequence[Any]) -> Any:
            args, kwargs = rebuild(values)
            return f(*args, **kwargs)

        outside, results, rebuild_result = _first_run(called, given)
        if explained((*outside, *given)):
            return f(*args, **kwargs)
        if not any(isinstance(v, Operand) for v in (*outside, *given)):
            return rebuild_result(results)
        run = _Run(called, tuple(outside), list(results))
        found = bind(CHECKPOINT, (*outside, *given), {"run": run})
        return rebuild_result(items(found, len(results)))

    checkpointed.recomputed = True  # type: ignore[attr-defined]
    return checkpointed


class _Run:
    """A function to be called again; the results of its first call until they are fetched."""

    def __init__(
        self, f: Callable[[Sequence[Any]], Any], outside: tuple[Any, ...], first: Any
    ) -> None:
        self.f = f
        self.outside = outside
        self.first = first


def _can_be_looked_at(values: Sequence[Any]) -> bool:
    return not any(isinstance(concrete(v), Operand) for v in values)


def _first_run(f: Any, given: Sequence[Any]) -> tuple[list[Any], list[Any], Any]:
    """The results as plain values, and the operands that ``f`` takes from outside."""
    tape = Tape(staged=True)
    tape.branching = True
    inputs = [tape.input(example(v)) for v in given]
    with running(tape):
        results, rebuild = flatten(map_leaves(refreshed, f([x.alias() for x in inputs])))
    outside = taken_from_outside(tape, results)
    plain = [value_of(example(r)) for r in results]
    tape.records.clear()
    return list(outside.values()), plain, rebuild


class _StandIns:
    """Records in place of the operands that a function takes from outside, in order of first use.

    The function does the same as in its first run, so the order is the same, also for what it
    computes from outside values alone.
    """

    def __init__(self, records: Sequence[Traced]) -> None:
        self.waiting = iter(records)
        self.known: dict[tuple[int, int], Traced] = {}

    def __call__(self, operand: Operand) -> Any:
        key = identity(operand)
        if key not in self.known:
            self.known[key] = next(self.waiting)
        return self.known[key]


def _replayed(run: _Run, outside: Sequence[Any], given: Sequence[Any]) -> tuple[Tape, Any, Any]:
    """``f`` once more, recorded: what it takes from outside stands for the values given here."""
    tape = Tape()
    taken = [tape.input(v) for v in outside]
    inputs = [tape.input(v) for v in given]
    tape.instead = _StandIns(taken)
    with _reopened(run.outside), running(tape):
        results, _ = flatten(map_leaves(refreshed, run.f([x.alias() for x in inputs])))
    results = [
        tape.instead(r) if isinstance(r, Operand) and r.level != tape.level else r for r in results
    ]
    return tape, [*taken, *inputs], results


@contextmanager
def _reopened(outside: Sequence[Any]) -> Iterator[None]:
    """While the tapes of these operands may be written to again; it is forgotten afterwards."""
    tapes: dict[int, Tape] = {}
    for value in outside:
        while type(value) is Traced:
            tapes[value.tape.level] = value.tape
            value = value.value
    closed = [(tape, len(tape.records)) for tape in tapes.values() if tape.closed]
    for tape, _ in closed:
        tape.closed = False
    try:
        yield
    finally:
        for tape, count in closed:
            del tape.records[count:]
            tape.closed = True


def _recomputed(*args: Any, run: _Run) -> Bundle:
    if run.first is not None and not any(isinstance(a, Operand) for a in args):
        results, run.first = run.first, None
        return Bundle(results)
    count = len(run.outside)
    _, _, results = _replayed(run, args[:count], args[count:])
    return Bundle(r.value if type(r) is Traced else r for r in results)


def _pull_checkpoint(cotangent: Any, args: Any, out: Any, attrs: Any) -> list[Any]:
    run: _Run = attrs["run"]
    count = len(run.outside)
    tape, inputs, results = _replayed(run, args[:count], args[count:])
    seeds: dict[int, Any] = {}
    for result, ct in zip(results, cotangent, strict=True):
        if ct is not None and type(result) is Traced and result.level == tape.level:
            before = seeds.get(result.index)
            seeds[result.index] = (ct if before is None else before[0] + ct, None)
    found = reverse(tape.records, seeds)
    parts = [found[x.index][0] if x.index in found else None for x in inputs]
    tape.records.clear()
    return parts


def _push_checkpoint(tangents: Any, args: Any, out: Any, attrs: Any) -> Bundle:
    run: _Run = attrs["run"]

    def again(*values: Any) -> list[Any]:
        return list(_recomputed(*values, run=run))

    f, floats, where = linear_parts(again, args)
    moving = _filled(tangents, args)
    _, found = jvp(f, tuple(floats), tuple(moving[i] for i in where))
    return Bundle(found)


CHECKPOINT = composite("checkpoint", _recomputed, _push_checkpoint, _pull_checkpoint)
