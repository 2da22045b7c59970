"""The transforms: functions of functions, with the names and conventions of JAX.

``derivatives`` has the two modes and what is made of one pass of either, ``jacobians`` what is made
of several, ``batching`` has ``vmap``, ``loops`` the loops that stay loops, ``own_rules`` what
users say about derivatives themselves.
"""

from chainrule.transforms.absent import AbsentGradientWarning
from chainrule.transforms.batching import vmap
from chainrule.transforms.derivatives import grad, jvp, linearize, value_and_grad, vjp
from chainrule.transforms.jacobians import hessian, hvp, jacobian
from chainrule.transforms.jit import JitWarning, jit
from chainrule.transforms.loops import cond, fori_loop, scan, while_loop
from chainrule.transforms.own_rules import checkpoint, custom_rule, stop_gradient

__all__ = [
    "AbsentGradientWarning",
    "JitWarning",
    "checkpoint",
    "cond",
    "custom_rule",
    "fori_loop",
    "grad",
    "hessian",
    "hvp",
    "jacobian",
    "jit",
    "jvp",
    "linearize",
    "scan",
    "stop_gradient",
    "value_and_grad",
    "vjp",
    "vmap",
    "while_loop",
]
