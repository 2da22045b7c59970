"""Remarks: what the derivative of an idiom simplifies to, as a derivation whose lines are data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chainrule.explanations.idioms.idiom import Idiom

Remark = Any


def remark_on(idiom: Idiom) -> Remark | None:
    """The remark on an idiom."""
    return None
