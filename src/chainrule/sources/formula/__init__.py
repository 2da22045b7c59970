"""Formulas as people write them: text in, a program out."""

from chainrule.sources.formula.assemble import read_formula
from chainrule.sources.formula.names import canonical_name

__all__ = ["canonical_name", "read_formula"]
