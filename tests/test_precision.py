"""Evaluation to many digits: mpmath's raw numbers give what the rows say."""

import mpmath
import pytest

import chainrule as cr
from chainrule.graph.node import Graph
from chainrule.rules import BOOK
from chainrule.run import precise
from chainrule.run.precise import NotReal, Precisely, evaluate_precisely

MP = mpmath.MPContext()
MP.prec = 200

NUMBERS = ["0", "1", "-1", "0.3", "-0.7", "3", "-2.5", "1e-70", "123456.789", "-1e25"]
DIRECT, PAIRS = precise._raw_functions()


def value_or_reason(evaluate, node):
    try:
        return evaluate([node])[0]
    except NotReal:
        return "not real"


@pytest.mark.parametrize("row", DIRECT, ids=lambda row: row.name)
def test_a_function_of_raw_numbers_gives_what_its_row_says(row, monkeypatch):
    graph = Graph()
    names = "xy"[: len(row.edges)]
    node = graph.apply(row, tuple(graph.input(n) for n in names))
    seen = set()
    for x in NUMBERS:
        for y in NUMBERS if len(names) == 2 else [None]:
            at = {"x": MP.mpf(x)} | ({} if y is None else {"y": MP.mpf(y)})
            quick = value_or_reason(Precisely(MP, at, alone=True), node)
            shared = value_or_reason(Precisely(MP, at), node)
            with monkeypatch.context() as patched:
                patched.setattr(precise, "_raw_functions", lambda: ({}, {}))
                slow = value_or_reason(Precisely(MP, at, alone=True), node)
            assert quick == slow == shared, at
            seen.add(str(slow))
    assert len(seen) > 3


@pytest.mark.parametrize("name", ["sin", "cos", "sinh", "cosh"])
def test_functions_that_are_found_together_are_those_found_alone(name):
    row = BOOK[name]
    for x in NUMBERS[:-2]:  # the last two overflow
        graph = Graph()
        node = graph.apply(row, (graph.input("x"),))
        (together,) = Precisely(MP, {"x": MP.mpf(x)})([node])
        assert together == getattr(MP, name)(MP.mpf(x))


def test_truth_values_and_whole_numbers_may_stand_among_the_numbers():
    graph = Graph()
    x, n, b = (graph.input(name) for name in "xnb")
    at = {"x": MP.mpf("0.5"), "n": 3, "b": True}
    assert evaluate_precisely(MP, [x * n, x + b, x**n], at) == [1.5, 1.5, 0.125]
    chosen = graph.apply(BOOK["where"], (b, x, n))
    assert evaluate_precisely(MP, [chosen], at) == [0.5]


def test_fewer_spare_bits_lose_what_cancels():
    graph = Graph()
    x = graph.input("x")
    (all_digits,) = evaluate_precisely(MP, [(x + 1.0) - 1.0], {"x": MP.mpf(2) ** -300})
    (fewer,) = evaluate_precisely(MP, [(x + 1.0) - 1.0], {"x": MP.mpf(2) ** -300}, 40)
    assert (all_digits, fewer) == (MP.mpf(2) ** -300, 0)


def test_where_much_cancels_the_check_takes_all_its_digits():
    # With few digits to spare the quotients would have 23 digits in common with the derivative.
    explained = cr.explain("10^30*((x/10^30 + 1) - 1) + x^2", at={"x": 0.7}, simplify=False)
    assert explained.check.outcome == "verified"
    assert explained.check.error < 1e-36
