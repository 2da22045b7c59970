"""C by hand: sources of this folder, compiled on demand and called through ctypes.

They are compiled for this machine with ``-O3 -march=native -ffast-math -fopenmp``, kept in the
temporary folder under a name that says what they were made from, and linked without
``-ffast-math``, which would make the whole process flush subnormal numbers to zero. BLAS is the
one of SciPy, by the addresses that it gives to Cython.
"""

from __future__ import annotations

import ctypes
import functools
import getpass
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.workloads.contest import Absent, Work

FLAGS = ("-O3", "-march=native", "-ffast-math", "-fopenmp", "-fPIC", "-std=gnu11", "-Wall")
HERE = Path(__file__).parent


def compiler() -> str:
    """The path of gcc; without one, whoever asked takes no part."""
    found = shutil.which("gcc")
    if found is None:
        raise Absent("no gcc here")
    return found


@functools.cache
def compiler_version() -> str:
    command = [compiler(), "--version"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n")[0]


@functools.cache
def library(name: str) -> ctypes.CDLL:
    """The compiled source ``name.c``, with BLAS put into it if it asks for that."""
    source = HERE / f"{name}.c"
    made_from = b"\0".join(
        [source.read_bytes(), (HERE / "blas.h").read_bytes(), compiler_version().encode(),
         " ".join(FLAGS).encode(), processor().encode()]
    )  # fmt: skip
    folder = Path(tempfile.gettempdir()) / f"chainrule-baselines-{getpass.getuser()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    built = folder / f"{name}-{hashlib.sha256(made_from).hexdigest()[:16]}.so"
    if not built.exists():
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            object_file, shared = f"{scratch}/{name}.o", f"{scratch}/{name}.so"
            run(compiler(), *FLAGS, "-c", str(source), "-o", object_file)
            run(compiler(), "-shared", object_file, "-o", shared, "-fopenmp", "-lmvec", "-lm")
            os.replace(shared, built)
    loaded = ctypes.CDLL(str(built))
    if hasattr(loaded, "use_blas"):
        loaded.use_blas(blas("dgemm"), blas("sgemm"))
    return loaded


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()[-400:]}")


@functools.cache
def processor() -> str:
    """What the processor calls itself and can do: code for one may not run on another."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    told = [line for line in lines if line.startswith(("model name", "flags"))]
    return "\n".join(told[:2])


def blas(name: str) -> ctypes.c_void_p:
    """The address of a routine of SciPy's BLAS."""
    try:
        from scipy.linalg import cython_blas
    except ImportError:
        raise Absent("no SciPy here, whose BLAS it takes") from None
    capsule = cython_blas.__pyx_capi__[name]
    api = ctypes.pythonapi
    api.PyCapsule_GetName.restype = ctypes.c_char_p
    api.PyCapsule_GetName.argtypes = [ctypes.py_object]
    api.PyCapsule_GetPointer.restype = ctypes.c_void_p
    api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    address = api.PyCapsule_GetPointer(capsule, api.PyCapsule_GetName(capsule))
    return ctypes.c_void_p(address)


def call(name: str, function: str, *args: Any, result: Any) -> Work:
    """A call of a C function: arrays as pointers, integers as long, floats as double.

    ``result`` is what the call has filled when it returns.
    """
    f = getattr(library(name), function)
    f.restype = None
    given = [argument(arg) for arg in args]
    kept = args  # the arrays live as long as the pointers to them

    def work() -> Any:
        f(*given)
        return result

    work.arrays = kept  # type: ignore[attr-defined]
    return work


def argument(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        if not value.flags.c_contiguous:
            raise ValueError("C is given contiguous arrays")
        return ctypes.c_void_p(value.ctypes.data)
    if isinstance(value, float):
        return ctypes.c_double(value)
    return ctypes.c_long(value)
