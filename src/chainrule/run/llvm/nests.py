"""Loop nests: which values are computed in which loops, and where they are kept meanwhile.

Every value that is stored is a *statement* with loops of its own. Statements whose outer loops run
alike, and that need of each other only what the same turn of the loop has made, are put into the
same loops; a value that is used nowhere else then needs no more room than one turn of the loop.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from chainrule.run.llvm.expressions import Affine, Expr, Var, loads_of


class Buffer:
    """An array in memory.

    Attributes:
        shape, dtype: Of the whole array.
        kind: "input", "constant", "result" or "temporary".
        array: What a constant is.
        readers, writers: Statements and calls.
        home: The innermost loop around all its uses, if one turn of it needs no more than a part.
        dropped: The axes that are then left out, a bit for each.
        slot: Where it lies in the workspace.
    """

    __slots__ = (
        "array", "dropped", "dtype", "home", "kind", "label", "readers", "shape", "slot", "writers",
    )  # fmt: skip

    def __init__(self, label: str, shape: tuple[int, ...], dtype: np.dtype[Any], kind: str) -> None:
        self.label = label
        self.shape = shape
        self.dtype = dtype
        self.kind = kind
        self.array: Any = None
        self.readers: list[Any] = []
        self.writers: list[Any] = []
        self.dropped = 0
        self.home: Any = None
        self.slot: Any = None

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self.dtype.itemsize

    def __repr__(self) -> str:
        return self.label


class Statement:
    """``target[index] = value``, or ``target[index] = combine(target[index], value)``.

    ``vars`` are its loops from the outermost; ``reduced`` tells which of them are summed over.
    """

    __slots__ = (
        "combine", "index", "initial", "ordered", "parent", "place", "reads", "reduced", "target",
        "value", "vars", "weight",
    )  # fmt: skip

    def __init__(
        self, target: Buffer, variables: Sequence[Var], index: Sequence[Any], value: Expr,
        combine: str | None = None, reduced: Sequence[bool] | None = None, place: Any = None,
    ) -> None:  # fmt: skip
        self.target = target
        self.vars = list(variables)
        self.index = tuple(index)
        self.value = value
        self.combine = combine
        self.initial: Expr | None = None
        self.reduced = list(reduced) if reduced is not None else [False] * len(self.vars)
        self.parent: Any = None
        self.place = place
        self.reads: list[Expr] = []
        seen: set[int] = set()
        loads_of(value, self.reads, seen)
        for i in self.index:
            if isinstance(i, Expr):
                loads_of(i, self.reads, seen)
        self.weight = value.weight + 1
        self.ordered = False

    def successive(self) -> list[Var]:
        """The loops whose turns come one after another, where a place may be written repeatedly.

        What is written last stays. Turns of a loop that counts along an axis of the target write
        to places of their own.
        """
        if self.combine is not None or not any(isinstance(i, Expr) for i in self.index):
            return []
        apart = {i.terms[0][0] for i in self.index if isinstance(i, Affine) and len(i.terms) == 1}
        return [v for v in self.vars if v not in apart]

    def reorder(self, places: Sequence[int]) -> None:
        """Take the loops in another order, which then stays."""
        self.vars = [self.vars[k] for k in places]
        self.reduced = [self.reduced[k] for k in places]
        self.ordered = True

    def __repr__(self) -> str:
        sign = {None: "=", "add": "+="}.get(self.combine, f"{self.combine}=")
        where = f"[{', '.join(map(repr, self.index))}]" if self.index else ""
        return f"{self.target}{where} {sign} {self.value!r}"


class Call:
    """Something done as a whole: a matrix product, a loop with a body of its own, NumPy."""

    __slots__ = ("data", "kind", "parent", "place", "reads_buffers", "weight", "writes")

    def __init__(
        self, kind: str, writes: Sequence[Buffer], reads: Sequence[Buffer], data: Any,
        place: Any = None,
    ) -> None:  # fmt: skip
        self.kind = kind
        self.writes = list(writes)
        self.reads_buffers = list(reads)
        self.data = data
        self.parent: Any = None
        self.place = place
        self.weight = 0.0

    def __repr__(self) -> str:
        written, read = (", ".join(map(repr, b)) for b in (self.writes, self.reads_buffers))
        return f"{written} = {self.kind}({read})"


class Loop:
    """A loop and what happens in each turn: statements without loops left, and loops.

    ``count`` is how many statements an outermost loop has, in those inside as well.
    """

    __slots__ = ("body", "count", "parent", "var")

    def __init__(self, var: Var) -> None:
        self.var = var
        self.count = 1
        self.body: list[Any] = []
        self.parent: Loop | None = None

    def statements(self) -> list[Statement]:
        """All statements in this loop and in those inside."""
        found: list[Statement] = []
        for item in self.body:
            if isinstance(item, Loop):
                found.extend(item.statements())
            else:
                found.append(item)
        return found


class Straight:
    """Statements without loops, one after another."""

    __slots__ = ("body",)

    def __init__(self) -> None:
        self.body: list[Statement] = []

    def statements(self) -> list[Statement]:
        """All of them."""
        return self.body


class Turns(NamedTuple):
    """A loop of a sweep, and how many turns it stays back: on its way, and where a part begins."""

    loop: Loop
    delay: int
    lead: int


class Sweep:
    """Loops that go through an axis together.

    At a place ``p`` of the axis the loops have made all turns before ``p`` less their delays.

    Attributes:
        turns: The loops, in the order in which they take their turns in a block.
        start, end: Places before the first turns and behind the last.
        block: How far the loops go at a time.
        reach: A part of the axis that is done by itself is longer than this.
    """

    __slots__ = ("block", "end", "reach", "start", "turns")

    def __init__(self, turns: Sequence[Turns], block: int, reach: int) -> None:
        self.turns = list(turns)
        self.start = min(t.loop.var.here().low + t.delay for t in turns)
        self.end = max(t.loop.var.here().high + t.delay for t in turns)
        self.block = block
        self.reach = reach

    @property
    def extent(self) -> int:
        """The length of the axis, delays included."""
        return self.end - self.start

    def statements(self) -> list[Statement]:
        """All statements of the loops."""
        return [s for t in self.turns for s in t.loop.statements()]


def work_of(nest: Loop | Straight | Sweep) -> float:
    """How much there is to do, in additions, roughly."""
    return sum(s.weight * math.prod(v.extent for v in s.vars) for s in nest.statements())


Group = Loop | Straight | Sweep | Call


class Nests:
    """The groups of a program in the order in which they are run."""

    def __init__(self) -> None:
        self.groups: list[Group] = []
        # The number of the group that makes the last part of a buffer.
        self.made: dict[int, int] = {}
        self.buffers: list[Buffer] = []

    def buffer(self, label: str, shape: Any, dtype: Any, kind: str = "temporary") -> Buffer:
        """A new buffer."""
        new = Buffer(f"{label}{len(self.buffers)}", tuple(shape), np.dtype(dtype), kind)
        self.buffers.append(new)
        return new

    def call(self, call: Call) -> None:
        """Add something that is done as a whole."""
        for b in call.reads_buffers:
            b.readers.append(call)
        for b in call.writes:
            b.writers.append(call)
            self.made[id(b)] = len(self.groups)
        self.groups.append(call)

    def add(self, s: Statement) -> None:
        """Add a statement, to loops that are there if it may run in them."""
        _order_loops(s)
        sources = [(r.data, r.index) for r in s.reads]
        first = 0
        for b, _ in sources:
            first = max(first, self.made.get(id(b), -1))
            b.readers.append(s)
        if s.target.writers:  # a second part of the same buffer, or its start
            first = max(first, self.made[id(s.target)])
        place = self._place(s, sources, first)
        s.target.writers.append(s)
        self.made[id(s.target)] = place

    def _place(self, s: Statement, sources: Any, first: int) -> int:
        if not s.vars:
            for n in range(len(self.groups) - 1, first - 1, -1):
                group = self.groups[n]
                if isinstance(group, Straight):
                    group.body.append(s)
                    s.parent = group
                    return n
            self.groups.append(loops_around(s))
            return len(self.groups) - 1
        related = {id(b) for b, _ in sources}
        # Large numbers of groups: only the last ones are asked.
        for n in range(len(self.groups) - 1, max(first, len(self.groups) - 24) - 1, -1):
            group = self.groups[n]
            if isinstance(group, Loop) and self._joins(s, group, related):
                _join(s, group, 0)
                group.count += 1
                return n
        # A loop that makes something it needs may be put off until all of that is there.
        makers = {self.made.get(b, -1) for b in related}
        for n in sorted(makers, reverse=True):
            if not max(first - _LOOK_BACK, 0) <= n < first:
                continue
            group = self.groups[n]
            if isinstance(group, Loop) and self._may_wait(n) and self._joins(s, group, related):
                self._put_off(n)
                _join(s, group, 0)
                group.count += 1
                return len(self.groups) - 1
        self.groups.append(loops_around(s))
        return len(self.groups) - 1

    def _may_wait(self, n: int) -> bool:
        """Whether a group may as well be run after all others that there are."""
        if len(self.groups) - n > _LOOK_BACK + 1:
            return False
        made, read = _touched(self.groups[n])
        for later in self.groups[n + 1 :]:
            writes, reads = _touched(later)
            if not (made.isdisjoint(reads | writes) and read.isdisjoint(writes)):
                return False
        return True

    def _put_off(self, n: int) -> None:
        """Make a group the last one."""
        last = len(self.groups) - 1
        self.groups.append(self.groups.pop(n))
        for b, place in self.made.items():
            if place >= n:
                self.made[b] = last if place == n else place - 1

    def _joins(self, s: Statement, loop: Loop, related: set[int]) -> bool:
        """Whether a statement may run in the turns of a loop that is there, and gains by it."""
        if loop.count >= _MOST or not _alike(loop.var, s.vars[0]):
            return False
        inside = loop.statements()
        if _spoils(s, inside):
            return False
        shares = False
        for other in inside:
            if id(other.target) in related or other.target is s.target:
                if not _agree(other, s, 0):
                    return False
                shares = True
            elif not shares:
                shares = any(id(r.data) in related for r in other.reads)
        if shares or not s.reads:  # what is only filled in belongs to what comes next
            return True
        # Small loops are worth joining for their own sake; of large ones each has its own streams.
        return len(inside) < 32 and s.vars[0].extent * len(s.vars) < 4096


# Parts of a loop have a multiple of so many turns, and of the lanes where these are more: none ends
# within a vector.
FULL = 16
# Statements of one group: more take longer than linear time, here and in LLVM.
_MOST = 240
# How many groups further back a loop may be put off.
_LOOK_BACK = 4
# What costs more than this calls a library, for several elements at once where it may be.
DEAR = 20.0
# Loops inside of others with more turns are not written out for several turns of the outer one.
_SHORT = 16
# So few numbers are added up in a register for each of so many elements that lie side by side.
_FEW = 8
_SIDE_BY_SIDE = 8
# Arrays of up to so many elements stay near, so that another loop over them costs little.
_NEAR = 1 << 15


def _touched(group: Group) -> tuple[set[int], set[int]]:
    """The buffers that a group writes, and those that it reads."""
    if isinstance(group, Call):
        return {id(b) for b in group.writes}, {id(b) for b in group.reads_buffers}
    statements = group.statements()
    return {id(s.target) for s in statements}, {id(r.data) for s in statements for r in s.reads}


def _spoils(s: Statement, inside: Sequence[Statement]) -> bool:
    """Whether functions would be taken of one number at a time, for loops beside them."""
    if s.vars[0].extent < 2:
        return False
    if len(s.vars) > 1:
        return (
            _turns_inside(s) > _SHORT
            and all(len(o.vars) == 1 for o in inside)
            and any(o.weight >= DEAR for o in inside)
        )
    if s.weight < DEAR:
        return False
    if any(_is_row_by_vector(o) and _turns_inside(o) > _SHORT for o in inside):
        return True
    return max(map(_turns_inside, inside)) > _SHORT and all(
        r.data.size <= _NEAR for o in inside for r in o.reads
    )


def _turns_inside(s: Statement) -> int:
    return math.prod(v.extent for v in s.vars[1:])


def _is_row_by_vector(s: Statement) -> bool:
    """Whether a statement multiplies a matrix and a vector: its rows are taken one at a time."""
    e = s.value
    return (
        s.combine == "add" and s.reduced == [False, True]
        and e.kind == "op" and e.data == "multiply" and all(a.kind == "load" for a in e.args)
    )  # fmt: skip


def _alike(a: Var, b: Var) -> bool:
    a, b = a.here(), b.here()
    return a.low == b.low and a.high == b.high


def _agree(writer: Statement, reader: Statement, depth: int) -> bool:
    """Whether what ``reader`` needs of ``writer`` is there in the same turn of loop ``depth``.

    The two share the loops before; here they would share one more.
    """
    if len(writer.vars) <= depth or len(reader.vars) <= depth or writer.reduced[depth]:
        return False
    mine, own = writer.vars[depth], reader.vars[depth]
    axis = next(
        (k for k, i in enumerate(writer.index) if isinstance(i, Affine) and i.is_var(mine)), None
    )
    if axis is None:
        return False
    for read in reader.reads:
        if read.data is writer.target:
            i = read.index[axis]
            if not isinstance(i, Affine) or not i.is_var(own):
                return False
    if reader.target is writer.target:
        i = reader.index[axis]
        return isinstance(i, Affine) and i.is_var(own) and not reader.reduced[depth]
    return True


def _join(s: Statement, loop: Loop, depth: int) -> None:
    """Put a statement into a loop, and into the loops inside as far as it may."""
    own, other = s.vars[depth].here(), loop.var.here()
    if own is not other:
        own.alias = other
    depth += 1
    if depth == len(s.vars):
        loop.body.append(s)
        s.parent = loop
        return
    reads = {id(r.data) for r in s.reads}
    for item in reversed(loop.body):
        if isinstance(item, Loop):
            others = item.statements()
            needed = [o for o in others if id(o.target) in reads or o.target is s.target]
            if _alike(item.var, s.vars[depth]) and all(_agree(o, s, depth) for o in needed):
                _join(s, item, depth)
                return
            if needed:
                break
        elif id(item.target) in reads or item.target is s.target:
            break
    inner = loops_around(s, depth)
    assert isinstance(inner, Loop)
    inner.parent = loop
    loop.body.append(inner)


def loops_around(s: Statement, depth: int = 0) -> Loop | Straight:
    """Loops for a statement alone, from its loop ``depth`` on."""
    if depth == len(s.vars):
        straight = Straight()
        straight.body.append(s)
        s.parent = straight
        return straight
    outer = inner = Loop(s.vars[depth])
    for var in s.vars[depth + 1 :]:
        new = Loop(var)
        new.parent = inner
        inner.body.append(new)
        inner = new
    inner.body.append(s)
    s.parent = inner
    return outer


def _order_loops(s: Statement) -> None:
    """The loops with the longest strides come first, where nothing else is asked for."""
    if len(s.vars) < 2 or s.ordered:
        return
    cost = [0.0] * len(s.vars)
    for read in s.reads:
        _count_strides(read.data, read.index, s.vars, cost)
    _count_strides(s.target, s.index, s.vars, cost)
    order = sorted(range(len(s.vars)), key=lambda k: -cost[k])
    along = order[-1]
    if not s.reduced[along] and s.vars[along].extent >= _SIDE_BY_SIDE:
        # Sums of a few numbers stay in registers: their loops are inside that along the memory.
        first = len(order) - 1
        while first and s.reduced[order[first - 1]] and s.vars[order[first - 1]].extent <= _FEW:
            first -= 1
        order.insert(first, order.pop())
    successive = s.successive()
    kept = iter([k for k, v in enumerate(s.vars) if v in successive])
    s.reorder([next(kept) if s.vars[k] in successive else k for k in order])


def _count_strides(b: Buffer, index: Any, variables: Any, cost: list[float]) -> None:
    stride = 1
    for n, i in zip(reversed(b.shape), reversed(index), strict=True):
        if isinstance(i, Affine):
            for var, c in i.terms:
                for k, v in enumerate(variables):
                    if v is var:
                        cost[k] += min(abs(c) * stride, 1 << 20) * min(b.size, 1 << 20)
        stride *= n


# ------------------------------------------------------------------------------------------- rooms


def path_of(item: Any) -> list[Loop]:
    """The loops around a statement, from the outermost."""
    loops: list[Loop] = []
    parent = item.parent
    while isinstance(parent, Loop):
        loops.append(parent)
        parent = parent.parent
    return loops[::-1]


def contract(nests: Nests, fits: Callable[[int], bool]) -> None:
    """Keep of each temporary only what one turn of the loops around all its uses needs.

    Sets ``home`` (the innermost loop around all its uses) and ``dropped`` (a bit for each axis).
    """
    for b in nests.buffers:
        if b.kind != "temporary" or not b.writers:
            continue
        users = [*b.writers, *b.readers]
        if any(isinstance(u, Call) for u in users):
            continue
        shared = path_of(users[0])
        for u in users[1:]:
            other = path_of(u)
            k = 0
            while k < len(shared) and k < len(other) and shared[k] is other[k]:
                k += 1
            del shared[k:]
        # A reduction's target lives outside of the loops it is reduced over.
        for w in b.writers:
            if w.combine is not None:
                for k, loop in enumerate(shared):
                    if any(
                        r and v.here() is loop.var.here()
                        for v, r in zip(w.vars, w.reduced, strict=True)
                    ):
                        del shared[k:]
                        break
        if not shared:
            continue
        dropped = 0
        for loop in shared:
            for axis in range(len(b.shape)):
                if all(
                    isinstance(i, Affine) and i.is_var(loop.var)
                    for i in [w.index[axis] for w in b.writers]
                ):
                    dropped |= 1 << axis
        rest = math.prod(n for a, n in enumerate(b.shape) if not dropped >> a & 1)
        if not fits(rest * b.itemsize):
            continue
        b.home = shared[-1]
        b.dropped = dropped
