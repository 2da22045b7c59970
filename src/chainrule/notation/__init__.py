"""How expressions, numbers and names are written: a graph node as text or LaTeX.

Text that is printed here is read back by ``sources.formula`` as the same expression.
"""
