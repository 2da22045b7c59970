"""What may be wrong with a gradient: a closed list, and a finding of one of it with its line."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from chainrule.sources.names import Place


class Cause(StrEnum):
    """Why a gradient is what it is."""

    NOT_CONNECTED = "not connected"
    DETACHED = "detached"
    STEP = "integer, comparison or step"
    DEAD_MASK = "dead mask"
    CLIPPED = "clipped"
    KINK = "kink"
    ZERO_WEIGHT = "zero weight"
    STATIONARY = "stationary point"
    SATURATED = "saturated"
    UNDERFLOW = "underflow"
    CANCELLING = "cancelling paths"
    SLOPES = "slopes"
    WEIGHTS = "weights"
    CONSTANT = "constant factor"
    AVERAGING = "averaging"
    MASK = "mask"
    TERMS = "many terms"
    OPERATION = "operation"


@dataclass(frozen=True, slots=True, eq=False)
class Finding:
    """A cause and where it is.

    Attributes:
        cause: Which of the closed list.
        says: The same in a sentence, with names and numbers.
        place: The line of the operation.
        record: The operation's record; ``None`` where there is none.
        decades: How many decades it accounts for; ``None`` for a gradient that is exactly zero.
    """

    cause: Cause
    says: str
    place: Place
    record: int | None = None
    decades: float | None = None
