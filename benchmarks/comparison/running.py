"""All calls in one library, in a process of its own that may crash or hang without harm."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from benchmarks.comparison.probing import NOTHING

PATIENCE = 180.0  # seconds for one call, with the import of the library
ROOT = Path(__file__).parents[2]


def answers(library: str, keys: Sequence[str]) -> dict[str, list[str]]:
    """Name of a call → its answers; of a call on which the process stops, why it did."""
    found: dict[str, list[str]] = {}
    waiting = list(keys)
    while waiting:
        why = _some(library, waiting, found)
        waiting = [n for n in waiting if n not in found]
        if waiting and why:
            found[waiting[0]] = [f"{NOTHING}: {why}"] * 4
            waiting = waiting[1:]
    return found


def _some(library: str, keys: list[str], found: dict[str, list[str]]) -> str:
    """Run calls until the process ends; say why, if it ended too early."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.comparison.probing", library, json.dumps(keys)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    lines: queue.Queue[str | None] = queue.Queue()
    errors: list[str] = []

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line)
        lines.put(None)

    def listen() -> None:  # a full pipe would stop the process
        assert process.stderr is not None
        errors.extend(process.stderr)

    readers = [threading.Thread(target=work, daemon=True) for work in (read, listen)]
    for reader in readers:
        reader.start()
    done = 0
    try:
        while (line := lines.get(timeout=PATIENCE)) is not None:
            key, given = json.loads(line)
            found[key] = given
            done += 1
    except queue.Empty:
        process.kill()
        return f"no answer within {PATIENCE:.0f} s"
    finally:
        process.wait()
    for reader in readers:
        reader.join()
    if done == len(keys):
        return ""
    if not done and process.returncode == 1:  # not a call: the program itself does not start
        raise RuntimeError("".join(errors))
    return f"the process ended with {process.returncode}"
