"""What one loop keeps for a later one, which would compute it again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chainrule.graph.operand import attribute_key
from chainrule.run.llvm.expressions import WEIGHTS
from chainrule.run.llvm.loops.scan_body import Stage, count_of, stage_of
from chainrule.run.llvm.lowering import DTYPES, Lowering
from chainrule.run.llvm.program import Value

# A loop keeps for a later one what would cost that one a call of a library, or a sum, to compute
# again, as long as all of it together is not larger than this.
_KEPT = 1 << 26
_SUMS = frozenset(("matmul", "einsum", "sum", "mean", "prod", "max", "min"))


def _is_costly(v: Value) -> bool:
    assert v.op is not None
    return v.op.name in _SUMS or (v.op.elementwise and WEIGHTS.get(v.op.name, 20.0) >= 20.0)


# A later loop, a value of its body, and the value of this loop's body that is the same.
_Again = tuple[Stage, Value, Value]


def shared(b: Lowering, value: Value, stage: Stage, count: int) -> list[_Again]:
    """What loops over the history of this one compute again: the loop, its value, and ours."""
    first = len(stage.results)
    history = {
        v.number: v.attrs["position"] - first for v in b.values
        if v.op is not None and v.op.name == "item" and v.args[0] is value
        and v.attrs["position"] >= first
    }  # fmt: skip
    found: list[_Again] = []
    ours: dict[Any, Value] | None = None
    for later in b.values[:]:
        if later.number <= value.number or later.op is None or later.op.name != "scan":
            continue
        if not any(a.number in history for a in later.args) or count_of(later) != count:
            continue
        other = stage_of(b, later)
        if ours is None:
            stage.program.results = stage.wanted
            ours = {_what(v, v.args): v for v in stage.program.needed() if v.op is not None}
        found += _again(value, stage, later, other, history, ours)
    size = sum(v.size * v.dtype.itemsize for v in {id(v): v for _, _, v in found}.values())
    return found if size * count <= _KEPT else []


def _what(v: Value, args: Sequence[Value]) -> Any:
    attrs = tuple([(k, attribute_key(a)) for k, a in v.attrs.items()])
    return v.op, tuple([a.number for a in args]), attrs, v.dtype


def _again(
    value: Value, stage: Stage, later: Value, other: Stage, history: dict[int, int],
    ours: dict[Any, Value],
) -> list[_Again]:  # fmt: skip
    # Of the other's values, those that are values of this loop in the same turn.
    same: dict[int, Value] = {}
    by_outside = {
        (v.number, k >= stage.first): stage.arguments[k] for k, v in enumerate(value.args)
        if not stage.outer <= k < stage.first or k - stage.outer in stage.fixed
    }  # fmt: skip
    for k, v in enumerate(later.args):
        mine = other.arguments[k]
        carried = other.outer <= k < other.first and k - other.outer not in other.fixed
        if mine.is_constant or carried:
            continue
        along = k >= other.first
        j = history.get(v.number)
        if along and j is not None:
            same[mine.number] = stage.arguments[stage.outer + j]
        elif (v.number, along) in by_outside:
            same[mine.number] = by_outside[v.number, along]
    if other.turn is not None and stage.turn is not None:
        same[other.turn.number] = stage.turn
    other.program.results = other.wanted
    for v in other.program.needed():
        if v.number in same:
            continue
        if v.is_constant:
            same[v.number] = stage.program.constant(v.constant.item() if v.weak else v.constant)
        elif v.op is not None and v.parts is None and all(a.number in same for a in v.args):
            known = ours.get(_what(v, [same[a.number] for a in v.args]))
            if known is not None:
                same[v.number] = known
    # From the results on, what is costly is taken, and nothing that only it needs.
    found: list[_Again] = []
    seen: set[int] = set()
    waiting = list(other.program.results)
    while waiting:
        v = waiting.pop()
        if v.number in seen or v.op is None:
            continue
        seen.add(v.number)
        if v.number in same and v.parts is None and v.dtype in DTYPES and _is_costly(v):
            found.append((other, v, same[v.number]))
        else:
            waiting.extend(v.args)
    return found
