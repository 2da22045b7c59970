"""Answers of peers that are kept, so that a page can be written where a peer is not installed."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.comparison.probing import GOOD, NOT_ASKED, NOTHING

FILE = Path(__file__).parents[1] / "results" / "comparison.json"
SHORT = {"g": GOOD, "n": NOTHING, "-": NOT_ASKED}
LETTER = {word: letter for letter, word in SHORT.items()}

Kept = dict[str, dict[str, list[str]]]


def load() -> tuple[dict[str, str], Kept]:
    """Library → its version, and library → mark of a call → its answers."""
    if not FILE.exists():
        return {}, {}
    stored = json.loads(FILE.read_text("utf-8"))
    versions = {library: one["version"] for library, one in stored.items()}
    return versions, {
        library: {key: _long(given) for key, given in one["answers"].items()}
        for library, one in stored.items()
    }


def save(versions: dict[str, str], kept: Kept) -> None:
    """Keep all answers, a line for each; of what is refused, not the reason."""
    stored = {
        library: {
            "version": versions[library],
            "answers": {key: _brief(given) for key, given in sorted(answers.items())},
        }
        for library, answers in kept.items()
    }
    FILE.write_text(json.dumps(stored, indent=0, ensure_ascii=False) + "\n", "utf-8")


def _brief(given: list[str]) -> str | list[str]:
    plain = [NOTHING if one.startswith(NOTHING) else one for one in given]
    letters = [LETTER.get(one, "") for one in plain]
    return "".join(letters) if all(letters) else plain


def _long(given: str | list[str]) -> list[str]:
    return [SHORT[letter] for letter in given] if isinstance(given, str) else given
