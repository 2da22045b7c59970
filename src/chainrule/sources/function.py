"""From a Python function to a program: traced once, with the names and lines of its source."""

from __future__ import annotations

import difflib
import inspect
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from chainrule.errors import ArgumentsError, NotDifferentiableError
from chainrule.graph.node import Graph, Node
from chainrule.graph.tape import Tape, Traced, running
from chainrule.sources.elements import chosen
from chainrule.sources.names import Origins, Place
from chainrule.sources.program import Program
from chainrule.tree import leaves, map_leaves

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
    bound = _bound(f, args, kwargs)
    point = _inputs(bound)
    asked = next(iter(bound), "") if wrt is None else wrt
    names = chosen(asked, point, lambda name: _no_input(f, bound, point, name))
    origins = Origins()
    tape, result, inputs = _run(f, bound, point, origins)
    if any(np.iscomplexobj(r.value) for r in tape.records):
        raise NotDifferentiableError(
            f"{_name(f)} computes with complex numbers: their derivatives are not supported yet."
        )
    places = origins.resolve()
    if not isinstance(result, Traced):
        return _constant(f, result, bound, point), point, names
    if np.shape(result.value) != ():
        raise NotDifferentiableError(
            f"explain needs a function with a scalar result, but {_name(f)} returned an array of "
            f"shape {np.shape(result.value)}.\nPick one element, or reduce it (np.sum, np.mean)."
        )
    nodes, graph = _lifted(tape, inputs)
    operations = [r for r in tape.records if r.op is not None]
    located = dict(zip((nodes[r.index].index for r in operations), places, strict=True))
    program = Program(
        title=f"{_name(f)}({', '.join(bound)})",
        graph=graph,
        output=nodes[result.index],
        output_name=_result_name(f, located, nodes[result.index], point),
        variables=tuple(point),
        names={i: p.name for i, p in located.items() if p.name is not None},
        places=located,
        values={nodes[r.index].index: r.value for r in tape.records if r.index in nodes},
        function=lambda at: _call(f, _arguments(bound, at)),
        branches=lambda at: _branches(f, bound, at, tape, nodes),
        given=_given(bound),
    )
    return program, point, names


def _result_name(
    f: Callable[..., Any], located: Mapping[int, Place], output: Node, point: Point
) -> str | None:
    """What the result is called: the variable that was returned, else what the function is called.

    A function of one letter is an ``f`` of mathematics, whose value is a ``y``.
    """
    place = located.get(output.index)
    if place is not None and place.name is not None:
        return place.name
    name = _name(f)
    return name if len(name) > 1 and name.isidentifier() and name not in point else None


def _name(f: Callable[..., Any]) -> str:
    return getattr(f, "__name__", "f").replace("<lambda>", "f")


def _bound(f: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments by parameter name, with those defaults that are numbers: they have names, too."""
    signature = _signature(f)
    if signature is None:
        names = (f"x{i + 1}" if len(args) > 1 else "x" for i in range(len(args)))
        return {**dict(zip(names, args, strict=True)), **kwargs}
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError as error:
        raise ArgumentsError(
            f"the arguments do not fit {_name(f)}{signature}: {error}.\n"
            "Give a value for each parameter, by its name."
        ) from error
    given = set(bound.arguments)
    bound.apply_defaults()
    return {
        name: value for name, value in bound.arguments.items()
        if name in given or _inputs({name: value})
    }  # fmt: skip


def _signature(f: Callable[..., Any]) -> inspect.Signature | None:
    """The parameters of ``f``; ``None`` for ufuncs and built-ins, which have none to show."""
    if isinstance(f, np.ufunc):
        return None
    try:
        return inspect.signature(f)
    except ValueError:
        return None


def _call(f: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    """``f`` of arguments by name, positional where they have to be."""
    signature = _signature(f)
    if signature is None:
        return f(*arguments.values())
    bound = inspect.BoundArguments(signature, OrderedDict(arguments))
    return f(*bound.args, **bound.kwargs)


def _arguments(bound: Mapping[str, Any], at: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments with the named leaves replaced."""
    replaced = {}
    for parameter, tree in bound.items():
        names = iter([name for name, _ in leaves(tree, parameter)])
        replaced[parameter] = map_leaves(lambda leaf, n=names: at.get(next(n), leaf), tree)
    return replaced


def _inputs(bound: Mapping[str, Any]) -> Point:
    """Every floating-point leaf of the arguments, by name."""
    point = {}
    for parameter, tree in bound.items():
        for name, leaf in leaves(tree, parameter):
            if isinstance(leaf, bool | int | str):
                continue
            array = np.asarray(leaf)
            if array.dtype.kind == "f":
                point[name] = array[()]
    return point


def _given(bound: Mapping[str, Any]) -> dict[str, Any]:
    """The arrays of whole numbers and truth values among the arguments, by name."""
    return {
        name: leaf
        for parameter, tree in bound.items()
        for name, leaf in leaves(tree, parameter)
        if isinstance(leaf, np.ndarray) and leaf.dtype.kind in "iub"
    }


def _no_input(f: Callable[..., Any], bound: Mapping[str, Any], point: Point, name: str) -> str:
    base = name.partition("[")[0].partition(".")[0]
    floats = any(n == base or n.startswith((f"{base}[", f"{base}.")) for n in point)
    if base in bound and not floats:
        value = bound[base]
        it = repr(value)
        if isinstance(value, np.ndarray):
            it = f"an array of {value.dtype} of shape {value.shape}"
        return (
            f"cannot differentiate {_name(f)} with respect to {name}: {base} is {it}, and a "
            "derivative needs floats.\nPass a float: 1.0 instead of 1, or x.astype(float)."
        )
    close = difflib.get_close_matches(name, point, 1)
    hint = (
        f"Did you mean {close[0]!r}?" if close else f"Its inputs are: {', '.join(point) or 'none'}."
    )
    return f"{_name(f)} has no parameter {name!r}. {hint}"


def _run(
    f: Callable[..., Any], bound: Mapping[str, Any], point: Point, origins: Origins | None
) -> tuple[Tape, Any, dict[str, Traced]]:
    tape = Tape(origins)
    inputs = {name: tape.input(value) for name, value in point.items()}
    try:
        with running(tape):
            # The function has handles of its own, which it may assign to.
            result = _call(f, _arguments(bound, {n: x.alias() for n, x in inputs.items()}))
    finally:
        if origins is not None:
            origins.release()
    return tape, result, inputs


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
    f: Callable[..., Any],
    bound: Mapping[str, Any],
    at: Mapping[str, Any],
    tape: Tape,
    nodes: Mapping[int, Node],
) -> dict[int, Any]:
    """The conditions of every ``where``, and whether Python took the same way as on the tape."""
    point = {n: np.asarray(v)[()] for n, v in at.items()}
    with np.errstate(all="ignore"):
        try:
            again, _, _ = _run(f, bound, point, None)
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


def _constant(
    f: Callable[..., Any], result: Any, bound: Mapping[str, Any], point: Point
) -> Program:
    value = np.asarray(result)
    if value.shape != () or value.dtype.kind not in "fiu":
        raise NotDifferentiableError(
            f"explain needs a function with a real scalar result, but {_name(f)} returned "
            f"{type(result).__name__}."
        )
    graph = Graph()
    return Program(
        f"{_name(f)}({', '.join(bound)})", graph, float(value), None, tuple(point),
        values={graph.input(name).index: x for name, x in point.items()},
        function=lambda at: _call(f, _arguments(bound, at)),
    )  # fmt: skip
