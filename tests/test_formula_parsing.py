"""Formulas are read as the page ``docs/formulas.md`` says: trees, readings, and errors."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from chainrule.errors import FormulaError
from chainrule.sources.formula.names import canonical_name
from chainrule.sources.formula.parse import parse
from chainrule.sources.formula.syntax import Call, Expression, Number, postorder

SIGNS = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/", "power": "^"}


def shown(root: Expression) -> str:
    """The tree with a pair of parentheses around every operator."""
    stack: list[str] = []
    for node in postorder(root):
        if not isinstance(node, Call):
            stack.append(node.text if isinstance(node, Number) else node.name)
            continue
        args = [stack.pop() for _ in node.args][::-1]
        sign = SIGNS.get(node.function)
        if sign:
            stack.append(f"({args[0]} {sign} {args[1]})")
        elif node.function == "negative":
            stack.append(f"(-{args[0]})")
        else:
            stack.append(f"{node.function}({', '.join(args)})")
    return stack[0]


def tree(text: str, variables: tuple[str, ...] = ()) -> str:
    parts = []
    for definition in parse(text, variables).definitions:
        parameters = f"({', '.join(definition.parameters)})" if definition.parameters else ""
        head = f"{definition.name}{parameters} = " if definition.name else ""
        parts.append(head + shown(definition.body))
    return "; ".join(parts)


TREES = {
    # numbers and operators
    "3": "3",
    ".5x + 2.": "((.5 * x) + 2.)",
    "1e-3 + 1.5E+10": "(1e-3 + 1.5E+10)",
    "3e^x": "(3 * (e ^ x))",
    "2e": "(2 * e)",
    "2 e": "(2 * e)",
    "a - b - c": "((a - b) - c)",
    "a/b/c": "((a / b) / c)",
    "a*b/c*d": "(((a * b) / c) * d)",
    "x**2": "(x ^ 2)",
    "x^y^z": "(x ^ (y ^ z))",
    "9^9^9^9": "(9 ^ (9 ^ (9 ^ 9)))",
    "-x^2": "(-(x ^ 2))",
    "2^-x": "(2 ^ (-x))",
    "e^-x^2": "(e ^ (-(x ^ 2)))",
    "-2x": "((-2) * x)",
    "--x": "(-(-x))",
    "+x": "x",
    "2*-x": "(2 * (-x))",
    "[x+1](x-1)": "((x + 1) * (x - 1))",
    # other signs
    "x · y × z ⋅ w ∗ v ÷ u − t – s": "(((((((x * y) * z) * w) * v) / u) - t) - s)",
    "1e−20 + 2E–3x": "(1e-20 + (2E-3 * x))",
    "(3x + 1)⁵": "(((3 * x) + 1) ^ 5)",
    "x⁻¹": "(x ^ (-1))",
    "x¹⁰": "(x ^ 10)",
    "xⁿ": "(x ^ n)",
    "x⁽ⁿ⁺¹⁾": "(x ^ (n + 1))",
    "e⁻ˣ": "(e ^ (-x))",
    "x²^3": "((x ^ 2) ^ 3)",
    "x²y³": "((x ^ 2) * (y ^ 3))",
    "½(z − y)²": "((1 / 2) * ((z - y) ^ 2))",
    "3𝑥²": "(3 * (x ^ 2))",
    "√x": "sqrt(x)",
    "√(1+x²)": "sqrt((1 + (x ^ 2)))",
    "√(x)²": "(sqrt(x) ^ 2)",
    "√2x": "(sqrt(2) * x)",
    "√x²": "sqrt((x ^ 2))",
    "√√x": "sqrt(sqrt(x))",
    "∛x": "cbrt(x)",
    "|x|": "abs(x)",
    "||x| - |y||": "abs((abs(x) - abs(y)))",
    "|x||y|": "(abs(x) * abs(y))",
    "ln|x| + 1": "(log(abs(x)) + 1)",
    "⌊x⌋ + ⌈x⌉": "(floor(x) + ceil(x))",
    "2\u200bx": "(2 * x)",
    # products without a sign
    "3x": "(3 * x)",
    "2x(x+1)": "((2 * x) * (x + 1))",
    "(x+1)(x-1)": "((x + 1) * (x - 1))",
    "(x+1)2": "((x + 1) * 2)",
    "x sin x": "(x * sin(x))",
    "2πr": "((2 * pi) * r)",
    "1/2x": "((1 / 2) * x)",
    "a(x+1)": "(a * (x + 1))",
    "f(x)": "(f * x)",
    # words
    "xy": "(x * y)",
    "xyz": "((x * y) * z)",
    "rate": "rate",
    "pix": "(pi * x)",
    "x1 + x_1 + x_{1} + x₁": "(((x1 + x1) + x1) + x1)",
    r"w_{\mathrm{max}} + w_max": "(w_max + w_max)",
    r"\mathrm{my}_{\text{a\_b}} u_{\operatorname{in},2}": "(my_a_b * u_in_2)",
    "W11 + W₁₁ + w_ij + x_max": "(((W11 + W11) + w_ij) + x_max)",
    "w_{i,j}": "w_i_j",
    "x1y2": "(x1 * y2)",
    "α + alpha + \\alpha": "((alpha + alpha) + alpha)",
    "αβ": "(alpha * beta)",
    "θ_1x": "(theta1 * x)",
    "σ": "sigma",
    "σ(z)": "sigmoid(z)",
    "ŷ(1-ŷ)": "(ŷ * (1 - ŷ))",
    "sinx": "sin(x)",
    "sin2x": "sin((2 * x))",
    "lnsinx": "log(sin(x))",
    "xsin x": "(x * sin(x))",
    "xmax": "xmax",
    # functions
    "sin 2x cos x": "(sin((2 * x)) * cos(x))",
    "sin x^2": "sin((x ^ 2))",
    "sin(x)^2": "(sin(x) ^ 2)",
    "sin^2 x": "(sin(x) ^ 2)",
    "sin²(x)": "(sin(x) ^ 2)",
    "sin^2(x) y": "((sin(x) ^ 2) * y)",
    "sin(x) y": "(sin(x) * y)",
    "sin(x)cos(x)": "(sin(x) * cos(x))",
    "sin x * y": "(sin(x) * y)",
    "sin x + y": "(sin(x) + y)",
    "sin -x": "sin((-x))",
    "sin sin x": "sin(sin(x))",
    "ln ln x": "log(log(x))",
    "sin ln(x) y": "(sin(log(x)) * y)",
    "sin √x": "sin(sqrt(x))",
    "sin \\frac12 x": "sin(((1 / 2) * x))",
    "e^sin x": "(e ^ sin(x))",
    "sin^-1 x": "arcsin(x)",
    "tanh^{-1}(x)": "arctanh(x)",
    "sin⁻¹(x)": "arcsin(x)",
    "ln^-1 x": "(log(x) ^ (-1))",
    "asin x + arsinh x + acosh x + cosec x + tg x": (
        "((((arcsin(x) + arcsinh(x)) + arccosh(x)) + csc(x)) + tan(x))"
    ),
    "log_2(x) + log2(x) + log_{10} x + lg x + log₂x": (
        "((((log2(x) + log2(x)) + log10(x)) + log10(x)) + log2(x))"
    ),
    "log_b(x)": "(log(x) / log(b))",
    "log_3 x": "(log(x) / log(3))",
    "max(a, b, c)": "maximum(maximum(a, b), c)",
    "min(a, b)": "minimum(a, b)",
    "atan2(y, x)": "arctan2(y, x)",
    "pow(x, y)": "(x ^ y)",
    "root(x, 3) + root(x, 5)": "(cbrt(x) + (x ^ (1 / 5)))",
    "where(x > 0, x, -x)": "where(greater(x, 0), x, (-x))",
    "where((x ≤ 0), 1, 2)": "where(less_equal(x, 0), 1, 2)",
    "where(x ≠ y, 1, 2)": "where(not_equal(x, y), 1, 2)",
    # braces and LaTeX
    "e^{-x²}": "(e ^ (-(x ^ 2)))",
    "x^{10}": "(x ^ 10)",
    "x^10": "(x ^ 10)",
    r"\frac{1}{1+e^{-x}}": "(1 / (1 + (e ^ (-x))))",
    r"\frac12": "(1 / 2)",
    r"\dfrac1x": "(1 / x)",
    r"\frac\pi2": "(pi / 2)",
    r"\sqrt{x} + \sqrt2x": "(sqrt(x) + (sqrt(2) * x))",
    r"\sqrt[3]{x} + \sqrt[n]{x}": "(cbrt(x) + (x ^ (1 / n)))",
    r"\sin^{2}(x) \cdot \log_2 x": "((sin(x) ^ 2) * log2(x))",
    r"\operatorname{relu}(x) + \text{rate}": "(relu(x) + rate)",
    r"\left|x\right| + \lvert x\rvert": "(abs(x) + abs(x))",
    r"\bigl( x + 1 \bigr)^2 \, y": "(((x + 1) ^ 2) * y)",
    r"\sigma\left(z\right)": "sigmoid(z)",
    r"\sin{x}\cos{x}": "(sin(x) * cos(x))",
    "$x^2$": "(x ^ 2)",
    r"\( x^2 \)": "(x ^ 2)",
    "$$ x $$": "x",
    # definitions
    "y = x²": "y = (x ^ 2)",
    "h(x) = (x² + 1)³": "h(x) = (((x ^ 2) + 1) ^ 3)",
    "z = x*y; x = s^2; y = s^3;": "z = (x * y); x = (s ^ 2); y = (s ^ 3)",
    "z = xy\n\nx = s²\ny = s³\n": "z = (x * y); x = (s ^ 2); y = (s ^ 3)",
    "f(u) = u^3; g(x) = x^2+1; h(x) = f(g(x))": (
        "f(u) = (u ^ 3); g(x) = ((x ^ 2) + 1); h(x) = f(g(x))"
    ),
    "loss = cost²; cost = x": "loss = (cost ^ 2); cost = x",
    "f(sin2) = sin2": "f(sin2) = sin2",
    "σ(z) = 1/(1+e^{-z}); σ(2x)": "sigma(z) = (1 / (1 + (e ^ (-z)))); sigma((2 * x))",
    "σ = 2; y = σ(3)": "sigma = 2; y = (sigma * 3)",
    "(x +\n 1)": "(x + 1)",
}


@pytest.mark.parametrize("text", TREES)
def test_a_formula_is_read_as_this_tree(text: str):
    assert tree(text) == TREES[text]


@pytest.mark.parametrize(
    ("text", "variables", "expected"),
    [
        ("xy", ("xy",), "xy"),
        ("xy", ("x", "y"), "(x * y)"),
        ("ratex", ("rate", "x"), "(rate * x)"),
        ("cost", (), "cos(t)"),
        ("cost", ("cost",), "cost"),
        ("x_1 + w_max", ("x₁", "w_{max}"), "(x1 + w_max)"),
        ("σ(z)", ("σ",), "(sigma * z)"),
        ("e^x", ("e",), "(e ^ x)"),
        ("a" * 40 + "b", tuple("a" * n for n in range(1, 40)), "a" * 40 + "b"),
    ],
)
def test_known_names_are_not_taken_apart(text: str, variables: tuple[str, ...], expected: str):
    assert tree(text, variables) == expected


READINGS = {
    "1/2x": ["`1/2x` is read as (1/2)·x"],
    "1/2xy": ["`1/2xy` is read as (1/2)·x·y"],
    "xy": ["`xy` is read as x·y"],
    "xy + xy": ["`xy` is read as x·y"],
    "a(x+1)": ["`a(x+1)` is read as a·(x+1)"],
    "f(x)": ["`f(x)` is read as f·x"],
    "sin^-1 x": ["`sin^-1 x` is read as arcsin(x)"],
    "ln^-1 x": ["`ln^-1 x` is read as ln(x)^(-1)"],
    "sin 2x cos x": ["`sin 2x cos x` is read as sin(2x)·cos(x)"],
    "sin x/2": ["`sin x/2` is read as sin(x)/2"],
    "sin x y": ["`sin x y` is read as sin(x·y)"],
    "sinx^2": ["`sinx^2` is read as sin(x^2)"],
    "√2x": ["`√2x` is read as sqrt(2)·x"],
    "√x²": ["`√x²` is read as sqrt(x^2)"],
    "e^2x": ["`e^2x` is read as (e^2)·x"],
    "σ(z)": ["`σ(z)` is read as sigmoid(z)"],
    "where(x=0, 1, x)": ["`x=0` is read as x==0"],
    "y = where((x = 2), 1, x)": ["`x = 2` is read as x==2"],
    "2½": ["`2½` is read as 2·(1/2)"],
    "xy - 1/2z": ["`xy` is read as x·y", "`1/2z` is read as (1/2)·z"],
    "(" + "x+" * 40 + "1)/2x": ["`(x+x+x+x+x+x…x+x+1)/2x` is read as"],
}


@pytest.mark.parametrize("text", READINGS)
def test_an_ambiguous_place_gets_one_sentence(text: str):
    found = parse(text).readings
    if len(text) > 60:
        assert len(found) == 1
        assert found[0].count("…") >= 2
        assert len(found[0]) < 120
    else:
        assert list(found) == READINGS[text]


@pytest.mark.parametrize(
    "text",
    ["3x", "2x(x+1)", "x sin x", "sin x", "sin 2x", "-x^2", "(x+1)(x-1)", "2πr", "x^2 y", "x²y",
     "e^{2}x", r"\frac12 x", "x^2(x+1)^3", "z = xy; x = s; y = s", "√(2)x", "sin^2 x"],
)  # fmt: skip
def test_what_is_not_ambiguous_gets_no_sentence(text: str):
    assert parse(text).readings == ()


ERRORS = {
    "": ("the formula is empty", None),
    " \n ": ("the formula is empty", None),
    "$ $": ("the formula is empty", None),
    "$\n$": ("the formula is empty", None),
    "\\\\": ("the formula is empty", None),
    "x @ 2": ("unexpected character '@' (U+0040)", 2),
    "x\a": ("unexpected character U+0007", 1),
    "x\0": ("unexpected character U+0000", 1),
    "\ud800": ("unexpected character U+D800", 0),
    "x!": ("unexpected character '!' (U+0021)", 1),
    "x ≈ 2": ("unexpected character '≈' (U+2248)", 2),
    "f'(x)": ("a prime cannot be used in a formula", 1),
    "x + ∞": ("infinity is not a number that a formula can use", 4),
    r"\infty": ("infinity is not a number that a formula can use", 0),
    "e⁻ˣ²": ("a raised digit after a raised letter", 3),
    "1e999": ("the number does not fit into a float64", 0),
    "1e-999": ("the number does not fit into a float64", 0),
    "2 3": ("two numbers next to each other", 2),
    "1.2.3": ("two numbers next to each other", 3),
    "3,5": ("a comma can only stand between the arguments of a function", 1),
    "3 +": ("'+' needs something on its right", 2),
    "* x": ("'*' needs something on its left", 0),
    "2^": ("'^' needs something on its right", 1),
    "²": ("unexpected '²'", 0),
    "x + * y": ("'*' needs something on its left", 4),
    "(x": ("'(' is never closed", 0),
    "x + |y": ("'|' is never closed", 4),
    ")": ("unmatched ')'", 0),
    "(x + 1))": ("unmatched ')'", 7),
    "(x]": ("']' closes a '('", 2),
    "()": ("nothing stands inside '('", 0),
    "sin": ("'sin' needs an argument", 0),
    "sin + 1": ("'sin' needs an argument", 0),
    "sin()": ("nothing stands inside '('", 3),
    "√": ("'√' needs something to act on", 0),
    "√-x": ("'√' needs a number, a name or a bracket after it", 0),
    "sin(x, y)": ("'sin' takes 1 argument, not 2", 0),
    "2clip(x)": ("'clip' takes 3 arguments, not 1", 1),
    "max(x)": ("'max' takes 2 or more arguments, not 1", 0),
    "f(x, y) = x; f(1)": ("'f' takes 2 arguments, not 1", 13),
    "tahn(x)": ("unknown function 'tahn'", 0),
    "1 + foo(x)": ("unknown function 'foo'", 4),
    r"\foo": (r"unknown LaTeX command '\foo'", 0),
    "x > 0": ("a comparison can only stand first in where(condition, a, b)", 2),
    "sin(x > 0)": ("a comparison can only stand first in where(condition, a, b)", 4),
    "2e>3": ("a comparison can only stand first in where(condition, a, b)", 2),
    "sin(x = 0)": ("a comparison can only stand first in where(condition, a, b)", 4),
    "2(x = 0)": ("a comparison can only stand first in where(condition, a, b)", 4),
    "where(x, 1, 2)": ("the first argument of where must be a comparison, such as x > 0", 6),
    "x = 1; x = 2": ("'x' is defined twice", 7),
    "3 = x": ("only a name, or a function of names, can stand on the left of '='", 0),
    "x² + y² = 1": ("only a name, or a function of names, can stand on the left of '='", 1),
    "f(u, u) = u": ("'u' is a parameter twice", 5),
    "sin = 3": ("'sin' is a function already", 0),
    "y =": ("nothing stands on the right of '='", 2),
    "= x": ("nothing stands on the left of '='", 0),
    "y = x = 3": ("two '=' in one definition", 6),
    ";": ("empty definition", 0),
    "x = 1;; y = 2": ("empty definition", 6),
    "a" * 65: ("a name may not be longer than 64 characters", 0),
    "x" * 20_001: ("the formula is longer than 20,000 characters", 20_000),
    "x+" * 2_501: ("the formula has more than 5,000 signs and names", 5_000),
    "(" * 201 + "x" + ")" * 201: ("the formula is nested more than 200 levels deep", 200),
    "-" * 300 + "x": ("the formula is nested more than 200 levels deep", 200),
    "sin " * 300 + "x": ("the formula is nested more than 200 levels deep", 800),
    "x^" * 300 + "x": ("the formula is nested more than 200 levels deep", 401),
}


@pytest.mark.parametrize("text", ERRORS, ids=lambda text: ascii(text[:20]))
def test_a_bad_formula_says_what_is_wrong_and_where(text: str):
    with pytest.raises(FormulaError) as caught:
        parse(text)
    assert (caught.value.message, caught.value.position) == ERRORS[text]


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("tahn(x)", "did you mean tanh?"),
        ("sine(x)", "did you mean sin?"),
        ("cosine(x)", "did you mean cos?"),
        (r"\alpa", "did you mean \\alpha?"),
        ("xy(x+1)", "for a product write xy*(…)"),
        ("log(x, 2)", "a logarithm of another base is written log_2(x)"),
    ],
)
def test_an_error_says_what_to_do_instead(text: str, hint: str):
    with pytest.raises(FormulaError) as caught:
        parse(text)
    assert caught.value.hint == hint


def test_an_error_shows_the_place_in_the_text_as_it_was_given():
    with pytest.raises(FormulaError) as caught:
        parse("𝑥² + tahn(x)")
    assert "𝑥² + tahn(x)\n       ^^^^" in str(caught.value)


def test_places_are_offsets_into_the_original_text():
    text = " $ h(𝑥) = (𝑥₁² + 1)³ \\cdot √(y) $"
    formula = parse(text)
    assert formula.text is text
    definition = formula.definitions[0]
    assert text[definition.start : definition.end] == "h(𝑥) = (𝑥₁² + 1)³ \\cdot √(y)"
    places = {text[node.start : node.end] for node in postorder(definition.body)}
    assert {"𝑥₁", "𝑥₁²", "𝑥₁² + 1", "(𝑥₁² + 1)³", "³", "√(y)", "y"} <= places


def test_long_flat_sums_are_allowed_and_nesting_up_to_the_limit():
    assert len(list(postorder(parse("+".join(["x"] * 2_000)).definitions[0].body))) == 3_999
    assert tree("(" * 200 + "x" + ")" * 200) == "x"


def test_every_way_to_write_a_name_gives_the_same_name():
    written = ["x_1", "x_{1}", "x₁", "x1"]
    assert {canonical_name(name) for name in written} == {"x1"}
    assert canonical_name("λ") == canonical_name("\\lambda") == "lambda"


def test_the_grammar_has_no_conflicts(caplog: pytest.LogCaptureFixture):
    from importlib.resources import files

    from lark import Lark, logger
    from lark.lexer import Lexer

    class NoLexer(Lexer):
        def __init__(self, configuration: object) -> None: ...

        def lex(self, state: object, parser_state: object) -> object: ...

    source = files("chainrule.sources.formula").joinpath("grammar.lark").read_text("utf-8")
    level = logger.level
    logger.setLevel(logging.DEBUG)
    logger.addHandler(caplog.handler)
    try:
        Lark(source, parser="lalr", lexer=NoLexer, debug=True)
    finally:
        logger.removeHandler(caplog.handler)
        logger.setLevel(level)
    assert "conflict" not in caplog.text.lower()


def test_lark_is_loaded_only_when_a_formula_is_read():
    code = (
        "import sys, chainrule, chainrule.sources.formula.parse as p\n"
        "assert 'lark' not in sys.modules\n"
        "p.parse('x')\n"
        "assert 'lark' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
