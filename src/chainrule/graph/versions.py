"""Assignment to traced arrays, and their views: what an array is at each moment.

In NumPy, ``a[i] = v`` changes the array that ``a`` names. Here the value stays as it was, for the
derivative needs it, and the object ``a`` becomes the handle of a new record. Records made before
refer to what ``a`` was; when the function has returned they are told so, all at once.

A view is known by the operation that made it: ``row = a[0]`` is index 0 of whatever ``a`` is. So
``row[1] = v`` is an assignment to ``a``, and a view of an array that was assigned to is made again
when it is next used.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from chainrule.errors import TraceError
from chainrule.graph.fronts import innermost
from chainrule.graph.operand import Attrs, Operand, bind
from chainrule.graph.primitive import Primitive
from chainrule.graph.tape import Tape, Traced, example, shape_of

# How to write through a view: ``write(array, new, attrs)`` is the array with ``new`` in the places
# that the view shows. NumPy does not let anybody write through those that are not listed.
WRITING: dict[Primitive, Callable[[Any, Any, Attrs], Any]] = {}


class View(NamedTuple):
    """``primitive`` of ``base`` shows the memory of ``base``."""

    base: Any
    primitive: Primitive
    attrs: Attrs
    stale: bool


class Versions:
    """What the objects of a tape that were assigned to have been before."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.before: dict[int, list[Traced]] = {}
        # Objects whose identity is a key above must not make room for others.
        self.kept_alive: list[Traced] = []

    def used(self, args: tuple[Any, ...]) -> None:
        """Make views again whose arrays have been assigned to."""
        for arg in args:
            if type(arg) is Traced:
                refresh(arg)

    def settle(self) -> None:
        """Make every record refer to what its arguments were when it was made."""
        before, level = self.before, self.tape.level
        for record in self.tape.records:
            if any(
                type(a) is Traced and (a.level != level or a.index >= record.index)
                for a in record.args
            ):
                record.args = tuple(
                    [self._then(a, record) if id(a) in before else a for a in record.args]
                )

    def _then(self, arg: Any, record: Traced) -> Any:
        if arg.level == record.level and arg.index < record.index:
            return arg
        before = self.before[id(arg)]
        return before[bisect_left(before, record.index, key=lambda old: old.index) - 1]


def view_of(value: Any) -> View | None:
    """Of which array NumPy would have a view here; ``None`` for an array of its own."""
    if type(value) is not Traced:
        return value.view if isinstance(value, Operand) and hasattr(value, "stack") else None
    op = value.op
    if op is None or not op.view or len(value.args) != 1:  # indexing with arrays makes a copy
        return None
    records = value.tape.records
    if value.index >= len(records) or records[value.index] is not value:
        return None  # kept as it was, for a derivative
    base = value.args[0]
    stale = base.tape is not value.tape or base.index > value.index
    return view(base, op, value.attrs, stale)


def view(base: Any, op: Primitive, attrs: Attrs, stale: bool) -> View | None:
    """``op`` of ``base`` as a view, if NumPy would not make a copy."""
    if is_number(base):
        return None
    index = attrs.get("index")
    if index is not None and Ellipsis not in index and all(type(i) is int for i in index):
        if len(index) == len(shape_of(base)):
            return None  # one element: a number
    elif op.shapes and "shape" in attrs:
        memory = np.asarray(example(base))
        if not memory.flags.c_contiguous and not np.may_share_memory(
            memory, op.evaluate(memory, **attrs)
        ):
            return None  # the elements do not lie in that order
    return View(base, op, attrs, stale)


def is_view(value: Any) -> bool:
    """Whether NumPy would have a view of another array here, and not an array of its own."""
    return view_of(value) is not None


def refresh(value: Any) -> None:
    """Make a view again if its array has been assigned to since."""
    chain = []
    found = view_of(value)
    while found is not None:
        chain.append(value)
        value = found.base
        found = view_of(value)
    for value in reversed(chain):
        found = view_of(value)
        if found is not None and found.stale:
            _move_on(value, bind(found.primitive, (found.base,), found.attrs))


def refreshed(value: Any) -> Any:
    """A result of a function as it is when the function returns."""
    if isinstance(value, Operand):
        refresh(value)
    return value


def assigned(handle: Any, make: Callable[[Any], Any]) -> None:
    """Move ``handle`` on to ``make(handle)``: what it is after an assignment in place.

    Raises:
        TraceError: The array belongs to another computation than the function that assigns to it.
        ValueError: NumPy would not write through this view either.
    """
    refresh(handle)
    new = make(handle.alias())
    found = view_of(handle)
    while found is not None:
        write = WRITING.get(found.primitive)
        if write is None:
            raise ValueError("assignment destination is read-only")
        handle = found.base
        new = write(handle.alias(), new, found.attrs)
        found = view_of(handle)
    _not_from_outside(handle)
    _move_on(handle, new)


def owner(value: Any) -> Any:
    """The array whose memory NumPy would show here."""
    found = view_of(value)
    while found is not None:
        value = found.base
        found = view_of(value)
    return value


def is_number(value: Any) -> bool:
    """Whether NumPy would have a number here, which nothing changes, and not an array."""
    return not shape_of(value) and not is_view(value)


def _not_from_outside(handle: Any) -> None:
    """Where one run of a function stands for many, what it changes outside would change once."""
    run = innermost()
    if run is None or not run.computation.staged or type(handle) is not Traced:
        return
    if handle.index < run.begun.get(handle.level, 0):
        raise TraceError(
            "an array from outside is assigned to in a function of which one run stands for many "
            "(the body of a loop, checkpoint, vmap).\nMake the array inside, or carry it along: "
            "scan and fori_loop hand the carry from step to step."
        )


def _move_on(handle: Any, new: Any) -> None:
    """From here on, ``handle`` is what ``new`` is."""
    if type(new) is not type(handle):
        raise TraceError(
            "a value of an inner computation is assigned to an array of an outer one (vmap inside "
            "of grad, or the other way round).\nMake the array inside, of values there: "
            "np.zeros(n, like=x), np.stack, np.where."
        )
    _lie_like(new, handle)
    if type(handle) is not Traced:
        handle.become(new)
        return
    # What is assigned may belong to a computation inside of the array's: the handle moves there.
    for tape in (new.tape, handle.tape):
        if tape.watch is None:
            tape.watch = Versions(tape)
    versions: Any = handle.tape.watch
    old = handle.alias()
    handle.become(new)
    handle.tape.records[handle.index] = handle
    old.tape.records[old.index] = old
    versions.before.setdefault(id(handle), []).append(old)
    versions.kept_alive.append(handle)


def _lie_like(new: Any, old: Any) -> None:
    """The array that was written into stays where it is: its elements keep their order in memory.

    That is what decides whether ``np.ravel`` of it is a view.
    """
    _, before = _memory(old)
    holder, after = _memory(new)
    if type(before) is not np.ndarray or type(after) is not np.ndarray or not before.size:
        return
    batches = after.shape[: after.ndim - before.ndim]  # of what is written into an array of none
    if after.shape != batches + before.shape:
        return
    flags, wanted = after[(0,) * len(batches)].flags if all(batches) else after.flags, before.flags
    if flags.c_contiguous != wanted.c_contiguous or flags.f_contiguous != wanted.f_contiguous:
        outermost = sorted(range(before.ndim), key=lambda i: -before.strides[i])
        laid = np.empty(batches + tuple(before.shape[i] for i in outermost), after.dtype)
        behind = [len(batches) + outermost.index(i) for i in range(before.ndim)]
        laid = laid.transpose((*range(len(batches)), *behind))
        laid[...] = after
        setattr(holder, "value" if type(holder) is Traced else "stack", laid)


def _memory(value: Any) -> tuple[Any, Any]:
    """The array under all computations, and the operand that holds it."""
    holder = None
    while isinstance(value, Operand):
        holder, value = value, value.value if type(value) is Traced else value.stack
    return holder, value
