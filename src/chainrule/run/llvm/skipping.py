"""Turns of a loop that add nothing are left out.

What is added is often a selection: the winner of a row gets a number and everybody else zero. Where
the condition of such a selection is an equality it rarely holds, and a look at it is cheaper than
sums of zeros.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.run.llvm.expressions import Affine, Expr, Var, loads_of, op
from chainrule.run.llvm.nests import Loop, Statement

# Fewer sums than this are made as fast as they are left out.
_WORTH_IT = 4
# Numbers to be looked at for infinities, at most.
_MOST_FACTORS = 32


class Needed:
    """When the turns of a loop add something.

    Attributes:
        conditions: If one holds. They are different for every turn.
        nonzero: If one is not zero.
        factors: If one is not finite, as its product with zero is NaN.
    """

    def __init__(self) -> None:
        self.conditions: list[Expr] = []
        self.nonzero: list[Expr] = []
        self.factors: list[Expr] = []


def needed(loop: Loop, variables: Callable[[Expr], frozenset[int]]) -> Needed | None:
    """When the turns of a loop add something, if all that they do is to add selections.

    Args:
        loop: With everything in it.
        variables: Gives the numbers of the variables that an expression depends on.
    """
    statements = loop.statements()
    sums = [s for s in statements if s.combine is not None]
    if not sums or _turns(loop) < _WORTH_IT:
        return None
    found = Needed()
    made = {id(s.target): s for s in statements if s.combine is None}
    if not all(_stays_inside(s, statements) for s in made.values()):
        return None
    written = {id(s.target) for s in statements}
    inside = [v.here() for s in sums for v in s.vars if _is_below(v, s, loop)]
    for s in sums:
        own = loop.var.here().number
        kept = [v.here().number for v, r in zip(s.vars, s.reduced, strict=True) if not r]
        if s.combine != "add" or s.initial is None or own not in kept:
            return None
        if _is_below(s.vars[s.reduced.index(True)], s, loop):
            return None  # its sums begin in the turns, with a zero at least
        if any(isinstance(i, Expr) for i in s.index) or not _zero(s.value, made, found):
            return None
    # What is looked at has to be there before the turn, or the loop, begins.
    inner = {v.number for v in inside}
    for asked, not_known in (
        (found.conditions, inner), (found.nonzero, {*inner, loop.var.here().number}),
    ):  # fmt: skip
        if any(not not_known.isdisjoint(variables(e)) for e in asked):
            return None
        read: list[Expr] = []
        for e in asked:
            loads_of(e, read, set())
        if any(id(r.data) in written for r in read):
            return None
    factors: list[Expr] = []
    for e in found.factors:
        if e.kind == "const":
            if not np.isfinite(e.data):
                return None
            continue
        if e.kind != "load" or id(e.data) in written or any(isinstance(i, Expr) for i in e.index):
            return None
        if loop.var.here().number in variables(e):
            return None
        factors += _everywhere(e, [v for v in inside if v.number in variables(e)])
        if len(factors) > _MOST_FACTORS:
            return None
    found.factors = list({_place(e): e for e in factors}.values())
    found.conditions = [_weaker(e) for e in found.conditions]
    return found if found.conditions else None


def _turns(loop: Loop) -> int:
    return sum(
        item.var.extent * _turns(item) if isinstance(item, Loop) else 1 for item in loop.body
    )


def _stays_inside(s: Statement, statements: Sequence[Statement]) -> bool:
    """Whether only these statements use what a statement makes."""
    readers = {id(r) for r in s.target.readers}
    return (
        s.target.kind == "temporary" and len(s.target.writers) == 1
        and readers <= {id(r) for r in statements}
    )  # fmt: skip


def _is_below(v: Var, s: Statement, loop: Loop) -> bool:
    places = [u.here() for u in s.vars]
    return places.index(v.here()) > places.index(loop.var.here())


def _zero(e: Expr, made: dict[int, Statement], found: Needed) -> bool:
    """Collect when an expression is not zero; false if that cannot be told."""
    if e.kind == "load":
        s = made.get(id(e.data))
        return s is not None and _zero(s.value, made, found)
    if e.kind == "const":
        return bool(e.data == 0)
    if e.kind != "op":
        return False
    if e.data == "where":
        condition, _, otherwise = e.args
        if not _is_rare(condition):
            return False
        found.conditions.append(condition)
        if otherwise.kind != "const":
            found.nonzero.append(otherwise)
            return True
        return bool(otherwise.data == 0)
    if e.data == "cast" and e.args[0].dtype == np.bool_ and _is_rare(e.args[0]):
        found.conditions.append(e.args[0])
        return True
    if e.data in ("cast", "negative"):
        return _zero(e.args[0], made, found)
    if e.data == "multiply":
        a, b = e.args
        for factor, other in ((a, b), (b, a)):
            known = len(found.conditions), len(found.nonzero)
            if _zero(factor, made, found):
                found.factors.append(other)
                return True
            del found.conditions[known[0] :], found.nonzero[known[1] :]
    return False


def mostly_zero(e: Expr) -> bool:
    """Whether few of many numbers that are computed like this are not zero."""
    return _zero(e, {}, Needed())


def _is_rare(condition: Expr) -> bool:
    """Whether a condition is an equality, which few of many numbers satisfy."""
    if condition.kind != "op":
        return False
    if condition.data == "logical_or":
        return all(map(_is_rare, condition.args))
    if condition.data == "logical_and":
        return any(map(_is_rare, condition.args))
    return condition.data in ("equal", "isnan")


def _weaker(condition: Expr) -> Expr:
    """What is true where a condition is, and cheaper: more turns than needed do no harm."""
    if condition.kind == "op" and condition.data == "logical_or":
        for one, other in itertools.permutations(condition.args):
            names = [e.data if e.kind == "op" else "" for e in (one, other)]
            if names == ["equal", "isnan"] and _same_number(one, other):
                return op("equal_or_nan", np.bool_, *one.args)
    return condition


def _same_number(equality: Expr, isnan: Expr) -> bool:
    """Whether a side of an equality is what is asked to be NaN."""
    return any(_alike(side, isnan.args[0]) for side in equality.args)


def _alike(a: Expr, b: Expr) -> bool:
    return a is b or (a.kind == b.kind == "load" and a.data is b.data and _place(a) == _place(b))


def _everywhere(e: Expr, inside: Sequence[Var]) -> list[Expr]:
    """What an expression reads in all turns of some loops."""
    found = []
    for turn in itertools.product(*[range(v.low, v.high) for v in inside]):
        at = {v.number: k for v, k in zip(inside, turn, strict=True)}
        index = tuple([_fixed(i, at) for i in e.index])
        found.append(Expr("load", e.dtype, e.data, index=index))
        if len(found) > _MOST_FACTORS:
            break
    return found


def _fixed(i: Affine, at: dict[int, int]) -> Affine:
    const = i.const
    rest = []
    for v, c in i.terms:
        if v.here().number in at:
            const += c * at[v.here().number]
        else:
            rest.append((v, c))
    return Affine(const, tuple(rest))


def _place(e: Expr) -> tuple[Any, ...]:
    return id(e.data), *[i.canonical() if isinstance(i, Affine) else id(i) for i in e.index]


def is_infinite(e: Expr) -> Expr:
    """Whether a number is an infinity or NaN."""
    return op("logical_not", np.bool_, op("isfinite", np.bool_, e))
