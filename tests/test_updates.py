"""Gradient descent: one step as arithmetic, and the history of many."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import chainrule as cr
from chainrule.cli.app import app
from chainrule.errors import ArgumentsError, NotDifferentiableError


def bowl(w):
    return (w - 3.0) ** 2


def regression(params, x, y):
    prediction = params["W"] @ x + params["b"]
    return np.mean((prediction - y) ** 2)


def data():
    r = np.random.default_rng(0)
    params = {"W": r.normal(size=(2, 3)), "b": np.zeros(2)}
    return params, r.normal(size=3), np.array([1.0, -1.0])


# --- one step ------------------------------------------------------------------------


def test_an_update_is_arithmetic_that_adds_up():
    update = cr.explain(bowl)(1.0).update(0.1)
    assert str(update) == "w ← 1 − 0.1·(−4) = 1.4"
    assert (update.old, update.gradient, update.new) == ({"w": 1.0}, {"w": -4.0}, {"w": 1.4})
    assert update.to_latex().count(r"w &\leftarrow w - \eta\,") == 1
    assert r"= 1 - 0.1 \cdot \left(-4\right) = 1.4" in update.to_markdown()


def test_a_formula_updates_all_of_its_variables():
    update = cr.explain("(w - 3)^2 v", at={"w": 1.0, "v": 2.0}).update(0.5)
    assert update.new == {"w": 5.0, "v": 0.0}
    assert str(update).splitlines() == ["w ← 1 − 0.5·(−8) = 5", "v ← 2 − 0.5·4 = 0"]


def test_names_are_aligned_and_long_lines_broken():
    def f(w, longer):
        return np.sum(np.sin(w)) + longer**2

    update = cr.explain(f, wrt="w,longer")(np.array([0.1, 0.2, 0.3, 0.4]), 2.0).update(0.1)
    lines = update.to_text(60).splitlines()
    assert lines[0].startswith("w      ← [0.1")
    assert lines[1].startswith("       − 0.1·[")
    assert lines[2].startswith("       = [")
    assert lines[3] == "longer ← 2 − 0.1·4 = 1.6"
    assert max(map(len, lines)) <= 60
    assert len(update.to_text(200).splitlines()) == 2


def test_leaves_of_a_pytree_are_updated_by_name():
    params, x, y = data()
    gradient = cr.grad(regression)(params, x, y)
    update = cr.explain(regression, wrt="params")(params, x, y).update(0.3)
    assert list(update.new) == ["params['W']", "params['b']"]
    assert np.array_equal(update.new["params['W']"], params["W"] - 0.3 * gradient["W"])
    assert np.array_equal(update.new["params['b']"], params["b"] - 0.3 * gradient["b"])
    assert np.array_equal(update.old["params['W']"], params["W"])


def test_one_element_of_an_array_is_updated_by_itself():
    params, x, y = data()
    explained = cr.explain(regression, wrt="params['W'][1,2]")(params, x, y)
    update = explained.update(0.3)
    ((name, new),) = update.new.items()
    assert name == "params['W'][1,2]"
    gradient = cr.grad(regression)(params, x, y)["W"][1, 2]
    assert new == pytest.approx(params["W"][1, 2] - 0.3 * gradient, rel=1e-14)


def test_large_arrays_are_said_in_words():
    r = np.random.default_rng(0)
    W = r.normal(size=(30, 20))
    update = cr.explain(lambda W: np.sum(np.tanh(W)))(W).update(0.1)
    step = 0.1 * (1 - np.tanh(W) ** 2)
    relative = np.linalg.norm(step) / np.linalg.norm(W)
    assert "[30×20]" in str(update)
    assert f"{relative:.3g}" in str(update)
    assert f"{abs(step).max():.3g}" in str(update)
    assert np.allclose(update.new["W"], W - step, rtol=1e-15)


def test_values_keep_their_dtype():
    w = np.array([1.0, 2.0], np.float32)
    update = cr.explain(lambda w: np.sum(w**2))(w).update(0.1)
    assert update.new["w"].dtype == np.float32
    history = cr.descent(lambda w: np.sum(w**2), rate=0.1, steps=2)(w)
    assert history.values["w"].dtype == np.float32


def test_an_update_needs_numbers_and_a_rate():
    with pytest.raises(ArgumentsError, match="give a point"):
        cr.explain("(w - 3)^2").update(0.1)
    with pytest.raises(ArgumentsError, match="give a point"):
        cr.explain("(w - 3)^2", update=0.1)
    for rate in (np.nan, np.inf, "0.1", True, [0.1]):
        with pytest.raises(ArgumentsError, match="rate of an update"):
            cr.explain(bowl)(1.0).update(rate)  # type: ignore[arg-type]


def test_a_page_shows_the_update_that_was_asked_for():
    explained = cr.explain(bowl, update=0.1)(1.0)
    assert "w ← 1 − 0.1·(−4) = 1.4" in str(explained)
    assert "leftarrow" in explained.to_latex()
    assert "leftarrow" in explained.to_markdown()
    assert explained.to_dict()["update"]["changes"] == [
        {"name": "w", "old": 1.0, "gradient": -4.0, "new": 1.4}
    ]
    assert "←" not in str(cr.explain(bowl)(1.0))
    assert "update" not in cr.explain(bowl)(1.0).to_dict()


def test_the_command_line_shows_the_update():
    def run(*arguments):
        return CliRunner().invoke(app, ["explain", "(w-3)^2", *arguments])

    shown = run("--at", "w=1", "--update", "0.1")
    assert shown.exit_code == 0
    assert "w ← 1 − 0.1·(−4) = 1.4" in shown.output
    as_json = run("--at", "w=1", "--update", "0.1", "--format", "json")
    assert json.loads(as_json.output)["update"]["rate"] == 0.1
    refused = run("--update", "0.1")
    assert refused.exit_code == 2
    assert "give a point" in refused.output


# --- many steps ----------------------------------------------------------------------


def test_a_descent_follows_the_rule_step_by_step():
    history = cr.descent(bowl, rate=0.25, steps=4)(1.0)
    assert [float(m.values["w"]) for m in history.moments] == [1.0, 2.0, 2.5, 2.75, 2.875]
    assert [float(m.gradients["w"]) for m in history.moments] == [-4.0, -2.0, -1.0, -0.5, -0.25]
    assert list(history.losses) == [4.0, 1.0, 0.25, 0.0625, 0.015625]
    assert history.loss == 0.015625
    assert (history.steps, history.stopped) == (4, None)


def test_each_step_is_the_update_that_an_explanation_shows():
    history = cr.descent(bowl, rate=0.1, steps=5)(1.0)
    for before, after in zip(history.moments, history.moments[1:], strict=False):
        shown = cr.explain(bowl)(float(before.values["w"])).update(0.1)
        assert shown.new["w"] == after.values["w"]


def test_a_descent_changes_what_was_named_and_nothing_else():
    params, x, y = data()
    kept = {n: v.copy() for n, v in params.items()}
    history = cr.descent(regression, "params['W']", rate=0.1, steps=20)(params, x, y)
    assert list(history.values) == ["params['W']"]
    assert history.loss < 0.2 * history.losses[0]
    assert all(np.array_equal(params[n], kept[n]) for n in params)
    whole = cr.descent(regression, rate=0.1, steps=20)(params, x, y)
    W, b = params["W"], params["b"]
    for _ in range(20):
        g = cr.grad(regression)({"W": W, "b": b}, x, y)
        W, b = W - 0.1 * g["W"], b - 0.1 * g["b"]
    assert np.allclose(whole.values["params['W']"], W, rtol=1e-13)
    assert np.allclose(whole.values["params['b']"], b, rtol=1e-13)


def test_a_descent_along_one_element_leaves_the_others():
    params, x, y = data()
    seen = []

    def watched(params):
        seen.append(np.array(cr.stop_gradient(params["W"])))
        return regression(params, x, y)

    cr.descent(watched, "params['W'][0,1]", rate=0.1, steps=3)(params)
    moved = np.any([w != params["W"] for w in seen], axis=0)
    assert moved.tolist() == [[False, True, False], [False, False, False]]


def test_dataclasses_and_keyword_arguments_are_parameters_too():
    @dataclass
    class Line:
        slope: Any
        offset: Any

    def loss(line, *, at):
        return (line.slope * at + line.offset - 1.0) ** 2

    history = cr.descent(loss, "line", rate=0.1, steps=50)(Line(0.0, 0.0), at=2.0)
    assert set(history.values) == {"line.slope", "line.offset"}
    assert history.loss < 1e-12


def test_every_so_many_moments_are_kept_and_the_last():
    history = cr.descent(bowl, rate=0.1, steps=25, every=10)(1.0)
    assert [m.step for m in history.moments] == [0, 10, 20, 25]
    assert len(history.losses) == 26


def test_a_descent_that_diverges_stops_and_says_so():
    history = cr.descent(lambda w: w**4, rate=1.0, steps=50)(3.0)
    assert history.steps < 10
    assert history.stopped is not None
    assert "a smaller rate may help" in str(history)
    json.dumps(history.to_dict())


def test_the_table_shows_head_and_tail():
    history = cr.descent(bowl, rate=0.05, steps=100)(1.0)
    lines = str(history).splitlines()
    assert sum("⋮" in line for line in lines) == 1
    assert len(lines) == 15
    assert lines[-1].split()[0] == "100"
    table = history.to_markdown().splitlines()
    assert len({line.count("|") for line in table}) == 1
    short = str(cr.descent(bowl, steps=3)(1.0))
    assert "⋮" not in short


def test_no_step_is_a_history_too():
    history = cr.descent(bowl, steps=0)(1.0)
    assert list(history.losses) == [4.0]
    assert "4" in str(history)


def test_mistakes_are_named():
    with pytest.raises(ArgumentsError, match="steps is a whole number from 0"):
        cr.descent(bowl, steps=-1)
    with pytest.raises(ArgumentsError, match="every is a whole number from 1"):
        cr.descent(bowl, every=0)
    with pytest.raises(ArgumentsError, match="rate of a descent"):
        cr.descent(bowl, rate=float("nan"))
    with pytest.raises(NotDifferentiableError, match="no parameter 'v'"):
        cr.descent(bowl, "v")(1.0)
    with pytest.raises(ArgumentsError, match="does not depend on w"):
        cr.descent(lambda w: 2.0)(1.0)
