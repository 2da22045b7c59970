"""Whole processes: what importing and one command cost beside importing NumPy and SymPy."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

from benchmarks.table import Row, alternating

EXPLAIN = (
    "import sys; from chainrule.cli import main; "
    "sys.argv = ['chainrule', 'explain', 'sin(ln(x^2+1))', '--at', 'x=1']; main()"
)


def process(code: str) -> Callable[[], object]:
    """A run of Python, of modules that are compiled already, as those of an installation are."""
    compiled = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", code]
    return lambda: subprocess.run(command, capture_output=True, check=True, env=compiled)


def rows() -> list[Row]:
    return [
        _row("import chainrule", "import chainrule", "import numpy", "≤ 1.5"),
        _row("chainrule explain, whole process", EXPLAIN, "import numpy, sympy", "≤ 2.5"),
    ]


def _row(what: str, ours: str, beside: str, bar: str) -> Row:
    a, b = alternating([process(ours), process(beside)], runs=15)
    return Row(what, f"{a:.3f} s", f"`{beside}`: {b:.3f} s", f"{a / b:.2f}", bar)
