"""Where graphs are evaluated: on NumPy (the reference), and to any number of digits.

Nothing in this room knows about derivatives: one that arrives here is a graph like any other.
"""

from chainrule.run.interpreter import evaluate

__all__ = ["evaluate"]
