"""Long programs of scalars: loops that are found again compute what the recorded turns would have.

Every program is compared with the function as Python runs it: bit for bit where it is arithmetic
alone, otherwise to the accuracy of elementary functions.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.run.llvm.rerolling import kernels
from chainrule.run.llvm.rerolling.runs import Run, runs_of
from chainrule.run.llvm.rerolling.sections import Section


def sections(f: Callable[..., Any], *args: Any) -> list[Section]:
    """The groups of scalars of what a function is compiled to."""
    nests = cr.jit(f).lower(*args)._executable.lowering.nests
    return [g.data for g in nests.groups if getattr(g, "kind", "") == "scalars"]


def agrees(f: Callable[..., Any], *args: Any, exact: bool = True) -> None:
    """Compiled values are those of Python's run."""
    found, wanted = cr.jit(f)(*args), f(*args)
    if exact:
        np.testing.assert_array_equal(found, wanted)
    else:
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-300)


def chain(turns: int) -> Callable[[Any], Any]:
    def f(x: Any) -> Any:
        y = x
        for _ in range(turns):
            y = np.sin(y) * 1.01 + x
            y = y - 0.3
        return y

    return f


def test_a_chain_is_one_loop_there_and_one_loop_back() -> None:
    (section,) = sections(cr.grad(chain(100)), 0.7)
    assert [(run.period, run.turns) for run in section.runs] == [(4, 98), (4, 98)]


def test_the_code_of_a_longer_chain_is_not_longer() -> None:
    texts = [cr.jit(cr.grad(chain(n))).lower(0.7).llvm_ir for n in (60, 600)]
    assert abs(texts[0].count("\n") - texts[1].count("\n")) <= 8


@pytest.mark.parametrize("turns", [5, 12, 13, 40, 301])
def test_a_chain_of_any_length_has_its_value_and_gradient(turns: int) -> None:
    agrees(chain(turns), 0.7, exact=False)
    agrees(cr.grad(chain(turns)), 0.7, exact=False)
    agrees(cr.grad(cr.grad(chain(turns))), 0.7, exact=False)


def test_several_carried_values_and_constants_that_change_are_kept_apart() -> None:
    factors = np.linspace(0.5, 1.5, 60).tolist()

    def f(x: float, y: float) -> Any:
        old = z = x + y
        for k, c in enumerate(factors):
            x, y, z, old = y * c + x, x - z * 0.25, old + k, z
            if k % 30 == 29:
                x = x * 0.001
        return x, y, z, old

    agrees(f, 0.3, -0.7)
    agrees(cr.grad(lambda x, y: sum(f(x, y)), argnums=(0, 1)), 0.3, -0.7)


def test_elements_of_an_array_are_read_along_the_turns() -> None:
    def f(x: Any, a: Any) -> Any:
        for k in range(80):
            x = x * a[k, 1] + a[79 - k, 0]
        return x

    a = np.random.default_rng(0).uniform(0.5, 1.5, (80, 2))
    agrees(f, 0.5, a)
    assert any(run.turns > 70 for s in sections(f, 0.5, a) for run in s.runs)


def test_values_that_an_array_is_made_of_come_out_of_the_loop() -> None:
    def f(x: Any) -> Any:
        found = []
        for _ in range(60):
            x = x * 0.75 + 0.125 / x
            found.append(x)
        return np.stack(found) * 2.0, found[-1]

    agrees(lambda x: f(x)[0], 0.7)
    agrees(lambda x: f(x)[1], 0.7)


def test_branches_that_turn_out_differently_interrupt_a_loop() -> None:
    def f(x: Any) -> Any:
        for k in range(120):
            x = x * 1.5 + 0.1 if x < 2.0 else x * 0.25 - 0.01 * k
        return x

    for x in (0.7, 1.9, -3.0):
        agrees(f, x)
        agrees(cr.grad(f), x)


def test_truth_values_and_whole_numbers_have_places_of_their_own() -> None:
    def f(x: Any, n: Any) -> Any:
        count, above = n, x > 10.0
        for _ in range(50):
            x = np.where(x > 1.0, x * 0.5, x + 0.75)
            above = np.logical_or(above, x > 1.5)
            count = count + n * 3
        return x, count, above

    found, wanted = cr.jit(f)(0.1, np.int64(2)), f(0.1, np.int64(2))
    for a, b in zip(found, wanted, strict=True):
        assert a == b
        assert np.asarray(a).dtype == np.asarray(b).dtype


def test_single_precision_stays_single() -> None:
    def f(x: Any, y: Any) -> Any:
        for _ in range(60):
            x = x * y + np.float32(0.3) - 0.1 * x
        return x

    x, y = np.float32(0.7), np.float32(0.9)
    agrees(f, x, y)
    agrees(cr.grad(f), x, y)
    assert cr.jit(f)(x, y).dtype == np.float32


def program(seed: int) -> tuple[Callable[..., Any], int]:
    """A program of random turns, and of random operations between them."""
    random = np.random.default_rng(seed)
    count = int(random.integers(1, 5))

    def step() -> tuple[str, int, int, int, float, int]:
        name = str(
            random.choice(["add", "subtract", "multiply", "divide", "blend", "varying", "max"])
        )
        a, b, c = (int(k) for k in random.integers(0, count, 3))
        return name, a, b, c, float(random.uniform(0.2, 1.2)), int(random.integers(1, 4))

    bodies = [[step() for _ in range(int(random.integers(1, 6)))] for _ in range(2)]
    turns = [int(random.integers(0, 30)) for _ in bodies]
    between = [[step() for _ in range(int(random.integers(0, 12)))] for _ in bodies]
    odd = int(random.integers(5, 40))

    def once(values: list[Any], start: list[Any], k: int, work: Any) -> None:
        for name, a, b, c, number, lag in work:
            x, y = values[a], values[b] if lag > 1 else start[b]
            if name == "add":
                z = x + y * number
            elif name == "subtract":
                z = x - number * y
            elif name == "multiply":
                z = x * (y * number)
            elif name == "divide":
                z = x / (y * y + number)
            elif name == "blend":
                z = number * x + (1.0 - number) * y
            elif name == "varying":
                z = x * (k * 0.01) + y
            else:
                z = np.maximum(x, y) * number
            values[c] = z / (1.0 + z * z)

    def f(*start: Any) -> Any:
        values = list(start)
        for body, n, other in zip(bodies, turns, between, strict=True):
            for k in range(n):
                once(values, list(start), k, body)
                if k % odd == odd - 1:
                    values[0] = values[0] * 0.5
            once(values, list(start), n, other)
        return sum(values) + sum(start) * 0.25

    return f, count


@pytest.mark.parametrize("seed", range(16))
def test_random_programs_give_the_same_bits(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    f, count = program(seed)
    start = np.random.default_rng(seed).uniform(-1, 1, count).tolist()
    agrees(f, *start)
    slopes = cr.grad(f, argnums=tuple(range(count)))
    np.testing.assert_allclose(cr.jit(slopes)(*start), slopes(*start), rtol=1e-11, atol=1e-13)
    rolled = cr.jit(slopes)(*start)
    monkeypatch.setattr(kernels, "LEAST", 1 << 40)
    np.testing.assert_array_equal(rolled, cr.jit(slopes)(*start))


@pytest.mark.parametrize("seed", range(4))
def test_long_straight_code_gives_the_same_bits(seed: int) -> None:
    random = np.random.default_rng(seed)
    work = random.integers(0, 5, (1500, 3)).tolist()

    def f(*start: Any) -> Any:
        values = list(start)
        for kind, a, b in work:
            x, y = values[a], values[b]
            z = (x + y, x - 0.5 * y, x * y + 0.1, x / (1.0 + y * y), np.sin(x))[kind]
            values[a] = z / (1.0 + z * z)
        for _ in range(40):
            values[0] = values[0] * 0.9 + values[1]
        return sum(values)

    agrees(f, *random.uniform(-1, 1, 5).tolist(), exact=False)
    parts = cr.jit(f).lower(*random.uniform(-1, 1, 5).tolist())._executable.library.parts
    assert {effort for _, effort in parts} == {2, 0}


def test_a_recursion_that_repeats_itself_is_recorded_once() -> None:
    calls = 0

    def ways(x: Any, n: int) -> Any:
        nonlocal calls
        calls += 1
        return x if n < 2 else ways(x, n - 1) * 0.5 + ways(x, n - 2) * x

    def f(x: Any) -> Any:
        return ways(x, 11)

    for g in (f, cr.grad(f), cr.grad(cr.grad(f))):
        np.testing.assert_allclose(cr.jit(g)(0.7), g(0.7), rtol=1e-12)
    assert calls > 500
    lengths = [len(cr.jit(g).lower(0.7)._executable.lowering.values) for g in (f, cr.grad(f))]
    assert max(lengths) < 200


def test_a_long_body_of_few_turns_is_a_loop_that_is_compiled_with_little_effort() -> None:
    work = np.random.default_rng(0).integers(0, 4, (700, 3)).tolist()

    def f(*start: Any) -> Any:
        values = list(start)
        for _ in range(6):
            for kind, a, b in work:
                x, y = values[a], values[b]
                values[a] = (x * 0.5 + y, x - 0.5 * y, x * y + 0.1, x / (1.0 + y * y))[kind] * 0.5
        return sum(values)

    start = [0.1, 0.2, 0.3, 0.4]
    agrees(f, *start)
    (section,) = sections(f, *start)
    assert [run.turns for run in section.runs] == [5]
    assert [e for _, e in cr.jit(f).lower(*start)._executable.library.parts] == [0]


def test_a_listing_says_what_a_loop_does() -> None:
    nests = cr.jit(chain(50)).lower(0.7).nests
    assert "49 times: multiply, add, subtract, sin" in nests


def test_python_collects_garbage_again_after_compiling() -> None:
    for enabled in (True, False):
        (gc.enable if enabled else gc.disable)()
        try:
            assert cr.jit(lambda x: x * 2.0)(3.0) == 6.0
            assert gc.isenabled() == enabled
        finally:
            gc.enable()


def test_a_body_of_a_scan_is_rolled_up_as_well() -> None:
    def step(c: Any, x: Any) -> Any:
        for k in range(30):
            c = c * 0.9 + x - 0.01 * k
        return c, c * 2.0

    def f(c: Any, xs: Any) -> Any:
        c, ys = cr.scan(step, c, xs)
        return c + np.sum(ys)

    xs = np.linspace(0, 1, 7)
    agrees(f, 0.5, xs, exact=False)
    for found, wanted in zip(
        cr.jit(cr.grad(f, argnums=(0, 1)))(0.5, xs),
        cr.grad(f, argnums=(0, 1))(0.5, xs),
        strict=True,
    ):
        np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_zeros_of_both_signs_are_two_numbers() -> None:
    def f(x: Any) -> Any:
        return np.copysign(1.0, x * 0.0) + 2 * np.copysign(1.0, x * -0.0)

    agrees(f, 1.0)


def test_an_array_that_was_assigned_to_is_another_one() -> None:
    def f(x: Any) -> Any:
        a = np.zeros_like(x)
        a[0] = x[1]
        before = a[0] * 2.0
        a[0] = x[0] * 3.0
        return before + a[0] * 2.0

    x = np.array([0.7, 1.1])
    agrees(f, x)
    agrees(cr.grad(f), x)


def naive(tokens: list[int], places: list[int], run: Run) -> bool:
    """Whether a run is one, by its definition."""
    p = run.period
    for k in range(run.start, run.end - p):
        if tokens[k] != tokens[k + p]:
            return False
    for k in range(run.start, run.end - 2 * p):
        if places[k + 2 * p] - places[k + p] != places[k + p] - places[k]:
            return False
    return run.end <= len(tokens)


@pytest.mark.parametrize("seed", range(40))
def test_runs_repeat_and_are_apart(seed: int) -> None:
    random = np.random.default_rng(seed)
    tokens: list[int] = []
    places: list[int] = []
    for _ in range(int(random.integers(1, 6))):
        period, turns = int(random.integers(1, 20)), int(random.integers(1, 30))
        body, step = random.integers(0, 3, period), random.integers(-1, 2, period) * period
        first = random.integers(0, 50, period)
        for t in range(turns):
            tokens += body.tolist()
            places += (first + t * step).tolist()
        if random.uniform() < 0.5 and len(places) > 3:
            places[int(random.integers(len(places)))] += 1
    runs = runs_of(np.array(tokens), [np.array(places)], 24)
    end = 0
    for run in runs:
        assert run.start >= end
        assert run.turns >= 4
        assert naive(tokens, places, run)
        end = run.end


def test_a_period_is_found_behind_an_irregular_start() -> None:
    tokens = [9, 8, 7, 6, *([0, 1, 0, 2, 1] * 50), 5, 5]
    (run,) = runs_of(np.array(tokens), [np.zeros(len(tokens), int)], 24)
    assert run.period == 5
    assert run.turns >= 49
    assert run.start <= 6
