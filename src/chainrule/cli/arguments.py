"""What stands on the command line: points, numbers, and functions in files."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from chainrule.errors import ArgumentsError, ChainruleError, FormulaError

_FUNCTION = re.compile(r"(?P<module>[\w./\\~ -]+):(?P<name>[A-Za-z_]\w*)")


def looks_like_function(source: str) -> bool:
    """Whether ``source`` names a function in a file or module and is not a formula."""
    return _FUNCTION.fullmatch(source.strip()) is not None


class Dtype(StrEnum):
    """What the floating-point values of ``--at`` are cast to."""

    float16 = "float16"
    float32 = "float32"
    float64 = "float64"


# Options that several commands have.
FunctionSource = Annotated[str, typer.Argument(help="The function, file.py:f or package.module:f.")]
Point = Annotated[
    list[str] | None,
    typer.Option(
        help="The point: x=1,y=pi/2; arrays as x=[1,2], W=W.npy, W=data.npz:W, W=normal(3,4)."
    ),
]
Cast = Annotated[Dtype | None, typer.Option(help="Cast the floating-point values of --at.")]
Seed = Annotated[int, typer.Option(help="Seed of random arrays.")]


def given_arguments(
    sources: Sequence[str], at: Sequence[str] | None, seed: int, dtype: Dtype | None = None
) -> dict[str, Any]:
    """The values of ``--at`` for functions, arrays from files and random ones included.

    Raises:
        ChainruleError: A source is no function, the seed is none, or a value cannot be read.
    """
    for source in sources:
        if not looks_like_function(source):
            raise ChainruleError(f"{source!r} does not name a function: write file.py:f")
    if seed < 0:
        raise ChainruleError(f"--seed takes a whole number from 0 on, not {seed}")
    given = point(at or [], array_reader(seed))
    return given if dtype is None else {n: _cast(v, dtype) for n, v in given.items()}


def _cast(value: Any, dtype: Dtype) -> Any:
    array = np.asarray(value)
    return array.astype(dtype.value)[()] if array.dtype.kind == "f" else value


Reader = Callable[[str, str], Any]
"""What reads a value that is neither a number nor a list; ``None`` if it cannot either."""


def point(options: Sequence[str], further: Reader | None = None) -> dict[str, Any]:
    """``["x=1", "y=2,z=[1,2]"]`` as values by name; a number may be written as ``pi/2``.

    Args:
        options: What was given to ``--at``.
        further: Tried first on each value, with the name and what is written.

    Raises:
        FormulaError: A piece is not ``name=value``, or a name is given twice.
    """
    values: dict[str, Any] = {}
    for piece in (p for option in options for p in _pieces(option)):
        name, equals, value = (part.strip() for part in piece.partition("="))
        if not equals or not name or not value:
            raise FormulaError(
                f"--at takes name=value, not {piece.strip()!r}", hint="For example: --at x=1,y=2"
            )
        if name in values:
            raise FormulaError(f"--at gives {name} twice")
        special = None if further is None else further(name, value)
        values[name] = _value(name, value) if special is None else special
    return values


def _pieces(option: str) -> list[str]:
    """Split at commas that are not inside brackets."""
    pieces, depth = [""], 0
    for char in option:
        depth += (char in "[(") - (char in ")]")
        if char == "," and depth == 0:
            pieces.append("")
        else:
            pieces[-1] += char
    return pieces


def _value(name: str, written: str) -> Any:
    if written.startswith("["):
        try:
            array = np.array(ast.literal_eval(written), dtype=float)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
            raise FormulaError(
                f"--at: the value of {name} is not an array of numbers: {written!r}",
                hint="For example: --at x=[1,2,3]",
            ) from error
        return array
    try:
        return float(written)
    except ValueError:
        return _constant(name, written)


def _constant(name: str, written: str) -> float:
    """A number written as a formula without variables."""
    from chainrule.run.interpreter import evaluate
    from chainrule.sources.formula import read_formula

    try:
        if any(c in written for c in ";=\n"):
            raise FormulaError("more than a number")
        program = read_formula(written)
    except FormulaError as error:
        raise FormulaError(f"--at: the value of {name} is not a number: {written!r}") from error
    if program.variables:
        raise FormulaError(f"--at: the value of {name} is not a number: {written!r}")
    with np.errstate(all="ignore"):
        return float(evaluate([program.output], {})[0])


def array_reader(seed: int) -> Reader:
    """A reader of arrays in files, ``X.npy`` and ``data.npz:X``, and random ones, ``normal(3,4)``.

    Raises:
        ChainruleError: The file cannot be read, or a shape is none.
    """
    rng = np.random.default_rng(seed)

    def read(name: str, written: str) -> Any:
        drawn = _RANDOM.fullmatch(written)
        if drawn:
            shape = [int(n) for n in drawn["shape"].split(",") if n.strip()]
            if np.prod(shape, dtype=float) > 1e9:
                raise ChainruleError(f"--at: {name} would have {np.prod(shape):.0e} elements")
            return rng.standard_normal(shape) if drawn["law"] == "normal" else rng.random(shape)
        path, _, key = written.partition(":")
        if path.endswith((".npy", ".npz")):
            return _from_array_file(name, path, key)
        return None

    return read


_RANDOM = re.compile(r"(?P<law>normal|uniform)\(\s*(?P<shape>(\d+\s*,?\s*)*)\)")


def _from_array_file(name: str, path: str, key: str) -> Any:
    try:
        loaded = np.load(Path(path).expanduser(), allow_pickle=False)
        if path.endswith(".npz"):
            if key not in loaded:
                raise ValueError(f"it has the arrays {', '.join(loaded)}; write {path}:NAME")
            loaded = loaded[key]
    except (OSError, ValueError, EOFError) as error:
        raise ChainruleError(f"--at: {name} could not be read from {path}: {error}") from error
    return loaded


def arguments_in_order(f: Callable[..., Any], given: Mapping[str, Any]) -> list[Any]:
    """Values by name as positional arguments of ``f``, with the defaults of those left out.

    Raises:
        ArgumentsError: A parameter has no value, or there is none of a name that was given.
    """
    signature = inspect.signature(f)
    try:
        bound = signature.bind(**given)
    except TypeError as error:
        raise ArgumentsError(
            f"the values of --at do not fit {getattr(f, '__name__', 'f')}{signature}: {error}."
        ) from error
    bound.apply_defaults()
    if bound.kwargs:
        raise ArgumentsError(
            f"check passes arguments by position, and {next(iter(bound.kwargs))} takes none."
        )
    return list(bound.args)


def formula_value(name: str, value: Any) -> float:
    """A formula's variables are numbers."""
    if np.ndim(value):
        raise FormulaError(f"--at: {name} is an array, but a formula's variables are numbers")
    return float(value)


def loaded_function(source: str) -> Callable[..., Any]:
    """The function named by ``file.py:f`` or ``package.module:f``.

    Raises:
        ChainruleError: There is no such file, module or function, or it fails when it is loaded.
    """
    match = _FUNCTION.fullmatch(source.strip())
    assert match is not None
    module = _module(match["module"])
    function = getattr(module, match["name"], None)
    if not callable(function):
        names = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]
        raise ChainruleError(
            f"{match['module']} has no function {match['name']!r}."
            + (f" It has: {', '.join(names[:10])}." if names else "")
        )
    return _guarded(function, source)


def _module(name: str) -> Any:
    path = Path(name).expanduser()
    try:
        if path.suffix == ".py" or path.exists():
            return _from_file(path)
        sys.path.insert(0, str(Path.cwd()))
        return importlib.import_module(name)
    except ChainruleError:
        raise
    except ModuleNotFoundError as error:
        raise ChainruleError(f"{name} could not be imported: {error}") from error
    except (Exception, SystemExit) as error:
        raise ChainruleError(f"{name} could not be loaded: {_last_line(error)}") from error


def _from_file(path: Path) -> Any:
    if not path.is_file():
        raise ChainruleError(f"there is no file {str(path)!r}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ChainruleError(f"{str(path)!r} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)
    sys.path.insert(0, str(path.parent))
    spec.loader.exec_module(module)
    return module


def _guarded(function: Callable[..., Any], source: str) -> Callable[..., Any]:
    """Errors inside the user's own function become one clear message with its line."""
    import functools

    @functools.wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except ChainruleError as error:
            raise type(error)(f"{error}\n  {_place(error)}") from error
        except (Exception, SystemExit) as error:
            raise ChainruleError(f"{source} failed: {_last_line(error)}") from error

    return guarded


def _last_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}\n  {_place(error)}"


def _place(error: BaseException) -> str:
    """The last line of the user's own code that the error went through."""
    library = str(Path(__file__).resolve().parents[1])
    frames = [
        f for f in traceback.extract_tb(error.__traceback__)
        if not f.filename.startswith((library, "<frozen")) and "site-packages" not in f.filename
    ]  # fmt: skip
    return f"{frames[-1].filename}:{frames[-1].lineno}: {frames[-1].line}" if frames else ""
