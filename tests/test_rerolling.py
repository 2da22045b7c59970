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
from chainrule.run.llvm.rerolling import kernels, loops
from chainrule.run.llvm.rerolling.runs import Run, runs_of
from chainrule.run.llvm.rerolling.sections import Section
from chainrule.tree import flatten


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


# ------------------------------------------------------------------------------- loops over arrays


def compiled(f: Callable[..., Any], *args: Any) -> tuple[list[Any], list[int]]:
    """The leaves of what a compiled function gives, and how many turns its loops have."""
    jitted = cr.jit(f)
    found = flatten(jitted(*args))[0]
    ((trace, *_),) = jitted._traces.values()
    nests = trace.executable.lowering.nests
    turns = [g.data.count for g in nests.groups if getattr(g, "kind", "") == "loop"]
    return found, turns


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loops over arrays are found that leave out few operations."""
    monkeypatch.setattr(loops, "_SAVED", 12)
    monkeypatch.setattr(loops, "_COPIED", 0)


def same_bits(f: Callable[..., Any], *args: Any, sums: bool = False) -> list[int]:
    """Results are the same bit for bit without loops, and Python's; the loops' turns.

    Where ``sums`` are taken, these may be added up in another order.
    """
    found, turns = compiled(f, *args)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loops, "_SAVED", 1 << 40)
        straight, _ = compiled(f, *args)
    for a, b, c in zip(found, straight, flatten(f(*args))[0], strict=True):
        a, b, c = np.asarray(a), np.asarray(b), np.asarray(c)
        assert a.dtype == b.dtype == c.dtype
        assert sums or a.tobytes() == b.tobytes()
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(a, c, rtol=1e-10, atol=1e-13)
    return turns


def cell(w: Any, h: Any, x: Any) -> Any:
    return np.tanh(w * h + x) * 0.9 + 0.1 * h


W, H = np.array([0.5, -0.4, 1.1, 0.3, -0.7]), np.array([0.1, 0.2, -0.3, 0.4, 0.5])
XS = np.random.default_rng(0).normal(size=(20, 5))


def recurrent(w: Any, h: Any, xs: Any) -> Any:
    total = 0.0
    for x in xs:
        h = cell(w, h, x)
        total = total + np.sum(h * x)
    return total


@pytest.mark.usefixtures("soon")
def test_a_loop_over_arrays_is_one_loop_there_and_one_back() -> None:
    assert same_bits(recurrent, W, H, XS) == [19]
    gradient = cr.grad(recurrent, argnums=(0, 1, 2))
    turns = same_bits(gradient, W, H, XS)
    assert len(turns) == 2
    assert min(turns) >= 17


def test_the_code_of_a_longer_loop_over_arrays_is_not_longer() -> None:
    gradient = cr.value_and_grad(recurrent, argnums=(0, 1))
    lengths = []
    for n in (120, 960):
        xs = np.random.default_rng(0).normal(size=(n, 5))
        lengths.append(cr.jit(gradient).lower(W, H, xs).llvm_ir.count("\n"))
        assert same_bits(gradient, W, H, xs) != []
    assert abs(lengths[0] - lengths[1]) <= 8


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("odd", [0, 1, 10, 18, 19])
def test_a_step_that_is_another_one_interrupts_the_loop(odd: int) -> None:
    def f(w: Any, h: Any, xs: Any) -> Any:
        for t, x in enumerate(xs):
            h = cell(w, h, x)
            if t == odd:
                h = np.sin(h) * 2.0
        return np.sum(h * w)

    assert same_bits(f, W, H, XS) != []
    assert same_bits(cr.grad(f, argnums=(0, 1, 2)), W, H, XS) != []


@pytest.mark.usefixtures("soon")
def test_what_comes_before_and_after_stays_straight() -> None:
    def f(w: Any, h: Any, xs: Any) -> Any:
        h = np.cos(h) + w[::-1]
        for x in xs:
            h = cell(w, h, x)
        return h[1:] * h[:-1], np.max(h)

    assert same_bits(f, W, H, XS) == [20]


@pytest.mark.usefixtures("soon")
def test_several_arrays_are_carried_some_of_them_over_more_than_one_turn() -> None:
    def f(w: Any, h: Any, xs: Any) -> Any:
        older, old, cold = h * 0.5, h + 1.0, w
        for x in xs:
            h, old, older = cell(w, h, x) - older * 0.25, h, old
            cold = cold * 0.5 + h
            h, cold = cold, h
        return h, cold, old, older

    assert same_bits(f, W, H, XS) != []
    loss = lambda *args: sum(np.sum(part * (k + 1.0)) for k, part in enumerate(f(*args)))
    assert same_bits(cr.grad(loss, argnums=(0, 1, 2)), W, H, XS) != []


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_what_the_turns_give_is_stacked_in_rows(axis: int) -> None:
    def f(w: Any, h: Any, xs: Any) -> Any:
        found = []
        for x in xs:
            h = cell(w, h, x)
            found.append(h)
        return np.stack(found, axis), np.concatenate(found[::-1]), found[3], found[-2]

    assert same_bits(f, W, H, XS) == [19]

    def loss(w: Any, h: Any, xs: Any) -> Any:
        a, b, c, d = f(w, h, xs)
        return np.sum(np.sin(a)) + np.sum(b[::2] ** 2) + np.sum(c * d)

    assert len(same_bits(cr.grad(loss, argnums=(0, 1, 2)), W, H, XS)) >= 2


@pytest.mark.usefixtures("soon")
def test_matrices_that_are_stacked_in_turns_lie_as_numpy_puts_them() -> None:
    def f(w: Any, a: Any) -> Any:
        found = []
        for k in range(12):
            a = np.tanh(w @ a) * 0.5 + a * (0.1 * k)
            found.append(a)
        return (
            np.concatenate(found, axis=0), np.concatenate(found, axis=1),
            np.stack(found, axis=2), np.concatenate([a * 2.0, *found, found[0]], axis=1),
        )  # fmt: skip

    random = np.random.default_rng(1)
    w, a = random.normal(size=(3, 3)), random.normal(size=(3, 4))
    assert same_bits(f, w, a, sums=True) != []


@pytest.mark.usefixtures("soon")
def test_sequences_are_walked_along_any_axis_in_either_direction() -> None:
    def f(h: Any, xs: Any) -> Any:
        n = xs.shape[1]
        for t in range(1, n):
            h = np.sin(h) * xs[:, t] + xs[1:, n - 1 - t, None][:2, 0].sum() - xs[:, t - 1]
        return h

    xs = np.random.default_rng(2).normal(size=(4, 30))
    assert same_bits(f, xs[:, 0] * 0.1, xs) != []
    loss = lambda h, xs: np.sum(f(h, xs) ** 2)
    assert same_bits(cr.grad(loss, argnums=(0, 1)), xs[:, 0] * 0.1, xs) != []


@pytest.mark.usefixtures("soon")
def test_indices_that_move_along_in_what_is_carried_stay_in_it() -> None:
    def f(h: Any, xs: Any) -> Any:
        out = np.zeros((20, 5), like=xs)
        for t in range(20):
            h = np.sin(h + xs[t, :5]) * 0.5
            out[t] = h
            h = h + out[t, ::-1] * 0.25 + xs[t, 19 - t]
        return out

    xs = np.random.default_rng(5).normal(size=(20, 20))
    assert same_bits(f, H, xs) != []
    assert same_bits(cr.grad(lambda *args: np.sum(f(*args) ** 2), argnums=(0, 1)), H, xs) != []


@pytest.mark.usefixtures("soon")
def test_each_step_has_weights_of_its_own() -> None:
    random = np.random.default_rng(3)
    layers = [(random.normal(size=(4, 4)), random.normal(size=4)) for _ in range(16)]

    def f(layers: Any, x: Any) -> Any:
        for w, b in layers:
            x = np.tanh(x @ w + b) + x * 0.5
        return np.sum(x**2)

    x = random.normal(size=(3, 4))
    assert same_bits(f, layers, x, sums=True) != []
    assert same_bits(cr.grad(f), layers, x, sums=True) != []


@pytest.mark.usefixtures("soon")
def test_constants_may_be_others_in_each_turn() -> None:
    random = np.random.default_rng(4)
    masks, rates = random.uniform(size=(20, 5)) < 0.5, 0.9 ** np.arange(20)
    picks = [random.integers(0, 5, 3) for _ in range(20)]

    def f(w: Any, h: Any) -> Any:
        for mask, rate, pick in zip(masks, rates.tolist(), picks, strict=True):
            h = np.where(mask, h * w, np.sin(h)) * rate + 1.0 / (1.0 - 0.5 * rate)
            h = h - np.sum(h[pick]) * 0.1
        return h

    assert same_bits(f, W, H, sums=True) != []
    gradient = cr.grad(lambda *args: np.sum(f(*args)), argnums=(0, 1))
    assert same_bits(gradient, W, H, sums=True) != []


def test_turns_that_are_better_fused_stay_as_they_are() -> None:
    def light(z: Any, turns: int) -> Any:
        c = z
        for _ in range(turns):
            z = z * z + c
        return z

    def dear(z: Any, turns: int) -> Any:
        c = z
        for _ in range(turns // 3):
            z = np.exp(-z) / (1.0 + c)
        return z

    small, large = np.linspace(-0.5, 0.2, 20), np.linspace(-0.5, 0.2, 2000)
    loops_of = lambda f, *args: len(compiled(lambda z: f(z, args[1]), args[0])[1])
    assert [loops_of(light, z, 400) for z in (small, large)] == [1, 0]
    assert [loops_of(dear, z, 900) for z in (small, large)] == [1, 1]
    assert loops_of(dear, np.linspace(-0.5, 0.2, 5000), 900) == 0


@pytest.mark.usefixtures("soon")
def test_arrays_keep_their_dtypes_in_a_loop() -> None:
    def f(w: Any, h: Any, n: Any) -> Any:
        above = h > 10.0
        for k in range(20):
            h = h * w + 0.3 - 0.01 * k * h
            above = np.logical_or(above, h > 0.5)
            n = n + above * np.int32(k)
        return h, above, n

    single = [a.astype(np.float32) for a in (W, H)]
    assert same_bits(f, *single, np.arange(5, dtype=np.int32)) != []
    assert same_bits(cr.grad(lambda w, h: np.sum(f(w, h, 0)[0])), *single) != []


@pytest.mark.usefixtures("soon")
def test_powers_with_other_exponents_are_other_operations() -> None:
    def f(h: Any) -> Any:
        for k in range(24):
            h = np.abs(h * 0.5 + 0.3) ** (k % 6 - 2 or 0.5) / 3.0
        return h

    same_bits(f, H)


@pytest.mark.usefixtures("soon")
def test_branches_on_arrays_turn_out_as_they_did() -> None:
    def f(w: Any, h: Any, xs: Any) -> Any:
        for x in xs:
            h = cell(w, h, x) if np.sum(x) > 0 else np.cos(h) * w - x
        return np.sum(h)

    for xs in (XS, -XS, np.abs(XS)):
        same_bits(f, W, H, xs)
        same_bits(cr.grad(f, argnums=(0, 1)), W, H, xs)


@pytest.mark.usefixtures("soon")
def test_a_loop_over_arrays_may_be_the_body_of_another() -> None:
    def f(w: Any, h: Any, xs: Any) -> Any:
        def step(h: Any, x: Any) -> Any:
            for k in range(10):
                h = cell(w, h, x * (0.1 * k))
            return h, np.sum(h)

        h, sums = cr.scan(step, h, xs)
        return np.sum(h) + np.sum(sums)

    same_bits(f, W, H, XS)
    same_bits(cr.grad(f, argnums=(0, 1, 2)), W, H, XS)


@pytest.mark.usefixtures("soon")
def test_what_numpy_performs_is_not_taken_into_a_loop() -> None:
    def f(w: Any, h: Any) -> Any:
        for _ in range(12):
            h = np.sort(np.sin(h) * w) + h * 0.5 - w * 0.25
        return h

    def whole(n: Any, m: Any) -> Any:
        for _ in range(12):
            n = (n**m) % 7 + m * 2 - n // 3
        return n

    assert same_bits(f, W, H) == []
    assert same_bits(whole, np.arange(1, 5), np.arange(4)) == []


@pytest.mark.usefixtures("soon")
def test_a_way_back_reads_what_lies_together() -> None:
    def f(h: Any, xs: Any) -> Any:
        for x in xs:
            part = (h * 0.5 + x)[1:]
            h = h + np.concatenate([part * part, part[:1] * h[:1]]) * 0.25
        return np.sum(h)

    gradient = cr.grad(f, argnums=(0, 1))
    assert len(same_bits(gradient, H, XS)) == 2
    program = cr.jit(gradient).lower(H, XS)._executable.program
    there, back = [v for v in program.needed() if v.op is not None and v.op.name == "scan"]
    assert not any(v.op is not None and v.op.name == "concatenate" for v in back.args)
    assert back.attrs["count"] < there.attrs["count"]


@pytest.mark.usefixtures("soon")
def test_nothing_is_computed_for_turns_that_nobody_needs() -> None:
    def f(h: Any) -> Any:
        found = []
        for _ in range(20):
            h = np.sin(h) * 1.5 - 0.25 * h
            found.append(np.exp(h) + h)
        return found[4] * found[5]

    same_bits(f, H)


@pytest.mark.usefixtures("soon")
def test_zeros_keep_their_signs_and_numbers_that_are_none_stay_so() -> None:
    def f(h: Any, xs: Any) -> Any:
        for x in xs:
            h = h * x - h / x + np.minimum(h, x) * -0.0
        return h, np.copysign(1.0, h * 0.0)

    xs = np.where(XS > 1.0, np.inf, np.where(XS < -1.0, -0.0, 1.0))
    with np.errstate(all="ignore"):
        same_bits(f, H, xs)
        same_bits(lambda h, xs: f(h, xs), -H * 0.0, xs * 0.0)


def arrays_program(seed: int, sums: bool) -> Callable[..., Any]:
    """Random loops over arrays, with other operations between their turns."""
    random = np.random.default_rng(seed)
    count = int(random.integers(1, 4))

    def step() -> tuple[Any, ...]:
        names = ["add", "mix", "times", "row", "rowback", "where", "lag", "part"]
        names += ["sum", "product"] * sums
        return (str(random.choice(names)), *random.integers(0, count, 3).tolist())

    bodies = [[step() for _ in range(int(random.integers(1, 6)))] for _ in range(2)]
    turns = [int(random.integers(3, 16)) for _ in bodies]
    odd = int(random.integers(4, 20))
    shown = bool(random.integers(2))

    def f(w: Any, h: Any, xs: Any) -> Any:
        state = [h * (k + 1.0) for k in range(count)]
        out: list[Any] = []
        for body, n in zip(bodies, turns, strict=True):
            before = list(state)
            for t in range(n):
                start = list(state)
                for name, a, b, c in body:
                    x, y = state[a], state[b]
                    if name == "add":
                        z = x + y * 0.5
                    elif name == "mix":
                        z = np.sin(x) * w - y
                    elif name == "times":
                        z = x * (y + 0.01 * t)
                    elif name == "row":
                        z = x + xs[t]
                    elif name == "rowback":
                        z = x * xs[19 - t]
                    elif name == "sum":
                        z = x - np.sum(y) * 0.1
                    elif name == "where":
                        z = np.where(x > y, x, y * 0.25)
                    elif name == "lag":
                        z = x + before[b] * 0.5
                    elif name == "part":
                        z = np.concatenate([x[2:], y[:2]])
                    else:
                        z = np.outer(x, w) @ y
                    state[c] = z / (1.0 + z * z)
                before = start
                out.append(state[0])
                if t % odd == odd - 1:
                    state[0] = state[0] * 0.5
        total = sum(np.sum(s * (k + 1.0)) for k, s in enumerate(state))
        total = total + np.sum(w * h) + np.sum(xs * 0.25)
        return total + (np.sum(np.stack(out) ** 2) if shown else np.sum(out[2]))

    return f


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("sums", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_random_loops_over_arrays_give_the_same_bits(seed: int, sums: bool) -> None:
    f = arrays_program(seed, sums)
    same_bits(f, W, H, XS, sums=True)
    same_bits(cr.grad(f, argnums=(0, 1, 2)), W, H, XS, sums=sums)
