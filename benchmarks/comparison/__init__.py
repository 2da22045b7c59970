"""Which functions each library can differentiate: found by calling them.

``python -m benchmarks comparison`` runs every call of ``tests/samples/functions.py`` in chainrule
and in each of HIPS autograd, JAX and PyTorch that is installed, and writes ``docs/comparison.md``.
``python -m benchmarks comparison jax`` runs those of JAX again.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

OURS = "chainrule"
ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "comparison.md"
sys.path.insert(0, str(ROOT / "tests"))  # where the table of calls and the oracles are


def write(names: Sequence[str] = ()) -> int:
    """Run the calls and write the page.

    Ours are always run. Of a peer that is installed, those calls are run that have not been run
    in this version of it, or all of them, if it is named. The answers of peers are kept in
    ``results/comparison.json``, so that the page has their columns where they are not installed.
    """
    from benchmarks.comparison import kept
    from benchmarks.comparison.calls import CALLS_ASKED
    from benchmarks.comparison.libraries import LIBRARIES
    from benchmarks.comparison.page import cells, every_call, page
    from benchmarks.comparison.running import answers
    from benchmarks.table import installed

    versions, known = kept.load()
    marks = {key: CALLS_ASKED[key].mark for key in every_call()}
    columns = {}
    for library in LIBRARIES:
        old = known.get(library, {})
        if installed(library):
            current = version(library)
            if library in (OURS, *names) or versions.get(library) != current:
                old = {}
            versions[library] = current
            missing = [key for key, mark in marks.items() if mark not in old]
            print(f"{library}: {len(missing)} calls", flush=True)
            found = answers(library, missing)
            old = old | {marks[key]: given for key, given in found.items()}
            known[library] = {mark: old[mark] for mark in marks.values()}
        if old:
            columns[library] = cells({k: old[m] for k, m in marks.items() if m in old})
    PAGE.write_text(page(columns, versions), "utf-8")
    peers = {name: found for name, found in known.items() if name != OURS}
    kept.save(versions, peers)
    print(f"{PAGE} is written")
    return 0
