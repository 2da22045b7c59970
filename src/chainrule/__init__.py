"""Differentiate what you can write in NumPy, and read every gradient as a worked chain."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from chainrule import rules
from chainrule.transforms import (
    AbsentGradientWarning,
    checkpoint,
    cond,
    custom_rule,
    fori_loop,
    grad,
    hessian,
    hvp,
    jacobian,
    jvp,
    linearize,
    scan,
    stop_gradient,
    value_and_grad,
    vjp,
    vmap,
    while_loop,
)
from chainrule.tree import register_pytree_node

if TYPE_CHECKING:
    from chainrule.checking.entry import check
    from chainrule.explanations.entry import explain

# Loaded when they are first asked for: computing does not need them.
_LATER = {"check": "chainrule.checking.entry", "explain": "chainrule.explanations.entry"}

__all__ = [
    "AbsentGradientWarning",
    "check",
    "checkpoint",
    "cond",
    "custom_rule",
    "explain",
    "fori_loop",
    "grad",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "linearize",
    "register_pytree_node",
    "rules",
    "scan",
    "stop_gradient",
    "value_and_grad",
    "vjp",
    "vmap",
    "while_loop",
]


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(import_module(_LATER[name]), name)
    raise AttributeError(f"module 'chainrule' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
