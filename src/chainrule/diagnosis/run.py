"""One run of the user's function, recorded with the names and lines of its source."""

from __future__ import annotations

import difflib
import inspect
import linecache
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.errors import ArgumentsError, NotDifferentiableError
from chainrule.graph.tape import Tape, Traced, running
from chainrule.sources.names import Origins, Place
from chainrule.tree import leaves, map_leaves


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """What one run left behind.

    Attributes:
        function: The name of the function.
        parameters: Its arguments by name, as they were given.
        tape: The records.
        output: The record of the loss, or the plain number that it is if it depends on nothing.
        inputs: The record of every floating-point leaf of the arguments, by its name.
        places: Where each operation was written, by the index of its record.
        defined: Where the function itself was written.
    """

    function: str
    parameters: Mapping[str, Any]
    tape: Tape
    output: Any
    inputs: Mapping[str, Traced]
    places: Mapping[int, Place]
    defined: Place


def run(f: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Run:
    """Run ``f`` once with every floating-point leaf of its arguments traced.

    Raises:
        ArgumentsError: The arguments do not fit ``f``.
        NotDifferentiableError: The result is not a real scalar.
    """
    name = getattr(f, "__name__", type(f).__name__).replace("<lambda>", "f")
    bound = _bound(f, name, args, kwargs)
    origins = Origins()
    tape = Tape(origins)
    inputs: dict[str, Traced] = {}
    given: dict[str, Any] = {}
    for parameter, tree in bound.arguments.items():
        names = iter([n for n, _ in leaves(tree, parameter)])
        given[parameter] = map_leaves(
            lambda leaf, n=names: _input(tape, inputs, next(n), leaf), tree
        )
    try:
        with running(tape):
            arguments = inspect.BoundArguments(bound.signature, given)
            output = f(*arguments.args, **arguments.kwargs)
    finally:
        origins.release()
    operations = [r.index for r in tape.records if r.op is not None]
    places = dict(zip(operations, origins.resolve(), strict=True))
    value = output.value if isinstance(output, Traced) else output
    if isinstance(value, dict | list | tuple) or np.shape(value) or _kind(value) not in "fiub":
        raise NotDifferentiableError(
            f"why a gradient is what it is needs a loss that is one real number, but {name} "
            f"returned {_described(value)}.\nReduce it (np.sum, np.mean), or pick one element."
        )
    own = isinstance(output, Traced) and output.level == tape.level
    return Run(name, bound.arguments, tape, output if own else value, inputs, places, _defined(f))


def chosen(here: Run, wrt: str | Sequence[str] | None) -> list[str]:
    """The names of the leaves that are asked for, in the order of the arguments.

    Args:
        here: The run.
        wrt: Names of parameters or leaves, one of several or separated by commas. ``None`` stands
            for the first parameter if it is a tree of arrays, and for all of them otherwise.

    Raises:
        NotDifferentiableError: There is no floating-point leaf of such a name.
    """
    inputs, parameters = here.inputs, here.parameters
    if wrt is None:
        first = next(iter(parameters), "")
        below = [n for n in inputs if n != first and n.startswith((f"{first}[", f"{first}."))]
        asked: Sequence[str] = [first] if below else list(inputs)
    else:
        asked = wrt.split(",") if isinstance(wrt, str) else wrt
    found: dict[str, None] = {}
    for name in (n.strip() for n in asked):
        plain = name.replace('"', "'")
        those = [n for n in inputs if n == plain or n.startswith((f"{plain}[", f"{plain}."))]
        if not those:
            raise NotDifferentiableError(_no_leaf(here, name))
        found |= dict.fromkeys(those)
    if not found:
        raise NotDifferentiableError(
            f"{here.function} was given no floating-point array to differentiate with respect to.\n"
            "Pass floats: 1.0 instead of 1, or x.astype(float)."
        )
    return [n for n in inputs if n in found]


def _defined(f: Callable[..., Any]) -> Place:
    code = getattr(inspect.unwrap(f), "__code__", None)
    if code is None:
        return Place()
    file, line = code.co_filename, code.co_firstlineno
    while (text := linecache.getline(file, line).lstrip()).startswith("@"):  # its decorators
        line += 1
    return Place(line=line, file=file, source=text.strip() or None, function=code.co_qualname)


def _no_leaf(here: Run, name: str) -> str:
    given = here.parameters
    if name in given:
        return (
            f"cannot differentiate {here.function} with respect to {name}: it is "
            f"{_described(given[name])}, and a derivative needs floats.\n"
            "Pass a float: 1.0 instead of 1, or x.astype(float)."
        )
    close = difflib.get_close_matches(name, here.inputs, 1)
    listed = ", ".join(list(here.inputs)[:12]) or "none"
    hint = f"Did you mean {close[0]!r}?" if close else f"Its inputs are: {listed}."
    return f"{here.function} has no parameter {name!r}. {hint}"


def _bound(
    f: Callable[..., Any], name: str, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> inspect.BoundArguments:
    try:
        bound = inspect.signature(f).bind(*args, **kwargs)
    except TypeError as error:
        raise ArgumentsError(
            f"the arguments do not fit {name}: {error}.\nGive a value for each parameter, by its "
            "name."
        ) from error
    bound.apply_defaults()
    return bound


def _input(tape: Tape, inputs: dict[str, Traced], name: str, leaf: Any) -> Any:
    """A handle of the function's own for a leaf of floats; anything else as it is."""
    if isinstance(leaf, bool | int | str) or _kind(leaf) != "f":
        return leaf
    inputs[name] = tape.input(np.asarray(leaf)[()])
    return inputs[name].alias()


def _kind(value: Any) -> str:
    try:
        return np.asarray(value).dtype.kind
    except (ValueError, TypeError):
        return "O"


def _described(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} and dtype {value.dtype}"
    if isinstance(value, bool | int | float | str | np.generic):
        return f"{value!r} ({type(value).__name__})"
    return f"a {type(value).__name__}"
