"""Normal forms: the same for every way of writing the same arithmetic.

``a − b`` is ``a + (−1)·b``, ``x/c`` is ``x·c⁻¹``, a mean is a sum times ``1/n``, ``e^(−z)`` is
``(e^z)⁻¹``; sums and products have no order and no parentheses; reshaping, repeating and casting
are not there. A *term* is a number times a *class*; classes are interned, so that equal forms are
equal numbers. Whether two arrays of a form really meet in the right places is not asked here:
whoever finds something by its form evaluates it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from chainrule.graph.node import Node
from chainrule.graph.tape import shape_of
from chainrule.rules.reductions import count, reduced_axes
from chainrule.sources.program import Program

Term = tuple[float, int]
Key = tuple[Any, ...]

ONE = 0
# Sums and products of more parts than this are not taken apart: no idiom has as many.
MOST_PARTS = 8
# Constant arrays up to this size are looked through for being one number everywhere.
_LARGEST_CONSTANT = 100_000
# What moves or repeats elements, or changes how they are stored, and computes nothing.
_TRANSPARENT = frozenset(("reshape", "broadcast_to", "astype", "copy", "positive"))
COMMUTATIVE = frozenset(("maximum", "minimum", "fmax", "fmin", "logaddexp"))


class Forms:
    """Interned classes.

    A class is one of ``("one",)``, ``("leaf", what)``, ``("app", name, facts, terms)``,
    ``("mul", ((class, exponent), …))``, ``("add", constant, ((class, factor), …))`` and
    ``("red", axes, class)``, a sum over axes. The first factor in an ``add`` is 1: a sum is known
    up to a number, which stands in front of the class in its term.
    """

    def __init__(self) -> None:
        self.keys: list[Key] = [("one",)]
        self._ids: dict[Key, int] = {("one",): ONE}
        # How a sum or product was put together before parts that are sums or products themselves
        # were taken apart: as it was written.
        self.written: dict[int, Key] = {}
        # The number in front of a class in the first node of it: −1 of y − 1 for 1 − y.
        self.natural: dict[int, float] = {}
        self._functions: dict[tuple[int, int], frozenset[str]] = {}

    def intern(self, key: Key) -> int:
        """The class of a key."""
        found = self._ids.get(key)
        if found is None:
            found = self._ids[key] = len(self.keys)
            self.keys.append(key)
        return found

    def app(self, name: str, facts: Any, *terms: Term) -> int:
        """A function of terms; ``facts`` are its other arguments."""
        return self.intern(("app", name, facts, terms))

    def functions(self, cls: int, depth: int) -> frozenset[str]:
        """The functions and sums (``red``) that a class is made of, to some depth."""
        asked = cls, depth
        found = self._functions.get(asked)
        if found is None:
            key = self.keys[cls]
            kind = key[0]
            own = {key[1]} if kind == "app" else {kind} if kind == "red" else set()
            if depth:
                for inner in _parts(key):
                    own |= self.functions(inner, depth - 1)
            found = self._functions[asked] = frozenset(own)
        return found

    def factors(self, cls: int) -> tuple[tuple[int, float], ...]:
        """A class as a product."""
        key = self.keys[cls]
        factors: tuple[tuple[int, float], ...] = key[1] if key[0] == "mul" else ((cls, 1.0),)
        return factors

    def product(self, parts: Iterable[tuple[Term, float]], opened: Sequence[bool] = ()) -> Term:
        """The product of terms raised to powers; a product within is taken apart if ``opened``."""
        number = 1.0
        found: dict[int, float] = {}
        for i, ((factor, cls), power) in enumerate(parts):
            if factor < 0 and not power.is_integer():  # no real power of the number alone
                cls, factor = self.product([((factor, cls), 1.0)])[1], 1.0
            try:
                number *= factor**power
            except (ZeroDivisionError, OverflowError):
                number = math.nan
            if cls == ONE:
                continue
            key = self.keys[cls]
            inner = key[0] == "mul" and power.is_integer() and (not opened or opened[i])
            for base, exponent in key[1] if inner else ((cls, 1.0),):
                found[base] = found.get(base, 0.0) + exponent * power
        factors = tuple(sorted((base, _tidied(e)) for base, e in found.items() if e))
        if not factors:
            return number, ONE
        if len(factors) == 1 and factors[0][1] == 1.0:
            return number, factors[0][0]
        return number, self.intern(("mul", factors))

    def total(self, parts: Sequence[Term], opened: Sequence[bool] = ()) -> Term:
        """The sum of terms; a sum within is taken apart if ``opened``."""
        constant = 0.0
        found: dict[int, float] = {}
        for i, (factor, cls) in enumerate(parts):
            key = self.keys[cls]
            if cls == ONE:
                constant += factor
            elif key[0] == "add" and (not opened or opened[i]):
                constant += factor * key[1]
                for inner, share in key[2]:
                    found[inner] = found.get(inner, 0.0) + factor * share
            else:
                found[cls] = found.get(cls, 0.0) + factor
        pairs = sorted((cls, factor) for cls, factor in found.items() if factor)
        if not pairs:
            return constant, ONE
        if len(pairs) == 1 and not constant:
            return pairs[0][1], pairs[0][0]
        lead = pairs[0][1]
        scaled = tuple((cls, _tidied(factor / lead)) for cls, factor in pairs)
        return lead, self.intern(("add", _tidied(constant / lead), scaled))

    def exponential(self, term: Term) -> Term:
        """e to a term: the term's number becomes a power."""
        factor, cls = term
        base = self.app("exp", None, (1.0, cls))
        return self.product([((1.0, base), factor)]) if factor else (1.0, ONE)


def _parts(key: Key) -> list[int]:
    """The classes right inside of a class."""
    kind = key[0]
    if kind == "app":
        return [cls for _, cls in key[3]]
    if kind in ("mul", "add"):
        return [cls for cls, _ in key[-1]]
    return [key[2]] if kind == "red" else []


def _tidied(number: float) -> float:
    """A number whose last bits do not depend on the order of arithmetic."""
    return number if number.is_integer() else float(f"{number:.12g}")


class Normalised:
    """The forms of a program's nodes: ``terms`` by the node's index.

    Nodes are taken in one by one, in order (``take``). What is said of a node in between
    (``become``) holds for everything computed of it.
    """

    def __init__(self, nodes: Sequence[Node], values: Mapping[int, Any] | None) -> None:
        self.forms = Forms()
        self.values = values
        self.terms: dict[int, Term] = {}
        # The constant arrays by their class: nobody else may keep them alive.
        self.arrays: dict[int, Any] = {}
        self._used = _uses(nodes)

    def shape(self, node: Node) -> tuple[int, ...]:
        """The shape of a node's value; of a symbol, that of a number."""
        return () if self.values is None else shape_of(self.values[node.index])

    def become(self, node: Node, term: Term) -> None:
        """From here on, a node is known by another form."""
        self.terms[node.index] = term

    def opened(self, arg: Any) -> bool:
        """Whether a part may be taken apart: what is used again is a thing of its own."""
        return not isinstance(arg, Node) or self._used.get(arg.index, 0) < 2

    def term(self, arg: Any) -> Term:
        """The form of an argument: of a node taken in before, or of a constant."""
        return self.terms[arg.index] if type(arg) is Node else self._constant(arg)

    def take(self, node: Node) -> Term:
        """The form of the next node."""
        forms, op = self.forms, node.op
        if op is None:
            term = 1.0, forms.intern(("leaf", node.index))
        else:
            term = self._applied(op.name, node)
        self.terms[node.index] = term
        forms.natural.setdefault(term[1], term[0])
        return term

    def _applied(self, name: str, node: Node) -> Term:
        forms, args = self.forms, node.args
        if name in _TRANSPARENT:
            return self.term(args[0])
        if name in ("add", "subtract"):
            return self._sum(args, 1.0 if name == "add" else -1.0)
        if name == "negative":
            factor, cls = self.term(args[0])
            return -factor, cls
        if name in ("multiply", "divide"):
            return self._product(args, (1.0, 1.0 if name == "multiply" else -1.0))
        if name in _POWERS:
            return self._product(args, (_POWERS[name],))
        if name == "power" and type(args[1]) is not Node and np.ndim(args[1]) == 0:
            return self._product(args[:1], (float(args[1]),))
        if name in ("exp", "expm1"):
            power = forms.exponential(self.term(args[0]))
            return power if name == "exp" else forms.total([power, (-1.0, ONE)])
        if name == "log1p":
            return 1.0, forms.app("log", None, forms.total([(1.0, ONE), self.term(args[0])]))
        if name == "std":
            facts = _facts(node.attrs, len(self._shape_of(args[0])))
            variance = forms.app("var", facts, self.term(args[0]))
            return forms.product([((1.0, variance), 0.5)])
        if name in ("sum", "mean"):
            return self._reduced(node, name == "mean")
        if name in ("matmul", "vecdot") and all(len(self._shape_of(a)) == 1 for a in args):
            return self._summed(self._product(args, (1.0, 1.0)), (0,))
        if name == "einsum" and node.attrs["subscripts"] in _DOTS:
            axes = tuple(range(len(self._shape_of(args[0]))))
            return self._summed(self._product(args, (1.0, 1.0)), axes)
        return self._function(name, node)

    def _shape_of(self, arg: Any) -> tuple[int, ...]:
        return self.shape(arg) if type(arg) is Node else np.shape(arg)

    def _sum(self, args: Sequence[Any], sign: float) -> Term:
        forms = self.forms
        first, (factor, cls) = self.term(args[0]), self.term(args[1])
        parts = [first, (sign * factor, cls)]
        opened = [self.opened(a) and self._short(t[1]) for a, t in zip(args, parts, strict=True)]
        term = forms.total(parts, opened)
        self._remember(term, forms.total(parts, (False, False)))
        return term

    def _product(self, args: Sequence[Any], powers: Sequence[float]) -> Term:
        forms = self.forms
        parts = [(self.term(a), p) for a, p in zip(args, powers, strict=True)]
        opened = [
            self.opened(a) and self._short(t[1]) for a, (t, _) in zip(args, parts, strict=True)
        ]
        term = forms.product(parts, opened)
        if not all(opened) or any(forms.keys[t[1]][0] == "mul" for t, _ in parts):
            self._remember(term, forms.product(parts, (False,) * len(parts)))
        return term

    def _remember(self, term: Term, written: Term) -> None:
        """Keep how a class was put together, if that says the same of it."""
        if written[1] != term[1] and math.isclose(written[0], term[0]):
            self.forms.written.setdefault(term[1], self.forms.keys[written[1]])

    def _short(self, cls: int) -> bool:
        key = self.forms.keys[cls]
        return key[0] not in ("add", "mul") or len(key[-1]) <= MOST_PARTS

    def _reduced(self, node: Node, mean: bool) -> Term:
        x = node.args[0]
        axis = node.attrs.get("axis")
        axes = reduced_axes(axis, len(self._shape_of(x)))
        factor, cls = self.term(x)
        if mean and self.values is not None:
            factor /= max(count(self.values[x.index] if type(x) is Node else x, axis), 1)
        key = self.forms.keys[cls]
        if key[0] == "add" and not key[1] and self.opened(x):  # Σ(a + b) = Σa + Σb
            parts = [self._summed((factor * share, inner), axes) for inner, share in key[2]]
            term = self.forms.total(parts)
            self.forms.written.setdefault(term[1], ("red", axes, cls))
            return term
        return self._summed((factor, cls), axes)

    def _summed(self, term: Term, axes: tuple[int, ...]) -> Term:
        return term[0], self.forms.intern(("red", axes, term[1]))

    def _function(self, name: str, node: Node) -> Term:
        forms, args, facts = self.forms, node.args, None
        if name == "index":
            if not _picks(node, len(self._shape_of(args[0]))):
                return self._indexed(node)
            name, facts, args = "pick", _places(node), args[:1]
        elif name == "take_along_axis":
            name, facts, args = "pick", _places(node), args[:1]
        elif node.attrs:
            facts = _facts(node.attrs, len(self._shape_of(args[0])))
        terms = [self.term(a) for a in args]
        if name == "where" and type(args[0]) is not Node:
            terms[0] = self._condition(args[0])
        if name == "abs":  # |c·x| is |c|·|x|
            return abs(terms[0][0]), forms.app(name, facts, (1.0, terms[0][1]))
        if name == "tanh" and terms[0][0] < 0:
            return -1.0, forms.app(name, facts, (-terms[0][0], terms[0][1]))
        return 1.0, forms.app(name, facts, *terms)

    def _indexed(self, node: Node) -> Term:
        """Indexing that only adds axes of length 1 is nothing; other indexing is a function."""
        if all(part is None or part is Ellipsis or part == slice(None) for part in _index(node)):
            return self.term(node.args[0])
        return 1.0, self.forms.app("index", _places(node), self.term(node.args[0]))

    def _constant(self, value: Any) -> Term:
        if isinstance(value, bool | np.bool_):
            return self._condition(value)
        if np.ndim(value) == 0:
            try:
                return float(value), ONE
            except (TypeError, ValueError):
                return self._leaf(value)
        array = np.asarray(value)
        small = 0 < array.size <= _LARGEST_CONSTANT and array.dtype.kind in "fiu"
        if small and (array == (first := array.flat[0])).all():
            return float(first), ONE
        return self._leaf(value)

    def _condition(self, value: Any) -> Term:
        return self._leaf(np.asarray(value))

    def _leaf(self, value: Any) -> Term:
        cls = self.forms.intern(("given", id(value)))
        self.arrays[cls] = value
        return 1.0, cls


# Sums of products of elements in the same places.
_DOTS = frozenset(("a,a->", "ab,ab->"))
_POWERS = {"square": 2.0, "sqrt": 0.5, "reciprocal": -1.0}


def _index(node: Node) -> tuple[Any, ...]:
    index: tuple[Any, ...] = node.attrs["index"]
    return index


def _places(node: Node) -> tuple[Any, ...]:
    """What an index says, as a part of a key: arrays by which they are."""
    arrays = [a.index if type(a) is Node else id(a) for a in node.args[1:]]
    return (("at", (repr(node.attrs), *arrays)),)


def _picks(node: Node, ndim: int) -> bool:
    """Whether whole numbers choose single elements: one of each row, or one at all."""
    index = _index(node)
    if len(index) != ndim:
        return False
    if any(isinstance(part, slice) or part is None or part is Ellipsis for part in index):
        return False
    return all(np.asarray(a).dtype.kind in "iu" for a in node.args[1:] if type(a) is not Node)


def _facts(attrs: Mapping[str, Any], ndim: int) -> Any:
    """Attributes as a part of a key: axes in one way of writing them, ``keepdims`` not at all."""
    facts: list[tuple[str, Any]] = []
    for name, value in attrs.items():
        if name == "axis" and ndim:
            facts.append(("axis", reduced_axes(value, ndim)))
        elif name != "keepdims":
            facts.append((name, repr(value)))
    return tuple(facts) or None


def _uses(nodes: Sequence[Node]) -> dict[int, int]:
    """How often each value is used; what is computed twice in the same way counts as one."""
    same: dict[Any, int] = {}
    first: dict[int, int] = {}
    users: dict[int, set[int]] = {}
    for node in nodes:
        index, op = node.index, node.op
        if op is None:
            first[index] = index
            continue
        key: list[Any] = [op.name]
        for arg in node.args:
            if type(arg) is Node:
                key.append(first[arg.index])
            else:
                key.append((arg,) if type(arg) in (float, int) else ("id", id(arg)))
        if node.attrs:
            key.append(repr(node.attrs))
        shared = first[index] = same.setdefault(tuple(key), index)
        for arg in node.args:
            if type(arg) is Node:
                users.setdefault(first[arg.index], set()).add(shared)
    counted = {index: len(found) for index, found in users.items()}
    return {index: counted.get(shared, 0) for index, shared in first.items()}


def normalised(program: Program, nodes: Sequence[Node]) -> Normalised:
    """The forms of a program, none of them taken in yet."""
    return Normalised(nodes, program.values)
