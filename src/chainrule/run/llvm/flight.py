"""How many vectors a loop computes at once.

While one waits for its last result, the others go on. Four are enough where a core may begin with
the next turn meanwhile, but it looks ahead a few hundred operations at most. In a longer turn of
which each operation waits for the one before, as in a polynomial by Horner's rule, only more
vectors fill the time: as many as there are registers for what each of them needs.
"""

from __future__ import annotations

from typing import Any

from chainrule.run.llvm.expressions import WEIGHTS, Affine, Expr
from chainrule.run.llvm.nests import Loop

USUAL = 4
_MOST = 8
# Operations of one vector that wait for each other: so many of four are all that a core sees.
_AHEAD = 64
# Registers for what lasts a moment, and for what all vectors share.
_SPARE = 3


def in_flight(loop: Loop, registers: int) -> int:
    """How many vectors a loop without loops inside had best have in flight."""
    if sum(s.weight for s in loop.statements()) < _AHEAD:
        return USUAL
    turn = _Turn(loop)
    if not turn.plain or turn.longest < _AHEAD:
        return USUAL
    return max(USUAL, min(_MOST, int((registers - _SPARE) / turn.alive)))


class _Turn:
    """One turn of a loop, operation by operation as it is going to be done, each of them once.

    Attributes:
        plain: Whether that is known, and no operation is a function with registers of its own.
        longest: How many operations wait for each other.
        alive: How many numbers are needed later on, on average; what is the same in all turns is
            not among them.
    """

    def __init__(self, loop: Loop) -> None:
        self.plain = True
        self._var = loop.var.here()
        # What an element or an operation's result is called, and of each: whether it is different
        # in every turn, how many operations it waits for, when it is made and when it is needed.
        self._names: dict[Any, int] = {}
        self._own: list[bool] = []
        self._depth: list[int] = []
        self._made: list[int] = []
        self._needed: list[int] = []
        self._done = 0
        for s in loop.statements():
            value = self._value(s.value)
            if s.combine is not None:
                self._done += 1  # it is added to a sum
                self._needed[value] = self._done
            self._names[self._place(s.target, s.index)] = value
        self.longest = max(self._depth, default=0)
        lasts = zip(self._own, self._made, self._needed, strict=True)
        self.alive = sum(to - since for own, since, to in lasts if own) / max(self._done, 1)

    def _value(self, e: Expr) -> int:
        if e.kind == "op":
            self.plain &= WEIGHTS.get(e.data, 0) > 0
            operands = [self._value(a) for a in e.args]
            return self._named((e.data, e.dtype, *operands), operands)
        if e.kind == "load":
            own = any(self._varies(i) for i in e.index)
            return self._named(self._place(e.data, e.index), (), own)
        own = e.kind == "index" and self._varies(e.data)
        return self._named((e.kind, e.data if e.kind == "const" else id(e)), (), own)

    def _named(self, key: Any, operands: Any, own: bool = False) -> int:
        found = self._names.get(key)
        if found is not None:
            return found
        own = own or any(self._own[n] for n in operands)
        if own and operands:
            self._done += 1
            for n in operands:
                self._needed[n] = self._done
        self._own.append(own)
        self._depth.append(1 + max(self._depth[n] for n in operands) if own and operands else 0)
        self._made.append(self._done)
        self._needed.append(self._done)
        self._names[key] = len(self._own) - 1
        return self._names[key]

    def _place(self, buffer: Any, index: Any) -> Any:
        """An element by its place; where that is computed, nothing is known of it."""
        self.plain &= all(isinstance(i, Affine) for i in index)
        return (id(buffer), *(i.canonical() for i in index if isinstance(i, Affine)))

    def _varies(self, index: Any) -> bool:
        return isinstance(index, Affine) and any(v.here() is self._var for v, _ in index.terms)
