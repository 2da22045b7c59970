"""``cr.why``: the size of a gradient as a budget that adds up, and the cause where it is sick."""

import dataclasses
import functools
import importlib
import inspect
import json
import math
import warnings

import numpy as np
import pytest
import sick_networks
from sick_networks import CASES, Case
from typer.testing import CliRunner

import chainrule as cr
from chainrule.cli.app import app
from chainrule.diagnosis.budget import Budget
from chainrule.diagnosis.causes import Cause
from chainrule.diagnosis.gains import AT, PARTS
from chainrule.diagnosis.run import call_of, run
from chainrule.diagnosis.why import Verdict, walked
from chainrule.errors import ArgumentsError, ChainruleError, NotDifferentiableError
from chainrule.tree import leaves

SICK = [c for c in CASES if c.verdict is not Verdict.HEALTHY]
WELL = [c for c in CASES if c.verdict is Verdict.HEALTHY]
name_of = lambda case: case.name


def budget_of(f, *args, wrt=None):
    """The run, and the budget of all its inputs (or of those named)."""
    here = run(call_of(f, args, {}))
    names = list(here.inputs) if wrt is None else wrt
    return here, walked(here, [here.inputs[n].index for n in names])


def parts_between(f, *args, wrt):
    """The parts of the whole budget of one input that are not zero."""
    here, budget = budget_of(f, *args, wrt=[wrt])
    total = budget.total[here.inputs[wrt].index]
    return {p: float(x) for p, x in zip(PARTS, total, strict=True) if abs(x) > 1e-12}


def off(budget: Budget) -> float:
    """How far the parts of any record are from adding up to its measured size."""
    return max(abs(float(np.sum(total)) - budget.log_norms[i]) for i, total in budget.total.items())


# ------------------------------------------------------------------------- the planted causes


def test_there_are_at_least_forty_sick_networks_and_ten_healthy_ones():
    assert len(SICK) >= 40
    assert len(WELL) >= 10
    assert len({c.name for c in CASES}) == len(CASES)


@pytest.mark.parametrize("case", SICK, ids=name_of)
def test_the_planted_cause_is_named_with_its_line(case: Case):
    found = case.report
    assert (found.verdict, found.cause) == (case.verdict, case.cause)
    assert found.line == f"sick_networks.py:{case.line}"
    assert found.says


@pytest.mark.parametrize("case", WELL, ids=name_of)
def test_a_healthy_gradient_is_left_in_peace(case: Case):
    found = case.report
    assert found.verdict is Verdict.HEALTHY
    assert found.cause is None
    assert not found.says
    assert found.healthy


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_the_norm_is_that_of_the_gradient_that_grad_computes(case: Case):
    args = case.args()
    parameter = case.wrt.partition("[")[0].partition(".")[0]
    names = list(inspect.signature(case.loss).parameters)
    with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
        report = case.report
        gradient = cr.grad(case.loss, names.index(parameter))(*args)
    part = eval(case.wrt, {parameter: gradient})
    exact = np.linalg.norm(np.asarray(part, float))
    assert report.norm == exact or report.norm == pytest.approx(exact, rel=1e-9, abs=0)
    assert report.shape == np.shape(part)


# ------------------------------------------------------------------------- sums


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_gains_add_up_to_the_measured_size_and_parts_to_each_gain(case: Case):
    report = case.report
    finite = [s for s in report.steps if math.isfinite(s.gain)]
    for step in finite:
        assert sum(step.parts.values()) == pytest.approx(step.gain, abs=1e-6)
    if report.norm > 0:
        assert sum(s.gain for s in report.steps) == pytest.approx(math.log10(report.norm), abs=1e-9)
        assert len(finite) == len(report.steps)


FIELDS = ("statistics", "networks", "physics", "engineering", "linear_algebra", "finance")
PROGRAMS = {
    f"{field}.{program.name}": program
    for field in FIELDS
    for program in importlib.import_module(f"programs.{field}").PROGRAMS
}


def as_scalar(f):
    def scalar(*args):
        found = [x for _, x in leaves(f(*args))]
        return sum(
            np.sum(x * np.cos(np.arange(np.size(x)).reshape(np.shape(x)) + 0.3)) for x in found
        )

    return scalar


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_parts_add_up_in_every_program_of_the_corpus(name):
    program = PROGRAMS[name]
    f = as_scalar(functools.partial(program.function, **program.constants))
    with np.errstate(all="ignore"):
        _, budget = budget_of(f, *program.arguments)
    assert off(budget) < 1e-6


def test_what_rounding_adds_is_left_out_where_float64_loses_nothing():
    # Otherwise the sums above would hold by construction.
    for case in WELL:
        if "float16" not in case.name:
            assert all(abs(s.parts.get("rounding", 0)) < 1e-9 for s in case.report.steps)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_parts_add_up_in_every_dtype(dtype):
    rng = np.random.default_rng(1)

    def loss(W, b, x):
        h = np.tanh(x @ W + b)
        return np.mean(h * sick_networks.sigmoid(h)) / 7

    args = [rng.normal(size=s).astype(dtype) for s in ((3, 4), (4,), (5, 3))]
    _, budget = budget_of(loss, *args)
    assert off(budget) < 1e-6


def test_sizes_far_outside_of_what_squares_can_hold_add_up():
    def loss(w):
        return np.sum(1e-180 * (1e-120 * w))

    report = cr.why(loss)(np.ones(3))
    assert report.verdict is Verdict.VANISHING
    assert sum(s.gain for s in report.steps) == pytest.approx(-300 + 0.5 * math.log10(3))


# ------------------------------------------------------------------------- each part by itself


def test_a_slope_is_the_typical_slope_and_alignment_says_where_the_gradient_lies():
    z, g = np.array([0.0, 3.0]), np.array([3.0, 4.0])
    parts = parts_between(lambda z, g: np.sum(g * np.tanh(z)), z, g, wrt="z")
    squares = (1 - np.tanh(z) ** 2) ** 2
    assert parts["slope"] == pytest.approx(0.5 * math.log10(np.mean(squares)), abs=1e-12)
    shares = g**2 / np.sum(g**2)
    lies = 0.5 * math.log10(np.sum(shares * squares) / np.mean(squares))
    over_g = 0.5 * math.log10(2 / 25 * np.sum(g**2) / 2)  # of the product with g itself
    assert parts["alignment"] == pytest.approx(lies + over_g, abs=1e-12)


def test_weights_are_what_a_gradient_of_random_direction_would_get():
    rng = np.random.default_rng(0)
    W, g = rng.normal(size=(5, 3)), rng.normal(size=5)
    parts = parts_between(lambda h, W, g: g @ (W @ h), np.ones(3), W, g, wrt="h")
    after_g = math.log10(np.linalg.norm(g))
    assert parts["weights"] == pytest.approx(
        after_g + 0.5 * math.log10(np.sum(W**2) / 5), abs=1e-12
    )
    rayleigh = g @ W @ W.T @ g / (g @ g) / (np.sum(W**2) / 5)
    assert parts["alignment"] == pytest.approx(0.5 * math.log10(rayleigh), abs=1e-12)


def test_an_orthogonal_matrix_gains_nothing():
    Q = np.linalg.qr(np.random.default_rng(0).normal(size=(6, 6)))[0]
    here, budget = budget_of(lambda h: np.sum(Q @ h), np.ones(6))
    total = budget.total[here.inputs["h"].index]
    assert total[AT["weights"]] == pytest.approx(0, abs=1e-12)
    assert total[AT["alignment"]] == pytest.approx(0, abs=1e-12)


def test_a_mean_divides_by_the_number_and_reaches_as_many_terms():
    parts = parts_between(lambda x: np.mean(x), np.ones(100), wrt="x")
    assert parts == pytest.approx({"averaging": -2.0, "terms": 1.0})


def test_a_division_by_a_count_is_averaging_and_by_any_other_number_a_constant():
    assert parts_between(lambda x: np.sum(x) / len(x), np.ones(100), wrt="x") == pytest.approx(
        {"averaging": -2.0, "terms": 1.0}
    )
    assert parts_between(lambda x: np.sum(x) / 100.0, np.ones(100), wrt="x") == pytest.approx(
        {"constant": -2.0, "terms": 1.0}
    )


def test_a_mask_is_the_share_of_the_energy_that_passes():
    keep = np.arange(8) < 2
    parts = parts_between(lambda x: np.sum(np.where(keep, x, 0.0)), np.ones(8), wrt="x")
    assert parts == pytest.approx({"terms": 0.5 * math.log10(8), "mask": 0.5 * math.log10(2 / 8)})


def test_a_slice_lets_the_share_of_its_elements_pass():
    def loss(a, b):
        return np.sum(np.concatenate([a, b]))

    parts = parts_between(loss, np.ones(1), np.ones(9), wrt="a")
    assert parts == pytest.approx({"terms": 0.5, "mask": -0.5})


def test_terms_that_cancel_in_a_sum_are_alignment():
    parts = parts_between(
        lambda b, c: np.sum((b + c) * c), 0.0, np.array([1.0, -0.99, 1.0, -1.0]), wrt="b"
    )
    energy = 1 + 0.99**2 + 1 + 1
    assert parts["alignment"] == pytest.approx(math.log10(0.01 / math.sqrt(energy)), abs=1e-9)


def test_paths_that_meet_are_spread_and_reinforce_or_cancel():
    # 3 and −2 times the same: the shares of the energy are 9/13 and 4/13, and 1 of 5 is left.
    x = np.eye(2)

    def loss(w):
        a = x @ w
        b = x @ w
        return np.sum(3 * a) + np.sum(-2 * b)

    parts = parts_between(loss, np.ones(2), wrt="w")
    shares = np.array([9, 4]) / 13
    entropy = -np.sum(shares * np.log10(shares))
    assert parts["paths"] == pytest.approx(0.5 * entropy + 0.5 * math.log10(1 / 13), abs=1e-12)
    assert parts["constant"] == pytest.approx(9 / 13 * math.log10(3) + 4 / 13 * math.log10(2))


def test_a_function_written_out_has_the_slope_of_the_whole_function():
    z = np.linspace(-20, 20, 41)
    parts = parts_between(lambda z: np.sum(sick_networks.sigmoid(z)), z, wrt="z")
    s = 1 / (1 + np.exp(-z))
    assert parts["slope"] == pytest.approx(0.5 * math.log10(np.mean((s * (1 - s)) ** 2)))
    assert abs(parts.get("alignment", 0.0)) < 1e-12


def test_elementwise_branches_are_added_up_before_they_are_measured():
    z = np.linspace(-2, 2, 9)
    parts = parts_between(lambda z: np.sum(z * sick_networks.sigmoid(z)), z, wrt="z")
    s = 1 / (1 + np.exp(-z))
    swish = s + z * s * (1 - s)
    assert parts["slope"] == pytest.approx(0.5 * math.log10(np.mean(swish**2)))
    assert "paths" not in parts


def test_rounding_in_a_small_dtype_is_a_part_of_its_own():
    def loss(w, x):
        return np.sum((w * x) * np.float16(0.6))

    w, x = np.ones(1, np.float16), np.full(1, 6e-8, np.float16)  # the smallest there is
    parts = parts_between(loss, w, x, wrt="w")
    assert parts["rounding"] == pytest.approx(math.log10(1 / 0.6), abs=1e-3)


# ------------------------------------------------------------------------- the dominators


def reachable(edges, start, without):
    found, waiting = set(), [start]
    while waiting:
        at = waiting.pop()
        if at not in found and at != without:
            found.add(at)
            waiting += edges.get(at, [])
    return found


@pytest.mark.parametrize("seed", range(12))
def test_dominators_are_the_records_without_which_the_loss_is_not_reached(seed):
    rng = np.random.default_rng(seed)

    def program(x):
        values = [x]
        for _ in range(30):
            a, b = rng.integers(max(0, len(values) - 6), len(values), 2)
            values.append(np.sin(values[a]) + 0.9 * values[b] if rng.random() < 0.6
                          else np.cos(values[a]))  # fmt: skip
        return values[-1]

    here, budget = budget_of(program, 0.3)
    leaf = here.inputs["x"].index
    edges = {i: [a.source for a in arrivals] for i, arrivals in budget.arrivals.items()}
    reached = reachable(edges, leaf, None)
    expected = [i for i in sorted(reached) if i in (leaf, budget.loss)
                or budget.loss not in reachable(edges, leaf, i)]  # fmt: skip
    assert sorted(budget.dominators(leaf)) == expected
    assert off(budget) < 1e-6


def test_thousands_of_layers_are_walked_without_recursion():
    def loss(x):
        for _ in range(3_000):
            x = 0.99 * x
        return x

    report = cr.why(loss)(1.0)
    assert report.cause is Cause.CONSTANT
    assert math.log10(report.norm) == pytest.approx(3_000 * math.log10(0.99))
    assert len(report.to_text().splitlines()) < 40


# ------------------------------------------------------------------------- what it says


def network(W1, b1, W2, x):
    z1 = x @ W1 + b1
    h1 = sick_networks.sigmoid(z1)
    out = h1 @ W2
    return np.mean(out**2)


POINT = (np.full((2, 3), 0.1), np.full(3, 16.0), np.ones((3, 1)), np.zeros((4, 2)))


def test_the_sentence_says_how_many_decades_are_lost_where_and_by_which_slope():
    report = cr.why(network, wrt="b1")(*POINT)
    text = report.to_text(200)
    assert report.cause is Cause.SLOPES
    assert report.step == "h1"
    assert report.says == "σ′(16) = 1.1×10⁻⁷"
    assert "6.9" in text
    assert "decades are lost at h1 (sick_networks.py:" in text


def slope_said(loss, *args):
    return cr.why(loss)(*args).says


def test_a_function_written_out_by_hand_is_called_by_its_name():
    z = np.full(3, -40.0)
    assert slope_said(lambda z: np.sum(1 / (1 + np.exp(-z))), z) == "σ′(−40) = 4.2×10⁻¹⁸"
    assert slope_said(lambda z: np.sum(1 / (1 + np.exp(z))), -z) == "σ′(−40) = 4.2×10⁻¹⁸"
    assert slope_said(lambda z: np.sum(np.log(1 + np.exp(z))), z).startswith("softplus′(−40)")


def test_a_slope_of_another_argument_is_not_put_under_the_name():
    # 2σ(z) − 1 is tanh(z/2), but its slope in z is half of that of tanh.
    said = slope_said(lambda z: np.sum(2 / (1 + np.exp(-z)) - 1), np.full(2, 30.0))
    assert "tanh" not in said
    assert "1.9×10⁻¹³" in said


def test_steps_carry_the_names_and_lines_of_the_program():
    report = cr.why(network, wrt="b1")(*POINT)
    assert [(s.name, s.of) for s in report.steps] == [
        ("network", "out"), ("out", "h1"), ("h1", "z1"), ("z1", "b1"),
    ]  # fmt: skip
    assert report.steps[1].line.startswith("test_why.py:")


def test_branches_are_listed_with_shares_that_add_up():
    def loss(h, W):
        block = np.tanh(h @ W)
        return np.sum(h + block)

    report = cr.why(loss)(np.ones(3), np.eye(3))
    branches = report.steps[-1].branches
    assert len(branches) == 2
    assert sum(b.share for b in branches) == pytest.approx(1)
    assert branches[0].share > 0.5


def test_a_variable_assigned_in_a_loop_is_numbered():
    report = next(c for c in CASES if c.name == "sigmoid chain of 50").report
    assert [s.name for s in report.steps][:3] == ["sigmoid_chain", "h₅₀", "h₄₉"]


def test_nan_is_no_budget_but_a_hint():
    with np.errstate(all="ignore"):
        report = cr.why(lambda x: np.sum(np.log(x) * 0))(np.zeros(2))
    assert report.verdict is Verdict.NOT_FINITE
    assert "nan_guard" in report.says
    assert json.dumps(report.to_dict())


def test_the_thresholds_can_be_moved():
    loss = lambda w: 1e-3 * np.sum(w)
    assert cr.why(loss)(np.ones(1)).healthy
    assert cr.why(loss, small=1e-2)(np.ones(1)).verdict is Verdict.VANISHING
    assert cr.why(loss, small=0, large=1e-4)(np.ones(1)).verdict is Verdict.EXPLODING


def test_a_loss_that_is_a_constant_has_a_cause():
    report = cr.why(lambda w: 3.0)(np.ones(2))
    assert (report.verdict, report.cause) == (Verdict.ZERO, Cause.NOT_CONNECTED)


def test_loops_and_checkpoints_are_looked_into():
    @cr.checkpoint
    def block(h):
        return np.tanh(20 + h)

    def loss(h):
        out = block(h)
        return np.sum(cr.fori_loop(0, 3, lambda i, v: 2 * v, out))

    report = cr.why(loss)(np.ones(2))
    assert (report.cause, report.source) == (Cause.SLOPES, "return np.tanh(20 + h)")


def test_a_rule_of_ones_own_counts_as_an_operation():
    @cr.custom_rule(pull=lambda ct, x, out: 1e-9 * ct)
    def straight(x):
        return np.round(x)

    report = cr.why(lambda x: np.sum(straight(x)))(np.ones(2))
    assert (report.verdict, report.cause) == (Verdict.VANISHING, Cause.OPERATION)


# ------------------------------------------------------------------------- forms and errors


def test_the_report_is_plain_data():
    report = cr.why(network, wrt="b1")(*POINT)
    data = json.loads(json.dumps(report.to_dict()))
    assert data["cause"] == "slopes"
    assert data["steps"][2]["gain"] == pytest.approx(report.steps[2].gain)
    assert dataclasses.is_dataclass(report)
    assert set(report._repr_mimebundle_()) == {"text/plain", "text/markdown"}
    assert report.to_markdown().count("\n| `") == len(report.steps)


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("case", CASES[:12], ids=name_of)
def test_the_page_keeps_to_its_width(case: Case, width):
    assert max(map(len, case.report.to_text(width).splitlines())) <= width


def test_names_are_checked():
    with pytest.raises(NotDifferentiableError, match=r"no parameter 'W11'\. Did you mean 'W1'"):
        cr.why(network, wrt="W11")(*POINT)
    with pytest.raises(ArgumentsError, match=r"stands for 2: p\['a'\], p\['b'\]"):
        cr.why(lambda p: p["a"] * p["b"])({"a": 1.0, "b": 2.0})
    with pytest.raises(NotDifferentiableError, match="a derivative needs floats"):
        cr.why(lambda n: n * 2.0, wrt="n")(3)


def test_the_loss_has_to_be_a_number():
    with pytest.raises(NotDifferentiableError, match=r"array of float64 of shape \(3,\)"):
        cr.why(lambda x: 2 * x)(np.ones(3))
    with pytest.raises(ArgumentsError, match="takes a function"):
        cr.why(3.0)
    with pytest.raises(ArgumentsError, match="below large"):
        cr.why(network, small=10, large=1)
    with pytest.raises(ArgumentsError, match="do not fit network"):
        cr.why(network)(1.0)


def test_a_part_of_an_array_can_be_asked_about():
    def loss(p, x):
        return np.sum(np.tanh(x @ p["W"]))

    p, x = {"W": np.arange(6.0).reshape(2, 3) / 10}, np.ones((4, 2))
    gradient = cr.grad(loss)(p, x)["W"]
    for written, index in (
        ("[1,2]", (1, 2)),
        ("[0]", 0),
        ("[:,1]", (slice(None), 1)),
        ("[-1][0:2]", (-1, slice(0, 2))),
    ):
        report = cr.why(loss, wrt=f"p['W']{written}")(p, x)
        assert report.norm == pytest.approx(np.linalg.norm(gradient[index]))
        assert sum(s.gain for s in report.steps) == pytest.approx(math.log10(report.norm), abs=1e-9)
        assert report.loss == pytest.approx(loss(p, x))
    for written, says in (
        ("[2,0]", r"is outside of p\['W'\], which has shape \(2, 3\): index 2 of axis 0"),
        ("[0,0,0]", "3 indices name nothing in it"),
        ("[:0]", r"is empty: p\['W'\] has shape \(2, 3\)"),
        ("[0:2][0]", "whole numbers and slices"),
        ("[::0]", "whole numbers and slices"),
        ("[x]", "whole numbers and slices"),
    ):
        with pytest.raises(NotDifferentiableError, match=says):
            cr.why(loss, wrt=f"p['W']{written}")(p, x)


def test_a_part_of_an_array_has_one_name_however_it_is_written():
    def loss(p):
        return np.sum(p["W"] ** 2)

    for written, name in (
        ('p["W"][ 0, -1 ]', "p['W'][0,2]"),
        ("p['W'][0][2]", "p['W'][0,2]"),
        ("p['W'][:, 1]", "p['W'][:,1]"),
        ("p['W'][1, ::2]", "p['W'][1,::2]"),
    ):
        assert cr.why(loss, wrt=written)({"W": np.ones((2, 3))}).parameter == name


def test_a_view_of_what_was_assigned_to_later_is_what_it_is_when_the_function_returns():
    def loss(a):
        kept = np.zeros_like(a)
        first = kept[0:1].reshape(())
        kept[0] = a[0] ** 2
        return first

    report = cr.why(loss)(np.array([3.0, 5.0]))
    assert (report.loss, report.norm) == (9.0, pytest.approx(6.0))
    explained = cr.explain(loss)(np.array([3.0, 5.0]))
    assert explained.value == 9.0
    np.testing.assert_array_equal(explained.derivative("a").value, [6.0, 0.0])


def test_anything_that_can_be_called_is_explained():
    class Model:
        def __call__(self, w):
            return np.sum(np.tanh(40 * w))

        def loss(self, w):
            return self(w)

    z = np.full(2, 30.0)
    for f in (Model(), Model().loss, functools.partial(lambda k, w: np.sum(np.tanh(k * w)), 40.0)):
        assert cr.why(f)(np.ones(2)).cause is Cause.SLOPES
    assert cr.why(np.tanh)(z[0]).cause is Cause.SLOPES
    wrapped = cr.custom_rule(np.tanh, partials=[lambda x, out: 1 - out**2])
    assert cr.why(wrapped)(0.5).healthy
    assert cr.why(np.multiply, wrt="x[1]")(1e-9, 1.0).cause is Cause.WEIGHTS


def test_the_same_mistake_is_called_the_same_everywhere():
    def loss(p, x, steps=3):
        return np.sum(p["W"] * x) ** steps

    args = {"W": np.ones((2, 3)), "n": 3}, 2.0
    for explains in (cr.explain, cr.why, cr.diagnose):
        for asked, says in (
            ("q", r"loss has no parameter 'q'\. Its inputs are: p\['W'\], x\.$"),
            ("p['V']", r"there is no p\['V'\] to differentiate by\. Did you mean p\['W'\]"),
            ("steps", r"with respect to steps: it is 3 \(int\), and a derivative needs floats"),
            ("p['W'][2,0]", r"outside of p\['W'\], which has shape \(2, 3\)"),
            ("x[0]", "x is a number and has no elements"),
        ):
            with pytest.raises(NotDifferentiableError, match=says):
                explains(loss, wrt=asked)(*args)
        with pytest.raises(ArgumentsError, match=r"do not fit loss\(p, x, steps=3\)"):
            explains(loss)()
        with pytest.raises(NotDifferentiableError, match="f was given no floating-point array"):
            explains(lambda: 1.0)()


def test_double_quotes_name_a_leaf_as_well():
    report = cr.why(lambda p: p["a"] ** 2, wrt='p["a"]')({"a": 1.0})
    assert report.parameter == "p['a']"


# ------------------------------------------------------------------------- the command


MODULE = """
import numpy as np

def loss(w, x):
    h = np.tanh(w * x)
    return np.sum(h**2)
"""


@pytest.fixture
def module(tmp_path):
    path = tmp_path / "net.py"
    path.write_text(MODULE)
    return path


def invoke(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_the_command_prints_the_report_and_its_exit_code_says_sick_or_healthy(module):
    healthy = invoke("why", f"{module}:loss", "--param", "w", "--at", "w=[1,0.5],x=0.5")
    assert healthy.exit_code == 0
    assert "✓ healthy" in healthy.output
    sick = invoke("why", f"{module}:loss", "--param", "w", "--at", "w=[20,30],x=1")
    assert sick.exit_code == 1
    assert "net.py:5" in sick.output


def test_the_command_gives_json_and_markdown(module):
    at = ("--at", "w=[20,30],x=1")
    found = invoke("why", f"{module}:loss", *at, "--format", "json")
    assert json.loads(found.output)["verdict"] == "vanishing"
    assert "| `h` |" in invoke("why", f"{module}:loss", *at, "--format", "markdown").output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("x^2",), "does not name a function"),
        (("{}:nothing",), "no function 'nothing'"),
        (("{}:loss",), "--at"),
        (("{}:loss", "--at", "w=1,x=1", "--param", "v"), "no parameter 'v'"),
        (("{}:loss", "--at", "w=1,x=1", "--small", "2", "--large", "1"), "small"),
        (("{}:loss", "--at", "w=1,x=1", "--seed", "-1"), "--seed"),
    ],
)
def test_bad_input_is_a_message_and_no_traceback(module, arguments, message):
    for command in ("why", "diagnose"):
        result = invoke(command, *(a.format(module) for a in arguments))
        assert result.exit_code == 2
        assert message in " ".join(result.output.split())
        assert "Traceback" not in result.output


def test_an_error_in_the_users_function_keeps_its_line(module):
    module.write_text("def loss(w):\n    return w['a']\n")
    result = invoke("why", f"{module}:loss", "--at", "w=1")
    assert result.exit_code == 2
    assert "net.py:2" in result.output


def test_the_table_of_cases_in_the_documentation_is_what_running_them_gives():
    page = sick_networks.PAGE.read_text("utf-8")
    assert sick_networks.page_with_table(page) == page, "run python tests/sick_networks.py --write"


def test_errors_are_the_projects_own():
    with pytest.raises(ChainruleError):
        cr.why(lambda: 1.0)()
