"""A module taken apart into what is compiled by itself.

Long straight code gets little effort. The rest is dealt out evenly, so that each thread compiles a
part of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from chainrule.run.llvm.instructions import METADATA, Module

_PRELUDE = 'attributes #0 = { nounwind "no-trapping-math"="true" }'
# Straight code of more lines than this is compiled with little effort: what makes it better takes
# longer than linear time.
_LONG = 1500
# So are more lines than this of whatever code: an unrolled loop of thousands of array operations
# would take minutes otherwise.
_ENDLESS = 20_000
# Elementary functions are written where they are called up to this many lines altogether: constants
# are then loaded once, and independent operations overlap.
_INLINE = 6000
# Lines that take as long to compile as beginning another part.
_PART = 50
# Lines that take as long to compile as a function with nothing in it.
_FUNCTION = 10

_HEAD = re.compile(r"^define (internal )?void @([\w.]+)\((.*)\) (alwaysinline )?#0 \{$", re.M)
_SYMBOL = re.compile(r"@([\w.]+)")
_NAME = re.compile(r" %\w+")
_MARKED = re.compile(r"\b(alwaysinline|noinline)\b")


def taken_apart(module: Module) -> list[tuple[str, int]]:
    """The LLVM IR of each part, with how much effort it is worth: 0 or 2, as LLVM counts."""
    functions, hasty = module.functions, [*module.hasty, *module.rare]
    effort = _effort(module)
    loops = any("\n  br " in f for f in functions)
    if not effort or (module.hasty and not loops):
        return [(_joined(module, module.definitions, [*functions, *hasty]), 0)]
    definitions = _inlined(module)
    shares = _shares(functions, definitions, module.target.threads)
    if len(shares) == 1 and not hasty:
        return [(_joined(module, definitions, functions), effort)]
    heads = {m[2]: m for f in (*functions, *hasty) for m in _HEAD.finditer(f)}
    found = [(_part(module, definitions, heads, share), effort) for share in shares if share]
    if hasty:
        found.append((_part(module, module.definitions, heads, hasty), 0))
    return found


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


def _joined(module: Module, definitions: Mapping[str, str], functions: Iterable[str]) -> str:
    own = [d for d in definitions.values() if d]
    return "\n".join([_PRELUDE, *module.declarations, *own, *functions, METADATA, ""])


def _part(
    module: Module, definitions: Mapping[str, str], heads: Mapping[str, re.Match[str]],
    functions: Sequence[str],
) -> str:  # fmt: skip
    """Some functions, what they call declared and all of them known to the other parts."""
    text = "\n".join(functions)
    own = {m[2] for m in _HEAD.finditer(text)}
    used = set(_SYMBOL.findall(text))
    needed: dict[str, str] = {}
    new = used
    while new:
        added = {s: d for s in new if (d := definitions.get(s)) and s not in needed}
        needed |= added
        new = {s for d in added.values() for s in _SYMBOL.findall(d)}
    others = [
        f"declare void @{name}({_NAME.sub('', head[3])})" for name, head in heads.items()
        if name in used and name not in own
    ]  # fmt: skip
    # In the module's order, not a set's: the same program is the same text, which is found on disk.
    definitions = {s: needed[s] for s in definitions if s in needed}
    # What is inlined here and called nowhere else is not compiled by itself.
    public = _HEAD.sub(lambda m: m[0] if m[4] else f"define void @{m[2]}({m[3]}) #0 {{", text)
    return _joined(module, definitions, [*others, public])


def _shares(functions: list[str], definitions: Mapping[str, str], most: int) -> list[list[str]]:
    """The functions dealt out to at most so many parts, which take about the same time."""
    if most < 2 or len(functions) < 2:
        return [functions]
    groups = _together(functions)
    lines = {s: d.count("\n") for s, d in definitions.items() if " alwaysinline {" in d}
    sizes = [
        sum(
            _FUNCTION + f.count("\n") + sum(lines.get(s, 0) for s in _SYMBOL.findall(f))
            for f in group
        )
        for group in groups
    ]
    count = min(most, len(groups), max(1, sum(sizes) // (2 * _PART)))
    shares: list[list[int]] = [[] for _ in range(count)]
    for k in sorted(range(len(groups)), key=lambda k: -sizes[k]):
        min(shares, key=lambda share: sum(sizes[n] for n in share)).append(k)
    return [[f for k in sorted(share) for f in groups[k]] for share in shares]


def _together(functions: Sequence[str]) -> list[list[str]]:
    """What is to be inlined with what calls it, which comes next; all others alone."""
    groups: list[list[str]] = [[]]
    for f in functions:
        head = _HEAD.match(f)
        if head is None:  # not one function of ours: nothing is known of it
            return [list(functions)]
        groups[-1].append(f)
        if not head[4]:
            groups.append([])
    return [group for group in groups if group]


def _inlined(module: Module) -> dict[str, str]:
    """The elementary functions, marked to be inlined if that is not too much code."""
    text = "\n".join([*module.functions, *module.definitions.values()])
    calls: dict[str, int] = {}
    for symbol in _SYMBOL.findall(text):
        calls[symbol] = calls.get(symbol, 0) + 1
    room = _INLINE
    found: dict[str, str] = {}
    for symbol, definition in module.definitions.items():
        found[symbol] = definition
        # One place is where it is defined.
        size = (calls.get(symbol, 1) - 1) * definition.count("\n")
        if definition and size <= room:
            room -= size
            found[symbol] = "\n".join(
                line.replace(" {", " alwaysinline {")
                if line.startswith("define ") and not _MARKED.search(line) else line
                for line in definition.split("\n")
            )  # fmt: skip
    return found
