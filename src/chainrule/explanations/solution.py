"""A worked solution, as data: what was computed, how each step differentiates, and how it adds up.

Everything a page shows stands here as an expression (a graph node), a number, or a sentence;
``render`` turns it into text, LaTeX, Markdown or JSON.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from chainrule.explanations.ledger import Routes

Outcome = Literal["verified", "not verifiable", "failed"]
Mode = Literal["reverse", "forward"]


@dataclass(slots=True, eq=False)  # not frozen: there are many, and that takes time
class Partial:
    """The local derivative on the edge from ``of`` to ``step``.

    Attributes:
        step: The step that is differentiated.
        of: What it is differentiated with respect to: an earlier step or an input.
        expression: The derivative in the names of the step's arguments; ``None`` for arrays.
        value: The derivative's value; ``None`` without a point.
        structure: The structure of the local Jacobian in a word, for arrays.
        blocked: Nothing passes here: the edge leads into a branch that is not taken.
    """

    step: str
    of: str
    expression: Any
    value: Any = None
    structure: str | None = None
    blocked: bool = False


@dataclass(slots=True, eq=False)  # not frozen: there are many, and that takes time
class Step:
    """One named intermediate value.

    Attributes:
        name: The author's name for it, or u1, u2, …
        expression: How it is computed from earlier steps and inputs.
        value: Its value; ``None`` without a point.
        partials: The local derivative with respect to each argument that matters.
        adjoint: The derivative of the result with respect to this step (reverse mode).
        tangents: The derivative of this step with respect to each variable (forward mode).
        line: Line number in the user's source.
        source: The text of that line.
        notes: Conventions that were used here.
        count: How many operations it stands for, where a long stretch is folded into one row.
        known: The same as a known function of its arguments, if it is one written out by hand.
        dense: Works out the dense local Jacobian with respect to an argument, by its name.
    """

    name: str
    expression: Any
    value: Any = None
    partials: tuple[Partial, ...] = ()
    adjoint: Any = None
    tangents: dict[str, Any] = field(default_factory=dict)
    line: int | None = None
    source: str | None = None
    notes: tuple[str, ...] = ()
    count: int = 1
    known: Any = None
    dense: Callable[[str | None], Any] | None = None

    def jacobian(self, of: str | None = None) -> Any:
        """The dense local Jacobian: the shape of the step, then the shape of the argument.

        It has a number for each pair of elements, so it is worked out only when it is asked for.

        Args:
            of: The argument, by its name; the only one if there is only one.

        Raises:
            KeyError: The step does not depend on such an argument, or there is no point.

        Example:
            >>> import numpy as np, chainrule as cr
            >>> def loss(x):
            ...     a = np.tanh(x)
            ...     return np.sum(a**2)
            >>> step = cr.explain(loss, wrt="x[0]")(np.array([0.0, 1.0])).steps[0]
            >>> step.name, step.jacobian("x").round(3).tolist()
            ('a', [[1.0, 0.0], [0.0, 0.42]])
        """
        if self.dense is None:
            raise KeyError(f"the Jacobian of {self.name} is its local derivative")
        return self.dense(of)


@dataclass(frozen=True, slots=True, eq=False)
class Path:
    """One path from the result back to a variable, and what it contributes.

    Attributes:
        names: The steps along it, the result first, the variable last.
        factors: The local derivatives in that order.
        product: Their product's value: the path's contribution to the gradient.
        share: The contribution as a fraction of the total; ``None`` where the total is zero, not
            finite, or not a number.
    """

    names: tuple[str, ...]
    factors: tuple[Partial, ...]
    product: Any = None
    share: float | None = None

    @property
    def expression(self) -> Any:
        """The product in names; ``None`` for arrays. Made when asked for: few pages show it."""
        if any(f.expression is None for f in self.factors):
            return None
        product: Any = 1.0
        for factor in self.factors:
            product = product * factor.expression
        return product


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """One line of a derivation; each equals the line before it.

    ``terms`` is a sum of products, kept apart so that a page can show the factors; ``reason`` says
    what was done to get here; ``closed`` lines are in terms of the inputs alone.
    """

    reason: str
    terms: tuple[tuple[Any, ...], ...]
    closed: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Derivative:
    """The derivative of the result with respect to one variable.

    Attributes:
        variable: The variable.
        value: Its value; ``None`` without a point.
        expression: The answer as an expression of the inputs, simplified where that worked.
        lines: The derivation from the product of local derivatives to the answer.
        remark: Said about the answer: why it is not simplified, for example.
        routes: The paths from the result to the variable, worked out when they are asked for.
    """

    variable: str
    value: Any
    expression: Any
    lines: tuple[Line, ...] = ()
    remark: str | None = None
    routes: Routes | None = None

    @property
    def path_count(self) -> int:
        """How many paths there are, exactly."""
        return 0 if self.routes is None else self.routes.count

    @property
    def paths(self) -> tuple[Path, ...]:
        """The paths that are listed: all, or the largest."""
        return () if self.routes is None else self.routes.ledger().listed


@dataclass(frozen=True, slots=True)
class Check:
    """The verdict on a worked solution.

    Attributes:
        outcome: ``verified``, ``not verifiable`` (with the reason) or ``failed``.
        says: One sentence: what was compared with what.
        error: The largest difference found, relative to the size of the derivative.
        expected: What the independent derivative gave, where the two differ.
    """

    outcome: Outcome
    says: str
    error: float | None = None
    expected: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Quotient:
    """Difference quotients along one edge for shrinking Δ, next to the derivative they approach."""

    step: str
    of: str
    quotients: tuple[float, ...]
    limit: float


@dataclass(frozen=True, slots=True, eq=False)
class Quotients:
    """The chain rule before the limit: quotients multiply along paths and add over them.

    ``products`` is what the edges' quotients give together, ``direct`` is Δy/Δx itself.
    """

    variable: str
    deltas: tuple[float, ...]
    rows: tuple[Quotient, ...]
    products: tuple[float, ...]
    direct: tuple[float, ...]
    limit: float
