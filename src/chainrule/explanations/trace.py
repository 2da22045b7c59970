"""The gradient trace: from the result through the user's own variables to one element of an input.

The computation ran once; one walk back over its edges gives every cotangent, as for any gradient.
The trace *reads* that walk: which elements of each value the chosen element can move, the local
derivative between these, and how the products of both add up. Each row's numbers are held against
the walk before they are shown.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from chainrule.chain.edges import Carried, factor, pull
from chainrule.chain.modes import add_path
from chainrule.chain.quiet import quietly
from chainrule.explanations.entries import step_entries
from chainrule.explanations.folds import Fold, folded
from chainrule.explanations.idioms import Idiom
from chainrule.explanations.local import step_partials
from chainrule.explanations.moving import Box, box_of, moving
from chainrule.explanations.outline import Group, flows
from chainrule.explanations.readable import decided, readable
from chainrule.explanations.subscripts import (
    Local,
    Terms,
    local_derivative,
    normalising_derivative,
    numbers_of,
    subscripted,
)
from chainrule.graph.node import Graph, Node, ancestors
from chainrule.graph.primitive import Flat, Primitive, Scale
from chainrule.graph.rewriting import tidy
from chainrule.graph.tape import dtype_of, shape_of
from chainrule.rules import BOOK
from chainrule.rules.reductions import reduced_axes
from chainrule.run.interpreter import evaluate, numpy_number
from chainrule.sources.elements import Element
from chainrule.sources.program import Program

# Of many terms, this many of the largest are shown.
LARGEST = 3
# Of steps with more numbers than this, the slopes that have no short form are not worked out.
_LARGEST_COLUMN = 20_000
# A row's own arithmetic and the walk may differ by rounding: relative, for float64 and float32.
_AGREE = {8: 1e-9, 4: 2e-3, 2: 0.1}


@dataclass(frozen=True, slots=True, eq=False)
class Addend:
    """What arrives at a value through one step: ∂L/∂step · ∂step/∂value.

    Attributes:
        step: The step's element, as a name: ``z2[i,j]``.
        of: The value's element.
        summed: The letters of the step that are summed over.
        adjoint: ∂L/∂step: a number, or an array over the step's moving elements.
        slope: ∂step/∂value, where that is a number.
        value: The contribution: a number, or an array over the value's moving elements.
        held: Other arguments of the step that the value reaches too, and that are held fixed.
    """

    step: str
    of: str
    summed: tuple[str, ...]
    adjoint: Any
    slope: Any
    value: Any
    held: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Largest:
    """One of the largest terms of a sum: where it stands, and its two factors."""

    place: tuple[int, ...]
    adjoint: float
    slope: float


@dataclass(frozen=True, slots=True, eq=False)
class TraceRow:
    """One row: a local derivative, or what has been accumulated up to a value.

    Attributes:
        step: What is differentiated: a step's element for a local derivative, else the result.
        of: What it is differentiated with respect to.
        total: Whether the row accumulates (products, added over steps) or is a local derivative.
        expression: A local derivative as an expression of elements; ``None`` if it has no short
            form.
        summed: Letters that the expression is summed over.
        function: The name of the function whose derivative this is (σ, relu) in text and in LaTeX,
            and its argument.
        structure: The structure of the local Jacobian in a word.
        conditions: Comparisons that hold here and decide a derivative put together from pieces.
        numbers: The number of each symbol in ``expression`` and ``conditions``.
        addends: For a total, what it is the sum of.
        value: A number, or an array over the moving elements.
        letters: Where the letters of the row run: first number and the one behind the last.
        axes: The letters that the axes of an array ``value`` stand for, where they are known.
        shapes: The shapes of the step and the argument, of a local derivative without letters.
        terms: How many products are added up to a number.
        largest: The largest of these.
        held: Arguments that are held fixed, as in ``∂y/∂x|u``.
        line: Line number of the step in the user's source.
        group: The step that a local derivative belongs to.
    """

    step: str
    of: str
    total: bool
    value: Any
    expression: Any = None
    summed: tuple[str, ...] = ()
    function: tuple[tuple[str, str], str] | None = None
    structure: str | None = None
    conditions: tuple[Any, ...] = ()
    numbers: Mapping[str, Any] | None = None
    addends: tuple[Addend, ...] = ()
    letters: Mapping[str, tuple[int, int]] | None = None
    axes: tuple[str, ...] = ()
    shapes: tuple[tuple[int, ...], tuple[int, ...]] | None = None
    terms: int = 1
    largest: tuple[Largest, ...] = ()
    held: tuple[str, ...] = ()
    line: int | None = None
    group: Group | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Collapse:
    """Two steps that meet and whose slopes simplify together: BCE and σ leave ŷ − y.

    Attributes:
        step: The outer step; ``of`` is the value before the inner one.
        of: What it is differentiated with respect to.
        says: What happens, in words.
        lines: Each an expression that equals the one before, and the reason.
        value: The derivative.
    """

    step: str
    of: str
    says: str
    lines: tuple[tuple[Any, str], ...]
    value: Any


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """From the result to one element of an input, step by step.

    Attributes:
        variable: The element: ``W1[0,0]``.
        element: The same as the name of the input and the place in it.
        result: The name of the result.
        rows: The table, from the result on.
        value: The derivative with respect to the element.
        gradient: The derivative with respect to the whole input.
        groups: The steps in order, as the operations they stand for.
        names: What each step and input is called, by the node's index.
        adjoints: The derivative of the result with respect to each step, by the node's index.
        boxes: Which elements of each step the element moves, as a block.
        masks: The same of every operation, element by element.
        collapses: Steps on the way whose slopes simplify together.
    """

    variable: str
    element: Element
    result: str
    rows: tuple[TraceRow, ...]
    value: Any
    gradient: Any
    groups: tuple[Group, ...]
    names: Mapping[int, str]
    adjoints: Mapping[int, Any]
    boxes: Mapping[int, Box]
    masks: Mapping[int, Any]
    collapses: tuple[Collapse, ...] = ()

    @property
    def chain(self) -> bool:
        """Whether every value on the way is one element, so that the slopes just multiply."""
        local = [r for r in self.rows if not r.total]
        return all(r.terms == 1 and np.ndim(r.value) == 0 for r in local)


class Walk:
    """One walk back over a program: the cotangent of every value, and what each edge carries.

    Args:
        program: A computation that ran.
        sources: The inputs that it leads to.
    """

    def __init__(self, program: Program, sources: Collection[str]) -> None:
        assert program.values is not None
        self.program, self.values = program, program.values
        self.nodes = ancestors([program.output])
        self.dependent = _dependent(self.nodes, sources)
        self.carried: dict[int, Carried] = {}
        self.users: dict[int, int] = {}
        # What arrives over single edges, where it is not all that arrives: by user and argument.
        self.edges: dict[tuple[int, int], Carried] = {}
        if isinstance(program.output, Node) and program.output.index in self.dependent:
            with quietly():
                self._walk(program.output)

    def _walk(self, output: Node) -> None:
        values, carried, users = self.values, self.carried, self.users
        for node in self.nodes:
            if node.index in self.dependent:
                for arg in {a.index for a in node.args if type(a) is Node}:
                    users[arg] = users.get(arg, 0) + 1
        value = values[output.index]
        carried[output.index] = dtype_of(value).type(1.0), None
        for node in reversed(self.nodes):
            here, op = carried.get(node.index), node.op
            if here is None or op is None or not op.recorded:
                continue
            args = tuple([values[a.index] if type(a) is Node else a for a in node.args])
            out = values[node.index]
            joint = None if op.joint is None else op.joint.pull(here[0], args, out, node.attrs)
            for position, arg in enumerate(node.args):
                if type(arg) is not Node or arg.index not in self.dependent:
                    continue
                if joint is not None:
                    part = None if joint[position] is None else (joint[position], None)
                else:
                    part = pull(op, position, args, out, node.attrs, here, arg.op is not None)
                if part is not None:
                    add_path(carried, arg.index, part)
                    if users[arg.index] > 1:
                        add_path(self.edges, (node.index, arg.index), part)  # type: ignore[arg-type]

    def adjoint(self, node: Node) -> Any:
        """The derivative of the result with respect to a value; zeros where nothing arrives."""
        found = self.carried.get(node.index)
        value = self.values[node.index]
        return np.zeros(shape_of(value), dtype_of(value))[()] if found is None else found[0]

    def through(self, group: Group, arg: Node) -> Any:
        """The part of an argument's adjoint that comes through one step."""
        if self.users.get(arg.index, 0) < 2:
            return self.adjoint(arg)
        found = [self.edges.get((n.index, arg.index)) for n in group.members]
        parts = [part[0] for part in found if part is not None]
        value = self.values[arg.index]
        return sum(parts[1:], parts[0]) if parts else np.zeros_like(value)[()]


def _dependent(nodes: Sequence[Node], sources: Collection[str]) -> set[int]:
    """The nodes that a derivative can flow into from one of the inputs."""
    found: set[int] = set()
    for node in nodes:
        if node.op is None:
            if node.name in sources:
                found.add(node.index)
        elif node.op.recorded and any(
            type(a) is Node and a.index in found and not isinstance(node.op.edge(i), Flat)
            for i, a in enumerate(node.args)
        ):
            found.add(node.index)
    return found


def trace_of(
    program: Program, element: Element, walk: Walk, fold: Fold = "variables",
    idioms: Sequence[Idiom] = (),
) -> Trace:  # fmt: skip
    """The trace from a program's result to one element of an input.

    Args:
        program: A computation that ran.
        element: The element.
        walk: The walk back over the program, to this input at least.
        fold: How far the steps are folded: to ``"variables"``, ``"functions"`` or
            ``"primitives"``.
        idioms: Known functions that the program writes out by hand.
    """
    values = walk.values
    start = program.graph.inputs[element.leaf]
    masks = moving(walk.nodes, values, start, element.index)
    active = set(masks) & _leading(walk.nodes, set(masks), program.output)
    groups = folded(program, active, fold, _wholes(program, idioms))
    names = {n.index: n.name for n in program.graph.inputs.values()}
    names |= {i: name for i, name in program.names.items() if i not in active}
    names |= {g.root.index: g.name for g in groups}
    boxes = {
        i: box_of(masks[i]) for i in (start.index, *(g.root.index for g in groups)) if i in masks
    }
    result = groups[-1].name if groups else program.output_name or "y"
    gradient = walk.adjoint(start)
    rows = _Rows(program, walk, groups, names, boxes, start, idioms).rows() if groups else []
    return Trace(
        element.name, element, result, tuple(rows),
        np.asarray(gradient)[element.index] if element.index else gradient,
        gradient, tuple(groups), names,
        {g.root.index: walk.adjoint(g.root) for g in groups}, boxes, masks,
        _collapses(idioms, names, boxes),
    )  # fmt: skip


def _collapses(
    idioms: Sequence[Idiom], names: Mapping[int, str], boxes: Mapping[int, Box]
) -> tuple[Collapse, ...]:
    """Pairs of known functions on the way whose slopes are simpler together, line by line."""
    found = []
    for idiom in idioms:
        if idiom.root.index not in boxes:
            continue
        remark = idiom.remark
        if remark is None or remark.inner is None or remark.of is None:
            continue
        if remark.of.index in boxes and len(remark.lines) > 1:
            lines = tuple(remark.expressions(Graph(tidy), names))
            step, of = names[idiom.root.index], names[remark.of.index]
            found.append(Collapse(step, of, remark.says, lines, remark.value))
    return tuple(found)


def _leading(nodes: Sequence[Node], among: set[int], output: Any) -> set[int]:
    """The nodes from which a derivative flows on to the result."""
    found = {output.index} if isinstance(output, Node) else set()
    for node in reversed(nodes):
        if node.index in found and node.op is not None and node.op.recorded:
            for i, a in enumerate(node.args):
                if type(a) is Node and a.index in among and not isinstance(node.op.edge(i), Flat):
                    found.add(a.index)
    return found


class _Rows:
    """Writes the rows, from the result on."""

    def __init__(
        self, program: Program, walk: Walk, groups: Sequence[Group], names: Mapping[int, str],
        boxes: Mapping[int, Box], start: Node, idioms: Sequence[Idiom],
    ) -> None:  # fmt: skip
        self.program, self.walk, self.groups = program, walk, groups
        self.idioms = {i.root.index: i for i in idioms}
        self.names, self.boxes, self.start = names, boxes, start
        self.values = walk.values
        self.result = groups[-1]
        self.users: dict[int, list[Group]] = {}
        self.above: dict[int, set[int]] = {}  # the roots that each root is computed from
        for group in groups:
            below: set[int] = set()
            for arg in group.active:
                below |= {arg.index, *self.above.get(arg.index, ())}
                if flows(group, arg):
                    self.users.setdefault(arg.index, []).insert(0, group)
            self.above[group.root.index] = below

    def rows(self) -> list[TraceRow]:
        """All rows."""
        found: list[TraceRow] = []
        for node in (*(g.root for g in reversed(self.groups[:-1])), self.start):
            users = self.users.get(node.index, [])
            pairs = [self._edge(group, node) for group in users]
            found += [row for row, _ in pairs]
            if any(group is not self.result for group in users) or len(users) > 1:
                found.append(self._total(node, pairs))
        return found

    # ------------------------------------------------------------------------- one local derivative

    def _edge(self, group: Group, arg: Node) -> tuple[TraceRow, Addend]:
        step_box, box = self.boxes[group.root.index], self.boxes[arg.index]
        local = self._normalising(group, arg) or local_derivative(
            group, arg, self.boxes, self.names, self.values, self.program.given
        )
        whole = self.walk.adjoint(group.root)
        adjoint = step_box.within(whole)
        part = box.within(self.walk.through(group, arg))
        ranges = {} if local is None else _ranges(local, step_box, box)
        block = None if local is None else _block(local, self.values, ranges)
        if getattr(block, "dtype", None) == np.bool_:  # 1 where a condition holds
            block = np.asarray(block, dtype=dtype_of(whole))[()]
        if local is not None:  # a single step may be reached by fewer elements than all together
            try:
                adjoint = np.asarray(whole)[_index(local.step, ranges)] if local.step else whole
            except IndexError:  # the rule that subscripts seemed to follow ends before the block
                block = None
        if local is not None and not self._agrees(local, block, ranges, adjoint, part):
            local = block = None
            adjoint = step_box.within(whole)
        held = self._held(group, arg)
        place = self.program.places.get(group.root.index)
        line = None if place is None else place.line
        if local is None:
            return self._unwritten(group, arg, adjoint, part, held, line)
        step, of = (
            subscripted(self.names[n.index], terms)
            for n, terms in ((group.root, local.step), (arg, local.of))
        )
        numbers = None if ranges else numbers_of(local.symbols, self.values)
        expression = local.expression
        conditions: tuple[Any, ...] = ()
        if numbers is not None:
            expression, conditions = decided(expression, numbers)
        free = {t.letter for t in local.step} - {t.letter for t in local.of}
        summed = tuple(t.letter for t in local.step if t.letter in free and t.letter is not None)
        terms = 1
        largest: tuple[Largest, ...] = ()
        if summed and not np.ndim(part):
            terms = int(np.size(adjoint))
            largest = _largest(local, block, ranges, adjoint)
        function = self._function(group, arg, local)
        if function is not None and function[1] is not None and numbers is not None:
            expression, numbers = (
                function[1],
                numbers_of({s.name: (n, t) for s, n, t in function[2]}, self.values),
            )
        open_: tuple[str, ...] = ()
        value: Any = block
        if ranges:  # a letter that it does not depend on is no axis
            sizes = dict(zip(ranges, np.shape(value), strict=True))
            open_ = tuple(c for c, n in sizes.items() if n > 1 or _alone(ranges[c]))
            value = np.reshape(value, [sizes[c] for c in open_])
        row = TraceRow(
            step, of, False, value if ranges else _carried_slope(block, adjoint, part),
            readable(expression), local.summed, None if function is None else function[0],
            _structure(group, step_box, box), conditions, numbers, letters=ranges, axes=open_,
            terms=terms, largest=largest, held=held, line=line, group=group,
        )  # fmt: skip
        slope = None if ranges else row.value
        return row, Addend(step, of, summed, adjoint, slope, part, held)

    def _unwritten(
        self, group: Group, arg: Node, adjoint: Any, part: Any, held: tuple[str, ...],
        line: int | None,
    ) -> tuple[TraceRow, Addend]:  # fmt: skip
        """An edge whose derivative is a number, or has a structure and no short form."""
        step_box, box = self.boxes[group.root.index], self.boxes[arg.index]
        step, of = (
            _slices(self.names[n.index], b) for n, b in ((group.root, step_box), (arg, box))
        )
        value: Any = None
        largest: tuple[Largest, ...] = ()
        if step_box.single and box.single:
            value = self._slope(group, arg)
        elif group is self.result:
            value = part  # the derivative of the result with respect to itself is 1
        elif box.single:
            value = self._column(group, arg)
            if value is not None:
                largest = _largest_of(value, adjoint, step_box)
        shapes = (
            np.shape(step_box.within(self.values[group.root.index])),
            np.shape(box.within(self.values[arg.index])),
        )
        row = TraceRow(
            step, of, False, value, structure=_structure(group, step_box, box), held=held,
            line=line, group=group, shapes=shapes,
            terms=step_box.size if box.single and not step_box.single else 1, largest=largest,
        )  # fmt: skip
        return row, Addend(step, of, (), adjoint, value, part, held)

    def _slope(self, group: Group, arg: Node) -> Any:
        """One number of a local Jacobian, by walking back over the step from one element."""
        value = self.values[group.root.index]
        seed = np.zeros(shape_of(value), dtype_of(value))
        seed[self.boxes[group.root.index].index] = 1.0
        alone = replace_active(group, arg)
        found = step_partials(alone, self.values, seed[()]).get(arg.index)
        if found is None:
            return np.float64(0.0)
        return self.boxes[arg.index].within(found[0])

    def _column(self, group: Group, arg: Node) -> Any:
        """How a single element moves all of a step, over the step's block; ``None`` if large."""
        box, place = self.boxes[group.root.index], self.boxes[arg.index]
        size = sum(int(np.size(self.values[n.index])) for n in group.members)
        if size > _LARGEST_COLUMN:
            return None
        flat = int(np.ravel_multi_index(place.index, place.shape)) if place.axes else 0
        entries = step_entries(group, self.values, {arg.index: np.array([flat])})
        column = np.zeros(box.shape)
        if entries is not None:
            column.flat[entries.rows] = entries.values
        return box.within(column)

    def _agrees(
        self, local: Local, block: Any, ranges: Mapping[str, tuple[int, int]], adjoint: Any,
        part: Any,
    ) -> bool:  # fmt: skip
        """Whether a row's own arithmetic gives what the walk has found."""
        mine = _contracted(local, block, ranges, adjoint)
        if mine is None or np.shape(mine) != np.shape(part):
            return False
        within = _AGREE.get(dtype_of(part).itemsize, 1e-9)
        with np.errstate(all="ignore"):
            scale = np.max(np.abs(part), initial=0.0)
            same = np.allclose(mine, part, rtol=within, atol=within * scale, equal_nan=True)
        return bool(same) or not np.all(np.isfinite(part))

    def _normalising(self, group: Group, arg: Node) -> Local | None:
        """The derivative of a softmax, if a step is one and nothing else."""
        op, idiom = group.root.op, self.idioms.get(group.root.index)
        name = ""
        axes: tuple[int, ...] = ()
        if len(group.members) == 1 and op is not None and op.name in _NORMALISING:
            name = op.name
            axes = reduced_axes(group.root.attrs.get("axis"), np.ndim(self.values[arg.index]))
        elif idiom is not None and idiom.name in _NORMALISING and _is_idiom_of(idiom, group, arg):
            name, axes = idiom.name, idiom.axes or ()
        if len(axes) != 1:
            return None
        axis = axes[0] % np.ndim(self.values[arg.index])
        return normalising_derivative(name, axis, group, arg, self.boxes, self.names, self.values)

    def _function(self, group: Group, arg: Node, local: Local) -> Named | None:
        """The function whose derivative an edge is, if it is a named one of a single value."""
        found = _primitive(group, arg)
        if found is None:
            idiom = self.idioms.get(group.root.index)
            if idiom is None or not idiom.function.elementwise:
                return None
            if not _is_idiom_of(idiom, group, arg):
                return None
            found = idiom.function
        of = subscripted(self.names[arg.index], local.of)
        sign = (found.notation.text, found.notation.latex), of
        graph, terms = Graph(tidy), local.step
        symbols = [
            (graph.input(subscripted(self.names[n.index], t)), n, t)
            for n, t in ((arg, local.of), (group.root, terms))
        ]
        edge = found.edge(0) if found.edges else None
        if not isinstance(edge, Scale):  # decided at the point
            return sign, None, ()
        return sign, factor(edge, (symbols[0][0],), symbols[1][0]), symbols

    def _held(self, group: Group, arg: Node) -> tuple[str, ...]:
        """Other arguments of a step that depend on this one: ``∂y/∂x|u`` is not all of dy/dx."""
        return tuple(
            self.names[a.index]
            for a in group.active
            if a is not arg and arg.index in self.above.get(a.index, ()) and flows(group, a)
        )

    # ---------------------------------------------------------------------------------- their sums

    def _total(self, node: Node, pairs: Sequence[tuple[TraceRow, Addend]]) -> TraceRow:
        box = self.boxes[node.index]
        addends = tuple(addend for _, addend in pairs)
        of = addends[0].of if len({a.of for a in addends}) == 1 else _slices(
            self.names[node.index], box
        )  # fmt: skip
        value = box.within(self.walk.adjoint(node))
        largest = pairs[0][0].largest if len(pairs) == 1 else ()
        terms = sum(row.terms for row, _ in pairs)
        letters: dict[str, tuple[int, int]] = {}
        for row, _ in pairs:
            letters |= row.letters or {}
        place = self.program.places.get(node.index)
        line = None if place is None else place.line
        return TraceRow(
            self.result.name, of, True, value, addends=addends, letters=letters, terms=terms,
            largest=largest, line=line,
        )  # fmt: skip


def replace_active(group: Group, arg: Node) -> Group:
    """The step with one argument that moves."""
    return replace(group, active=(arg,))


def _slices(name: str, box: Box) -> str:
    """A block of an array as Python writes it: ``a[:,0]``."""
    if box.whole and not box.single:
        return name
    parts = [
        str(a) if isinstance(a, int) else ":" if a == (0, size) else f"{a[0]}:{a[1]}"
        for a, size in zip(box.axes, box.shape, strict=True)
    ]
    return name + (f"[{','.join(parts)}]" if parts else "")


def _structure(group: Group, step: Box, of: Box) -> str:
    """The structure of a step's Jacobian in a word."""
    if step.single or of.single:
        return "number" if step.single and of.single else "row" if step.single else "column"
    words = [n.op.structure for n in group.members if n.op is not None and n.op.recorded]
    others = {w for w in words if w not in ("diagonal", "identity")}
    if not others:
        return "diagonal"
    return others.pop() if len(others) == 1 and len(words) <= 2 else "matrix"


Named = tuple[tuple[tuple[str, str], str], Any, Sequence[tuple[Node, Node, Terms]]]
_RELU = BOOK["relu"]


def _primitive(group: Group, arg: Node) -> Primitive | None:
    """The row that a step consists of, where it has a name to put a prime on."""
    op = group.root.op
    if len(group.members) != 1 or op is None or not any(a is arg for a in group.root.args):
        return None
    if op.name == "maximum":
        others = [a for a in group.root.args if a is not arg]
        zero = len(others) == 1 and not isinstance(others[0], Node) and not np.any(others[0])
        return _RELU if zero else None
    return op if op.name in ("relu", "sigmoid", "softplus", "gelu", "silu") else None


_NORMALISING = frozenset(("softmax", "log_softmax", "logsumexp"))


def _is_idiom_of(idiom: Idiom, group: Group, arg: Node) -> bool:
    """Whether a step is the idiom, and nothing else, of one value."""
    if idiom.scale != 1.0 or len(idiom.arguments) != 1:
        return False
    (only,) = idiom.arguments
    inside = {m.index for m in idiom.members}
    return (
        only.node is arg and only.factor == 1.0
        and all(m.index in inside or m is arg for m in group.members)
    )  # fmt: skip


def _wholes(program: Program, idioms: Sequence[Idiom]) -> dict[int, list[int]]:
    """Idioms none of whose inner values the author named: they are one step."""
    return {
        i.root.index: [m.index for m in i.members]
        for i in idioms
        if i.foldable and not any(m.index in program.names for m in i.members[:-1])
    }


def _alone(ends: tuple[int, int]) -> bool:
    """Whether a letter has one value."""
    return ends[1] - ends[0] == 1


def _carried_slope(written: Any, adjoint: Any, part: Any) -> Any:
    """The slope that the walk multiplied with, where what is written loses digits: 1 − tanh²."""
    if np.ndim(part) or adjoint == 0 or not np.isfinite(part):
        return numpy_number(written)
    with np.errstate(all="ignore"):
        carried = part / adjoint
        near = abs(carried - written) <= 4 * np.finfo(dtype_of(part)).eps * abs(carried)
    return numpy_number(written if near or not np.isfinite(carried) else carried)


# --------------------------------------------------------------------------- blocks of elements


def _ranges(local: Local, step: Box, of: Box) -> dict[str, tuple[int, int]]:
    """Where the letters of a local derivative run."""
    found: dict[str, tuple[int, int]] = {}
    for terms, box in ((local.of, of), (local.step, step)):
        for term, axis in zip(terms, box.axes, strict=True):
            if term.letter is not None and term.letter not in found:
                assert not isinstance(axis, int)
                ends = sorted((e - term.offset) // term.scale for e in (axis[0], axis[1] - 1))
                found[term.letter] = ends[0], ends[1] + 1
    return {c: found[c] for c in sorted(found)}


def _index(terms: Terms, ranges: Mapping[str, tuple[int, int]]) -> tuple[Any, ...]:
    """The elements that subscripts stand for, as an index with an axis for each letter."""
    found: list[Any] = []
    for term in terms:
        if term.letter is None:
            found.append(term.offset)
            continue
        first, behind = ranges[term.letter]
        found.append(np.arange(first, behind) * term.scale + term.offset)
    letters = [i for i, t in enumerate(terms) if t.letter is not None]
    for at, i in enumerate(letters):
        shape = [1] * len(letters)
        shape[at] = -1
        found[i] = found[i].reshape(shape)
    return tuple(found)


def _block(local: Local, values: Mapping[int, Any], ranges: Mapping[str, tuple[int, int]]) -> Any:
    """The local derivative for all values of its letters: one axis for each, in their order."""
    letters = dict(ranges)
    for _, terms in local.symbols.values():
        for axis, term in enumerate(terms):
            if term.letter is not None and term.letter not in letters:
                source = next(s for s, ts in local.symbols.values() if term in ts)
                whole = values[source.index] if isinstance(source, Node) else source
                letters[term.letter] = 0, shape_of(whole)[axis]
    order = list(letters)
    try:
        inputs = {
            name: _elements(values[s.index] if isinstance(s, Node) else s, terms, letters, order)
            for name, (s, terms) in local.symbols.items()
        }
        (found,) = evaluate([local.expression], inputs)
    except (IndexError, ValueError, TypeError):  # no elements, or no function of floats
        return None
    if local.summed:
        axes = tuple(order.index(c) for c in local.summed)
        width = tuple(b - a if c in local.summed else 1 for c, (a, b) in letters.items())
        found = (np.asarray(found) * np.ones(width)).sum(axis=axes)
    if not ranges:
        return numpy_number(found)
    # Letters that it does not depend on have an axis of length 1.
    return np.reshape(found, (1,) * (len(ranges) - np.ndim(found)) + np.shape(found))


def _elements(
    whole: Any, terms: Terms, letters: Mapping[str, tuple[int, int]], order: Sequence[str]
) -> Any:
    """The elements of an array that a symbol stands for, with an axis for each letter."""
    if not terms:
        return numpy_number(whole)
    index: list[Any] = []
    for term in terms:
        if term.letter is None:
            index.append(term.offset)
        else:
            first, last = letters[term.letter]
            places = term.scale * np.arange(first, last) + term.offset
            shape = [1] * len(order)
            shape[order.index(term.letter)] = len(places)
            index.append(places.reshape(shape))
    return np.asarray(whole)[tuple(index)]


def _contracted(
    local: Local, block: Any, ranges: Mapping[str, tuple[int, int]], adjoint: Any
) -> Any:
    """∂L/∂step · ∂step/∂of, summed over what the argument's element does not fix."""
    if block is None:
        return None
    mine = [t.letter for t in local.step if t.letter is not None]
    keep = [t.letter for t in local.of if t.letter is not None]
    if len(set(mine)) != len(mine) or len(set(keep)) != len(keep) or set(keep) - set(ranges):
        return None
    if not ranges:
        return adjoint * block
    letters = list(ranges)
    block = np.asarray(block)
    if not set(mine) <= set(letters) or np.ndim(adjoint) != len(mine) or block.ndim != len(letters):
        return None
    open_ = [c for c, size in zip(letters, block.shape, strict=True) if size > 1]
    found = [c for c in keep if c in mine or c in open_]
    total = np.einsum(
        np.asarray(adjoint), [letters.index(c) for c in mine],
        block.reshape([n for n in block.shape if n > 1]), [letters.index(c) for c in open_],
        [letters.index(c) for c in found], optimize=True,
    )  # fmt: skip
    # What does not depend on a letter of the argument is the same for all of its elements.
    shape = [1 if c not in found else total.shape[found.index(c)] for c in keep]
    sizes = [ranges[c][1] - ranges[c][0] for c in keep]
    return np.broadcast_to(total.reshape(shape), sizes)[()]


def _largest(
    local: Local, block: Any, ranges: Mapping[str, tuple[int, int]], adjoint: Any
) -> tuple[Largest, ...]:
    """The largest terms of a sum over the step's elements."""
    letters = list(ranges)
    order = [letters.index(t.letter) for t in local.step if t.letter is not None]
    slopes = np.transpose(np.asarray(block), order)
    slopes = np.broadcast_to(slopes, np.shape(adjoint))
    with np.errstate(all="ignore"):
        products = np.asarray(adjoint) * slopes
    sizes = np.nan_to_num(np.abs(products), nan=np.inf).ravel()
    count = sizes.size if sizes.size <= LARGEST + 1 else LARGEST
    places = np.argpartition(-sizes, count - 1)[:count]
    places = places[np.argsort(-sizes[places], kind="stable")]
    found = []
    for flat in places:
        at = tuple(int(i) for i in np.unravel_index(int(flat), products.shape))
        if products[at] == 0:
            continue
        offsets = [ranges[letters[axis]][0] for axis in order]
        index = _place(local.step, tuple(i + o for i, o in zip(at, offsets, strict=True)))
        found.append(Largest(index, np.asarray(adjoint)[at], slopes[at]))
    return tuple(found)


def _largest_of(slopes: Any, adjoint: Any, box: Box) -> tuple[Largest, ...]:
    """The largest terms of a sum over a block."""
    with np.errstate(all="ignore"):
        products = np.asarray(adjoint * slopes)
    sizes = np.nan_to_num(np.abs(products), nan=np.inf).ravel()
    count = sizes.size if sizes.size <= LARGEST + 1 else LARGEST
    order = np.argsort(-sizes, kind="stable")[:count]
    starts = [a if isinstance(a, int) else a[0] for a in box.axes]
    found = []
    for flat in order[sizes[order] > 0]:
        at = np.unravel_index(int(flat), products.shape)
        inside = iter(int(i) for i in at)
        place = tuple(
            s if isinstance(a, int) else s + next(inside)
            for s, a in zip(starts, box.axes, strict=True)
        )
        found.append(Largest(place, adjoint[at], slopes[at]))
    return tuple(found)


def _place(terms: Terms, at: Sequence[int]) -> tuple[int, ...]:
    """The place of a step's element for the numbers of its letters."""
    numbers = iter(at)
    return tuple(
        t.offset if t.letter is None else t.scale * next(numbers) + t.offset for t in terms
    )
