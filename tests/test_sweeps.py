"""What the compiler promises about sweeps: shifted loops go in blocks, with the same bits."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.run.llvm import codegen, sweeps
from chainrule.run.llvm.nests import Sweep
from tests.test_nests import lowered, three_threads

# What goes wrong in the compiler is not made up for by NumPy here.
pytestmark = pytest.mark.filterwarnings("error::chainrule.transforms.jit.JitWarning")

# Not a multiple of a block, of a thread's part or of a vector.
LENGTH = 1237


@pytest.fixture
def short_blocks(monkeypatch):
    """Arrays of a few thousand numbers are long, and go through many blocks."""
    monkeypatch.setattr(sweeps, "_NEAREST", 1 << 12)
    monkeypatch.setattr(sweeps, "_LEAST", 16)


def divided(monkeypatch):
    """Three threads have parts of every sweep, and none has windows."""
    three_threads(monkeypatch)
    monkeypatch.setattr(codegen, "windows", lambda sweep: [])


@pytest.fixture(params=[False, True], ids=["alone", "divided"])
def threads(request, monkeypatch):
    """Sweeps are made by one thread, and by three."""
    if request.param:
        divided(monkeypatch)


def sweeps_of(f, *args):
    return [group for group in lowered(f, *args).groups if isinstance(group, Sweep)]


def moved(a, by, value=0.5):
    """``a`` moved along its first axis, to later places if ``by`` is positive."""
    if by == 0:
        return a
    rest = np.full((abs(by), *np.shape(a)[1:]), value)
    parts = [rest, a[:-by]] if by > 0 else [a[-by:], rest]
    return np.concatenate(parts)


def stepped(*shifts):
    """A program whose every stage reads the one before at two places next to its own."""

    def f(x):
        y = x
        for by in shifts:
            y = moved(y, by) * x + moved(y, -2 * by) * 0.25 + y
        return y

    return f


def same(found, expected):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def run_alike(f, *args):
    """The compiled function gives NumPy's bits, time after time."""
    compiled = cr.jit(f)
    for _ in range(5):
        np.testing.assert_array_equal(compiled(*args), f(*args))


@pytest.mark.usefixtures("short_blocks", "threads")
@pytest.mark.parametrize(
    "shifts", [(1, 1, 1), (-1, -1, -1), (3, -2, 5, -4), (17, -33, 20), (0, 1, 0, -1)]
)
def test_shifted_loops_in_blocks_give_the_same_bits(shifts):
    f, x = stepped(*shifts), np.random.default_rng(0).normal(size=LENGTH)
    assert sweeps_of(f, x)
    run_alike(f, x)


@pytest.mark.usefixtures("short_blocks", "threads")
@pytest.mark.parametrize("by", [1, -1, 7])
def test_rows_that_read_their_neighbours_go_in_blocks(by):
    f, x = stepped(by, -by, by), np.random.default_rng(0).normal(size=(701, 3))
    assert sweeps_of(f, x)
    run_alike(f, x)


@pytest.mark.usefixtures("short_blocks", "threads")
def test_what_needs_the_other_end_or_the_largest_of_all_waits_until_it_is_done():
    def f(x):
        y = stepped(1, 2)(x)
        z = stepped(1, -1)(np.concatenate([y[-3:], y[:-3]]))
        z = z + np.concatenate([z[-1:] * 2, z[:-1]])
        y = stepped(-1, 1)(z - np.max(z * x))
        return y + np.max(y)

    x = np.random.default_rng(0).normal(size=LENGTH)
    assert len(sweeps_of(f, x)) > 2
    run_alike(f, x)


@pytest.mark.usefixtures("short_blocks", "threads")
def test_numbers_between_two_loops_do_not_part_them():
    def f(x):
        y = smoothed(x, x)
        few = np.stack([y[5] * 2 + y[7], x[3] - 1.0, y[-1]])
        z = smoothed(y, few[1])
        return few, z, np.concatenate([z[:1] * few[0], z[1:]])

    x = np.random.default_rng(0).normal(size=LENGTH)
    (sweep,) = sweeps_of(f, x)
    assert len(sweep.turns) > 4
    same(cr.jit(f)(x), f(x))


@pytest.mark.usefixtures("short_blocks")
def test_numbers_of_a_loop_are_there_before_a_loop_that_needs_them():
    def f(x):
        y = smoothed(x, x)
        first = (y[-1] * 0.5 + y[0]) * 0.25 - y[7]
        then = (first * 0.5 + 0.25) * first - 0.125
        early = (x[3] * 0.5 + x[9]) * 0.25 - x[4]
        last = (then * 0.5 + first * early) * 0.25 - then * first + early
        return smoothed(y, then, first), np.stack([then, (last + first) * last - last])

    x = np.random.default_rng(0).normal(size=LENGTH)
    assert len(sweeps_of(f, x)) == 2
    same(cr.jit(f)(x), f(x))


@pytest.mark.usefixtures("short_blocks")
@pytest.mark.parametrize("at", [111, 112, 113, 127, 128, 129])
def test_a_number_at_the_border_of_a_part_is_made_in_time(at, monkeypatch):
    divided(monkeypatch)

    def f(x):
        y = moved(x, 1) * x + moved(x, -1) * 0.25 + x * 0.125
        y[at] = y[at - 1] * 0.5
        return smoothed(y, x)

    x = np.random.default_rng(0).normal(size=LENGTH)
    code = lowered(f, x)
    assert any(d for g, d in zip(code.groups, code.divided, strict=True) if isinstance(g, Sweep))
    run_alike(f, x)


def smoothed(y, *weights):
    for w in weights:
        y = moved(y, 1) * w + moved(y, -1) * 0.25 + y * 0.125
    return y


def test_what_only_a_sweep_uses_takes_the_room_of_a_block():
    x = np.random.default_rng(0).normal(size=30_000)
    assert lowered(lambda x: smoothed(x, 0.5, 0.5), x).workspace < x.nbytes / 4
    run_alike(lambda x: smoothed(x, 0.5, 0.5), x)


def test_a_listing_shows_the_blocks_and_who_makes_them(monkeypatch):
    x = np.zeros(30_000)
    shown = cr.jit(lambda x: smoothed(x, 0.5)).lower(x).nests
    assert "in blocks of" in shown
    divided(monkeypatch)
    shown = cr.jit(lambda x: smoothed(x, 0.5)).lower(x).nests
    (line,) = [line for line in shown.splitlines() if "in blocks of" in line]
    assert "3 threads" in line


@pytest.mark.usefixtures("short_blocks")
def test_sweeps_that_are_alike_share_their_code():
    f, x = lambda x: smoothed(x, *[0.5] * 40), np.random.default_rng(0).normal(size=LENGTH)
    code = lowered(f, x)
    assert len([group for group in code.groups if isinstance(group, Sweep)]) > 3
    assert len([text for text in code.module.functions if ".blocks(" in text]) < 3
    run_alike(f, x)


@pytest.mark.usefixtures("short_blocks")
def test_loops_that_are_alike_may_go_in_blocks_of_other_lengths():
    def f(x, v, w):
        y = smoothed(x, v, v, v)
        return smoothed(y - np.max(y), *[w[:LENGTH]] * 3) * x

    rng = np.random.default_rng(0)
    args = [rng.normal(size=n) for n in (LENGTH, LENGTH, 3 * LENGTH)]
    assert len({sweep.block for sweep in sweeps_of(f, *args)}) > 1
    run_alike(f, *args)


@pytest.mark.usefixtures("short_blocks")
def test_long_turns_in_blocks_have_vectors_that_fit_them():
    def f(x):
        y = x
        for by in (1, -1, 1):
            y = moved(y, by) * 0.5 + moved(y, -by)
            new = y[1:]
            for k in range(90):  # each waits for the one before: alone, this has more in flight
                new = new * x[1:] + 0.01 * k
            y = np.copy(y)
            y[:-1] += new
        return y

    x = np.random.default_rng(0).uniform(-0.9, 0.9, LENGTH)
    code = lowered(f, x)
    (sweep,) = [group for group in code.groups if isinstance(group, Sweep)]
    widths = [code.module.widths[turns.loop.var.here().number] for turns in sweep.turns]
    assert all(sweep.block % lanes == 0 for lanes in widths)
    run_alike(f, x)


def random_program(seed):
    """Stages that read earlier ones at random distances, and write parts of arrays."""
    rng = np.random.default_rng(seed)
    stages = [
        (*rng.integers(0, k + 1, 3), *rng.choice([-40, -16, -3, -1, 0, 1, 2, 15, 31], 3),
         rng.integers(1, 40))
        for k in range(int(rng.integers(4, 9)))
    ]  # fmt: skip

    def f(x):
        known = [x]
        for a, b, c, i, j, k, start in stages:
            new = moved(known[a], i) * known[b] + moved(known[b], j) * moved(known[c], k) * 0.5
            if start % 3 == 0:  # a part of it once more, from a neighbour
                new = np.copy(new)
                new[start:] += known[a][:-start] * 0.125
                new[:-1] = new[1:] * known[b][:-1] + new[:-1]
            known.append(new)
        return tuple(known[-3:])

    return f


@pytest.mark.usefixtures("short_blocks", "threads")
@pytest.mark.parametrize("seed", range(24))
def test_random_stages_in_blocks_give_the_same_bits(seed):
    f, x = random_program(seed), np.random.default_rng(seed).uniform(-1, 1, LENGTH)
    assert sweeps_of(f, x)
    compiled, expected = cr.jit(f), f(x)
    for _ in range(3):
        same(compiled(x), expected)


@pytest.mark.usefixtures("short_blocks", "threads")
def test_a_gradient_goes_back_in_blocks():
    def f(x):
        step = lambda y, _: (stepped(1, -2, 3)(y) * 0.3 + x, None)
        return np.sum(cr.scan(step, x, None, length=4)[0] ** 2)

    x = np.random.default_rng(0).normal(size=LENGTH)
    gradient = cr.grad(f)
    np.testing.assert_allclose(cr.jit(gradient)(x), gradient(x), rtol=1e-12, atol=1e-12)
