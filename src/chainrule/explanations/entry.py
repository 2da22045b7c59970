"""``explain``: the one door to explanations, for formulas and for Python functions."""

from __future__ import annotations

import dataclasses
import difflib
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from chainrule.errors import ArgumentsError, ChainruleError, FormulaError
from chainrule.explanations.check import check_formula, check_function
from chainrule.explanations.explanation import Explanation
from chainrule.explanations.folds import FOLDS, Fold
from chainrule.explanations.outline import outline
from chainrule.explanations.point import values_at
from chainrule.explanations.quotients import quotients_of
from chainrule.explanations.solution import Check, Derivative, Mode
from chainrule.explanations.traced import explain_elements, is_traced
from chainrule.explanations.worked import Work, derivatives_of, prepare, steps_of
from chainrule.graph.node import PI, E, Graph, Node
from chainrule.notation.names import text_name
from chainrule.sources.program import Program


@dataclasses.dataclass(slots=True, eq=False)
class Options:
    """What to explain and how; the keyword arguments of ``explain``."""

    wrt: str | Sequence[str] | None = None
    order: int = 1
    mode: Mode = "reverse"
    delta: float | None = None
    paths: bool | int = False
    unfold: bool = False
    simplify: bool = True
    fold: Fold = "variables"
    update: float | None = None


def explain(
    source: str | Callable[..., Any],
    at: Mapping[str, float] | None = None,
    *,
    wrt: str | Sequence[str] | None = None,
    order: int = 1,
    mode: Mode = "reverse",
    delta: float | None = None,
    paths: bool | int = False,
    unfold: bool = False,
    simplify: bool = True,
    fold: Fold = "variables",
    update: float | None = None,
) -> Any:
    """Explain a derivative as a worked chain of local derivatives, checked before it is shown.

    Args:
        source: A formula as people write it, or a function of NumPy arrays and scalars.
        at: For a formula, the point: a value for each variable. Left out, the explanation is
            symbolic.
        wrt: Which variables (or parameters of the function) to differentiate with respect to; all
            of a formula's variables, and a function's first parameter, if left out.
        order: Which derivative: 1 for the first, 2 for the second, ...
        mode: ``"reverse"`` accumulates from the result back, ``"forward"`` from the variable on.
        delta: Show difference quotients for this Δ and smaller ones beside the derivatives.
        paths: Show every path with its product and share, or so many of the largest.
        unfold: Make every operation a step, also inside ``x² + 1``.
        simplify: Simplify the answer (with SymPy, for at most two seconds).
        fold: How far the steps of a function of arrays are folded: to the author's
            ``"variables"``, to the ``"functions"`` that the function calls, or to
            ``"primitives"`` (as with ``unfold``).
        update: Show one step of gradient descent with this rate, as arithmetic.

    Returns:
        For a formula, its ``Explanation``. For a function, a function with the same parameters
        that returns the explanation at its arguments.

    Raises:
        FormulaError: The formula cannot be read, a variable is missing or misspelt, or the point is
            outside the domain.
        ChainruleError: The result failed the numerical check, so there is nothing to show.

    Example:
        >>> import chainrule as cr
        >>> answer = cr.explain("sin(ln(x^2+1))", at={"x": 1.0})
        >>> [step.name for step in answer.steps]
        ['u1', 'u2', 'y']
        >>> answer.check.outcome
        'verified'
    """
    options = Options(wrt, order, mode, delta, paths, unfold, simplify, fold, update)
    _reasonable(options)
    if isinstance(source, str):
        return _explain_formula(source, at, options)
    if not callable(source):
        raise TypeError(f"explain takes a formula or a function, not a {type(source).__name__}")

    @functools.wraps(source, assigned=("__name__", "__doc__"), updated=())
    def explained(*args: Any, **kwargs: Any) -> Explanation:
        from chainrule.sources.function import trace_program

        program, point, names = trace_program(source, args, kwargs, wrt)
        return explain_program(program, point, dataclasses.replace(options, wrt=names))

    return explained


def _reasonable(options: Options) -> None:
    if not isinstance(options.order, int):
        raise ArgumentsError(f"order is a whole number, not {options.order!r}")
    if options.order < 1:
        raise FormulaError(f"the order of a derivative is at least 1, not {options.order}")
    if options.order > 10:
        raise FormulaError(f"order {options.order}: at most 10 are worked out step by step")
    if options.mode not in ("reverse", "forward"):
        raise FormulaError(f"mode is 'reverse' or 'forward', not {options.mode!r}")
    if not isinstance(options.paths, int) or options.paths < 0:
        raise ArgumentsError(f"paths is how many paths to list, not {options.paths!r}")
    if options.fold not in FOLDS:
        raise FormulaError(f"fold is one of {', '.join(map(repr, FOLDS))}, not {options.fold!r}")
    if options.delta is not None and (options.delta == 0 or not np.isfinite(options.delta)):
        raise FormulaError("delta is a number other than 0")


def _explain_formula(text: str, at: Mapping[str, float] | None, options: Options) -> Explanation:
    from chainrule.sources.formula import read_formula

    if at is not None and not isinstance(at, Mapping):
        raise ArgumentsError(f"at takes a value for each variable, {{'x': 1.0}}, not {at!r}")
    asked = _names(options.wrt)
    known = {*asked, *(at or {})}
    program = read_formula(text, variables=known, free=asked)
    wrt = asked or program.variables
    _known_variables(program, asked, "wrt")
    symbolic = at is None and program.variables
    point = None if symbolic else _point(program, at or {})
    return explain_program(program, point, dataclasses.replace(options, wrt=wrt))


def _names(wrt: str | Sequence[str] | None) -> tuple[str, ...]:
    if wrt is None:
        return ()
    names = wrt.split(",") if isinstance(wrt, str) else wrt
    return tuple(dict.fromkeys(_canonical(n) for n in names))


def _canonical(name: str) -> str:
    """The name as the parser knows it: ``x₁`` is ``x1``."""
    from chainrule.sources.formula import canonical_name

    return canonical_name(name)


def _known_variables(program: Program, names: Sequence[str], option: str) -> None:
    for name in names:
        if name not in program.variables:
            raise FormulaError(
                f"{option}: the formula has no variable {name!r}",
                hint=_suggestion(name, program.variables),
            )


def _suggestion(name: str, variables: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, variables, 1)
    if close:
        return f"Did you mean {close[0]!r}?"
    return f"Its variables are: {', '.join(variables)}." if variables else "It has no variables."


def _number(name: str, value: Any) -> float:
    if isinstance(value, float):
        return float(value)
    if isinstance(value, str) or np.ndim(value):
        raise ArgumentsError(f"at: the value of {name} is {value!r}; a variable is a number")
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise ArgumentsError(f"at: the value of {name} is {value!r}, which is no number") from error


def _point(program: Program, at: Mapping[str, float]) -> dict[str, Any]:
    given = {_canonical(n): _number(n, v) for n, v in at.items()}
    _known_variables(program, tuple(given), "at")
    missing = [n for n in program.variables if n not in given]
    if missing:
        raise FormulaError(
            f"no value for {', '.join(missing)}",
            hint=f"Give one: at {', '.join(f'{n}=…' for n in missing)}; or leave the point out.",
        )
    for name, value in given.items():
        if not np.isfinite(value):
            raise FormulaError(f"the value of {name} is {value}: give a finite number")
    return {n: np.float64(given[n]) for n in program.variables}


def explain_program(
    program: Program, at: Mapping[str, Any] | None, options: Options
) -> Explanation:
    """The explanation of a program, to the order asked for."""
    with np.errstate(all="ignore"):  # an infinity is reported, not warned about
        first = _first_order(program, at, options)
        if options.update is not None:
            first.update(options.update)  # what cannot be shown is refused at once
            first = dataclasses.replace(first, rate=options.update)
        if options.order == 1:
            return first
        return dataclasses.replace(first, order=options.order, higher=_higher(first, at, options))


def _first_order(program: Program, at: Mapping[str, Any] | None, options: Options) -> Explanation:
    wrt = _names_or_all(program, options)
    plain = options.mode == "reverse" and options.order == 1 and options.delta is None
    if at is not None and program.function is not None and is_traced(program, at, wrt, plain):
        return _by_element(program, at, options)
    values = program.values
    if at is not None and values is None:
        values = values_at(program, at, lambda node: _in_step(program, node, wrt, options.unfold))
    if options.mode == "forward" and at is not None and any(np.ndim(at[v]) for v in wrt):
        raise FormulaError(
            "forward mode is shown for scalars: an array has one pass for each element",
            hint="Use reverse mode, or ask for a scalar.",
        )
    work = prepare(program, wrt, at, values, options.mode, options.unfold)
    steps = steps_of(work)
    derivatives = derivatives_of(work, steps, options.simplify)
    check = _checked(work, derivatives)
    return Explanation(
        title=program.title,
        result=work.result,
        expression=None if work.gradient is None else program.output,
        inputs={n: None if at is None else at[n] for n in program.variables},
        value=_output_value(program, values),
        steps=tuple(steps),
        derivatives=derivatives,
        check=check,
        mode=options.mode,
        readings=program.readings,
        notes=tuple(dict.fromkeys(r.says for r in work.remarks)),
        quotients=_quotients(work, steps, derivatives, options),
        show_paths=options.paths,
        wrt=wrt,
        defined=_defined(program, work),
        program=program,
    )


def _by_element(program: Program, at: Mapping[str, Any], options: Options) -> Explanation:
    for option, given in (("order", options.order > 1), ("delta", options.delta is not None),
                          ("mode", options.mode == "forward")):  # fmt: skip
        if given:
            raise FormulaError(
                f"{option} is for formulas and functions of scalars; elements of arrays have a "
                "trace of first order, from the result back"
            )
    explained = explain_elements(program, at, options)
    if explained.check.outcome == "failed":
        raise CheckFailedError(explained.check)
    return explained


def _defined(program: Program, work: Work) -> tuple[str, ...]:
    """The steps of a formula that carry a definition's own name, in the order of writing."""
    steps = {g.name for g in work.outline.steps if not g.folded}
    return tuple(n for n in program.defined if n in steps)


def _names_or_all(program: Program, options: Options) -> tuple[str, ...]:
    return tuple(options.wrt) if options.wrt else program.variables


def _in_step(program: Program, node: Node, wrt: tuple[str, ...], unfold: bool) -> str:
    """Which step a node belongs to, for messages."""
    for group in outline(program, wrt, unfold).steps:
        if node.index in {m.index for m in group.members}:
            return f"step {text_name(group.name)}"
    return "the formula"


def _output_value(program: Program, values: Mapping[int, Any] | None) -> Any:
    if not isinstance(program.output, Node):
        return np.float64(program.output)
    return None if values is None else values[program.output.index]


def _quotients(
    work: Work, steps: Any, derivatives: Sequence[Derivative], options: Options
) -> tuple[Any, ...]:
    if options.delta is None or not work.outline.steps:
        return ()
    if work.at is None or work.gradient is None:
        raise FormulaError("delta needs a point, and a formula or function of scalars")
    deltas = [options.delta / 10**i for i in range(4)]
    return tuple(quotients_of(work, steps, d.variable, float(d.value), deltas) for d in derivatives)


def _checked(work: Work, derivatives: Sequence[Derivative]) -> Check:
    """The verdict; a failed check is an error and not a page."""
    if not isinstance(work.program.output, Node):
        return Check("verified", "a constant has derivative 0", 0.0)
    if work.program.function is not None and work.at is not None:
        check = check_function(work.program.function, work.at, derivatives, work)
    else:
        check = check_formula(work, derivatives)
    if check.outcome == "failed":
        raise CheckFailedError(check)
    return check


class CheckFailedError(ChainruleError):
    """The numerical check contradicts the derivative: there is no explanation to show."""

    def __init__(self, check: Check) -> None:
        super().__init__(f"the numerical check failed: {check.says}")
        self.check = check


def _higher(
    first: Explanation, at: Mapping[str, Any] | None, options: Options
) -> tuple[Explanation, ...]:
    """The derivative of each derivative, down to the order asked for."""
    if len(first.derivatives) > 1 and options.order > 2:
        raise FormulaError(
            f"order {options.order} with respect to {', '.join(first.wrt)} has too many parts",
            hint="Give one variable with wrt.",
        )
    found = []
    for derivative in first.derivatives:
        if derivative.expression is None:
            raise FormulaError(
                "higher orders are worked out for formulas and functions of scalars",
                hint="For arrays, use grad(grad(f)) or jvp of grad(f).",
            )
        again = _as_program(first, derivative)
        rest = dataclasses.replace(options, order=options.order - 1, delta=None, update=None)
        found.append(_descended(explain_program(again, at, rest), first, derivative.variable))
    return tuple(found)


def _descended(further: Explanation, first: Explanation, variable: str) -> Explanation:
    """A further derivative, told what it is a derivative of."""
    return dataclasses.replace(
        further,
        before=(variable, *further.before),
        original=first.result,
        higher=tuple(_descended(h, first, variable) for h in further.higher),
    )


def _as_program(first: Explanation, derivative: Derivative) -> Program:
    """A derivative as a computation of its own."""
    single = len(first.wrt) == 1
    name = f"{first.result}′" if single else f"{first.result}_{derivative.variable}"
    output = derivative.expression
    graph = output.graph if isinstance(output, Node) else Graph()
    return Program(
        title=name,
        graph=graph,
        output=output,
        output_name=name,
        variables=tuple(n for n in first.inputs if n not in (E, PI)),
    )
