"""Explanations of Python functions and of formulas that need care."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import ChainruleError, FormulaError, NotDifferentiableError
from chainrule.notation.expression import text


def step_names(explained):
    return [s.name for s in explained.steps]


# --- Python functions ----------------------------------------------------------------


def test_steps_carry_the_users_names_and_lines():
    def f(x):
        a = x**2 + 1
        b = np.log(a)
        return np.sin(b)

    explained = cr.explain(f)(1.0)
    first = f.__code__.co_firstlineno
    assert [(s.name, s.line) for s in explained.steps] == [
        ("a", first + 1), ("b", first + 2), ("y", first + 3),
    ]  # fmt: skip
    assert explained.check.outcome == "verified"
    assert float(explained.derivative().value) == float(cr.grad(f)(1.0))


def test_a_variable_assigned_again_and_again_is_numbered():
    def f(x):
        h = x
        for _ in range(3):
            h = np.tanh(h)
        return h

    assert step_names(cr.explain(f)(0.5)) == ["h1", "h2", "h3"]


def test_names_are_recovered_from_every_kind_of_assignment():
    class Box:
        pass

    def layer(v, w):
        z = w * v
        return np.tanh(z)

    def f(x):
        a, (b, c) = np.sin(x), (np.cos(x), np.exp(x))
        a += b
        if (d := a * c) > 0:
            e = np.log(d) if float(np.real(1.0)) > 0 else d
        box = Box()
        box.g = np.sqrt(e * e)
        hs = [np.tanh(v) for v in (box.g, d)]
        square = lambda v: v**2
        k = square(hs[0])
        h = layer(k, x)
        table = {}
        table["out"] = h * hs[1]
        return table["out"]

    names = step_names(cr.explain(f)(0.7))
    for name in ("a1", "a2", "b", "c", "d", "e", "box.g", "hs[0]", "hs[1]", "k", "z", "h"):
        assert name in names
    assert names[-1] == "table['out']" or names[-1] == 'table["out"]'


def test_code_without_source_gets_plain_names():
    space = {"np": np}
    exec("def f(x):\n    a = np.sin(x)\n    b = np.exp(a)\n    return b", space)
    assert step_names(cr.explain(space["f"])(0.5)) == ["u1", "y"]


def test_parameters_are_left_symbolic_and_can_be_asked_for():
    def f(x, w=2.0):
        return np.sin(w * x)

    by_x = cr.explain(f)(0.5, 3.0)
    assert text(by_x.derivative().expression) == "w·cos(w·x)"
    both = cr.explain(f, wrt=["x", "w"])(0.5, 3.0)
    assert [d.variable for d in both.derivatives] == ["x", "w"]
    assert float(both.derivative("w").value) == pytest.approx(0.5 * np.cos(1.5))


def test_pytrees_name_their_leaves():
    def loss(params, x):
        z = params["w"] * x + params["b"]
        return z**2

    explained = cr.explain(loss)({"w": 2.0, "b": 1.0}, 3.0)
    assert [d.variable for d in explained.derivatives] == ["params['b']", "params['w']"]
    assert [float(d.value) for d in explained.derivatives] == [14.0, 42.0]
    assert explained.check.outcome == "verified"


def test_python_branches_loops_and_recursion_are_followed():
    def power(x, n):
        return 1.0 if n == 0 else x * power(x, n - 1)

    def f(x):
        return power(x, 5) if x > 1 else -x

    assert float(cr.explain(f)(2.0).derivative().value) == 80.0
    assert float(cr.explain(f)(0.5).derivative().value) == -1.0


def test_arrays_say_which_structure_each_jacobian_has():
    weights = np.array([[0.5, -0.2], [0.3, 0.8]])

    def loss(x):
        z = weights @ x
        a = np.tanh(z)
        return np.sum(a)

    explained = cr.explain(loss)(np.array([0.5, 0.1]))
    assert [p.structure for s in explained.steps for p in s.partials] == [
        "matrix", "diagonal", "row of ones",
    ]  # fmt: skip
    assert np.allclose(explained.derivative().value, cr.grad(loss)(np.array([0.5, 0.1])))
    assert explained.check.outcome == "verified"
    assert "diag(1 − tanh(z)²)" in explained.to_text(width=160)


def test_an_array_gradient_is_checked_along_a_random_direction(monkeypatch):
    from chainrule.explanations import worked

    real = worked.reverse

    def wrong(records, seeds, keep=False):
        found = real(records, seeds, keep)
        return {i: (v * 1.001, s) for i, (v, s) in found.items()} if keep else found

    monkeypatch.setattr(worked, "reverse", wrong)
    with pytest.raises(ChainruleError, match="check failed"):
        cr.explain(lambda x: np.sum(np.sin(x)))(np.array([0.3, 0.4]))


def test_a_wrong_rule_is_never_shown(monkeypatch):
    import dataclasses

    from chainrule.graph import operand
    from chainrule.graph.primitive import Scale
    from chainrule.rules import BOOK

    wrong = dataclasses.replace(BOOK["sin"], edges=(Scale(lambda x, out: 1.001 * np.cos(x)),))
    monkeypatch.setitem(operand.UFUNCS, np.sin, wrong)
    with pytest.raises(ChainruleError, match="check failed"):
        cr.explain(lambda x: np.sin(x) * 2)(0.5)
    monkeypatch.setitem(BOOK, "sin", wrong)
    for at in ({"x": 0.5}, None):
        with pytest.raises(ChainruleError, match="check failed"):
            cr.explain("2sin(x)", at=at)


def test_a_function_that_ignores_its_argument_has_derivative_zero():
    explained = cr.explain(lambda x: 3.0)(1.0)
    assert float(explained.derivative().value) == 0.0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: cr.explain(lambda x: x * x)(3), "needs floats"),
        (lambda: cr.explain(lambda x: x * 2)(np.ones(3)), "scalar result"),
        (lambda: cr.explain(lambda x: x, wrt="y")(1.0), "no parameter 'y'"),
        (lambda: cr.explain(lambda x: "text")(1.0), "str"),
    ],
)
def test_what_cannot_be_explained_says_why(call, words):
    with pytest.raises(NotDifferentiableError, match=words):
        call()


def test_array_constants_are_part_of_an_explanation_like_any_other():
    design, target = np.arange(6.0).reshape(3, 2), np.array([1.0, 2.0, 3.0])
    losses = [
        lambda b: np.mean((design @ b - target) ** 2),
        lambda b: np.sum(b * np.array([2.0, 3.0]) - np.array([1.0, 1.0]) / b),
        lambda b: np.sum(np.where(np.array([True, False]), b, 2 * b)),
    ]
    for loss in losses:
        explained = cr.explain(loss)(np.array([0.1, 0.2]))
        assert explained.check.outcome == "verified"
        str(explained), explained.to_latex(), explained.to_markdown()


def test_forward_mode_of_an_array_is_declined_and_not_wrong():
    with pytest.raises(FormulaError, match="forward mode is shown for scalars"):
        cr.explain(lambda v: np.sum(v**3), mode="forward")(np.ones(2))


def test_every_kind_of_parameter_and_a_ufunc_can_be_explained():
    def f(a, /, b, *, c=2.0):
        return a * b * c

    explained = cr.explain(f, wrt=["a", "c"])(1.0, 2.0, c=3.0)
    assert [float(d.value) for d in explained.derivatives] == [6.0, 2.0]
    assert float(cr.explain(np.sin)(1.0).derivative().value) == np.cos(1.0)
    with pytest.raises(ChainruleError, match="do not fit f"):
        cr.explain(f)(1.0)


def test_complex_numbers_are_declined():
    with pytest.raises(NotDifferentiableError, match="complex"):
        cr.explain(lambda x: x * 1j)(1.0)


# --- kinks, singularities, branches --------------------------------------------------


def outcome(formula, **at):
    explained = cr.explain(formula, at=at)
    return explained.check.outcome, float(explained.derivative().value), explained.notes


def test_a_kink_is_named_with_the_convention_used():
    verdict, value, notes = outcome("relu(x)", x=0.0)
    assert (verdict, value) == ("not verifiable", 0.0)
    assert notes == ("relu at 0: not differentiable; 0 used",)
    assert outcome("|x|", x=0.0)[:2] == ("not verifiable", 0.0)
    assert outcome("max(x, 0)", x=0.0)[:2] == ("not verifiable", 0.5)


def test_steps_of_floor_say_that_their_derivative_is_zero():
    verdict, value, notes = outcome("x + floor(x)", x=0.5)
    assert (verdict, value) == ("verified", 1.0)
    assert any("constant between its jumps" in n for n in notes)


def test_an_infinite_derivative_is_shown_and_not_verifiable():
    verdict, value, _ = outcome("sqrt(x)", x=0.0)
    assert (verdict, value) == ("not verifiable", np.inf)
    verdict, value, _ = outcome("max(sqrt(x), 0)", x=0.0)
    assert verdict == "not verifiable"


def test_an_isolated_branch_whose_derivative_happens_to_be_right_is_verified():
    verdict, value, notes = outcome("where(x == 0, 1, sin(x)/x)", x=0.0)
    assert (verdict, value) == ("verified", 0.0)
    assert any("isolated point" in n for n in notes)


def test_an_isolated_branch_whose_derivative_is_not_the_functions_is_not_verified():
    explained = cr.explain("where(x == 0, 1, expm1(x)/x)", at={"x": 0.0})
    assert explained.check.outcome == "not verifiable"
    assert explained.check.expected == pytest.approx(0.5)
    assert "isolated point" in explained.check.says


def test_the_second_derivative_of_a_guarded_sinc_is_not_verified():
    explained = cr.explain("where(x == 0, 1, sin(x)/x)", at={"x": 0.0}, order=2)
    second = explained.higher[0]
    assert float(second.derivative().value) == 0.0
    assert second.check.outcome == "not verifiable"
    assert second.check.expected == pytest.approx(-1 / 3)


def test_the_same_branches_in_python():
    def guarded(x):
        with np.errstate(all="ignore"):
            return np.where(x == 0, 1.0, np.expm1(x) / x)

    def branching(x):
        return 1.0 + 0 * x if x == 0 else np.expm1(x) / x

    for f in (guarded, branching):
        explained = cr.explain(f)(0.0)
        assert explained.check.outcome == "not verifiable", f
        assert explained.check.expected == pytest.approx(0.5, rel=1e-6)
        assert "isolated point" in explained.check.says


def test_nothing_is_multiplied_on_the_way_into_a_branch_not_taken():
    explained = cr.explain("where(x > 0, sqrt(x), 0)", at={"x": -1.0})
    assert float(explained.derivative().value) == 0.0
    assert [float(p.product) for p in explained.paths()] == [0.0]
    assert explained.check.outcome == "verified"


# --- many steps ----------------------------------------------------------------------


def iterated(n):
    def f(x):
        h = x
        for _ in range(n):
            h = np.sin(h) * 1.01
        return h

    return f


def test_a_chain_of_a_hundred_thousand_operations_is_explained_folded():
    f = iterated(50_000)
    explained = cr.explain(f)(0.5)
    assert len(explained.steps) < 40
    assert sum(s.count for s in explained.steps) == 100_000
    assert float(explained.derivative().value) == float(cr.grad(f)(0.5))
    product = np.prod([float(p.value) for s in explained.steps for p in s.partials])
    assert product == pytest.approx(float(explained.derivative().value), rel=1e-9)
    assert "99,9" in str(explained)
    json.dumps(explained.to_dict())


def test_folding_keeps_every_local_derivative_of_what_it_shows():
    short, long = cr.explain(iterated(15))(0.5), cr.explain(iterated(40))(0.5)
    for a, b in itertools.islice(zip(short.steps, long.steps, strict=False), 4):
        assert a.name == b.name
        assert [float(p.value) for p in a.partials] == [float(p.value) for p in b.partials]


def test_paths_are_counted_without_being_walked():
    formula = "; ".join(
        ["y = x60", *(f"x{i + 1} = sin(x{i}) + cos(x{i})" for i in range(60)), "x0 = t"]
    )
    explained = cr.explain(formula, at={"t": 0.3}, simplify=False)
    assert explained.derivative().path_count >= 2**20
    assert len(explained.paths()) <= 20


def test_a_hundred_definitions_fold_with_and_without_a_point():
    formula = "; ".join(["a0 = x", *(f"a{i + 1} = sin(a{i})" for i in range(100))])
    for at in ({"x": 1.0}, None):
        explained = cr.explain(formula, at=at, simplify=False)
        assert explained.check.outcome == "verified"
        str(explained), explained.to_latex(), explained.to_markdown(), explained.to_dict()


def test_a_product_of_many_factors_is_worked_out_in_several_steps():
    explained = cr.explain("*".join(f"(x+{i})" for i in range(1, 13)), simplify=False)
    assert max(len(s.partials) for s in explained.steps) <= 5


# --- forms ---------------------------------------------------------------------------


def test_higher_orders_end_with_the_derivative_asked_for():
    data = cr.explain("x^4", order=3, at={"x": 2.0}).to_dict()
    assert data["derivative"]["text"] == "24x"
    assert data["derivative"]["value"] == 48.0
    assert data["first"]["text"] == "4x³"


def test_order_two_of_several_variables_is_the_hessian():
    hessian = cr.explain("x²y³", order=2).to_dict()["hessian"]
    assert hessian["x"]["y"]["text"] == hessian["y"]["x"]["text"] == "6x·y²"


def test_every_form_comes_from_the_same_data():
    explained = cr.explain("sin(ln(x^2+1))", at={"x": 1.0})
    bundle = explained._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/markdown", "text/latex"}
    assert str(explained) == repr(explained) == bundle["text/plain"]
    assert r"\frac{\mathrm{d} y}{\mathrm{d} x}" in explained.to_latex()
    assert explained.to_markdown().count("|") > 10
    assert json.loads(json.dumps(explained.to_dict())) == explained.to_dict()


def test_infinities_in_json_are_words():
    data = cr.explain("sqrt(x)", at={"x": 0.0}).to_dict()
    assert data["derivative"]["value"] == "inf"
    json.dumps(data, allow_nan=False)


def test_simplification_gives_up_in_time_and_says_so():
    from chainrule.explanations.simplify import simplified
    from chainrule.sources.formula import read_formula

    program = read_formula("*".join(f"(sin(x+{i})+cos({i}x)+{i})" for i in range(1, 30)))
    expression, remark = simplified(program.output, seconds=1e-4)
    assert expression is program.output
    assert "not simplified" in remark


def test_order_modes_and_variables_are_validated():
    for options in (
        {"order": 0},
        {"order": 11},
        {"mode": "sideways"},
        {"delta": 0.0},
        {"wrt": "q"},
    ):
        with pytest.raises(FormulaError):
            cr.explain("x^2", at={"x": 1.0}, **options)


def test_a_local_derivative_never_has_the_symbol_of_the_whole_one():
    printed = str(cr.explain("y = x*u; u = x^2 + w", at={"x": 1.0, "w": 2.0}))
    assert "∂y/∂x|u = u" in printed
    assert "∂y/∂x = ∂y/∂x|u + ∂y/∂u · ∂u/∂x" in printed


def test_a_derivative_of_zero_has_an_absolute_error():
    explained = cr.explain("sin(x)^2 + cos(x)^2", at={"x": 0.7})
    assert explained.check.outcome == "verified"
    assert explained.check.error < 1e-15


@pytest.mark.parametrize(
    ("formula", "at"),
    [("sqrt(x)", 1e-25), ("ln(x)", 1e-30), ("|x|", 1e-25), ("1/x", 1e-25), ("max(0,x)^2", 0.0)],
)
def test_the_check_steps_in_proportion_to_the_point(formula, at):
    assert cr.explain(formula, at={"x": at}).check.outcome == "verified"


def test_simplification_does_not_invent_values_where_there_are_none():
    assert "where" not in text(cr.explain("ln|x|").derivative().expression)


def test_a_power_with_a_huge_exponent_is_printed_as_one():
    assert "x^(10¹⁸)" in text(cr.explain("x^(10^18)").derivative().expression)


@pytest.mark.parametrize("formula", ["0^x", "(-2)^x", "x/(1-1)", "ln(0) x"])
def test_what_sympy_calls_infinite_or_complex_is_left_as_it_is(formula):
    assert cr.explain(formula).check.outcome == "not verifiable"


@pytest.mark.parametrize("options", [{"order": "2"}, {"at": "x=1"}, {"at": {"x": "1"}}])
def test_options_of_the_wrong_type_are_named(options):
    with pytest.raises(ChainruleError):
        cr.explain("x^2", **options)


def test_a_branch_that_ends_elsewhere_is_not_mentioned():
    explained = cr.explain("where(x > 0, x^2, 0)", at={"x": 1e-9})
    assert explained.notes == ()
    assert explained.check.outcome == "verified"


def test_a_loop_is_explained_iteration_by_iteration():
    def f(x):
        y = cr.fori_loop(0, 3, lambda i, v: np.sin(v) * x, x)
        return y**2

    steps = cr.explain(f)(0.5).steps
    assert [text(s.expression) for s in steps][:3] == ["sin(x)", "u₁·x", "sin(u₂)"]
    assert len(steps) == 7


def test_a_checkpoint_is_looked_into_and_a_rule_of_ones_own_is_one_step():
    @cr.custom_rule(pull=lambda ct, x, out: ct * np.cos(x))
    def sine(x):
        return np.sin(x)

    def f(x):
        a = cr.checkpoint(lambda v: np.exp(v) + 1)(x)
        b = sine(a)
        return b * x

    explained = cr.explain(f)(0.5)
    assert explained.check.outcome == "verified"
    b = next(s for s in explained.steps if s.name == "b")
    assert b.partials[0].value == pytest.approx(np.cos(np.exp(0.5) + 1))


def test_assignment_to_elements_is_explained():
    def f(x):
        p = np.zeros_like(x)
        p[0] = x[0]
        p[1] = p[0] * x[1]
        return np.sum(p)

    explained = cr.explain(f)(np.array([1.5, 2.0]))
    assert explained.check.outcome == "verified"
    assert explained.derivatives[0].value.tolist() == [3.0, 1.5]
