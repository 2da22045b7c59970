"""The explanation: a worked solution, checked, with everything a page or a program needs of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.display import Displayed
from chainrule.errors import ChainruleError
from chainrule.explanations.ledger import Ledger, Routes
from chainrule.explanations.solution import (
    Check,
    Derivative,
    Mode,
    Quotients,
    Step,
)
from chainrule.explanations.trace import Trace
from chainrule.sources.program import Program

if TYPE_CHECKING:
    from chainrule.explanations.layers import MatrixForm
    from chainrule.explanations.update import Update


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Explanation(Displayed):
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
        show_paths: Whether a page lists the paths even where there is only one; or how many.
        wrt: The variables asked for.
        defined: The steps that a formula with several definitions names itself.
        before: For a higher order, what has been differentiated with respect to already.
        original: For a higher order, the name of the result that was differentiated first.
        rate: The rate of the update that the page shows; ``None`` for no update.
        traces: For single elements of arrays, the way from the result to each of them.
        program: The computation that is explained.
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
    show_paths: bool | int = False
    wrt: tuple[str, ...] = ()
    defined: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    original: str = ""
    rate: float | None = None
    traces: tuple[Trace, ...] = ()
    program: Program | None = None

    def paths(self, variable: str | None = None, most: int | None = None) -> Ledger:
        """The ledger of paths from the result to a variable.

        It is a sequence of the listed paths: all of them in the order of the program, or where they
        are more than ``most`` the largest, largest first; and it knows how many there are, what the
        others add up to, and how far paths cancel. ``docs/paths.md`` says what a path is.

        Args:
            variable: Which variable (the first one if left out), or one element of an array that
                was asked for: ``"W1[0,1]"``.
            most: How many paths to list; 20 if left out.

        Raises:
            KeyError: No derivative with respect to that variable was asked for.
            NotDifferentiableError: The array has no such element.
            TooManyEntriesError: The arrays are too large to be taken apart into elements.

        Example:
            >>> import chainrule as cr
            >>> ledger = cr.explain("z = x*y; x = s^2; y = s^3", at={"s": 2.0}).paths()
            >>> [(path.names, float(path.product)) for path in ledger]
            [(('z', 'x', 's'), 32.0), (('z', 'y', 's'), 48.0)]
            >>> ledger.count, ledger.total, ledger.cancellation
            (2, 80.0, 1.0)
        """
        for derivative in self.derivatives:
            if derivative.routes is not None and variable in (None, derivative.variable):
                return derivative.routes.ledger(most)
        if variable is not None:
            for derivative in self.derivatives:
                found = self._element(derivative, variable)
                if found is not None:
                    return found.ledger(most)
        self.derivative(variable)
        return Ledger(self.result, variable or "", (), 0)

    def matrix_form(self) -> MatrixForm:
        """The same network in matrix form: δ of every layer, and gradients as products.

        Raises:
            ChainruleError: The function is not made of layers; the message says what is in the way.

        Example:
            >>> import numpy as np, chainrule as cr
            >>> def loss(W, b, x):
            ...     z = W @ x + b
            ...     return np.sum(np.tanh(z))
            >>> explained = cr.explain(loss, wrt="W[0,0]")(np.eye(2), np.zeros(2), np.ones(2))
            >>> [(p.name, p.value.shape) for p in explained.matrix_form().parameters]
            [('W', (2, 2)), ('b', (2,))]
        """
        from chainrule.explanations.layers import matrix_form

        if self.program is None or self.program.values is None:
            raise ChainruleError(
                "the matrix form is that of a function of arrays at a point.\nGive it a Python "
                "function, file.py:loss, and its arguments."
            )
        return matrix_form(self.program, result=self.result)

    def _element(self, derivative: Derivative, name: str) -> Routes | None:
        """The paths to one element of an array that was asked for."""
        from chainrule.sources.elements import chosen

        leaf = derivative.variable
        value: Any = self.inputs.get(leaf)
        if derivative.routes is None or not name.startswith(f"{leaf}[") or not np.ndim(value):
            return None
        (found,) = chosen([name], {leaf: value}, lambda n, hint: f"there is no {n}. {hint}")
        return derivative.routes.at(found.index)

    def update(self, rate: float) -> Update:
        """One step of gradient descent from this point, shown as arithmetic.

        Args:
            rate: The learning rate η: every variable asked for becomes ``x − η·∂y/∂x``.

        Returns:
            The old values, the gradient and the new values, by name; it prints as arithmetic.

        Raises:
            ArgumentsError: The explanation has no numbers, or the rate is none.

        Example:
            >>> import chainrule as cr
            >>> cr.explain("(w - 3)^2", at={"w": 1.0}).update(0.1)
            w ← 1 − 0.1·(−4) = 1.4
        """
        from chainrule.explanations.update import update_of

        return update_of(self.result, self.inputs, self.derivatives, rate)

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
