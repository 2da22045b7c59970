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
    jit,
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
    from chainrule import nn
    from chainrule.checking.entry import check
    from chainrule.diagnosis.diagnose import diagnose
    from chainrule.diagnosis.guard import nan_guard
    from chainrule.diagnosis.why import why
    from chainrule.explanations.descent import descent
    from chainrule.explanations.entry import explain

# Loaded when they are first asked for: computing does not need them.
_LATER = {
    "check": "chainrule.checking.entry",
    "descent": "chainrule.explanations.descent",
    "diagnose": "chainrule.diagnosis.diagnose",
    "explain": "chainrule.explanations.entry",
    "nan_guard": "chainrule.diagnosis.guard",
    "nn": "chainrule.nn",
    "why": "chainrule.diagnosis.why",
}

# What people look for who come from other libraries, and what they want.
_ELSEWHERE = {
    "custom_gradient": "Write cr.custom_rule(f, pull=...).",
    "custom_jvp": "Write cr.custom_rule(f, push=...).",
    "custom_vjp": "Write cr.custom_rule(f, pull=...).",
    "debug_nans": "Write with cr.nan_guard(): ...",
    "detach": "Write cr.stop_gradient(x).",
    "detect_anomaly": "Write with cr.nan_guard(): ...",
    "elementwise_grad": "Write cr.grad(lambda x: np.sum(f(x))).",
    "hessian_vector_product": "Write cr.hvp(f, (x,), (v,)).",
    "jacfwd": 'Write cr.jacobian(f, mode="forward").',
    "jacrev": 'Write cr.jacobian(f, mode="reverse").',
    "lax": "Its loops are cr.scan, cr.fori_loop, cr.while_loop and cr.cond.",
    "make_jaxpr": "Write cr.explain(f)(x).",
    "make_jvp": "Write cr.jvp(f, (x,), (dx,)).",
    "make_vjp": "Write cr.vjp(f, x).",
    "no_grad": "Nothing is recorded outside of a derivative; inside, write cr.stop_gradient(x).",
    "numpy": "Plain NumPy is differentiated: import numpy as np.",
    "remat": "Write cr.checkpoint(f).",
    "tree_map": "A gradient is built like its argument: {k: p[k] - rate * g[k] for k in p}.",
}

__all__ = [
    "AbsentGradientWarning",
    "check",
    "checkpoint",
    "cond",
    "custom_rule",
    "descent",
    "diagnose",
    "explain",
    "fori_loop",
    "grad",
    "hessian",
    "hvp",
    "jacobian",
    "jit",
    "jvp",
    "linearize",
    "nan_guard",
    "nn",
    "register_pytree_node",
    "rules",
    "scan",
    "stop_gradient",
    "value_and_grad",
    "vjp",
    "vmap",
    "while_loop",
    "why",
]


def __getattr__(name: str) -> Any:
    if name in _LATER:
        module = import_module(_LATER[name])
        return module if module.__name__ == f"{__name__}.{name}" else getattr(module, name)
    advice = f". {_ELSEWHERE[name]}" if name in _ELSEWHERE else ""
    raise AttributeError(f"module 'chainrule' has no attribute {name!r}{advice}")


def __dir__() -> list[str]:
    return __all__
