"""What happened during training, epoch by epoch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from chainrule.display import Displayed


@dataclass(eq=False, repr=False)
class History(Displayed):
    """The course of a training: one number for each epoch in every column.

    ``history["loss"]`` is a column; it prints as a table and draws itself with ``to_picture``.

    Attributes:
        columns: Numbers by name: ``loss``, then ``validation loss`` and the metrics if there are
            any.
        gradients: For each parameter the mean of ‖∂L/∂parameter‖ over the steps of each epoch: the
            gradient flow.
        stopped: Why training ended before its last epoch, if it did.
    """

    columns: dict[str, list[float]] = field(default_factory=dict)
    gradients: dict[str, list[float]] = field(default_factory=dict)
    stopped: str | None = None

    def __len__(self) -> int:
        """How many epochs there were."""
        return len(self.columns.get("loss", ()))

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __getitem__(self, name: str) -> list[float]:
        """One number for each epoch."""
        return self.columns[name]

    def add(self, values: dict[str, float], gradients: dict[str, float]) -> None:
        """One more epoch."""
        for table, new in ((self.columns, values), (self.gradients, gradients)):
            for name, value in new.items():
                table.setdefault(name, []).append(value)

    def to_dict(self) -> dict[str, Any]:
        """The history as plain dicts, lists, strings and numbers, ready for JSON."""
        return {
            "columns": {name: list(v) for name, v in self.columns.items()},
            "gradients": {name: list(v) for name, v in self.gradients.items()},
            "stopped": self.stopped,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> History:
        """What ``to_dict`` was made of."""
        return cls(data["columns"], data["gradients"], data["stopped"])

    def to_text(self, width: int = 100, color: bool = False) -> str:
        """Curves and gradient flow, as the terminal shows them."""
        from chainrule.nn.drawing import as_text

        return as_text(self, width, color)

    def to_picture(self, path: Any) -> None:
        """The same as a picture; the file's ending says its format (needs matplotlib).

        Raises:
            ArgumentsError: matplotlib is not installed.
            FileError: The file cannot be written.
        """
        from chainrule.nn.picture import draw

        draw(self, path)
