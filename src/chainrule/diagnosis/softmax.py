"""A softmax that has come close to 0 and 1, as a row or written out."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from chainrule.diagnosis.budget import Budget, arguments_of
from chainrule.graph.tape import Traced


def saturated_softmax(budget: Budget, near: Collection[int]) -> int | None:
    """A softmax (``e/Σe``, or the row) at 0 and 1, of whose operations ``near`` has one."""
    for index in range(min(near), budget.loss + 1):
        record = budget.records[index]
        if record.op is None or record.op.name not in ("divide", "softmax", "log_softmax"):
            continue
        members = _softmax_members(record)
        logarithm = record.op.name == "log_softmax"
        value = np.exp(record.value) if logarithm else np.asarray(record.value)
        if members.isdisjoint(near) or not value.ndim or value.shape[-1] < 2:
            continue
        if np.all(np.minimum(np.abs(value), np.abs(1 - value)) < 1e-3) and np.any(value > 0.5):
            return index
    return None


def _softmax_members(record: Traced) -> set[int]:
    """The operations of a softmax that ends in this record; empty if it is none."""
    if record.op is not None and record.op.name in ("softmax", "log_softmax"):
        return {record.index}
    top, below = record.args
    members = {record.index}
    while type(below) is Traced and below.op is not None and below.op.name != "sum":
        members.add(below.index)
        below = below.args[0] if below.op.name in ("index", "reshape", "broadcast_to") else None
    if type(top) is not Traced or type(below) is not Traced or below.op is None:
        return set()
    summed = below.args[0]
    if type(summed) is not Traced or not _same_exponential(top, summed):
        return set()
    members |= {below.index, top.index, summed.index, *arguments_of(top)}
    inner = top.args[0]
    if type(inner) is Traced and inner.op is not None and inner.op.name == "subtract":
        members.update(arguments_of(inner))
    return members


def _same_exponential(one: Traced, other: Traced) -> bool:
    """Whether both are exp of the same value."""
    if one.op is None or other.op is None or one.op.name != "exp" or other.op.name != "exp":
        return False
    return arguments_of(one) == arguments_of(other)
