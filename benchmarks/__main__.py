"""Run benchmarks by name (all of them without one), print a table, and keep it under results/.

The workloads of the compiler (`jit` for all of them) take `--check`, which runs everyone once on
small sizes and says who is right, `--seconds=s`, the time that each size may take, and
`--without=a;b`, contenders that take no part.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks import (
    chains,
    comparison,
    explaining,
    guard,
    overhead,
    reading,
    startup,
    training,
)
from benchmarks.table import Row, machine, table
from benchmarks.workloads import suite

SUITES = {
    "startup": startup.rows,
    "explaining": explaining.rows,
    "chains": chains.rows,
    "overhead": overhead.rows,
    "reading": reading.rows,
    "guard": guard.rows,
    "training": training.rows,
}


def main(names: list[str]) -> int:
    if names[:1] == ["comparison"]:  # not a time, and minutes long: only when it is asked for
        return comparison.write(names[1:])
    options = [n for n in names if n.startswith("--")]
    names = [n for n in names if n not in options] or [*SUITES, suite.TOGETHER]
    known = (*SUITES, suite.TOGETHER, *suite.WORKLOADS)
    unknown = [n for n in names if n not in known]
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    for name in [n for n in names if n in SUITES]:
        rows: list[Row] = SUITES[name]()
        page = f"# {name}\n\n{machine()}\n\n{table(rows)}\n"
        print(page)
        (Path(__file__).parent / "results" / f"{name}.md").write_text(page, "utf-8")
    return suite.main(suite.chosen(names), options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
