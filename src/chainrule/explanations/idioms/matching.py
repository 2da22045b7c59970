"""The matcher: whether a form is an instance of a pattern, and of what.

A pattern is a form as well; its variables stand for any term. Sums and products are matched in any
order, up to a number in front: ``1/(1 + e^u)`` is ``1/(1 + e^(−z))`` with z = −u.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from chainrule.explanations.idioms.forms import COMMUTATIVE, ONE, Forms, Key, Normalised, Term
from chainrule.graph.node import ancestors
from chainrule.rules import BOOK

# A binding: a term for each variable, a float for each number, axes under ``AXES``.
Binding = dict[str, Any]
AXES = "<axes>"
SUM_AXES = "<axes of the sum>"
# The variable that stands for truth values.
CONDITION = "condition"
# No pattern is deeper than this.
DEPTH = 7
_CLOSE = 1e-6  # numbers may have been written, or kept, in single precision


@dataclass(frozen=True, slots=True, eq=False)
class Pattern:
    """A way of writing something.

    Attributes:
        forms: Where its classes live.
        term: The form itself.
        names: The variable that a class stands for, by class.
        numbers: Those of the variables that stand for numbers in front of something.
        summed: Whether the outermost sum is over axes of its own.
        functions: The functions (and sums) in it: an instance has them all.
        parts: How many factors or terms it has: an instance has no fewer.
        loss: Whether it is one that may be added up over further axes.
    """

    forms: Forms
    term: Term
    names: Mapping[int, str]
    numbers: frozenset[str]
    summed: bool
    functions: frozenset[str]
    parts: int
    loss: bool = False

    @property
    def head(self) -> tuple[Any, ...]:
        """What any instance has in common with it at first sight."""
        return head(self.forms.keys[self.term[1]])


def head(key: Key) -> tuple[Any, ...]:
    """The kind of a class; of a function, which one."""
    return (key[0], key[1]) if key[0] == "app" else (key[0],)


def _bases(key: Key) -> list[int]:
    return [cls for cls, _ in key[1]] if key[0] == "mul" else []


def count_parts(key: Key) -> int:
    """How many factors or terms a class has."""
    if key[0] == "add":
        return len(key[2]) + bool(key[1])
    return len(key[1]) if key[0] == "mul" else 1


def pattern(
    written: Any, numbers: frozenset[str], summed: bool = False, loss: bool = False
) -> Pattern:
    """The pattern of an expression in the inputs of a graph."""
    nodes = ancestors([written])
    normal = Normalised(nodes, None)
    for node in nodes:
        normal.take(node)
    names = {normal.terms[n.index][1]: n.name for n in nodes if n.op is None}
    term = normal.term(written)
    functions = normal.forms.functions(term[1], DEPTH)
    numbered = sum(names.get(cls) in numbers for cls in _bases(normal.forms.keys[term[1]]))
    parts = count_parts(normal.forms.keys[term[1]]) - numbered
    return Pattern(normal.forms, term, names, numbers, summed, functions, parts, loss)


def matches(pattern: Pattern, forms: Forms, term: Term) -> Iterator[tuple[float, Binding]]:
    """Every way in which ``term`` is a number times an instance of the pattern."""
    search = _Search(pattern, forms)
    same = pattern.term[0] / term[0] if term[0] else None
    for ratio, bound in search.classes(pattern.term[1], term[1], {}, same):
        yield term[0] * ratio / pattern.term[0], bound


class _Search:
    """One pattern against the forms of one program. All methods generate every possibility."""

    def __init__(self, pattern: Pattern, forms: Forms) -> None:
        self.pattern = pattern
        self.mine = pattern.forms
        self.theirs = forms

    def terms(self, p: Term, q: Term, bound: Binding) -> Iterator[Binding]:
        """Bindings with which ``q`` equals ``p``."""
        name = self.pattern.names.get(p[1])
        if name is not None and name not in self.pattern.numbers:
            wanted = q[0] / p[0], q[1]
            known = bound.get(name)
            if known is None:
                if name != CONDITION or self._is_condition(q[1]):
                    yield {**bound, name: wanted}
            elif known[1] == wanted[1] and math.isclose(known[0], wanted[0], rel_tol=_CLOSE):
                yield bound
            return
        number, p = self._numbered(p)
        same = p[0] / q[0] if q[0] and number is None else None
        for ratio, found in self.classes(p[1], q[1], bound, same):
            # The value of q's class is ratio times that of p's.
            yield from self._same(p[0], q[0] * ratio, number, found)

    def _is_condition(self, q: int) -> bool:
        """Whether a class is an array of constants, as a comparison gives it, or a comparison."""
        key = self.theirs.keys[q]
        if key[0] == "app":
            return key[1] in BOOK and not BOOK[key[1]].recorded
        return bool(key[0] == "given")

    def _same(
        self, wanted: float, given: float, number: str | None, bound: Binding
    ) -> Iterator[Binding]:
        """``wanted`` times a variable number, if there is one, has to be ``given``."""
        if number is None:
            if math.isclose(wanted, given, rel_tol=_CLOSE):
                yield bound
        elif number not in bound:
            yield {**bound, number: given / wanted}
        elif math.isclose(wanted * bound[number], given, rel_tol=_CLOSE):
            yield bound

    def _numbered(self, p: Term) -> tuple[str | None, Term]:
        """A variable number in front of a pattern, and what it is in front of."""
        names, numbers = self.pattern.names, self.pattern.numbers
        if not numbers or p[1] == ONE:
            return None, p
        if names.get(p[1]) in numbers:
            return names[p[1]], (p[0], ONE)
        rest: list[tuple[int, float]] = []
        number = None
        for base, power in self.mine.factors(p[1]):
            if number is None and power == 1.0 and names.get(base) in numbers:
                number = names[base]
            else:
                rest.append((base, power))
        if number is None:
            return None, p
        factor, cls = self.mine.product([((1.0, base), power) for base, power in rest])
        return number, (p[0] * factor, cls)

    def classes(
        self, p: int, q: int, bound: Binding, same: float | None = None
    ) -> Iterator[tuple[float, Binding]]:
        """Ratios and bindings with which the class ``q`` is a ratio times the class ``p``.

        ``same`` is the ratio that would make the whole terms equal: where the numbers within are
        free, it is not found otherwise.
        """
        name = self.pattern.names.get(p)
        if name is not None:
            known = bound.get(name)
            if known is None:
                if name != CONDITION or self._is_condition(q):
                    natural = self.theirs.natural.get(q) or 1.0
                    yield 1.0 / natural, {**bound, name: (natural, q)}
            elif known[1] == q:
                yield 1.0 / known[0], bound
            return
        if p == ONE or q == ONE:
            if p == q:
                yield 1.0, bound
            return
        for key in self._views(q):
            yield from self._keys(self.mine.keys[p], key, p, q, bound, same)

    def _views(self, q: int) -> Iterator[Key]:
        """A class with its sums and products taken apart, and as it was written."""
        yield self.theirs.keys[q]
        written = self.theirs.written.get(q)
        if written is not None:
            yield written

    def _keys(
        self, mine: Key, theirs: Key, p: int, q: int, bound: Binding, same: float | None
    ) -> Iterator[tuple[float, Binding]]:
        kind = mine[0]
        if kind == "mul" or theirs[0] == "mul":
            ours = self.mine.factors(p)
            others = theirs[1] if theirs[0] == "mul" else ((q, 1.0),)
            if len(ours) == len(others):
                yield from self._products(list(ours), list(others), 1.0, bound)
            elif len(ours) < len(others):
                yield from self._absorbed(list(ours), list(others), bound)
        elif kind != theirs[0]:
            return
        elif kind == "app":
            yield from self._functions(mine, theirs, bound)
        elif kind == "red":
            name = SUM_AXES if self.pattern.summed else AXES
            for axes in self._axes(name, theirs[1], bound):
                yield from self.classes(mine[2], theirs[2], axes)
        elif kind == "add":
            yield from self._sums(mine, theirs, bound, same)

    def _axes(self, name: str, axes: Any, bound: Binding) -> Iterator[Binding]:
        """All reductions of a pattern are over the same axes; a loss may add up over more."""
        known = bound.get(name)
        if known is None:
            yield {**bound, name: axes}
        elif known == axes:
            yield bound
        elif self.pattern.loss and name == AXES:
            fewer, more = sorted((known, axes), key=len)
            if set(fewer) <= set(more):
                yield {**bound, AXES: fewer, SUM_AXES: more}

    def _functions(self, mine: Key, theirs: Key, bound: Binding) -> Iterator[tuple[float, Binding]]:
        _, name, _, ours = mine
        if name != theirs[1] or len(ours) != len(theirs[3]):
            return
        if name == "abs":  # |c·x| is |c|·|x|: no numbers are left inside
            for ratio, found in self.classes(ours[0][1], theirs[3][0][1], bound):
                yield abs(ratio), found
            return
        facts = dict(theirs[2]) if isinstance(theirs[2], tuple) else {}
        for start in self._axes(AXES, facts["axis"], bound) if "axis" in facts else (bound,):
            for found in self._arguments(list(ours), list(theirs[3]), start):
                yield 1.0, found
            if name in COMMUTATIVE:
                for found in self._arguments(list(ours), list(theirs[3][::-1]), start):
                    yield 1.0, found

    def _arguments(self, ours: list[Term], others: list[Term], bound: Binding) -> Iterator[Binding]:
        if not ours:
            yield bound
            return
        for found in self.terms(ours[0], others[0], bound):
            yield from self._arguments(ours[1:], others[1:], found)

    def _products(
        self,
        ours: list[tuple[int, float]],
        others: list[tuple[int, float]],
        ratio: float,
        bound: Binding,
    ) -> Iterator[tuple[float, Binding]]:
        if not ours:
            yield ratio, bound
            return
        at = self._first(ours, bound)
        base, power = ours[at]
        rest = ours[:at] + ours[at + 1 :]
        key = self.mine.keys[base]
        for i, (other, exponent) in enumerate(others):
            left = others[:i] + others[i + 1 :]
            their_key = self.theirs.keys[other]
            if _exp(key) and _exp(their_key):  # (e^z)^p is (e^u)^q where p·z = q·u
                ours_in, theirs_in = key[3][0], their_key[3][0]
                scaled = power * ours_in[0], ours_in[1]
                for found in self.terms(scaled, (exponent * theirs_in[0], theirs_in[1]), bound):
                    yield from self._products(rest, left, ratio, found)
            elif exponent == power:
                for inner, found in self.classes(base, other, bound):
                    if inner > 0 or power.is_integer():
                        yield from self._products(rest, left, ratio * inner**power, found)

    def _absorbed(
        self, ours: list[tuple[int, float]], others: list[tuple[int, float]], bound: Binding
    ) -> Iterator[tuple[float, Binding]]:
        """A bound variable may be a product, which stands in a larger one taken apart."""
        for i, (base, power) in enumerate(ours):
            known = bound.get(self.pattern.names.get(base, ""))
            if known is None or not power.is_integer():
                continue
            left = dict(others)
            for inner, exponent in self.theirs.factors(known[1]):
                left[inner] = left.get(inner, 0.0) - exponent * power
            rest = [(cls, e) for cls, e in left.items() if e]
            if len(rest) == len(ours) - 1:
                for ratio, found in self._products(ours[:i] + ours[i + 1 :], rest, 1.0, bound):
                    yield ratio * known[0] ** -power, found

    def _sums(
        self, mine: Key, theirs: Key, bound: Binding, same: float | None
    ) -> Iterator[tuple[float, Binding]]:
        free = any(self._numbered((1.0, cls))[0] is not None for cls, _ in mine[2])
        if bool(mine[1]) != bool(theirs[1]) and not free:
            return
        ratio = theirs[1] / mine[1] if mine[1] and theirs[1] else same if free else None
        ours, others = list(mine[2]), list(theirs[2])
        if theirs[1] and not mine[1]:
            others.append((ONE, theirs[1]))
        if len(ours) == len(others):
            yield from self._parts(ours, others, ratio, bound)

    def _parts(
        self,
        ours: list[tuple[int, float]],
        others: list[tuple[int, float]],
        ratio: float | None,
        bound: Binding,
    ) -> Iterator[tuple[float, Binding]]:
        """Each part of a pattern's sum is one of the other sum's, all by the same ratio."""
        if not ours:
            yield 1.0 if ratio is None else ratio, bound
            return
        at = self._first(ours, bound)
        cls, share = ours[at]
        rest = ours[:at] + ours[at + 1 :]
        for i, (other, factor) in enumerate(others):
            left = others[:i] + others[i + 1 :]
            if ratio is not None:
                term = factor / ratio, other
                for found in self.terms((share, cls), term, bound):
                    yield from self._parts(rest, left, ratio, found)
            elif cls in self.pattern.names and self.pattern.names[cls] not in bound:
                # The sign of a variable is not known yet: rather none at all.
                natural = self.theirs.natural.get(other) or 1.0
                given = factor / (share * natural)
                for found in self.terms((share, cls), (share * natural, other), bound):
                    yield from self._parts(rest, left, given, found)
            else:
                for inner, found in self.classes(cls, other, bound):
                    yield from self._parts(rest, left, factor * inner / share, found)

    def _first(self, ours: list[tuple[int, float]], bound: Binding) -> int:
        """Which part is matched first."""
        if len(ours) == 1:
            return 0
        weights = [self._weight(cls, bound) for cls, _ in ours]
        return weights.index(max(weights))

    def _weight(self, cls: int, bound: Binding) -> int:
        """What says most is matched first: functions, then known variables, then unknown ones."""
        name = self.pattern.names.get(cls)
        if name is not None:
            return -2 if name in self.pattern.numbers else 1 if name in bound else 0
        key = self.mine.keys[cls]
        if key[0] == "mul" and self._numbered((1.0, cls))[0] is not None:
            return -1
        if key[0] == "app" and key[1] != "exp":
            return 4
        return 3 if key[0] in ("app", "red", "add") else 2


def _exp(key: Key) -> bool:
    return bool(key[0] == "app" and key[1] == "exp")
