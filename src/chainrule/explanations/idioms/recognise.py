"""Recognition: which nodes of a program are an idiom written out by hand.

The forms of all nodes are made in order. A node whose form is an instance of a row's pattern is a
candidate; it is an idiom if its value in the program is the row's definition at its arguments. What
is computed of it from there on sees the function, so that idioms are built of idioms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.explanations.idioms.evidence import Claim, Region, Witness, holds, probable
from chainrule.explanations.idioms.forms import ONE, Normalised, Term, normalised
from chainrule.explanations.idioms.idiom import Argument, Idiom
from chainrule.explanations.idioms.matching import AXES, DEPTH, Binding, count_parts, head, matches
from chainrule.explanations.idioms.table import Spelled, patterns
from chainrule.graph.node import Node, ancestors
from chainrule.sources.program import Program


def idioms_of(program: Program) -> tuple[Idiom, ...]:
    """The idioms written out by hand in a program, in the order of their roots.

    Numbers are not changed: an idiom only says what a part of the program is. Where one lies
    within another, both are given, unless they are the same thing (a loss, and its mean).

    Args:
        program: A computation; without values its operations are taken at random points instead.

    Returns:
        Every idiom whose value in the program is its definition's.

    Example:
        >>> import numpy as np
        >>> from chainrule.sources.function import trace_program
        >>> f = lambda w, x: np.sum(1 / (1 + np.exp(-w * x)))
        >>> program, _, _ = trace_program(f, (np.array([0.5, -1.0]), np.array([2.0, 3.0])), {})
        >>> [(i.name, i.root.op.name, len(i.members)) for i in idioms_of(program)]
        [('sigmoid', 'divide', 3)]
    """
    nodes = ancestors([program.output])
    search = _Recognition(program, nodes)
    for node in nodes:
        search.take(node)
    return search.found()


class _Recognition:
    """A walk over a program's nodes in order, and what it has recognised."""

    def __init__(self, program: Program, nodes: Sequence[Node]) -> None:
        self.program = program
        self.normal: Normalised = normalised(program, nodes)
        self.rows = patterns()
        self.terms_seen: set[Term] = set()
        self.idioms: dict[int, Idiom] = {}
        # By the class of what was recognised: how, and as which number of times it, for multiples.
        self.known: dict[int, tuple[Spelled, float, Binding]] = {}
        self.users = _users(nodes)
        self.witness = Witness(program)

    def take(self, node: Node) -> None:
        """The form of the next node, and the idioms that it is: one may be an instance of another,
        as the softmax of x − c is that of x."""
        self.normal.take(node)
        if node.op is not None and node.op.recorded:
            for _ in range(_MOST_REWRITES):
                term = self.normal.terms[node.index]
                if not self._recognised(node, term) or self.normal.terms[node.index] == term:
                    break
        self.terms_seen.add(self.normal.terms[node.index])

    def found(self) -> tuple[Idiom, ...]:
        """Every idiom, but of losses only the outermost: a mean is of the same name."""
        losses = [i for i in self.idioms.values() if _is_loss(i)]
        inside = {m.index for i in losses for m in i.members[:-1]}
        return tuple(
            [i for i in self.idioms.values() if not (_is_loss(i) and i.root.index in inside)]
        )

    def _recognised(self, node: Node, term: Term) -> bool:
        forms, op = self.normal.forms, node.op
        assert op is not None
        known = self.known.get(term[1])
        if known is not None and node.index not in self.idioms:  # a multiple of an idiom
            spelled, share, bound = known
            if spelled.row.total and op.name in _MULTIPLES:
                return self._claimed(node, spelled, term[0] * share, bound)
            return False
        for spelled in self._candidates(term[1]):
            if spelled.row.function.name == op.name:
                continue
            for scale, bound in matches(spelled.pattern, forms, term):
                if self._claimed(node, spelled, scale, bound):
                    return True
        return False

    def _candidates(self, cls: int) -> Sequence[Spelled]:
        """The spellings that could be it, by what they are made of and of how many parts."""
        forms = self.normal.forms
        key, written = forms.keys[cls], forms.written.get(cls)
        found = self.rows.get(head(key), ())
        parts = count_parts(key)
        if written is not None:
            parts = max(parts, count_parts(written))
            if written[0] != key[0]:
                found = (*found, *self.rows.get(head(written), ()))
        if not found:
            return found
        made_of = forms.functions(cls, DEPTH)
        return [s for s in found if s.pattern.parts <= parts and s.pattern.functions <= made_of]

    def _claimed(self, node: Node, spelled: Spelled, scale: float, bound: Binding) -> bool:
        """Whether it is the idiom; then what is computed of it is told so."""
        row = spelled.row
        if row.last and not self._is_loss_of_program(node, bound):
            return False
        if row.symmetric and self._given(bound["a"]) and not self._given(bound["b"]):
            return False  # what is computed comes first: the match in the other order follows
        region = self._region(node, spelled, bound)
        if region is None:
            return False
        if row.symmetric and any(a.factor < 0 for a in region.arguments):
            return False  # of a sum, and not of a difference
        elements = region.elements(bound.get(AXES), self.normal.shape(node))
        left = row.scale(scale, bound, elements)
        if left is None or not math.isfinite(left):
            return False
        claim = Claim(node, spelled, bound, left)
        if not holds(claim, region, self.program.values, self.witness):
            return False
        if row.probable and not probable(region, whole="y" not in spelled.arguments):
            return False
        members = region.members
        inside = {m.index for m in members}
        private = all(self.users.get(m.index, inside) <= inside for m in members[:-1])
        numbers = {n: bound[n] for n in spelled.arguments if n in spelled.pattern.numbers}
        self.idioms[node.index] = Idiom(
            row, node, claim.arguments(region), members, private, numbers,
            claim.axes, left, claim.summed, elements, *self._inner(region.arguments),
        )  # fmt: skip
        if claim.summed:
            term = self.normal.terms[node.index]
            self.known.setdefault(term[1], (spelled, scale / term[0], bound))
        elif row.known:
            self._rewrite(node, claim, left)
        return True

    def _is_loss_of_program(self, node: Node, bound: Binding) -> bool:
        """Whether a number adds to the result as it is, or times a number."""
        if self.normal.shape(node) != () or (AXES not in bound and not self._last(node)):
            return False
        for _ in range(_MOST_SUMMANDS):
            if node is self.program.output:
                return True
            users = self.users.get(node.index, set())
            if len(users) != 1:
                return False
            node = self.program.graph.nodes[next(iter(users))]
            name = "" if node.op is None else node.op.name
            scaled = name in ("multiply", "divide") and not all(type(a) is Node for a in node.args)
            if not scaled and name not in ("add", "subtract", "negative"):
                return False
        return False

    def _last(self, node: Node) -> bool:
        """Whether a node is the result, or becomes it when it is multiplied by a number."""
        if node is self.program.output:
            return True
        output = self.program.output
        return isinstance(output, Node) and self._halved(output) is node

    def _halved(self, node: Node) -> Node | None:
        if node.op is None or node.op.name not in _MULTIPLES:
            return None
        nodes = [a for a in node.args if type(a) is Node]
        return nodes[0] if len(nodes) == 1 else None

    def _given(self, term: Term) -> bool:
        """Whether a term is an input or a constant, and not computed."""
        return self.normal.forms.keys[term[1]][0] in ("leaf", "given", "one")

    def _rewrite(self, node: Node, claim: Claim, left: float) -> None:
        """What is computed of the node sees the function of its arguments."""
        function, forms = claim.spelled.row.function, self.normal.forms
        terms = []
        for name in claim.spelled.arguments:
            bound = claim.bound[name]
            terms.append(bound if isinstance(bound, tuple) else (bound, ONE))
        facts = (("axis", claim.axes),) if function.axes else None
        cls = forms.app(function.name, facts, *terms)
        self.known.setdefault(cls, (claim.spelled, 1.0, claim.bound))
        self.normal.become(node, (left, cls))

    def _region(self, root: Node, spelled: Spelled, bound: Binding) -> Region | None:
        """The nodes between the arguments and the root; ``None`` if it depends on others too."""
        terms, numbers = self.normal.terms, spelled.pattern.numbers
        wanted = {n: bound[n] for n in spelled.arguments if n in bound and n not in numbers}
        roles: dict[Term, str] = {}
        classes: dict[int, str] = {}
        for name, term in wanted.items():
            if term in self.terms_seen:
                roles[term] = name
            else:  # no node has just this number in front
                classes[term[1]] = name
        members: dict[int, Node] = {root.index: root}
        stops: dict[int, tuple[Node, str]] = {}
        waiting = [a for a in root.args if type(a) is Node]
        while waiting:
            node = waiting.pop()
            index = node.index
            if index in members or index in stops:
                continue
            term = terms[index]
            role = roles.get(term) or classes.get(term[1])
            if role is not None:
                stops[index] = node, role
            elif node.op is None or len(members) == _MOST_MEMBERS:
                return None
            else:
                members[index] = node
                waiting.extend([a for a in node.args if type(a) is Node])
        arguments = []
        for name, term in wanted.items():
            at = next((n for n, role in stops.values() if role == name), None)
            made = self._argument(name, term, at)
            if made is None:
                return None
            arguments.append(made)
        ordered = tuple([members[i] for i in sorted(members)])
        return Region(tuple(arguments), ordered, {i: role for i, (_, role) in stops.items()})

    def _argument(self, name: str, term: Term, node: Node | None) -> Argument | None:
        values = self.program.values
        if node is not None:
            own = self.normal.terms[node.index][0]
            if not own:
                return None
            factor = term[0] / own
            value = None if values is None else values[node.index]
            return Argument(name, node, factor, value if value is None else _times(factor, value))
        if term[1] in self.normal.arrays:
            return Argument(name, None, 1.0, _times(term[0], self.normal.arrays[term[1]]))
        return Argument(name, None, 1.0, np.float64(term[0])) if term[1] == ONE else None

    def _inner(self, arguments: Sequence[Argument]) -> tuple[dict[str, str], dict[str, Node], Any]:
        """Which arguments are idioms, or rows of the book, themselves; and what these are of."""
        found, behind = {}, {}
        axes = None
        for a in arguments:
            if a.node is not None and a.node.op is not None and a.factor == 1.0:
                factor, cls = self.normal.terms[a.node.index]
                key = self.normal.forms.keys[cls]
                if key[0] == "app" and factor == 1.0:
                    found[a.role] = key[1]
                    axes = dict(key[2] or ()).get("axis", axes)
                    further = self._argument_of(a.node)
                    if further is not None:
                        behind[a.role] = further
        return found, behind, axes

    def _argument_of(self, node: Node) -> Node | None:
        """The node that a function of one argument is of."""
        idiom = self.idioms.get(node.index)
        if idiom is not None:
            return idiom.arguments[0].node if idiom.arguments[0].factor == 1.0 else None
        moving = [a for a in node.args if type(a) is Node]
        return moving[0] if len(moving) == 1 else None


_MULTIPLES = frozenset(("negative", "multiply", "divide"))
_MOST_REWRITES = 4
# A loss is one of no more terms than this.
_MOST_SUMMANDS = 50
# No idiom is written with more operations than this.
_MOST_MEMBERS = 60


def _is_loss(idiom: Idiom) -> bool:
    return idiom.row.total or idiom.row.last


def _times(factor: float, value: Any) -> Any:
    return value if factor == 1.0 else factor * value


def _users(nodes: Sequence[Node]) -> dict[int, set[int]]:
    users: dict[int, set[int]] = {}
    for node in nodes:
        for arg in node.args:
            if type(arg) is Node:
                users.setdefault(arg.index, set()).add(node.index)
    return users
