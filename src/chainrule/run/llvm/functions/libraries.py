"""Where libm and libmvec have their functions: addresses, looked up once, through ctypes.

Symbols get names of their own (``cr.libm.sin.f64``). The code then depends neither on how the
process was linked, nor does LLVM rewrite a call because it knows a function by its name.
"""

from __future__ import annotations

import ctypes
import platform
import sys
from collections.abc import Iterator
from functools import cache

from chainrule.run.llvm.functions.text import Format

# NumPy's (or SciPy's) name to that of the C standard.
STANDARD = {
    "exp": "exp", "exp2": "exp2", "expm1": "expm1", "log": "log", "log2": "log2",
    "log10": "log10", "log1p": "log1p", "sin": "sin", "cos": "cos", "tan": "tan",
    "arcsin": "asin", "arccos": "acos", "arctan": "atan", "arctan2": "atan2", "sinh": "sinh",
    "cosh": "cosh", "tanh": "tanh", "arcsinh": "asinh", "arccosh": "acosh", "arctanh": "atanh",
    "power": "pow", "cbrt": "cbrt", "hypot": "hypot", "erf": "erf", "erfc": "erfc",
    "gammaln": "lgamma", "gamma": "tgamma",
}  # fmt: skip

TWO_ARGUMENTS = frozenset({"arctan2", "power", "hypot"})

# The letters of the x86 vector ABI: registers of 128, 256 and 512 bits, and what each one needs.
_REGISTERS = (("e", 512, "avx512f"), ("d", 256, "avx2"), ("b", 128, "sse4.1"))


def _open(names: tuple[str | None, ...]) -> Iterator[ctypes.CDLL]:
    for name in names:
        try:
            yield ctypes.CDLL(name)
        except (OSError, TypeError):  # not there; Windows has no library without a name
            continue


@cache
def _libm() -> tuple[ctypes.CDLL, ...]:
    if sys.platform == "win32":
        return tuple(_open(("ucrtbase",)))
    found = tuple(_open(("libm.so.6", None)))
    if len(found) < 2:  # other systems; the search starts other processes
        from ctypes.util import find_library

        found = (*_open((find_library("m"),)), *found)
    return found


@cache
def _libmvec() -> tuple[ctypes.CDLL, ...]:
    if sys.platform != "linux" or platform.machine() not in {"x86_64", "AMD64"}:
        return ()
    return tuple(_open(("libmvec.so.1",)))


@cache
def features() -> frozenset[str]:
    """What the processor can do, in LLVM's words."""
    from llvmlite import binding

    return frozenset(name for name, there in binding.get_host_cpu_features().items() if there)


@cache
def fuses() -> bool:
    """Whether the processor multiplies and adds with one rounding, for every width of vector."""
    return "fma" in features() or platform.machine() in {"aarch64", "arm64", "ARM64"}


@cache
def _address(libraries: tuple[ctypes.CDLL, ...], symbol: str) -> int | None:
    for library in libraries:
        try:
            return ctypes.cast(getattr(library, symbol), ctypes.c_void_p).value
        except AttributeError:
            continue
    return None


def in_libm(name: str, form: Format) -> int | None:
    """The address of the scalar function, if libm has it."""
    if name not in STANDARD:
        return None
    return _address(_libm(), STANDARD[name] + ("f" if form.bits == 32 else ""))


def in_libmvec(name: str, form: Format, lanes: int) -> tuple[int, int] | None:
    """The widest function of libmvec for so many lanes: how many it takes at once, its address."""
    if name not in STANDARD:
        return None
    standard = STANDARD[name] + ("f" if form.bits == 32 else "")
    arguments = "vv" if name in TWO_ARGUMENTS else "v"
    for letter, width, needs in _REGISTERS:
        at_once = width // form.bits
        if lanes % at_once == 0 and needs in features():
            address = _address(_libmvec(), f"_ZGV{letter}N{at_once}{arguments}_{standard}")
            if address is not None:
                return at_once, address
    return None
