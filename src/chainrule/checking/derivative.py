"""The gradient that is checked: our own, or what a hand-written ``backward`` returns."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.checking.subject import Leaf, Subject
from chainrule.errors import ArgumentsError
from chainrule.transforms import vjp
from chainrule.tree import leaves, map_leaves


@dataclass(frozen=True, slots=True)
class Gradient:
    """The gradient by leaf of the subject; shapes are as returned, right or wrong."""

    parts: tuple[Any, ...]

    def fits(self, position: int, leaf: Leaf) -> bool:
        """Whether the part for a leaf has the leaf's shape."""
        return bool(self.parts[position].shape == leaf.value.shape)


def cotangent_of(subject: Subject, rng: np.random.Generator) -> list[Any]:
    """What the outputs are weighted with: 1 for a scalar, else numbers that no dtype rounds."""
    if subject.scalar:
        return [np.ones(())]
    return [
        rng.choice([-1.0, 1.0], o.shape) * rng.integers(8, 25, o.shape) / 16
        for o in subject.outputs
    ]


def like_outputs(subject: Subject, weights: Sequence[Any]) -> Any:
    """The weights as a cotangent: the structure and the dtypes of what the function returned."""
    parts = iter(zip(weights, subject.outputs, strict=True))

    def part(_: Any) -> Any:
        weight, output = next(parts)
        return weight.astype(output.dtype)[()]

    return map_leaves(part, subject.value)


def our_gradient(
    subject: Subject, weights: Sequence[Any], at: Sequence[Any] | None = None
) -> Gradient:
    """The gradient by ``chainrule.vjp``, at the subject's point or where its leaves are ``at``."""

    def of_leaves(*values: Any) -> Any:
        return subject.call(
            {leaf.position: v for leaf, v in zip(subject.leaves, values, strict=True)}
        )

    _, pull = vjp(of_leaves, *(v[()] for v in _values(subject, at)))
    return Gradient(tuple(np.asarray(g) for g in pull(like_outputs(subject, weights))))


def _values(subject: Subject, at: Sequence[Any] | None) -> list[Any]:
    return [leaf.value for leaf in subject.leaves] if at is None else list(at)


def their_gradient(
    subject: Subject,
    backward: Callable[..., Any],
    weights: Sequence[Any],
    at: Sequence[Any] | None = None,
) -> Gradient:
    """The gradient by a hand-written function, at the subject's point or where its leaves are.

    Raises:
        ArgumentsError: What it returned does not fit the arguments.
    """
    given = subject.rebuilt(
        {}
        if at is None
        else {leaf.position: v[()] for leaf, v in zip(subject.leaves, at, strict=True)}
    )
    if not subject.scalar:
        given = (like_outputs(subject, weights), *given)
    _check_call(backward, subject, len(given))
    with np.errstate(all="ignore"):
        returned = backward(*given)
    return Gradient(tuple(_by_leaf(subject, backward, returned)))


def _check_call(backward: Callable[..., Any], subject: Subject, count: int) -> None:
    try:
        signature = inspect.signature(backward)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(*range(count))
    except TypeError as error:
        convention = (
            f"{_name(backward)}({', '.join(subject.parameters)}), because {subject.name} returns a "
            "scalar"
            if subject.scalar
            else f"{_name(backward)}(cotangent, {', '.join(subject.parameters)}), because "
            f"{subject.name} does not return a scalar"
        )
        raise ArgumentsError(f"it is called as {convention}: {error}.") from error


def _by_leaf(subject: Subject, backward: Callable[..., Any], returned: Any) -> list[Any]:
    """What was returned, as one array per leaf."""
    arguments = sorted({leaf.argument for leaf in subject.leaves})
    trees = _by_argument(subject, arguments, returned)
    if trees is None:
        wanted = ", ".join(subject.parameters[a] for a in arguments)
        raise ArgumentsError(
            f"{_name(backward)} should return one gradient for each of {wanted}, but it returned "
            f"{_described(returned)}.\nReturn a tuple with one gradient per argument, or say with "
            f"wrt= which argument it is for: wrt={subject.parameters[arguments[0]]!r}."
        )
    parts: list[Any] = []
    for leaf in subject.leaves:
        gradients = dict(leaves(trees[leaf.argument], subject.parameters[leaf.argument]))
        if leaf.name not in gradients:
            raise ArgumentsError(
                f"{_name(backward)} returned no gradient for {leaf.name}; it returned "
                f"{', '.join(gradients) or 'nothing'} for {subject.parameters[leaf.argument]}."
            )
        parts.append(_array(gradients[leaf.name], leaf, backward))
    return parts


def _by_argument(
    subject: Subject, arguments: Sequence[int], returned: Any
) -> dict[int, Any] | None:
    """The gradient's tree for each argument, by the argument's position."""
    total = len(subject.args)
    plain = isinstance(returned, tuple | list) and not hasattr(returned, "_fields")
    if len(arguments) == 1:
        only = arguments[0]
        own = subject.args[only]
        if not plain:
            return {only: returned}
        if isinstance(own, tuple | list) and len(own) == len(returned) and not (
            len(returned) == 1 and isinstance(returned[0], tuple | list)
        ):  # fmt: skip
            return {only: returned}
        if isinstance(returned, tuple) and len(returned) == 1:
            return {only: returned[0]}
        if isinstance(returned, tuple) and len(returned) == total:
            return {only: returned[only]}
        return {only: np.asarray(returned)} if not isinstance(own, tuple | list | dict) else None
    if plain and len(returned) == total:
        return {a: returned[a] for a in arguments}
    if plain and len(returned) == len(arguments):
        return dict(zip(arguments, returned, strict=True))
    return None


def _array(value: Any, leaf: Leaf, backward: Callable[..., Any]) -> Any:
    try:
        array = np.asarray(value)
    except ValueError:
        array = np.asarray(None)
    if array.dtype.kind not in "fiub":
        raise ArgumentsError(
            f"{_name(backward)} returned {_described(value)} for {leaf.name}, and a gradient is an "
            "array of real numbers."
        )
    return array.astype(float)


def _name(backward: Callable[..., Any]) -> str:
    return getattr(backward, "__name__", "backward").replace("<lambda>", "backward")


def _described(value: Any) -> str:
    if value is None:
        return "None"
    if isinstance(value, dict):
        return f"a dict with the keys {', '.join(map(str, value))}"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    array = np.asarray(value)
    if array.dtype == object:
        return f"an object of type {type(value).__name__}"
    return "a number" if array.shape == () else f"an array of shape {array.shape}"
