"""Sweeps: loops over a long axis that read each other's results shifted, run block by block.

Loops that need what a neighbouring turn of another has made cannot share turns. One after the
other, each goes through arrays that are out of the nearest cache by the time they are read again. A
*sweep* goes through the axis in blocks: in each all loops take their turns, so many turns behind
that all they need is there (loops are tiled and skewed, as it is called). Every element is computed
as before, and so is the same bit for bit.

An array that is used nowhere else shrinks to a *window*: what a block needs, and what the next one
needs of it, which is copied to the front.

Threads get parts of the axis, and no windows. First each does what needs nothing of other parts: a
trapezoid, as every loop stays back from the part's ends as far as it must. Then what is left around
the borders, a few turns, is done (split tiling). No element is computed twice.
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


class Window(NamedTuple):
    """What is kept of an array: from ``low`` on, counted from where a block begins.

    It has the places of a block and ``span`` more, which the next block needs as well.
    """

    buffer: Buffer
    low: int
    span: int


def swept(groups: Sequence[Group]) -> list[Group]:
    """Groups in order, with loops that gain by it put into sweeps."""
    found: list[Group] = []
    run = _Run()
    for group in groups:
        if run.takes(group):
            continue
        run.close(found)
        run = _Run()
        if not run.takes(group):
            found.append(group)
    run.close(found)
    return found


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

    def close(self, found: list[Group]) -> None:
        """Add what became of the groups to those before."""
        block = _block(self.longest, self.rooms)
        if len(self.turns) < 2 or 2 * block > self.longest:
            found += self.groups
            return
        while found and isinstance(last := found[-1], Straight) and len(last.body) <= _FEW:
            self.before.insert(0, last)
            found.pop()
        before, after = self._with_ends(self.before, True), self._with_ends(self.after, False)
        delay, lead = max(t.delay for t in self.turns), max(t.lead for t in self.turns)
        found += [*before, Sweep(self.turns, block, self.furthest + delay + lead), *after]

    def _with_ends(self, aside: Sequence[Loop | Straight], first: bool) -> list[Loop | Straight]:
        """Give numbers that were put aside turns of their own, where they are of the loops' arrays.

        What the others are made in is left.
        """
        left: list[Loop | Straight] = []
        items = [g for group in aside for g in _singly(group)]
        for group in reversed(items) if first else items:
            turns = None
            if isinstance(group, Straight) and not any(any(_collisions(group, g)) for g in left):
                turns = self._one_turn(group.body[0], first)
            if turns is None:
                left.append(group)
            else:
                self.turns.insert(0 if first else len(self.turns), turns)
        return _together(left[::-1] if first else left)

    def _one_turn(self, s: Statement, first: bool) -> Turns | None:
        """A loop of one turn for a number, before all others or after them."""
        at = s.index[0] if s.index else None
        theirs = [b for b in _buffers(s) if b.kind == "temporary" and id(b) in self.rooms]
        if not isinstance(at, Affine) or not theirs:
            return None
        loop = Loop(Var(at.const + 1, at.const))
        loop.body.append(s)
        delays, leads, furthest = [], [], self.furthest
        for other in self.turns:
            pair = (loop, other.loop) if first else (other.loop, loop)
            offsets = _offsets(*pair)
            if offsets is None:
                return None
            for offset in offsets:
                delays.append(other.delay + (-offset if first else offset))
                leads.append(other.lead + (offset if first else -offset))
                furthest = max(furthest, abs(offset))
        if furthest > _FURTHEST:
            return None
        self.furthest = furthest
        s.parent, s.vars, s.reduced = loop, [loop.var], [False]
        if first:
            delay = min(delays, default=0)
            return Turns(loop, delay - (at.const + delay) % FULL, min(leads, default=0))
        delay = max(delays, default=0)
        return Turns(loop, delay + -(at.const + delay) % FULL, max(leads, default=0))


def windows(sweep: Sweep) -> list[Window]:
    """The arrays of which a sweep needs only what is near, as nothing else uses them."""
    own = {id(s) for s in sweep.statements()}
    places: dict[int, list[int | None]] = {}
    buffers: dict[int, Buffer] = {}
    for loop, delay, _ in sweep.turns:
        for use in _uses(loop):
            beyond = _beyond(use.at[0], loop.var) if use.at else None
            place = None if beyond is None else beyond - delay
            places.setdefault(id(use.buffer), []).append(place)
            buffers[id(use.buffer)] = use.buffer
    found = []
    for key, b in buffers.items():
        known = [p for p in places[key] if p is not None]
        if (
            b.kind != "temporary" or b.home is not None or len(known) < len(places[key])
            or any(id(user) not in own for user in (*b.writers, *b.readers))
        ):  # fmt: skip
            continue
        window = Window(b, min(known), max(known) - min(known))
        if window.span <= sweep.block and sweep.block + window.span < b.shape[0]:
            found.append(window)
    return found


def _together(groups: Sequence[Loop | Straight]) -> list[Loop | Straight]:
    """Numbers that follow each other in one group."""
    found: list[Loop | Straight] = []
    for group in groups:
        last = found[-1] if found else None
        if isinstance(group, Loop) or not isinstance(last, Straight):
            last = group
            found.append(group)
        else:
            last.body += group.body
        if isinstance(last, Straight):
            for s in group.statements():
                s.parent = last
    return found


def _singly(group: Loop | Straight) -> list[Loop | Straight]:
    return [group] if isinstance(group, Loop) else [_alone(s) for s in group.body]


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


def _buffers(s: Statement) -> list[Buffer]:
    return [s.target, *(r.data for r in s.reads)]


def _rooms(loop: Loop) -> Iterator[Buffer]:
    """The arrays that a loop reads or writes."""
    for s in loop.statements():
        for b in _buffers(s):
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
    if isinstance(index, Affine) and not index.terms and var.extent == 1:
        return index.const - var.low
    if isinstance(index, Affine) and index.shifted(-index.const).is_var(var):
        return index.const
    return None
