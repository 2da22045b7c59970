"""Where the turns of a loop find what they need."""

from __future__ import annotations

from dataclasses import dataclass

from chainrule.run.llvm.program import Value


@dataclass(frozen=True, slots=True)
class Outside:
    """A value that is the same in all turns."""

    value: Value


@dataclass(frozen=True, slots=True)
class Here:
    """What an operation of the same turn makes."""

    slot: int


@dataclass(frozen=True, slots=True)
class Before:
    """What an operation made so many turns before."""

    slot: int
    turns: int


@dataclass(frozen=True, slots=True)
class Places:
    """The values at places that are as far from each other from turn to turn."""

    first: int
    step: int


@dataclass(frozen=True, slots=True)
class Constants:
    """Constants, another one in each turn."""

    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Rows:
    """What stands along an axis of a value, at numbers as far from each other in all turns."""

    value: Value
    axis: int
    first: int
    step: int


@dataclass(frozen=True, slots=True)
class Numbers:
    """Whole numbers, as far from each other from turn to turn."""

    first: int
    step: int


Series = Places | Constants | Rows | Numbers
Source = Outside | Here | Before | Series
