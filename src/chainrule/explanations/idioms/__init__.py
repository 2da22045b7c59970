"""Idioms: known functions that a program writes out by hand, recognised in its graph and named.

``forms`` brings arithmetic into one form, ``table`` says what each idiom looks like, ``matching``
compares the two, ``recognise`` walks over a program, and ``evidence`` holds what was found against
the program's numbers. ``remarks`` says what a derivative simplifies to, line by line.
"""

from chainrule.explanations.idioms.idiom import Argument, Idiom
from chainrule.explanations.idioms.recognise import idioms_of

__all__ = ["Argument", "Idiom", "idioms_of"]
