"""Run benchmarks by name (all of them without one), print a table, and keep it under results/."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks import chains, comparison, explaining, overhead, startup
from benchmarks.table import Row, machine, table

SUITES = {
    "startup": startup.rows,
    "explaining": explaining.rows,
    "chains": chains.rows,
    "overhead": overhead.rows,
}


def main(names: list[str]) -> int:
    if names[:1] == ["comparison"]:  # not a time, and minutes long: only when it is asked for
        return comparison.write(names[1:])
    unknown = [n for n in names if n not in SUITES]
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are: {', '.join(SUITES)}", file=sys.stderr)
        return 2
    for name in names or list(SUITES):
        rows: list[Row] = SUITES[name]()
        page = f"# {name}\n\n{machine()}\n\n{table(rows)}\n"
        print(page)
        (Path(__file__).parent / "results" / f"{name}.md").write_text(page, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
