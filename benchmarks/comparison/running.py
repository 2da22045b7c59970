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
PROGRAM = ("-m", "benchmarks.comparison.probing")


def answers(
    library: str,
    keys: Sequence[str],
    program: Sequence[str] = PROGRAM,
    patience: float = PATIENCE,
) -> dict[str, list[str]]:
    """Name of a call → its answers; of a call on which the process stops, why it did."""
    found: dict[str, list[str]] = {}
    waiting = list(keys)
    while waiting:
        command = [sys.executable, *program, library, json.dumps(waiting)]
        why = _some(command, len(waiting), patience, found)
        waiting = [n for n in waiting if n not in found]
        if waiting and why:
            found[waiting[0]] = [f"{NOTHING}: {why}"] * 4
            waiting = waiting[1:]
    return found


def _some(command: list[str], count: int, patience: float, found: dict[str, list[str]]) -> str:
    """Run calls until the process ends; say why, if it ended too early."""
    lines: queue.Queue[str | None] = queue.Queue()
    errors: list[str] = []
    done = 0
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        out, err = process.stdout, process.stderr
        assert out is not None
        assert err is not None

        def read() -> None:
            for line in out:
                lines.put(line)
            lines.put(None)

        # Errors are read all the time: a full pipe would stop the process.
        readers = [threading.Thread(target=work) for work in (read, lambda: errors.extend(err))]
        for reader in readers:
            reader.start()
        why = ""
        try:
            while (line := lines.get(timeout=patience)) is not None:
                key, given = json.loads(line)
                found[key] = given
                done += 1
        except queue.Empty:
            why = f"no answer within {patience:.0f} s"
            process.kill()
        for reader in readers:
            reader.join()
    if why or done == count:
        return why
    if not done and process.returncode == 1:  # not a call: the program itself does not start
        raise RuntimeError("".join(errors))
    return f"the process ended with {process.returncode}"
