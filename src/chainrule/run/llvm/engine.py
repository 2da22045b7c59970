"""From LLVM IR to machine code in this process."""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chainrule.run.llvm import cache
from chainrule.run.llvm.emit import Module

_lock = threading.RLock()
# The second kind is for long straight code: what makes it better takes too long.
_PRELUDE = """attributes #0 = { nounwind "no-trapping-math"="true" }
attributes #1 = { nounwind noinline optnone "no-trapping-math"="true" }
"""
_HASTY = ") #1 {"
# Straight code of more lines than this is compiled with little effort: what makes it better takes
# longer than linear time.
_LONG = 1500
# Elementary functions are written where they are called up to this many lines altogether: constants
# are then loaded once, and independent operations overlap.
_INLINE = 6000
# What follows is what LLVM's own pipelines gain for code as it is written here, at a third of their
# time. The vectors are ours, so nothing is left to its vectorizers.
_PASSES = (
    "always_inliner", "global_dead_code_eliminate", "sroa", "simplify_cfg", "instruction_combine",
    "new_gvn", "loop_unroll",
)  # fmt: skip


@functools.cache
def _target() -> Any:
    import llvmlite.binding as llvm

    from chainrule.run.llvm.target import host

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_triple(host().triple)


@functools.cache
def _machine(effort: int) -> Any:
    """What makes object code: 0 for little time of compiling, 2 for good code."""
    from chainrule.run.llvm.target import host

    target = host()
    return _target().create_target_machine(
        cpu=target.cpu, features=target.features, opt=effort, codemodel="jitdefault", jit=True
    )


@functools.cache
def _passes(effort: int) -> tuple[Any, Any]:
    """What runs the passes; made once, as some of its memory is never given back."""
    import llvmlite.binding as llvm

    passes = llvm.create_new_module_pass_manager()
    for name in _PASSES:
        getattr(passes, f"add_{name}_pass")()
    options = llvm.create_pipeline_tuning_options(effort)
    return passes, llvm.create_pass_builder(_machine(effort), options)


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
    process = ctypes.CDLL(None)
    for name in (
        "pthread_create",
        "pthread_join",
        "memset",
        "memcpy",
        "memmove",
        "realloc",
        "free",
    ):
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
        text: The LLVM IR it is made of.
        effort: How much time was to be spent on it, as LLVM counts.
        object: The object code.
        cached: Whether that was found on disk.
    """

    def __init__(self, module: Module) -> None:
        import llvmlite.binding as llvm

        self.effort = _effort(module)
        self.text = _PRELUDE + _inlined(module) if self.effort else _PRELUDE + module.text()
        self._triple = module.target.triple
        target = module.target
        with _lock:
            machine_target = _target()
            symbols = {**_process(), **module.externals}
            if any("gemm(" in line for line in module.declarations):
                symbols.update(blas())
            for symbol, address in symbols.items():
                llvm.add_symbol(symbol, address)
            passes = ",".join(_PASSES) if self.effort else ""
            name = cache.key(
                self.text, target.triple, target.cpu, target.features, passes, _versions()
            )
            found = cache.load(name)
            self.cached = found is not None
            if found is None:
                found = bytes(_machine(self.effort).emit_object(self._optimised()))
                cache.store(name, found)
            self.object = found
            # The engine only loads: it needs a machine of its own, of whatever kind.
            empty = llvm.parse_assembly("")
            empty.triple = target.triple
            loader = machine_target.create_target_machine(opt=0, codemodel="jitdefault", jit=True)
            self._engine = llvm.create_mcjit_compiler(empty, loader)
            self._engine.add_object_file(llvm.ObjectFileRef.from_data(self.object))
            self._engine.finalize_object()

    def _optimised(self) -> Any:
        import llvmlite.binding as llvm

        # A context of its own, as types and constants stay in memory as long as their context.
        parsed = llvm.parse_assembly(self.text, llvm.create_context())
        parsed.triple = self._triple
        parsed.verify()
        if self.effort:
            passes, builder = _passes(self.effort)
            passes.run(parsed, builder)
        return parsed

    def assembly(self) -> str:
        """The machine code in words."""
        with _lock:
            return str(_machine(self.effort).emit_assembly(self._optimised()))

    def address(self, name: str) -> int:
        """Where a function begins."""
        return int(self._engine.get_function_address(name))


def _effort(module: Module) -> int:
    """0 if most of a module is long straight code, and 2 otherwise."""
    straight = loops = 0
    for text in module.functions:
        if _is_hasty(text):
            continue
        lines = text.count("\n")
        if "\n  br " in text:
            loops += lines
        else:
            straight += lines
    return 0 if straight > max(_LONG, 4 * loops) else 2


def _inlined(module: Module) -> str:
    """The text of a module, its elementary functions to be inlined if that is not too long."""
    text = module.text()
    room = _INLINE
    own = "\n".join([
        *module.definitions.values(), *[f for f in module.functions if not _is_hasty(f)]
    ])  # fmt: skip
    for symbol, definition in module.definitions.items():
        calls = own.count(f"@{symbol}(") - definition.count(f"@{symbol}(")
        size = calls * definition.count("\n")
        if not definition or size > room:
            continue
        room -= size
        lines = [
            line.replace(" {", " alwaysinline {")
            if line.startswith("define ") and not _MARKED.search(line) else line
            for line in definition.split("\n")
        ]  # fmt: skip
        text = text.replace(definition, "\n".join(lines), 1)
    return text


def _is_hasty(function: str) -> bool:
    """Whether a function is to be compiled with little effort, whatever the module is."""
    return _HASTY in function[: function.find("\n")]


_MARKED = re.compile(r"\b(alwaysinline|noinline)\b")
