"""Differentiate what you can write in NumPy, and read every gradient as a worked chain."""

from chainrule import rules
from chainrule.explanations.entry import explain
from chainrule.transforms import grad, jvp, value_and_grad, vjp

__all__ = ["explain", "grad", "jvp", "rules", "value_and_grad", "vjp"]
