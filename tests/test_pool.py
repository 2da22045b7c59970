"""Threads that large loops are divided among: whoever is free takes the next part."""

import dataclasses
import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

import chainrule as cr
from chainrule.run.llvm import codegen, pool, target


@pytest.fixture
def divided(monkeypatch):
    """A compiled function whose loop is divided, and its result on one thread."""
    wide = dataclasses.replace(target.host(), threads=3)
    monkeypatch.setattr(codegen, "_PARALLEL_FROM", 1000)
    monkeypatch.setattr("chainrule.run.llvm.executable.host", lambda: wide)
    x = np.random.default_rng(0).normal(size=200_003)

    def f(x):
        return np.sum(np.sin(x)), np.cos(x) * x

    compiled = cr.jit(f)
    compiled(x)
    lowered = compiled.lower(x)
    assert pool.RUN in lowered.llvm_ir
    return compiled, x, f(x)


def same(found, expected):
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-12)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-14, atol=1e-15)


def test_a_loop_in_parts_gives_what_it_gives_as_a_whole_each_time_the_same_bits(divided):
    compiled, x, expected = divided
    first = compiled(x)
    same(first, expected)
    for _ in range(200):
        again = compiled(x)
        assert again[0] == first[0]
        np.testing.assert_array_equal(again[1], first[1])


@pytest.mark.parametrize("turns", [1, 47, 48, 1024, 8196])
@pytest.mark.parametrize("parts", [1, 3, 8])
def test_parts_have_whole_vectors_and_none_has_much_more_to_do_than_another(turns, parts):
    low, full = 5, 48
    ends = codegen._ends(low, low + turns, full, parts)
    assert (ends[0], ends[-1]) == (low, low + turns)
    assert len(ends) - 1 <= parts
    lengths = np.diff(ends)
    assert not np.any(lengths[:-1] % full)
    assert np.min(lengths) > 0
    assert np.max(lengths) - np.min(lengths[:-1], initial=np.max(lengths)) <= full


def test_threads_of_python_that_come_at_once_all_get_their_own_result(divided):
    compiled, x, _ = divided
    barrier, wrong = threading.Barrier(4), []

    def work(n):
        own = x + n
        expected = np.sum(np.sin(own)), np.cos(own) * own
        barrier.wait()
        for _ in range(50):
            try:
                same(compiled(own), expected)
            except AssertionError as error:
                wrong.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own(divided):
    compiled, x, expected = divided
    compiled(x)
    child = os.fork()
    if not child:
        status = 1
        try:
            same(compiled(x), expected)
            status = 0 if _threads() in (None, target.host().threads) else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _threads():
    """How many threads this process has; ``None`` where nobody says."""
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return None


def test_signals_and_the_end_of_the_process_find_the_threads_asleep_or_busy():
    program = """
import os, signal, numpy as np, chainrule as cr
from chainrule.run.llvm import codegen
codegen._PARALLEL_FROM = 1000
got = []
signal.signal(signal.SIGUSR1, lambda *_: got.append(1))
f = cr.jit(lambda x: np.sum(np.sin(x)))
x = np.ones(200_003)
for _ in range(20):
    f(x)
    os.kill(os.getpid(), signal.SIGUSR1)
assert len(got) == 20, got
"""
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr.decode()


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="needs signals of POSIX")
def test_starting_threads_leaves_the_signals_of_this_thread_alone(divided):
    compiled, x, _ = divided
    compiled(x)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()


@pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2,
    reason="needs two cores that can be told apart",
)
def test_threads_leave_the_core_of_whoever_has_a_loop_and_stay_where_there_is_no_other():
    program = """
import os, threading, numpy as np, chainrule as cr
from chainrule.run.llvm import codegen
codegen._PARALLEL_FROM = 1000
cores = sorted(os.sched_getaffinity(0))
f = cr.jit(lambda x: np.sum(np.sin(x)))
x = np.ones(2_000_003)
first = f(x)
for allowed in (cores[:1], cores, cores[1:2], cores):
    os.sched_setaffinity(0, allowed)  # of this thread; others follow where they are asked to
    for _ in range(20):
        assert f(x) == first
mine = threading.get_native_id()
others = [int(t) for t in os.listdir("/proc/self/task") if int(t) != mine]
assert others
for t in others:
    assert os.sched_getaffinity(t), "a thread may be somewhere"
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, timeout=120, check=False,
        env={**os.environ, "CHAINRULE_NUM_THREADS": "2"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
