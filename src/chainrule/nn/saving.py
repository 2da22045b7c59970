"""Pytrees in files: safetensors, written so that a file is there as a whole or not at all.

A file holds one tensor for each leaf, under the leaf's name along the tree
(``model.layers[0].weight``), and a text for each piece of information beside them.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.errors import ArgumentsError, ChainruleError
from chainrule.tree import flatten, leaves


class FileError(ChainruleError, ValueError):
    """A file that cannot be read, or does not hold what is asked of it."""


def save(path: str | Path, tree: Any, about: Mapping[str, str] | None = None) -> None:
    """Write the leaves of a pytree into a safetensors file.

    The file is written beside its place and moved there when it is complete and on the disk: a
    process that is killed leaves either the old file or the new one.

    Args:
        path: Where to; its directory has to exist.
        tree: A pytree of arrays and numbers. The keys of a dict of parts are used as they are:
            ``{"model": model, "step": 3}`` gives ``model.layers[0].weight`` and ``step``.
        about: Texts that are kept in the file, in no order.

    Raises:
        ArgumentsError: A leaf is no array of numbers, or safetensors is not installed.
        FileError: The file cannot be written.

    Example:
        >>> import numpy as np, tempfile, os
        >>> from chainrule import nn
        >>> path = os.path.join(tempfile.mkdtemp(), "w.safetensors")
        >>> nn.save(path, {"w": np.ones(2)})
        >>> nn.load(path, {"w": np.zeros(2)})
        {'w': array([1., 1.])}
    """
    tensors = {name: _tensor(name, leaf) for name, leaf in _named(tree)}
    write(path, _safetensors().save(tensors, dict(about or {})))


def write(path: str | Path, data: bytes) -> None:
    """Write a file as a whole or not at all.

    Raises:
        FileError: It cannot be written.
    """
    try:
        _replace(Path(path), data)
    except OSError as error:
        raise FileError(f"{path} cannot be written: {error.strerror or error}") from None


def load(path: str | Path, like: Any, part: str = "") -> Any:
    """A pytree with the leaves that a file holds.

    Args:
        path: A file that ``save`` wrote.
        like: A pytree of the same structure, shapes and dtypes; its values do not matter.
        part: The name of a part of what was saved: ``"model"`` of a checkpoint of ``fit``.

    Returns:
        A tree built like ``like``.

    Raises:
        FileError: The file cannot be read, or what it holds does not fit.
    """
    tensors, _ = read(path)
    names = leaves(like, part) if part else _named(like)
    return taken(tensors, like, [name for name, _ in names], path)


def read(path: str | Path) -> tuple[dict[str, Any], dict[str, str]]:
    """All tensors of a file by name, and the texts beside them.

    Raises:
        FileError: The file cannot be read.
    """
    safetensors = _safetensors()
    from safetensors import SafetensorError

    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror or error}") from None
    try:
        return safetensors.load(data), _about(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise FileError(f"{path} is not a safetensors file, or is damaged: {error}") from None


def taken(
    tensors: Mapping[str, Any], like: Any, names: Iterable[str], path: str | Path
) -> Any:  # fmt: skip
    """The tree of the tensors with these names, one for each leaf of ``like``.

    Raises:
        FileError: A tensor is missing, or has another shape or dtype than the leaf of ``like``.
    """
    found, (before, rebuild) = [], flatten(like)
    for name, leaf in zip(names, map(np.asarray, before), strict=True):
        if name not in tensors:
            there = ", ".join(sorted(tensors)[:6]) + (", …" if len(tensors) > 6 else "")
            raise FileError(f"{path} has no {name}; it has {there or 'nothing'}")
        value = tensors[name]
        if value.shape != leaf.shape or value.dtype != leaf.dtype:
            raise FileError(
                f"{path} does not fit: {name} is {value.dtype}{list(value.shape)} there, and "
                f"{leaf.dtype}{list(leaf.shape)} here"
            )
        found.append(value.copy()[()])
    return rebuild(found)


def _named(tree: Any) -> Iterator[tuple[str, Any]]:
    """The leaves with the names that they have in a file."""
    if type(tree) is dict and all(type(key) is str for key in tree):
        for key in sorted(tree):
            yield from leaves(tree[key], key)
        return
    for name, leaf in leaves(tree):
        yield name.lstrip(".") or "value", leaf


def _tensor(name: str, leaf: Any) -> Any:
    array = np.asarray(leaf)
    if array.dtype.kind not in "fiub":
        raise ArgumentsError(
            f"{name} cannot be saved: it is no array of numbers, but {type(leaf).__name__}"
        )
    return np.ascontiguousarray(array).reshape(array.shape)


def _about(data: bytes) -> dict[str, str]:
    """The texts in the header: eight bytes of its length, and JSON."""
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]).get("__metadata__", {})  # type: ignore[no-any-return]


def _replace(path: Path, data: bytes) -> None:
    """Put the bytes into a new file, force them to the disk, and only then give it the name."""
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(OSError):
            os.chmod(beside, path.stat().st_mode if path.exists() else 0o666 & ~_umask())
        os.replace(beside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise
    with contextlib.suppress(OSError):  # the name too: not every system lets one open a directory
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ImportError:
        raise ArgumentsError(
            'models are kept in safetensors files: python -m pip install "chainrule[nn]"'
        ) from None
    return safetensors.numpy
