"""Loops that stay loops: the body becomes code of its own, called in every turn.

A body is a program of its own, lowered and emitted like any other, as one function of the workspace
and of pointers to its inputs and results. Around it stands the loop: what it takes along a sequence
are pointers that move on, what it carries stays in one place where the body may write over it, or
lies in two places in turns, or in the rows of an array if every turn's value is asked for. Results
that nothing needs are not computed, in the body either.

All of them are made of ``bodies``, of ``places`` in memory and of ``text``. ``carried`` says where
what is carried lies, ``growing`` where a loop of unknown length keeps its turns. ``scan`` has its
body, its text and what it keeps for the way back in files beside it; ``while_loop`` and ``cond``
are one file each.
"""

from chainrule.run.llvm.loops import cond, scan, while_loop

__all__ = ["cond", "scan", "while_loop"]
