"""One run of the user's function, recorded with the names and lines of its source."""

from __future__ import annotations

import ast
import difflib
import inspect
import linecache
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from chainrule.errors import ArgumentsError, NotDifferentiableError
from chainrule.graph.operand import bind
from chainrule.graph.tape import Tape, Traced, running
from chainrule.rules.assignment import REPLACE
from chainrule.sources.elements import asked_for
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
        defaults: The parameters that were left to their defaults.
    """

    function: str
    parameters: Mapping[str, Any]
    tape: Tape
    output: Any
    inputs: Mapping[str, Traced]
    places: Mapping[int, Place]
    defined: Place
    defaults: frozenset[str]


def run(
    f: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    wrt: str | None = None,
) -> Run:
    """Run ``f`` once with every floating-point leaf of its arguments traced.

    Args:
        f: The function.
        args: Its positional arguments.
        kwargs: Its keyword arguments.
        wrt: What the run is for. If it names a part of a leaf (``W[0,0]``, ``E[3]``), that part is
            an input of its own, which is put into the leaf before all else.

    Raises:
        ArgumentsError: The arguments do not fit ``f``.
        NotDifferentiableError: The result is not a real scalar.
    """
    name = getattr(f, "__name__", type(f).__name__).replace("<lambda>", "f")
    if isinstance(f, np.ufunc):  # its signature is not that of one call
        f = _as_function(f)
    bound = _bound(f, name, args, kwargs)
    given_names = frozenset(bound.arguments)
    bound.apply_defaults()
    origins = Origins()
    tape = Tape(origins)
    inputs: dict[str, Traced] = {}
    given: dict[str, Any] = {}
    part = None if wrt is None else _part(wrt.replace('"', "'"), bound.arguments)
    for parameter, tree in bound.arguments.items():
        names = iter([n for n, _ in leaves(tree, parameter)])
        given[parameter] = map_leaves(
            lambda leaf, n=names: _input(tape, inputs, next(n), leaf, part), tree
        )
    try:
        with running(tape):
            arguments = inspect.BoundArguments(bound.signature, given)
            output = f(*arguments.args, **arguments.kwargs)
    finally:
        origins.release()
    operations = [r.index for r in tape.records if r.op is not None]
    places = dict(zip(operations, origins.resolve(), strict=True))
    if part is not None:
        places[inputs[part.leaf].index] = Place()  # nobody wrote that
    value = output.value if isinstance(output, Traced) else output
    if isinstance(value, dict | list | tuple) or np.shape(value) or _kind(value) not in "fiub":
        raise NotDifferentiableError(
            f"why a gradient is what it is needs a loss that is one real number, but {name} "
            f"returned {_described(value)}.\nReduce it (np.sum, np.mean), or pick one element."
        )
    own = isinstance(output, Traced) and output.level == tape.level
    return Run(
        name, bound.arguments, tape, output if own else value, inputs, places, _defined(f),
        frozenset(bound.arguments) - given_names,
    )  # fmt: skip


def chosen(here: Run, wrt: str | Sequence[str] | None) -> list[str]:
    """The names of the leaves that are asked for, in the order of the arguments.

    Args:
        here: The run.
        wrt: Names of parameters or leaves, one of several or separated by commas. ``None`` stands
            for the first parameter if it is a tree of arrays, and otherwise for all of them but
            numbers that were left to their defaults.

    Raises:
        NotDifferentiableError: There is no floating-point leaf of such a name.
    """
    inputs, parameters = here.inputs, here.parameters
    if wrt is None:
        first = next(iter(parameters), "")
        below = [n for n in inputs if n != first and _is_below(n, first)]
        # A number that is left to its default (eps=1e-5) is no parameter of a model.
        several = [
            n for n, x in inputs.items()
            if np.shape(x.value) or not any(_is_below(n, d) for d in here.defaults)
        ]  # fmt: skip
        asked: Sequence[str] = [first] if below else several
    else:
        asked = asked_for(wrt)
    found: dict[str, None] = {}
    for name in asked:
        plain = name.replace('"', "'")
        those = [plain] if plain in inputs else [n for n in inputs if _is_below(n, plain)]
        if not those:
            raise NotDifferentiableError(_no_leaf(here, name))
        found |= dict.fromkeys(those)
    if not found:
        raise NotDifferentiableError(
            f"{here.function} was given no floating-point array to differentiate with respect to.\n"
            "Pass floats: 1.0 instead of 1, or x.astype(float)."
        )
    return [n for n in inputs if n in found]


def _is_below(name: str, tree: str) -> bool:
    """Whether a leaf is that of a tree, or in it."""
    return name == tree or name.startswith((f"{tree}[", f"{tree}."))


def _as_function(ufunc: np.ufunc) -> Callable[..., Any]:
    """A ufunc as a function with parameters."""

    def of_one(x: Any) -> Any:
        return ufunc(x)

    def of_several(*x: Any) -> Any:
        return ufunc(*x)

    return of_one if ufunc.nin == 1 else of_several


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
    return bound


class _Part(NamedTuple):
    """A part of a leaf, as it was written."""

    written: str
    leaf: str
    index: Any


def _part(wrt: str, arguments: Mapping[str, Any]) -> _Part | None:
    """The part of a leaf that a name stands for; ``None`` if it is no such name."""
    named = {n: leaf for p, tree in arguments.items() for n, leaf in leaves(tree, p)}
    for name in sorted(named, key=len, reverse=True):
        if wrt != name and wrt.startswith(f"{name}[") and _kind(named[name]) == "f":
            index = _index(wrt[len(name) :])
            if index is None:
                return None
            try:
                found = np.asarray(named[name])[index]
            except IndexError:
                found = np.zeros(0)
            if not np.size(found):
                raise NotDifferentiableError(
                    f"there is no {wrt}: {name} has the shape {np.shape(named[name])}."
                )
            return _Part(wrt, name, index)
    return None


def _index(written: str) -> Any:
    """``[0, 1]``, ``[3]`` or ``[:, 2]`` as an index of NumPy; ``None`` for anything else."""
    try:
        node = ast.parse(f"x{written}", mode="eval").body
        if not isinstance(node, ast.Subscript) or not isinstance(node.value, ast.Name):
            return None
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        return tuple(
            slice(*(None if e is None else ast.literal_eval(e) for e in (p.lower, p.upper, p.step)))
            if isinstance(p, ast.Slice)
            else operator.index(ast.literal_eval(p))
            for p in parts
        )
    except (SyntaxError, ValueError, TypeError):
        return None


def _input(tape: Tape, inputs: dict[str, Traced], name: str, leaf: Any, part: _Part | None) -> Any:
    """A handle of the function's own for a leaf of floats; anything else as it is."""
    if isinstance(leaf, bool | int | str) or _kind(leaf) != "f":
        return leaf
    array = np.asarray(leaf)
    if part is not None and part.leaf == name:
        inputs[part.written] = piece = tape.input(array[part.index])
        inputs[name] = bind(REPLACE, (array, piece), {"index": part.index})
    else:
        inputs[name] = tape.input(array[()])
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
