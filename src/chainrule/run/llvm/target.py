"""The machine that code is made for."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Target:
    """What decides how code looks.

    Attributes:
        triple, cpu, features: As LLVM names them.
        bytes: Size of a vector register.
        registers: How many of these there are.
        threads: How many cores large loops run on.
    """

    triple: str
    cpu: str
    features: str
    bytes: int
    registers: int
    threads: int


@functools.cache
def host() -> Target:
    """This machine."""
    import llvmlite.binding as llvm

    features = llvm.get_host_cpu_features()
    size = 16
    if features.get("avx2") or features.get("avx"):
        size = 32
    if features.get("avx512f") and features.get("avx512dq") and features.get("avx512vl"):
        size = 64
    triple = llvm.get_process_triple()
    registers = 16 if triple.startswith("x86_64") and size < 64 else 32
    return Target(triple, llvm.get_host_cpu_name(), features.flatten(), size, registers, cores())


def cores() -> int:
    """How many cores this process may use; one where there are no threads of POSIX."""
    if os.name == "nt":
        return 1
    given = os.environ.get("CHAINRULE_NUM_THREADS") or os.environ.get("OMP_NUM_THREADS")
    if given and given.isdigit() and int(given) > 0:
        return int(given)
    affinity: Any = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1
