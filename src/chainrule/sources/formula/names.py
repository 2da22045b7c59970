"""Names: one spelling in the tree for all the ways to write a name.

``x_1``, ``x_{1}``, ``x₁`` and ``x1`` are the name ``x1``; ``α`` and ``\\alpha`` are ``alpha``.
"""

from __future__ import annotations

import re
import unicodedata

from chainrule.sources.formula.tokens import wrong
from chainrule.sources.formula.vocabulary import GREEK, LATEX_TEXT, SUBSCRIPTS, SUPERSCRIPTS

LONGEST_NAME = 64

_VULGAR_FRACTIONS = "¼-¾⅐-⅟↉"
_NO_LETTERS = "".join([*SUPERSCRIPTS, *SUBSCRIPTS, _VULGAR_FRACTIONS])
LETTER = rf"[^\W\d_{_NO_LETTERS}][\u0300-\u036f]*"
_UPRIGHT = rf"\\(?:{'|'.join(sorted(LATEX_TEXT))})\s*\{{(?:[^{{}}\\]|\\_)*\}}"
SUBSCRIPT = (
    rf"(?:_\{{(?:[^{{}}\\]|{_UPRIGHT})*\}}|_[0-9]+|_{LETTER}(?:{LETTER}|[0-9])*"
    rf"|[{''.join(SUBSCRIPTS)}]+)+"
)
WORD = rf"{LETTER}(?:{LETTER}|[0-9])*"

_WRITTEN_NAME = re.compile(rf"\\?(?P<base>{WORD})(?P<subscript>{SUBSCRIPT})?")


def ascii_name(base: str, subscript: str = "") -> str:
    """The name in the tree of a base with a subscript, as ``subscript_of`` gives it."""
    if base.isascii() and not subscript:
        return base
    spelled = "".join(GREEK.get(char, char) for char in unicodedata.normalize("NFC", base))
    joint = "" if subscript.isdecimal() or not subscript else "_"
    return spelled + joint + "".join(GREEK.get(char, char) for char in subscript)


def subscript_of(written: str) -> str:
    """``_{i,j}`` as ``i_j``, ``_max`` and ``_{\\mathrm{max}}`` as ``max``, ``₁₂`` as ``12``."""
    if not written:
        return ""
    upright = re.sub(r"\\[A-Za-z]+", "", written)
    plain = "".join(SUBSCRIPTS.get(char, char) for char in upright)
    return "_".join(re.findall(r"[^\W_]+", plain))


def canonical_name(written: str) -> str:
    """The name in the tree for a name as a person writes it; other texts are left alone.

    >>> canonical_name("x_{1}"), canonical_name("σ"), canonical_name("x_max")
    ('x1', 'sigma', 'x_max')
    """
    if written.isascii() and written.isalnum() and written[0].isalpha():
        return written  # as most names are written
    match = _WRITTEN_NAME.fullmatch(written.strip())
    if match is None:
        return written
    return ascii_name(match["base"], subscript_of(match["subscript"] or ""))


def short_enough(name: str, start: int, end: int) -> str:
    """The name itself, unless nobody could read it."""
    if len(name) > LONGEST_NAME:
        raise wrong(f"a name may not be longer than {LONGEST_NAME} characters", start, end)
    return name
