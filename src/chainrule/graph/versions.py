"""Assignment to traced arrays: the user's object moves on to a new record.

In NumPy, ``a[i] = v`` changes the array that ``a`` names. Here the value stays as it was, for the
derivative needs it, and the object ``a`` becomes the handle of a new record. Records made before
refer to what ``a`` was; when the function has returned they are told so, all at once.

Views are the catch: after ``row = a[0]``, NumPy would change ``a`` by ``row[1] = v`` and ``row`` by
``a[0, 1] = v``. Neither happens here, so a view that would show the difference is an error.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from typing import Any

from chainrule.errors import TraceError
from chainrule.graph.tape import Tape, Traced, shape_of

_SLOTS = ("tape", "level", "value", "op", "args", "attrs", "index")


class Versions:
    """What the objects of a tape that were assigned to have been before."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.before: dict[int, list[Traced]] = {}
        # Arrays of which a view was changed by ``+=``; assigning it back makes that good.
        self.owed: dict[int, Traced] = {}
        # Objects whose identity is a key above must not make room for others.
        self.kept_alive: list[Traced] = []

    def used(self, args: tuple[Any, ...]) -> None:
        """Raise if an argument is not what NumPy would have in its place."""
        for arg in args:
            if type(arg) is not Traced or arg.tape is not self.tape:
                continue
            if id(arg) in self.owed:
                raise _changed_through_view()
            view = arg
            while is_view(view):
                base = view.args[0]
                if type(base) is not Traced or base.level != view.level:
                    break
                if base.index > view.index:
                    raise _stale_view()
                view = base

    def settle(self) -> None:
        """Make every record refer to what its arguments were when it was made."""
        for record in self.tape.records:
            if any(type(a) is Traced and a.index >= record.index for a in record.args):
                record.args = tuple([self._then(a, record) for a in record.args])

    def _then(self, arg: Any, record: Traced) -> Any:
        if type(arg) is not Traced or arg.level != record.level or arg.index < record.index:
            return arg
        before = self.before[id(arg)]
        return before[bisect_left(before, record.index, key=lambda old: old.index) - 1]


def is_view(value: Any) -> bool:
    """Whether NumPy would have a view of another array here, and not an array of its own."""
    if type(value) is not Traced or value.op is None or not value.op.view:
        return False
    return len(value.args) == 1 and value.shape != ()  # indexing with arrays makes a copy


def assigned(handle: Any, make: Callable[[Any], Any], value: Any = None) -> None:
    """Move ``handle`` on to ``make(handle)``: what it is after an assignment in place.

    Raises:
        TraceError: ``handle`` is a view of another traced array, which NumPy would change too.
    """
    if not isinstance(handle, Traced):
        new = make(handle)
        if type(new) is not type(handle) or new.level != handle.level:
            raise TraceError(
                "a value of an inner computation is assigned to an array of an outer one.\n"
                "Make the array inside: a = a.copy()."
            )
        handle.stack = new.stack
        return
    if is_view(handle):
        raise _changing_a_view()
    versions = _versions_of(handle.tape)
    if versions.owed.get(id(handle)) is value is not None:
        del versions.owed[id(handle)]
    old = handle.alias()
    new = make(old)
    if type(new) is not Traced:
        raise TypeError("an assignment makes a traced value")  # pragma: no cover - by construction
    for slot in _SLOTS:
        setattr(handle, slot, getattr(new, slot))
    handle.tape.records[handle.index] = handle
    if handle.tape is old.tape:
        old.tape.records[old.index] = old
        versions.before.setdefault(id(handle), []).append(old)
        versions.kept_alive.append(handle)


def changed_in_place(handle: Any, make: Callable[[Any], Any]) -> Any:
    """What ``handle += …`` gives: the handle itself, or a new value where it is a view.

    Python assigns the result of ``a[0] += v`` back to ``a[0]``, which is as it should be; of
    ``row += v`` it is not assigned back, and using ``a`` is an error from there on.
    """
    if not shape_of(handle):
        return make(handle)  # numbers are immutable: the name is bound to a new one
    if not is_view(handle):
        assigned(handle, make)
        return handle
    new = make(handle)
    base = handle.args[0]
    while is_view(base):
        base = base.args[0]
    if isinstance(base, Traced) and isinstance(new, Traced):
        versions = _versions_of(handle.tape)
        versions.owed[id(base)] = new
        versions.kept_alive.append(base)
    return new


def _versions_of(tape: Tape) -> Any:
    if tape.watch is None:
        tape.watch = Versions(tape)
    return tape.watch


def same_place(handle: Any, new: Any) -> Any:
    """``new`` if it fits into ``handle``'s array, as NumPy demands of an operation in place."""
    if shape_of(new) != shape_of(handle):
        raise ValueError(
            f"an operation in place gives shape {shape_of(new)} for an array of shape "
            f"{shape_of(handle)}"
        )
    return new


def _changing_a_view() -> TraceError:
    return TraceError(
        "assignment to a view of a traced array: NumPy would change that array too, and here its "
        "gradient would be lost.\nAssign to the array itself (a[0, 1] = v instead of row = a[0]; "
        "row[1] = v), or make a copy first (row = a[0].copy())."
    )


def _changed_through_view() -> TraceError:
    return TraceError(
        "a view of this traced array was changed in place (row = a[0]; row += v): NumPy would have "
        "changed the array too.\nWrite a[0] += v, or make a copy first (row = a[0].copy())."
    )


def _stale_view() -> TraceError:
    return TraceError(
        "a view is used whose traced array was assigned to after it was made: NumPy would show the "
        "new values in it, here it has the old ones.\nTake the view again (row = a[0]) after the "
        "assignment, or make a copy before it (row = a[0].copy())."
    )
