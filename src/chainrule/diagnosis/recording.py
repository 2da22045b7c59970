"""A call of a function, recorded with every number that came in and every line of the user's code.

A recording can be run again with some of its operations done otherwise: that is how a suggested
change of the code is tried out before it is suggested.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import FrameType
from typing import Any

import numpy as np

from chainrule.chain.modes import differentiated
from chainrule.errors import ChainruleError
from chainrule.graph.operand import Operand, bind
from chainrule.graph.tape import Tape, Traced, running
from chainrule.graph.versions import refreshed
from chainrule.sources.arguments import as_floats, called
from chainrule.sources.names import Origins, Place
from chainrule.transforms.derivatives import argument_name
from chainrule.tree import leaves, map_leaves, map_named

# How an operation is done otherwise: a function of what gives the new value of an argument.
Change = Callable[[Callable[[Any], Any]], Any]


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """One run of a function.

    Attributes:
        title: The function's name.
        tape: Its operations.
        inputs: The record of each number that came in, by the name of the leaf.
        wrt: The names of those that it is differentiated with respect to.
        out: What it returned, with records at the leaves.
        places: Where each operation was written, by the record's index.
        within: The operation whose derivative another one is a part of, by the records' indices.
    """

    title: str
    tape: Tape
    inputs: dict[str, Traced]
    wrt: tuple[str, ...]
    out: Any
    places: Mapping[int, Place]
    within: dict[int, int] = field(default_factory=dict)

    @property
    def records(self) -> list[Traced]:
        """The operations in order."""
        return self.tape.records

    def own(self, value: Any) -> bool:
        """Whether a value is one of the records."""
        return type(value) is Traced and value.level == self.tape.level

    def value(self, arg: Any) -> Any:
        """The value of an argument of an operation."""
        return arg.value if self.own(arg) else arg

    def results(self) -> list[tuple[str, Any]]:
        """The leaves of what was returned, by name."""
        return list(leaves(self.out, "result"))

    def place(self, record: Traced) -> Place:
        """Where an operation was written; that of a derivative belongs to what it is one of."""
        index = self.within.get(record.index, record.index)
        return self.places.get(index, Place())

    def name(self, arg: Any) -> str | None:
        """What the user calls an argument of an operation."""
        if not self.own(arg):
            return None
        if arg.op is None:
            return next((n for n, x in self.inputs.items() if x.index == arg.index), None)
        return None if arg.index in self.within else self.place(arg).name

    def again(
        self, changes: Mapping[int, Change], inputs: Mapping[str, Any], precise: bool = False
    ) -> Recording:
        """The same run with other operations in place of some, and other inputs.

        Args:
            changes: What is done otherwise, by the record's index.
            inputs: Other values of inputs, by name.
            precise: Whether everything is computed in float64.
        """
        tape = Tape()
        as_given = _in_float64 if precise else lambda value: value
        new = {
            name: tape.input(as_given(inputs.get(name, x.value))) for name, x in self.inputs.items()
        }
        values: dict[int, Any] = {x.index: new[name] for name, x in self.inputs.items()}
        places: dict[int, Place] = {}
        within: dict[int, int] = {}

        def now(arg: Any) -> Any:
            return values[arg.index] if self.own(arg) else as_given(arg)

        with running(tape), np.errstate(all="ignore"):
            for record in self.records:
                if record.index in values:
                    continue
                start = len(tape.records)
                if record.index in changes:
                    value = changes[record.index](now)
                elif record.op is None:
                    value = as_given(record.value)
                elif precise and record.op.name == "astype":
                    value = now(record.args[0])
                else:
                    value = bind(record.op, tuple(map(now, record.args)), record.attrs)
                values[record.index] = value
                for index in range(start, len(tape.records)):
                    places[index] = self.places.get(record.index, Place())
                    above = self.within.get(record.index)
                    if above is not None and isinstance(values[above], Traced):
                        within[index] = values[above].index
            out = map_leaves(now, self.out)
        return replace(self, tape=tape, inputs=new, out=out, places=places, within=within)


class _Places(Mapping[int, Place]):
    """The places of operations by their index, looked up in the source when one is asked for."""

    def __init__(self, notes: Origins, indices: Sequence[int]) -> None:
        self._notes = notes
        self._indices = indices
        self._found: dict[int, Place] | None = None

    def _all(self) -> dict[int, Place]:
        if self._found is None:
            self._found = dict(zip(self._indices, self._notes.resolve(), strict=True))
        return self._found

    def __getitem__(self, index: int) -> Place:
        return self._all()[index]

    def __iter__(self) -> Iterator[int]:
        return iter(self._indices)

    def __len__(self) -> int:
        return len(self._indices)


class _Notes(Origins):
    """Origins that know besides of which operation another one is the derivative."""

    __slots__ = ("level", "within")

    def __init__(self) -> None:
        super().__init__()
        self.level = 0
        self.within: dict[int, int] = {}

    def entered(self, frame: FrameType) -> FrameType:
        """Note that another call is at work, and what it differentiates."""
        above = differentiated(frame, self.level)
        found = super().entered(frame)
        if above is not None:
            self.within[len(self)] = above.index
            self.frame = None  # the same frame goes on to the next operation
        return found


def record(
    f: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    argnums: Sequence[int] | None = None,
    has_aux: bool = False,
) -> Recording:
    """Run ``f`` once and keep what it did.

    Every float that comes in is recorded, so that a bad one is known by its name. Where the
    function cannot be run that way (data are used as indices, say), only the arguments are that it
    is differentiated with respect to.

    Args:
        f: The function.
        args: Its positional arguments.
        kwargs: Its keyword arguments.
        argnums: The arguments that it is differentiated with respect to; all if ``None``.
        has_aux: Whether it returns a pair of which only the first part counts.
    """
    chosen = set(range(len(args)) if argnums is None else (n % len(args) for n in argnums))
    try:
        return _recorded(f, args, kwargs, chosen, has_aux, everything=True)
    except (ChainruleError, TypeError, IndexError, ValueError):
        if argnums is None:
            raise
        return _recorded(f, args, kwargs, chosen, has_aux, everything=False)


def _recorded(
    f: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], chosen: set[int],
    has_aux: bool, everything: bool,
) -> Recording:  # fmt: skip
    notes = _Notes()
    tape = Tape(notes)
    notes.level = tape.level
    inputs: dict[str, Traced] = {}
    wrt: list[str] = []

    def traced(tree: Any, parameter: str, differentiated: bool) -> Any:
        if not (differentiated or everything):
            return tree

        def at_leaf(name: str, leaf: Any) -> Any:
            value = None if isinstance(leaf, Operand) else as_floats(leaf)
            if value is None:
                return leaf
            inputs[name] = tape.input(value)
            if differentiated:
                wrt.append(name)
            return inputs[name].alias()

        return map_named(at_leaf, tree, parameter)

    given = [traced(a, argument_name(f, n), n in chosen) for n, a in enumerate(args)]
    named = {name: traced(a, name, False) for name, a in kwargs.items()}
    first = len(tape.records)
    try:
        with running(tape), np.errstate(all="ignore"):
            out = f(*given, **named)
            if tape.special and tape.watch is not None:
                out = map_leaves(refreshed, out)
    finally:
        notes.release()
    if has_aux:
        out = out[0]
    operations = [r for r in tape.records[first:] if r.op is not None]
    places = _Places(notes, [r.index for r in operations])
    within = {operations[i].index: above for i, above in notes.within.items()}
    return Recording(
        called(f), tape, inputs, tuple(wrt), out, places, within,
    )  # fmt: skip


def _in_float64(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.floating) and value.dtype in (np.float16, np.float32):
        return value.astype(np.float64)
    return value
