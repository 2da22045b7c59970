"""``chainrule train``: a network on a table, from the first epoch to the picture of its course."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chainrule.cli.output import fail, on_terminal, width, write
from chainrule.errors import ArgumentsError, ChainruleError

if TYPE_CHECKING:
    from chainrule.nn.tables import Scaling, Table

TEST_SHARE = 0.2
WEIGHT_DECAY = 0.1
FORMAT = "chainrule model 1"


class Activation(StrEnum):
    """What stands between the layers."""

    relu = "relu"
    tanh = "tanh"
    sigmoid = "sigmoid"
    gelu = "gelu"
    silu = "silu"
    elu = "elu"
    leaky_relu = "leaky_relu"


class Optimizer(StrEnum):
    """How gradients become steps."""

    adamw = "adamw"
    adam = "adam"
    rmsprop = "rmsprop"
    sgd = "sgd"


class Task(StrEnum):
    """What is learned."""

    classification = "classification"
    regression = "regression"


RATES = {
    Optimizer.adamw: 0.005,
    Optimizer.adam: 0.005,
    Optimizer.rmsprop: 0.001,
    Optimizer.sgd: 0.05,
}


@dataclass(frozen=True)
class Options:
    """What was asked for."""

    data: str
    target: str | None
    drop: tuple[str, ...]
    task: str | None
    layers: str | None
    activation: str
    optimizer: Optimizer
    rate: float
    epochs: int
    batch_size: int
    seed: int
    out: Path | None
    resume: bool
    quiet: bool


def train_command(
    data: Annotated[str, typer.Option(help="digits, or a CSV file with a header line.")],
    target: Annotated[str | None, typer.Option(help="The column of the file to predict.")] = None,
    layers: Annotated[
        str | None,
        typer.Option(
            help="Sizes of the hidden layers and of the output: 64,32,10. The size of the input "
            "comes from the data. Without it: 64,32 and as many outputs as the data has classes."
        ),
    ] = None,
    activation: Annotated[Activation, typer.Option(help="Between the layers.")] = Activation.relu,
    epochs: Annotated[int, typer.Option(min=1, help="How often every row is used.")] = 30,
    optimizer: Annotated[
        Optimizer, typer.Option(help="How gradients become steps.")
    ] = Optimizer.adamw,
    lr: Annotated[
        float | None,
        typer.Option(help="Learning rate. Without it: 0.005 (rmsprop 0.001, sgd 0.05)."),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="How many rows make one step.")] = 32,
    seed: Annotated[
        int, typer.Option(min=0, help="Decides the test rows, the first weights and the order.")
    ] = 0,
    drop: Annotated[
        list[str] | None, typer.Option(help="A column to leave out; may be given several times.")
    ] = None,
    task: Annotated[
        Task | None, typer.Option(help="If it is not what the target column looks like.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Where the results go: OUT.safetensors (the model), OUT.png (the picture) and "
            "OUT.checkpoint.safetensors. Without it: trained-digits or trained-FILE."
        ),
    ] = None,
    save: Annotated[bool, typer.Option(help="Write the files.")] = True,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where the same command was stopped.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print the results only: no progress, no curves.")
    ] = False,
) -> None:
    """Train a network on handwritten digits or on your table, and see how it went.

    A fifth of the rows is put aside before anything else and used once, at the end.
    """

    try:
        rate = RATES[optimizer] if lr is None else lr
        if not 0 < rate < float("inf"):
            raise ArgumentsError(f"--lr is a number above 0, not {rate:g}")
        if resume and not save:
            raise ArgumentsError("--resume reads and writes files: leave out --no-save")
        name = out or Path(f"trained-{Path(data).stem}")
        _train(Options(
            data, target, tuple(drop or ()), task and task.value, layers, activation.value,
            optimizer, rate, epochs, batch_size, seed, name if save else None, resume, quiet,
        ))  # fmt: skip
    except ChainruleError as error:
        fail(str(error))
    except KeyboardInterrupt:
        again = " The same command with --resume goes on." if save else ""
        fail(f"stopped.{again}", 130)


def _train(options: Options) -> None:
    from chainrule import nn
    from chainrule.nn.tables import Scaling, split

    table = _table(options)
    sizes = (table.x.shape[1], *_sizes(options.layers, table))
    if options.out is not None:
        _check_place(options.out)
    rng = _generator(options.seed)
    rows, held = split(table, TEST_SHARE, rng)
    inputs = Scaling.of(table.x[rows], table.one_unit)
    outputs = None if table.classes else Scaling.of(table.y[rows])
    x = inputs(table.x)
    y = table.y if outputs is None else outputs(table.y)[:, None]
    activation = getattr(nn, options.activation)
    spread = nn.glorot_uniform if options.activation in ("tanh", "sigmoid") else nn.he_uniform
    model = nn.mlp(sizes, rng=rng, activation=activation, weight_init=spread)
    say = _silent if options.quiet else _say
    _introduce(say, table, rows, held, sizes, model, options)
    checkpoint = None if options.out is None else _with(options.out, ".checkpoint.safetensors")
    if options.resume and checkpoint is not None:
        done = nn.epochs_done(checkpoint) if checkpoint.exists() else 0
        say("resumed", f"after epoch {done}" if done else f"nothing: there is no {checkpoint} yet")
    start = time.perf_counter()
    trained = nn.fit(
        model, _loss(nn, table), (x[rows], y[rows]), optimizer=_optimizer(nn, options),
        epochs=options.epochs, batch_size=options.batch_size, seed=options.seed,
        checkpoint=checkpoint, resume=options.resume, notes=_notes(options, table, sizes),
        progress=not options.quiet,
    )  # fmt: skip
    seconds = time.perf_counter() - start
    if not options.quiet:
        _draw(trained.history)
    _results(nn, table, trained.model, (x, y), (rows, held), outputs, seconds)
    if not _finite(trained.history):
        raise ArgumentsError(
            f"the loss is no longer a finite number: try a smaller --lr (it was {options.rate:g})"
        )
    if options.out is not None:
        _keep(nn, options, table, sizes, trained, inputs, outputs)


# --------------------------------------------------------------------------------------- beforehand


def _table(options: Options) -> Table:
    from chainrule.nn import tables

    if options.data == "digits":
        if options.target or options.drop or options.task:
            raise ArgumentsError("--target, --drop and --task go with a CSV file, not with digits")
        return tables.digits()
    if options.target is None:
        known = "" if "." in options.data else f"{options.data!r} is no data set (digits is). "
        raise ArgumentsError(f"{known}Which column of {options.data} is predicted? Give --target")
    return tables.read_csv(options.data, options.target, options.drop, options.task)


def _sizes(layers: str | None, table: Table) -> tuple[int, ...]:
    """The sizes of the hidden layers and of the output, checked against the data."""
    outputs = 1 if table.classes is None else len(table.classes)
    if layers is None:
        return 64, 32, outputs
    try:
        sizes = tuple(int(part) for part in layers.split(","))
    except ValueError:
        sizes = ()
    if not sizes or min(sizes) < 1:
        raise ArgumentsError(
            f"--layers takes sizes from 1 on, separated by commas (64,32,{outputs}), not {layers!r}"
        )
    if sizes[-1] != outputs:
        needs = (
            "a regression has one output" if table.classes is None
            else f"{table.target} has {outputs} classes"
        )  # fmt: skip
        instead = ",".join(map(str, (*sizes[:-1], outputs)))
        more = ",".join(map(str, (*sizes, outputs)))
        raise ArgumentsError(
            f"--layers {layers} ends with {_many(sizes[-1], 'output')}, but {needs}: "
            f"--layers {instead} or --layers {more}"
        )
    return sizes


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _check_place(out: Path) -> None:
    if not out.name or out.name == "..":
        raise ArgumentsError("--out takes the beginning of the files' names, such as runs/digits")
    if not out.parent.is_dir():
        raise ArgumentsError(f"--out: there is no directory {out.parent}")


def _generator(seed: int) -> Any:
    import numpy as np

    return np.random.default_rng(seed)


def _with(out: Path, ending: str) -> Path:
    return out.with_name(out.name + ending)


def _loss(nn: Any, table: Table) -> Callable[..., Any]:
    measure = nn.mse if table.classes is None else nn.cross_entropy

    def loss(model: Any, x: Any, y: Any) -> Any:
        return measure(model(x), y)

    return loss


def _optimizer(nn: Any, options: Options) -> Any:
    if options.optimizer is Optimizer.adamw:
        return nn.adamw(options.rate, weight_decay=WEIGHT_DECAY)
    if options.optimizer is Optimizer.sgd:
        return nn.sgd(options.rate, momentum=0.9)
    return getattr(nn, options.optimizer.value)(options.rate)


def _notes(options: Options, table: Table, sizes: tuple[int, ...]) -> dict[str, str]:
    """What has to be the same for a training to go on."""
    content = hashlib.sha256(table.x.tobytes() + table.y.tobytes()).hexdigest()[:16]
    return {
        "data": f"{table.title} ({content})", "target": table.target,
        "layers": ",".join(map(str, sizes)), "activation": options.activation,
        "optimizer": options.optimizer.value, "lr": repr(options.rate),
        "batch size": str(options.batch_size), "seed": str(options.seed),
    }  # fmt: skip


# ------------------------------------------------------------------------------------ what is shown


def _introduce(
    say: Callable[[str, str], None], table: Table, rows: Any, held: Any, sizes: tuple[int, ...],
    model: Any, options: Options,
) -> None:  # fmt: skip
    from chainrule.nn import parameter_count

    if table.classes is None:
        learned = f"regression ({table.because})"
    else:
        learned = f"classification, {len(table.classes)} classes ({table.because})"
    if options.data == "digits":
        learned = "classification, 10 classes"
    say("data", table.title)
    say("task", f"{table.target}: {learned}")
    say(
        "rows", f"{len(rows)} to train on, {len(held)} put aside for the test (seed {options.seed})"
    )
    arrows = " → ".join(map(str, sizes))
    say("network", f"{arrows}, {options.activation}, {parameter_count(model):,} parameters")
    decay = f", weight decay {WEIGHT_DECAY}" if options.optimizer is Optimizer.adamw else ""
    decay = ", momentum 0.9" if options.optimizer is Optimizer.sgd else decay
    batch = f"batches of {options.batch_size}"
    say("steps", f"{options.optimizer.value}, rate {options.rate:g}{decay}, {batch}")


def _results(
    nn: Any, table: Table, model: Any, data: Any, parts: Any, outputs: Scaling | None,
    seconds: float,
) -> None:  # fmt: skip
    """How good the model is on both parts, and how long it took."""
    import numpy as np

    (x, y), (rows, held) = data, parts
    told = {"train": rows, "test": held}
    if outputs is None:
        assert table.classes is not None
        for part, chosen in told.items():
            right = float(nn.accuracy(model(x[chosen]), y[chosen]))
            hits = round(right * len(chosen))
            _say(f"{part} accuracy", f"{100 * right:.2f} %  ({hits} of {len(chosen)})")
        common = np.bincount(y[rows]).argmax()
        share = 100 * np.mean(y[held] == common)
        _say("", f'for comparison: always "{table.classes[common]}" is right in {share:.2f} %')
    else:
        for part, chosen in told.items():
            prediction = model(x[chosen])
            score = float(nn.r2_score(prediction, y[chosen]))
            error = float(np.sqrt(nn.mse(prediction, y[chosen]))) * float(outputs.deviation)
            _say(f"{part} R²", f"{score:.4f}  (root mean square error {error:.4g})")
    _say("time", f"{seconds:.2f} s")


def _draw(history: Any) -> None:
    from chainrule.nn.drawing import page

    console = on_terminal()
    if console is None:
        write(f"\n{history.to_text(width())}\n")
    else:
        console.print()
        console.print(page(history, console.width))
        console.print()


def _say(what: str, says: str) -> None:
    write(f"  {what:<15}{says}")


def _silent(_what: str, _says: str) -> None:
    """Nothing."""


def _finite(history: Any) -> bool:
    import math

    return math.isfinite(history["loss"][-1])


# --------------------------------------------------------------------------------------- afterwards


def _keep(
    nn: Any, options: Options, table: Table, sizes: tuple[int, ...], trained: Any,
    inputs: Scaling, outputs: Scaling | None,
) -> None:  # fmt: skip
    """The model with all it needs to be used, and the picture."""
    assert options.out is not None
    model, picture = _with(options.out, ".safetensors"), _with(options.out, ".png")
    parts = {"model": trained.model, "input": inputs}
    if outputs is not None:
        parts["output"] = outputs
    about = {
        "layers": sizes, "activation": options.activation, "columns": table.columns,
        "target": table.target, "classes": table.classes,
    }  # fmt: skip
    nn.save(model, parts, {FORMAT: json.dumps(about)})
    trained.history.to_picture(picture)
    _say("model", str(model))
    _say("picture", str(picture))
