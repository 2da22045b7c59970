"""``fit``: gradient descent over batches, watched, and able to go on where it was stopped."""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.errors import ArgumentsError
from chainrule.nn import saving
from chainrule.nn.history import History
from chainrule.nn.layer import check_size
from chainrule.nn.optimizers import Optimizer, adam, apply_updates
from chainrule.nn.progress import progress_bar
from chainrule.transforms import jit, value_and_grad
from chainrule.tree import flatten, leaves, map_leaves

Loss = Callable[..., Any]
FORMAT = "chainrule training 1"


@dataclass(frozen=True, eq=False)
class Trained:
    """What ``fit`` gives.

    Attributes:
        model: The trained model; with ``patience`` the one of the epoch with the least validation
            loss.
        history: The course of the training.
        state: What the model remembers (``BatchNorm``), or ``None``.
    """

    model: Any
    history: History
    state: Any = None

    def __repr__(self) -> str:
        last = ", ".join(
            f"{name} {column[-1]:.4g}" for name, column in self.history.columns.items()
        )
        return f"Trained(model={self.model!r}, {len(self.history)} epochs: {last})"


def fit(
    model: Any,
    loss: Loss,
    data: Sequence[Any],
    *,
    optimizer: Optimizer | None = None,
    epochs: int = 10,
    batch_size: int = 32,
    validation: Sequence[Any] | None = None,
    metrics: Mapping[str, Loss] | None = None,
    state: Any = None,
    patience: int | None = None,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    notes: Mapping[str, str] | None = None,
    seed: int = 0,
    progress: bool = True,
) -> Trained:
    """Train a model: make a loss small, batch by batch.

    Each step is compiled (``cr.jit`` of ``cr.value_and_grad`` and of the optimiser's update). The
    order of the examples and all other random numbers come from ``seed``, so the same call gives
    the same result bit for bit on the same machine with the same number of threads, and so does one
    that was stopped and resumed.

    Args:
        model: A pytree of float arrays: a layer, or a dict of arrays.
        loss: ``loss(model, *batch)`` gives a scalar. If it has a parameter ``key``, it gets a key
            of ``nn.random`` in each training step (for ``Dropout``), and ``None`` for validation.
            With a ``state`` it is called with ``state=`` and gives ``(scalar, new state)``.
        data: Arrays with the same first axis, ``(x, y)``: the examples.
        optimizer: How gradients become steps; ``nn.adam(1e-3)`` if left out.
        epochs: How often every example is used.
        batch_size: How many examples make one step; the last step of an epoch may have fewer.
        validation: Examples that are not learned from: the loss on them is noted for each epoch.
        metrics: Further functions, called like the loss (without a key) after each epoch, on the
            validation examples, or on the training examples if there are none.
        state: The first state of a model with ``BatchNorm``: ``model.initial_state()``.
        patience: Stop when the validation loss was not less than its least for so many epochs.
        checkpoint: A safetensors file that is written after each epoch. It is replaced as a whole:
            however the process ends, it can be read.
        resume: Go on from ``checkpoint`` if that file exists.
        notes: What is trained, in words: the data, the options. They are kept in the checkpoint,
            and one with other notes is not resumed.
        seed: Decides all random numbers.
        progress: Show a progress bar on standard error if that is a terminal.

    Returns:
        The trained model and the history.

    Raises:
        ArgumentsError: Arguments that do not fit each other.
        FileError: The checkpoint cannot be read or written, or belongs to another model.

    Example:
        >>> import numpy as np
        >>> from chainrule import nn
        >>> x = np.linspace(-1.0, 1.0, 64).reshape(-1, 1)
        >>> def loss(model, x, y):
        ...     return nn.mse(x @ model["w"] + model["b"], y)
        >>> start = {"w": np.zeros((1, 1)), "b": np.zeros(1)}
        >>> line = nn.fit(start, loss, (x, 3 * x + 1), optimizer=nn.sgd(0.3), epochs=20).model
        >>> line["w"].round(3), line["b"].round(3)
        (array([[3.]]), array([1.]))
    """
    examples = _examples("data", data)
    held = None if validation is None else _examples("validation", validation)
    check_size("epochs", epochs), check_size("batch_size", batch_size)
    if patience is not None and held is None:
        raise ArgumentsError("fit: patience looks at the validation loss: give validation=")
    if resume and checkpoint is None:
        raise ArgumentsError("fit: resume needs to know where from: give checkpoint=")
    optimizer = adam() if optimizer is None else optimizer
    if not isinstance(optimizer, Optimizer):
        raise ArgumentsError(f"fit: optimizer is one such as nn.adam(1e-3), not {optimizer!r}")
    measured = {"validation loss": loss} if held is not None else {}
    run = _Run.begin(model, state, optimizer, seed)
    if resume and checkpoint is not None and Path(checkpoint).exists():
        run = _Run.read(checkpoint, run.kind, dict(notes or {}))
    step = _step(loss, optimizer, run.kind)
    watch = {
        name: _measure(f, run.kind, with_state=name in measured)
        for name, f in {**measured, **(metrics or {})}.items()
    }
    names = [name.lstrip(".") or "model" for name in run.kind.names("model", "")]
    with progress_bar(epochs, run.epoch, shown=progress) as bar:
        while run.epoch < epochs and run.history.stopped is None:
            values, norms = _epoch(step, run, examples, batch_size)
            for name, measure in watch.items():
                values[name] = float(measure(run, held if held is not None else examples))
            run.history.add(values, dict(zip(names, norms, strict=True)))
            run.epoch += 1
            if patience is not None:
                run.watch_validation(values["validation loss"], patience)
            if checkpoint is not None:
                run.write(checkpoint, dict(notes or {}))
            bar(run.epoch, values)
    chosen = run.best if patience is not None and run.best is not None else run.now
    built = {part: run.kind.build(part, chosen[part]) for part in _BEST}
    return Trained(built["model"], run.history, built["state"])


@dataclass(frozen=True, eq=False)
class _Kind:
    """How model, state and the optimiser's state are built: a training handles their leaves.

    Lists of arrays are looked at by machine code; trees of dataclasses would be taken apart and put
    together by Python, twice in each step.
    """

    model: Any
    state: Any
    optimizer: Any

    def leaves(self) -> dict[str, list[Any]]:
        """The leaves of each part."""
        return {name: flatten(getattr(self, name))[0] for name in PARTS}

    def names(self, part: str, under: str) -> list[str]:
        """The name of each leaf of a part: ``model.layers[0].weight``."""
        return [name for name, _ in leaves(getattr(self, part), under)]

    def build(self, part: str, values: list[Any]) -> Any:
        """A part as a tree."""
        return flatten(getattr(self, part))[1](values)


PARTS = ("model", "state", "optimizer")
_BEST = ("model", "state")


@dataclass(eq=False)
class _Run:
    """All that decides how a training goes on: what a checkpoint holds.

    Attributes:
        kind: How the parts are built.
        now: The leaves of each part.
        rng: Draws the order of the examples and the keys.
        history: What was noted so far.
        epoch: How many epochs are done.
        best: With ``patience``, model and state of the best epoch.
        waited: Since how many epochs there was none better.
    """

    kind: _Kind
    now: dict[str, list[Any]]
    rng: np.random.Generator
    history: History
    epoch: int = 0
    best: dict[str, list[Any]] | None = None
    waited: int = 0

    @classmethod
    def begin(cls, model: Any, state: Any, optimizer: Optimizer, seed: int) -> _Run:
        model = map_leaves(lambda v: np.asarray(v)[()], model)
        kind = _Kind(model, state, optimizer.init(model))
        return cls(kind, kind.leaves(), np.random.Generator(np.random.PCG64(seed)), History())

    def watch_validation(self, value: float, patience: int) -> None:
        """Keep the model if it is the best so far; else stop if this has gone on for too long."""
        before = self.history["validation loss"][:-1]
        if not before or value < min(before):
            self.best, self.waited = {part: self.now[part] for part in _BEST}, 0
            return
        self.waited += 1
        if self.waited >= patience:
            best = self.epoch - self.waited
            self.history.stopped = f"the validation loss has not fallen since epoch {best}"

    def write(self, path: str | Path, notes: dict[str, str]) -> None:
        """Everything into one file."""
        tensors: dict[str, Any] = {}
        for part in PARTS:
            tensors.update(zip(self.kind.names(part, part), self.now[part], strict=True))
        for part, values in (self.best or {}).items():
            tensors.update(zip(self.kind.names(part, f"best.{part}"), values, strict=True))
        kept = {
            "epoch": self.epoch, "waited": self.waited, "best": self.best is not None,
            "history": self.history.to_dict(), "random": self.rng.bit_generator.state,
            "notes": notes,
        }  # fmt: skip
        saving.save(path, tensors, {FORMAT: json.dumps(kept)})

    @classmethod
    def read(cls, path: str | Path, kind: _Kind, notes: dict[str, str]) -> _Run:
        """What was written.

        Raises:
            FileError: The file is none of ``fit``, or belongs to another model or optimiser.
        """
        tensors, about = saving.read(path)
        kept = _kept(path, about)
        for name in sorted({*notes, *kept["notes"]}):
            there, here = kept["notes"].get(name), notes.get(name)
            if there != here:
                raise saving.FileError(
                    f"{path} belongs to another training: its {name} is {there}, and here {here}"
                )

        def part(name: str, under: str) -> list[Any]:
            names = kind.names(name, under)
            return flatten(saving.taken(tensors, getattr(kind, name), names, path))[0]

        rng = np.random.Generator(np.random.PCG64())
        rng.bit_generator.state = kept["random"]
        return cls(
            kind, {name: part(name, name) for name in PARTS}, rng,
            History.from_dict(kept["history"]), kept["epoch"],
            {name: part(name, f"best.{name}") for name in _BEST} if kept["best"] else None,
            kept["waited"],
        )  # fmt: skip


def _examples(what: str, data: Any) -> tuple[Any, ...]:
    """The arrays of some examples.

    Raises:
        ArgumentsError: They are no arrays of the same length.
    """
    if isinstance(data, np.ndarray) or not isinstance(data, tuple | list) or not data:
        raise ArgumentsError(f"fit: {what} is a tuple of arrays, such as (x, y)")
    arrays = tuple(np.asarray(a) for a in data)
    if any(not a.ndim for a in arrays) or len({len(a) for a in arrays}) > 1:
        shapes = ", ".join(str(a.shape) for a in arrays)
        raise ArgumentsError(f"fit: the arrays of {what} have the same first axis, not {shapes}")
    if not len(arrays[0]):
        raise ArgumentsError(f"fit: {what} has no examples")
    return arrays


def _takes_key(f: Loss) -> bool:
    try:
        return "key" in inspect.signature(f).parameters
    except (TypeError, ValueError):
        return False


def _step(loss: Loss, optimizer: Optimizer, kind: _Kind) -> Callable[..., Any]:
    """One step, compiled: it changes a run, and gives the loss and the norm of each gradient."""
    remembers, takes_key = kind.state is not None, _takes_key(loss)

    def objective(model: Any, state: Any, key: Any, batch: Any) -> Any:
        options = {"key": key} if takes_key else {}
        if not remembers:
            return loss(model, *batch, **options), None
        result = loss(model, *batch, state=state, **options)
        if not isinstance(result, tuple) or len(result) != 2:
            raise ArgumentsError(
                f"fit: with a state, {objective.__name__} returns its value and the new state: "
                "return value, state"
            )
        return result

    objective.__name__ = getattr(loss, "__name__", "loss")
    both = value_and_grad(objective, has_aux=True)

    @jit
    def compiled(now: dict[str, list[Any]], key: Any, batch: list[Any]) -> Any:
        model, state, before = (kind.build(part, now[part]) for part in PARTS)
        (value, state), gradient = both(model, state, key, batch)
        change, after = optimizer.update(gradient, before, model)
        norms = [np.sqrt(np.sum(np.square(g))) for g in flatten(gradient)[0]]
        trees = dict(zip(PARTS, (apply_updates(model, change), state, after), strict=True))
        return value, norms, {part: flatten(tree)[0] for part, tree in trees.items()}

    def step(run: _Run, batch: list[Any]) -> tuple[Any, list[Any]]:
        key = run.rng.integers(0, 2**64, 2, np.uint64) if takes_key else 0
        value, norms, run.now = compiled(run.now, key, batch)
        return value, norms

    return step


def _batches(run: _Run, examples: tuple[Any, ...], size: int) -> Iterator[list[Any]]:
    order = run.rng.permutation(len(examples[0]))
    for start in range(0, len(order), size):
        chosen = order[start : start + size]
        yield [a[chosen] for a in examples]


def _epoch(
    step: Callable[..., Any], run: _Run, examples: tuple[Any, ...], size: int
) -> tuple[dict[str, float], list[float]]:
    """Every example once: the mean loss, and the mean norm of each parameter's gradient."""
    total, sums, steps = 0.0, np.zeros(len(run.now["model"])), 0
    for batch in _batches(run, examples, size):
        value, norms = step(run, batch)
        total += float(value) * len(batch[0])
        sums += norms
        steps += 1
    return {"loss": total / len(examples[0])}, [float(s) for s in sums / steps]


def _measure(f: Loss, kind: _Kind, with_state: bool) -> Callable[[_Run, Any], Any]:
    """A function of the model and of examples, compiled.

    Args:
        f: The loss or a metric.
        kind: How the model is built.
        with_state: Whether it gives a new state besides its value, if there is a state at all.
    """

    @jit
    def compiled(now: dict[str, list[Any]], batch: list[Any]) -> Any:
        model = kind.build("model", now["model"])
        if kind.state is None:
            return f(model, *batch)
        found = f(model, *batch, state=kind.build("state", now["state"]))
        return found[0] if with_state else found

    return lambda run, examples: compiled({part: run.now[part] for part in _BEST}, list(examples))


def epochs_done(path: str | Path) -> int:
    """After how many epochs a checkpoint of ``fit`` was written.

    Raises:
        FileError: The file cannot be read, or is none.
    """
    return int(_kept(path, saving.read(path)[1])["epoch"])


def _kept(path: str | Path, about: Mapping[str, str]) -> dict[str, Any]:
    """What a checkpoint says besides its tensors."""
    if FORMAT not in about:
        raise saving.FileError(f"{path} is not a checkpoint of a training that can be resumed")
    return json.loads(about[FORMAT])  # type: ignore[no-any-return]


def steps_in(examples: int, batch_size: int, epochs: int) -> int:
    """How many steps ``fit`` takes: what a schedule over the whole training needs to know.

    Example:
        >>> from chainrule import nn
        >>> nn.steps_in(1000, 32, epochs=10)
        320
    """
    return math.ceil(examples / batch_size) * epochs
