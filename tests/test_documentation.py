"""Every example in the documentation is run: what a page shows is what the program does."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import chainrule
from chainrule.cli.app import app

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.S | re.M)
MODULES = [
    m.name
    for m in pkgutil.walk_packages(chainrule.__path__, "chainrule.")
    if not m.name.endswith("__main__")
]


def blocks(page: Path, language: str) -> list[str]:
    return [body for lang, body in BLOCK.findall(page.read_text("utf-8")) if lang == language]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_python_examples_of_a_page_print_what_they_say(page: Path) -> None:
    source = "\n".join(b for b in blocks(page, "python") if ">>>" in b)
    examples = doctest.DocTestParser().get_doctest(source, {}, page.name, str(page), 0)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    output: list[str] = []
    with np.printoptions():  # what a page sets is for that page
        runner.run(examples, out=output.append)
    assert not runner.failures, "".join(output)


def commands(page: Path) -> list[tuple[str, str]]:
    """Each ``$ chainrule …`` of a page with the output shown under it."""
    found = []
    for body in blocks(page, "console"):
        for part in re.split(r"^\$ ", body, flags=re.M)[1:]:
            command, _, shown = part.partition("\n")
            found.append((command, shown.rstrip()))
    return found


@pytest.mark.parametrize(
    ("page", "command", "shown"),
    [(p, c, s) for p in PAGES for c, s in commands(p)],
    ids=lambda v: v.name if isinstance(v, Path) else None,
)
def test_commands_of_a_page_print_what_it_shows(
    page: Path, command: str, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("COLUMNS", "100")
    program, *arguments = shlex.split(command)
    assert program == "chainrule", f"{page.name} shows a command that is not ours: {command}"
    result = CliRunner().invoke(app, arguments)
    printed = re.sub(r"[ \t]+$", "", result.output, flags=re.M).rstrip()
    for piece in re.split(r"^\[\.\.\.\]$", shown, flags=re.M):
        assert piece.strip("\n") in printed, f"{command}\nprinted\n{printed}"


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_run(name: str) -> None:
    module = importlib.import_module(name)
    globs = {**vars(module), "chainrule": chainrule}
    finder = doctest.DocTestFinder(exclude_empty=True)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    output: list[str] = []
    for test in finder.find(module, name, globs=globs):
        runner.run(test, out=output.append)
    assert not runner.failures, "".join(output)


def test_the_package_is_imported_without_its_heavy_dependencies() -> None:
    import subprocess

    heavy = {"sympy", "mpmath", "lark", "rich", "typer", "scipy", "jax", "torch"}
    code = f"import sys, chainrule; print(*sorted({heavy} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == ""
