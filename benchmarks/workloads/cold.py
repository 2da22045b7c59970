"""The first gradient of a cold process: whole processes, imports included.

Ours starts with an empty cache on disk, and again with what an earlier process has left there; so
does JAX, which keeps nothing unless it is told where. Importing NumPy alone is stated beside them.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.workloads import peers
from benchmarks.workloads.contest import COMPILED, EAGER, Case, Work

FORMULA = "lambda x: np.sin(np.log(x**2 + 1.0))"
VECTOR = "lambda x: np.sum(np.sin(np.log(x**2 + 1.0)))"
NETWORK = """
def loss(params, x, labels):
    w1, b1, w2, b2, w3, b3 = params
    h = np.maximum(x @ w1 + b1, 0)
    h = np.maximum(h @ w2 + b2, 0)
    out = h @ w3 + b3
    out = out - np.max(out, axis=1, keepdims=True)
    log_p = out - np.log(np.sum(np.exp(out), axis=1, keepdims=True))
    return -np.mean(log_p[np.arange(128), labels])
rng = numpy.random.default_rng(0)
w = lambda *shape: (0.05 * rng.normal(size=shape)).astype("float32")
params = [w(784, 128), w(128), w(128, 64), w(64), w(64, 10), w(10)]
x, labels = rng.uniform(size=(128, 784)).astype("float32"), rng.integers(0, 10, size=128)
"""
# The problem, what is made of a gradient function, and how exact its printed result is.
PROBLEMS = {
    "sin(ln(x²+1))": ("f = " + FORMULA, "float({}(f)(1.3))", 1e-12),
    "vector, n = 1,000": (
        f"f = {VECTOR}\nx = numpy.linspace(-1.0, 2.0, 1000)", "float({}(f)(x)[0])", 1e-12
    ),
    "MLP gradient": (NETWORK + "f = loss", "float({}(f)(params, x, labels)[3].sum())", 1e-3),
}  # fmt: skip

OURS = "import numpy\nimport numpy as np\nimport chainrule as cr\n"
JAX = (
    "import numpy\nimport jax\nimport jax.numpy as np\njax.config.update('jax_enable_x64', True)\n"
)
# JAX keeps a compiled function only if it is told to, and by default only what took a second.
KEPT_BY_JAX = {
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}


def cases(small: bool = False) -> Iterator[Case]:
    for what in list(PROBLEMS)[: 1 if small else None]:
        yield case(what)


def case(what: str) -> Case:
    setting, expression, tolerance = PROBLEMS[what]
    ours = f"{OURS}{setting}\nprint(repr({expression.format('cr.jit(cr.grad)')}))"
    ours = ours.replace("cr.jit(cr.grad)(f)", "cr.jit(cr.grad(f))")
    eager = f"{OURS}{setting}\nprint(repr({expression.format('cr.grad')}))"
    theirs = f"{JAX}{setting}\nprint(repr({expression.format('jax.jit(jax.grad)')}))"
    theirs = theirs.replace("jax.jit(jax.grad)(f)", "jax.jit(jax.grad(f))")

    def reference() -> float:
        return process(eager, {})()

    return Case(
        what,
        reference,
        {
            COMPILED: lambda: emptied(ours),
            f"{COMPILED}, warm cache": lambda: warmed(ours),
            EAGER: lambda: process(eager, {}),
            "JAX": lambda: with_jax(theirs, {}),
            "JAX, warm cache": lambda: with_warm_jax(theirs),
            "import numpy": lambda: alone("import numpy", reference()),
        },
        tolerance=tolerance,
        slow=30.0,
    )


def process(code: str, settings: dict[str, str]) -> Callable[[], Any]:
    """A run of Python that prints a number; modules are compiled already, as installed ones are."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", code]

    def work() -> float:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env=environment | settings
        )
        if done.returncode:
            raise RuntimeError(done.stderr.strip().splitlines()[-1])
        return float(done.stdout)

    return work


def emptied(code: str) -> Work:
    """Each process has a cache of its own."""
    peers.jit()
    folder = kept_folder()
    numbers = itertools.count()

    def work() -> Any:
        return process(code, {peers.DISK_CACHE: str(Path(folder, str(next(numbers))))})()

    return work


def warmed(code: str) -> Work:
    peers.jit()
    return filled(process(code, {peers.DISK_CACHE: kept_folder()}))


def with_jax(code: str, settings: dict[str, str]) -> Work:
    peers.needs("jax")
    return process(code, settings)


def with_warm_jax(code: str) -> Work:
    return filled(with_jax(code, KEPT_BY_JAX | {"JAX_COMPILATION_CACHE_DIR": kept_folder()}))


def filled(work: Work) -> Work:
    work()
    return work


def alone(code: str, result: float) -> Work:
    """A process without a result of its own: it stands beside the others."""
    return process(f"{code}\nprint({result!r})", {})


def kept_folder() -> str:
    """A folder that is there as long as this process."""
    _FOLDERS.append(tempfile.TemporaryDirectory(prefix="chainrule-benchmarks-"))
    return _FOLDERS[-1].name


_FOLDERS: list[tempfile.TemporaryDirectory[str]] = []
