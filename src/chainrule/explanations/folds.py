"""The outline of a program of arrays: values in a tree, module → function → statement → operation.

A page shows this tree folded to some level. At every level a step is a set of operations that a
single value leads out of, so that the folded graph is as free of circles as the unfolded one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Literal

from chainrule.explanations.outline import Group
from chainrule.graph.node import Node, ancestors
from chainrule.graph.primitive import Linear, Scale
from chainrule.sources.program import Program

Fold = Literal["variables", "functions", "primitives"]
FOLDS: tuple[Fold, ...] = ("variables", "functions", "primitives")

# What a value is multiplied with stays one step with it; so does what is added.
_SUMS = frozenset(("add", "subtract", "negative", "positive"))
_REDUCTIONS = frozenset(("sum", "mean"))
_PRODUCTS = frozenset(("matmul", "einsum", "vecdot", "convolve"))


def folded(
    program: Program,
    active: Collection[int],
    fold: Fold,
    wholes: Mapping[int, Collection[int]] | None = None,
) -> list[Group]:
    """The steps of a program, in order.

    Args:
        program: The computation.
        active: The nodes that matter, by index; what does not depend on the variable is no step.
        fold: ``"variables"``: a step for everything that the author named, and for what is no part
            of a formula (a matrix product inside of a tanh). ``"functions"``: what the functions do
            that the outermost function calls is one step each. ``"primitives"``: a step for every
            operation.
        wholes: Operations that are one step together at any level but the last, by the index of the
            one that gives their value.
    """
    nodes = [n for n in ancestors([program.output]) if n.op is not None and n.index in active]
    nodes = [n for n in nodes if n.op is not None and n.op.recorded]
    consumers: dict[int, list[Node]] = {}
    for node in nodes:
        for index in {a.index for a in node.args if type(a) is Node}:
            consumers.setdefault(index, []).append(node)
    inside = {
        i: root for root, members in (wholes or {}).items() for i in members if i != root
    } if fold != "primitives" else {}  # fmt: skip
    roots = _roots(program, nodes, consumers, set(active), fold, inside)
    names = _names(program, [n for n in nodes if n.index in roots], consumers, fold)
    return [_group(n, names[n.index], roots, set(active)) for n in nodes if n.index in roots]


def _roots(
    program: Program,
    nodes: list[Node],
    consumers: Mapping[int, list[Node]],
    active: set[int],
    fold: Fold,
    inside: Mapping[int, int],
) -> set[int]:
    """The nodes that end a step."""
    root_of: dict[int, int] = {}
    context: dict[int, _Context] = {}
    affine = _affine(program, nodes, consumers, active)
    for node in reversed(nodes):
        users = consumers.get(node.index, [])
        index = node.index
        steps = {root_of[u.index] for u in users}
        alone = next(iter(steps)) if len(steps) == 1 else None
        if node is program.output or alone is None or fold == "primitives":
            joined = False
        elif index in inside:
            joined = alone == root_of.get(inside[index])
        elif fold == "functions" and _called(program, node):
            joined = all(_called(program, u) for u in users)
        else:
            joined = _named(program, node) is None and all(
                _reads_as_part(program, node, u, context[u.index], active)
                and not (index in affine and context[u.index].bent)
                for u in users
            )
        root_of[index] = alone if joined and alone is not None else index
        context[index] = _below(node, [context[u.index] for u in users] if joined else [], active)
    return {i for i, root in root_of.items() if i == root}


def _affine(
    program: Program, nodes: list[Node], consumers: Mapping[int, list[Node]], active: set[int]
) -> set[int]:
    """Products and sums over elements, with what is added to them: ``x @ W + b``.

    What is then done to each element is a step of its own.
    """
    found: set[int] = set()
    for node in nodes:
        op = node.op
        assert op is not None
        if (
            op.name in _PRODUCTS
            or op.name in _REDUCTIONS
            or (
                (_is_linear(node, active) or _moves(node))
                and any(
                    type(a) is Node
                    and a.index in found
                    and _named(program, a) is None
                    and len(consumers.get(a.index, ())) == 1
                    for a in node.args
                )
            )
        ):
            found.add(node.index)
    return found


class _Context:
    """What is done, within the step, with the value of an operation and everything before it."""

    __slots__ = ("bent", "multiplied", "opaque", "reduced")

    def __init__(self, bent: bool, multiplied: bool, opaque: bool, reduced: bool) -> None:
        self.bent = bent  # a function that is not linear is applied
        self.multiplied = multiplied  # a matrix product is taken
        self.reduced = reduced  # a sum over elements is taken
        self.opaque = opaque  # it goes into something whose derivative has no short form


def _below(node: Node, users: list[_Context], active: set[int]) -> _Context:
    op = node.op
    assert op is not None
    linear = _is_linear(node, active) or _moves(node)
    return _Context(
        any(u.bent for u in users) or not linear,
        any(u.multiplied for u in users) or op.name in _PRODUCTS,
        any(u.opaque for u in users) or not (linear or op.elementwise),
        any(u.reduced for u in users) or op.name in _REDUCTIONS,
    )


def _is_linear(node: Node, active: set[int]) -> bool:
    """Whether a node adds, or multiplies with what stands still."""
    op = node.op
    assert op is not None
    moving = [a for a in node.args if type(a) is Node and a.index in active]
    if op.name in _SUMS or op.name in _REDUCTIONS:
        return True
    if op.name in ("multiply", *_PRODUCTS):
        return len(moving) == 1
    return op.name == "divide" and not any(a is node.args[1] for a in moving)


def _moves(node: Node) -> bool:
    """Whether a node only takes, moves or repeats elements."""
    op = node.op
    assert op is not None
    return bool(op.edges) and isinstance(op.edges[0], Linear) and op.name not in _REDUCTIONS


def _reads_as_part(
    program: Program, node: Node, user: Node, above: _Context, active: set[int]
) -> bool:
    """Whether an operation reads as a part of the formula that its value is used in."""
    op = node.op
    assert op is not None
    if above.opaque or _leaves_its_function(program, node, user):
        return False
    if op.name in _PRODUCTS:
        return not above.bent and not above.multiplied
    if op.name in _REDUCTIONS:
        return not above.bent
    plain = not (above.bent or above.reduced)  # a choice between pieces reads best by itself
    if op.elementwise and all(isinstance(e, Scale) or plain for e in op.edges):
        return not above.multiplied or _is_linear(node, active)
    return _moves(node)


def _leaves_its_function(program: Program, node: Node, user: Node) -> bool:
    """Whether a value is what a function returned, and not what the outermost one did itself."""
    here, there = program.places.get(node.index), program.places.get(user.index)
    if here is None or there is None or here.call <= 0 or here.call == there.call:
        return False
    return here.function is not None and "<" not in here.function.rpartition(".")[2]


def _called(program: Program, node: Node) -> bool:
    """Whether an operation was performed by a function that the outermost one called."""
    place = program.places.get(node.index)
    return place is not None and place.call > 0


def _named(program: Program, node: Node) -> str | None:
    return program.names.get(node.index)


def _names(
    program: Program, roots: list[Node], consumers: Mapping[int, list[Node]], fold: Fold
) -> dict[int, str]:
    """A distinct name for every step: the author's, the function's, or u1, u2, …"""
    own: list[str | None] = []
    for node in roots:
        name = _named(program, node)
        if node is program.output:
            name = program.output_name or name
        elif name is None or (fold == "functions" and _called(program, node)):
            name = name or _function_name(program, node, consumers.get(node.index, []))
        own.append(name)
    taken = {*program.variables, *(n for n in own if n)}
    often = Counter(n for n in own if n)
    letter = next(
        (c for c in "uvwpqrst" if not any(n[:1] == c and (n[1:] or "0").isdigit() for n in taken)),
        "step",
    )
    counts: Counter[str] = Counter()
    names: dict[int, str] = {}
    for node, name in zip(roots, own, strict=True):
        if name is None and node is program.output:
            name = next(n for n in ("y", "z", "w", "f", "out", "result", "value") if n not in taken)
        if name is None or often[name] > 1 or name in program.variables:
            stem = name or letter
            joint = "" if stem[-1].isalpha() or not stem[-1].isascii() else "_"
            while True:
                counts[stem] += 1
                name = f"{stem}{joint}{counts[stem]}"
                if name not in taken:
                    break
        taken.add(name)
        names[node.index] = name
    return names


def _function_name(program: Program, node: Node, users: list[Node]) -> str | None:
    """The name of the function whose value this is, where it is one's."""
    place = program.places.get(node.index)
    if place is None or place.function is None or place.call <= 0:
        return None
    if not all(_leaves_its_function(program, node, u) for u in users):
        return None
    name = place.function.rpartition(".")[2].lstrip("_")
    return name if len(name) > 1 and name.isidentifier() else None


def _group(root: Node, name: str, roots: set[int], active: set[int]) -> Group:
    inner: list[Node] = []
    args: list[Node] = []
    for node in ancestors([a for a in root.args if type(a) is Node], stop=roots):
        (args if node.index in roots or node.op is None else inner).append(node)
    moving = tuple(n for n in args if n.index in active)
    return Group(name, root, (*inner, root), tuple(args), moving)
