"""Which functions are written here, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from chainrule.run.llvm.functions import circular, exponentials, logarithms
from chainrule.run.llvm.functions.text import Value


@dataclass(frozen=True, slots=True)
class Own:
    """A function written here.

    Attributes:
        body: Writes it: from a ``Body`` and its arguments to the result.
        rescue: The scalar function that it calls in rare cases, and cannot do without.
    """

    body: Callable[..., Value]
    rescue: str | None = None


OWN: dict[str, Own] = {
    "exp": Own(exponentials.exp),
    "exp2": Own(exponentials.exp2),
    "expm1": Own(exponentials.expm1),
    "expit": Own(exponentials.expit),
    "tanh": Own(exponentials.tanh),
    "log": Own(logarithms.log),
    "log2": Own(logarithms.log2),
    "log10": Own(logarithms.log10),
    "log1p": Own(logarithms.log1p),
    "sin": Own(circular.sin, rescue="sin"),
    "cos": Own(circular.cos, rescue="cos"),
    "tan": Own(circular.tan, rescue="tan"),
    "arctan": Own(circular.arctan),
    "arctan2": Own(circular.arctan2),
}
