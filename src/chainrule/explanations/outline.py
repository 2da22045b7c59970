"""The outline: which operations make one step of an explanation.

Steps are what the author named, and functions applied to them. Plain polynomial arithmetic is not
a step of its own: ``x² + 1`` is one step with derivative ``2x``, as a textbook would write it.
A step is a tree of operations whose inner values nobody else uses, so folding it keeps the graph
acyclic; its local derivative is what eliminating the inner operations gives.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from chainrule.graph.node import Node, ancestors
from chainrule.graph.primitive import Flat
from chainrule.rules import BOOK
from chainrule.sources.program import Program

# Outlines of more steps than this have their middle folded, if they can be.
LONGEST = 40
KEPT_AT_EACH_END = 6
# A product of more than this many steps and variables is worked out in several steps.
MOST_FACTORS = 4


@dataclass(slots=True, eq=False)
class Group:
    """One step: its name, the operation that gives its value, and the operations folded into it.

    ``args`` are the inputs and earlier steps it is computed from, ``active`` those among them that
    depend on a variable of interest. ``folded`` steps stand for many and show no expression.
    """

    name: str
    root: Node
    members: tuple[Node, ...]
    args: tuple[Node, ...]
    active: tuple[Node, ...]
    folded: bool = False


@dataclass(slots=True, eq=False)
class Outline:
    """The steps of a program in order, and the inputs they start from.

    ``groups`` are the steps before the middle of a long program was folded into one: paths run over
    these, so that folding loses none of them.
    """

    inputs: tuple[Node, ...]
    steps: tuple[Group, ...]
    names: dict[int, str]
    groups: tuple[Group, ...]


def outline(program: Program, wrt: Collection[str], unfold: bool = False) -> Outline:
    """Fold a program into steps.

    Args:
        program: The computation.
        wrt: The variables of interest; what does not depend on them is no step.
        unfold: Make every operation a step of its own.
    """
    nodes = ancestors([program.output])
    active = _active(nodes, wrt)
    inputs = tuple(n for n in nodes if n.op is None and n.index in active)
    roots = _roots(program, nodes, active, unfold)
    names = _names(program, [n for n in nodes if n.index in roots], inputs)
    groups = [_group(node, names, roots, active) for node in nodes if node.index in roots]
    return Outline(inputs, tuple(_shortened(groups)), names, tuple(groups))


def _active(nodes: list[Node], wrt: Collection[str]) -> set[int]:
    """Nodes that depend on a variable of interest."""
    active: set[int] = set()
    for node in nodes:
        if node.op is None:
            if node.name in wrt:
                active.add(node.index)
        else:
            for arg in node.args:
                if type(arg) is Node and arg.index in active:
                    active.add(node.index)
                    break
    return active


def _roots(program: Program, nodes: list[Node], active: set[int], unfold: bool) -> set[int]:
    """The nodes that end a step."""
    operations = [n for n in nodes if n.op is not None and n.index in active]
    multiply = BOOK["multiply"]
    consumers: dict[int, list[Node]] = {}
    for node in operations:
        for arg in node.args:
            if isinstance(arg, Node):
                consumers.setdefault(arg.index, []).append(node)
    absorbed: set[int] = set()
    factors: dict[int, int] = {}
    for node in operations:
        moving = [a.index for a in node.args if type(a) is Node and a.index in active]
        factors[node.index] = sum([factors[i] if i in absorbed else 1 for i in moving])
        users = consumers.get(node.index, [])
        conditions = node.op is not None and not node.op.recorded
        if conditions or (
            not unfold
            and node is not program.output
            and node.index not in program.names
            and len(users) == 1
            and (factors[node.index] < MOST_FACTORS or users[0].op is not multiply)
            and _absorbs(users[0], node, active, absorbed)
        ):
            absorbed.add(node.index)
    return {n.index for n in operations} - absorbed


def _absorbs(user: Node, node: Node, active: set[int], absorbed: set[int]) -> bool:
    """Whether ``node`` reads as a part of ``user`` and not as a step before it."""
    kind = _kind(node, active, absorbed)
    if kind is None or user.op is None:
        return False
    others = [a for a in user.args if isinstance(a, Node) and a.index in active and a is not node]
    name = user.op.name
    if name in ("add", "subtract", "negative"):
        return True
    if name == "multiply":
        return kind == "monomial" or not others
    return name == "divide" and user.args[0] is node and not others


def _kind(node: Node, active: set[int], absorbed: set[int]) -> str | None:
    """``monomial`` or ``sum`` for polynomial arithmetic on steps and inputs, else ``None``."""
    op = node.op.name if node.op is not None else ""
    moving = [a for a in node.args if isinstance(a, Node) and a.index in active]
    if op in ("add", "subtract"):
        return "sum"
    if op in ("negative", "positive"):
        return "sum" if any(a.index in absorbed and _is_sum(a) for a in moving) else "monomial"
    if op == "multiply":
        return "sum" if any(a.index in absorbed and _is_sum(a) for a in moving) else "monomial"
    if op == "divide" and all(a is node.args[0] for a in moving):
        return "monomial"
    if op in ("power", "square") and all(a is node.args[0] for a in moving):
        whole = op == "square" or not isinstance(node.args[1], Node)
        return "monomial" if whole and not any(a.index in absorbed for a in moving) else None
    return None


def _is_sum(node: Node) -> bool:
    return node.op is not None and node.op.name in ("add", "subtract")


def _names(program: Program, roots: list[Node], inputs: tuple[Node, ...]) -> dict[int, str]:
    """A distinct name for every step and input."""
    taken = set(program.variables) | {n.name for n in inputs}
    names = {n.index: n.name for n in inputs}
    own = [_author_name(program, node) for node in roots]
    given = [n for n in own if n is not None]
    repeated = (
        {n for n, count in Counter(given).items() if count > 1 or n in taken} if given else set()
    )
    taken.update(given)
    letter = _free_letter(taken)
    counts: Counter[str] = Counter()
    for node, name in zip(roots, own, strict=True):
        if name is None and node is program.output:
            name = next(n for n in ("y", "z", "w", "f", "out", "result", "value") if n not in taken)
        if name is None or name in repeated:
            name = _numbered(letter if name is None else name, counts, taken)
        taken.add(name)
        names[node.index] = name
    return names


def _author_name(program: Program, node: Node) -> str | None:
    if node is program.output and program.output_name:
        return program.output_name
    return program.names.get(node.index)


def _numbered(stem: str, counts: Counter[str], taken: set[str]) -> str:
    joint = "" if stem[-1].isalpha() or not stem[-1].isascii() else "_"
    while True:
        counts[stem] += 1
        name = f"{stem}{joint}{counts[stem]}"
        if name not in taken:
            return name


def _free_letter(taken: set[str]) -> str:
    """A letter for unnamed steps that no name of the author starts with, followed by a number."""
    for letter in "uvwpqrst":
        if not any(n == letter or (n.startswith(letter) and n[1:].isdigit()) for n in taken):
            return letter
    return "step"


def _group(root: Node, names: dict[int, str], roots: set[int], active: set[int]) -> Group:
    folded: list[Node] = []
    boundary: list[Node] = []
    args = [a for a in root.args if type(a) is Node]
    if len(args) == 1 and (args[0].index in roots or args[0].op is None):
        boundary = args  # by far the commonest case
    else:
        for node in ancestors(args, stop=roots):
            (boundary if node.index in roots or node.op is None else folded).append(node)
    moving = tuple([n for n in boundary if n.index in active])
    return Group(names[root.index], root, (*folded, root), tuple(boundary), moving)


def _shortened(groups: list[Group]) -> list[Group]:
    """A long outline with its middle folded into one step, where a single value leads out of it."""
    if len(groups) <= LONGEST:
        return groups
    cuts = _cuts(groups)
    first = next((c for c in cuts if c >= KEPT_AT_EACH_END), None)
    last = next((c for c in reversed(cuts) if c < len(groups) - KEPT_AT_EACH_END), None)
    if first is None or last is None or last - first < 2:
        return groups
    return [*groups[: first + 1], _merged(groups[first + 1 : last + 1]), *groups[last + 1 :]]


def _cuts(groups: list[Group]) -> list[int]:
    """Positions behind which only the step at that position is still used."""
    position = {g.root.index: i for i, g in enumerate(groups)}
    last_use = list(range(len(groups)))
    for i, group in enumerate(groups):
        for arg in group.args:
            if arg.index in position:
                last_use[position[arg.index]] = i
    cuts, open_until = [], 0
    for i in range(len(groups) - 1):
        if open_until <= i:
            cuts.append(i)
        open_until = max(open_until, last_use[i])
    return cuts


def _merged(groups: list[Group]) -> Group:
    """Several steps as one; its value is that of the last."""
    inside = {g.root.index for g in groups}
    args = {a.index: a for g in groups for a in g.args if a.index not in inside}
    active = {a.index for g in groups for a in g.active}
    return Group(
        groups[-1].name,
        groups[-1].root,
        tuple(m for g in groups for m in g.members),
        tuple(args.values()),
        tuple(a for a in args.values() if a.index in active),
        folded=True,
    )


def flows(group: Group, arg: Node) -> bool:
    """Whether a derivative passes from an argument into a step at all."""
    return any(
        a is arg and n.op is not None and not isinstance(n.op.edge(i), Flat)
        for n in group.members
        for i, a in enumerate(n.args)
    )
