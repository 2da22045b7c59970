"""docs/comparison.md says what chainrule really does: its column is what the calls give today.

Other libraries are not needed: ``python -m benchmarks comparison`` keeps their columns.
"""

import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.comparison.calls import COMPLEX, FLAT, ORDER  # noqa: E402
from benchmarks.comparison.libraries import Chainrule  # noqa: E402
from benchmarks.comparison.page import (  # noqa: E402
    Cell,
    asked,
    cell,
    columns_of,
    families,
    our_column,
    page,
)  # fmt: skip
from benchmarks.comparison.probing import GOOD, differs, probe  # noqa: E402
from benchmarks.comparison.running import answers  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::chainrule.AbsentGradientWarning"),
]
WRITTEN = our_column((ROOT / "docs" / "comparison.md").read_text("utf-8"))
ADVICE = "run `python -m benchmarks comparison` and commit docs/comparison.md"


def test_every_function_that_is_called_is_on_the_page():
    assert sorted(set(asked()) - set(WRITTEN)) == [], ADVICE


@pytest.mark.parametrize("heading", [*ORDER, COMPLEX, FLAT])
def test_our_column_is_what_the_calls_give(heading):
    library, calls = Chainrule(), asked()
    with np.errstate(all="ignore"):
        found = {
            name: str(cell([probe(library, one) for one in calls[name]], columns_of(calls[name])))
            for name in families()[heading]
        }
    assert {name: WRITTEN[name] for name in found} == found, ADVICE


def test_a_cell_tells_right_wrong_and_refused_apart():
    given = [[GOOD, GOOD, "nan and not 1", "nothing"], [GOOD, "nothing: no", GOOD, "nothing"]]
    made = cell(given, ("value", "gradient", "second order", "vmap"))
    assert made.signs == "●◐✗·"
    assert made.notes == [("second order", "", "nan", "1")]


@pytest.mark.parametrize(
    ("found", "expected", "verdict"),
    [
        ([np.array([1.0, 2.0])], [np.array([1.0, 2.0])], GOOD),
        ([np.array([1.0, np.nan])], [np.array([1.0, 2.0])], "nan and not 2"),
        ([np.array([1.0, 2.1])], [np.array([1.0, 2.0])], "2.1 and not 2"),
        ([np.array(1.0)], [np.array([1.0])], "shape () and not (1,)"),
        ([np.array(1.0)], [np.array(1.0), np.array(2.0)], "1 results and not 2"),
    ],
)
def test_numbers_that_differ_are_said(found, expected, verdict):
    assert differs(found, expected, 1e-9) == verdict


def test_our_column_is_read_from_the_page_that_is_written():
    columns = {"chainrule": {name: Cell("●◐··", why="no") for name in asked()}}
    read = our_column(page(columns, {}))
    assert set(read) == set(asked())
    assert set(read.values()) == {"`●◐··`"}


def test_a_call_that_crashes_or_hangs_takes_only_itself_with_it(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "import json, os, sys, time\n"
        "for key in json.loads(sys.argv[2]):\n"
        "    if key == 'crashes': os._exit(3)\n"
        "    if key == 'hangs': time.sleep(600)\n"
        "    print(json.dumps([key, ['good']]), flush=True)\n"
    )
    found = answers("any", ["a", "crashes", "b", "hangs", "c"], [str(program)], patience=2.0)
    assert {key for key, given in found.items() if given == [GOOD]} == {"a", "b", "c"}
    assert found["crashes"][0] == "nothing: the process ended with 3"
    assert found["hangs"][0] == "nothing: no answer within 2 s"
