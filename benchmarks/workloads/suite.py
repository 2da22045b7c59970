"""Workloads by name: run, printed, and kept under results/; or only checked."""

from __future__ import annotations

import faulthandler
import importlib
import math
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks import baselines
from benchmarks.workloads import contest, peers
from benchmarks.workloads.contest import COMPILED, EAGER, PRIMAL, Absent, Outcome, Result

# By the name on the command line: the module, and the bars for ours ÷ theirs.
WORKLOADS: dict[str, tuple[str, dict[str, str]]] = {
    "scalar": ("scalar", {"JAX": "≤ 0.3", "CasADi": "≤ 0.3"}),
    "elementwise": ("elementwise", {
        "JAX": "≤ 0.25 at 10⁶", "torch.compile": "≤ 0.6 at 10⁶", "C by hand": "≤ 1.1 at 10⁶",
    }),
    "mlp": ("mlp", {"PyTorch": "≤ 0.85", "JAX": "≤ 0.7", "NumPy by hand": "≤ 0.95"}),
    "attention": ("attention", {}),
    "gmm": ("gmm", {"JAX": "< 1", "PyTorch": "< 1", "C by hand": "≤ 1.1"}),
    "lse": ("lse", {"JAX": "< 1", "PyTorch": "< 1", "C by hand": "≤ 1.1"}),
    "kmeans": ("kmeans", {"JAX": "< 1", "PyTorch": "< 1", "C by hand": "≤ 1.1"}),
    "llsq": ("llsq", {"JAX": "< 1", "PyTorch": "< 1", "C by hand": "≤ 1.1"}),
    "ode": ("ode", {"JAX": "< 1", "PyTorch": "< 1", "C by hand": "≤ 1.1"}),
    "lstm": ("lstm", {"PyTorch": "≤ 0.1", "JAX": "≤ 0.33", "C by hand": "≤ 1.5"}),
    "ba": ("ba", {"PyTorch": "≤ 0.1", "JAX": "< 1", "C by hand": "≤ 1.5"}),
    "ht": ("ht", {"PyTorch": "≤ 0.1", "JAX": "< 1", "C by hand": "≤ 1.5"}),
    "det": ("det", {"PyTorch": "≤ 0.1", "C by hand": "≤ 1.5"}),
    "chains-compile": ("chains", {"JAX": "≤ 0.1 at 1,000, ≤ 0.05 at 4,000"}),
    "compile": ("compiling", {"JAX": "≤ 0.4"}),
    "cold": ("cold", {"JAX": "≤ 0.5; with a warm cache ≤ 0.4"}),
}  # fmt: skip
TOGETHER = "jit"  # the name for all of them
PACKAGES = ("numpy", "scipy", "llvmlite", "jax", "torch", "autograd", "casadi")
RESULTS = Path(__file__).parents[1] / "results"
SECONDS = 20.0


def write(name: str, seconds: float = SECONDS, without: Sequence[str] = ()) -> None:
    """Run one workload in all its sizes, print its page, and keep it."""
    module_name, bars = WORKLOADS[name]
    module = importlib.import_module(f"benchmarks.workloads.{module_name}")
    load_peers()
    results: list[Result] = []
    for number, case in enumerate(module.cases()):
        peers.other_disk_cache(number)
        print(f"{name}: {case.size}", file=sys.stderr)
        results.append(contest.run(case, seconds, without))
    text = page(name, module.__doc__ or "", results, bars)
    print(text)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text(text, "utf-8")


def check(name: str) -> bool:
    """Run everyone once on small sizes, and say who is right; nothing is timed or kept."""
    module = importlib.import_module(f"benchmarks.workloads.{WORKLOADS[name][0]}")
    load_peers()
    fine = True
    for number, case in enumerate(module.cases(small=True)):
        peers.other_disk_cache(number)
        works, result = contest.entered(case)
        for contender, outcome in result.outcomes.items():
            right = contender in works
            told = f"right to {outcome.error:.1e}" if right else outcome.failure
            print(f"{name}, {case.size}: {contender}: {told}")
            fine = fine and (right or outcome.error is None)
    return fine


def load_peers() -> None:
    """Import what takes part beforehand, so that no first call is charged with it."""
    for load in (peers.jax, peers.torch, peers.autograd, peers.casadi):
        try:
            load()
        except Absent:
            continue


def page(name: str, about: str, results: Sequence[Result], bars: dict[str, str]) -> str:
    who = contest.names(results)
    runs = [r.outcomes[COMPILED].seconds is not None for r in results if COMPILED in r.outcomes]
    ours = COMPILED if any(runs) or not any(EAGER in r.outcomes for r in results) else EAGER
    notes: dict[str, int] = {}
    parts = [f"# {name}", about.strip(), machine(), "## Time of a call", times(results, who, notes)]
    if notes:
        parts.append("\n".join(f"{number}. {note}" for note, number in notes.items()))
    parts += [f"## {ours} ÷ theirs", ratios(results, who, ours, bars)]
    for variant in [w for w in who if w.startswith(f"{ours}, ")]:
        if any(result.seconds(variant) for result in results):
            parts += [f"## {variant} ÷ theirs", ratios(results, who, variant, {})]
    compilers = [w for w in who if w.startswith((COMPILED, "JAX"))]
    if name not in ("chains-compile", "compile", "cold"):
        parts += ["## First call, compiling included", first_calls(results, compilers)]
    return "\n\n".join(parts) + "\n"


def times(results: Sequence[Result], who: Sequence[str], notes: dict[str, int]) -> str:
    def cell(outcome: Outcome | None, name: str) -> str:
        if outcome is None:
            return ""
        if outcome.seconds is not None:
            return duration(outcome.seconds) + (" (once)" if outcome.runs == 1 else "")
        what = outcome.failure.split(":")[0] if len(outcome.failure) > 16 else outcome.failure
        if what == outcome.failure:
            return what
        number = notes.setdefault(f"{name}: {outcome.failure}", len(notes) + 1)
        return f"{what} ({number})"

    rows = [
        [result.size, *(cell(result.outcomes.get(name), name) for name in who)]
        for result in results
    ]
    return table(["size", *who], rows)


def ratios(results: Sequence[Result], who: Sequence[str], ours: str, bars: dict[str, str]) -> str:
    """Ours divided by theirs, and by our own primal; below them the geometric means."""
    others = [name for name in who if name != ours]
    columns = [PRIMAL, *others] if any(PRIMAL in r.outcomes for r in results) else others
    found: dict[str, list[float]] = {name: [] for name in columns}
    rows = []
    for result in results:
        row = [result.size]
        for name in columns:
            mine, theirs = result.seconds(ours), result.seconds(name)
            if mine is None or theirs is None:
                row.append("")
            else:
                found[name].append(mine / theirs)
                row.append(short(mine / theirs))
        rows.append(row)

    def mean(name: str) -> str:
        values = found[name]
        if not values:
            return ""
        told = short(math.exp(sum(map(math.log, values)) / len(values)))
        return told if len(values) == len(results) else f"{told} (of {len(values)})"

    rows.append(["geometric mean", *map(mean, columns)])
    if bars:
        rows.append(["bar", *(bars.get(name, "") for name in columns)])
    head = ["our primal" if name == PRIMAL else name for name in columns]
    return table(["size", *head], rows)


def first_calls(results: Sequence[Result], who: Sequence[str]) -> str:
    told = lambda outcome: (
        duration(outcome.first) if outcome and outcome.first and outcome.seconds else ""
    )
    rows = [[r.size, *(told(r.outcomes.get(name)) for name in who)] for r in results]
    return table(["size", *who], rows)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] + ["--:"] * (len(head) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def duration(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{short(seconds / size)} {unit}"
    return f"{seconds * 1e9:.0f} ns"


def short(number: float) -> str:
    """Three digits."""
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"


def machine() -> str:
    """What this was measured on, and with which versions."""
    try:
        gcc = baselines.compiler_version()
    except Absent:
        gcc = "no gcc, so no C by hand"
    packages = ", ".join(f"{name} {installed_version(name)}" for name in PACKAGES)
    return (
        f"{processor()}, {os.cpu_count()} cores, {platform.system()}; Python "
        f"{platform.python_version()}; {packages}; {gcc}, `{' '.join(baselines.FLAGS)}`. Everyone "
        "may use all cores. Medians of batches that take turns; “once”: a single run. Results are "
        "checked before anything is timed."
    )


def installed_version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    told = dict(line.split(":", 1) for line in lines if ":" in line)
    told = {key.strip(): value.strip() for key, value in told.items()}
    flags = set(told.get("flags", "").split())
    name = told.get("model name", platform.machine())
    wide = next((w for f, w in _WIDTHS.items() if f in flags), "")
    return f"{name} (family {told.get('cpu family')}, model {told.get('model')}{wide})"


_WIDTHS = {"avx512f": ", AVX-512", "avx2": ", AVX2"}


def chosen(names: Sequence[str]) -> list[str]:
    """The workloads among these names."""
    return [w for w in WORKLOADS if w in names or TOGETHER in names]


def main(names: Sequence[str], options: Sequence[str]) -> int:
    """Run these workloads, or with `--check` only check them.

    `--seconds=s` is for each size; `--without=a;b` leaves contenders out, and the page says so.
    """
    seconds, without = SECONDS, [""]
    for option in options:
        if option.startswith("--seconds="):
            seconds = float(option.removeprefix("--seconds="))
        elif option.startswith("--without="):
            without = option.removeprefix("--without=").split(";")
        elif option != "--check":
            known = "--check, --seconds=s, --without=a;b"
            print(f"no option {option}; there are: {known}", file=sys.stderr)
            return 2
    faulthandler.enable()
    if len(names) > 1:
        return apart(names, options)
    for name in names:
        if "--check" in options:
            return 0 if check(name) else 1
        write(name, seconds, without)
    return 0


def apart(names: Sequence[str], options: Sequence[str]) -> int:
    """Each workload in a process of its own: none inherits threads, memory or a crash."""
    failed = []
    for name in names:
        command = [sys.executable, "-m", "benchmarks", name, *options]
        if subprocess.run(command, check=False).returncode:
            failed.append(name)
    if failed:
        print(f"not well: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0
