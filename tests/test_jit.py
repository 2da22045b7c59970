"""``jit``: what a compiled function gives, when it is recorded again, and how it is called."""

from __future__ import annotations

import collections
import dataclasses
import functools
import gc
import inspect
import os
import subprocess
import sys
import threading
import time
import weakref

import numpy as np
import pytest

import chainrule as cr
from chainrule.run.llvm import cache, call
from chainrule.transforms.jit import _MISS, MOST_TRACES, JitWarning

A = np.arange(6.0).reshape(2, 3)
Pair = collections.namedtuple("Pair", "x y")


@dataclasses.dataclass
class Model:
    weights: object
    bias: object


def same(found, expected):
    """Equal in structure, dtype and shape, and equal as numbers to a few ulp."""
    if isinstance(expected, dict):
        assert type(found) is type(expected)
        assert list(found) == list(expected)
        for key in expected:
            same(found[key], expected[key])
    elif isinstance(expected, tuple | list):
        assert type(found) is type(expected)
        assert len(found) == len(expected)
        for a, b in zip(found, expected, strict=True):
            same(a, b)
    elif dataclasses.is_dataclass(expected):
        assert type(found) is type(expected)
        same(vars(found), vars(expected))
    elif expected is None or isinstance(expected, str):
        assert found == expected
    else:
        assert isinstance(found, np.ndarray) == isinstance(expected, np.ndarray)
        a, b = np.asarray(found), np.asarray(expected)
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        np.testing.assert_allclose(a, b, rtol=1e-6 if a.dtype == np.float32 else 1e-14)


def agrees(f, *args, **kwargs):
    """The compiled function gives what the function gives, again and again."""
    compiled = cr.jit(f)
    for _ in range(3):
        same(compiled(*args, **kwargs), f(*args, **kwargs))
    return compiled


def traces(compiled):
    return [len(found) for found in compiled._traces.values()]


@pytest.fixture(params=["machine code", "Python"])
def caller(request, monkeypatch):
    """Both ways in which arguments reach machine code."""
    if request.param == "Python":
        monkeypatch.setattr(call, "available", lambda: False)
    elif not call.available():
        pytest.skip("calls cannot be made from machine code here")
    return request.param


# ---------------------------------------------------------------------------- arguments and results


@pytest.mark.parametrize(
    "x", [2, 2.5, True, np.float32(2), np.float64(-1.5), np.int64(3), np.bool_(True), np.int32(4)],
    ids=repr,
)  # fmt: skip
def test_numbers_of_every_kind_go_in_and_come_out(caller, x):
    agrees(lambda x: (x * 2, x == 0, [x + np.float32(1)]), x)


def test_truth_values_of_python_are_added_as_whole_numbers(caller):
    agrees(lambda x: (x + x, x * 3, x / 2), True)


@pytest.mark.parametrize("dtype", ["f8", "f4", "i8", "i4", "?", "f2", "u1", "i2", ">f8"])
def test_arrays_of_every_dtype_go_in_and_come_out(caller, dtype):
    agrees(lambda x: (x + x, x[0], x[0, 0]), A.astype(dtype))


@pytest.mark.parametrize(
    "x",
    [A, A.T, A[:, ::2], A[::-1], np.zeros((0, 3)), np.array(2.0), np.asfortranarray(A),
     np.frombuffer(b"\0" * 49, np.uint8)[1:].view("f8")],
    ids=["rows", "transposed", "steps", "backwards", "empty", "0-d", "columns", "unaligned"],
)  # fmt: skip
def test_arrays_lie_in_memory_in_any_way(caller, x):
    agrees(lambda x: (np.sum(x), x * 2, x), x)


def test_trees_go_in_and_come_out(caller):
    agrees(lambda p: {"w": p["w"] * 2, "b": [p["b"][0] + 1, None, "text"]}, {"w": A, "b": (1.5,)})
    agrees(lambda p: Pair(p.y * 2, p.x), Pair(A, 1.5))
    agrees(lambda m: Model(m.bias * 2, m.weights), Model(A, 1.5))
    agrees(lambda x: (x, Pair(x, Model(x, (x + 1,)))), A)
    agrees(lambda x: {}, A)
    agrees(lambda x: None, A)
    agrees(lambda: (1, np.ones(3)))


def test_the_order_of_a_dictionary_counts(caller):
    stacked = cr.jit(lambda p: np.stack(list(p.values())))
    one, other = {"a": A, "b": A + 1}, {"b": A + 1, "a": A}
    for _ in range(2):
        np.testing.assert_array_equal(stacked(one), [A, A + 1])
        np.testing.assert_array_equal(stacked(other), [A + 1, A])


def test_arguments_by_name(caller):
    def f(x, k=2.0, **more):
        return x * k + more["z"]

    compiled = agrees(f, A, z=A, k=1.5)
    same(compiled(A, k=1.5, z=A), f(A, k=1.5, z=A))
    same(compiled(x=A, z=1.0), f(x=A, z=1.0))
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        compiled(z=A)


def test_a_result_is_never_an_argument_or_another_result(caller):
    fixed = np.ones(3)
    compiled = cr.jit(lambda x: (x, x, x.T.T, fixed, fixed))
    for _ in range(2):
        x = np.arange(3.0)
        found = compiled(x)
        for n, result in enumerate(found):
            assert not np.shares_memory(result, x)
            assert not np.shares_memory(result, fixed)
            assert not any(np.shares_memory(result, other) for other in found[:n])
            result[:] = 7.0


def test_an_array_that_was_captured_is_as_it_was_while_recording(caller):
    for n in (3, 5000):
        w = np.ones(n)
        compiled = cr.jit(lambda x, w=w: x * w)
        x = np.full(n, 2.0)
        compiled(x)
        w[:] = 5.0
        same(compiled(x), x)


def test_large_captured_arrays_are_kept_once():
    w = np.arange(1e5)
    compiled = cr.jit(lambda x: np.sum(np.sin(x * w) * w + w))
    compiled(1.0)
    ((trace,),) = compiled._traces.values()
    constants = [b for b in trace.executable.lowering.nests.buffers if b.kind == "constant"]
    assert [b.size for b in constants] == [100_000]


def test_what_numpy_has_to_do_is_done_between(caller):
    agrees(lambda x: np.linalg.inv(np.exp(x) + np.eye(2)) @ x, A[:, :2])
    agrees(lambda x: np.sort(x * 2)[::-1] + 1, A)


def test_an_error_of_numpy_on_the_way_is_raised(caller):
    compiled = agrees(lambda x, y: np.linalg.inv(x * 2) + np.sin(y), np.eye(3), np.ones(3))
    x, y = np.zeros((3, 3)), np.ones(6)[::2]
    counts = sys.getrefcount(x), sys.getrefcount(y)
    for _ in range(20):
        with pytest.raises(np.linalg.LinAlgError, match="Singular"):
            compiled(x, y)
    assert (sys.getrefcount(x), sys.getrefcount(y)) == counts
    same(compiled(np.eye(3), y), np.eye(3) / 2 + np.sin(y))


def test_subclasses_and_complex_numbers_run_as_they_are():
    agrees(lambda x: x * 2, 1 + 2j)
    assert cr.jit(lambda x: x * 2)(2**70) == 2**71
    mapped = cr.jit(lambda x: x * 2)
    assert mapped(3) == 6
    assert mapped(2**70) == 2**71
    masked = np.ma.masked_less(A, 2)
    assert np.ma.is_masked(cr.jit(lambda x: x * 2)(masked))


def test_text_of_numpy_is_static_and_dates_run_as_they_are():
    agrees(lambda x, how: np.exp(x) if how == "exp" else x, A, np.str_("exp"))
    agrees(lambda x, names: x if names[0] == "a" else -x, A, np.array(["a", "b"]))
    day = np.datetime64("2020-01-01")
    assert cr.jit(lambda d: d + 1)(day) == day + 1


def test_an_array_of_objects_runs_as_it_is():
    compiled = cr.jit(lambda x: x + 1)
    x = np.array([2**70, 3], object)
    with pytest.warns(JitWarning, match="object objects"):
        assert list(compiled(x)) == [2**70 + 1, 4]
    assert list(compiled(x)) == [2**70 + 1, 4]


# ----------------------------------------------------------------------------- what is compiled for


def test_one_recording_for_each_kind_of_argument(caller):
    runs = []

    def f(x):
        runs.append(np.shape(x))
        return x * 2

    compiled = cr.jit(f)
    for _ in range(2):
        for x in (1.0, np.float64(1), 1, A, A.astype("f4"), A[0], [1.0, 2.0], (1.0, 2.0)):
            if isinstance(x, list | tuple):
                continue
            same(compiled(x), x * 2)
    assert len(runs) == 6


def test_a_python_float_takes_on_the_dtype_of_its_company(caller):
    compiled = cr.jit(lambda x, k: x * k)
    x = np.ones(3, np.float32)
    assert compiled(x, 2.0).dtype == np.float32
    assert compiled(x, np.float64(2)).dtype == np.float64
    assert compiled(x, 3.0).dtype == np.float32


def test_static_arguments_are_parts_of_what_is_compiled(caller):
    runs = []

    def power(x, n, how="fast"):
        runs.append((n, how))
        for _ in range(n):
            x = x * 2 if how == "fast" else x + 1
        return x

    for compiled in (
        cr.jit(power, static_argnums=1), cr.jit(power, static_argnums=(-2,)),
        cr.jit(power, static_argnames="n"), cr.jit(power, static_argnums=[1, 2]),
    ):  # fmt: skip
        runs.clear()
        for _ in range(2):
            assert compiled(1.0, 1000 - 997) == 8.0
            assert compiled(1.0, n=3) == 8.0
            assert compiled(1.0, 300) == 2.0**300
            assert compiled(1.0, 2, "slow") == 3.0
        assert sorted({n for n, _ in runs}) == [2, 3, 300]
        assert len(runs) == 4


def test_what_is_no_number_is_static_and_has_to_be_hashable(caller):
    agrees(lambda x, how: np.exp(x) if how == "exp" else x, A, "exp")
    agrees(lambda x, f: f(x), A, np.sin)
    with pytest.raises(cr.errors.ArgumentsError, match="hashable"):
        cr.jit(lambda x, s: x)(A, {1, 2})


def test_static_arguments_that_are_not_there_are_refused():
    with pytest.raises(cr.errors.ArgumentsError, match="static_argnums"):
        cr.jit(lambda x: x, static_argnums=3)
    with pytest.raises(cr.errors.ArgumentsError, match="static_argnames"):
        cr.jit(lambda x: x, static_argnames="n")
    with pytest.raises(cr.errors.ArgumentsError, match="takes a function"):
        cr.jit(3)


def test_a_branch_is_recorded_again_when_it_turns_out_otherwise(caller):
    def f(x):
        return x * 2 if x > 0 else -x

    compiled = cr.jit(f)
    for x in (1.0, -1.0, 2.0, -2.0, 0.0, np.nan):
        same(compiled(x), f(x))
    assert traces(compiled) == [2]


def test_a_loop_until_something_holds_is_recorded_a_few_times_and_then_run(caller):
    def root(x):
        y = x
        for _ in range(100):
            if abs(y * y - x) <= 1e-12 * x:
                break
            y = 0.5 * (y + x / y)
        return y

    compiled = cr.jit(root)
    for _ in range(2):
        for x in (2.0, 3.0, 5.0):  # as many steps each
            same(compiled(x), root(x))
    assert sum(traces(compiled)) <= 3
    steps = cr.jit(lambda n: sum(range(int(n))))
    with pytest.warns(JitWarning, match=f"recorded {MOST_TRACES} times") as told:
        found = [steps(float(n)) for n in range(20)]
    assert found == [sum(range(n)) for n in range(20)]
    assert len(told) == 1
    assert told[0].filename == __file__
    assert traces(steps) == []
    assert steps._entry(3.0) is _MISS


def test_other_kinds_stay_compiled_when_one_is_given_up(caller):
    compiled = cr.jit(lambda x: x * int(np.sum(x)))
    same(compiled(A), A * 15)
    with pytest.warns(JitWarning, match="recorded"):
        found = [compiled(float(n)) for n in range(12)]
    assert found == [float(n * n) for n in range(12)]
    same(compiled(A), A * 15)
    assert traces(compiled) == [1]


@pytest.mark.parametrize(
    "f",
    [lambda x: x * int(x[1]), lambda x: x[: int(x[1])], lambda x: x * bool(x[1]),
     lambda x: x * float(f"{x[1]:.3f}"), lambda x: x[x > 1].sum() if (x > 1).any() else x[0]],
    ids=["int", "slice", "bool", "digits", "mask"],
)  # fmt: skip
def test_a_value_that_is_asked_for_is_asked_for_again(caller, f):
    compiled = cr.jit(f)
    for _ in range(2):
        for second in (0.0, 1.0, 3.0):
            x = np.array([0.5, second, 2.5])
            same(compiled(x), f(x))


def test_an_index_that_is_a_value(caller):
    compiled = agrees(lambda x, i: x[i], A, 1)
    same(compiled(A, 0), A[0])
    same(compiled(A, -1), A[1])
    for _ in range(2):
        with pytest.raises(IndexError, match="out of bounds"):
            compiled(A, 5)
    same(compiled(A, 0), A[0])


def test_an_error_while_recording_leaves_everything_as_it_was(caller):
    fail = [True]

    def f(x):
        y = np.sin(x)
        if fail[0]:
            raise RuntimeError("not yet")
        return y

    compiled = cr.jit(f)
    with pytest.raises(RuntimeError, match="not yet"):
        compiled(1.0)
    assert cr.grad(np.sin)(0.0) == 1.0
    fail[0] = False
    same(compiled(1.0), np.sin(1.0))


def test_clear_cache_forgets(caller):
    runs = []
    compiled = cr.jit(lambda x: runs.append(1) or x * 2)
    compiled(1.0)
    compiled(2.0)
    compiled.clear_cache()
    compiled(1.0)
    assert len(runs) == 2


# ------------------------------------------------------------------------------- inside and outside


def test_a_compiled_function_is_a_part_of_what_uses_it(caller):
    f = cr.jit(lambda x: np.sum(x**3))
    np.testing.assert_allclose(cr.grad(f)(A), 3 * A**2)
    np.testing.assert_allclose(cr.vmap(f)(A), np.sum(A**3, axis=1))
    np.testing.assert_allclose(cr.jit(cr.jit(f))(A), np.sum(A**3))
    np.testing.assert_allclose(cr.jit(cr.grad(cr.grad(cr.jit(lambda x: x**4))))(2.0), 48.0)
    np.testing.assert_allclose(cr.jit(cr.vmap(cr.grad(lambda x: x**2)))(A[0]), 2 * A[0])
    ((trace,),) = cr.jit(cr.grad(f))._traces.values() or [[None]]
    assert trace is None


def test_a_function_of_a_value_that_is_being_differentiated_is_run_as_it_is(caller):
    def outer(w):
        return np.sum(cr.jit(lambda x: x * w)(A))

    np.testing.assert_allclose(cr.grad(outer)(2.0), A.sum())


def test_a_recursive_function(caller):
    @cr.jit
    def factorial(n, x):
        return x if n == 0 else n * factorial(n - 1, x)

    assert factorial(5, 1.0) == 120.0
    assert factorial(5, 2.0) == 240.0


def test_it_looks_like_the_function():
    @cr.jit
    def area(width, height=2.0):
        """Of a rectangle."""
        return width * height

    assert (area.__name__, area.__doc__) == ("area", "Of a rectangle.")
    assert area.__wrapped__(3.0) == 6.0
    assert list(inspect.signature(area).parameters) == ["width", "height"]
    assert "area" in repr(area)
    assert functools.partial(area, height=3.0)(2.0) == 6.0


def test_it_can_be_a_method(caller):
    class Scaled:
        def __init__(self, scale):
            self.scale = scale

        @cr.jit
        def times(self, x):
            return self.scale * x

        @staticmethod
        @cr.jit
        def twice(x):
            return 2 * x

        @functools.partial(cr.jit, static_argnums=(0, 2))
        def power(self, x, n):
            return self.scale * x**n

    for _ in range(2):
        assert Scaled(3.0).times(2.0) == 6.0
        assert Scaled(4.0).times(2.0) == 8.0
        assert Scaled.twice(2.0) == 4.0
        assert Scaled(2.0).power(3.0, 2) == 18.0
    assert isinstance(Scaled.times, type(cr.jit(abs)))


# ------------------------------------------------------------------------------- threads and memory


def test_threads_call_at_once(caller):
    def f(x, k):
        h = np.tanh(x * k)
        return np.sum(h @ h.T) + k, np.sin(x) * k

    compiled = cr.jit(f)
    inputs = [(np.full((40, 40), n / 10.0), float(n)) for n in range(8)]
    expected = [f(*given) for given in inputs]
    wrong = []
    barrier = threading.Barrier(4)

    def work(first):
        barrier.wait()
        for turn in range(60):
            n = (first + turn) % 8
            found = compiled(*inputs[n])
            if not all(np.allclose(a, b) for a, b in zip(found, expected[n], strict=True)):
                wrong.append(n)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong
    assert traces(compiled) == [1]


def test_other_threads_run_meanwhile():
    if not call.available():
        pytest.skip("calls cannot be made from machine code here")
    x = np.linspace(0.0, 1.0, 2_000_000)
    compiled = cr.jit(lambda x: np.sum(np.sin(np.exp(np.sin(np.exp(x))))))
    compiled(x)
    assert next(iter(compiled._traces.values()))[0].executable.long
    turns, during, stop = [0], [], threading.Event()

    def count():
        while not stop.is_set():
            turns[0] += 1
            time.sleep(0)

    # Nobody is asked to hand over the lock: the other thread gets it while it is not held at all.
    interval = sys.getswitchinterval()
    other = threading.Thread(target=count)
    sys.setswitchinterval(1000.0)
    try:
        other.start()
        for _ in range(20):
            before = turns[0]
            compiled(x)
            during.append(turns[0] - before)
    finally:
        stop.set()
        sys.setswitchinterval(interval)
        other.join()
    assert max(during) > 0


def test_what_is_dropped_is_freed():
    compiled = cr.jit(lambda x: (np.sin(x) * 2, Pair(x, x)))
    compiled(A)
    ((trace,),) = compiled._traces.values()
    gone = weakref.ref(trace.executable)
    jitted = weakref.ref(compiled)
    gc.disable()
    try:
        del trace, compiled
        assert gone() is None
        assert jitted() is None
    finally:
        gc.enable()


def _resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs /proc")
def test_memory_stays_flat(monkeypatch):
    monkeypatch.setenv("CHAINRULE_CACHE", "0")

    def once(k):
        compiled = cr.jit(cr.grad(lambda x: np.sum(np.sin(x) * k)))
        same(compiled(A), np.cos(A) * k)

    for k in range(30):
        once(k)
    compiled = cr.jit(lambda x: (x * 2, [x, {"a": x}], 3, np.sum(x)))
    compiled(np.ones(1000))
    gc.collect()
    before = _resident()
    for k in range(200):
        once(k)
    for _ in range(20_000):
        compiled(np.ones(1000))
    gc.collect()
    assert _resident() - before < 2 << 20


def test_references_are_given_back(caller):
    key, text, x = "a name of its own", "some text of its own", np.ones(3)
    compiled = cr.jit(lambda d, t, y: ({"r": d[key] + y, "n": None}, t, (1, d[key])))
    for _ in range(3):
        compiled({key: x}, text, 1.0)
        compiled({key: x[::2]}, text, 1.0)  # another shape, another recording
    counted = [key, text, x, None, np.dtype("f8"), np.ndarray]
    before = list(map(sys.getrefcount, counted))
    for _ in range(1000):
        compiled({key: x}, text, 1.0)
        compiled({key: x[::2]}, text, 1.0)
    after = list(map(sys.getrefcount, counted))
    assert all(abs(a - b) < 200 for a, b in zip(after, before, strict=True)), (before, after)


def test_an_error_in_making_the_result_is_raised(caller):
    class Fussy:
        fail = False

        def __init__(self, x):
            if Fussy.fail:
                raise RuntimeError("not today")
            self.x = x

    cr.register_pytree_node(Fussy, lambda p: ((p.x,), None), lambda _, children: Fussy(*children))
    compiled = cr.jit(lambda x: Fussy(x * 2))
    same(compiled(A).x, A * 2)
    Fussy.fail = True
    for _ in range(3):
        with pytest.raises(RuntimeError, match="not today"):
            compiled(A)
    Fussy.fail = False
    same(compiled(A).x, A * 2)


# ------------------------------------------------------------------------------------------ on disk


def run(program, **environment):
    """A program in a process of its own: what it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


_PROGRAM = """
import numpy as np, chainrule as cr
f = cr.jit(lambda x: np.sum(np.sin(x) * 3))
print(float(f(np.ones(4))), f.lower(np.ones(4)).cached)
"""


def test_object_code_is_found_by_the_next_process(tmp_path):
    where = tmp_path / "cache"
    first = run(_PROGRAM, CHAINRULE_CACHE_DIR=str(where))
    assert first[0] == run(_PROGRAM, CHAINRULE_CACHE="0")[0]
    files = sorted(where.glob("*.object"))
    assert files
    assert run(_PROGRAM, CHAINRULE_CACHE_DIR=str(where)) == [first[0], "True"]
    assert sorted(where.glob("*")) == files
    for path in files:  # damaged ones are made anew
        path.write_bytes(path.read_bytes()[:-20] + b"\0" * 20)
    assert run(_PROGRAM, CHAINRULE_CACHE_DIR=str(where))[0] == first[0]
    for path in files:
        path.write_bytes(b"")
    assert run(_PROGRAM, CHAINRULE_CACHE_DIR=str(where))[0] == first[0]


def test_nothing_is_kept_where_nobody_wants_it(tmp_path, monkeypatch):
    monkeypatch.setenv("CHAINRULE_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("CHAINRULE_CACHE", "0")
    same(cr.jit(lambda x: x * 31.0)(2.0), 62.0)
    assert not list(tmp_path.iterdir())
    assert cache.directory() is None


def test_a_directory_that_cannot_be_written_to_is_no_harm(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("no directory")
    for where in (blocked, blocked / "inside"):
        monkeypatch.setenv("CHAINRULE_CACHE_DIR", str(where))
        same(cr.jit(lambda x: x * 37.0)(2.0), 74.0)
    assert blocked.read_text() == "no directory"


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX permissions")
def test_a_directory_that_others_write_to_is_not_used(tmp_path, monkeypatch):
    monkeypatch.setenv("CHAINRULE_CACHE_DIR", str(tmp_path))
    tmp_path.chmod(0o777)
    cache.store("name", b"content")
    assert not list(tmp_path.iterdir())
    tmp_path.chmod(0o700)
    cache.store("name", b"content")
    assert cache.load("name") == b"content"
    tmp_path.chmod(0o777)
    assert cache.load("name") is None


def test_the_oldest_files_make_room(tmp_path, monkeypatch):
    monkeypatch.setenv("CHAINRULE_CACHE_DIR", str(tmp_path))
    for n in range(6):
        cache.store(f"n{n}", bytes(1000))
        path = tmp_path / f"n{n}.object"
        os.utime(path, (n + 1, n + 1))
    assert cache.load("n0") == bytes(1000)  # it is the newest now
    cache.shrink(tmp_path, 6 * 1032)
    assert len(list(tmp_path.iterdir())) == 6
    cache.shrink(tmp_path, 4200)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["n0.object", "n4.object", "n5.object"]


def test_files_are_counted_now_and_then(tmp_path, monkeypatch):
    monkeypatch.setenv("CHAINRULE_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("CHAINRULE_CACHE_SIZE", "100000")
    for n in range(3000):
        cache.store(cache.key(str(n)), bytes(1000))
    left = sum(p.stat().st_size for p in tmp_path.iterdir())
    assert 20_000 < left < 1_000_000


def test_processes_write_at_once(tmp_path):
    program = _PROGRAM + "\nfor k in range(5): print(float(cr.jit(lambda x: x * k)(2.0)))"
    environment = {**os.environ, "CHAINRULE_CACHE_DIR": str(tmp_path)}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment
        )
        for _ in range(3)
    ]
    printed = [p.communicate()[0].split() for p in started]
    assert all(p.returncode == 0 for p in started)
    assert {tuple(p[2:]) for p in printed} == {("0.0", "2.0", "4.0", "6.0", "8.0")}
    assert len({p[0] for p in printed}) == 1
    assert not list(tmp_path.glob("*.part"))


# ------------------------------------------------------------------------------- without a compiler


def test_without_llvmlite_everything_runs_on_numpy_and_says_so_once():
    program = """
import sys, warnings
sys.modules["llvmlite"] = None
import numpy as np, chainrule as cr
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    f = cr.jit(lambda x: np.sin(x))
    g = cr.jit(cr.grad(lambda x: np.sin(x)))
    print(float(f(0.0)), float(f(0.0)), float(f(np.zeros(1))[0]), float(g(0.0)))
print(len(told), told[0].category.__name__, "llvmlite" in str(told[0].message))
"""
    assert run(program) == ["0.0", "0.0", "0.0", "1.0", "1", "JitWarning", "True"]


def test_a_program_that_the_compiler_fails_on_runs_on_numpy_and_says_why(monkeypatch):
    from chainrule.run.llvm import executable

    def broken(module):
        raise RuntimeError("LLVM says no")

    compiled = cr.jit(lambda x: x * 2)
    monkeypatch.setattr(executable, "Library", broken)
    with pytest.warns(JitWarning, match="LLVM says no"):
        same(compiled(A), A * 2)
    same(compiled(A), A * 2)
    monkeypatch.undo()
    same(compiled(A[0]), A[0] * 2)
    assert traces(compiled) == [1]


# ------------------------------------------------------------------------------- lower


def layer(w, x):
    h = np.tanh(w @ x)
    if h[0, 0] > 2:
        h = h + 1
    inverse = np.linalg.inv(x[:3, :3])
    return np.sum(h * h) + inverse[0, 0]


def test_lower_shows_operations_loops_and_the_lines_they_come_from():
    rng = np.random.default_rng(0)
    shown = cr.jit(cr.grad(layer)).lower(rng.normal(size=(50, 60)), rng.normal(size=(60, 70)))
    first = inspect.getsourcelines(layer)[1]
    tanh = f"test_jit.py:{first + 1}: h = np.tanh(w @ x)"
    lines = [line for line in shown.graph.splitlines() if tanh in line]
    assert any("float64[50, 70] = matmul(%0, %1)" in line for line in lines)
    assert any("transpose" in line for line in lines)  # of the derivative
    assert "recorded anew if changed" in shown.graph
    assert "BLAS, 50×60 by 60×70" in shown.nests
    assert f"test_jit.py:{first + 1}" in shown.nests
    assert "for i" in shown.nests
    assert "own polynomial" in shown.functions
    assert "define " in shown.llvm_ir
    assert "ret" in shown.assembly
    assert shown.graph in str(shown)
    assert shown.nests in repr(shown)


def test_lower_says_what_numpy_does_and_why():
    shown = cr.jit(lambda x: np.linalg.inv(x) + 1).lower(np.eye(3))
    assert "NumPy, as inv has no loops of its own" in shown.nests


def test_lower_refuses_what_is_not_compiled():
    with pytest.raises(cr.errors.ArgumentsError, match="no machine code"):
        cr.jit(lambda x: x).lower(1j)


def test_what_runs_the_passes_of_llvm_does_not_serve_for_ever(monkeypatch):
    """It remembers every run: the thousandth took several times as long as the first."""
    import llvmlite.binding as llvm

    from chainrule.run.llvm import objects

    made = []
    create = llvm.create_pass_builder
    monkeypatch.setattr(
        llvm, "create_pass_builder", lambda *given: made.append(given) or create(*given)
    )
    objects._pipeline.cache_clear()
    for _ in range(200):
        objects.assembly("define void @f() { ret void }", 2)
    assert 3 <= len(made) <= 20
