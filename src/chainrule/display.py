"""What can be shown: it prints as text, and a notebook takes the best form that there is."""

from __future__ import annotations

from typing import Any


class Displayed:
    """The base of explanations, reports and histories.

    A subclass has ``to_text()``; where it has ``to_markdown()`` and ``to_latex()`` too, a notebook
    is offered these.
    """

    __slots__ = ()

    def to_text(self) -> str:
        """As the terminal shows it."""
        raise NotImplementedError  # pragma: no cover - every subclass has its own

    def __str__(self) -> str:
        return self.to_text()

    def __repr__(self) -> str:
        return self.to_text()

    def _repr_mimebundle_(self, **_kwargs: Any) -> dict[str, str]:
        found = {"text/plain": self.to_text()}
        for kind in ("markdown", "latex"):
            to_kind = getattr(self, f"to_{kind}", None)
            if to_kind is not None:
                found[f"text/{kind}"] = to_kind()
        return found
