"""The program: its commands by name."""

from __future__ import annotations

from typing import Any

import typer

from chainrule.cli.check import check_command
from chainrule.cli.explain import explain_command
from chainrule.cli.nan import nan_command
from chainrule.cli.train import train_command
from chainrule.cli.why import diagnose_command, why_command

app = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False,
    rich_markup_mode="rich", context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip


@app.callback()
def root() -> None:
    """Differentiate, and read every derivative as a worked chain of local derivatives."""


# A formula may begin with a minus.
_AS_WRITTEN: dict[str, Any] = {"context_settings": {"ignore_unknown_options": True}}

app.command("explain", **_AS_WRITTEN)(explain_command)
app.command("check", **_AS_WRITTEN)(check_command)
app.command("why", **_AS_WRITTEN)(why_command)
app.command("diagnose", **_AS_WRITTEN)(diagnose_command)
app.command("nan", **_AS_WRITTEN)(nan_command)
app.command("train")(train_command)
