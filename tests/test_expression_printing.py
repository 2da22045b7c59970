"""Expressions are printed as a textbook sets them, and are read back as what they are."""

from __future__ import annotations

import mpmath
import pytest

import chainrule
from chainrule.explanations.worked import symbolic_gradient
from chainrule.graph.node import Graph
from chainrule.graph.operand import bind
from chainrule.graph.rational import rational
from chainrule.graph.rewriting import exact
from chainrule.notation.expression import latex, text
from chainrule.rules import BOOK
from chainrule.run.precise import NotReal, evaluate_precisely
from chainrule.sources.formula import read_formula

NAMES = ("x", "y", "z", "u1", "u2", "alpha", "theta", "rate")
X = dict(zip(NAMES, (1.25, 0.7, 2.5, 0.3, 1.5, 0.9, 0.4, 3.5), strict=True))

PRINTED = {
    # each formula with its text and its LaTeX
    "6x(x^2+1)^2": ("6x(x² + 1)²", r"6\, x\, \left(x^{2} + 1\right)^{2}"),
    "exp(-x^2)": ("e^(−x²)", r"e^{-x^{2}}"),
    "x/sqrt(x^2+1)": ("x/√(x² + 1)", r"\frac{x}{\sqrt{x^{2} + 1}}"),
    "-2x*e^(-x^2)": ("−2x·e^(−x²)", r"-2\, x\, e^{-x^{2}}"),
    "1/(2sqrt(x))": ("1/(2√x)", r"\frac{1}{2\, \sqrt{x}}"),
    "2^x*ln(2)": ("2^x·ln(2)", r"2^{x}\, \ln\left(2\right)"),
    "exp2(x)^2": ("(2^x)²", r"\left(2^{x}\right)^{2}"),
    # nested powers
    "(x^2)^3": ("(x²)³", r"\left(x^{2}\right)^{3}"),
    "x^(y^z)": ("x^(y^z)", r"x^{y^{z}}"),
    "(x^y)^z": ("(x^y)^z", r"\left(x^{y}\right)^{z}"),
    "x^-2": ("x⁻²", "x^{-2}"),
    "x^(1/3)": ("x^(1/3)", r"x^{\frac{1}{3}}"),
    "x^(-0.5)": ("x^(−0.5)", "x^{-0.5}"),
    "sin(x)^2": ("sin(x)²", r"\sin\left(x\right)^{2}"),
    "sqrt(x)^3": ("(√x)³", r"\sqrt{x}^{3}"),
    # a minus sign in every position
    "-x": ("−x", "-x"),
    "-(-x)": ("−(−x)", r"-\left(-x\right)"),
    "(-x)^2": ("(−x)²", r"\left(-x\right)^{2}"),
    "-x^2": ("−x²", "-x^{2}"),
    "x + (-y)": ("x − y", "x - y"),
    "x - (-y)": ("x − (−y)", r"x - \left(-y\right)"),
    "x*(-y)": ("x·(−y)", r"x\, \left(-y\right)"),
    "(-x)*y": ("−x·y", r"-x\, y"),
    "(-x)/y": ("−x/y", r"-\frac{x}{y}"),
    "x/(-y)": ("x/(−y)", r"\frac{x}{-y}"),
    "x^(-y)": ("x^(−y)", "x^{-y}"),
    "sin(-x)": ("sin(−x)", r"\sin\left(-x\right)"),
    "(-2)*(-3)x": ("−2(−3)·x", r"-2\, \left(-3\right)\, x"),
    "x + (-2)": ("x − 2", "x - 2"),
    "x - (y - z)": ("x − (y − z)", r"x - \left(y - z\right)"),
    "-(x + y)": ("−(x + y)", r"-\left(x + y\right)"),
    # quotients
    "(x/y)/z": ("(x/y)/z", r"\frac{\frac{x}{y}}{z}"),
    "x/(y/z)": ("x/(y/z)", r"\frac{x}{\frac{y}{z}}"),
    "x*(1/y)": ("x/y", r"\frac{x}{y}"),
    "x*(y/z)": ("x·(y/z)", r"x\, \frac{y}{z}"),
    "(x/y)*z": ("(x/y)·z", r"\frac{x}{y}\, z"),
    "2*(x/y)": ("2x/y", r"\frac{2\, x}{y}"),
    "x/(2y)": ("x/(2y)", r"\frac{x}{2\, y}"),
    # numbers
    "1e-20x": ("10⁻²⁰·x", r"10^{-20}\, x"),
    "1.5e-7 + x": ("1.5·10⁻⁷ + x", r"1.5 \times 10^{-7} + x"),
    "2*3x": ("2·3·x", r"2 \cdot 3\, x"),
    "x*2": ("x·2", r"x \cdot 2"),
    # names
    "2u_1*alpha": ("2u₁·α", r"2\, u_{1}\, \alpha"),
    "alpha*(x+1)": ("α·(x + 1)", r"\alpha \cdot \left(x + 1\right)"),
    "u1*(u2+1)": ("u₁·(u₂ + 1)", r"u_{1} \cdot \left(u_{2} + 1\right)"),
    "rate*(x+1)": ("rate·(x + 1)", r"\mathrm{rate} \cdot \left(x + 1\right)"),
    "2pi*x": ("2π·x", r"2\, \pi\, x"),
    # bars and brackets
    "|x|^2": ("|x|²", r"\left|x\right|^{2}"),
    "|x*|y|*z|": ("abs(x·|y|·z)", r"\left|x\, \left|y\right|\, z\right|"),
    "(x+1)(x-1)": ("(x + 1)(x − 1)", r"\left(x + 1\right)\, \left(x - 1\right)"),
    "sin(x)*(x+1)": ("sin(x)·(x + 1)", r"\sin\left(x\right)\, \left(x + 1\right)"),
    "where(x == y, x, -y)": (
        "where(x == y, x, −y)",
        r"\operatorname{where}\left(x = y, x, -y\right)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("formula", PRINTED)
def test_a_formula_is_printed_like_this(formula: str):
    output = read_formula(formula, NAMES).output
    assert (text(output), latex(output)) == PRINTED[formula]


@pytest.mark.parametrize("formula", PRINTED)
def test_what_is_printed_is_read_back_with_the_same_value(formula: str):
    output = read_formula(formula, NAMES).output
    mp = mpmath.MPContext()
    mp.dps = 50
    point = {name: mp.mpf(value) for name, value in X.items()}
    (value,) = evaluate_precisely(mp, [output], point)
    for printed in (text(output), latex(output).replace(" = ", " == ")):
        (again,) = evaluate_precisely(mp, [read_formula(printed, NAMES).output], point)
        assert abs(value - again) <= abs(value) * mp.mpf(10) ** -45, printed


DERIVATIVES = {
    # each formula with its derivative as it is taken, and simplified
    "(x²+1)³": ("3(x² + 1)²·2x", "6x(x² + 1)²"),
    "sqrt(x²+1)": ("(1/(2√(x² + 1)))·2x", "x/√(x² + 1)"),
    "cos(x/7)": ("−sin(x/7)/7", "−sin(x/7)/7"),
    "0.1(3x)": ("0.3", "0.3"),
    "x/7 + x/4": ("11/28", "11/28"),
    "x^2.7": ("2.7x^1.7", "2.7x^1.7"),
    "x^0.1": ("0.1x^(−0.9)", "0.1/x^0.9"),
    "|x|": ("sign(x)", "sign(x)"),
    "where(x<1,-x^2,x)": ("where(x < 1, 0, 1) + where(x < 1, −2x, 0)", "where(x < 1, −2x, 1)"),
}


@pytest.mark.parametrize("formula", DERIVATIVES)
def test_a_derivative_is_printed_like_this(formula: str):
    taken, short = (
        text(chainrule.explain(formula, simplify=simplify).derivative().expression)
        for simplify in (False, True)
    )
    assert (taken, short) == DERIVATIVES[formula]


def test_constants_of_a_derivative_are_exact_at_any_precision():
    mp = mpmath.MPContext()
    mp.dps = 50
    slope = symbolic_gradient(read_formula("x/7"), ("x",))["x"]
    assert evaluate_precisely(mp, [slope], {})[0] == mp.mpf(1) / 7


def test_a_tie_of_the_maximum_is_asked_for_once():
    slope = symbolic_gradient(read_formula("sec(x) max(x, y)"), ("y",))["y"]
    assert text(slope) == "sec(x)·where(y == x, 0.5, where(y < x, 0, 1))"


def test_branches_that_are_simplified_one_by_one_stay_apart():
    answer = chainrule.explain("sec(x) max(x, y)").derivative("y")
    assert text(answer.expression) == "where(y < x, 0, where(y == x, 0.5sec(x), sec(x)))"


def test_a_choice_by_conditions_put_together_is_asked_part_by_part():
    graph = Graph(exact)
    x, y = graph.input("x"), graph.input("y")

    def chosen(condition):
        return text(bind(BOOK["where"], (condition, x, y)))

    assert chosen((x < 1.0) & (y < 1.0)) == "where(y < 1, where(x < 1, x, y), y)"
    assert chosen((x < 1.0) | (y < 1.0)) == "where(x < 1, x, where(y < 1, x, y))"
    assert chosen(~(x < 1.0)) == "where(x < 1, y, x)"


@pytest.mark.parametrize(
    "formula", ["max(ln(x), 1)", "where(ln(x) < 1, 2, 3)", "clip(ln(x), 0, 1)"]
)
def test_an_undefined_part_leaves_the_whole_undefined(formula: str):
    with pytest.raises(NotReal):
        evaluate_precisely(mpmath.mp, [read_formula(formula).output], {"x": mpmath.mpf(-1)})


def test_a_branch_that_is_not_taken_may_be_undefined():
    output = read_formula("where(x < 0, 5, ln(x))").output
    assert evaluate_precisely(mpmath.mp, [output], {"x": mpmath.mpf(-1)}) == [5]


def test_expressions_of_different_graphs_are_evaluated_together():
    outputs = [read_formula(f).output for f in ("sin(x) + 1", "x^2")]
    assert evaluate_precisely(mpmath.mp, outputs, {"x": mpmath.mpf(0)}) == [1, 0]


def test_numbers_compute_exactly_and_fall_back_to_floats():
    tenth = rational(0.1)
    assert (tenth * 3).exactly.denominator == 10
    assert str(rational(2.7) - 1) == "1.7"
    assert rational(1e300) * rational(1e300) == float("inf")
    assert str(-rational(0.0)) == "-0.0"


def test_a_tiny_power_is_a_number_and_an_enormous_one_is_not():
    mp = mpmath.MPContext()
    for formula in ("2^(-x)", "(2^(-x))^2", "(1/2)^x"):
        value = evaluate_precisely(mp, [read_formula(formula).output], {"x": mp.mpf(10) ** 8})[0]
        assert 0 < value < mp.mpf(10) ** -1000
    with pytest.raises(NotReal):
        evaluate_precisely(mp, [read_formula("2^x").output], {"x": mp.mpf(10) ** 8})


def test_a_difference_of_nearly_equal_numbers_keeps_its_digits():
    mp = mpmath.MPContext()
    mp.dps = 50
    output = read_formula("erfc(8)/(1 - erf(x))").output
    assert evaluate_precisely(mp, [output], {"x": mp.mpf(8)}) == [1]


def test_a_choice_inside_a_branch_that_is_not_taken_is_not_asked():
    slope = symbolic_gradient(read_formula("where(x < 0, x^2, relu(ln(x)))"), ("x",))["x"]
    assert evaluate_precisely(mpmath.mp, [slope], {"x": mpmath.mpf(-3)}) == [-6]
