"""The command line: arguments in, an explanation out, and never a traceback on bad input."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of the ``chainrule`` command."""
    from chainrule.cli.app import app

    app(prog_name="chainrule")
    sys.exit(0)
