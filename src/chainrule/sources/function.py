"""From a Python function to a program: traced once, with the names and lines of its source."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from chainrule.errors import NotDifferentiableError
from chainrule.graph.node import Graph, Node
from chainrule.graph.tape import Tape, Traced
from chainrule.sources.arguments import Arguments, bound, described
from chainrule.sources.names import Origins, Place
from chainrule.sources.program import Program
from chainrule.tree import leaves

Point = dict[str, Any]


def trace_program(
    f: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    wrt: str | Sequence[str] | None = None,
) -> tuple[Program, Point, tuple[str, ...]]:
    """Run ``f`` once and keep what it computed.

    Args:
        f: A function of floats, arrays, or pytrees of them, with a scalar result.
        args: Its positional arguments.
        kwargs: Its keyword arguments.
        wrt: Names of parameters, of leaves (``params['W']``) or of elements (``W[0,1]``); the first
            parameter if ``None``.

    Returns:
        The program, the value of each input by name, and the inputs and elements asked for (which
        ``sources.elements.element`` tells apart).

    Raises:
        NotDifferentiableError: There is nothing to differentiate, or the result is not a scalar.
        ArgumentsError: The arguments do not fit ``f``.
    """
    arguments = bound(f, args, kwargs)
    point = dict(arguments.floats)
    names = tuple(e.name for e in arguments.chosen(wrt))
    origins = Origins()
    tape, result, inputs = arguments.run(point, origins)
    if any(np.iscomplexobj(r.value) for r in tape.records):
        raise NotDifferentiableError(
            f"{arguments.name} computes with complex numbers: their derivatives are not supported "
            "yet."
        )
    places = origins.resolve()
    if not isinstance(result, Traced):
        return _constant(arguments, result), point, names
    if np.shape(result.value) != ():
        raise NotDifferentiableError(_no_scalar(arguments, result.value))
    nodes, graph = _lifted(tape, inputs)
    operations = [r for r in tape.records if r.op is not None]
    located = dict(zip((nodes[r.index].index for r in operations), places, strict=True))
    program = Program(
        title=_title(arguments),
        graph=graph,
        output=nodes[result.index],
        output_name=_result_name(f, located, nodes[result.index], point),
        variables=tuple(point),
        names={i: p.name for i, p in located.items() if p.name is not None},
        places=located,
        values={nodes[r.index].index: r.value for r in tape.records if r.index in nodes},
        function=arguments.call,
        branches=lambda at: _branches(arguments, at, tape, nodes),
        given=_given(arguments),
    )
    return program, point, names


def _title(arguments: Arguments) -> str:
    return f"{arguments.name}({', '.join(arguments.named)})"


def _no_scalar(arguments: Arguments, result: Any) -> str:
    return (
        f"explain needs a function with a real scalar result, but {arguments.name} returned "
        f"{described(result)}.\nPick one element, or reduce it (np.sum, np.mean)."
    )


def _result_name(
    f: Callable[..., Any], located: Mapping[int, Place], output: Node, point: Point
) -> str | None:
    """What the result is called: the variable that was returned, else what the function is called.

    A function of one letter is an ``f`` of mathematics, whose value is a ``y``.
    """
    place = located.get(output.index)
    if place is not None and place.name is not None:
        return place.name
    name = getattr(f, "__name__", "")
    return name if len(name) > 1 and name.isidentifier() and name not in point else None


def _given(arguments: Arguments) -> dict[str, Any]:
    """The arrays of whole numbers and truth values among the arguments, by name."""
    return {
        name: leaf
        for parameter, tree in arguments.named.items()
        for name, leaf in leaves(tree, parameter)
        if isinstance(leaf, np.ndarray) and leaf.dtype.kind in "iub"
    }


def _lifted(tape: Tape, inputs: Mapping[str, Traced]) -> tuple[dict[int, Node], Graph]:
    """The records as graph nodes, one for one: what was written twice stays twice."""
    graph = Graph()
    nodes = {record.index: graph.input(name) for name, record in inputs.items()}
    for record in tape.records:
        if record.op is not None:
            args = tuple(
                nodes.get(a.index, a.value) if isinstance(a, Traced) else a for a in record.args
            )
            nodes[record.index] = Node(graph, record.op, args, record.attrs, "")
    return nodes, graph


def _branches(
    arguments: Arguments, at: Mapping[str, Any], tape: Tape, nodes: Mapping[int, Node]
) -> dict[int, Any]:
    """The conditions of every ``where``, and whether Python took the same way as on the tape."""
    point = {n: np.asarray(v)[()] for n, v in at.items()}
    with np.errstate(all="ignore"):
        try:
            again, _, _ = arguments.run(point)
        except (ArithmeticError, ValueError):
            return {}
    last = max(nodes)
    if [r.op for r in again.records] != [r.op for r in tape.records]:
        return {nodes[last].index: False}
    chosen = {
        nodes[r.index].index: r.args[0]
        for r in again.records
        if r.op is not None and r.op.name == "where"
    }
    return {**chosen, nodes[last].index: chosen.get(nodes[last].index, True)}


def _constant(arguments: Arguments, result: Any) -> Program:
    value = np.asarray(result)
    if value.shape != () or value.dtype.kind not in "fiu":
        raise NotDifferentiableError(_no_scalar(arguments, result))
    graph = Graph()
    return Program(
        _title(arguments), graph, float(value), None, tuple(arguments.floats),
        values={graph.input(name).index: x for name, x in arguments.floats.items()},
        function=arguments.call,
    )  # fmt: skip
