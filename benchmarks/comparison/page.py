"""The answers as a page of Markdown, and what is read back from the page."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import NamedTuple

from benchmarks.comparison import OURS
from benchmarks.comparison.calls import (
    COMPLEX,
    FLAT,
    ORDER,
    Asked,
    exists,
    family,
    functions,
    written,
)
from benchmarks.comparison.libraries import LIBRARIES, Numpy
from benchmarks.comparison.probing import GOOD, NOT_ASKED, NOTHING, WHAT

YES, SOME, WRONG, NO, NOT_ONE = "●", "◐", "✗", "·", "–"
Answers = Mapping[str, list[str]]

INTRODUCTION = """\
# What can be differentiated, here and elsewhere

Every function is called with one or more of its options in each library that is installed, and held
against numbers that know nothing of any library. This page is written by
`python -m benchmarks comparison`; the calls are in `tests/samples/functions.py` and
`benchmarks/comparison/calls.py`. A call is translated where a library spells it otherwise (`dim`
for `axis`, `x.at[i].set(y)` for `x[i] = y`). `.sum` is a method of arrays, and `x[…]` an index.

{versions}

A cell has four signs: **value**, **gradient**, **second order**, **vmap**.

| sign | |
| --- | --- |
| `●` | the number is right in every call |
| `◐` | it is right in some of the calls, and the others are refused |
| `✗` | a wrong number comes out, or NaN; the note says which |
| `·` | there is no such function, or it is refused |
| `–` | not asked: no vmap where the shape of the result depends on values |

*Value*: agrees with NumPy's and SciPy's. *Gradient*: of a scalar made of all results, along a
direction, agrees with differences of NumPy's values, extrapolated to step 0. *Second order*: the
derivative of that gradient agrees with differences of it, and is only asked for where the gradient
is right. *vmap*: value and gradient of a batch agree with a loop. Functions with the same cells
share a line. A blank cell is `····`: nothing.
"""

ABOUT_FLAT = """\
Their results are whole numbers, truth values, or counts, so a traced program gets plain values. Two
signs: **value**, and **vmap** of the value.
"""

ABOUT_WRONG = """\
PyTorch's gradient is `torch.autograd.grad`; where that says that nothing needs a gradient, it is
`torch.func.grad`, which then answers 0.
"""

ABOUT_COMPLEX = """\
Complex numbers are not supported in chainrule yet.
"""


class Note(NamedTuple):
    """A wrong number, such as ``0`` where ``-4.649`` is right."""

    column: str
    call: str
    found: str
    right: str

    @property
    def kind(self) -> tuple[str, str]:
        return self.column, self.found


@dataclass
class Cell:
    """What a library makes of one function.

    Attributes:
        signs: One for each of value, gradient, second order, vmap.
        notes: For every sign that is ``✗``: its column, the call, what came out, what is right.
        why: Of what is missing, the error.
    """

    signs: str
    notes: list[Note] = field(default_factory=list)
    why: str = ""

    @property
    def blank(self) -> bool:
        return set(self.signs) <= {NO, NOT_ONE}

    def __str__(self) -> str:
        return "" if self.blank else f"`{self.signs}`"


def cell(answers: Sequence[list[str]], columns: Sequence[str], calls: Sequence[Asked] = ()) -> Cell:
    """The cell of a function from the answers of its calls, which are named in its notes."""
    made = Cell("")
    for place, column in enumerate(columns):
        given = [a[place] for a in answers if a[place] != NOT_ASKED]
        if not given:
            made.signs += NOT_ONE
            continue
        good = [g == GOOD for g in given]
        wrong = [
            (k, a[place])
            for k, a in enumerate(answers)
            if a[place] not in (GOOD, NOT_ASKED) and not a[place].startswith(NOTHING)
        ]
        if wrong:
            first, number = wrong[0]
            made.signs += WRONG
            number, _, right = number.partition(" and not ")
            call = written(calls[first].call) if calls else ""
            made.notes.append(Note(column, call, number, right))
        else:
            made.signs += YES if all(good) else SOME if any(good) else NO
        made.why = made.why or next((g for g in given if g.startswith(f"{NOTHING}: ")), "")
    made.why = made.why.removeprefix(f"{NOTHING}: ")
    return made


def asked() -> dict[str, list[Asked]]:
    """The functions that the installed NumPy and SciPy have, with their calls."""
    return {
        name: calls
        for name, calls in functions().items()
        if all(exists(one.call, Numpy()) for one in calls)
    }


def columns_of(calls: Sequence[Asked]) -> tuple[str, ...]:
    """What is asked of a function."""
    return ("value", "vmap") if family(calls[0].call) == FLAT else WHAT


def cells(answers: Answers) -> dict[str, Cell]:
    """Function → the cell of one library."""
    return {
        name: cell(
            [answers.get(one.key, [NOTHING] * len(WHAT)) for one in calls],
            columns_of(calls),
            calls,
        )
        for name, calls in asked().items()
    }


def families() -> dict[str, list[str]]:
    """Heading → its functions, in the order of the page."""
    found: dict[str, list[str]] = {heading: [] for heading in (*ORDER, COMPLEX, FLAT)}
    for name, calls in asked().items():
        found[family(calls[0].call)].append(name)
    return found


def page(columns: Mapping[str, dict[str, Cell]], versions: Mapping[str, str]) -> str:
    """The whole page, from the cells of each library, ours first."""
    notes = Notes()
    body = [INTRODUCTION.format(versions=_versions(columns, versions)), _summary(columns)]
    for heading, names in families().items():
        body.append(f"## {heading}\n")
        body += [text for h, text in ((COMPLEX, ABOUT_COMPLEX), (FLAT, ABOUT_FLAT)) if h == heading]
        body.append(_table(names, columns, notes))
    body += ["## Wrong numbers\n", ABOUT_WRONG, notes.text(), _left_over(columns)]
    return "\n".join(body).rstrip() + "\n"


@dataclass
class Notes:
    """The footnotes of the page, numbered in the order in which they are met."""

    lines: list[str] = field(default_factory=list)

    def mark(self, library: str, alike: Sequence[Cell]) -> str:
        """The cell that some functions share, with the number of a note on all of them."""
        one = alike[0]
        if not one.notes:
            return str(one)
        said = []
        for k, note in enumerate(one.notes):
            rights = [f"{c.notes[k].right} (`{c.notes[k].call}`)" for c in alike]
            said.append(f"{note.column} {note.found} and not {', '.join(rights)}")
        self.lines.append(f"{LIBRARIES[library].title}: {'; '.join(said)}.")
        return f"{one} ({len(self.lines)})"

    def text(self) -> str:
        if not self.lines:
            return "None.\n"
        return "\n".join(f"{n}. {line}" for n, line in enumerate(self.lines, 1)) + "\n"


def _versions(columns: Mapping[str, object], versions: Mapping[str, str]) -> str:
    ours = [f"{name} {version(name)}" for name in ("numpy", "scipy")]
    peers = [f"{name} {versions[name]}" for name in columns if name in versions and name != OURS]
    missing = [f"{kind.title} not run" for name, kind in LIBRARIES.items() if name not in columns]
    found = [f"Python {platform.python_version()}", *ours, *peers, *missing]
    return f"Versions: {', '.join(found)}."


def _header(columns: Mapping[str, object]) -> list[str]:
    titles = [LIBRARIES[name].title for name in columns]
    return [f"| | {' | '.join(titles)} |", f"| --- |{' :-- |' * len(titles)}"]


def _table(names: list[str], columns: Mapping[str, dict[str, Cell]], notes: Notes) -> str:
    alike: dict[object, list[str]] = {}
    for name in names:
        each = [found[name] for found in columns.values()]
        key = tuple((c.signs, tuple(note.kind for note in c.notes)) for c in each)
        alike.setdefault(key, []).append(name)
    lines = _header(columns)
    for group in alike.values():
        marks = [notes.mark(lib, [found[n] for n in group]) for lib, found in columns.items()]
        lines.append(f"| {_listed(group)} | {' | '.join(marks)} |")
    return "\n".join(lines) + "\n"


def _summary(columns: Mapping[str, dict[str, Cell]]) -> str:
    by_family = families()
    real = [name for heading in ORDER for name in by_family[heading]]
    head = f"| {len(real)} functions | {' | '.join(WHAT)} |"
    lines = [head, "| --- | --: | --: | --: | --: |"]
    for library, found in columns.items():
        full = []
        for k in range(len(WHAT)):
            signs = [found[name].signs[k] for name in real]
            full.append(f"{signs.count(YES)} of {len(signs) - signs.count(NOT_ONE)}")
        lines.append(f"| {LIBRARIES[library].title} | {' | '.join(full)} |")
    note = "Counted are the signs `●`, of functions of real numbers that have a derivative.\n"
    return "\n".join(lines) + "\n\n" + note


def behind(columns: Mapping[str, dict[str, Cell]]) -> dict[str, dict[str, list[str]]]:
    """Where we have no ``●`` and a peer has: function → column → the peers."""
    ours, *peers = columns
    found: dict[str, dict[str, list[str]]] = {}
    for name, one in columns[ours].items():
        names = WHAT if len(one.signs) == len(WHAT) else ("value", "vmap")
        for k, (column, sign) in enumerate(zip(names, one.signs, strict=True)):
            better = [peer for peer in peers if columns[peer][name].signs[k] == YES]
            if better and sign != YES:
                found.setdefault(name, {})[column] = better
    return found


def _left_over(columns: Mapping[str, dict[str, Cell]]) -> str:
    by_family, ours = families(), columns[OURS]
    real = [name for heading in ORDER for name in by_family[heading]]
    elsewhere: dict[tuple[str, str], list[str]] = {}
    for name, better in behind(columns).items():
        if name not in by_family[COMPLEX]:
            key = _whats(better), _reason(ours[name].why)
            elsewhere.setdefault(key, []).append(name)
    text = ["## What is missing here\n"]
    if elsewhere:
        text.append("Filled elsewhere and not here, complex numbers and `fft` apart:\n")
        for (whats, reason), names in elsewhere.items():
            text.append(f"- {_listed(names)}: {whats}.{f' Here: {reason}.' if reason else ''}")
        text.append("")
    else:
        text.append("Complex numbers apart, no cell is empty here that is filled elsewhere.\n")
    nobody = [
        name
        for name in real
        if not any(found[name].signs[1] in (YES, SOME) for found in columns.values())
    ]
    if nobody:
        text.append(f"Nobody has the gradient of {_listed(nobody)}.\n")
    return "\n".join(text)


def _whats(better: Mapping[str, Sequence[str]]) -> str:
    """Columns and who has them, such as ``value (JAX, PyTorch), gradient, vmap (JAX)``."""
    groups: list[tuple[list[str], str]] = []
    for column, peers in better.items():
        titles = ", ".join(LIBRARIES[peer].title for peer in peers)
        if groups and groups[-1][1] == titles:
            groups[-1][0].append(column)
        else:
            groups.append(([column], titles))
    return ", ".join(f"{', '.join(names)} ({titles})" for names, titles in groups)


def _reason(why: str) -> str:
    """The words of an error, without its class and without the name of the function."""
    text = why.partition(": ")[2]
    if "no row in the rule book" in text:
        return "no row in the rule book"
    return re.sub(r"\b(np|scipy)\.[\w.]+", "it", text).rstrip(".")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


ROW = re.compile(r"^\| (`[^|]+`) \|(.*)\|$")


def our_column(text: str) -> dict[str, str]:
    """Function → our cell, read from the tables of a page."""
    found = {}
    for line in text.partition("\n## ")[2].splitlines():
        if match := ROW.match(line):
            first = match[2].split("|")[0].strip()
            for name in re.findall(r"`([^`]+)`", match[1]):
                found[name] = first.partition(" (")[0]
    return found


def every_call() -> list[str]:
    """The names of the calls that are asked for."""
    return [one.key for calls in asked().values() for one in calls]
