"""The explanation of single elements of arrays: a trace for each, checked along that element."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.explanations.check import check_element, coarsest
from chainrule.explanations.conventions import Remark, isolated_branches, remarks_at
from chainrule.explanations.explanation import Explanation
from chainrule.explanations.folds import Fold
from chainrule.explanations.idioms import Idiom, idioms_of
from chainrule.explanations.ledger import Routes
from chainrule.explanations.local import step_partials, step_value
from chainrule.explanations.outline import Group
from chainrule.explanations.solution import Check, Derivative, Partial, Step
from chainrule.explanations.trace import Trace, Walk, trace_of
from chainrule.graph.node import Graph, Node
from chainrule.graph.tape import dtype_of, shape_of
from chainrule.sources.elements import element
from chainrule.sources.program import Program

if TYPE_CHECKING:
    from chainrule.explanations.entry import Options

# A step of more operations than this is not written out.
LARGEST_STEP = 40


def is_traced(program: Program, at: Mapping[str, Any], wrt: Sequence[str], plain: bool) -> bool:
    """Whether single elements are asked for, or (plainly) numbers that arrays are computed from."""
    if any(name not in at for name in wrt):
        return True
    if not plain or program.values is None or any(np.ndim(at[name]) for name in wrt):
        return False
    return any(np.ndim(program.values.get(n.index, 0.0)) for n in program.graph.nodes)


def explain_elements(program: Program, at: Mapping[str, Any], options: Options) -> Explanation:
    """The explanation of a program that ran, with respect to elements of its inputs."""
    wrt = tuple(options.wrt or ())
    elements = [element(name, at) for name in wrt]
    walk = Walk(program, {e.leaf for e in elements if e is not None} | {n for n in wrt if n in at})
    fold: Fold = "primitives" if options.unfold else options.fold
    idioms = () if fold == "primitives" else idioms_of(program)
    traces = tuple(
        trace_of(program, e, walk, fold, idioms)
        for e in elements if e is not None
    )  # fmt: skip
    notes: dict[str, None] = {}
    checks = []
    for trace in traces:
        said = _Remarks(program, at, walk, trace)
        size = sum(int(np.size(v)) for v in walk.values.values())
        assert program.function is not None
        largest = float(np.max(np.abs(trace.gradient), initial=0.0))
        casts = [n for n in program.graph.nodes if n.op is not None and n.op.name == "astype"]
        inside = coarsest({n.index: walk.values[n.index] for n in casts if n.index in walk.values})
        checks.append(
            check_element(
                program.function, at, trace.element, float(trace.value), largest, size, inside, said
            )
            if isinstance(program.output, Node)
            else Check("verified", "a constant has derivative 0", 0.0)
        )
        notes |= dict.fromkeys(r.says for r in said.found)
    by_name = {t.variable: t for t in traces}
    return Explanation(
        title=program.title,
        result=traces[0].result,
        expression=None,
        inputs=dict(at),
        value=program.output if not isinstance(program.output, Node)
        else walk.values[program.output.index],
        steps=tuple(_steps(program, walk, traces[0], idioms)),
        derivatives=tuple(
            _derivative(program, walk, by_name[n]) if n in by_name
            else Derivative(n, walk.adjoint(program.graph.inputs[n]), None)
            for n in wrt
        ),
        check=_worst(checks),
        notes=tuple(notes),
        show_paths=options.paths,
        wrt=wrt,
        traces=traces,
        program=program,
    )  # fmt: skip


class _Remarks:
    """What has to be said of a point, found out when it is asked."""

    def __init__(self, program: Program, at: Mapping[str, Any], walk: Walk, trace: Trace) -> None:
        self.program, self.at, self.place = program, at, trace.element
        adjoints = {i: c[0] for i, c in walk.carried.items()}
        self.found: list[Remark] = remarks_at(walk.nodes, walk.values, trace.masks, adjoints)
        self._complete = False

    def __call__(self, further: bool) -> Sequence[Remark]:
        """All that is known; ``further``: also what takes more runs of the program."""
        if further and not self._complete:
            self._complete = True
            self.found += isolated_branches(self.program, self.at, [self.place.name])
        return self.found


def _worst(checks: Sequence[Check]) -> Check:
    """The verdict on all elements."""
    for outcome in ("failed", "not verifiable"):
        for check in checks:
            if check.outcome == outcome:
                return check
    return max(checks, key=lambda c: c.error or 0.0)


def _derivative(program: Program, walk: Walk, trace: Trace) -> Derivative:
    start = program.graph.inputs[trace.element.leaf]
    routes = Routes(
        trace.groups, trace.names, walk.values, start, program.output, trace.element.index
    )
    return Derivative(trace.variable, trace.value, None, routes=routes if trace.groups else None)


def _steps(program: Program, walk: Walk, trace: Trace, idioms: Sequence[Idiom]) -> list[Step]:
    """The steps of a trace, as arrays."""
    graph = Graph()
    known = {i.root.index: i for i in idioms}
    found = []
    for group in trace.groups:
        place = program.places.get(group.root.index)
        rows = [r for r in trace.rows if r.group is group]
        found.append(
            Step(
                group.name,
                _expression(group, trace.names, graph),
                walk.values[group.root.index],
                tuple(
                    Partial(
                        group.name, r.of, r.expression, r.value if np.ndim(r.value) == 0 else None,
                        None if r.structure is None or np.ndim(r.value) == 0 else r.structure,
                    )
                    for r in rows
                ),
                trace.adjoints[group.root.index],
                line=place.line if place else None,
                source=place.source if place else None,
                count=len(group.members),
                known=_known(group, known.get(group.root.index), trace.names, graph),
                dense=_Dense(group, walk.values, trace.names),
            )
        )  # fmt: skip
    return found


def _expression(group: Group, names: Mapping[int, str], graph: Graph) -> Any:
    """The step as it was written, in the names of its arguments."""
    if len(group.members) > LARGEST_STEP:
        return None
    symbols = {a.index: graph.input(names[a.index]) for a in group.args}
    made = step_value(group, symbols, graph)
    return made if isinstance(made, Node) else None


def _known(group: Group, idiom: Idiom | None, names: Mapping[int, str], graph: Graph) -> Any:
    """A step as the known function that it is, of values that have a name."""
    if idiom is None or len(group.members) < 2 or idiom.scale != 1.0:
        return None
    nodes = [a.node for a in idiom.arguments]
    if any(n is None or n.index not in names for n in nodes):
        return None
    return idiom.expression(graph, names)


class _Dense:
    """The dense local Jacobian of a step, one row after the other."""

    __slots__ = ("group", "names", "values")

    def __init__(self, group: Group, values: Mapping[int, Any], names: Mapping[int, str]) -> None:
        self.group, self.values, self.names = group, values, names

    def __call__(self, of: str | None) -> Any:
        by_name = {self.names[a.index]: a for a in self.group.active}
        arg = (
            next(iter(by_name.values()))
            if of is None and len(by_name) == 1
            else by_name.get(of or "")
        )
        if arg is None:
            raise KeyError(f"{self.group.name} does not depend on {of!r}: {', '.join(by_name)}")
        out, like = self.values[self.group.root.index], self.values[arg.index]
        rows = np.zeros((int(np.size(out)), *shape_of(like)), dtype_of(like))
        for i in range(len(rows)):
            seed = np.zeros(shape_of(out), dtype_of(out))
            seed.flat[i] = 1.0
            found = step_partials(self.group, self.values, seed[()]).get(arg.index)
            if found is not None:
                rows[i] = found[0]
        return rows.reshape((*shape_of(out), *shape_of(like)))[()]
