"""From LLVM IR to object code, several pieces at once."""

from __future__ import annotations

import ctypes
import functools
import threading
from collections.abc import Sequence
from typing import Any

from chainrule.run.llvm.target import host

# What follows is what LLVM's own pipelines gain for code as it is written here, at a third of their
# time. The vectors are ours, so nothing is left to its vectorizers.
PASSES = (
    "always_inliner", "global_dead_code_eliminate", "sroa", "simplify_cfg", "instruction_combine",
    "new_gvn", "loop_unroll",
)  # fmt: skip
_RUNS_OF_A_BUILDER = 64


@functools.cache
def target() -> Any:
    """The kind of machine, as LLVM knows it."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_triple(host().triple)


@functools.cache
def _machine(effort: int, seat: int) -> Any:
    """What makes object code: 0 for little time of compiling, 2 for good code.

    Whoever works at the same time has another ``seat``, and so a machine of their own.
    """
    assert seat >= 0
    own = host()
    return target().create_target_machine(
        cpu=own.cpu, features=own.features, opt=effort, codemodel="jitdefault", jit=True
    )


class _Pipeline:
    """Runs the passes.

    A pass builder of llvmlite's remembers something of every run, for which the later ones take
    longer; and some of its memory is never given back. So there is a new one now and then.
    """

    def __init__(self, effort: int, seat: int) -> None:
        import llvmlite.binding as llvm

        self._passes = llvm.create_new_module_pass_manager()
        for name in PASSES:
            getattr(self._passes, f"add_{name}_pass")()
        self._options = llvm.create_pipeline_tuning_options(effort)
        self._machine = _machine(effort, seat)
        self._runs = 0

    def run(self, module: Any) -> None:
        import llvmlite.binding as llvm
        from llvmlite.binding import ffi

        if self._runs % _RUNS_OF_A_BUILDER == 0:
            self._builder = llvm.create_pass_builder(self._machine, self._options)
        self._runs += 1
        _unlocked(ffi.lib.LLVMPY_RunNewModulePassManager)(self._passes, module, self._builder)


_pipeline = functools.cache(_Pipeline)


def object_code(parts: Sequence[tuple[str, int]]) -> list[bytes]:
    """The object code of each piece of LLVM IR, made with this effort, each by its own thread."""
    found: list[Any] = [None] * len(parts)

    def make(seat: int) -> None:
        text, effort = parts[seat]
        try:
            found[seat] = _emitted(_optimised(text, effort, seat), effort, seat)
        except Exception as error:
            found[seat] = error

    others = [threading.Thread(target=make, args=(seat,)) for seat in range(1, len(parts))]
    for thread in others:
        thread.start()
    try:
        for seat in range(len(parts))[:1]:
            make(seat)
    finally:
        for thread in others:
            thread.join()
    for one in found:
        if isinstance(one, Exception):
            raise one
    return found


def assembly(text: str, effort: int) -> str:
    """The machine code of a piece of LLVM IR, in words."""
    return str(_machine(effort, 0).emit_assembly(_optimised(text, effort, 0)))


def _optimised(text: str, effort: int, seat: int) -> Any:
    import llvmlite.binding as llvm

    # A context of its own, as types and constants stay in memory as long as their context.
    parsed = llvm.parse_assembly(text, llvm.create_context())
    parsed.triple = host().triple
    parsed.verify()
    if effort:
        _pipeline(effort, seat).run(parsed)
    return parsed


def _emitted(module: Any, effort: int, seat: int) -> bytes:
    from llvmlite.binding import ffi

    emit = _unlocked(ffi.lib.LLVMPY_TargetMachineEmitToMemory)
    with ffi.OutputString() as error:
        memory = emit(_machine(effort, seat), module, 1, error)
        if not memory:
            raise RuntimeError(str(error))
    start, size = ffi.lib.LLVMPY_GetBufferStart, ffi.lib.LLVMPY_GetBufferSize
    try:
        return ctypes.string_at(start(memory), size(memory))
    finally:
        ffi.lib.LLVMPY_DisposeMemoryBuffer(memory)


def _unlocked(function: Any) -> Any:
    """A function of llvmlite that need not wait until no other thread is in LLVM.

    LLVM may be used by several threads that share neither a context nor a machine; llvmlite lets in
    one at a time. Where it does so in another way than is known here, they take turns.
    """
    return getattr(function, "_cfn", function)
