"""The explanation: a worked solution, checked, with everything a page or a program needs of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from chainrule.explanations.solution import (
    Check,
    Derivative,
    Mode,
    Path,
    Quotients,
    Step,
)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Explanation:
    """A derivative, worked, checked and readable.

    It prints as text, shows itself in a notebook, and gives ``to_latex()``, ``to_markdown()`` and
    ``to_dict()`` (whose layout ``docs/json.md`` documents).

    Attributes:
        title: The formula, or the function's name.
        result: The name of the result.
        expression: The result in terms of the inputs, as it was written; ``None`` for arrays.
        inputs: The point, by name; a value is ``None`` where the explanation is symbolic.
        value: The value of the result; ``None`` without a point.
        steps: The named intermediate values in order.
        derivatives: One derivative for each variable asked for.
        check: How the numbers were checked, and the verdict.
        mode: ``reverse`` or ``forward``.
        order: Which derivative this is (1 for the first).
        readings: How ambiguous places were read.
        notes: Conventions that were used at kinks and singularities.
        quotients: Difference quotients, where they were asked for.
        higher: For a higher order, the explanation of each further derivative.
        show_paths: Whether a page lists the paths even where there is only one.
        wrt: The variables asked for.
        defined: The steps that a formula with several definitions names itself.
        before: For a higher order, what has been differentiated with respect to already.
        original: For a higher order, the name of the result that was differentiated first.
    """

    title: str
    result: str
    expression: Any
    inputs: dict[str, Any]
    value: Any
    steps: tuple[Step, ...]
    derivatives: tuple[Derivative, ...]
    check: Check
    mode: Mode = "reverse"
    order: int = 1
    readings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    quotients: tuple[Quotients, ...] = ()
    higher: tuple[Explanation, ...] = ()
    show_paths: bool = False
    wrt: tuple[str, ...] = ()
    defined: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    original: str = ""

    def paths(self, variable: str | None = None) -> tuple[Path, ...]:
        """The listed paths from the result to a variable, largest contribution first.

        Args:
            variable: Which variable; the only one if there is only one.

        Raises:
            KeyError: No derivative with respect to that variable was asked for.
        """
        return self.derivative(variable).paths

    def derivative(self, variable: str | None = None) -> Derivative:
        """The derivative with respect to ``variable`` (the first one if left out)."""
        for found in self.derivatives:
            if variable is None or found.variable == variable:
                return found
        raise KeyError(f"no derivative with respect to {variable!r} here")

    def to_dict(self) -> dict[str, Any]:
        """The explanation as plain dicts, lists, strings and numbers, ready for JSON."""
        from chainrule.render.data import as_dict

        return as_dict(self)

    def to_latex(self) -> str:
        """The explanation as LaTeX source."""
        from chainrule.render.latex import as_latex

        return as_latex(self)

    def to_markdown(self) -> str:
        """The explanation as Markdown with TeX formulas."""
        from chainrule.render.markdown import as_markdown

        return as_markdown(self)

    def to_text(self, width: int = 100, color: bool = False) -> str:
        """The explanation as the terminal shows it."""
        from chainrule.render.terminal import as_text

        return as_text(self, width, color)

    def __str__(self) -> str:
        return self.to_text()

    def __repr__(self) -> str:
        return self.to_text()

    def _repr_mimebundle_(self, **_kwargs: Any) -> dict[str, str]:
        markdown = self.to_markdown()
        return {
            "text/plain": self.to_text(),
            "text/markdown": markdown,
            "text/latex": self.to_latex(),
        }
