"""One run of the user's function, recorded with the names and lines of its source."""

from __future__ import annotations

import inspect
import linecache
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.errors import NotDifferentiableError
from chainrule.graph.tape import Tape, Traced
from chainrule.sources.arguments import Arguments, bound, described
from chainrule.sources.elements import Element
from chainrule.sources.names import Origins, Place


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """What one run left behind.

    Attributes:
        function: The name of the function.
        tape: The records.
        output: The record of the loss, or the plain number that it is if it depends on nothing.
        inputs: The record of every floating-point leaf of the arguments, by its name.
        places: Where each operation was written, by the index of its record.
        defined: Where the function itself was written.
    """

    function: str
    tape: Tape
    output: Any
    inputs: Mapping[str, Traced]
    places: Mapping[int, Place]
    defined: Place


def call_of(f: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Arguments:
    """The arguments of the call that is looked at.

    Raises:
        ArgumentsError: They do not fit ``f``.
    """
    return bound(_as_function(f) if isinstance(f, np.ufunc) else f, args, kwargs)


def run(arguments: Arguments, part: Element | None = None) -> Run:
    """Make a call once with every floating-point leaf of its arguments traced.

    Args:
        arguments: The call.
        part: A part of a leaf (``W[0,0]``, ``E[3]``) that becomes an input of its own.

    Raises:
        NotDifferentiableError: The result is not a real scalar.
    """
    origins = Origins()
    tape, output, inputs = arguments.run(arguments.floats, origins, part)
    operations = [r.index for r in tape.records if r.op is not None]
    places = dict(zip(operations, origins.resolve(), strict=True))
    if part is not None:
        places[inputs[part.leaf].index] = Place()  # nobody wrote that
    value = output.value if isinstance(output, Traced) else output
    if not _is_real_number(value):
        raise NotDifferentiableError(
            "why a gradient is what it is needs a loss that is one real number, but "
            f"{arguments.name} returned {described(value)}.\nReduce it (np.sum, np.mean), or pick "
            "one element."
        )
    own = isinstance(output, Traced) and output.level == tape.level
    return Run(
        arguments.name, tape, output if own else value, inputs, places,
        _defined(arguments.function),
    )  # fmt: skip


def _as_function(ufunc: np.ufunc) -> Callable[..., Any]:
    """A ufunc as a function with parameters."""

    def of_one(x: Any) -> Any:
        return ufunc(x)

    def of_several(*x: Any) -> Any:
        return ufunc(*x)

    found = of_one if ufunc.nin == 1 else of_several
    found.__name__ = ufunc.__name__
    return found


def _defined(f: Callable[..., Any]) -> Place:
    code = getattr(inspect.unwrap(f), "__code__", None)
    if code is None:
        return Place()
    file, line = code.co_filename, code.co_firstlineno
    while (text := linecache.getline(file, line).lstrip()).startswith("@"):  # its decorators
        line += 1
    return Place(line=line, file=file, source=text.strip() or None, function=code.co_qualname)


def _is_real_number(value: Any) -> bool:
    try:
        array = np.asarray(value)
    except (ValueError, TypeError):
        return False
    return array.ndim == 0 and array.dtype.kind in "fiub"
