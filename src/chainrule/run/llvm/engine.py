"""From LLVM IR to machine code in this process."""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chainrule.run.llvm import cache, pool
from chainrule.run.llvm.instructions import Module

_lock = threading.RLock()
_PRELUDE = 'attributes #0 = { nounwind "no-trapping-math"="true" }\n'
# Straight code of more lines than this is compiled with little effort: what makes it better takes
# longer than linear time.
_LONG = 1500
# So are more lines than this of whatever code: an unrolled loop of thousands of array operations
# would take minutes otherwise.
_ENDLESS = 20_000
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

        self.parts = _parts(module)
        self.effort = max(effort for _, effort in self.parts)
        self.text = "\n".join(text for text, _ in self.parts)
        self._triple = module.target.triple
        target = module.target
        with _lock:
            machine_target = _target()
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
            loader = machine_target.create_target_machine(opt=0, codemodel="jitdefault", jit=True)
            self._engine = llvm.create_mcjit_compiler(empty, loader)
            self.objects = []
            self.cached = True
            for text, effort in self.parts:
                passes = ",".join(_PASSES) if effort else ""
                name = cache.key(
                    text, target.triple, target.cpu, target.features, passes, _versions()
                )
                found = cache.load(name)
                if found is None:
                    self.cached = False
                    found = bytes(_machine(effort).emit_object(self._optimised(text, effort)))
                    cache.store(name, found)
                self.objects.append(found)
                self._engine.add_object_file(llvm.ObjectFileRef.from_data(found))
            self._engine.finalize_object()

    def _optimised(self, text: str, effort: int) -> Any:
        import llvmlite.binding as llvm

        # A context of its own, as types and constants stay in memory as long as their context.
        parsed = llvm.parse_assembly(text, llvm.create_context())
        parsed.triple = self._triple
        parsed.verify()
        if effort:
            passes, builder = _passes(effort)
            passes.run(parsed, builder)
        return parsed

    def assembly(self) -> str:
        """The machine code in words."""
        with _lock:
            return "\n".join(
                str(_machine(effort).emit_assembly(self._optimised(text, effort)))
                for text, effort in self.parts
            )

    def address(self, name: str) -> int:
        """Where a function begins."""
        return int(self._engine.get_function_address(name))


def _parts(module: Module) -> list[tuple[str, int]]:
    """What is compiled by itself: long straight code with little effort, the rest as it needs."""
    effort = _effort(module)
    hasty = "\n".join(module.hasty)
    if not effort or (hasty and not any("\n  br " in f for f in module.functions)):
        return [(f"{_PRELUDE}{module.text()}{hasty}\n", 0)]
    rest = _PRELUDE + _inlined(module)
    if not hasty:
        return [(rest, effort)]
    known = [
        _PARAMETER.sub("ptr", line.removesuffix(" #0 {")).replace("define", "declare", 1)
        for line in hasty.split("\n") if line.startswith("define ")
    ]  # fmt: skip
    # Of the elementary functions those that it calls, and those that they call.
    needed: dict[str, str] = {}
    texts = [hasty]
    while texts:
        text = texts.pop()
        for symbol, definition in module.definitions.items():
            if definition and symbol not in needed and f"@{symbol}(" in text:
                needed[symbol] = definition
                texts.append(definition)
    parts = [*module.declarations, *needed.values(), hasty, ""]
    return [("\n".join([rest, *known, ""]), effort), (_PRELUDE + "\n".join(parts), 0)]


_PARAMETER = re.compile(r"ptr (noalias )?%\w+")


def _effort(module: Module) -> int:
    """0 if most of a module is long straight code, and 2 otherwise."""
    straight = loops = 0
    for text in module.functions:
        lines = text.count("\n")
        if "\n  br " in text:
            loops += lines
        else:
            straight += lines
    endless = straight + loops > _ENDLESS
    return 0 if endless or straight > max(_LONG, 4 * loops) else 2


def _inlined(module: Module) -> str:
    """The text of a module, its elementary functions to be inlined if that is not too long."""
    text = module.text()
    room = _INLINE
    for symbol, definition in module.definitions.items():
        calls = text.count(f"@{symbol}(") - definition.count(f"@{symbol}(")
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


_MARKED = re.compile(r"\b(alwaysinline|noinline)\b")
