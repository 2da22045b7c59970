"""Forward and reverse mode of a function, and what is made of one pass of either."""

from __future__ import annotations

import contextlib
import functools
import inspect
import operator
import threading
import weakref
from collections.abc import Callable, Sequence
from sys import getrefcount
from typing import Any

import numpy as np

from chainrule.chain import forward, reverse
from chainrule.errors import ArgumentsError, NotDifferentiableError
from chainrule.graph import unusual
from chainrule.graph.operand import Operand
from chainrule.graph.tape import Recorder, Tape, Traced, dtype_of, running, shape_of
from chainrule.graph.versions import refreshed
from chainrule.transforms.absent import warn_of_absent
from chainrule.transforms.watching import look
from chainrule.tree import flatten, leaves, map_leaves, walk

ARRAY = np.ndarray


class _Begun(threading.local):
    """How many derivatives have been begun in a thread."""

    derivatives = 0


_begun = _Begun()


def trace(
    f: Callable[..., Any],
    args: Sequence[Any],
    argnums: Sequence[int],
    kwargs: dict[str, Any],
    recorder: Recorder | None = None,
) -> tuple[Tape, Any, list[Traced], Callable[..., Any]]:
    """Run ``f`` with the arguments in ``argnums`` traced.

    Returns:
        The tape, what ``f`` returned, the traced leaves of the arguments, and the function that
        makes trees like these arguments (a tuple of them) of as many leaves.
    """
    chosen = []
    for n in argnums:
        if not -len(args) <= n < len(args):
            name = getattr(f, "__name__", "f")
            raise TypeError(
                f"argnums={n}, but {name} was called with {len(args)} positional argument(s)"
            )
        chosen.append(args[n])
    tape = Tape(recorder)
    tape.plain = True
    given, rebuild = flatten(tuple(chosen))
    inputs: list[Traced] = []
    for leaf in given:
        if type(leaf) is ARRAY and leaf.ndim and leaf.dtype.kind == "f":
            inputs.append(Traced(tape, leaf.copy("K")))  # what ``tape.input`` does
            continue
        leaf = differentiable(leaf, functools.partial(_called, f, args, argnums, len(inputs)))
        if isinstance(leaf, Operand):
            tape.plain = False
        inputs.append(tape.input(leaf))
    traced = list(args)
    for n, tree in zip(argnums, rebuild(inputs), strict=True):
        traced[n] = tree
    _begun.derivatives += 1
    with running(tape):
        result = f(*traced, **kwargs)
        if tape.special and tape.watch is not None:
            result = map_leaves(refreshed, result)
    # An assignment to an argument moves its handle on to a later record.
    return tape, result, tape.records[: len(inputs)], rebuild


def argument_name(f: Callable[..., Any], n: int) -> str:
    """What the ``n``-th positional argument is called: the parameter's name where there is one."""
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):
        return f"argument {n}"
    named = n < len(parameters) and parameters[n].kind is parameters[n].POSITIONAL_OR_KEYWORD
    return parameters[n].name if named else f"argument {n}"


def _leaf_name(
    f: Callable[..., Any], args: Sequence[Any], argnums: Sequence[int], place: int
) -> str:
    """What a leaf of the arguments is called, by its number: ``params['W']``."""
    names = [name for n in argnums for name, _ in leaves(args[n], argument_name(f, n % len(args)))]
    return names[place]


def _called(f: Callable[..., Any], args: Sequence[Any], argnums: Sequence[int], place: int) -> str:
    """What a leaf is called in an error: ``params['W'] of loss``."""
    return f"{_leaf_name(f, args, argnums, place)} of {getattr(f, '__name__', 'f')}"


def value_and_grad(
    f: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """A function that returns both ``f``'s value and its gradient.

    Args:
        f: A function of arrays (or pytrees of them) that returns a scalar, or ``(scalar, aux)``
            with ``has_aux``.
        argnums: Which positional arguments to differentiate with respect to.
        has_aux: Whether ``f`` returns a pair whose second part is passed through.

    Returns:
        A function with ``f``'s signature that returns ``(value, gradient)``; the gradient has the
        shape and dtype of the argument, or is a tuple of them if ``argnums`` is a sequence.

    Raises:
        NotDifferentiableError: The argument is an integer, or the result is not a real scalar.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> cr.value_and_grad(np.square)(3.0)
        (np.float64(9.0), np.float64(6.0))
    """
    single, nums = positions(f, argnums, "grad")

    @functools.wraps(f, assigned=("__name__", "__doc__"), updated=())
    def with_gradient(*args: Any, **kwargs: Any) -> Any:
        before = _begun.derivatives
        tape, result, inputs, rebuild = trace(f, args, nums, kwargs)
        out, aux = parted(f, result, has_aux)
        value, found = _scalar_gradient(f, tape, out)
        leaves_found, absent = _gradients_of(inputs, found)
        gradients = rebuild(leaves_found)
        if absent and _begun.derivatives == before + 1:  # inside another one it is no news
            for place in absent:
                warn_of_absent(f, _leaf_name(f, args, nums, place), inputs[place], tape)
        tape.records.clear()  # tape and records hold each other: large arrays would wait for gc
        if unusual.asked:
            look((value, *leaves_found), "grad", f, args, kwargs, nums, has_aux)
        gradient = gradients[0] if single else gradients
        if has_aux:
            return (value, map_leaves(lambda leaf: lowered(leaf, tape), aux)), gradient
        return value, gradient

    return with_gradient


def positions(f: Any, argnums: int | Sequence[int], transform: str) -> tuple[bool, tuple[int, ...]]:
    """Whether ``argnums`` is a single number, and all of them as a tuple.

    Raises:
        ArgumentsError: ``f`` is no function, or ``argnums`` are no positions.
    """
    if not callable(f):
        raise ArgumentsError(f"{transform} takes a function, not {_describe(f)}")
    several = isinstance(argnums, tuple | list)
    given: Sequence[Any] = argnums if isinstance(argnums, tuple | list) else [argnums]
    try:
        numbers = [operator.index(n) for n in given]
    except TypeError:
        raise ArgumentsError(
            f"argnums are positions of arguments (0, or (0, 2)), not {argnums!r}"
        ) from None
    return not several, tuple(numbers)


def parted(f: Callable[..., Any], result: Any, has_aux: bool) -> tuple[Any, Any]:
    """What is differentiated, and what is passed through."""
    if not has_aux:
        return result, None
    if not isinstance(result, tuple | list) or len(result) != 2:
        raise ArgumentsError(
            f"has_aux: {getattr(f, '__name__', 'f')} returns a pair (result, aux), but returned "
            f"{_describe(result)}"
        )
    return result[0], result[1]


def grad(
    f: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """A function that returns the gradient of ``f``: shape and dtype of the argument.

    Arguments, errors and conventions are those of ``value_and_grad``; with ``has_aux`` it returns
    ``(gradient, aux)``. It nests: ``grad(grad(f))`` is the second derivative.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> f = lambda x: np.sin(np.log(x**2 + 1))
        >>> bool(cr.grad(f)(1.0) == np.cos(np.log(2.0)))
        True
    """
    both = value_and_grad(f, argnums, has_aux)

    @functools.wraps(f, assigned=("__name__", "__doc__"), updated=())
    def gradient(*args: Any, **kwargs: Any) -> Any:
        value, gradients = both(*args, **kwargs)
        return (gradients, value[1]) if has_aux else gradients

    return gradient


def vjp(f: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """Value of ``f`` and the function that pulls a cotangent back (vector–Jacobian product).

    Returns:
        ``(f(*primals), pull)`` where ``pull(cotangent)`` gives one cotangent per primal, with the
        shapes and dtypes of the primals; ``(…, pull, aux)`` with ``has_aux``.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> y, pull = cr.vjp(np.sin, 0.0)
        >>> pull(2.0)
        (np.float64(2.0),)
    """
    tape, result, inputs, rebuild = trace(f, primals, range(len(primals)), {})
    out, aux = parted(f, result, has_aux)

    def pull(cotangent: Any) -> tuple[Any, ...]:
        found = pull_from(tape, out, cotangent, inputs)
        if unusual.asked:
            look(found, "vjp", f, primals, {}, (), has_aux, cotangent)
        return rebuild(found)  # type: ignore[no-any-return]

    _kept_by(pull, tape)
    value = map_leaves(lambda leaf: lowered(leaf, tape), out)
    if unusual.asked:
        look((value,), "vjp", f, primals, {}, (), has_aux)
    if has_aux:
        return value, pull, map_leaves(lambda leaf: lowered(leaf, tape), aux)
    return value, pull


def _kept_by(function: Callable[..., Any], tape: Tape) -> None:
    """Let go of what was recorded with the function that walks over it, without waiting for gc."""
    weakref.finalize(function, tape.records.clear).atexit = False


def pull_from(
    tape: Tape, out: Any, cotangent: Any, inputs: Sequence[Traced], sparse: bool = False
) -> list[Any]:
    """The cotangent of each input for a cotangent of ``out`` (a pytree of records).

    Where the cotangent is an operand, ``sparse`` says that it has zeros to be respected.
    """
    seeds: dict[int, Any] = {}

    def seed(leaf: Any, ct: Any) -> None:
        if isinstance(leaf, Traced) and leaf.level == tape.level:
            ct = _like(ct, leaf.value, "cotangent")
            before = seeds.get(leaf.index)
            seeds[leaf.index] = _seed(ct if before is None else before[0] + ct, sparse)

    walk(seed, out, cotangent)
    found = reverse(tape.records, seeds)
    return _gradients_of(inputs, found)[0]


def jvp(f: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """Value of ``f`` and its derivative along ``tangents`` (Jacobian–vector product).

    Args:
        f: The function.
        primals: Its arguments.
        tangents: One direction per argument, of the same structure and shapes.

    Returns:
        ``(f(*primals), tangent)``, the tangent with the structure and shapes of the value.

    Raises:
        TypeError: Primals and tangents differ in number or shape.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> cr.jvp(np.square, (3.0,), (1.0,))
        (np.float64(9.0), np.float64(6.0))
    """
    check_tangents("jvp", primals, tangents)
    tape, out, inputs, rebuild = trace(f, primals, range(len(primals)), {})
    along = _leaves_like(rebuild(inputs), tuple(tangents))
    value = map_leaves(lambda leaf: lowered(leaf, tape), out)
    tangent = push_along(tape, inputs, along, out)
    tape.records.clear()
    if unusual.asked:
        look((value, tangent), "jvp", f, tuple(primals), {}, (), False, tuple(tangents))
    return value, tangent


def linearize(f: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[..., Any]]:
    """Value of ``f`` and the linear map that is its derivative there.

    Returns:
        ``(f(*primals), push)`` where ``push(*tangents)`` is the derivative along the tangents. The
        function is run once; each call of ``push`` only walks over what was recorded.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> y, push = cr.linearize(np.square, 3.0)
        >>> push(1.0), push(10.0)
        (np.float64(6.0), np.float64(60.0))
    """
    tape, out, inputs, rebuild = trace(f, primals, range(len(primals)), {})
    tree = rebuild(inputs)

    def push(*tangents: Any) -> Any:
        check_tangents("linearize", primals, tangents)
        tangent = push_along(tape, inputs, _leaves_like(tree, tangents), out)
        if unusual.asked:
            look((tangent,), "jvp", f, primals, {}, (), False, tangents)
        return tangent

    _kept_by(push, tape)
    value = map_leaves(lambda leaf: lowered(leaf, tape), out)
    if unusual.asked:
        look((value,), "jvp", f, primals, {})
    return value, push


def check_tangents(transform: str, primals: Any, tangents: Any) -> None:
    """Raise ``ArgumentsError`` unless both are tuples of one length."""
    if not isinstance(primals, tuple | list) or not isinstance(tangents, tuple | list):
        raise ArgumentsError(
            f"{transform} takes primals and tangents as tuples: {transform}(f, (x,), (dx,))"
        )
    if len(primals) != len(tangents):
        raise ArgumentsError(f"{transform} got {len(primals)} primals but {len(tangents)} tangents")


def _leaves_like(tree: Any, other: Any) -> list[Any]:
    """The leaves of ``other``, which is built like ``tree``."""
    found: list[Any] = []
    walk(lambda _, leaf: found.append(leaf), tree, other)
    return found


def push_along(
    tape: Tape, inputs: Sequence[Traced], tangents: Sequence[Any], out: Any, sparse: bool = False
) -> Any:
    """The tangent of ``out`` (a pytree of records) for a tangent of each of the inputs."""
    seeds = {
        x.index: _seed(_like(t, x.value, "tangent"), sparse)
        for x, t in zip(inputs, tangents, strict=True)
    }
    found = forward(tape.records, seeds)

    def tangent_of(leaf: Any) -> Any:
        if isinstance(leaf, Traced) and leaf.level == tape.level and leaf.index in found:
            tangent = found[leaf.index][0]
            return np.array(tangent) if type(tangent) is np.ndarray else tangent
        value = lowered(leaf, tape)
        return np.zeros(shape_of(value), dtype_of(value))[()]

    return map_leaves(tangent_of, out)


def _seed(value: Any, sparse: bool = False) -> tuple[Any, Any]:
    """A tangent or cotangent to start from; where it is zero, there is nothing to multiply."""
    if isinstance(value, Operand):
        return value, np.not_equal(value, 0) if sparse else None
    reaches = np.asarray(value) != 0
    return value, None if reaches.all() else reaches


def _scalar_gradient(f: Callable[..., Any], tape: Tape, out: Any) -> tuple[Any, dict[int, Any]]:
    """A scalar result, and what arrives at each record from it."""
    value = lowered(out, tape)
    if not _is_real_scalar(value):
        raise NotDifferentiableError(
            f"grad needs a function with a real scalar result, but "
            f"{getattr(f, '__name__', 'f')} returned {_describe(value)}.\n"
            "Reduce it (np.sum, np.mean), pick one element, or use vjp or jacobian for the whole "
            "result."
        )
    seeds = {}
    if isinstance(out, Traced) and out.level == tape.level:
        seeds[out.index] = (_one_like(value), None)
    return value, reverse(tape.records, seeds)


def _gradients_of(inputs: Sequence[Traced], found: dict[int, Any]) -> tuple[list[Any], list[int]]:
    """The gradient of each, and the places of those that nothing reached.

    Each is the caller's own array, never a view of a constant or of another.
    """
    gradients, absent = [], []
    for place, leaf in enumerate(inputs):
        arrived = found.get(leaf.index)
        if arrived is None:
            absent.append(place)
            gradient = np.zeros(shape_of(leaf.value), dtype_of(leaf.value))[()]
        else:
            gradient, holders = _held(arrived)
            # Memory of its own, and nobody else who holds it: it is the caller's as it is.
            if type(gradient) is ARRAY:
                if holders != _ALONE or gradient.base is not None:
                    gradient = np.array(gradient)
            elif isinstance(gradient, ARRAY):
                gradient = np.array(gradient)
        gradients.append(gradient)
    return gradients, absent


def _held(arrived: tuple[Any, Any]) -> tuple[Any, int]:
    """What arrived at a record, and how many names, containers and views refer to it."""
    gradient = arrived[0]
    return gradient, getrefcount(gradient)


# How many refer to what only such a pair has: this depends on how Python counts its own.
_ALONE = _held((np.zeros(1), None))[1]


def lowered(leaf: Any, tape: Tape) -> Any:
    """The value of a record of this tape (an array of the caller's own); else the leaf itself."""
    if not isinstance(leaf, Traced):
        return leaf
    if leaf.level != tape.level:
        leaf.refuse_leak()  # of an earlier run: something kept it
        return leaf
    return leaf.value.copy() if type(leaf.value) is np.ndarray else leaf.value


def differentiable(leaf: Any, where: Callable[[], str]) -> Any:
    """The leaf as something to differentiate with respect to, or an error that says why not."""
    if type(leaf) is np.ndarray and leaf.dtype.kind == "f":
        return leaf[()]
    if isinstance(leaf, Operand) and leaf.dtype.kind == "f":
        return leaf
    if isinstance(leaf, float):
        return np.float64(leaf)
    if isinstance(leaf, np.ma.MaskedArray):
        raise NotDifferentiableError(
            f"{where()} is a masked array, and its mask would be ignored.\n"
            "Pass the data, and say with np.where what counts."
        )
    kind, array = "O", leaf
    if isinstance(leaf, Operand):
        kind = leaf.dtype.kind
    else:
        with contextlib.suppress(ValueError, TypeError):
            array = np.asarray(leaf)
            kind = array.dtype.kind
    if kind == "f":
        return array[()]
    advice = {
        "i": "Pass a float: 1.0 instead of 1, or x.astype(float).",
        "u": "Pass a float: 1.0 instead of 1, or x.astype(float).",
        "b": "Pass a float, or leave the argument out of argnums.",
        "c": "Complex derivatives are not supported yet.",
    }
    if kind == "O":
        advice["O"] = (
            "Pass an array of floats: x.astype(float)." if isinstance(leaf, np.ndarray)
            else "Pass what it holds as floats, in a dict or a dataclass, or say with "
            "cr.register_pytree_node what it is made of."
        )  # fmt: skip
    raise NotDifferentiableError(
        f"cannot differentiate with respect to {where()}: it is {_describe(leaf)}.\n"
        + advice.get(kind, "Pass floats, or leave the argument out of argnums.")
    )


def _like(given: Any, value: Any, word: str) -> Any:
    """A tangent or cotangent checked against the value it belongs to."""
    if np.shape(given) != np.shape(value):
        raise ArgumentsError(
            f"the {word} has shape {np.shape(given)}, but the value it belongs to has shape "
            f"{np.shape(value)}"
        )
    if isinstance(given, Operand):
        return given
    return np.asarray(given, dtype=dtype_of(value))[()]


def _one_like(value: Any) -> Any:
    dtype = dtype_of(value)
    return dtype.type(1.0)


def _is_real_scalar(value: Any) -> bool:
    if type(value) is np.float64:
        return True
    if isinstance(value, dict | list | tuple):
        return False
    array = value if isinstance(value, Operand) else np.asarray(value)
    return array.shape == () and array.dtype.kind == "f"


def _describe(value: Any) -> str:
    if value is None or isinstance(value, str | bool):
        return repr(value)
    if isinstance(value, dict | list | tuple):
        return f"a {type(value).__name__}"
    array = value if hasattr(value, "dtype") else np.asarray(value)
    if array.dtype == object:
        return f"an object of type {type(value).__name__}"
    kind = "a scalar" if array.shape == () else f"an array of shape {array.shape}"
    return f"{kind} of dtype {array.dtype}"
