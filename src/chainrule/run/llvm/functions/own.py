"""Which functions are written here, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from chainrule.run.llvm.functions import circular, error_function, exponentials, logarithms, powers
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
    "sinh": Own(exponentials.sinh),
    "cosh": Own(exponentials.cosh),
    "tanh": Own(exponentials.tanh),
    "log": Own(logarithms.log),
    "log2": Own(logarithms.log2),
    "log10": Own(logarithms.log10),
    "log1p": Own(logarithms.log1p),
    "log_expit": Own(logarithms.log_expit),
    "arcsinh": Own(logarithms.arcsinh),
    "arccosh": Own(logarithms.arccosh),
    "arctanh": Own(logarithms.arctanh),
    "sin": Own(circular.sin, rescue="sin"),
    "cos": Own(circular.cos, rescue="cos"),
    "tan": Own(circular.tan, rescue="tan"),
    "arcsin": Own(circular.arcsin),
    "arccos": Own(circular.arccos),
    "arctan": Own(circular.arctan),
    "arctan2": Own(circular.arctan2),
    "power": Own(powers.power),
    "hypot": Own(powers.hypot),
    "erf": Own(error_function.erf),
}
