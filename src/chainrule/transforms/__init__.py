"""The transforms: functions of functions, with the names and conventions of JAX.

``derivatives`` has the two modes and what is made of one pass of either, ``jacobians`` what is made
of several, ``batching`` has ``vmap``.
"""

from chainrule.transforms.absent import AbsentGradientWarning
from chainrule.transforms.batching import vmap
from chainrule.transforms.derivatives import grad, jvp, linearize, value_and_grad, vjp
from chainrule.transforms.jacobians import hessian, hvp, jacobian

__all__ = [
    "AbsentGradientWarning",
    "grad",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "linearize",
    "value_and_grad",
    "vjp",
    "vmap",
]
