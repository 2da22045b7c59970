"""Forward and reverse mode: the same edges, walked from either end, added up over paths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import FrameType
from typing import Any

import numpy as np

from chainrule.chain.edges import Carried, fitted, pull, push, push_together
from chainrule.chain.quiet import quietly
from chainrule.chain.rehearsed import rehearsed
from chainrule.chain.supports import Support, plainly, unite
from chainrule.graph.operand import Operand
from chainrule.graph.places import is_ours
from chainrule.graph.primitive import Linear
from chainrule.graph.tape import Traced
from chainrule.rules.shapes import sum_to

FLOAT64 = np.float64
ARRAY = np.ndarray


def reverse(
    records: Sequence[Traced], seeds: Mapping[int, Carried], keep: bool = False
) -> dict[int, Carried]:
    """Carry cotangents from the seeded records back to the inputs.

    Args:
        records: A tape's records, in order.
        seeds: Cotangent and support of each output, by the record's index.
        keep: Return the cotangent of every record and not only of the inputs.

    Returns:
        Cotangent and support by record index. A record that nothing reaches is absent, which is
        not the same as a cotangent of zero.
    """
    if not keep:
        rehearsal = rehearsed(records, seeds)
        if rehearsal is not None:
            return rehearsal
    last = max(seeds, default=-1)
    if plainly():
        found: _Found = _FoundEverywhere(
            last + 1, {index: (cotangent, None) for index, (cotangent, _) in seeds.items()}
        )
    else:
        found = _Found(last + 1, seeds)
    cotangents, supports = found.cotangents, found.supports
    carried: dict[int, Carried] = {}
    with quietly():
        for index in range(last, -1, -1):
            cotangent = cotangents[index]
            if cotangent is None:
                continue
            record = records[index]
            op = record.op
            support = supports.pop(index, None) if supports else None
            if op is None or keep:
                carried[index] = (cotangent, support)
                if op is None:
                    continue
            cotangents[index] = None
            if support is None:
                slopes = op.slopes
                if slopes is not None:
                    if _scaled(record, slopes, cotangent, cotangents, supports):
                        continue
                else:
                    transposes = op.transposes
                    if transposes is not None and _transposed(
                        record, transposes, cotangent, cotangents, supports
                    ):
                        continue
            level, out, attrs = record.level, record.value, record.attrs
            args, here = values_of(record), (cotangent, support)
            if op.joint is not None:
                parts = op.joint.pull(cotangent, args, out, attrs)
                for arg, part in zip(record.args, parts, strict=True):
                    if part is not None and type(arg) is Traced and arg.level == level:
                        found.add(arg.index, (part, None))
                continue
            if op.picks is not None:
                source = record.args[0]
                if type(source) is not Traced or source.level != level:
                    continue
                if not _added_in_place(op.picks, record, args, here, found):
                    further = keep or source.op is not None
                    found.add(source.index, pull(op, 0, args, out, attrs, here, further))
                    found.owned.add(source.index)
                continue
            for position, arg in enumerate(record.args):
                if type(arg) is Traced and arg.level == level:
                    further = keep or arg.op is not None
                    found.add(arg.index, pull(op, position, args, out, attrs, here, further))
    return carried


class _Found:
    """What has arrived at each record: cotangents, and the supports of those that have one."""

    __slots__ = ("cotangents", "owned", "supports")

    def __init__(self, count: int, seeds: Mapping[int, Carried]) -> None:
        self.cotangents: list[Any] = [None] * count
        self.supports: dict[int, Support] = {}
        # Records whose cotangent is an array that nobody else has: parts may be added to it in
        # place.
        self.owned: set[int] = set()
        for index, (cotangent, support) in seeds.items():
            self.cotangents[index] = cotangent
            if support is not None:
                self.supports[index] = support

    def add(self, index: int, part: Carried | None) -> None:
        """Add what arrives on one more path: the support is where any of them can be non-zero."""
        if part is None:
            return
        cotangent, support = part
        before = self.cotangents[index]
        if before is not None:
            cotangent, support = before + cotangent, unite(self.supports.get(index), support)
        self.cotangents[index] = cotangent
        if support is not None:
            self.supports[index] = support
        elif self.supports:
            self.supports.pop(index, None)


class _FoundEverywhere(_Found):
    """The same without supports: nobody remembers where a cotangent can be non-zero."""

    __slots__ = ()

    def add(self, index: int, part: Carried | None) -> None:
        """Add what arrives on one more path."""
        if part is not None:
            super().add(index, (part[0], None))


def _added_in_place(
    edge: Linear, record: Traced, args: tuple[Any, ...], here: Carried, found: _Found
) -> bool:
    """Add what was picked out of an array to the array's own cotangent, without a copy of it.

    A loop over the elements of an array takes time in proportion to their number this way.
    """
    source = record.args[0].index
    cotangent, support = here
    if source not in found.owned or support is not None or isinstance(cotangent, Operand):
        return False
    total, reached = found.cotangents[source], found.supports.get(source)
    if type(total) is not np.ndarray or total.dtype != cotangent.dtype:
        return False
    assert edge.add_into is not None
    edge.add_into(total, cotangent, *args, **record.attrs)
    if reached is not None:
        edge.add_into(reached, np.ones(np.shape(cotangent), bool), *args, **record.attrs)
    return True


# Most edges of a program are elementwise or linear, and most cotangents reach everywhere. For these
# the two functions below do what ``pull`` does, with its questions left out: on small arrays they
# would take longer than the arithmetic. Both return whether they did it.


def _scaled(
    record: Traced, slopes: tuple[Any, ...], cotangent: Any, cotangents: list[Any],
    supports: dict[int, Support],
) -> bool:  # fmt: skip
    """Carry a cotangent that reaches everywhere across the edges of an elementwise function."""
    args, level = record.args, record.level
    if record.attrs or len(args) > 2:
        return False
    # What is not multiplied is not recorded, where this is part of a higher derivative.
    try:
        if len(args) == 1:
            a, part = args[0], slopes[0]
            if type(a) is Traced and a.level == level:
                x = a.value
                if type(part) is not float:
                    part = cotangent * part(x, record.value)
                elif part == 1.0:
                    part = cotangent
                else:
                    part = -cotangent if part == -1.0 else cotangent * part
                _arrive(a.index, x, part, cotangents, supports)
            return True
        x, y = a, b = args
        first = second = None
        if type(a) is Traced and a.level == level:
            x, first = a.value, slopes[0]
        if type(b) is Traced and b.level == level:
            y, second = b.value, slopes[-1]
        if type(first) is float:
            first = cotangent if first == 1.0 else cotangent * first
        elif first is not None:
            first = cotangent * first(x, y, record.value)
        if type(second) is float:
            if second == 1.0:
                second = cotangent
            else:
                second = -cotangent if second == -1.0 else cotangent * second
        elif second is not None:
            second = cotangent * second(x, y, record.value)
    except (ZeroDivisionError, OverflowError):  # of Python's own numbers: ``pull`` knows more
        return False
    if first is not None:
        _arrive(a.index, x, first, cotangents, supports)
    if second is not None:
        _arrive(b.index, y, second, cotangents, supports)
    return True


def _transposed(
    record: Traced, transposes: tuple[Any, ...], cotangent: Any, cotangents: list[Any],
    supports: dict[int, Support],
) -> bool:  # fmt: skip
    """Carry a cotangent that reaches everywhere across the edges of a linear map or contraction."""
    args, attrs, level = record.args, record.attrs, record.level
    if len(transposes) != len(args):
        return False
    if len(args) == 1:
        a, first = args[0], transposes[0]
        if first is not None and type(a) is Traced and a.level == level:
            x = a.value
            _arrive(a.index, x, first(cotangent, x, **attrs), cotangents, supports)
        return True
    if attrs or len(args) > 2:
        return False
    x, y = a, b = args
    first = second = None
    if type(a) is Traced and a.level == level:
        x, first = a.value, transposes[0]
    if type(b) is Traced and b.level == level:
        y, second = b.value, transposes[1]
    if first is not None:
        _arrive(a.index, x, first(cotangent, x, y), cotangents, supports)
    if second is not None:
        _arrive(b.index, y, second(cotangent, x, y), cotangents, supports)
    return True


def _arrive(
    index: int, value: Any, part: Any, cotangents: list[Any], supports: dict[int, Support]
) -> None:
    """Add a part of the cotangent of ``value``, in its shape and dtype, on one more path."""
    kind = type(part)
    if kind is ARRAY:
        if type(value) is not ARRAY or part.dtype is not value.dtype:
            part = fitted(part, value)
        elif part.shape != value.shape:
            part = sum_to(part, value.shape)
    elif kind is Traced:  # scalars, which fit, or arrays of another computation
        below = part.value
        behind = value.value if type(value) is Traced else value
        if type(below) is not FLOAT64 or type(behind) is not FLOAT64:
            part = fitted(part, value)
    elif kind is not FLOAT64 or type(value) is not FLOAT64:
        part = fitted(part, value)
    before = cotangents[index]
    if before is None:
        cotangents[index] = part
    else:
        cotangents[index] = before + part
        if supports:
            supports.pop(index, None)


def forward(records: Sequence[Traced], seeds: Mapping[int, Carried]) -> dict[int, Carried]:
    """Carry tangents from the seeded inputs on to every record that they reach."""
    arrive = _add_path_everywhere if plainly() else add_path
    carried: dict[int, Carried] = {}
    for index, seed in seeds.items():
        arrive(carried, index, seed)
    with quietly():
        for record in records:
            if record.op is None:
                continue
            level, op, out, attrs = record.level, record.op, record.value, record.attrs
            here = {
                position: carried[arg.index]
                for position, arg in enumerate(record.args)
                if type(arg) is Traced and arg.level == level and arg.index in carried
            }
            if not here:
                continue
            args = values_of(record)
            if op.joint is not None:
                tangents = tuple(here[i][0] if i in here else None for i in range(len(args)))
                carried[record.index] = op.joint.push(tangents, args, out, attrs), None
                continue
            if len(here) > 1 and getattr(op.edges[-1], "positional", False):
                carried[record.index] = push_together(op, args, out, attrs, here)
                continue
            for position, one in here.items():
                arrive(carried, record.index, push(op, position, args, out, attrs, one))
    return carried


def values_of(record: Traced) -> tuple[Any, ...]:
    """The values of a record's arguments: arrays, or values of the tape outside this one."""
    level, args = record.level, record.args
    count = len(args)
    if count == 2:  # one or two: no time for a loop
        x, y = args
        return (
            x.value if type(x) is Traced and x.level == level else x,
            y.value if type(y) is Traced and y.level == level else y,
        )
    if count == 1:
        x = args[0]
        return (x.value if type(x) is Traced and x.level == level else x,)
    return tuple([a.value if type(a) is Traced and a.level == level else a for a in args])


def add_path(carried: dict[int, Carried], index: int, part: Carried | None) -> None:
    """Paths that meet are added; their support is where any of them can be non-zero."""
    if part is None:
        return
    before = carried.get(index)
    carried[index] = part if before is None else (before[0] + part[0], unite(before[1], part[1]))


def _add_path_everywhere(carried: dict[int, Carried], index: int, part: Carried | None) -> None:
    """The same without supports."""
    if part is not None:
        add_path(carried, index, (part[0], None))


# The functions that go through the records of a computation to differentiate it.
_WALKS = frozenset((reverse.__code__, forward.__code__))


def differentiated(frame: FrameType | None, level: int) -> Traced | None:
    """The record of the tape of that level whose derivative is computed in a frame, or above it."""
    while frame is not None and is_ours(frame.f_code):
        if frame.f_code in _WALKS:
            value = frame.f_locals.get("record")
            while type(value) is Traced and value.level != level:
                value = value.value
            if type(value) is Traced:
                return value
        frame = frame.f_back
    return None
