"""Data to train on: scikit-learn's digits, and CSV files, with their faults named by line."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.errors import ArgumentsError
from chainrule.nn.saving import FileError

# A column of whole numbers with at most so many different values is taken for classes.
MOST_CLASSES = 20
FEWEST_ROWS = 10
MISSING = frozenset(("", "na", "n/a", "nan", "null", "none", "?", "-"))


class TableError(FileError):
    """A table that cannot be trained on, and why."""


@dataclass(frozen=True, eq=False)
class Table:
    """Examples in rows.

    Attributes:
        title: What it is, in a few words.
        x: Numbers ``(rows, columns)``, float32.
        y: The class of each row, or the number to be predicted, float32.
        columns: The names of the columns of ``x``.
        classes: The names of the classes in order, or ``None`` for a regression.
        target: The name of what is predicted.
        because: Why this is a classification or a regression.
        one_unit: Whether all columns measure the same thing, as the pixels of an image do.
    """

    title: str
    x: Any
    y: Any
    columns: tuple[str, ...]
    classes: tuple[str, ...] | None
    target: str
    because: str
    one_unit: bool = False


def digits() -> Table:
    """1797 images of handwritten digits, 8×8 pixels each (scikit-learn's ``load_digits``).

    Raises:
        ArgumentsError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise ArgumentsError(
            'the digits come with scikit-learn: python -m pip install "chainrule[nn]"'
        ) from None
    found = load_digits()
    return Table(
        "1797 images of handwritten digits, 8×8 pixels", found.data.astype(np.float32),
        found.target.astype(np.int64), tuple(found.feature_names), tuple("0123456789"), "digit",
        "ten digits", one_unit=True,
    )  # fmt: skip


def read_csv(
    path: str | Path, target: str, drop: Sequence[str] = (), task: str | None = None
) -> Table:
    """A CSV file with one header line.

    Args:
        path: The file: UTF-8, columns separated by commas, semicolons or tabs.
        target: The column to predict.
        drop: Columns that are left out.
        task: ``"classification"`` or ``"regression"``; decided by the target if left out: text, and
            whole numbers with few different values, are classes.

    Raises:
        TableError: The file cannot be read or trained on.
    """
    path = Path(path)
    header, rows, lines = _rows(path)
    for name in (target, *drop):
        if name not in header:
            raise TableError(f"{path} has no column {name!r}; it has {_listed(header)}")
    if target in drop:
        raise TableError(f"{target!r} cannot be left out: it is what is predicted")
    if len(rows) < FEWEST_ROWS:
        raise TableError(f"{path} has {_many(len(rows), 'row')}: at least {FEWEST_ROWS} are needed")
    names = tuple(name for name in header if name != target and name not in drop)
    if not names:
        raise TableError(f"{path} has no column besides {target!r}: there is nothing to learn from")
    text = {name: [row[k] for row in rows] for k, name in enumerate(header)}
    x = np.stack([_numbers(path, name, text[name], lines) for name in names], axis=1)
    y, classes, because = _target(path, target, text[target], lines, task)
    kind = _many(len(names), "column")
    return Table(
        f"{path.name}: {len(rows)} rows, {kind}", x.astype(np.float32), y, names, classes, target,
        because,
    )  # fmt: skip


def _rows(path: Path) -> tuple[list[str], list[list[str]], list[int]]:
    """The names of the columns, the rows, and the line of the file that each begins in."""
    try:
        content = path.read_text("utf-8-sig")
    except OSError as error:
        raise TableError(f"{path} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise TableError(
            f"{path} is not a text file in UTF-8: byte {error.start} is "
            f"{error.object[error.start]:#x}"
        ) from None
    if not content.strip():
        raise TableError(f"{path} is empty")
    first = content.lstrip("\r\n").splitlines()[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=delimiter, strict=True)
    found, lines, begin = [], [], 1
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                found.append([cell.strip() for cell in row])
                lines.append(begin)
            begin = reader.line_num + 1
    except csv.Error as error:
        raise TableError(f"{path}, line {begin}: {error}") from None
    header, rows = found[0], found[1:]
    if len(header) == 1:
        raise TableError(
            f"{path} has one column, {header[0]!r}: columns are separated by commas, semicolons or "
            "tabs"
        )
    if all(_number(cell) is not None for cell in header):
        raise TableError(
            f"{path} begins with numbers ({_listed(header, quoted=False)}): its first line has to "
            "name the columns"
        )
    twice = [name for k, name in enumerate(header) if name in header[:k]]
    if twice:
        raise TableError(f"{path} has two columns called {twice[0]!r}")
    for row, line in zip(rows, lines[1:], strict=True):
        if len(row) != len(header):
            raise TableError(
                f"{path}, line {line}: {_many(len(row), 'value')}, but the header names "
                f"{len(header)} columns"
            )
    return header, rows, lines[1:]


def _number(cell: str) -> float | None:
    """A cell as a finite number, or ``None``."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) and "_" not in cell else None


def _numbers(path: Path, name: str, cells: Sequence[str], lines: Sequence[int]) -> Any:
    """A column of numbers.

    Raises:
        TableError: A value is missing, or is no number.
    """
    _refuse_missing(path, name, cells, lines, f"or --drop {_quoted(name)}")
    values = [_number(cell) for cell in cells]
    bad = [k for k, value in enumerate(values) if value is None]
    if bad:
        cell = cells[bad[0]]
        comma = cell.count(",") == 1 and _number(cell.replace(",", ".")) is not None
        advice = (
            "Write decimals with a point." if comma
            else f"Write it in numbers (one column of 0 and 1 for each of its values), or leave it "
            f"out: --drop {_quoted(name)}"
        )  # fmt: skip
        raise TableError(
            f"{path}, line {lines[bad[0]]}: column {name!r} has text, {cell!r} "
            f"({len(bad)} of {len(cells)} values are no numbers). {advice}"
        )
    column = np.array(values)
    with np.errstate(over="ignore"):
        if not np.isfinite(column.astype(np.float32)).all():
            raise TableError(f"{path}: column {name!r} has numbers too large for float32")
    return column


def _refuse_missing(
    path: Path, name: str, cells: Sequence[str], lines: Sequence[int], otherwise: str = ""
) -> None:
    gaps = [k for k, cell in enumerate(cells) if cell.lower() in MISSING]
    if gaps:
        advice = f"Fill them in, remove these rows{', ' if otherwise else ''}{otherwise}."
        raise TableError(
            f"{path}, line {lines[gaps[0]]}: column {name!r} has no value there "
            f"({_many(len(gaps), 'value')} of {len(cells)} missing). {advice}"
        )


def _target(
    path: Path, name: str, cells: Sequence[str], lines: Sequence[int], task: str | None
) -> tuple[Any, tuple[str, ...] | None, str]:
    """What is predicted: classes by number and their names, or numbers; and why."""
    _refuse_missing(path, name, cells, lines)
    values = [_number(cell) for cell in cells]
    numeric = all(v is not None for v in values)
    names = sorted(set(cells), key=float) if numeric else sorted(set(cells))
    whole = numeric and all(float(v).is_integer() for v in values if v is not None)
    if task is None:
        few = len({float(c) for c in names}) <= MOST_CLASSES if numeric else True
        chosen = "classification" if not numeric or (whole and few) else "regression"
        kind = "text" if not numeric else "whole numbers" if whole else "numbers with decimals"
        count = len({float(c) for c in names} if numeric else names)
        because = f"{name} is {kind}, {_many(count, 'different value')}"
    else:
        chosen, because = task, "as you say"
    if chosen == "regression":
        return _regression(path, name, cells, lines, because)
    if numeric:  # 1 and 1.0 are one class
        by_value: dict[float, str] = {}
        for cell in names:
            by_value.setdefault(float(cell), cell)
        names = list(by_value.values())
        place = {value: k for k, value in enumerate(by_value)}
        labels = np.array([place[float(cell)] for cell in cells])
    else:
        labels = np.array([names.index(cell) for cell in cells])
    if len(names) < 2:
        raise TableError(
            f"{path}: every row has {name} = {names[0]}: with one class there is nothing to learn"
        )
    if len(names) * 2 > len(cells):
        raise TableError(
            f"{path}: {name} has {len(names)} different values in {len(cells)} rows: too few rows "
            "for each class"
        )
    return labels, tuple(names), because


def _regression(
    path: Path, name: str, cells: Sequence[str], lines: Sequence[int], because: str
) -> tuple[Any, None, str]:
    values = [_number(cell) for cell in cells]
    bad = [k for k, value in enumerate(values) if value is None]
    if bad:
        raise TableError(
            f"{path}, line {lines[bad[0]]}: {name} is {cells[bad[0]]!r}, and a regression needs "
            "numbers"
        )
    numbers = np.array(values)
    if np.all(numbers == numbers[0]):
        raise TableError(f"{path}: every row has {name} = {cells[0]}: there is nothing to learn")
    return numbers.astype(np.float32), None, because


def _listed(names: Sequence[str], quoted: bool = True) -> str:
    """The first dozen names."""
    shown = [repr(n) if quoted else n for n in names[:12]]
    return ", ".join(shown) + (f", … ({len(names)} in all)" if len(names) > 12 else "")


def _quoted(name: str) -> str:
    return f'"{name}"' if " " in name else name


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


# ------------------------------------------------------------------------------ into training parts


def split(table: Table, share: float, rng: np.random.Generator) -> tuple[Any, Any]:
    """The rows to train on and the rows to test on.

    Args:
        table: What is divided.
        share: How much is for the test. Of each class it is this share, rounded; of classes that
            have one example only, none.
        rng: Decides which rows.

    Returns:
        Two arrays of row numbers, both in order.
    """
    rows = len(table.y)
    if table.classes is None:
        groups = [np.arange(rows)]
    else:
        groups = [np.flatnonzero(table.y == k) for k in range(len(table.classes))]
    chosen = np.zeros(rows, bool)
    for group in groups:
        chosen[rng.permutation(group)[: round(share * len(group))]] = True
    if not chosen.any():  # many classes of two or three examples
        chosen[rng.permutation(rows)[: round(share * rows)]] = True
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


@dataclass(frozen=True, eq=False)
class Scaling:
    """Numbers brought to mean 0 and deviation 1, as they are in the rows that are trained on.

    Attributes:
        mean: Subtracted; shape ``(columns,)`` or ``()``.
        deviation: Divided by; the same shape.
    """

    mean: Any
    deviation: Any

    @classmethod
    def of(cls, values: Any, one_unit: bool = False) -> Scaling:
        """What brings these values there.

        Args:
            values: Numbers ``(rows, columns)`` or ``(rows,)``.
            one_unit: Divide all columns by the same number: pixels at the rim, which are hardly
                ever other than white, are then not blown up.
        """
        wide = np.asarray(values, np.float64)
        mean = wide.mean(axis=0)
        deviation = np.asarray((wide - mean).std() if one_unit else wide.std(axis=0))
        flat = deviation <= 1e-7 * (np.abs(mean) if not one_unit else np.abs(mean).max())
        deviation = np.broadcast_to(np.where(flat, 1.0, deviation), mean.shape)
        return cls(mean.astype(np.float32), deviation.astype(np.float32))

    def __call__(self, values: Any) -> Any:
        """The values, scaled."""
        return (values - self.mean) / self.deviation
