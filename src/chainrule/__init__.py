"""Differentiate what you can write in NumPy, and read every gradient as a worked chain."""

from typing import TYPE_CHECKING, Any

from chainrule import rules
from chainrule.transforms import grad, jvp, value_and_grad, vjp

if TYPE_CHECKING:
    from chainrule.explanations.entry import explain

__all__ = ["explain", "grad", "jvp", "rules", "value_and_grad", "vjp"]


def __getattr__(name: str) -> Any:
    """Explanations are loaded when they are first asked for: computing does not need them."""
    if name == "explain":
        from chainrule.explanations.entry import explain

        return explain
    raise AttributeError(f"module 'chainrule' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
