"""From a program to a worked solution: steps, local derivatives, their products, the answer.

Every derivative here comes from ``chain``: over numbers for the values, over symbols for the
expressions. This file names, orders and collects.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.chain import forward, reverse
from chainrule.explanations.conventions import Remark, isolated_branches, remarks
from chainrule.explanations.ledger import Routes, unbranched
from chainrule.explanations.local import step_partials, step_value, unchanged
from chainrule.explanations.outline import Group, Outline, flows, outline
from chainrule.explanations.simplify import simplified
from chainrule.explanations.solution import Derivative, Line, Mode, Partial, Path, Step
from chainrule.graph.node import PI, Graph, Node, ancestors
from chainrule.graph.rational import rational
from chainrule.graph.rewriting import exact, tidy
from chainrule.graph.tape import Tape, Traced, shape_of
from chainrule.notation.numbers import text_count
from chainrule.run.interpreter import CONSTANTS, evaluate, evaluate_all
from chainrule.sources.program import Program

# A derivation writes the sum over paths out for up to this many paths.
PATHS_WRITTEN_OUT = 4
# A sum over more paths than this has no short form that could be found in time.
PATHS_SIMPLIFIED = 10_000
# Steps of more operations than this have numbers but no expressions.
LARGEST_STEP = 1000


@dataclass(slots=True, eq=False)
class Work:
    """A program on the bench: its outline, its values, and its derivatives.

    ``adjoints`` and ``tangents`` are numbers, ``gradient`` is the derivative's own graph of symbols
    (``None`` for programs with arrays).
    """

    program: Program
    outline: Outline
    wrt: tuple[str, ...]
    at: Mapping[str, Any] | None
    values: Mapping[int, Any] | None
    mode: Mode
    adjoints: Mapping[int, Any]
    tangents: Mapping[str, Mapping[int, Any]]
    remarks: tuple[Remark, ...]
    gradient: Mapping[str, Any] | None

    @property
    def result(self) -> str:
        """The name of the result's step."""
        return self.outline.steps[-1].name if self.outline.steps else "y"


def prepare(
    program: Program,
    wrt: tuple[str, ...],
    at: Mapping[str, Any] | None,
    values: Mapping[int, Any] | None,
    mode: Mode,
    unfold: bool,
) -> Work:
    """Fold the program into steps and differentiate it at the point, if there is one."""
    folded = outline(program, wrt, unfold)
    gradient = symbolic_gradient(program, wrt) if scalar_program(program, values) else None
    if at is None or values is None:
        return Work(program, folded, wrt, None, None, mode, {}, {}, (), gradient)
    adjoints, tangents = _accumulate(program, wrt, values, mode)
    said = _remarks(program, folded, wrt, at, values)
    return Work(program, folded, wrt, at, values, mode, adjoints, tangents, said, gradient)


def steps_of(work: Work) -> list[Step]:
    """Every step with its expression, value and local derivatives."""
    graphs = Graph(), Graph(tidy)  # the steps as written, their derivatives as people write them
    noted = _notes(work)
    return [_step(work, group, graphs, noted) for group in work.outline.steps]


def _step(
    work: Work,
    group: Group,
    graphs: tuple[Graph, Graph],
    noted: Mapping[int, list[str]],
) -> Step:
    index = group.root.index
    place = work.program.places.get(index)
    notes: tuple[str, ...] = ()
    if noted:
        members = sorted({n.index for n in group.members})
        notes = tuple(says for i in members for says in noted.get(i, ()))
    return Step(
        group.name,
        _expression(work, group, graphs[0]),
        None if work.values is None else work.values[index],
        _partials(work, group, graphs[1]),
        work.adjoints.get(index),
        {name: reached[index] for name, reached in work.tangents.items() if index in reached},
        place.line if place else None,
        place.source if place else None,
        notes,
        len(group.members),
    )


def _symbols(work: Work, group: Group, graph: Graph) -> dict[int, Any]:
    """A symbol for each argument of a step: the step's own name, or the parameter's."""
    return {a.index: graph.input(work.outline.names.get(a.index, a.name)) for a in group.args}


def _written_out(group: Group) -> bool:
    return not group.folded and len(group.members) <= LARGEST_STEP


def _expression(work: Work, group: Group, graph: Graph) -> Any:
    if not _written_out(group):
        return None
    return step_value(group, _symbols(work, group, graph), graph)


def _partials(work: Work, group: Group, graph: Graph) -> tuple[Partial, ...]:
    """The local derivative with respect to each argument, as an expression and as a number."""
    symbols: Mapping[int, Any] = {}
    if _written_out(group) and _elementwise(group):
        symbols = step_partials(group, _symbols(work, group, graph), graph=graph)
    numbers: Mapping[int, Any] = {}
    scalar = work.values is None or _is_scalar(group, work.values)
    if work.values is not None and scalar:
        numbers = step_partials(group, work.values, np.float64(1.0))
    structure = None if scalar or group.root.op is None else group.root.op.structure
    return tuple(
        [
            _partial(work, group, arg, symbols.get(arg.index), numbers.get(arg.index), structure)
            for arg in group.active
            if arg.index in symbols
            or arg.index in numbers
            or ((structure or not _written_out(group)) and flows(group, arg))
        ]
    )


def _elementwise(group: Group) -> bool:
    for node in group.members:  # noqa: SIM110 - asked of every step: a generator takes twice as long
        if node.op is None or not node.op.elementwise:
            return False
    return True


def _partial(
    work: Work, group: Group, arg: Node, symbol: Any, number: Any, structure: str | None
) -> Partial:
    return Partial(
        group.name,
        work.outline.names[arg.index],
        None if symbol is None else symbol[0],
        None if number is None else number[0],
        structure,
        number is not None and number[1] is not None and not np.any(number[1]),
    )


def _is_scalar(group: Group, values: Mapping[int, Any]) -> bool:
    for node in (group.root, *group.args):
        value = values.get(node.index)
        if type(value) is not np.float64 and value is not None and shape_of(value) != ():
            return False
    return True


def _accumulate(
    program: Program,
    wrt: Sequence[str],
    values: Mapping[int, Any],
    mode: Mode,
) -> tuple[dict[int, Any], dict[str, dict[int, Any]]]:
    """∂result/∂node backward, or ∂node/∂variable forward, by the node's index."""
    tape = Tape()
    records = recorded(tape, program.output, wrt, values, unchanged)
    if mode == "forward":
        starts = {n.name: records.get(n.index) for n in program.graph.inputs.values()}
        return {}, {
            name: _by_node(records, forward(tape.records, _seed(starts.get(name)))) for name in wrt
        }
    output = records.get(program.output.index) if isinstance(program.output, Node) else None
    if output is None:
        return {}, {}
    return _by_node(records, reverse(tape.records, _seed(output), keep=True)), {}


def recorded(
    tape: Tape,
    output: Any,
    wrt: Sequence[str],
    values: Mapping[int, Any],
    constant: Callable[[Any], Any],
) -> dict[int, Traced]:
    """What a run would record, made from the values that are known already.

    Args:
        tape: Takes the records.
        output: The result of the program.
        wrt: The inputs to trace.
        values: The value of every node: numbers, or symbols of another graph.
        constant: What a constant of the program is beside those values.

    Returns:
        The record of every node that depends on the traced inputs, by the node's index.
    """
    records: dict[int, Traced] = {}
    for node in ancestors([output]):
        if node.op is None:
            if node.name in wrt:
                records[node.index] = Traced(tape, values[node.index])
        elif node.op.recorded:
            args: list[Any] = []
            active = False
            for arg in node.args:
                if not isinstance(arg, Node):
                    args.append(constant(arg))
                elif arg.index in records:
                    args.append(records[arg.index])
                    active = True
                else:
                    args.append(values[arg.index])
            if active:
                record = Traced(tape, values[node.index], node.op, tuple(args), node.attrs)
                records[node.index] = record
    return records


def _seed(record: Traced | None) -> dict[int, Any]:
    if record is None:
        return {}
    value = record.value
    one = np.float64(1.0) if type(value) is np.float64 else np.ones_like(value)[()]
    return {record.index: (one, None)}


def _by_node(records: Mapping[int, Traced], found: Mapping[int, Any]) -> dict[int, Any]:
    return {i: found[r.index][0] for i, r in records.items() if r.index in found}


def _notes(work: Work) -> dict[int, list[str]]:
    noted: dict[int, list[str]] = {}
    for remark in work.remarks:
        noted.setdefault(remark.node, []).append(remark.says)
    return noted


def _remarks(
    program: Program,
    folded: Outline,
    wrt: tuple[str, ...],
    at: Mapping[str, Any],
    values: Mapping[int, Any],
) -> tuple[Remark, ...]:
    """Every convention used at this point."""
    active = {n.index for g in folded.steps for n in g.members}
    return (*remarks(program, values, active), *isolated_branches(program, at, wrt))


def derivatives_of(work: Work, steps: Sequence[Step], simplify: bool) -> tuple[Derivative, ...]:
    """The derivative with respect to each variable, derived line by line."""
    substitution = _substitution(work)
    return tuple(
        _derivative(work, routes_of(work, steps, v), substitution, v, simplify) for v in work.wrt
    )


def routes_of(work: Work, steps: Sequence[Step], variable: str) -> Routes | None:
    """The paths to a variable, over the steps that are shown unless folding hides some of them."""
    start = work.program.graph.inputs.get(variable)
    if start is None:
        return None
    shown, full = work.outline.steps, work.outline.groups
    folded = any(g.folded for g in shown) and not unbranched(full, start)
    local = {s.name: s.partials for s in steps}
    if folded:
        for group in shown:
            if group.folded:
                local.pop(group.name)
    return Routes(
        full if folded else shown, work.outline.names, work.values, start, work.program.output,
        (), local,
    )  # fmt: skip


def _derivative(
    work: Work,
    routes: Routes | None,
    substitution: Mapping[str, Any] | None,
    variable: str,
    simplify: bool,
) -> Derivative:
    value = _gradient(work, variable)
    full = None if work.gradient is None else work.gradient[variable]
    few: Sequence[Path] = ()  # all of them, if they are few
    answer, remark = full, None
    if full is not None and routes is not None:
        if routes.count <= PATHS_WRITTEN_OUT:
            few = routes.ledger().listed
        if simplify and routes.count > PATHS_SIMPLIFIED:
            remark = f"not simplified: it is a sum over {text_count(routes.count)} paths"
    if simplify and full is not None and remark is None:
        answer, remark = simplified(full)
    lines: list[Line] = []
    if few and all(p.factors and p.expression is not None for p in few):
        lines = _lines(few, substitution)
    if answer is not None:
        reason = "simplify" if simplify and remark is None else "the answer"
        lines.append(Line(reason, ((answer,),), closed=True))
    return Derivative(variable, value, answer, tuple(lines), remark, routes)


def _lines(paths: Sequence[Any], substitution: Mapping[str, Any] | None) -> list[Line]:
    """Name the factors, put their expressions in, put the steps' own expressions in."""
    local = Line(
        "each local derivative", tuple(tuple(f.expression for f in p.factors) for p in paths)
    )
    if len(paths) == len(paths[0].factors) == 1:
        return [local]
    rule = (
        "multiply the local derivatives"
        if len(paths) == 1
        else "multiply along paths, add over them"
    )
    lines = [Line(rule, tuple(p.factors for p in paths)), local]
    if substitution is not None:
        graph = substitution[PI].graph
        factors = [f.expression for p in paths for f in p.factors]
        closed = iter(evaluate(factors, substitution, graph))
        terms = tuple(tuple(next(closed) for _ in p.factors) for p in paths)
        lines.append(Line("in terms of the variables", terms, closed=True))
    return lines


def _substitution(work: Work) -> dict[str, Any] | None:
    """Each step's name with its expression in the inputs alone; ``None`` if there is none."""
    if work.gradient is None:
        return None
    # In the graph of the gradient: what the lines have in common with it is there already.
    graph = next((e.graph for e in work.gradient.values() if isinstance(e, Node)), Graph(exact))
    env: dict[int, Any] = {}
    named: dict[str, Any] = {name: graph.input(name) for name in CONSTANTS}
    for group in work.outline.steps:
        for arg in group.args:
            if arg.op is None:
                env[arg.index] = named[arg.name] = graph.input(arg.name)
        env[group.root.index] = named[group.name] = step_value(group, env, graph)
    return named


def scalar_program(program: Program, values: Mapping[int, Any] | None) -> bool:
    """Whether the program is small, elementwise and made of scalars, so that it is a formula."""
    nodes = ancestors([program.output])
    return len(nodes) <= 2000 and all(
        (n.op is None or n.op.elementwise)
        and (values is None or shape_of(values.get(n.index, 0.0)) == ())
        for n in nodes
    )


def symbolic_gradient(program: Program, wrt: Sequence[str]) -> dict[str, Any]:
    """The derivative's own graph: reverse mode run over symbols.

    Returns:
        An expression in the inputs for each variable (0.0 where nothing depends on it).
    """
    graph = Graph(exact)
    tape = Tape()
    symbols = {n.name: graph.input(n.name) for n in ancestors([program.output]) if n.op is None}
    values = evaluate_all([program.output], symbols, graph)
    records = recorded(tape, program.output, wrt, values, rational)
    found: Mapping[int, Any] = {}
    if isinstance(program.output, Node) and program.output.index in records:
        found = reverse(tape.records, {records[program.output.index].index: (1.0, None)})
    reached = {
        n.name: found[records[n.index].index][0]
        for n in program.graph.inputs.values()
        if n.index in records and records[n.index].index in found
    }
    return {n: reached.get(n, 0.0) for n in wrt}


def _gradient(work: Work, variable: str) -> Any:
    """The gradient's value from the accumulation over the tape; zero where nothing arrives."""
    if work.at is None:
        return None
    output, node = work.program.output, work.program.graph.inputs.get(variable)
    if work.mode == "forward":
        found = work.tangents[variable].get(output.index) if isinstance(output, Node) else None
    else:
        found = work.adjoints.get(node.index) if node is not None else None
    return np.zeros_like(work.at[variable])[()] if found is None else found
