"""Formulas and numbers from the texts on the chain rule that this project grew out of.

Where a text prints a digit that float64 does not give, the right one stands here.
"""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.notation.expression import text


def simplified(formula: str, wrt: str | None = None) -> str:
    return text(cr.explain(formula, wrt=wrt).derivative().expression)


def same_function(a: str, b: str, points: tuple[float, ...] = (0.3, 0.7, 1.9)) -> bool:
    from chainrule.run import evaluate
    from chainrule.sources.formula import read_formula

    left, right = read_formula(a), read_formula(b)
    for x in points:
        va, vb = (evaluate([p.output], dict.fromkeys(p.variables, x))[0] for p in (left, right))
        if not np.isclose(va, vb, rtol=1e-14, atol=0):
            return False
    return True


ANSWERS = {
    # formula: (derivative as the texts write it, how it is printed)
    "(x²+1)³": ("6x(x²+1)²", "6x(x² + 1)²"),
    "e^{-x²}": ("-2x e^{-x²}", "−2x·e^(−x²)"),
    "sin(3x+2)": ("3cos(3x+2)", "3cos(3x + 2)"),
    "ln(x²+1)": ("2x/(x²+1)", "2x/(x² + 1)"),
    "sin(e^{x²})": ("cos(e^{x²})·e^{x²}·2x", "2x·e^(x²)·cos(e^(x²))"),
    "sin(ln(x²+1))": ("2x cos(ln(x²+1))/(x²+1)", "2x·cos(ln(x² + 1))/(x² + 1)"),
    "sin(x²)": ("2x cos(x²)", "2x·cos(x²)"),
    "e^(ln((3x)²))": ("18x", "18x"),
    "(x²+5)³": ("6x(x²+5)²", "6x(x² + 5)²"),
    "e^(3x)": ("3e^(3x)", "3e^(3x)"),
    "(3x+1)²": ("6(3x+1)", None),
    # the exercises
    "(3x + 1)⁵": ("15(3x+1)⁴", "15(3x + 1)⁴"),
    "e^{2x}": ("2e^{2x}", "2e^(2x)"),
    "ln(x³)": ("3/x", "3/x"),
    "√(1+x²)": ("x/√(1+x²)", "x/√(x² + 1)"),
    "sin(cos(x²))": ("−2x sin(x²) cos(cos(x²))", None),
    "(x+1)²": ("2x+2", None),
    "x² + 2x + 1": ("2x+2", None),
}


@pytest.mark.parametrize("formula", ANSWERS)
def test_the_simplified_answer_is_the_textbook_answer(formula: str) -> None:
    answer, printed = ANSWERS[formula]
    explained = cr.explain(formula)
    assert explained.check.outcome == "verified"
    shown = text(explained.derivative().expression)
    assert same_function(shown, answer)
    if printed is not None:
        assert shown == printed


def test_a_long_chain_is_a_table_of_named_steps() -> None:
    explained = cr.explain("sin(ln(x^2+1))", at={"x": 1.0})
    table = [
        (s.name, text(s.expression), float(s.value), text(p.expression), float(p.value))
        for s in explained.steps
        for p in s.partials
    ]
    assert table == [
        ("u1", "x² + 1", 2.0, "2x", 2.0),
        ("u2", "ln(u₁)", np.log(2.0), "1/u₁", 0.5),
        ("y", "sin(u₂)", np.sin(np.log(2.0)), "cos(u₂)", np.cos(np.log(2.0))),
    ]
    assert float(explained.derivative().value) == pytest.approx(np.cos(np.log(2.0)), rel=1e-15)


def test_four_nested_functions_with_names_of_their_own() -> None:
    explained = cr.explain("z = e^w; w = ln v; v = u²; u = 3x", at={"x": 2.0})
    assert [s.name for s in explained.steps] == ["u", "v", "w", "z"]
    assert [text(s.expression) for s in explained.steps] == ["3x", "u²", "ln(v)", "e^w"]
    assert [text(s.partials[0].expression) for s in explained.steps] == ["3", "2u", "1/v", "e^w"]
    assert text(explained.derivative().expression) == "18x"
    assert float(explained.derivative().value) == pytest.approx(36.0, rel=1e-14)


def test_unnamed_steps_of_the_same_chain() -> None:
    steps = cr.explain("e^(ln((3x)²))").steps
    assert [text(s.expression) for s in steps] == ["3x", "u₁²", "ln(u₂)", "e^u₃"]


def test_composition_with_function_definitions() -> None:
    explained = cr.explain("f(u) = u³; g(x) = x² + 1; h(x) = f(g(x))", at={"x": 2.0})
    assert [s.name for s in explained.steps] == ["g", "h"]
    assert text(explained.derivative().expression) == "6x(x² + 1)²"
    assert float(explained.derivative().value) == 300.0


def test_two_paths_and_their_sum() -> None:
    explained = cr.explain("z = x*y; x = s^2; y = s^3", wrt="s", at={"s": 2.0})
    paths = explained.paths()
    assert [p.names for p in paths] == [("z", "x", "s"), ("z", "y", "s")]
    assert [[text(f.expression) for f in p.factors] for p in paths] == [["y", "2s"], ["x", "3s²"]]
    assert [float(p.product) for p in paths] == [32.0, 48.0]
    assert [p.share for p in paths] == [0.4, 0.6]
    assert text(explained.derivative().expression) == "5s⁴"
    assert float(explained.derivative().value) == 80.0


def test_partial_derivatives_hold_the_other_variable_fixed() -> None:
    explained = cr.explain("x*y", wrt=["x", "y"], at={"x": 4.0, "y": 8.0})
    assert {d.variable: float(d.value) for d in explained.derivatives} == {"x": 8.0, "y": 4.0}


def test_the_multivariate_exercise_both_ways() -> None:
    through = cr.explain("f = x²y³; x = t²; y = t³")
    direct = cr.explain("(t²)²(t³)³")
    assert text(through.derivative().expression) == text(direct.derivative().expression) == "13t¹²"
    assert len(through.paths()) == 2


def test_difference_quotients_multiply_and_approach_the_derivative() -> None:
    explained = cr.explain("(x² + 1)³", at={"x": 1.0}, delta=0.1)
    (table,) = explained.quotients
    assert table.deltas == (0.1, 0.01, 0.001, 0.0001)
    inner, outer = table.rows
    for i in range(4):
        assert inner.quotients[i] * outer.quotients[i] == pytest.approx(table.direct[i], rel=1e-9)
        assert table.products[i] == pytest.approx(table.direct[i], rel=1e-9)
    assert inner.quotients[0] == pytest.approx(2.1)
    errors = [abs(q - table.limit) for q in table.direct]
    assert errors == sorted(errors, reverse=True)
    assert table.limit == 24.0


def test_difference_quotients_add_over_paths_exactly() -> None:
    (table,) = cr.explain("z = x*y; x = s^2; y = s^3", at={"s": 2.0}, delta=0.1).quotients
    assert table.products == pytest.approx(table.direct, rel=1e-9)
    assert table.direct[0] == pytest.approx((2.1**5 - 32) / 0.1)
    assert table.limit == 80.0


def test_the_graph_runs_forward_with_values_and_backward_from_one() -> None:
    explained = cr.explain("sin(ln(x^2+1))", at={"x": 1.0})
    adjoints = {s.name: float(s.adjoint) for s in explained.steps}
    c = float(np.cos(np.log(2.0)))
    assert adjoints == {"y": 1.0, "u2": c, "u1": c * 0.5}
    printed = str(explained)
    for piece in ("dy/dy", "dy/du₂", "dy/du₁", "dy/dx", "0.7692389014"):
        assert piece in printed


def test_forward_mode_gives_the_same_derivative_from_the_other_end() -> None:
    backward = cr.explain("sin(ln(x^2+1))", at={"x": 1.0})
    forward = cr.explain("sin(ln(x^2+1))", at={"x": 1.0}, mode="forward")
    assert float(forward.derivative().value) == pytest.approx(
        float(backward.derivative().value), 1e-15
    )
    tangents = [float(s.tangents["x"]) for s in forward.steps]
    assert tangents == pytest.approx([2.0, 1.0, 0.7692389013639721], rel=1e-15)


def test_python_functions_to_any_order() -> None:
    def f(x):  # type: ignore[no-untyped-def]
        a = x**2 + 1
        b = np.log(a)
        return np.sin(b)

    first = cr.grad(f)
    assert float(first(1.0)) == pytest.approx(0.7692389013639721, rel=1e-15)
    second, third = cr.grad(first), cr.grad(cr.grad(first))
    h = 1e-5
    assert float(second(1.0)) == pytest.approx((first(1 + h) - first(1 - h)) / (2 * h), rel=1e-8)
    assert float(third(1.0)) == pytest.approx((second(1 + h) - second(1 - h)) / (2 * h), rel=1e-8)
    explained = cr.explain(f)(1.0)
    assert [s.name for s in explained.steps] == ["a", "b", "y"]
    assert [text(s.expression) for s in explained.steps] == ["x² + 1", "ln(a)", "sin(b)"]
    assert [s.source for s in explained.steps] == [
        "a = x**2 + 1",
        "b = np.log(a)",
        "return np.sin(b)",
    ]


def test_higher_orders_of_a_formula() -> None:
    explained = cr.explain("sin(x²)", order=3)
    third = explained.higher[0].higher[0].derivative()
    assert same_function(text(third.expression), "-12x sin(x²) - 8x³ cos(x²)")


def test_the_anchor_gradient_of_a_single_neuron() -> None:
    explained = cr.explain("y = σ(z); z = w x + b", wrt="w", at={"w": 0.6, "x": 0.5, "b": 0.1})
    # A widely read text prints 0.120002, which comes from a rounded 0.599 · 0.401.
    assert float(explained.derivative().value) == pytest.approx(0.1201303729, abs=5e-11)
    assert explained.check.outcome == "verified"


def test_a_centred_difference_confirms_the_neuron() -> None:
    explained = cr.explain("σ(w x + b)", wrt="w", at={"w": 0.6, "x": 0.5, "b": 0.1}, delta=1e-3)
    (table,) = explained.quotients
    assert table.direct[-1] == pytest.approx(0.1201303729, rel=1e-6)
    assert explained.check.error is not None
    assert explained.check.error < 1e-15


def test_a_bias_has_derivative_one_and_a_weight_its_input() -> None:
    explained = cr.explain("w1 x1 + w2 x2 + b", wrt=["w1", "w2", "b"])
    assert [text(d.expression) for d in explained.derivatives] == ["x₁", "x₂", "1"]
