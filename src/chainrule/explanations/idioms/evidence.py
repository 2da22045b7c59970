"""Evidence: a form is only a candidate; what it is called has to be true of the numbers.

The value in the program is compared with the definition's. Where axes or truth values could agree
by chance at this one point, the operations are carried out at others too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.errors import ChainruleError
from chainrule.explanations.idioms.idiom import Argument
from chainrule.explanations.idioms.matching import AXES, SUM_AXES, Binding
from chainrule.explanations.idioms.table import Spelled
from chainrule.graph.node import Node
from chainrule.graph.tape import Tape, running, shape_of
from chainrule.run.interpreter import apply_node
from chainrule.sources.program import Program

# Larger regions are not computed again at random points.
_LARGEST_PROBE = 20_000
# The sizes of other points, relative to the program's: a threshold shows where values are small.
_SCALES = (1.0, 1.0, 0.3, 0.1, 0.02, 3.0)
# So many truth values that agree are no coincidence.
_ENOUGH_TRUTHS = 200
_RESHAPING = frozenset(("reshape", "broadcast_to", "index", "transpose", "matmul", "vecdot"))


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """The nodes of an idiom: from its arguments to its root, which is the last of ``members``.

    ``stops`` are the nodes of the arguments by index, each with the argument's role.
    """

    arguments: tuple[Argument, ...]
    members: tuple[Node, ...]
    stops: Mapping[int, str]

    def elements(self, axes: tuple[int, ...] | None, result: tuple[int, ...]) -> int:
        """How many elements of the arguments go into each sum over the axes, or into the root."""
        shapes = [shape_of(a.value) for a in self.arguments if a.value is not None]
        try:
            shape = np.broadcast_shapes(*shapes)
        except ValueError:
            return 1
        if axes is not None and result:
            return math.prod([shape[a] for a in axes if a < len(shape)]) or 1
        return max(math.prod(shape) // max(math.prod(result), 1), 1)


@dataclass(frozen=True, slots=True, eq=False)
class Claim:
    """That a node is ``scale`` times what a row defines."""

    root: Node
    spelled: Spelled
    bound: Binding
    scale: float

    @property
    def summed(self) -> bool:
        """Whether the root is a sum of what the row defines for each element."""
        row = self.spelled.row
        whole = row.total and row.function.elementwise and self.root.op is not None
        return self.spelled.summed or SUM_AXES in self.bound or (whole and AXES in self.bound)

    @property
    def axes(self) -> tuple[int, ...] | None:
        """The axes that the function reduces."""
        return self.bound.get(AXES) if self.spelled.row.function.axes else None

    def arguments(self, region: Region) -> tuple[Argument, ...]:
        """The arguments, and the labels as an array if the program picks by them."""
        picked = self._picked(region)
        return region.arguments if picked is None else (picked, *region.arguments)

    def _picked(self, region: Region) -> Argument | None:
        if "y" in self.spelled.arguments or not self.spelled.row.total:
            return None
        pick = next((m for m in region.members if _picks(m)), None)
        if pick is None:
            return None
        (own,) = region.arguments
        if own.value is None:
            return None
        labels = np.zeros(np.shape(own.value), np.asarray(own.value).dtype)
        op = pick.op
        assert op is not None
        transpose = getattr(op.edge(0), "transpose", None)
        if transpose is None:
            return None
        ones = np.ones(np.shape(op.evaluate(labels, *pick.args[1:], **pick.attrs)), labels.dtype)
        return Argument("y", None, 1.0, transpose(ones, labels, *pick.args[1:], **pick.attrs))

    def value(self, region: Region, given: Sequence[Any]) -> Any:
        """What the definition says the root is, where the region's arguments are ``given``."""
        function = self.spelled.row.function
        options: dict[str, Any] = {}
        values = dict(zip([a.role for a in region.arguments], given, strict=True))
        names = list(self.spelled.arguments)
        picked = self._picked(region)
        if picked is not None:
            values["y"] = picked.value
            names.insert(0, "y")
            options["axis"] = -1
        elif function.axes:
            options["axis"] = self.axes
        found = function.evaluate(*[values.get(n, self.bound.get(n)) for n in names], **options)
        if self.spelled.summed:
            axes = self.bound.get(SUM_AXES)
            whole = axes is None or len(axes) == np.ndim(found)
            found = np.sum(found, axis=None if whole else axes)
        elif self.summed:
            found = np.sum(found)
        return self.scale * found


@dataclass(frozen=True, slots=True, eq=False)
class Elsewhere:
    """A program at another point: the values of its nodes, and what operations were given."""

    values: Mapping[int, Any]
    given: Mapping[int, tuple[Any, ...]]


class Witness:
    """A whole program at other points, found when first asked for."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._points: list[Elsewhere] | None = None

    def points(self) -> list[Elsewhere]:
        """The points at which the function does the same operations as in the program."""
        if self._points is None:
            made = [self._at(seed, scale) for seed, scale in enumerate(_SCALES)]
            self._points = [point for point in made if point is not None]
        return self._points

    def _at(self, seed: int, scale: float) -> Elsewhere | None:
        program = self.program
        if program.function is None or program.values is None:
            return None
        rng = np.random.default_rng(seed)
        tape = Tape()
        inputs = {}
        for name, node in program.graph.inputs.items():
            value = np.asarray(program.values[node.index])
            moved = value * rng.choice((-1.3, 0.7), value.shape)
            noise = 0.1 * rng.normal(size=value.shape)
            inputs[name] = tape.input((scale * (moved + noise)).astype(value.dtype)[()])
        try:
            with np.errstate(all="ignore"), running(tape):
                program.function({n: x.alias() for n, x in inputs.items()})
        except (ArithmeticError, ValueError, IndexError, ChainruleError):
            return None
        made = [r for r in tape.records if r.op is not None]
        operations = [n for n in program.graph.nodes if n.op is not None]
        if [r.op for r in made] != [n.op for n in operations]:
            return None
        found = {node.index: inputs[name].value for name, node in program.graph.inputs.items()}
        found.update({n.index: r.value for n, r in zip(operations, made, strict=True)})
        return Elsewhere(found, {n.index: r.args for n, r in zip(operations, made, strict=True)})


def holds(claim: Claim, region: Region, values: Mapping[int, Any] | None, witness: Witness) -> bool:
    """Whether the root's value is the definition's: in the program, and elsewhere if need be."""
    with np.errstate(all="ignore"):
        silent = values is None  # whether the program's own numbers say nothing
        if values is not None:
            value = values[claim.root.index]
            if not _agree(value, claim.value(region, [a.value for a in region.arguments])):
                return False
            silent = not np.isfinite(value).any()
        masks = _masks(region)
        if masks:
            enough = min(np.size(m.args[at]) for m, at in masks) >= _ENOUGH_TRUTHS and not silent
            return enough or _witnessed(claim, region, masks, witness)
        if silent or any(map(_moves, region.members)):
            return _probed(claim, region, values, silent)
    return True


def probable(region: Region, whole: bool) -> bool:
    """Whether the argument ``p`` holds probabilities; ``whole``: rows of them that add up to 1."""
    for a in region.arguments:
        if a.role == "p" and a.value is not None:
            p = np.asarray(a.value, np.float64)
            if not ((p >= 0) & (p <= 1 + 1e-6)).all():
                return False
            return not whole or (p.ndim > 0 and bool(np.allclose(p.sum(axis=-1), 1.0, atol=1e-3)))
    return True


def _witnessed(
    claim: Claim, region: Region, masks: list[tuple[Node, int]], witness: Witness
) -> bool:
    """Whether it holds at other points of the whole program, whose conditions are others there.

    What a comparison gave is a plain array in the program: of a few truth values it cannot be told
    from one point where they come from. Both truth values have to be seen.
    """
    points = witness.points()
    seen = [np.ravel(member.args[at]) for member, at in masks]
    for point in points:
        given = [
            a.value if a.node is None else _scaled(a, point.values[a.node.index])
            for a in region.arguments
        ]
        if not _agree(point.values[claim.root.index], claim.value(region, given)):
            return False
        seen += [np.ravel(point.given[member.index][at]) for member, at in masks]
    truths = np.concatenate(seen).astype(bool)
    return bool(points) and bool(truths.any()) and not truths.all()


def _probed(claim: Claim, region: Region, values: Mapping[int, Any] | None, alone: bool) -> bool:
    """Whether it holds at random numbers between 0 and 1: axes that are mixed up show there."""
    if values is not None:
        sizes = [np.size(values[m.index]) for m in region.members]
        if max(sizes) > _LARGEST_PROBE:
            return not alone
    rng = np.random.default_rng(7)
    drawn: dict[str, Any] = {}
    given = []
    for a in region.arguments:
        shape = () if values is None or a.node is None else shape_of(values[a.node.index])
        drawn[a.role] = a.value if a.node is None else np.asarray(rng.uniform(0.1, 0.9, shape))[()]
        given.append(a.value if a.node is None else _scaled(a, drawn[a.role]))
    env: dict[int, Any] = {}
    for index, role in region.stops.items():
        shape = () if values is None else shape_of(values[index])
        env[index] = np.reshape(drawn[role], shape)[()]
    try:
        for m in region.members:
            env[m.index] = apply_node(m, env)
        return _agree(env[claim.root.index], claim.value(region, given))
    except ValueError:
        return False


def _scaled(argument: Argument, value: Any) -> Any:
    return value if argument.factor == 1.0 else argument.factor * value


def _agree(value: Any, defined: Any) -> bool:
    """Whether two arrays are equal up to rounding, infinities and NaNs included."""
    value, defined = np.asarray(value), np.asarray(defined)
    if value.shape != defined.shape:
        if value.size == defined.size:
            defined = defined.reshape(value.shape)
        else:
            try:
                defined = np.broadcast_to(defined, value.shape)
            except ValueError:
                return False
    relative, absolute = (1e-3, 1e-5) if value.dtype.itemsize < 8 else (1e-7, 1e-10)
    if (np.abs(value - defined) <= absolute + relative * np.abs(defined)).all():
        return True
    return bool(np.allclose(value, defined, rtol=relative, atol=absolute, equal_nan=True))


def _masks(region: Region) -> list[tuple[Node, int]]:
    """Where arrays of truth values (or of zeros and ones) stand among the constants."""
    own = [a.value for a in region.arguments if a.node is None]
    found = []
    for member in region.members:
        op = member.op
        if op is None or op.name not in ("where", "multiply"):
            continue
        for position, arg in enumerate(member.args):
            if type(arg) is Node or any(arg is mine for mine in own):
                continue
            if (op.name == "where" and position == 0) or _is_mask(arg):
                found.append((member, position))
    return found


def _is_mask(value: Any) -> bool:
    array = np.asarray(value)
    if array.dtype.kind == "b":
        return True
    return array.ndim > 0 and array.dtype.kind in "fiu" and bool(np.isin(array, (0, 1)).all())


def _moves(member: Node) -> bool:
    """Whether an operation could bring elements together that do not belong together."""
    op = member.op
    if op is None or op.elementwise:
        return False
    return op.name in _RESHAPING or member.attrs.get("axis") is not None


def _picks(member: Node) -> bool:
    return member.op is not None and member.op.name in ("index", "take_along_axis")
