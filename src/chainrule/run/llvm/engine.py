"""From LLVM IR to machine code in this process."""

from __future__ import annotations

import ctypes
import functools
import threading
from typing import Any

from chainrule.run.llvm.emit import Module

_lock = threading.RLock()


def _new_machine() -> Any:
    """A target machine; an engine keeps the one that it is made with."""
    import llvmlite.binding as llvm

    from chainrule.run.llvm.target import host

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = host()
    return llvm.Target.from_triple(target.triple).create_target_machine(
        cpu=target.cpu, features=target.features, opt=2, codemodel="jitdefault", jit=True
    )


@functools.cache
def _machine() -> Any:
    """The target machine that makes object code."""
    return _new_machine()


@functools.cache
def _externals() -> dict[str, int]:
    """Addresses of what code calls outside of itself, but for elementary functions."""
    found: dict[str, int] = {}
    process = ctypes.CDLL(None)
    for name in ("pthread_create", "pthread_join", "memset", "memcpy", "memmove"):
        pointer = ctypes.cast(getattr(process, name), ctypes.c_void_p).value
        if pointer:
            found[name] = pointer
    found.update(blas())
    return found


@functools.cache
def blas() -> dict[str, int]:
    """The BLAS that SciPy brings along, by our names."""
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
    """Machine code, and the addresses of its functions. It lives as long as this object."""

    def __init__(self, module: Module, optimise: int = 2) -> None:
        import llvmlite.binding as llvm

        with _lock:
            machine = _machine()
            for symbol, address in {**_externals(), **module.externals}.items():
                llvm.add_symbol(symbol, address)
            self.text = 'attributes #0 = { nounwind "no-trapping-math"="true" }\n' + module.text()
            parsed = llvm.parse_assembly(self.text)
            parsed.triple = module.target.triple
            parsed.verify()
            options = llvm.create_pipeline_tuning_options(optimise)
            options.loop_vectorization = False
            options.slp_vectorization = False
            options.loop_unrolling = optimise > 1
            builder = llvm.create_pass_builder(machine, options)
            builder.getModulePassManager().run(parsed, builder)
            self.object = machine.emit_object(parsed)
            empty = llvm.parse_assembly("")
            empty.triple = module.target.triple
            self._engine = llvm.create_mcjit_compiler(empty, _new_machine())
            self._engine.add_object_file(llvm.ObjectFileRef.from_data(self.object))
            self._engine.finalize_object()

    def address(self, name: str) -> int:
        """Where a function begins."""
        return int(self._engine.get_function_address(name))
