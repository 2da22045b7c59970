"""Elementary functions for compiled code, on scalars and on vectors, as LLVM IR text.

``function`` finds, for a name and a number of lanes, the best of three sources on this machine:
polynomials written here (``own``), glibc's vector library (``libmvec``), or the scalar C library
lane by lane (``libm``), which is everywhere. All are within 4 ulp, our own within 2.1 (the tangent
3.2), from the smallest subnormal to the largest number; special values are NumPy's, signs of zero
included. Of ``gammaln`` at -inf it is C's, which is +inf.

The polynomials are minimax fits (Remez's exchange at 60 digits, weighted by the relative error of
the whole function, coefficients then rounded to the element type); the comment at each table says
of what and how near.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from chainrule.run.llvm.functions import libraries
from chainrule.run.llvm.functions.own import OWN
from chainrule.run.llvm.functions.text import FORMATS, PURE, Body, Format, suffix, vector

__all__ = ["LANES", "NAMES", "Function", "function"]

LANES = (1, 2, 4, 8, 16)
NAMES = tuple(sorted({*libraries.STANDARD, *OWN}))

_SOURCES = {"own": "own polynomial", "libmvec": "libmvec", "libm": "libm"}

# Where the vector library is as near and faster, although it cannot be inlined; by element width.
_VECTOR_LIBRARY_FIRST = frozenset({("erf", 64)})


@dataclass(frozen=True, slots=True)
class Function:
    """One elementary function for one element type and number of lanes.

    Attributes:
        symbol: What to call: ``call <4 x double> @<symbol>(<4 x double> %x)``.
        definition: IR text that must stand in the module once; empty if nothing is defined.
        declarations: ``declare`` lines that the module needs, once each whoever asks for them.
        externals: Addresses of outside symbols, for ``llvmlite.binding.add_symbol``.
        source: ``own polynomial``, ``libmvec`` or ``libm``.
        arguments: How many arguments it takes.
    """

    symbol: str
    definition: str
    declarations: tuple[str, ...]
    externals: Mapping[str, int]
    source: str
    arguments: int


class _Maker:
    """Collects the text of one function and of its helpers."""

    def __init__(self, name: str, form: Format, lanes: int, fused: bool, inline: bool) -> None:
        self.name, self.form, self.lanes, self.fused = name, form, lanes, fused
        self.inline = inline
        self.symbol = f"cr.{name}.{suffix(form, lanes)}"
        self.definitions: dict[str, str] = {}
        self.declarations: dict[str, None] = {}
        self.externals: dict[str, int] = {}

    def make(self, source: str) -> Function | None:
        made = {"own": self._own, "libmvec": self._libmvec, "libm": self._libm}[source]()
        if made is None:
            return None
        return Function(
            symbol=made,
            definition="\n".join(self.definitions.values()),
            declarations=tuple(self.declarations),
            externals=MappingProxyType(self.externals),
            source=_SOURCES[source],
            arguments=self._arguments(self.name),
        )

    @staticmethod
    def _arguments(name: str) -> int:
        return 2 if name in libraries.TWO_ARGUMENTS else 1

    def _define(self, symbol: str, lines: list[str], arguments: int, attributes: str) -> None:
        kind = vector(self.form.element, self.lanes)
        taken = ", ".join(f"{kind} %x{position}" for position in range(arguments))
        body = "\n".join(lines)
        self.definitions[symbol] = (
            f"define internal {kind} @{symbol}({taken}) {attributes} {{\n{body}\n}}\n"
        )

    def _attributes(self) -> str:
        return PURE + " alwaysinline" if self.inline else PURE

    def _own(self) -> str | None:
        own = OWN.get(self.name)
        if own is None or not (own.rescue is None or self._has_scalar(own.rescue)):
            return None
        body = Body(self.form, self.lanes, self.fused, self._per_lane)
        arguments = self._arguments(self.name)
        result = own.body(body, *(body.argument(position) for position in range(arguments)))
        kind = vector(self.form.element, self.lanes)
        lines = [*body.lines, f"  ret {kind} {result.name}"]
        self.declarations.update(body.declarations)
        self._define(self.symbol, lines, arguments, self._attributes())
        return self.symbol

    def _libmvec(self) -> str | None:
        found = libraries.in_libmvec(self.name, self.form, self.lanes)
        if found is None:
            return None
        at_once, address = found
        symbol = f"cr.libmvec.{self.name}.{suffix(self.form, at_once)}"
        arguments = self._arguments(self.name)
        self._declare(symbol, address, at_once, arguments)
        if at_once == self.lanes:
            return symbol
        self._define(
            self.symbol, self._parts(symbol, at_once, arguments), arguments, self._attributes()
        )
        return self.symbol

    def _declare(self, symbol: str, address: int, lanes: int, arguments: int) -> None:
        kind = vector(self.form.element, lanes)
        taken = ", ".join([kind] * arguments)
        self.declarations[f"declare {kind} @{symbol}({taken}) {PURE}"] = None
        self.externals[symbol] = address

    def _parts(self, symbol: str, at_once: int, arguments: int) -> list[str]:
        """Call a function of fewer lanes on each part, and join its results two by two."""
        whole, part = (vector(self.form.element, lanes) for lanes in (self.lanes, at_once))
        lines = []
        joined = []
        for number, start in enumerate(range(0, self.lanes, at_once)):
            chosen = ", ".join(f"i32 {lane}" for lane in range(start, start + at_once))
            for position in range(arguments):
                lines.append(
                    f"  %p{number}.{position} = shufflevector {whole} %x{position}, {whole} poison,"
                    f" <{at_once} x i32> <{chosen}>"
                )
            given = ", ".join(f"{part} %p{number}.{position}" for position in range(arguments))
            lines.append(f"  %r{number} = call {part} @{symbol}({given})")
            joined.append(f"%r{number}")
        lanes = at_once
        while len(joined) > 1:
            half = vector(self.form.element, lanes)
            lanes *= 2
            every = ", ".join(f"i32 {lane}" for lane in range(lanes))
            pairs = list(zip(joined[::2], joined[1::2], strict=True))
            joined = [f"{left}.{lanes}" for left, _ in pairs]
            lines += [
                f"  {name} = shufflevector {half} {left}, {half} {right}, <{lanes} x i32> <{every}>"
                for name, (left, right) in zip(joined, pairs, strict=True)
            ]
        return [*lines, f"  ret {whole} {joined[0]}"]

    def _libm(self) -> str | None:
        if not self._has_scalar(self.name):
            return None
        if self.lanes == 1:
            return self._scalar(self.name)
        lines = self._lane_by_lane(self.name)
        self._define(self.symbol, lines, self._arguments(self.name), self._attributes())
        return self.symbol

    def _has_scalar(self, name: str) -> bool:
        return libraries.in_libm(name, self.form) is not None

    def _scalar(self, name: str) -> str:
        """The symbol of the library's scalar function, declared."""
        address = libraries.in_libm(name, self.form)
        assert address is not None, name
        symbol = f"cr.libm.{name}.{self.form.short}"
        self._declare(symbol, address, 1, self._arguments(name))
        return symbol

    def _lane_by_lane(self, name: str) -> list[str]:
        scalar, element = self._scalar(name), self.form.element
        whole = vector(element, self.lanes)
        lines = []
        result = "poison"
        for lane in range(self.lanes):
            given = []
            for position in range(self._arguments(name)):
                lines.append(
                    f"  %e{lane}.{position} = extractelement {whole} %x{position}, i32 {lane}"
                )
                given.append(f"{element} %e{lane}.{position}")
            lines.append(f"  %s{lane} = call {element} @{scalar}({', '.join(given)})")
            lines.append(
                f"  %r{lane} = insertelement {whole} {result}, {element} %s{lane}, i32 {lane}"
            )
            result = f"%r{lane}"
        return [*lines, f"  ret {whole} {result}"]

    def _per_lane(self, name: str) -> str:
        """The symbol of a function that calls the scalar one for each lane, for rare cases."""
        if self.lanes == 1:
            return self._scalar(name)
        symbol = f"{self.symbol}.rare"
        lines = self._lane_by_lane(name)
        self._define(symbol, lines, self._arguments(name), PURE + " noinline cold")
        return symbol


def _order(name: str, form: Format, lanes: int) -> tuple[str, ...]:
    """The sources for a function, best first."""
    if lanes == 1:
        return ("libm", "own")
    if (name, form.bits) in _VECTOR_LIBRARY_FIRST:
        return ("libmvec", "own", "libm")
    return ("own", "libmvec", "libm")


@cache
def function(
    name: str,
    element: str,
    lanes: int,
    *,
    inline: bool = False,
    sources: tuple[str, ...] | None = None,
    fused: bool | None = None,
) -> Function | None:
    """The function of a name, an element type and a number of lanes, as LLVM IR text.

    It maps ``<lanes x element>`` to the same type (two arguments for ``arctan2``, ``power`` and
    ``hypot``); with one lane, ``element`` to ``element``.

    Args:
        name: NumPy's name, or SciPy's where NumPy has none: one of ``NAMES``.
        element: ``"double"`` or ``"float"``.
        lanes: One of ``LANES``.
        inline: Whether the definition (not its rare helpers) is marked ``alwaysinline``.
        sources: Which of ``"own"``, ``"libmvec"`` and ``"libm"`` to try, in this order. By default
            the order that is best for this function.
        fused: Whether the machine has fused multiply-add. By default found out.

    Returns:
        The function, or ``None`` where no source has it.

    Raises:
        ValueError: If ``element``, ``lanes`` or a source is not one of those above.

    Example:
        >>> f = function("expit", "double", 4)
        >>> f.symbol, f.source
        ('cr.expit.v4f64', 'own polynomial')
        >>> f.definition.startswith("define internal <4 x double> @cr.expit.v4f64(")
        True
    """
    if element not in FORMATS:
        raise ValueError(f"an element is double or float, not {element!r}")
    if lanes not in LANES:
        raise ValueError(f"a vector has {LANES} lanes, not {lanes!r}")
    form = FORMATS[element]
    order = _order(name, form, lanes) if sources is None else sources
    for source in order:
        if source not in _SOURCES:
            raise ValueError(f"a source is one of {tuple(_SOURCES)}, not {source!r}")
    if name not in NAMES:
        return None
    can_fuse = libraries.fuses() if fused is None else fused
    for source in order:
        made = _Maker(name, form, lanes, can_fuse, inline).make(source)
        if made is not None:
            return made
    return None
