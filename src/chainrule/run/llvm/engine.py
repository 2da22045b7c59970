"""From LLVM IR to machine code in this process."""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chainrule.run.llvm import cache, objects, pool
from chainrule.run.llvm.instructions import Module
from chainrule.run.llvm.parts import taken_apart
from chainrule.run.llvm.target import Target

_lock = threading.RLock()


@functools.cache
def _versions() -> str:
    """What compiles."""
    import llvmlite
    import llvmlite.binding as llvm

    # What code looks like is in its text; the first number stands for what is done with it here.
    return f"1, llvmlite {llvmlite.__version__}, LLVM {llvm.llvm_version_info}"


@functools.cache
def _process() -> dict[str, int]:
    """Addresses of what code calls outside of itself, but for BLAS and elementary functions."""
    found: dict[str, int] = {}
    process: Any = ctypes.CDLL("ucrtbase" if os.name == "nt" else None)
    names = (
        "memset", "memcpy", "memmove", "realloc", "free", "sched_yield", "pthread_mutex_init",
        "pthread_mutex_lock", "pthread_mutex_unlock", "pthread_cond_init", "pthread_cond_wait",
        "pthread_cond_broadcast",
    )  # fmt: skip
    for name in names:
        if hasattr(process, name):
            found[name] = ctypes.cast(getattr(process, name), ctypes.c_void_p).value or 0
    return found


@functools.cache
def blas() -> dict[str, int]:
    """A BLAS by our names: NumPy's own if it brings one along, or SciPy's.

    Sizes may be of 4 or of 8 bytes: code that stores them as 8 bytes fits both.
    """
    for library in _bundled():
        try:
            opened = ctypes.CDLL(str(library))
        except OSError:
            continue
        for form in ("scipy_{}_64_", "scipy_{}_", "{}_64_", "{}_"):
            names = {f"cr.{name}": form.format(name) for name in ("dgemm", "sgemm")}
            if all(hasattr(opened, symbol) for symbol in names.values()):
                return {
                    ours: ctypes.cast(getattr(opened, symbol), ctypes.c_void_p).value or 0
                    for ours, symbol in names.items()
                }
    return _of_scipy()


def _bundled() -> Iterator[Path]:
    """Libraries of wheels in which a BLAS is found."""
    for package in ("numpy", "scipy"):
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            continue
        inside = Path(spec.origin).parent
        for folder in (inside.parent / f"{package}.libs", inside / ".dylibs", inside / ".libs"):
            if folder.is_dir():
                yield from sorted(p for p in folder.iterdir() if "openblas" in p.name)


def _of_scipy() -> dict[str, int]:
    try:
        from scipy.linalg import cython_blas
    except ImportError:
        return {}
    get_name = ctypes.pythonapi.PyCapsule_GetName
    get_name.restype, get_name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    found = {}
    for name in ("dgemm", "sgemm"):
        capsule = cython_blas.__pyx_capi__[name]
        pointer = get(capsule, get_name(capsule))
        if pointer:
            found[f"cr.{name}"] = pointer
    return found


class Library:
    """Machine code, and the addresses of its functions. It lives as long as this object.

    Attributes:
        parts: The LLVM IR of each part, with how much time was to be spent on it, as LLVM counts.
        text: All of it.
        effort: The most that was to be spent.
        objects: The object code of the parts.
        cached: Whether that was found on disk.
    """

    def __init__(self, module: Module) -> None:
        import llvmlite.binding as llvm

        self.parts = taken_apart(module)
        self.effort = max(effort for _, effort in self.parts)
        self.text = "\n".join(text for text, _ in self.parts)
        target = module.target
        with _lock:
            symbols = {**_process(), **module.externals}
            if any("gemm(" in line for line in module.declarations):
                symbols.update(blas())
            if pool.DECLARATION in module.declarations:
                symbols[pool.RUN] = pool.address()
            for symbol, address in symbols.items():
                llvm.add_symbol(symbol, address)
            # The engine only loads: it needs a machine of its own, of whatever kind.
            empty = llvm.parse_assembly("")
            empty.triple = target.triple
            loader = objects.target().create_target_machine(opt=0, codemodel="jitdefault", jit=True)
            self._engine = llvm.create_mcjit_compiler(empty, loader)
            self.objects = self._objects(target)
            for one in self.objects:
                self._engine.add_object_file(llvm.ObjectFileRef.from_data(one))
            self._engine.finalize_object()

    def _objects(self, target: Target) -> list[bytes]:
        """The object code of the parts, from the disk or made now."""
        names = [
            cache.key(
                text, target.triple, target.cpu, target.features,
                ",".join(objects.PASSES) if effort else "", _versions(),
            )
            for text, effort in self.parts
        ]  # fmt: skip
        found = [cache.load(name) for name in names]
        missing = [k for k, one in enumerate(found) if one is None]
        self.cached = not missing
        made = objects.object_code([self.parts[k] for k in missing])
        for k, content in zip(missing, made, strict=True):
            found[k] = content
            cache.store(names[k], content)
        return [one for one in found if one is not None]

    def assembly(self) -> str:
        """The machine code in words."""
        with _lock:
            return "\n".join(objects.assembly(text, effort) for text, effort in self.parts)

    def address(self, name: str) -> int:
        """Where a function begins."""
        return int(self._engine.get_function_address(name))
