"""The ledger of paths: counts, products, the largest, what is left, and what cancels."""

from __future__ import annotations

import itertools
import json
import math
from fractions import Fraction

import numpy as np
import pytest

import chainrule as cr
from chainrule.explanations.dyadic import dyadic, plus, ratio, rounded, times
from chainrule.explanations.paths import Edge, PathGraph
from chainrule.notation.numbers import text_count
from chainrule.render.data import counted

rng = np.random.default_rng


# --- the search, against walking every path ------------------------------------------


def all_products(graph):
    """Every path's product, as a Fraction where it is a number, by walking all of them."""
    found = []

    def walk(vertex, edges):
        if vertex == 0:
            found.append(product(edges))
        for edge in graph.edges[vertex]:
            walk(edge.of, [*edges, edge])

    walk(len(graph.edges) - 1, [])
    return found


def product(edges):
    if any(e.blocked for e in edges):
        return "blocked"
    values = [e.value for e in edges]
    infinite = any(math.isinf(v) for v in values)
    if any(math.isnan(v) for v in values) or (infinite and 0 in values):
        return math.nan
    if infinite:
        return math.copysign(math.inf, math.prod(math.copysign(1, v) for v in values))
    return math.prod((Fraction(v) for v in values), start=Fraction(1))


def listing_order(p):
    """NaN first, then infinities, then by size; zeros and what is blocked last."""
    if p == "blocked":
        return (4, 0)
    if isinstance(p, float):
        return (0, 0) if math.isnan(p) else (1, 0)
    return (2, -abs(p)) if p else (3, 0)


def random_graph(seed, values):
    """A graph of a few vertices with parallel edges, dead ends and blocked edges."""
    r = rng(seed)
    edges = [[]]
    for vertex in range(1, int(r.integers(3, 7))):
        edges.append(
            [
                Edge(int(r.integers(vertex)), float(r.choice(values)), bool(r.random() < 0.05))
                for _ in range(int(r.integers(1, 4)))
            ]
        )
    return PathGraph(edges)


PLAIN = (2.0, -3.0, 0.5, 1.25, -1.0, 7.0)
KINDS = {
    "numbers": PLAIN,
    "zeros": (*PLAIN, 0.0, -0.0),
    "ties": (1.0, -1.0, 2.0),
    "infinities": (*PLAIN, 0.0, math.inf, -math.inf),
    "all": (*PLAIN, 0.0, math.inf, math.nan),
    "far apart": (1e200, -1e-200, 1e150, 3e-300),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("most", [1, 3, 10])
def test_the_largest_are_those_that_walking_every_path_finds(kind, most):
    for seed in range(30):
        graph = random_graph(seed, KINDS[kind])
        expected = sorted(map(listing_order, all_products(graph)))
        walks = graph.largest(most)
        found = [listing_order(product(w.edges)) for w in walks]
        assert found == expected[:most], seed
        for walk in walks:
            exactly = product(walk.edges)
            if isinstance(exactly, Fraction):
                n, e = walk.exactly()
                assert Fraction(n) * Fraction(2) ** e == exactly


@pytest.mark.parametrize("kind", KINDS)
def test_counts_of_each_kind_are_those_of_walking(kind):
    for seed in range(30):
        graph = random_graph(seed, KINDS[kind])
        orders = [listing_order(p)[0] for p in all_products(graph)]
        finite, zero, infinite, undefined, blocked = graph.count()
        assert [undefined, infinite, finite, zero, blocked] == [orders.count(i) for i in range(5)]


def test_sums_are_exact_where_floats_would_lose_everything():
    for seed in range(30):
        graph = random_graph(seed, (1e200, -1e200, 1.0, 1e-150, 3.0))
        products = [p for p in all_products(graph) if p != "blocked"]
        (n, e), (m, d) = graph.sums()
        assert Fraction(n) * Fraction(2) ** e == sum(products)
        assert Fraction(m) * Fraction(2) ** d == sum(map(abs, products))


def test_dyadic_numbers_are_fractions():
    r = rng(0)
    for _ in range(300):
        a, b = (float(x) for x in r.normal(size=2) * 10.0 ** r.integers(-300, 300, 2))
        for made, exactly in (
            (plus(dyadic(a), dyadic(b)), Fraction(a) + Fraction(b)),
            (times(dyadic(a), dyadic(b)), Fraction(a) * Fraction(b)),
        ):
            assert Fraction(made[0]) * Fraction(2) ** made[1] == exactly
            if 1e-300 < abs(exactly) < 1e300:
                assert rounded(made) == float(exactly)
    assert rounded(dyadic(5e-324)) == 5e-324
    assert rounded(times(dyadic(1e200), dyadic(-1e200))) == -math.inf
    assert rounded(times(dyadic(1e-200), dyadic(1e-200))) == 0.0
    assert ratio(dyadic(1.0), dyadic(0.0)) == math.inf


def test_very_long_products_are_rounded_far_below_float64():
    number = dyadic(1.1)
    long = (1, 0)
    for _ in range(1500):
        long = times(long, number)
    exactly = Fraction(1.1) ** 1500
    made = Fraction(long[0]) * Fraction(2) ** long[1]
    assert abs(made / exactly - 1) < Fraction(1, 2**30_000)


# --- chains of diamonds --------------------------------------------------------------


def diamonds(n, left, right):
    """x ← a·x + b·x, n times: 2ⁿ paths, whose products are all choices of a factor each."""

    def chain(x):
        for i in range(n):
            a = left[i] * x
            b = right[i] * x
            x = a + b
        return x

    return chain


def weights(n, seed):
    r = rng(seed)
    return r.choice([-1, 1], n) * r.uniform(0.3, 3, n), r.choice([-1, 1], n) * r.uniform(0.3, 3, n)


@pytest.mark.parametrize("seed", range(4))
def test_ten_diamonds_are_as_walking_all_1024_paths_says(seed):
    left, right = weights(10, seed)
    ledger = cr.explain(diamonds(10, left, right), simplify=False)(1.5).paths(most=10)
    products = [
        math.prod((Fraction(f) for f in choice), start=Fraction(1))
        for choice in itertools.product(*zip(left, right, strict=True))
    ]
    products.sort(key=abs, reverse=True)
    assert ledger.count == 1024
    assert [float(p.product) for p in ledger] == [float(p) for p in products[:10]]
    assert ledger.total == float(sum(products))
    assert ledger.remainder == float(sum(products[10:]))
    assert ledger.remainder_count == 1014
    assert ledger.magnitude == float(sum(map(abs, products)))
    assert ledger.cancellation == float(sum(map(abs, products)) / abs(sum(products)))
    shares = [float(p) / float(sum(products)) for p in products[:10]]
    assert [p.share for p in ledger] == pytest.approx(shares, rel=1e-15)


def largest_choices(left, right, most):
    """The largest products of a diamond chain.

    All are the largest but for a few factors, and these are among those where the other choice
    costs least: there are ``most`` better ones than any other.
    """
    pairs = [sorted(map(Fraction, pair), key=abs) for pair in zip(left, right, strict=True)]
    pairs.sort(key=lambda pair: abs(pair[0] / pair[1]), reverse=True)
    rest = math.prod(large for _, large in pairs[most:])
    products = [rest * math.prod(choice) for choice in itertools.product(*pairs[:most])]
    return sorted(products, key=abs, reverse=True)[:most]


def test_forty_diamonds_have_their_ten_largest_of_a_trillion_paths():
    left, right = weights(40, 7)
    right[3] = 0.0  # half of the paths vanish
    explained = cr.explain(diamonds(40, left, right))(0.7)
    ledger = explained.paths(most=10)
    assert ledger.count == explained.derivative().path_count == 2**40
    expected = largest_choices(left, right, 10)
    assert [float(p.product) for p in ledger] == [float(p) for p in expected]
    total = math.prod((Fraction(a) + Fraction(b) for a, b in zip(left, right, strict=True)))
    assert ledger.total == float(total)
    assert ledger.total == pytest.approx(float(explained.derivative().value), rel=1e-12)
    assert ledger.remainder == float(total - sum(expected))
    assert ledger.remainder_count == 2**40 - 10
    assert (
        explained.derivative().remark == "not simplified: it is a sum over 1,099,511,627,776 paths"
    )
    json.dumps(explained.to_dict())
    for page in (str(explained), explained.to_markdown(), explained.to_latex()):
        assert "1,099,511,627,776 paths" in page or "1,099,511,627,756" in page


def test_a_formula_of_forty_diamonds_is_counted_and_folded_without_losing_paths():
    definitions = ["x0 = t"]
    for i in range(40):
        definitions += [f"a{i} = 2x{i}", f"b{i} = -3x{i}", f"x{i + 1} = a{i} + b{i}"]
    formula = "; ".join(["y = x40", *reversed(definitions)])
    explained = cr.explain(formula, at={"t": 1.0}, simplify=False)
    assert len(explained.steps) < 120  # the middle is folded on the page
    ledger = explained.paths(most=3)
    assert ledger.count == 2**40
    assert [float(p.product) for p in ledger] == [3.0**40, -(3.0**39) * 2, -(3.0**39) * 2]
    assert all(len(p.factors) >= 80 for p in ledger)
    assert ledger.total == 1.0
    symbolic = cr.explain(formula, simplify=False).paths(most=3)
    assert symbolic.count == 2**40
    assert [p.product for p in symbolic] == [None] * 3
    assert symbolic.total is None


def test_counts_go_on_far_beyond_any_float():
    def doubled(x):
        for _ in range(1500):
            a = 0.5 * x
            b = 0.5 * x
            x = a + b
        return x

    explained = cr.explain(doubled, simplify=False)(0.3)
    ledger = explained.paths(most=2)
    assert ledger.count == 2**1500
    assert (ledger.total, ledger.cancellation) == (1.0, 1.0)
    assert ledger.remainder == 1.0  # each of the two that are listed is 2⁻¹⁵⁰⁰
    assert "about 3.507466211×10⁴⁵¹ paths" in str(ledger)
    assert json.loads(json.dumps(explained.to_dict()))["ledgers"][0]["count"] == 2**1500


def test_a_count_too_long_for_json_is_a_rounded_text():
    graph = PathGraph([[], *([Edge(i, 0.5), Edge(i, 0.5)] for i in range(20_000))])
    count = sum(graph.count())
    assert count == 2**20_000
    assert counted(count) == text_count(count) == "about 3.98027684×10⁶⁰²⁰"
    assert counted(2**1000) == 2**1000
    assert text_count(10**60 - 1) == f"{10**60 - 1:,}"


def programs(seed):
    """A random program of numbers, and the edges that it has: pairs of step and weight."""
    r = rng(seed)
    plan = [
        (r.integers(i + 1, size=2), r.choice([0.0, -1.0, 1.0, 0.5, -2.0, 3.0], 2))
        for i in range(int(r.integers(2, 8)))
    ]

    def program(x):
        values = [x]
        for (i, j), (a, b) in plan:
            left = a * values[i]
            right = b * values[j]
            total = left + right
            values.append(total)
        return values[-1]

    products = []

    def walk(vertex, product):
        if vertex == 0:
            products.append(product)
            return
        for i, weight in zip(*plan[vertex - 1], strict=True):
            walk(int(i), product * Fraction(float(weight)))

    walk(len(plan), Fraction(1))
    return program, products


@pytest.mark.parametrize("seed", range(40))
def test_random_programs_have_the_paths_that_walking_them_finds(seed):
    program, products = programs(seed)
    ledger = cr.explain(program, simplify=False)(0.7).paths(most=5)
    assert ledger.count == len(products)
    expected = sorted(map(abs, products), reverse=True)[:5]
    assert sorted((abs(float(p.product)) for p in ledger), reverse=True) == list(
        map(float, expected)
    )
    assert ledger.total == float(sum(products))
    assert ledger.magnitude == float(sum(map(abs, products)))
    everything = cr.explain(program, simplify=False)(0.7).paths(most=10_000)
    assert sorted(float(p.product) for p in everything) == sorted(map(float, products))


def test_uses_within_one_step_are_counted_over_single_operations():
    def doubled(x):
        for _ in range(40):
            x = x + x
        return x

    ledger = cr.explain(doubled)(1.0).paths()
    assert (ledger.count, ledger.operations) == (1, 2**40)
    assert float(ledger[0].product) == 2.0**40
    assert "1,099,511,627,776 paths" in str(ledger)


def test_a_chain_is_one_path_however_long_it_is():
    def chain(x):
        for _ in range(3000):
            x = np.sin(x) * 1.01
        return x

    explained = cr.explain(chain, simplify=False)(0.5)
    (path,) = explained.paths()
    assert len(path.factors) < 40  # folding hides no path of a single file
    assert float(path.product) == pytest.approx(float(explained.derivative().value), rel=1e-12)


# --- what a ledger says --------------------------------------------------------------


def test_a_ledger_is_a_sequence_of_its_paths():
    ledger = cr.explain("z = x*y; x = s^2; y = s^3", at={"s": 2.0}).paths()
    assert len(ledger) == 2
    assert [p.share for p in ledger] == [0.4, 0.6]
    assert ledger[1].names == ("z", "y", "s")
    assert ledger[-1] is list(ledger)[-1]
    assert (ledger.remainder, ledger.remainder_count, ledger.remainder_share) == (0.0, 0, 0.0)


def test_all_paths_are_in_program_order_and_some_of_them_by_size():
    explained = cr.explain("z = x*y; x = s^2; y = s^3", at={"s": 2.0})
    assert [float(p.product) for p in explained.paths()] == [32.0, 48.0]
    ledger = explained.paths(most=1)
    assert [float(p.product) for p in ledger] == [48.0]
    assert (ledger.remainder, ledger.remainder_share, ledger.remainder_count) == (32.0, 0.4, 1)
    assert "the other path" in str(ledger)


def test_paths_that_cancel_completely_have_an_infinite_index():
    def canceling(x):
        a = 3 * x
        b = -3 * x
        return a + b

    ledger = cr.explain(canceling)(2.0).paths()
    assert ledger.count == 2
    assert (ledger.total, ledger.magnitude, ledger.cancellation) == (0.0, 6.0, math.inf)
    assert [p.share for p in ledger] == [None, None]
    assert "∞" in str(ledger)


def test_a_gradient_that_is_the_rest_of_a_cancellation_is_exact():
    def nearly(x):
        a = 1e9 * x
        b = -1e9 * x
        c = 0.125 * x
        return a + b + c

    ledger = cr.explain(nearly)(1.0).paths(most=2)
    assert (ledger.remainder, ledger.remainder_count) == (0.125, 1)
    assert ledger.total == 0.125
    assert ledger.cancellation == 1 + 2e9 / 0.125


def test_blocked_paths_are_counted_and_contribute_nothing():
    ledger = cr.explain("where(x > 0, sqrt(x), 0) + 2x", at={"x": -1.0}).paths()
    assert (ledger.count, ledger.blocked) == (2, 1)
    assert sorted(float(p.product) for p in ledger) == [0.0, 2.0]
    assert ledger.total == 2.0
    assert "not taken" in str(ledger)


def test_a_path_that_is_no_number_is_listed_first_and_spoils_the_sum():
    def spoilt(x):
        flat = x * 0.0
        root = np.sqrt(flat)
        fine = np.sin(x)
        return root + fine

    ledger = cr.explain(spoilt)(1.0).paths(most=1)
    assert math.isnan(ledger[0].product) or math.isinf(ledger[0].product)
    assert not math.isfinite(ledger.total)
    assert ledger.cancellation is None
    assert ledger.remainder == pytest.approx(math.cos(1.0))
    json.dumps(ledger.to_dict())


def test_what_does_not_depend_on_the_variable_has_no_path_and_the_variable_itself_one():
    def second(x, y):
        return y * 2

    ledger = cr.explain(second, wrt="x")(1.0, 2.0).paths()
    assert (ledger.count, len(ledger), ledger.total) == (0, 0, 0.0)
    assert "0 paths" in str(ledger)
    assert "x" in ledger.to_markdown()
    itself = cr.explain(lambda x: x)(3.0).paths()
    assert itself.count == 1
    assert float(itself[0].product) == 1.0
    str(itself), itself.to_latex(), itself.to_dict()


def test_asking_for_an_unknown_variable_says_so():
    explained = cr.explain("x*y", wrt="x", at={"x": 1.0, "y": 2.0})
    with pytest.raises(KeyError, match="no derivative with respect to 'y'"):
        explained.paths("y")


def test_how_many_paths_are_listed_is_a_choice():
    left, right = weights(6, 1)
    chain = diamonds(6, left, right)
    assert len(cr.explain(chain)(1.0).paths()) == 20
    assert len(cr.explain(chain)(1.0).paths(most=100)) == 64
    assert "the 7 largest" in str(cr.explain(chain, paths=7)(1.0))
    assert len(cr.explain(chain, paths=7)(1.0).to_dict()["paths"]) == 7
    for wrong in (-1, True, 2.5):
        with pytest.raises(cr.errors.ArgumentsError, match="how many paths"):
            cr.explain(chain)(1.0).paths(most=wrong)
    with pytest.raises(cr.errors.ArgumentsError, match="how many paths"):
        cr.explain(chain, paths=-1)


# --- arrays, element by element ------------------------------------------------------


def two_layers(W1, b1, W2, x):
    z1 = W1 @ x + b1
    a1 = np.tanh(z1)
    z2 = W2 @ a1
    return np.sum((z2 - 0.5) ** 2)


def arguments(hidden=3, outputs=2, inputs=2, seed=0):
    r = rng(seed)
    return (
        r.normal(size=(hidden, inputs)), r.normal(size=hidden),
        r.normal(size=(outputs, hidden)), r.normal(size=inputs),
    )  # fmt: skip


def elements(shape):
    return [",".join(map(str, index)) for index in np.ndindex(*shape)]


@pytest.mark.parametrize(("name", "position"), [("W1", 0), ("b1", 1), ("W2", 2), ("x", 3)])
def test_paths_over_elements_add_up_to_every_entry_of_the_gradient(name, position):
    args = arguments()
    gradient = cr.grad(two_layers, position)(*args)
    explained = cr.explain(two_layers, wrt=name)(*args)
    for index in elements(gradient.shape):
        ledger = explained.paths(f"{name}[{index}]")
        here = tuple(map(int, index.split(",")))
        assert ledger.total == pytest.approx(gradient[here], rel=1e-12)
        assert math.fsum(float(p.product) for p in ledger) == pytest.approx(ledger.total, rel=1e-14)
        # From one weight of the first layer a path leads through each output, from one of the
        # second only through its own; an input reaches each hidden unit.
        assert ledger.count == {"W1": 2, "b1": 2, "W2": 1, "x": 6}[name]
        for path in ledger:
            assert math.prod(float(f.value) for f in path.factors) == pytest.approx(
                float(path.product), rel=1e-14
            )


def test_asking_for_one_element_and_asking_afterwards_are_the_same():
    args = arguments()
    whole = cr.explain(two_layers, wrt="W1")(*args).paths("W1[1,0]")
    one = cr.explain(two_layers, wrt="W1[1,0]")(*args).paths()
    assert one.variable == whole.variable == "W1[1,0]"
    assert one.count == whole.count == 2
    assert one.total == pytest.approx(whole.total, rel=1e-14)


def test_a_unit_that_is_off_blocks_its_path_and_a_zero_weight_does_not_hide_one():
    def net(W1, W2, x):
        h = np.maximum(W1 @ x, 0.0)
        return np.sum(W2 * h)

    W1, W2 = np.array([[1.0, 2.0], [-1.0, -2.0]]), np.array([0.0, 3.0])
    explained = cr.explain(net, wrt="W1")(W1, W2, np.ones(2))
    on, off = explained.paths("W1[0,0]"), explained.paths("W1[1,1]")
    assert (on.count, on.blocked, on.total) == (1, 0, 0.0)  # the weight behind it is zero
    assert (off.count, off.blocked, off.total) == (1, 1, 0.0)
    assert "3 · off · 1" in str(off)
    assert r"\text{off}" in off.to_latex()


def test_an_infinite_slope_behind_what_is_off_neither_counts_nor_warns():
    def roots(W):
        return np.sum(np.sqrt(np.abs(W)) * np.array([1.0, 2.0]))

    explained = cr.explain(roots)(np.array([0.0, 4.0]))
    ledger = explained.paths("W[0]")
    assert (ledger.count, ledger.blocked, ledger.total) == (1, 1, 0.0)
    assert explained.paths("W[1]").total == 0.5


def test_softmax_couples_every_class_with_every_other():
    def loss(z):
        e = np.exp(z)
        p = e / np.sum(e)
        return -np.log(p[0])

    z = np.array([0.3, -1.0, 2.0])
    explained = cr.explain(loss)(z)
    gradient = cr.grad(loss)(z)
    for i, count in ((0, 2), (1, 1), (2, 1)):
        ledger = explained.paths(f"z[{i}]")
        assert ledger.total == pytest.approx(gradient[i], rel=1e-12)
        assert ledger.operations or ledger.count >= count


PROGRAMS = {
    "mean and broadcasting": lambda x: np.mean((x - np.mean(x, axis=0)) ** 2),
    "max": lambda x: np.max(x) * np.sum(x),
    "matrix product with itself": lambda x: np.sum(x @ x.T @ x),
    "norm": lambda x: np.linalg.norm(x) * x[0, 0],
    "selection": lambda x: np.sum(x[[0, 0, 1]] * np.where(x[1] > 0, x[1], 0.0)),
    "concatenation": lambda x: np.sum(np.concatenate([x, x * x], axis=0)[1:] ** 2),
    "cumulative sum": lambda x: np.sum(np.cumsum(x, axis=1) ** 3),
    "solve": lambda x: np.sum(np.linalg.solve(x @ x.T + 3 * np.eye(2), x)),
    "einsum": lambda x: np.einsum("ij,kj,kl->", x, x, x),
    "sorting": lambda x: np.sum(np.sort(x, axis=1)[:, 0] * x[:, 1]),
    "product": lambda x: np.prod(x),
    "transposes": lambda x: np.sum(np.reshape(x.T, (2, 3)) * x),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_paths_of_any_array_program_add_up_to_its_gradient(name):
    f, x = PROGRAMS[name], rng(3).normal(size=(2, 3))
    gradient = cr.grad(f)(x)
    explained = cr.explain(f)(x)
    for index in np.ndindex(2, 3):
        ledger = explained.paths(f"x[{index[0]},{index[1]}]")
        assert ledger.total == pytest.approx(gradient[index], rel=1e-10, abs=1e-12)
        assert ledger.count > 0 or gradient[index] == 0


def test_a_number_that_goes_through_arrays_has_element_paths_too():
    def f(x):
        v = np.stack([x, x**2, np.sin(x)])
        return v @ np.array([1.0, -2.0, 3.0])

    ledger = cr.explain(f)(0.7).paths()
    assert ledger.total == pytest.approx(1 - 4 * 0.7 + 3 * math.cos(0.7), rel=1e-14)
    assert ledger.count == 3


def test_many_paths_of_a_batch_are_counted_and_the_largest_listed():
    def loss(W1, W2, X):
        h = np.tanh(X @ W1)
        out = h @ W2
        return np.mean(out**2)

    r = rng(5)
    W1, W2, X = r.normal(size=(6, 8)), r.normal(size=(8, 5)), r.normal(size=(16, 6))
    ledger = cr.explain(loss, wrt="W1")(W1, W2, X).paths("W1[2,3]", most=4)
    assert ledger.count == 16 * 5  # a sample, then an output
    h = np.tanh(X @ W1)
    all_terms = 2 / 80 * (h @ W2) * W2[3] * ((1 - h[:, 3] ** 2) * X[:, 2])[:, None]
    expected = sorted(all_terms.ravel(), key=abs, reverse=True)[:4]
    assert [float(p.product) for p in ledger] == pytest.approx(expected, rel=1e-12)
    assert ledger.remainder == pytest.approx(all_terms.sum() - sum(expected), rel=1e-9)
    assert ledger.cancellation == pytest.approx(abs(all_terms).sum() / abs(all_terms.sum()))


def test_arrays_that_are_too_large_are_refused_with_a_reason():
    def f(scale, x):
        y = np.cumsum(scale * x)
        return np.sum(np.cumsum(y) ** 2)

    explained = cr.explain(f)(np.ones(1), rng(0).normal(size=3000))
    with pytest.raises(cr.errors.ChainruleError, match="too many paths over single elements"):
        explained.paths("scale[0]")
    asked = cr.explain(f, wrt="scale[0]", paths=True)(np.ones(1), rng(0).normal(size=3000))
    assert "too many paths over single elements" in str(asked)
    assert asked.to_dict()["ledgers"] == []


def test_an_index_outside_of_the_array_is_refused():
    explained = cr.explain(two_layers, wrt="W1")(*arguments())
    with pytest.raises(cr.errors.NotDifferentiableError, match="outside of W1"):
        explained.paths("W1[7,0]")


# --- pages ---------------------------------------------------------------------------


def test_the_data_say_what_the_ledger_says():
    left, right = weights(6, 2)
    data = cr.explain(diamonds(6, left, right))(1.0).to_dict()
    (ledger,) = data["ledgers"]
    assert ledger["variable"] == "x"
    assert ledger["count"] == 64
    assert len(data["paths"]) == 20
    assert ledger["remainder"]["count"] == 44
    listed = math.fsum(p["product"]["value"] for p in data["paths"])
    assert listed + ledger["remainder"]["value"] == pytest.approx(ledger["total"], rel=1e-12)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_ledger_fits_the_width_of_the_page(width):
    ledger = cr.explain(diamonds(40, *weights(40, 3)), simplify=False)(0.3).paths(most=5)
    assert max(map(len, ledger.to_text(width).splitlines())) <= width


def test_a_whole_array_has_walks_without_products_and_says_what_to_ask_for():
    ledger = cr.explain(two_layers, wrt="W1")(*arguments()).paths()
    assert ledger.count == 1
    assert ledger[0].product is None
    assert ledger.total is None
    assert "ask for an element, W1[0,0]" in str(ledger)
    json.dumps(ledger.to_dict())
