"""Loops that stay loops: one record for all iterations, with a derivative that is a loop again.

``scan``, ``fori_loop``, ``while_loop`` and ``cond`` have the arguments of their namesakes in
``jax.lax``. Their bodies are staged: run once on an example, and replayed from then on. Where all
is plain, the body is called as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from chainrule.errors import ArgumentsError
from chainrule.graph.bundle import Bundle
from chainrule.graph.fronts import innermost
from chainrule.graph.operand import Operand, concrete
from chainrule.graph.tape import dtype_of, example, shape_of
from chainrule.transforms.derivatives import jvp, vjp
from chainrule.transforms.staging import (
    Staged,
    bound,
    composite,
    every_value,
    explained,
    is_float,
    items,
    linear_parts,
    over_batch,
    placed,
    run_on_batch,
    shortened,
    stage,
    value_of,
    zeros_along,
    zeros_for,
)
from chainrule.tree import flatten, leaves, map_leaves


def scan(
    f: Callable[[Any, Any], tuple[Any, Any]],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
) -> tuple[Any, Any]:
    """Carry a state along a sequence, and collect what each step gives.

    Args:
        f: ``f(carry, x) -> (carry, y)``: one step. The carry keeps its structure, shapes and
            dtypes.
        init: The first carry, a pytree of arrays.
        xs: The sequence: a pytree of arrays, all with the same first axis. ``None`` for no inputs.
        length: How many steps; needed if ``xs`` is ``None``.
        reverse: Walk from the last element to the first; the results stand where their inputs do.

    Returns:
        ``(last carry, ys)``, the results of the steps stacked along a new first axis.

    Raises:
        ArgumentsError: The sequences differ in length, or a step changes the shape of the carry.
        TraceError: The step branches on a value while it is part of a computation.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> def step(total, x):
        ...     return total + x, total * x
        >>> cr.scan(step, 0.0, np.array([1.0, 2.0, 3.0]))
        (np.float64(6.0), array([0., 2., 9.]))
    """
    count = _length(xs, length)
    state, rebuild_state = flatten(init)
    state = list(map(value_of, state))
    series, rebuild_xs = flatten(xs)
    if count and _outside_of_all((*state, *series)):
        return _plainly(f, init, xs, count, reverse)
    examples = [
        example(x)[0] if count else np.ones(shape_of(x)[1:], dtype_of(x))[()] for x in series
    ]

    def step(carry: Any, x: Any) -> Any:
        return f(rebuild_state(carry), rebuild_xs(x))

    body = stage(step, (state, examples))
    carry_out, y = _pair(body.rebuild(body.results))
    _same_carry(state, flatten(carry_out)[0], init)
    used = (*body.outside, *state, *series)
    if count and (explained(used) or not any(isinstance(v, Operand) for v in used)):
        return _plainly(f, init, xs, count, reverse)
    attrs = {"body": body, "count": count, "carried": len(state), "backwards": reverse}
    if getattr(f, "recomputed", False):
        attrs["recomputed"] = True
    results = bound(SCAN, used, attrs)
    found = items(results, len(body.results) + len(state))[: len(body.results)]
    _, rebuild_y = flatten(y)
    return rebuild_state(found[: len(state)]), rebuild_y(found[len(state) :])


def _pair(stepped: Any) -> tuple[Any, Any]:
    """What a step of a scan returns."""
    if not isinstance(stepped, tuple | list) or len(stepped) != 2:
        raise ArgumentsError("scan: the step returns a pair (carry, y); give None for no y")
    return stepped[0], stepped[1]


def _plainly(f: Any, init: Any, xs: Any, count: int, reverse: bool) -> tuple[Any, Any]:
    """The loop on plain arrays: nothing to be recorded."""
    ys: list[Any] = []
    carry = map_leaves(_own, init)
    order = range(count)[::-1] if reverse else range(count)
    for i in order:
        carry, y = _pair(f(carry, map_leaves(lambda x, i=i: _own(x[i]), xs)))
        if not ys:
            _same_carry(flatten(map_leaves(value_of, init))[0], flatten(carry)[0], init)
        ys.append(map_leaves(_own, y))
    if reverse:
        ys.reverse()
    carry = map_leaves(value_of, carry)
    return carry, map_leaves(lambda *parts: np.stack(parts), ys[0], *ys[1:])


def _outside_of_all(values: Sequence[Any]) -> bool:
    """Whether nothing is being recorded or batched at all, so that a loop may run as it is."""
    return innermost() is None and not any(isinstance(v, Operand) for v in values)


def _own(leaf: Any) -> Any:
    """A value of the loop's own: a step that writes into its arguments changes nothing else."""
    return leaf.alias() if isinstance(leaf, Operand) else np.array(leaf)[()]


def _length(xs: Any, length: int | None) -> int:
    sizes = {}
    for name, leaf in leaves(xs, "xs"):
        if not shape_of(leaf):
            raise ArgumentsError(f"scan: {name} is a scalar, so there is nothing to walk along")
        sizes[name] = shape_of(leaf)[0]
    if length is not None:
        sizes["length"] = length
    if not sizes:
        raise ArgumentsError("scan: without xs, give length=")
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{name}: {size}" for name, size in sizes.items())
        raise ArgumentsError(f"scan: the sequences differ in length ({listed})")
    return next(iter(sizes.values()))


def _same_carry(before: Sequence[Any], after: Sequence[Any], init: Any) -> None:
    names = [name for name, _ in leaves(init, "carry")]
    if len(before) != len(after):
        raise ArgumentsError(
            f"the step returns a carry of {len(after)} arrays, but it was given {len(before)}"
        )
    for name, old, new in zip(names, before, after, strict=True):
        if shape_of(old) != shape_of(new) or dtype_of(old) != dtype_of(new):
            raise ArgumentsError(
                f"the step changes {name} from {dtype_of(old)}{list(shape_of(old))} to "
                f"{dtype_of(new)}{list(shape_of(new))}; a carry keeps its shape and dtype"
            )


# ------------------------------------------------------------------------------------ scan as a row
#
# Arguments: what the body takes from outside, the first carry, the sequences. Results: the last
# carry, what the steps gave, and the carry before each step, which the way back needs.


def _scanned(
    *args: Any, body: Staged, count: int, carried: int, backwards: bool, recomputed: bool = False
) -> Bundle:
    del recomputed  # of interest to the compiler alone
    outer = len(body.outside)
    first = outer + carried
    outside, state, series = args[:outer], list(args[outer:first]), args[first:]
    if series:  # the iterations of a while_loop, of which another run may make another number
        count = shape_of(series[0])[0]
    order = range(count)[::-1] if backwards else range(count)
    turns = order[:1] if count > 1 and shortened(args) else order
    before: list[list[Any]] = []
    given: list[list[Any]] = []
    for i in turns:
        before.append(state)
        results = body(*outside, *state, *(x[i] for x in series))
        state = results[:carried]
        given.append(results[carried:])
    if backwards:
        before.reverse()
        given.reverse()
    carry_like, y_like = body.results[:carried], body.results[carried:]
    ys = [_stacked([g[k] for g in given], like, count) for k, like in enumerate(y_like)]
    history = [_stacked([b[k] for b in before], like, count) for k, like in enumerate(carry_like)]
    return Bundle((*state, *ys, *history))


def _stacked(parts: list[Any], like: Any, count: int) -> Any:
    if len(parts) < count:  # only an example: one stands for all
        return np.broadcast_to(parts[0], (count, *shape_of(like)))
    if parts:
        return np.stack(parts)
    return np.zeros((0, *shape_of(like)), dtype_of(like))


def _split(args: Any, attrs: Any) -> tuple[Any, Any, Any]:
    outer, carried = len(attrs["body"].outside), attrs["carried"]
    return args[:outer], args[outer : outer + carried], args[outer + carried :]


def _push_scan(tangents: Any, args: Any, out: Any, attrs: Any) -> Bundle:
    """The same loop, with the tangent of the carry in the carry."""
    body, carried, count = attrs["body"], attrs["carried"], attrs["count"]
    outside, state, series = _split(args, attrs)
    t_outside, t_state, t_series = _split(tangents, attrs)
    t_outside, t_state = (
        tuple(zeros_for(a) if t is None else t for t, a in zip(some, like, strict=True))
        for some, like in ((t_outside, outside), (t_state, state))
    )

    def step(both: Any, here: Any) -> Any:
        (state, t_state), (x, t_x) = both, here
        t_x = [zeros_for(a) if t is None else t for t, a in zip(t_x, x, strict=True)]
        args = (*outside, *state, *x)
        f, floats, where = linear_parts(body, args)
        moving = (*t_outside, *t_state, *t_x)
        values, t_values = jvp(f, tuple(floats), tuple(moving[i] for i in where))
        t_values = [_float_tangent(t, v) for t, v in zip(t_values, values, strict=True)]
        return (
            (values[:carried], t_values[:carried]),
            (values[carried:], t_values[carried:], list(state), list(t_state)),
        )

    (_, final), (_, ys, _, history) = scan(
        step, (list(state), list(t_state)), (list(series), list(t_series)),
        length=None if series else count, reverse=attrs["backwards"],
    )  # fmt: skip
    return Bundle((*final, *ys, *history))


def _filled(tangents: Any, args: Any) -> tuple[Any, ...]:
    return tuple(zeros_along(a) if t is None else t for t, a in zip(tangents, args, strict=True))


def _float_tangent(tangent: Any, value: Any) -> Any:
    return tangent if is_float(value) else zeros_for(value)


def _pull_scan(cotangent: Any, args: Any, out: Any, attrs: Any) -> list[Any]:
    """The loop the other way round, with the cotangent of the carry in the carry."""
    body, carried, count = attrs["body"], attrs["carried"], attrs["count"]
    outside, state, series = _split(args, attrs)
    given = len(body.results) - carried
    out = items(out, len(body.results) + carried)
    ct_final = [zeros_for(o) if c is None else c for c, o in _first(carried, cotangent, out)]
    # Where there is no cotangent, there is ``None``, which is no leaf of the sequences.
    ct_ys = list(cotangent[carried : carried + given])
    ct_before = list(cotangent[carried + given :])
    before = out[carried + given :]
    floats = [i for i, a in enumerate((*outside, *state, *series)) if is_float(a)]
    outer = [i for i in floats if i < len(outside)]
    moving = [i - len(outside) for i in floats if len(outside) <= i < len(outside) + carried]

    def step(both: Any, here: Any) -> Any:
        sums, ct_state = both
        state, x, ct_y, ct_b = here
        f, values, _ = linear_parts(body, (*outside, *state, *x))
        _, pull = vjp(lambda *v: _only_floats(f(*v)), *values)
        wanted = [
            zeros_for(r) if c is None else c
            for c, r in zip((*ct_state, *ct_y), body.results, strict=True)
            if is_float(r)
        ]
        parts = list(pull(wanted))
        of_outer, rest = parts[: len(outer)], parts[len(outer) :]
        of_state, of_x = rest[: len(moving)], rest[len(moving) :]
        whole = list(map(zeros_for, state))
        for i, part in zip(moving, of_state, strict=True):
            whole[i] = part
        whole = _together(whole, ct_b)
        return ([s + p for s, p in zip(sums, of_outer, strict=True)], whole), of_x

    zero = [zeros_for(outside[i]) for i in outer]
    (sums, ct_state), ct_x = scan(
        step, (zero, ct_final), (list(before), list(series), ct_ys, ct_before),
        length=None if series else count, reverse=not attrs["backwards"],
    )  # fmt: skip
    return placed([*sums, *(ct_state[i] for i in moving), *ct_x], floats, len(args))


def _first(count: int, *several: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
    return zip(*(values[:count] for values in several), strict=True)


def _together(whole: Sequence[Any], more: Sequence[Any]) -> list[Any]:
    """Sums, where the second part may be missing."""
    return [w if b is None else w + b for w, b in zip(whole, more, strict=True)]


def _only_floats(values: Sequence[Any]) -> list[Any]:
    return [v for v in values if is_float(v)]


def _scan_of_batch(row: Any, size: int, args: Any, batched: Any, attrs: Any) -> Any:
    """A batch of loops in a computation is one loop of batches."""
    if not any(isinstance(a, Operand) for a in args):
        return run_on_batch(row, size, args, batched, attrs)
    body, carried = attrs["body"], attrs["carried"]
    outside, state, series = _split(args, attrs)
    outer, _, along = _split(batched, attrs)
    run = over_batch(body, size, [*outer, *[True] * carried, *along])

    def step(state: Any, x: Any) -> Any:
        results = run(*outside, *state, *x)
        return results[:carried], (results[carried:], list(state))

    step.recomputed = attrs.get("recomputed", False)  # type: ignore[attr-defined]
    xs = [np.swapaxes(x, 0, 1) if b else x for x, b in zip(series, along, strict=True)]
    final, (ys, before) = scan(
        step, _stacks(state, batched[len(outside) :], size), xs,
        length=None if series else attrs["count"], reverse=attrs["backwards"],
    )  # fmt: skip
    return Bundle((*final, *(np.swapaxes(y, 0, 1) for y in (*ys, *before))))


def _stacks(values: Sequence[Any], batched: Sequence[bool], size: int) -> list[Any]:
    """Each of the values for the whole batch."""
    return [
        v if b else np.broadcast_to(v, (size, *shape_of(v)))
        for v, b in zip(values, batched[: len(values)], strict=True)
    ]


SCAN = composite("scan", _scanned, _push_scan, _pull_scan, _scan_of_batch)


def fori_loop(lower: int, upper: int, body_fun: Callable[[Any, Any], Any], init_val: Any) -> Any:
    """``val = body_fun(i, val)`` for ``i`` from ``lower`` up to ``upper - 1``.

    Example:
        >>> import chainrule as cr
        >>> power = lambda x: cr.fori_loop(0, 5, lambda i, value: value * x, 1.0)
        >>> cr.grad(power)(2.0)
        np.float64(80.0)
    """
    numbers = np.arange(lower, upper)
    if not len(numbers):
        return map_leaves(value_of, init_val)
    return scan(lambda value, i: (body_fun(i, value), None), init_val, numbers)[0]


# ------------------------------------------------------------------------------------------- while


def while_loop(
    cond_fun: Callable[[Any], Any], body_fun: Callable[[Any], Any], init_val: Any
) -> Any:
    """``while cond_fun(val): val = body_fun(val)``.

    Reverse mode keeps the value before every iteration, in a record that grows with the loop. A
    batch runs until the condition is false for each of its values.

    Example:
        >>> import chainrule as cr
        >>> def root(a):  # Newton's iteration
        ...     improve = lambda x: (x + a / x) / 2
        ...     return cr.while_loop(lambda x: abs(x * x - a) > 1e-12, improve, a)
        >>> float(round(cr.grad(root)(2.0), 6))
        0.353553
    """
    state, rebuild = flatten(init_val)
    state = list(map(value_of, state))
    if _outside_of_all(state):
        return _while_plainly(cond_fun, body_fun, init_val)
    body = stage(lambda values: body_fun(rebuild(values)), (state,))
    test = stage(lambda values: cond_fun(rebuild(values)), (state,))
    _same_carry(state, list(body.results), init_val)
    used = (*body.outside, *test.outside, *state)
    if explained(used) or not any(isinstance(v, Operand) for v in used):
        return _while_plainly(cond_fun, body_fun, init_val)
    return rebuild(_bound(body, test, state)[: len(state)])


def _bound(body: Staged, test: Staged, state: Sequence[Any]) -> list[Any]:
    """The last values, those before each turn, and whether each turn counted."""
    results = bound(WHILE, (*body.outside, *test.outside, *state), {"body": body, "test": test})
    return items(results, 2 * len(state) + 1)


def _while_plainly(cond_fun: Any, body_fun: Any, init_val: Any) -> Any:
    """The loop on plain arrays: nothing to be recorded."""
    value, known = map_leaves(_own, init_val), False
    while cond_fun(value):
        value = body_fun(value)
        if not known:
            before = map_leaves(value_of, init_val)
            _same_carry(flatten(before)[0], flatten(value)[0], init_val)
            known = True
    return map_leaves(value_of, value)


def _looped(*args: Any, body: Staged, test: Staged) -> Bundle:
    """The last values, the values before each iteration, and whether each iteration counted."""
    first, second = len(body.outside), len(body.outside) + len(test.outside)
    outside, asked, state = args[:first], args[first:second], list(args[second:])
    history: list[list[Any]] = []
    counted: list[Any] = []
    once = shortened(args)
    while True:
        (go_on,) = (np.bool_(True),) if once else test(*asked, *state)
        known = concrete(go_on)
        for_all = not isinstance(known, Operand)
        if not (known if for_all else np.any(every_value(known))):
            break
        history.append(state)
        counted.append(np.bool_(True) if for_all else go_on)
        new = body(*outside, *state)
        if not for_all:  # a batch: what has come to its end stays as it is
            new = [np.where(_beside(go_on, n), n, s) for n, s in zip(new, state, strict=True)]
        state = new
        if once:
            break
    count = len(counted)
    before = [_stacked([h[k] for h in history], like, count) for k, like in enumerate(body.results)]
    return Bundle((*state, *before, _stacked(counted, np.bool_(True), count)))


def _beside(condition: Any, value: Any) -> Any:
    return condition if shape_of(condition) == shape_of(value) else np.broadcast_to(
        condition, shape_of(value)
    )  # fmt: skip


def _as_scan(args: Any, attrs: Any) -> tuple[Any, Any, Callable[..., Any]]:
    """The iterations that were made, as a loop of known length over whether each one counted."""
    body, test = attrs["body"], attrs["test"]
    first, second = len(body.outside), len(body.outside) + len(test.outside)

    def step(outside: Any, state: Any, counts: Any) -> list[Any]:
        new = body(*outside, *state)
        return [np.where(_beside(counts, n), n, s) for n, s in zip(new, state, strict=True)]

    return args[:first], args[second:], step


def _push_while(tangents: Any, args: Any, out: Any, attrs: Any) -> Bundle:
    moving = _filled(tangents, args)
    outside, state, step = _as_scan(args, attrs)
    t_outside, t_state, _ = _as_scan(moving, attrs)
    counts = items(out, 2 * len(state) + 1)[-1]

    def iteration(both: Any, here: Any) -> Any:
        state, t_state = both
        f, floats, where = linear_parts(
            lambda *v: step(v[: len(outside)], v[len(outside) :], here), (*outside, *state)
        )
        together = (*t_outside, *t_state)
        values, found = jvp(f, tuple(floats), tuple(together[i] for i in where))
        found = [_float_tangent(t, v) for t, v in zip(found, values, strict=True)]
        return (values, found), list(t_state)

    (_, final), history = scan(iteration, (list(state), list(t_state)), counts)
    return Bundle((*final, *history, zeros_along(counts)))


def _pull_while(cotangent: Any, args: Any, out: Any, attrs: Any) -> list[Any]:
    outside, state, step = _as_scan(args, attrs)
    count = len(state)
    out = items(out, 2 * count + 1)
    ct_final = [zeros_for(o) if c is None else c for c, o in _first(count, cotangent, out)]
    before, counts = out[count:-1], out[-1]
    outer = [i for i, a in enumerate(outside) if is_float(a)]
    moving = [i for i, a in enumerate(state) if is_float(a)]

    def iteration(both: Any, here: Any) -> Any:
        sums, ct_state = both
        state, ct_b, counted = here
        f, floats, _ = linear_parts(
            lambda *v: step(v[: len(outside)], v[len(outside) :], counted), (*outside, *state)
        )
        _, pull = vjp(lambda *v: _only_floats(f(*v)), *floats)
        parts = list(pull([ct_state[i] for i in moving]))
        whole = list(map(zeros_for, state))
        for i, part in zip(moving, parts[len(outer) :], strict=True):
            whole[i] = part
        whole = _together(whole, ct_b)
        return ([s + p for s, p in zip(sums, parts[: len(outer)], strict=True)], whole), None

    zero = [zeros_for(outside[i]) for i in outer]
    (sums, ct_state), _ = scan(
        iteration, (zero, ct_final), (list(before), list(cotangent[count:-1]), counts),
        reverse=True,
    )  # fmt: skip
    where = [*outer, *(len(args) - count + i for i in moving)]
    return placed([*sums, *(ct_state[i] for i in moving)], where, len(args))


def _while_of_batch(row: Any, size: int, args: Any, batched: Any, attrs: Any) -> Any:
    """A batch of loops that is only recorded is one loop, until each has come to its end."""
    if not any(isinstance(every_value(a), Operand) for a in args):
        return run_on_batch(row, size, args, batched, attrs)
    body, test = attrs["body"], attrs["test"]
    first, second = len(body.outside), len(body.outside) + len(test.outside)
    outside, asked, count = args[:first], args[first:second], len(args) - second
    run = over_batch(body, size, [*batched[:first], *[True] * count])
    ask = over_batch(test, size, [*batched[first:second], *[True] * count])

    def step(values: Sequence[Any]) -> list[Any]:
        *state, on = values
        new = [
            np.where(np.reshape(on, (size, *[1] * (np.ndim(n) - 1))), n, s)
            for n, s in zip(run(*outside, *state), state, strict=True)
        ]
        return [*new, *ask(*asked, *new)]

    state = _stacks(args[second:], batched[second:], size)
    state += ask(*asked, *state)
    found = _bound(
        stage(step, (state,)), stage(lambda values: [np.any(values[-1])], (state,)), state
    )
    # Whether each one still ran is what was carried last.
    kept = [np.swapaxes(f, 0, 1) for f in found[count + 1 : -1]]
    return Bundle((*found[:count], *kept))


WHILE = composite("while_loop", _looped, _push_while, _pull_while, _while_of_batch)


# -------------------------------------------------------------------------------------------- cond


def cond(
    pred: Any, true_fun: Callable[..., Any], false_fun: Callable[..., Any], *operands: Any
) -> Any:
    """``true_fun(*operands)`` where ``pred`` holds, else ``false_fun(*operands)``.

    Only the branch that is taken is run; for a batch, and where the condition is known to be a
    batch's, both are and ``np.where`` chooses. Both return the same structure and shapes.

    Example:
        >>> import chainrule as cr
        >>> cr.grad(lambda x: cr.cond(x > 0, lambda v: v * v, lambda v: -v, x))(3.0)
        np.float64(6.0)
    """
    known = concrete(pred)
    if not isinstance(known, Operand):
        return true_fun(*operands) if known else false_fun(*operands)
    if hasattr(known, "stack"):
        return map_leaves(
            lambda a, b: np.where(_beside(pred, a), a, b), true_fun(*operands), false_fun(*operands)
        )
    given, rebuild = flatten(operands)
    given = list(map(value_of, given))
    yes, no = (
        stage(lambda values, g=g: g(*rebuild(values)), (given,)) for g in (true_fun, false_fun)
    )
    _same_carry(list(yes.results), list(no.results), yes.rebuild(yes.results))
    results = bound(COND, (pred, *yes.outside, *no.outside, *given), {"yes": yes, "no": no})
    return yes.rebuild(items(results, len(yes.results)))


def _branch(args: Any, attrs: Any) -> tuple[Any, Callable[..., Any], Callable[..., Any]]:
    yes, no = attrs["yes"], attrs["no"]
    first = 1 + len(yes.outside)
    second = first + len(no.outside)

    def if_true(*rest: Any) -> list[Any]:
        return yes(*rest[: first - 1], *rest[second - 1 :])  # type: ignore[no-any-return]

    def if_false(*rest: Any) -> list[Any]:
        return no(*rest[first - 1 : second - 1], *rest[second - 1 :])  # type: ignore[no-any-return]

    return args[0], if_true, if_false


def _chosen(*args: Any, **attrs: Any) -> Bundle:
    pred, if_true, if_false = _branch(args, attrs)
    return Bundle(cond(pred, if_true, if_false, *args[1:]))


def _push_cond(tangents: Any, args: Any, out: Any, attrs: Any) -> Bundle:
    pred, if_true, if_false = _branch(args, attrs)
    moving = _filled(tangents, args)[1:]

    def pushed(branch: Any) -> Any:
        def through(*rest: Any) -> Any:
            f, floats, where = linear_parts(branch, rest)
            values, found = jvp(f, tuple(floats), tuple(moving[i] for i in where))
            return [_float_tangent(t, v) for t, v in zip(found, values, strict=True)]

        return through

    return Bundle(cond(pred, pushed(if_true), pushed(if_false), *args[1:]))


def _pull_cond(cotangent: Any, args: Any, out: Any, attrs: Any) -> list[Any]:
    pred, if_true, if_false = _branch(args, attrs)
    ct = _only_floats(_filled(cotangent, items(out, len(attrs["yes"].results))))
    where = [i for i, a in enumerate(args[1:]) if is_float(a)]

    def pulled(branch: Any) -> Any:
        def through(*rest: Any) -> Any:
            f, floats, _ = linear_parts(branch, rest)
            return list(vjp(lambda *v: _only_floats(f(*v)), *floats)[1](ct))

        return through

    parts = cond(pred, pulled(if_true), pulled(if_false), *args[1:])
    return [None, *placed(parts, where, len(args) - 1)]


def _cond_of_batch(row: Any, size: int, args: Any, batched: Any, attrs: Any) -> Bundle:
    """A condition that is the same for the whole batch chooses for all of it."""
    pred, if_true, if_false = _branch(args, attrs)
    if batched[0]:
        both = over_batch(lambda *values: row.evaluate(*values, **attrs), size, batched)
        return Bundle(both(*args))
    yes, no = (over_batch(branch, size, batched[1:]) for branch in (if_true, if_false))
    return Bundle(cond(pred, yes, no, *args[1:]))


COND = composite("cond", _chosen, _push_cond, _pull_cond, _cond_of_batch)
