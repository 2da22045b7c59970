"""Sweeps: loops over a long axis that read each other's results shifted, run block by block.

Loops that need what a neighbouring turn of another has made cannot share turns. One after the
other, each goes through arrays that are out of the nearest cache by the time they are read again. A
*sweep* goes through the axis in blocks: in each all loops take their turns, so many turns behind
that all they need is there (loops are tiled and skewed, as it is called). Every element is computed
as before, and so is the same bit for bit.

Threads get parts of the axis. First each does what needs nothing of other parts: a trapezoid, as
every loop stays back from the part's ends as far as it must. Then what is left around the borders,
a few turns, is done (split tiling). No element is computed twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from chainrule.run.llvm.expressions import Affine, Expr, Var
from chainrule.run.llvm.nests import FULL, Buffer, Group, Loop, Statement, Straight, Sweep, Turns

# What one block of all arrays may take: it stays in the nearest cache, with some room beside it.
_NEAREST = 12 << 10
# A block has at least so many turns: of shorter ones, starting the loops is what takes time.
_LEAST = 64
# Loops stay back by at most so many turns: what was made for them has to be near still.
_FURTHEST = 512
# A sweep takes at most so many statements: LLVM takes longer than linear time for long functions.
_MOST = 64
# So many numbers between two loops are made before or after both; more take longer to look at.
_FEW = 16


def swept(groups: Sequence[Group]) -> list[Group]:
    """Groups in order, with loops that gain by it put into sweeps."""
    found: list[Group] = []
    run = _Run()
    for group in groups:
        if run.takes(group):
            continue
        found += run.closed()
        run = _Run()
        if not run.takes(group):
            found.append(group)
    return [*found, *run.closed()]


class _Run:
    """Loops that follow each other and may be one sweep."""

    def __init__(self) -> None:
        self.groups: list[Group] = []  # as they were
        self.before: list[Loop | Straight] = []
        self.after: list[Straight] = []
        self.turns: list[Turns] = []
        self.rooms: dict[int, Buffer] = {}
        self.longest = 0
        self.count = 0
        self.furthest = 0

    def takes(self, group: Group) -> bool:
        """Add a group, if it may be one of them; if not, the run is over."""
        if isinstance(group, Straight) and self.turns and len(group.body) <= _FEW:
            self._put_aside(group)
        elif isinstance(group, Loop) and self._comes_before(group):
            self.before.append(group)
        elif isinstance(group, Loop) and (turns := self._turns(group)) is not None:
            self.turns.append(turns)
        else:
            return False
        self.groups.append(group)
        return True

    def _put_aside(self, group: Straight) -> None:
        """Numbers that no loop so far has to do with are as well made before all of them.

        The others are made after: no loop with which they have to do joins from here on.
        """
        early, late = Straight(), Straight()
        for s in group.body:
            free = self._is_free(_alone(s)) and not any(_collisions(_alone(s), late))
            (early if free else late).body.append(s)
        self.before += [early] if early.body else []
        self.after += [late] if late.body else []

    def _comes_before(self, loop: Loop) -> bool:
        """Whether a short loop is as well run before all others, which have no part in it."""
        return bool(self.turns) and loop.var.here().extent < _LEAST and self._is_free(loop)

    def _is_free(self, group: Loop | Straight) -> bool:
        """Whether nothing so far has to do with a group."""
        others: list[Loop | Straight] = [*(t.loop for t in self.turns), *self.after]
        return not any(any(_collisions(group, other)) for other in others)

    def _turns(self, loop: Loop) -> Turns | None:
        var = loop.var.here()
        if not _in_order(loop) or any(any(_collisions(loop, a)) for a in self.after):
            return None
        found = [(t, _offsets(t.loop, loop)) for t in self.turns]
        if found and not any(offsets for _, offsets in found):
            return None  # what has nothing to do with the others gains nothing
        delay = lead = furthest = 0
        for other, offsets in found:
            if offsets is None:
                return None
            for offset in offsets:  # of the turn of the other that has to come before
                delay = max(delay, other.delay + offset)
                lead = max(lead, other.lead - offset)
                furthest = max(furthest, abs(offset))
        rooms = {id(b): b for b in _rooms(loop)}
        longest, count = max(self.longest, var.extent), self.count + len(loop.statements())
        if (
            max(delay, lead, furthest) > _FURTHEST or count > _MOST
            or _block(longest, self.rooms | rooms) < _LEAST
        ):  # fmt: skip
            return None
        self.rooms |= rooms
        self.longest, self.count, self.furthest = longest, count, max(self.furthest, furthest)
        return Turns(loop, delay + -(var.low + delay) % FULL, lead + (var.low - lead) % FULL)

    def closed(self) -> list[Group]:
        """What became of the groups."""
        block = _block(self.longest, self.rooms)
        if len(self.turns) < 2 or 2 * block > self.longest:
            return self.groups
        reach = self.furthest + max(t.delay for t in self.turns) + max(t.lead for t in self.turns)
        for group in (*self.before, *self.after):
            if isinstance(group, Straight):
                for s in group.body:
                    s.parent = group
        return [*self.before, Sweep(self.turns, block, reach), *self.after]


def _block(extent: int, rooms: Mapping[int, Buffer]) -> int:
    """How many turns go through no more than what stays in the nearest cache."""
    taken = sum(b.size * b.itemsize for b in rooms.values())
    return _NEAREST * extent // max(taken, 1) // FULL * FULL


def _in_order(loop: Loop) -> bool:
    """Whether the turns of a loop may be made in parts, by loops that know where each writes."""
    var = loop.var.here()
    for s in loop.statements():
        if any(isinstance(i, Expr) for i in s.index):
            return False
        if any(r and v.here() is var for v, r in zip(s.vars, s.reduced, strict=True)):
            return False
    return True


def _alone(s: Statement) -> Straight:
    alone = Straight()
    alone.body.append(s)
    return alone


def _rooms(loop: Loop) -> Iterator[Buffer]:
    """The arrays that a loop reads or writes."""
    for s in loop.statements():
        for b in (s.target, *(r.data for r in s.reads)):
            if b.home is None:
                yield b


class _Use(NamedTuple):
    """Where a buffer is read or written."""

    buffer: Buffer
    at: tuple[Affine | Expr, ...]
    writes: bool


def _uses(group: Loop | Straight) -> Iterator[_Use]:
    for s in group.statements():
        yield _Use(s.target, s.index, True)
        for r in s.reads:
            yield _Use(r.data, r.index, False)


def _collisions(one: Loop | Straight, other: Loop | Straight) -> Iterator[tuple[_Use, _Use]]:
    """Uses by two groups of what may be the same element, where one of them writes it."""
    known: dict[int, list[_Use]] = {}
    for use in _uses(one):
        known.setdefault(id(use.buffer), []).append(use)
    for use in _uses(other):
        for before in known.get(id(use.buffer), ()):
            if (before.writes or use.writes) and not _apart(before.at, use.at):
                yield before, use


def _apart(one: Sequence[Affine | Expr], other: Sequence[Affine | Expr]) -> bool:
    """Whether two indices are never the same."""
    for i, j in zip(one, other, strict=True):
        if isinstance(i, Affine) and isinstance(j, Affine):
            (a, b), (c, d) = i.bounds(), j.bounds()
            if b < c or d < a:
                return True
    return False


def _offsets(one: Loop, other: Loop) -> set[int] | None:
    """Which turns of one loop have to do with turn 0 of another; None if that may be any."""
    found: set[int] = set()
    for before, use in _collisions(one, other):
        offset = next(
            (
                b - a for i, j in zip(before.at, use.at, strict=True)
                if (a := _beyond(i, one.var)) is not None
                and (b := _beyond(j, other.var)) is not None
            ), None,
        )  # fmt: skip
        if offset is None:
            return None
        found.add(offset)
    return found


def _beyond(index: Affine | Expr, var: Var) -> int | None:
    """By how much an index is more than a loop's variable, if it is that and a number."""
    if isinstance(index, Affine) and index.shifted(-index.const).is_var(var):
        return index.const
    return None
