"""The local derivative of a step of arrays, element by element: ∂z[i,j]/∂a[i,k] = W[k,j].

A step is walked from its value back to one argument, as in reverse mode, with the subscripts of a
single element in place of the array: an elementwise operation keeps them, a matrix product brings
in a new one, a sum leaves out some. Where both ends are one element, all subscripts are numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from chainrule.chain.edges import factor
from chainrule.explanations.moving import Box
from chainrule.explanations.outline import Group
from chainrule.graph.node import Graph, Node, ancestors
from chainrule.graph.primitive import ELEMENTWISE, Flat
from chainrule.graph.rational import rational
from chainrule.graph.rewriting import tidy
from chainrule.graph.tape import shape_of
from chainrule.notation.expression import text
from chainrule.rules.reductions import count, reduced_axes
from chainrule.run.interpreter import evaluate, numpy_number

LETTERS = "ijklmnprst"
_PRODUCTS_AND_SUMS = frozenset(("matmul", "einsum", "sum", "mean"))
# Steps of more operations than this are not written out.
LARGEST = 200


@dataclass(frozen=True, slots=True)
class Term:
    """One subscript: ``scale·letter + offset``, or just ``offset``."""

    letter: str | None
    offset: int = 0
    scale: int = 1

    def __str__(self) -> str:
        if self.letter is None:
            return str(self.offset)
        times = self.letter if self.scale == 1 else f"{self.scale}{self.letter}".replace("-1", "-")
        return times + (f"{self.offset:+d}" if self.offset else "")


Terms = tuple[Term, ...]


def subscripted(name: str, terms: Terms) -> str:
    """An element of a named array: ``a[i,0]``."""
    return name + (f"[{','.join(map(str, terms))}]" if terms else "")


@dataclass(frozen=True, slots=True, eq=False)
class Local:
    """The local derivative of one element of a step with respect to one element of an argument.

    Attributes:
        step: The subscripts of the step's element.
        of: Those of the argument's.
        expression: The derivative, over symbols that are elements: ``W[k,j]``.
        summed: Letters that it is summed over.
        symbols: Which element of which value each symbol is, by name.
    """

    step: Terms
    of: Terms
    expression: Any
    summed: tuple[str, ...]
    symbols: Mapping[str, tuple[Any, Terms]]

    @property
    def pointwise(self) -> bool:
        """Whether each element of the argument goes into one element of the step."""
        return {t.letter for t in self.step} <= {t.letter for t in self.of} | {None}

    def number(self, values: Mapping[int, Any]) -> Any:
        """Its value where all subscripts are numbers."""
        (found,) = evaluate([self.expression], numbers_of(self.symbols, values))
        return numpy_number(found)


def numbers_of(
    symbols: Mapping[str, tuple[Any, Terms]], values: Mapping[int, Any]
) -> dict[str, Any]:
    """The number that each symbol is, where all subscripts are numbers."""
    found = {}
    for name, (source, terms) in symbols.items():
        whole = values[source.index] if isinstance(source, Node) else source
        place = tuple(t.offset for t in terms)
        found[name] = numpy_number(np.asarray(whole)[place] if place else whole)
    return found


def normalising_derivative(
    function: str, axis: int, group: Group, arg: Node, boxes: Mapping[int, Box],
    names: Mapping[int, str], values: Mapping[int, Any],
) -> Local | None:  # fmt: skip
    """The derivative of a softmax, its logarithm, or a log-sum-exp along one axis.

    ∂pₖ/∂zⱼ = pₖ(δₖⱼ − pⱼ), ∂(log pₖ)/∂zⱼ = δₖⱼ − pⱼ and ∂lse/∂zⱼ = e^(zⱼ − lse), where δ is 1 for
    equal subscripts and else 0.
    """
    root, of, step = group.root, boxes[arg.index], boxes[group.root.index]
    shape, out = shape_of(values[arg.index]), shape_of(values[root.index])
    kept = tuple(n for i, n in enumerate(shape) if i != axis)
    reduced = function == "logsumexp"
    if out != shape and not (reduced and out in (kept, (*shape[:axis], 1, *shape[axis + 1 :]))):
        return None
    letters = iter(LETTERS)
    behind = tuple(Term(None, a) if isinstance(a, int) else Term(next(letters)) for a in of.axes)
    graph, front = Graph(tidy), list(behind)
    symbols: dict[str, tuple[Any, Terms]] = {}

    def element(name: str, source: Any, terms: Terms) -> Any:
        written = subscripted(name, terms)
        symbols[written] = source, terms
        return graph.input(written)

    if reduced:
        front[axis : axis + 1] = [Term(None, 0)] if len(out) == len(shape) else []
        total = element(names[root.index], root, tuple(front))
        expression = np.exp(element(names[arg.index], arg, behind) - total)
        return Local(tuple(front), behind, expression, (), symbols)
    place = step.axes[axis]
    front[axis] = Term(None, place) if isinstance(place, int) else Term(next(letters))
    pair = front[axis], behind[axis]
    same: Any = float(pair[0] == pair[1])
    if any(t.letter is not None for t in pair):
        same = element("δ", np.eye(shape[axis]), pair)
    share = element(names[root.index], root, behind)
    if function == "softmax":
        expression = element(names[root.index], root, tuple(front)) * (same - share)
    else:
        expression = same - np.exp(share)
    return Local(tuple(front), behind, expression, (), symbols)


class Unwritten(Exception):
    """The derivative has no short form in subscripts."""


def local_derivative(
    group: Group, arg: Node, boxes: Mapping[int, Box], names: Mapping[int, str],
    values: Mapping[int, Any], given: Mapping[str, Any],
) -> Local | None:  # fmt: skip
    """The derivative of a step with respect to an argument; ``None`` if it has no short form.

    Args:
        group: The step.
        arg: The argument.
        boxes: Which elements of the step and the argument are meant, by the node's index.
        names: The names of steps and inputs, by the node's index.
        values: The value of every node.
        given: Arrays that have a name and are no inputs: labels, for example.
    """
    if len(group.members) > LARGEST:
        return None
    step, of = boxes[group.root.index], boxes[arg.index]
    start = tuple(
        Term(None, axis) if isinstance(axis, int) else Term(f"r{i}")
        for i, axis in enumerate(step.axes)
    )
    try:
        first = _Walk(group, arg, names, values, None, of, given)
        found, _ = first.back(start)
        bound = _bound(start, tuple(map(first.resolved, found)), of, first.bound)
        walk = _Walk(group, arg, names, values, bound, of, given)
        terms, derivative = walk.back(tuple(map(walk.resolved, start)))
    except Unwritten:
        return None
    step_terms = tuple(map(walk.resolved, start))
    known = {t.letter for t in (*step_terms, *terms)}
    inside = {t.letter for _, ts in walk.symbols.values() for t in ts if t.letter is not None}
    summed = tuple(sorted(inside - known))
    if {t.letter for t in step_terms if t.letter} - {t.letter for t in terms} and summed:
        return None
    return Local(step_terms, terms, derivative, summed, walk.symbols)


def _bound(start: Terms, found: Terms, of: Box, known: Mapping[str, Term]) -> dict[str, Term]:
    """Letters as readers see them, and numbers for those that the argument's elements fix."""
    bound: dict[str, Term] = dict(known)
    letters = iter(LETTERS)
    for term, axis in zip(found, of.axes, strict=True):
        if term.letter is None:
            if isinstance(axis, int) and axis != term.offset:
                raise Unwritten
        elif isinstance(axis, int):
            place, rest = divmod(axis - term.offset, term.scale)
            if rest or bound.get(term.letter, Term(None, place)) != Term(None, place):
                raise Unwritten
            bound[term.letter] = Term(None, place)
    for term in found:
        if term.letter is not None and term.letter not in bound:
            bound[term.letter] = Term(next(letters))
    for term in start:
        if term.letter is not None and term.letter not in bound:
            bound[term.letter] = Term(next(letters))
    return bound


class _Walk:
    """Reverse mode over one step, with subscripts."""

    def __init__(
        self, group: Group, arg: Node, names: Mapping[int, str], values: Mapping[int, Any],
        bound: Mapping[str, Term] | None, of: Box, given: Mapping[str, Any],
    ) -> None:  # fmt: skip
        self.group, self.arg, self.names, self.values = group, arg, names, values
        self.of, self.given = of, given
        self.exploring = bound is None  # the first time, only subscripts are asked for
        self.bound = dict(bound or {})
        self.graph = Graph(tidy)
        self.symbols: dict[str, tuple[Any, Terms]] = {}
        self._fresh = 0
        self._spare = iter(c for c in LETTERS if all(c != t.letter for t in self.bound.values()))
        self._inner = {n.index for n in group.members}
        self._moving = self._depending()
        self._elements: dict[tuple[int, Terms], Any] = {}

    def _depending(self) -> set[int]:
        """The operations inside that the argument goes into."""
        found = {self.arg.index}
        for node in self.group.members:
            if node.op is not None and node.op.recorded:
                for i, a in enumerate(node.args):
                    flows = type(a) is Node and a.index in found
                    if flows and not isinstance(node.op.edge(i), Flat):
                        found.add(node.index)
        return found

    def resolved(self, term: Term) -> Term:
        """A subscript after what is known of its letter."""
        if term.letter is None or term.letter not in self.bound:
            return term
        to = self.bound[term.letter]
        return replace(to, offset=term.scale * to.offset + term.offset, scale=term.scale * to.scale)

    def back(self, start: Terms) -> tuple[Terms, Any]:
        """The subscripts of the argument, and the derivative: the sum over all inner paths."""
        arrived: dict[int, list[tuple[Terms, Any]]] = {self.group.root.index: [(start, 1.0)]}
        for node in reversed(self.group.members):
            for terms, cotangent in arrived.pop(node.index, ()):
                for position, arg in enumerate(node.args):
                    if type(arg) is Node and arg.index in self._moving:
                        part = self._pulled(node, position, terms)
                        if part is None:
                            continue
                        there, slope = part
                        carried = _times(cotangent, slope)
                        _add(arrived.setdefault(arg.index, []), there, carried)
        found = [f for f in arrived.get(self.arg.index, []) if self._is_meant(f[0])]
        if len(found) != 1:
            raise Unwritten
        return found[0]

    def _is_meant(self, terms: Terms) -> bool:
        """Whether these can be subscripts of an element that moves."""
        return all(
            t.letter is not None
            or (t.offset == axis if isinstance(axis, int) else axis[0] <= t.offset < axis[1])
            for t, axis in zip(terms, self.of.axes, strict=True)
        )

    def _pulled(self, node: Node, position: int, terms: Terms) -> tuple[Terms, Any] | None:
        """The subscripts of one argument for those of the value, and the slope between them."""
        op = node.op
        assert op is not None
        edge = op.edge(position)
        if isinstance(edge, Flat) or not op.recorded:
            return None
        if op.elementwise and isinstance(edge, ELEMENTWISE):
            if self.exploring:
                return self._aligned(node.args[position], terms), 1.0
            aligned = [self._aligned(a, terms) for a in node.args]
            args = tuple(self.element(a, t) for a, t in zip(node.args, aligned, strict=True))
            slope = factor(edge, args, self.element(node, terms), node.attrs)
            return aligned[position], slope
        return self._moved(node, position, terms)

    def _aligned(self, arg: Any, terms: Terms) -> Terms:
        """The subscripts of an argument that is repeated to the shape of the value."""
        return _repeated(self._shape(arg), terms)

    def element(self, value: Any, terms: Terms) -> Any:
        """One element as an expression: of an argument a symbol, of an inner value a formula."""
        if self.exploring:
            return 1.0
        if not isinstance(value, Node):
            return self._constant(value, terms)
        key = value.index, terms
        if key not in self._elements:
            self._elements[key] = self._element(value, terms)
        return self._elements[key]

    def _element(self, node: Node, terms: Terms) -> Any:
        if node is self.group.root or node.index not in self._inner:
            return self._symbol(self.names.get(node.index, node.name), node, terms)
        op = node.op
        assert op is not None
        if op.elementwise and op.recorded:
            args = tuple(self.element(a, self._aligned(a, terms)) for a in node.args)
            if any(type(a) is Node for a in args):
                return self.graph.apply(op, args, node.attrs)
            return rational(op.evaluate(*map(numpy_number, args), **node.attrs))
        for position, arg in enumerate(node.args):
            if op.name in _PRODUCTS_AND_SUMS or isinstance(op.edge(position), Flat):
                continue
            try:
                part = self._moved(node, position, terms)
            except Unwritten:
                continue
            if part is not None:
                return self.element(arg, part[0])
        return self._symbol(self._written(node), node, terms)

    def _symbol(self, name: str, source: Any, terms: Terms) -> Node:
        """The symbol of an element; letters that a reader has not met yet get their sign here."""
        shown = []
        for term in terms:
            term = self.resolved(term)
            if term.letter is not None and term.letter not in LETTERS:
                self.bound[term.letter] = Term(next(self._spare, "?"))
                term = self.resolved(term)
            shown.append(term)
        written = subscripted(name, tuple(shown))
        self.symbols[written] = source, tuple(shown)
        return self.graph.input(written)

    def _written(self, node: Node) -> str:
        """An inner value that is no formula of elements, as it stands in the step."""
        graph = Graph()
        env: dict[int, Any] = {}
        for n in ancestors([node], stop=[a.index for a in self.group.args]):
            if n.index in self._inner:
                args = tuple(env[a.index] if isinstance(a, Node) else a for a in n.args)
                env[n.index] = graph.apply(n.op, args, n.attrs)  # type: ignore[arg-type]
            else:
                env[n.index] = graph.input(self.names.get(n.index, n.name))
        shown = text(env[node.index])
        return shown if len(shown) <= 40 else "(…)"

    def _constant(self, value: Any, terms: Terms) -> Any:
        array = np.asarray(value)
        if array.dtype == object or array.dtype.kind not in "fiub":
            raise Unwritten
        if array.size and (array.size == 1 or (array == array.flat[0]).all()):
            first = array.flat[0]
            return bool(first) if array.dtype.kind == "b" else rational(float(first))
        if all(t.letter is None for t in map(self.resolved, terms)):
            chosen = array[tuple(self.resolved(t).offset for t in terms)]
            return bool(chosen) if array.dtype.kind == "b" else rational(float(chosen))
        return self._symbol(self._given_name(array), array, terms)

    def _given_name(self, array: Any) -> str:
        """What the author calls a constant array, if it is an argument of the function."""
        for name, value in self.given.items():
            same = np.shape(value) == array.shape and np.asarray(value).dtype == array.dtype
            if same and np.array_equal(value, array):
                return name
        return "constant"

    # ---------------------------------------------------------------- what moves or adds elements

    def _new(self) -> Term:
        self._fresh += 1
        return self.resolved(Term(f"s{self._fresh}"))

    def _moved(self, node: Node, position: int, terms: Terms) -> tuple[Terms, Any] | None:
        op = node.op
        assert op is not None
        if op.name == "matmul":
            return self._product(node, position, terms)
        if op.name == "einsum":
            return self._contraction(node, position, terms)
        if op.name in ("sum", "mean"):
            return self._sum(node, terms)
        if op.name in ("copy", "astype"):
            return terms, 1.0
        if op.structure in ("selection", "permutation", "repetition", "blocks"):
            return self._taken(node, position, terms)
        raise Unwritten

    def _product(self, node: Node, position: int, terms: Terms) -> tuple[Terms, Any]:
        a, b = node.args
        left, right = (len(self._shape(x)) for x in (a, b))
        along = self._new()
        behind = terms[-1:] if right > 1 else ()
        front = terms[: len(terms) - len(behind)]
        row = front[-1:] if left > 1 else ()
        stack = front[: len(front) - len(row)]
        of_a = (*self._stacked(a, stack, 2), *row, along)
        of_b = (*self._stacked(b, stack, 2), along, *behind)
        if position == 0:
            return of_a, self.element(b, of_b)
        return of_b, self.element(a, of_a)

    def _stacked(self, x: Any, stack: Terms, core: int) -> Terms:
        return _repeated(self._shape(x)[:-core], stack)

    def _contraction(self, node: Node, position: int, terms: Terms) -> tuple[Terms, Any]:
        inputs, out = node.attrs["subscripts"].split("->")
        named = dict(zip(out, terms, strict=True))
        for letter in inputs.replace(",", ""):
            if letter not in named:
                named[letter] = self._new()
        of_a, of_b = (tuple(named[c] for c in part) for part in inputs.split(","))
        if position == 0:
            return of_a, self.element(node.args[1], of_b)
        return of_b, self.element(node.args[0], of_a)

    def _sum(self, node: Node, terms: Terms) -> tuple[Terms, Any]:
        assert node.op is not None
        shape = self._shape(node.args[0])
        axis, keepdims = node.attrs.get("axis"), node.attrs.get("keepdims", False)
        reduced = reduced_axes(axis, len(shape))
        rest = iter(terms)
        found = []
        for i in range(len(shape)):
            if i in reduced:
                found.append(self._new() if shape[i] != 1 else Term(None, 0))
                if keepdims:
                    next(rest)
            else:
                found.append(next(rest))
        share = 1.0
        if node.op.name == "mean":
            share = rational(1.0) / rational(float(count(np.empty(shape, bool), axis)))
        return tuple(found), share

    def _taken(self, node: Node, position: int, terms: Terms) -> tuple[Terms, Any] | None:
        """Where a moved element comes from, if that follows a simple rule."""
        op = node.op
        assert op is not None
        args = [self.values[a.index] if isinstance(a, Node) else a for a in node.args]
        places = []
        for i, a in enumerate(args):
            size = int(np.size(a))
            if isinstance(op.edge(i), Flat):
                places.append(a)
            elif i == position:
                places.append(np.arange(size).reshape(shape_of(a))[()])
            else:
                places.append(np.full(shape_of(a), -1)[()])
        try:
            source = np.asarray(op.evaluate(*places, **node.attrs))
        except (IndexError, ValueError, TypeError) as error:  # what moves where depends on values
            raise Unwritten from error
        places_of = range(-1, int(np.size(args[position])))
        if source.shape != shape_of(self.values[node.index]) or source.dtype.kind != "i":
            raise Unwritten
        if source.size and not (source.min() in places_of and source.max() in places_of):
            raise Unwritten
        fixed = [self.resolved(t) for t in terms]
        source = source[tuple(t.offset if t.letter is None else slice(None) for t in fixed)]
        if (source < 0).all():
            return None
        free = [t for t in fixed if t.letter is not None]
        if (source < 0).any():
            source, free = self._only_part(source, free)
        shape = shape_of(args[position])
        where = np.unravel_index(source, shape) if shape else ()
        return tuple(_rule(np.asarray(w), free) for w in where), 1.0

    def _only_part(self, source: Any, free: list[Term]) -> tuple[Any, list[Term]]:
        """Where an array is one layer of a stack: the letter that counts layers is its number."""
        for axis, term in enumerate(free):
            others = tuple(i for i in range(source.ndim) if i != axis)
            layers = np.flatnonzero((source >= 0).all(axis=others))
            some = np.flatnonzero((source >= 0).any(axis=others))
            place = Term(None, int(layers[0])) if len(layers) == len(some) == 1 else None
            letter = term.letter
            if place is None or letter is None or term.scale != 1 or term.offset:
                continue
            if self.bound.get(letter, place) != place:
                continue
            self.bound[letter] = place
            return source.take(layers[0], axis), [*free[:axis], *free[axis + 1 :]]
        raise Unwritten

    def _shape(self, value: Any) -> tuple[int, ...]:
        return shape_of(self.values[value.index] if isinstance(value, Node) else value)


def _repeated(shape: tuple[int, ...], terms: Terms) -> Terms:
    """The subscripts of what broadcasting repeats, for those of the result."""
    kept = terms[len(terms) - len(shape) :] if shape else ()
    return tuple(Term(None, 0) if n == 1 else t for t, n in zip(kept, shape, strict=True))


def _rule(places: Any, free: Sequence[Term]) -> Term:
    """The positions along one axis as a subscript.

    Raises:
        Unwritten: They follow no rule of one letter.
    """
    first = int(places.flat[0])
    steps = [
        int(places[tuple(int(j == i) for j in range(places.ndim))]) - first
        if places.shape[i] > 1 else 0
        for i in range(places.ndim)
    ]  # fmt: skip
    moving = [i for i, step in enumerate(steps) if step]
    if len(moving) > 1:
        raise Unwritten
    expected: Any = first
    if moving:
        (i,) = moving
        line = first + steps[i] * np.arange(places.shape[i])
        expected = line.reshape([-1 if j == i else 1 for j in range(places.ndim)])
    if not (places == expected).all():
        raise Unwritten
    if not moving:
        return Term(None, first)
    (i,) = moving
    t = free[i]
    # ``places`` runs over the whole axis, from 0 on; t stands for scale·letter + offset of it.
    return Term(t.letter, first + steps[i] * t.offset, steps[i] * t.scale)


def _times(a: Any, b: Any) -> Any:
    if type(a) is float and a == 1.0:
        return b
    if type(b) is float and b == 1.0:
        return a
    return a * b


def _add(found: list[tuple[Terms, Any]], terms: Terms, part: Any) -> None:
    """Paths that meet at one element are added."""
    for i, (there, before) in enumerate(found):
        if there == terms:
            found[i] = terms, before + part
            return
    found.append((terms, part))
