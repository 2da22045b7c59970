"""The arguments of one call by the names of their parameters, and their leaves by their own."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.errors import ArgumentsError, NotDifferentiableError, TraceError
from chainrule.graph.operand import bind
from chainrule.graph.tape import Tape, Traced, running
from chainrule.graph.versions import refreshed
from chainrule.rules.assignment import REPLACE
from chainrule.sources.elements import Element, chosen, is_below
from chainrule.sources.names import Origins
from chainrule.tree import leaves, map_leaves, map_named


@dataclass(frozen=True, slots=True, eq=False)
class Arguments:
    """The arguments of one call.

    Attributes:
        function: What is called.
        by_parameter: The arguments by the names of the parameters, defaults included.
        defaults: The parameters that were left to their defaults.
        floats: Every floating-point leaf by its name: what can be differentiated by.
    """

    function: Callable[..., Any]
    by_parameter: Mapping[str, Any]
    defaults: frozenset[str]
    floats: Mapping[str, Any]

    @property
    def name(self) -> str:
        """What the function is called."""
        return called(self.function)

    @property
    def named(self) -> dict[str, Any]:
        """The arguments without those defaults in which there is no number to speak of."""
        return {
            name: value for name, value in self.by_parameter.items()
            if name not in self.defaults or any(is_below(n, name) for n in self.floats)
        }  # fmt: skip

    @property
    def first(self) -> str:
        """The first parameter."""
        return next(iter(self.named), "")

    def chosen(self, wrt: str | Sequence[str] | None, parts: bool = False) -> list[Element]:
        """The leaves, and the elements of leaves, that are asked for.

        Args:
            wrt: Names of parameters, of leaves (``params['W']``) or of elements (``W[0,1]``), in a
                list or separated by commas; the first parameter if ``None``.
            parts: Whether whole parts of an array can be asked for as well: ``E[3]``, ``W[:,1]``.

        Raises:
            NotDifferentiableError: A name is none of a float, an index is none of its leaf, or
                there is nothing to ask for.
        """
        asked = [self.first][: len(self.named)] if wrt is None else wrt
        found = chosen(asked, self.floats, self._missing, parts)
        if not found:
            raise NotDifferentiableError(
                f"{self.name} was given no floating-point array to differentiate with respect to.\n"
                "Pass floats: 1.0 instead of 1, or x.astype(float)."
            )
        return found

    def _missing(self, name: str, hint: str) -> str:
        base = name.partition("[")[0].partition(".")[0]
        if base in self.by_parameter and not any(is_below(n, base) for n in self.floats):
            return (
                f"cannot differentiate {self.name} with respect to {name}: "
                f"{'it' if name == base else base} is {described(self.by_parameter[base])}, and a "
                "derivative needs floats.\nPass a float: 1.0 instead of 1, or x.astype(float)."
            )
        return f"{self.name} has no parameter {name!r}. {hint}"

    def call(self, at: Mapping[str, Any]) -> Any:
        """What the function returns with the named leaves replaced."""
        given = {
            parameter: map_named(at.get, tree, parameter) for parameter, tree in self.named.items()
        }
        signature = _signature(self.function)
        if signature is None:
            return self.function(*given.values())
        bound = inspect.BoundArguments(signature, given)
        return self.function(*bound.args, **bound.kwargs)

    def run(
        self, at: Mapping[str, Any], origins: Origins | None = None, part: Element | None = None
    ) -> tuple[Tape, Any, dict[str, Traced]]:
        """Run the function on a tape, whose inputs are the leaves.

        Args:
            at: The values of the leaves by name.
            origins: Takes notes of where operations come from.
            part: A part of a leaf that becomes an input of its own, which is put into the leaf
                before all else.

        Returns:
            The tape, what the function returned, and the inputs by name.
        """
        tape = Tape(origins)
        inputs: dict[str, Traced] = {}
        for name, value in at.items():
            if part is not None and part.leaf == name:
                inputs[part.name] = piece = tape.input(value[part.index])
                inputs[name] = bind(REPLACE, (value, piece), {"index": part.index})
            else:
                inputs[name] = tape.input(value)
        try:
            with running(tape):
                # The function has handles of its own, which it may assign to. It may return a view
                # of what it assigned to later.
                result = self.call({name: x.alias() for name, x in inputs.items()})
                return tape, map_leaves(refreshed, result), inputs
        finally:
            if origins is not None:
                origins.release()


def bound(f: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Arguments:
    """The arguments of ``f(*args, **kwargs)``.

    Raises:
        ArgumentsError: They do not fit ``f``.
    """
    signature = _signature(f)
    if signature is None:
        names = (f"x{i + 1}" if len(args) > 1 else "x" for i in range(len(args)))
        return _arguments(f, {**dict(zip(names, args, strict=True)), **kwargs}, frozenset())
    try:
        found = signature.bind(*args, **kwargs)
    except TypeError as error:
        raise ArgumentsError(
            f"the arguments do not fit {called(f)}{signature}: {error}.\n"
            "Give a value for each parameter, by its name."
        ) from error
    given = frozenset(found.arguments)
    found.apply_defaults()
    return _arguments(f, found.arguments, frozenset(found.arguments) - given)


def _arguments(
    f: Callable[..., Any], by_parameter: Mapping[str, Any], defaults: frozenset[str]
) -> Arguments:
    floats = {
        name: number
        for parameter, tree in by_parameter.items()
        for name, leaf in leaves(tree, parameter)
        if (number := as_floats(leaf)) is not None
    }
    return Arguments(f, by_parameter, defaults, floats)


def _signature(f: Callable[..., Any]) -> inspect.Signature | None:
    """The parameters of ``f``; ``None`` for ufuncs and built-ins, which have none to show."""
    if isinstance(f, np.ufunc):
        return None
    try:
        return inspect.signature(f)
    except ValueError:
        return None


def called(f: Callable[..., Any]) -> str:
    """What is said for a function: its name, that of its class, or ``f``.

    >>> called(np.sin), called(lambda x: x), called(functools.partial(np.add, 1.0))
    ('sin', 'f', 'add')
    """
    while isinstance(f, functools.partial):
        f = f.func
    return getattr(f, "__name__", type(f).__name__).replace("<lambda>", "f")


def as_floats(leaf: Any) -> Any:
    """A leaf as a number or an array of floats; ``None`` if it is none.

    Raises:
        TraceError: It belongs to a computation that is recorded around this one.
    """
    if isinstance(leaf, bool | int | str):
        return None
    try:
        array = np.asarray(leaf)
    except TraceError:
        raise
    except (ValueError, TypeError):
        return None
    return array[()] if array.dtype.kind == "f" else None


def described(value: Any) -> str:
    """A value in a few words."""
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype} of shape {value.shape}"
    if isinstance(value, bool | int | float | str | np.generic):
        return f"{value!r} ({type(value).__name__})"
    return f"a {type(value).__name__}"
