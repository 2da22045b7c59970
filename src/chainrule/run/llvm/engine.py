"""From LLVM IR to machine code in this process."""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import threading
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from chainrule.run.llvm import cache
from chainrule.run.llvm.emit import Module

_lock = threading.RLock()
_PRELUDE = 'attributes #0 = { nounwind "no-trapping-math"="true" }\n'


@functools.cache
def _target() -> Any:
    import llvmlite.binding as llvm

    from chainrule.run.llvm.target import host

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_triple(host().triple)


@functools.cache
def _machine() -> Any:
    """The target machine that makes object code."""
    from chainrule.run.llvm.target import host

    target = host()
    return _target().create_target_machine(
        cpu=target.cpu, features=target.features, opt=2, codemodel="jitdefault", jit=True
    )


@functools.cache
def _versions() -> str:
    """What compiles."""
    import llvmlite
    import llvmlite.binding as llvm

    try:
        own = version("chainrule")
    except PackageNotFoundError:
        own = ""
    return f"chainrule {own}, llvmlite {llvmlite.__version__}, LLVM {llvm.llvm_version_info}"


@functools.cache
def _process() -> dict[str, int]:
    """Addresses of what code calls outside of itself, but for BLAS and elementary functions."""
    found: dict[str, int] = {}
    process = ctypes.CDLL(None)
    for name in ("pthread_create", "pthread_join", "memset", "memcpy", "memmove"):
        pointer = ctypes.cast(getattr(process, name), ctypes.c_void_p).value
        if pointer:
            found[name] = pointer
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


def _bundled() -> list[Path]:
    """Libraries of wheels in which a BLAS is found."""
    found: list[Path] = []
    for package in ("numpy", "scipy"):
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            continue
        inside = Path(spec.origin).parent
        for folder in (inside.parent / f"{package}.libs", inside / ".dylibs", inside / ".libs"):
            if folder.is_dir():
                found += sorted(p for p in folder.iterdir() if "openblas" in p.name)
    return found


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
        text: The LLVM IR it is made of.
        object: The object code.
        cached: Whether that was found on disk.
    """

    def __init__(self, module: Module, optimise: int = 2) -> None:
        import llvmlite.binding as llvm

        self.text = _PRELUDE + module.text()
        target = module.target
        with _lock:
            machine_target = _target()
            symbols = {**_process(), **module.externals}
            if any("gemm(" in line for line in module.declarations):
                symbols.update(blas())
            for symbol, address in symbols.items():
                llvm.add_symbol(symbol, address)
            name = cache.key(
                self.text, target.triple, target.cpu, target.features, str(optimise), _versions()
            )
            found = cache.load(name)
            self.cached = found is not None
            if found is None:
                found = self._compiled(module, optimise)
                cache.store(name, found)
            self.object = found
            # The engine only loads: it needs a machine of its own, of whatever kind.
            empty = llvm.parse_assembly("")
            empty.triple = target.triple
            loader = machine_target.create_target_machine(opt=0, codemodel="jitdefault", jit=True)
            self._engine = llvm.create_mcjit_compiler(empty, loader)
            self._engine.add_object_file(llvm.ObjectFileRef.from_data(self.object))
            self._engine.finalize_object()

    def _optimised(self, module: Module, optimise: int) -> Any:
        import llvmlite.binding as llvm

        machine = _machine()
        parsed = llvm.parse_assembly(self.text)
        parsed.triple = module.target.triple
        parsed.verify()
        options = llvm.create_pipeline_tuning_options(optimise)
        options.loop_vectorization = False
        options.slp_vectorization = False
        options.loop_unrolling = optimise > 1
        builder = llvm.create_pass_builder(machine, options)
        builder.getModulePassManager().run(parsed, builder)
        return parsed

    def _compiled(self, module: Module, optimise: int) -> bytes:
        return bytes(_machine().emit_object(self._optimised(module, optimise)))

    def assembly(self, module: Module, optimise: int = 2) -> str:
        """The machine code in words."""
        with _lock:
            return str(_machine().emit_assembly(self._optimised(module, optimise)))

    def address(self, name: str) -> int:
        """Where a function begins."""
        return int(self._engine.get_function_address(name))
