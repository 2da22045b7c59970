"""What stands on the command line: points, numbers, and functions in files."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.errors import ChainruleError, FormulaError

_FUNCTION = re.compile(r"(?P<module>[\w./\\~ -]+):(?P<name>[A-Za-z_]\w*)")


def looks_like_function(source: str) -> bool:
    """Whether ``source`` names a function in a file or module and is not a formula."""
    return _FUNCTION.fullmatch(source.strip()) is not None


def point(options: Sequence[str]) -> dict[str, Any]:
    """``["x=1", "y=2,z=[1,2]"]`` as values by name; a number may be written as ``pi/2``.

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
        values[name] = _value(name, value)
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
