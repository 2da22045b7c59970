"""Formulas: from the text a person writes to the tree of ``syntax``."""
