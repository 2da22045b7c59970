"""The command line as a person meets it: answers, exit codes, one clear message on bad input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from chainrule.cli.app import app


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["explain", *arguments])


def refused(*arguments: str) -> str:
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    return result.stderr


def process(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from chainrule.cli import main; main()", "explain", *arguments],
        capture_output=True, text=True, encoding="utf-8", timeout=60, check=False,
        env={**os.environ, **env},
    )  # fmt: skip


def test_a_worked_solution_has_steps_products_answer_and_verdict() -> None:
    result = run("sin(ln(x^2+1))", "--at", "x=1")
    assert result.exit_code == 0
    for piece in (
        "u₁", "x² + 1", "du₁/dx = 2x", "0.6931471806",
        "dy/dx = dy/du₂ · du₂/du₁ · du₁/dx", "2x·cos(ln(x² + 1))/(x² + 1)", "✓ verified",
    ):  # fmt: skip
        assert " ".join(piece.split()) in " ".join(result.stdout.split())


def test_without_a_point_it_is_symbolic() -> None:
    result = run("x^n")
    assert result.exit_code == 0
    assert "n·x^(n − 1)" in result.stdout


def test_json_is_what_to_dict_gives() -> None:
    import chainrule as cr

    result = run("sin(ln(x^2+1))", "--at", "x=1", "--format", "json")
    assert json.loads(result.stdout) == cr.explain("sin(ln(x^2+1))", at={"x": 1.0}).to_dict()


def test_json_names_value_derivative_steps_paths_and_check() -> None:
    data = json.loads(run("x*y", "--at", "x=2,y=3", "--format", "json").stdout)
    assert data["value"] == 6.0
    assert data["gradient"]["x"]["value"] == 3.0
    assert data["gradient"]["y"]["text"] == "x"
    assert [s["name"] for s in data["steps"]] == ["z"]
    assert data["paths"][0]["names"] == ["z", "x"]
    assert data["check"]["outcome"] == "verified"
    one = json.loads(run("x^2", "--at", "x=2", "--format", "json").stdout)
    assert one["derivative"] == one["derivative"] | {"value": 4.0, "text": "2x", "latex": "2\\, x"}


@pytest.mark.parametrize(("form", "piece"), [("latex", r"\frac"), ("markdown", "| step |")])
def test_other_formats(form: str, piece: str) -> None:
    result = run("sin(ln(x^2+1))", "--at", "x=1", "--format", form)
    assert result.exit_code == 0
    assert piece in result.stdout


def test_order_two_prints_the_second_derivative() -> None:
    result = run("x^3", "--order", "2", "--at", "x=2")
    assert "d²y/dx²" in result.stdout
    assert "6x" in result.stdout


def test_paths_are_listed_on_request() -> None:
    assert "1 path from y to x" in run("sin(x^2)", "--paths").stdout


def test_delta_shows_quotients_next_to_their_limit() -> None:
    out = run("sin(x^2)", "--at", "x=1", "--delta", "0.1").stdout
    assert "Δu₁/Δx" in out
    assert "limit" in out


def test_ambiguous_formulas_say_how_they_were_read() -> None:
    assert "is read as" in run("1/2x").stdout


def test_a_function_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "model.py"
    file.write_text("import numpy as np\ndef f(x):\n    a = x**2 + 1\n    return np.log(a)\n")
    result = run(f"{file}:f", "--at", "x=1.0")
    assert result.exit_code == 0, result.output
    assert "da/dx = 2x" in result.stdout


def test_an_array_argument_on_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "model.py"
    file.write_text("import numpy as np\ndef f(x):\n    return np.sum(x**2)\n")
    result = run(f"{file}:f", "--at", "x=[1,2,3]")
    assert result.exit_code == 0, result.output
    assert "[2. 4. 6.]" in result.stdout


def test_a_matrix_on_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "model.py"
    file.write_text("import numpy as np\ndef f(X):\n    return np.sum(X**2)\n")
    result = run(f"{file}:f", "--at", "X=[[1,2],[3,4]]")
    assert result.exit_code == 0, result.output


def test_what_a_function_prints_does_not_mix_with_the_json(tmp_path: Path) -> None:
    file = tmp_path / "chatty.py"
    file.write_text("def f(x):\n    print('hello')\n    return x * x\n")
    result = run(f"{file}:f", "--at", "x=1", "--format", "json")
    assert json.loads(result.stdout)["derivative"]["value"] == 2.0
    assert "hello" in result.stderr


def test_a_module_that_exits_is_an_error_like_any_other(tmp_path: Path) -> None:
    file = tmp_path / "leaves.py"
    file.write_text("import sys\nsys.exit(5)\n")
    assert "SystemExit" in refused(f"{file}:f", "--at", "x=1")


def test_arguments_that_do_not_fit_the_function_are_named(tmp_path: Path) -> None:
    file = tmp_path / "model.py"
    file.write_text("def f(x):\n    return x * x\n")
    for arguments in ([], ["--at", "y=1"], ["--at", "x=1,y=2"]):
        assert "do not fit f(x)" in refused(f"{file}:f", *arguments)


BAD = {
    "syntax error": (["sin(x"], ["never closed", "^"]),
    "unknown function": (["sni(x)"], ["sni", "did you mean sin"]),
    "missing variable": (["x*y", "--at", "x=1"], ["no value for y"]),
    "misspelt variable": (["alpha^2", "--at", "alpa=1"], ["alpa", "alpha"]),
    "wrong wrt": (["x^2", "--wrt", "t"], ["no variable 't'"]),
    "logarithm of a negative number": (["ln(x-4)", "--at", "x=1"], ["ln(−3)", "step"]),
    "the step is named": (["sin(ln(x-4))", "--at", "x=1"], ["ln(−3)", "step u₂"]),
    "division by zero": (["1/x", "--at", "x=0"], ["1/0", "outside the domain"]),
    "overflow": (["exp(exp(x))", "--at", "x=1000"], ["overflow"]),
    "a tower of powers": (["9^9^9^9"], ["overflow"]),
    "empty": ([""], ["empty"]),
    "blanks": (["   "], ["empty"]),
    "binary garbage": (["\x00\x01\xff\x07"], ["U+0000"]),
    "point without a value": (["x^2", "--at", "x"], ["name=value"]),
    "point that is no number": (["x^2", "--at", "x=abc"], ["not a number"]),
    "infinite point": (["x^2", "--at", "x=inf"], ["finite"]),
    "two statements as a value": (["x^2", "--at", "x=1;2"], ["not a number"]),
    "order zero": (["x^2", "--order", "0"], ["at least 1"]),
    "delta without a point": (["x^2", "--delta", "0.1"], ["needs a point"]),
    "delta zero": (["x^2", "--at", "x=1", "--delta", "0"], ["other than 0"]),
    "no such file": (["nowhere.py:f", "--at", "x=1"], ["no file"]),
    "circle": (["x = y; y = x"], ["circle"]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_clear_message_and_exit_code_2(case: str) -> None:
    arguments, pieces = BAD[case]
    message = refused(*arguments)
    for piece in pieces:
        assert piece in message


def test_a_hundred_thousand_parentheses_are_refused_at_once() -> None:
    assert "longer than" in refused("(" * 100_000 + "x" + ")" * 100_000)
    assert "nested" in refused("(" * 2_000 + "x" + ")" * 2_000)


def test_errors_in_the_users_function_name_its_line(tmp_path: Path) -> None:
    file = tmp_path / "broken.py"
    file.write_text("def f(x):\n    return [x][3]\n")
    message = refused(f"{file}:f", "--at", "x=1")
    assert "IndexError" in message
    assert "broken.py:2" in message


def test_a_missing_function_lists_what_there_is(tmp_path: Path) -> None:
    file = tmp_path / "model.py"
    file.write_text("def loss(x):\n    return x\n")
    assert "loss" in refused(f"{file}:los", "--at", "x=1")


def test_integers_on_the_command_line_are_numbers(tmp_path: Path) -> None:
    file = tmp_path / "model.py"
    file.write_text("def f(x):\n    return x * x\n")
    assert run(f"{file}:f", "--at", "x=3").exit_code == 0


def test_no_color_and_pipes_get_plain_text() -> None:
    out = process("x^2", NO_COLOR="1")
    assert out.returncode == 0
    assert "\x1b" not in out.stdout
    assert "dy/dx" in out.stdout


def test_output_survives_an_ascii_locale() -> None:
    out = process("x^2", LC_ALL="C", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert out.returncode == 0, out.stderr
    assert "x²" in out.stdout


def test_errors_survive_an_ascii_locale() -> None:
    out = process("ln(x-4)", "--at", "x=1", LC_ALL="C", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert out.returncode == 2
    assert "Traceback" not in out.stderr
