"""Training: what fit promises, checkpoints that survive, and the command that trains on tables."""

import json
import math
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from typer.testing import CliRunner

import chainrule as cr
from chainrule import nn, tree
from chainrule.cli.app import app
from chainrule.errors import ArgumentsError
from chainrule.nn import saving, tables, training

pytest.importorskip("safetensors", reason="safetensors is not installed: nothing can be kept")
RNG = np.random.default_rng(3)
X = RNG.normal(size=(70, 3)).astype(np.float32)
Y = (np.abs(X).sum(1) > 2).astype(int)


def loss(model, x, y):
    return nn.cross_entropy(model(x), y)


def network(seed=0):
    return nn.mlp([3, 8, 2], rng=seed)


def same_bits(a, b):
    pairs = zip(tree.leaves(a), tree.leaves(b), strict=True)
    return all(
        n == m and np.asarray(v).tobytes() == np.asarray(w).tobytes() for (n, v), (m, w) in pairs
    )


# ------------------------------------------------------------------------------------------ fitting


def test_fit_takes_the_steps_that_one_would_take_by_hand():
    found = nn.fit(
        network(), loss, (X, Y), optimizer=nn.sgd(0.1, 0.9), epochs=2, batch_size=16, seed=4
    )
    rng, optimizer, model = np.random.Generator(np.random.PCG64(4)), nn.sgd(0.1, 0.9), network()
    state = optimizer.init(model)
    for epoch in range(2):
        order, losses, norms = rng.permutation(70), [], []
        for k in range(0, 70, 16):
            batch = X[order[k : k + 16]], Y[order[k : k + 16]]
            value, gradient = cr.value_and_grad(loss)(model, *batch)
            change, state = optimizer.update(gradient, state, model)
            model = nn.apply_updates(model, change)
            losses.append(value * len(batch[1]))
            norms.append([np.linalg.norm(v) for _, v in tree.leaves(gradient)])
        assert math.isclose(found.history["loss"][epoch], sum(losses) / 70, rel_tol=1e-5)
        told = [row[epoch] for row in found.history.gradients.values()]
        assert np.allclose(told, np.mean(norms, 0), rtol=1e-4)
    for (_, ours), (_, theirs) in zip(tree.leaves(found.model), tree.leaves(model), strict=True):
        assert ours.dtype == np.float32
        assert np.allclose(ours, theirs, rtol=1e-4, atol=1e-6)
    assert list(found.history.gradients) == [
        "layers[0].weight", "layers[0].bias", "layers[2].weight", "layers[2].bias",
    ]  # fmt: skip


def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not():
    runs = [nn.fit(network(), loss, (X, Y), epochs=3, seed=s) for s in (0, 0, 1)]
    assert same_bits(runs[0].model, runs[1].model)
    assert runs[0].history.to_dict() == runs[1].history.to_dict()
    assert not same_bits(runs[0].model, runs[2].model)


def test_a_pytree_of_arrays_is_a_model_too_and_stays_as_it_was():
    start = {"w": np.zeros((3, 2)), "b": np.zeros(2)}
    line = lambda p, x, y: nn.cross_entropy(x @ p["w"] + p["b"], y)
    found = nn.fit(start, line, (X, Y), epochs=2).model
    assert list(found) == ["w", "b"]
    assert np.any(found["w"])
    assert not np.any(start["w"])


def test_validation_and_metrics_are_measured_after_each_epoch():
    metrics = {"accuracy": lambda m, x, y: nn.accuracy(m(x), y)}
    held = X[50:], Y[50:]
    found = nn.fit(network(), loss, (X[:50], Y[:50]), epochs=3, validation=held, metrics=metrics)
    assert list(found.history) == ["loss", "validation loss", "accuracy"]
    assert len(found.history) == 3
    assert math.isclose(
        found.history["validation loss"][-1], loss(found.model, *held), rel_tol=1e-5
    )
    assert found.history["accuracy"][-1] == nn.accuracy(found.model(held[0]), held[1])
    plain = nn.fit(network(), loss, (X, Y), epochs=1, metrics=metrics)
    assert plain.history["accuracy"][-1] == nn.accuracy(plain.model(X), Y)


def test_patience_stops_and_gives_the_best_model(tmp_path):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 2, 40)  # nothing to be learned: what is learned is wrong
    held = rng.normal(size=(40, 3)).astype(np.float32), rng.integers(0, 2, 40)
    options = {"optimizer": nn.adam(0.05), "validation": held, "patience": 3}
    found = nn.fit(network(), loss, (X[:40], noise), epochs=60, **options)
    losses = found.history["validation loss"]
    assert len(found.history) == np.argmin(losses) + 1 + 3 < 60
    assert (
        found.history.stopped
        == f"the validation loss has not fallen since epoch {np.argmin(losses) + 1}"
    )
    assert math.isclose(loss(found.model, *held), min(losses), rel_tol=1e-5)
    path = tmp_path / "c.safetensors"
    for epochs in (len(losses) - 2, 60, 60):
        again = nn.fit(
            network(), loss, (X[:40], noise), epochs=epochs, checkpoint=path, resume=True, **options
        )
    assert same_bits(again.model, found.model)
    assert again.history.to_dict() == found.history.to_dict()


def noisy():
    rng = np.random.default_rng(0)
    return nn.Sequential(
        nn.Linear.init(3, 8, rng=rng), nn.BatchNorm.init(8), nn.relu, nn.Dropout(0.3),
        nn.Linear.init(8, 2, rng=rng),
    )  # fmt: skip


def noisy_loss(model, x, y, state, key=None):
    logits, state = model(x, state, key=key)
    return nn.cross_entropy(logits, y), state


def test_dropout_gets_a_new_key_in_each_step_and_batch_norm_its_state():
    model, keys = noisy(), []

    def watched(model, x, y, state, key=None):
        keys.append(key)
        return noisy_loss(model, x, y, state, key)

    metrics = {"accuracy": lambda m, x, y, state: nn.accuracy(m(x, state)[0], y)}
    found = nn.fit(
        model, watched, (X[:48], Y[:48]), state=model.initial_state(), epochs=30, batch_size=16,
        validation=(X[48:], Y[48:]), metrics=metrics, optimizer=nn.adam(0.02),
    )  # fmt: skip
    assert [k is None for k in keys] == [False, True]  # recorded once for training, once for use
    assert np.any(found.state[1].mean != 0)
    logits, _ = found.model(X[48:], found.state)
    assert found.history["accuracy"][-1] == nn.accuracy(logits, Y[48:])
    assert found.history["loss"][-1] < found.history["loss"][0]


# -------------------------------------------------------------------------------------- checkpoints


@pytest.mark.parametrize("optimizer", [nn.adamw(0.01), nn.sgd(nn.cosine_schedule(0.1, 20), 0.9)])
def test_a_training_that_was_stopped_and_resumed_gives_the_same_bits(optimizer, tmp_path):
    model = noisy()
    whole, parts = tmp_path / "whole.safetensors", tmp_path / "parts.safetensors"
    run = lambda epochs, path, resume: nn.fit(
        model, noisy_loss, (X, Y), state=model.initial_state(), epochs=epochs, batch_size=16,
        optimizer=optimizer, checkpoint=path, resume=resume,
    )  # fmt: skip
    straight = run(6, whole, False)
    for epochs in (1, 3, 6):
        pieces = run(epochs, parts, True)
    assert same_bits(straight.model, pieces.model)
    assert same_bits(straight.state, pieces.state)
    assert straight.history.to_dict() == pieces.history.to_dict()
    assert whole.read_bytes() == parts.read_bytes()
    assert same_bits(nn.load(whole, model, "model"), straight.model)


PROGRAM = """
import sys
import numpy as np
sys.path.insert(0, {tests!r})
from chainrule import nn
import test_training as t
nn.fit(t.network(), t.loss, (t.X, t.Y), epochs=4000, batch_size=8, checkpoint={path!r})
"""


def test_a_killed_training_leaves_a_file_that_goes_on_to_the_same_bits(tmp_path):
    path = str(tmp_path / "c.safetensors")
    program = PROGRAM.format(tests=os.path.dirname(__file__), path=path)
    for wait in (0.0, 0.05, 0.123):
        begun = os.path.exists(path) and os.stat(path).st_mtime_ns
        process = subprocess.Popen([sys.executable, "-c", program])
        deadline = time.monotonic() + 60
        while not os.path.exists(path) or os.stat(path).st_mtime_ns == begun:
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.002)
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        process.wait()
        tensors, about = saving.read(path)
        epochs = json.loads(about[training.FORMAT])["epoch"]
        assert 0 < epochs < 4000
        assert "optimizer[1].mean.layers[0].weight" in tensors
    resumed = nn.fit(
        network(), loss, (X, Y), epochs=epochs + 2, batch_size=8, checkpoint=path, resume=True
    )
    straight = nn.fit(network(), loss, (X, Y), epochs=epochs + 2, batch_size=8)
    assert same_bits(resumed.model, straight.model)
    assert resumed.history.to_dict() == straight.history.to_dict()


@pytest.mark.parametrize("stage", ["write", "fsync", "replace"])
def test_a_file_that_cannot_be_written_leaves_the_old_one_and_nothing_else(
    stage, tmp_path, monkeypatch
):
    path = tmp_path / "m.safetensors"
    nn.save(path, {"w": np.ones(3)})

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    if stage == "write":
        monkeypatch.setattr(os, "fdopen", full)
    else:
        monkeypatch.setattr(os, stage, full)
    with pytest.raises(nn.FileError, match="cannot be written: No space left on device"):
        nn.save(path, {"w": np.zeros(3)})
    monkeypatch.undo()
    assert os.listdir(tmp_path) == ["m.safetensors"]
    assert nn.load(path, {"w": np.zeros(3)})["w"].tolist() == [1, 1, 1]


def test_what_is_saved_is_read_by_safetensors_under_the_names_along_the_tree(tmp_path):
    from safetensors.numpy import load_file

    path, model = tmp_path / "m.safetensors", network()
    nn.save(path, {"model": model, "step": np.int64(7), "on": True}, {"made": "by a test"})
    tensors = load_file(path)
    assert set(tensors) == {
        "model.layers[0].weight", "model.layers[0].bias", "model.layers[2].weight",
        "model.layers[2].bias", "step", "on",
    }  # fmt: skip
    assert tensors["model.layers[0].weight"].tobytes() == model.layers[0].weight.tobytes()
    assert tensors["step"].shape == ()
    assert saving.read(path)[1] == {"made": "by a test"}
    assert same_bits(nn.load(path, network(1), "model"), model)


def test_a_file_that_does_not_fit_says_what_does_not(tmp_path):
    path = tmp_path / "m.safetensors"
    nn.save(path, network())
    with pytest.raises(
        nn.FileError, match=r"layers\[0\].weight is float32\[8, 3\] there, and float32\[5, 3\] here"
    ):
        nn.load(path, nn.mlp([3, 5, 2], rng=0))
    with pytest.raises(nn.FileError, match=r"has no layers\[4\].weight"):
        nn.load(path, nn.mlp([3, 8, 2, 2], rng=0))
    with pytest.raises(nn.FileError, match="is not a checkpoint of a training"):
        nn.fit(network(), loss, (X, Y), checkpoint=path, resume=True)
    data = path.read_bytes()
    for part in (b"", b"text", data[:40], data[:-8]):
        path.write_bytes(part)
        with pytest.raises(nn.FileError, match="not a safetensors file, or is damaged"):
            nn.load(path, network())
    with pytest.raises(nn.FileError, match="cannot be read: No such file"):
        nn.load(tmp_path / "none", network())
    with pytest.raises(nn.FileError, match="cannot be written"):
        nn.save(tmp_path / "no" / "m", network())
    with pytest.raises(ArgumentsError, match="text cannot be saved"):
        nn.save(path, {"text": "x"})


def test_a_checkpoint_with_other_notes_is_not_resumed(tmp_path):
    path = tmp_path / "c.safetensors"
    run = lambda **notes: nn.fit(
        network(), loss, (X, Y), epochs=1, checkpoint=path, resume=True, notes=notes
    )
    run(seed="0")
    run(seed="0")
    with pytest.raises(nn.FileError, match="another training: its seed is 0, and here 1"):
        run(seed="1")


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: nn.fit(network(), loss, X), "a tuple of arrays"),
        (lambda: nn.fit(network(), loss, (X, Y[:3])), r"not \(70, 3\), \(3,\)"),
        (lambda: nn.fit(network(), loss, (X[:0], Y[:0])), "no examples"),
        (lambda: nn.fit(network(), loss, (X, Y), epochs=0), "epochs is a whole number from 1"),
        (lambda: nn.fit(network(), loss, (X, Y), patience=2), "give validation="),
        (lambda: nn.fit(network(), loss, (X, Y), resume=True), "give checkpoint="),
        (lambda: nn.fit(network(), loss, (X, Y), optimizer=nn.adam), r"such as nn.adam\(1e-3\)"),
        (
            lambda: nn.fit(network(), lambda m, x, y, state: loss(m, x, y), (X, Y), state={}),
            "returns its value and the new state",
        ),
    ],
)
def test_arguments_that_do_not_fit_are_refused(call, says):
    with pytest.raises(ArgumentsError, match=says):
        call()


# ------------------------------------------------------------------------------------------ drawing


def test_a_history_prints_and_is_plain_data(tmp_path):
    held = X[50:], Y[50:]
    history = nn.fit(network(), loss, (X[:50], Y[:50]), epochs=12, validation=held).history
    text = history.to_text(80)
    assert all(len(line) <= 80 for line in text.splitlines())
    assert "● loss   ○ validation loss" in text
    assert re.search(r"layers\[0\]\.weight +[▁▂▃▄▅▆▇█]{12} +[\d.]+ +[\d.]+", text)
    assert "\x1b" not in text
    assert "\x1b" in history.to_text(80, color=True)
    assert str(history) == history.to_text()
    again = nn.History.from_dict(json.loads(json.dumps(history.to_dict())))
    assert again.to_text() == history.to_text()
    history.to_picture(tmp_path / "h.png")
    assert (tmp_path / "h.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    history.to_picture(tmp_path / "h.svg")
    assert (tmp_path / "h.svg").read_text().startswith("<?xml")
    with pytest.raises(ArgumentsError, match="cannot be written as 'xyz'"):
        history.to_picture(tmp_path / "h.xyz")


def test_the_curve_goes_from_the_top_left_to_the_bottom_right_on_a_logarithmic_scale():
    history = nn.History({"loss": [10.0**-k for k in range(9)]}, {"w": [1.0, 0.1]})
    rows = history.to_text(80).splitlines()[1:10]
    first = [row[13:].find("●") for row in rows]
    assert first == sorted(first)
    assert first[0] == 0
    assert rows[0].split()[:2] == ["1", "┤●●●●"]
    assert rows[8].split()[0] == "10⁻⁸"


@pytest.mark.parametrize("values", [[math.nan], [math.inf, 1.0], [0.0, 0.0], [-1.0, 2.0], [3.0]])
def test_losses_of_any_kind_can_be_drawn(values, tmp_path):
    history = nn.History({"loss": values}, {"w": values})
    assert history.to_text(60)
    history.to_picture(tmp_path / "p.png")
    assert nn.History().to_text() == "  no epoch was trained"


# ------------------------------------------------------------------------------------------- tables


def write(path, rows, header="a,b,kind", ending="\n"):
    path.write_text("\n".join([header, *rows]) + ending, "utf-8")
    return str(path)


def flowers(count=60, name=lambda k: ["red", "blue", "white"][k]):
    rng = np.random.default_rng(0)
    rows = []
    for i in range(count):
        k = i % 3
        a, b = rng.normal(size=2) * 0.3 + [(0, 0), (3, 0), (0, 3)][k]
        rows.append(f"{a:.3f},{b:.3f},{name(k)}")
    return rows


def run(*arguments, code=0):
    result = CliRunner().invoke(app, ["train", *map(str, arguments)])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return re.sub(r"\s+", " ", result.output)


def test_the_command_trains_on_the_digits_and_leaves_a_model_and_a_picture(tmp_path):
    pytest.importorskip("sklearn", reason="scikit-learn is not installed: there are no digits")
    out = tmp_path / "d"
    said = run("--data", "digits", "--layers", "64,32,10", "--epochs", 8, "--out", out)
    test = float(re.search(r"test accuracy ([\d.]+) %", said)[1])
    assert test > 93
    assert "64 → 64 → 32 → 10, relu, 6,570 parameters" in said
    assert "1438 to train on, 359 put aside" in said
    assert "Gradient flow" in said
    assert (tmp_path / "d.png").stat().st_size > 10_000
    tensors, about = saving.read(tmp_path / "d.safetensors")
    table = tables.digits()
    about = json.loads(about["chainrule model 1"])
    model = nn.mlp(about["layers"], rng=0)
    model = nn.load(tmp_path / "d.safetensors", model, "model")
    x = (table.x - tensors["input.mean"]) / tensors["input.deviation"]
    rows, held = tables.split(table, 0.2, np.random.default_rng(0))
    right = nn.accuracy(model(x[held]), table.y[held])
    assert abs(100 * right - test) < 0.01
    assert sorted([*rows, *held]) == list(range(1797))
    again = run("--data", "digits", "--layers", "64,32,10", "--epochs", 8, "--no-save", "-q")
    assert re.search(r"test accuracy ([\d.]+) %", again)[0] in said
    assert "Gradient flow" not in again


def test_a_fifth_of_each_class_is_put_aside():
    y = np.repeat([0, 1, 2], [100, 50, 5])
    table = tables.Table("t", y[:, None], y, ("x",), ("a", "b", "c"), "k", "")
    rows, held = tables.split(table, 0.2, np.random.default_rng(0))
    assert np.bincount(y[held]).tolist() == [20, 10, 1]
    assert not set(rows) & set(held)
    other = tables.split(table, 0.2, np.random.default_rng(1))[1]
    assert held.tolist() != other.tolist()


def test_numbers_are_scaled_by_what_is_trained_on_alone():
    x = np.array([[1.0, 5.0, 10.0], [3.0, 5.0, 30.0]])
    scaled = tables.Scaling.of(x)(x)
    assert scaled.tolist() == [[-1, 0, -1], [1, 0, 1]]
    together = tables.Scaling.of(x, one_unit=True)
    assert np.allclose(together.deviation, math.sqrt((1 + 1 + 100 + 100) / 6))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            lambda k: ["red", "blue", "white"][k],
            "kind: classification, 3 classes (kind is text, 3 different values)",
        ),
        (
            lambda k: k + 5,
            "kind: classification, 3 classes (kind is whole numbers, 3 different values)",
        ),
        (lambda k: f"{k}.0", "kind: classification, 3 classes (kind is whole numbers, 3"),
    ],
)
def test_text_and_few_whole_numbers_are_classes(name, said, tmp_path):
    path = write(tmp_path / "f.csv", flowers(name=name))
    shown = run("--data", path, "--target", "kind", "--epochs", 20, "--out", tmp_path / "o")
    assert said in shown
    assert "2 → 64 → 32 → 3" in shown
    assert "test accuracy 100.00 % (12 of 12)" in shown


def test_other_numbers_are_a_regression_in_the_units_of_the_table(tmp_path):
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, 200))
    rows = [f"{x:.4f};{y:.4f};{1000 + 300 * x - 100 * y:.3f}" for x, y in zip(a, b, strict=True)]
    path = write(tmp_path / "r.csv", rows, "a;b;price")
    shown = run("--data", path, "--target", "price", "--out", tmp_path / "o", "--epochs", 40)
    assert "price: regression (price is numbers with decimals, 200 different values)" in shown
    assert float(re.search(r"test R² ([\d.]+)", shown)[1]) > 0.98
    error = float(re.search(r"test R² [\d.]+ \(root mean square error ([\d.]+)\)", shown)[1])
    assert 0 < error < 50
    tensors, about = saving.read(tmp_path / "o.safetensors")
    assert abs(tensors["output.mean"] - 1000) < 60
    about = json.loads(about["chainrule model 1"])
    assert (about["classes"], about["target"], about["columns"]) == (None, "price", ["a", "b"])


def test_a_killed_command_goes_on_with_resume_and_refuses_other_options(tmp_path):
    path, out = write(tmp_path / "f.csv", flowers()), tmp_path / "o"
    common = ["--data", path, "--target", "kind"]
    run(*common, "--epochs", 2, "--out", out)
    resumed = run(*common, "--epochs", 4, "--out", out, "--resume")
    straight = run(*common, "--epochs", 4, "--out", tmp_path / "p")
    shown = lambda said: re.search(r"Loss .* time", said)[0]  # curves, flow, accuracies
    assert "resumed after epoch 2" in resumed
    assert shown(resumed) == shown(straight)
    ours, theirs = (saving.read(p)[0] for p in (f"{out}.safetensors", tmp_path / "p.safetensors"))
    assert all(ours[name].tobytes() == theirs[name].tobytes() for name in theirs)
    said = run(*common, "--epochs", 4, "--out", out, "--resume", "--seed", 1, code=2)
    assert "its seed is 0, and here 1" in said


ROWS = flowers()
BAD = {
    "no such column": (
        ROWS,
        "a,b,kind",
        ["--target", "color"],
        "has no column 'color'; it has 'a', 'b', 'kind'",
    ),
    "text": (
        [*ROWS[:4], "1.0,tall,red", *ROWS[4:]],
        None,
        [],
        "line 6: column 'b' has text, 'tall' (1 of 61 values are no numbers)",
    ),
    "a decimal comma": (
        [f"{i};1,5;{'xy'[i % 2]}" for i in range(20)],
        "a;b;kind",
        [],
        "Write decimals with a point",
    ),
    "a gap": (
        [*ROWS[:4], ",2.0,red", *ROWS[4:]],
        None,
        [],
        "line 6: column 'a' has no value there (1 value of 61 missing)",
    ),
    "nan": ([*ROWS, "1.0,nan,red"], None, [], "column 'b' has no value there"),
    "infinity": ([*ROWS, "1.0,inf,red"], None, [], "column 'b' has text, 'inf'"),
    "too large": ([*ROWS, "1.0,1e300,red"], None, [], "numbers too large for float32"),
    "no class": ([*ROWS, "1.0,2.0,"], None, [], "column 'kind' has no value there"),
    "a short row": (
        [*ROWS, "1.0,red"],
        None,
        [],
        "line 62: 2 values, but the header names 3 columns",
    ),
    "one class": (
        flowers(name=lambda k: "red"),
        None,
        [],
        "every row has kind = red: with one class there is nothing",
    ),
    "a constant": (
        [f"{i},2,1.5" for i in range(20)],
        None,
        [],
        "every row has kind = 1.5: there is nothing to learn",
    ),
    "names": (
        [f"{i},2,n{i}" for i in range(20)],
        None,
        [],
        "20 different values in 20 rows: too few rows",
    ),
    "few rows": (ROWS[:5], None, [], "has 5 rows: at least 10 are needed"),
    "only a header": ([], None, [], "has 0 rows"),
    "no header": (
        ROWS[1:],
        "1,2,3",
        [],
        "begins with numbers (1, 2, 3): its first line has to name the columns",
    ),
    "twice": (ROWS, "a,a,kind", [], "two columns called 'a'"),
    "one column": (["1"] * 20, "kind", [], "has one column, 'kind'"),
    "nothing left": (ROWS, None, ["--drop", "a", "--drop", "b"], "no column besides 'kind'"),
    "drop what": (ROWS, None, ["--drop", "c"], "has no column 'c'"),
    "outputs": (
        ROWS,
        None,
        ["--layers", "8,10"],
        "ends with 10 outputs, but kind has 3 classes: --layers 8,3 or --layers 8,10,3",
    ),
    "layers": (
        ROWS,
        None,
        ["--layers", "8,x"],
        "--layers takes sizes from 1 on, separated by commas (64,32,3), not '8,x'",
    ),
    "not numbers": (
        ROWS,
        None,
        ["--task", "regression"],
        "kind is 'red', and a regression needs numbers",
    ),
    "rate": (ROWS, None, ["--lr", "0"], "--lr is a number above 0, not 0"),
    "place": (ROWS, None, ["--out", "no/such/place"], "there is no directory no/such"),
    "no name": (ROWS, None, ["--out", ""], "--out takes the beginning of the files' names"),
    "resume": (ROWS, None, ["--resume", "--no-save"], "leave out --no-save"),
    "diverges": (
        ROWS,
        None,
        ["--lr", "1e30", "--optimizer", "sgd", "--no-save"],
        "no longer a finite number",
    ),
    "quotes": ([*ROWS, '"1.0,2.0,red'], None, [], "line 62"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_trained_on_is_said_in_a_sentence(name, tmp_path):
    rows, header, options, says = BAD[name]
    path = write(tmp_path / "t.csv", rows, header or "a,b,kind")
    options = options if "--target" in options else ["--target", "kind", *options]
    if "--out" not in options and "--no-save" not in options:
        options = [*options, "--out", tmp_path / "o"]
    said = run("--data", path, *options, "--epochs", 2, code=2)
    assert says in said, said


def test_files_that_are_none_are_said_in_a_sentence(tmp_path):
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "bytes.csv").write_bytes(b"a,b\n\xff\xfe,1\n")
    assert "is empty" in run("--data", tmp_path / "empty.csv", "--target", "a", code=2)
    assert "not a text file in UTF-8" in run(
        "--data", tmp_path / "bytes.csv", "--target", "a", code=2
    )
    assert "No such file" in run("--data", tmp_path / "no.csv", "--target", "a", code=2)
    assert "'digit' is no data set (digits is)" in run("--data", "digit", code=2)
    assert "go with a CSV file" in run("--data", "digits", "--target", "a", code=2)


def test_tabs_quotes_a_byte_order_mark_and_empty_lines_are_read(tmp_path):
    rows = [r.replace(",", "\t") for r in flowers()]
    rows[3] = rows[3].replace("red", '"red"')
    path = tmp_path / "t.csv"
    path.write_text("\ufeffa\tb\tkind\r\n" + "\r\n\r\n".join(rows) + "\r\n\r\n", "utf-8")
    table = tables.read_csv(path, "kind")
    assert (table.columns, table.classes) == (("a", "b"), ("blue", "red", "white"))
    assert table.x.shape == (60, 2)
    assert tables.read_csv(path, "kind", drop=["b"]).columns == ("a",)


def test_pipes_get_plain_text_and_no_progress():
    command = [sys.executable, "-c", "from chainrule.cli import main; main()", "train"]
    command += ["--data", "digits", "--epochs", "2", "--no-save"]
    done = subprocess.run(
        command, capture_output=True, check=False, env={**os.environ, "COLUMNS": "80"}
    )
    assert done.returncode == 0
    assert b"\x1b" not in done.stdout + done.stderr
    assert done.stderr == b""
    lines = done.stdout.decode("utf-8").splitlines()
    assert max(map(len, lines)) <= 80
