"""``chainrule explain``: a formula or a function, a point, and the derivative as a page."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from chainrule.cli.arguments import (
    array_reader,
    formula_value,
    loaded_function,
    looks_like_function,
    point,
)
from chainrule.cli.output import Format, aside, fail, show
from chainrule.errors import ChainruleError
from chainrule.explanations.entry import CheckFailedError, explain
from chainrule.explanations.explanation import Explanation


class Mode(StrEnum):
    """Direction of accumulation."""

    reverse = "reverse"
    forward = "forward"


class Fold(StrEnum):
    """How far the steps of a function of arrays are folded."""

    variables = "variables"
    functions = "functions"
    primitives = "primitives"


def explain_command(
    source: Annotated[
        str, typer.Argument(help='A formula, "sin(ln(x^2+1))", or a function, file.py:f.')
    ],
    at: Annotated[
        list[str] | None,
        typer.Option(
            help="The point: x=1,y=pi/2; a function's arrays as x=[1,2], W=W.npy, W=normal(3,4)."
        ),
    ] = None,
    wrt: Annotated[
        str | None,
        typer.Option(help="Variables to differentiate with respect to; also elements, W1[0,0]."),
    ] = None,
    order: Annotated[int, typer.Option(help="Which derivative: 1, 2, ...")] = 1,
    mode: Annotated[Mode, typer.Option(help="Accumulate backward or forward.")] = Mode.reverse,
    delta: Annotated[
        float | None, typer.Option(help="Show difference quotients for this Δ and smaller ones.")
    ] = None,
    paths: Annotated[bool, typer.Option("--paths", help="Show every path and its share.")] = False,
    most: Annotated[
        int | None, typer.Option(min=1, help="Of many paths, show so many of the largest.")
    ] = None,
    update: Annotated[
        float | None, typer.Option(help="Show a step of gradient descent with this rate.")
    ] = None,
    unfold: Annotated[
        bool, typer.Option("--unfold", help="Make every operation a step of its own.")
    ] = False,
    fold: Annotated[
        Fold, typer.Option(help="What is one step of a function of arrays.")
    ] = Fold.variables,
    matrix: Annotated[
        bool, typer.Option("--matrix", help="Show a network of layers in matrix form.")
    ] = False,
    simplify: Annotated[bool, typer.Option(help="Simplify the answer.")] = True,
    form: Annotated[Format, typer.Option("--format", help="What to print.")] = Format.text,
) -> None:
    """Explain a derivative, step by step, checked before it is shown."""
    options: dict[str, Any] = {
        "wrt": wrt, "order": order, "mode": mode.value, "delta": delta,
        "paths": most or paths, "unfold": unfold, "simplify": simplify, "fold": fold.value,
        "update": update,
    }  # fmt: skip
    try:
        function = looks_like_function(source)
        given = point(at or [], array_reader(0) if function else None)
        if function:
            with aside():
                explanation = explain(loaded_function(source), **options)(**given)
        else:
            values = {name: formula_value(name, v) for name, v in given.items()}
            explanation = explain(source, values or None, **options)
        if matrix:
            explanation = explanation.matrix_form()
    except CheckFailedError as failed:
        fail(str(failed), 1)
    except ChainruleError as error:
        fail(str(error))
    show(explanation, form, _page if isinstance(explanation, Explanation) else None)


def _page(explanation: Explanation) -> Any:
    from chainrule.render.terminal import page

    return page(explanation)
