"""The exit codes in words, for the help."""

from __future__ import annotations

from pulsecast.stages.exits import EXITS


def exits_text() -> str:
    """Return all exit codes as one sentence of Markdown."""
    codes = ", ".join(f"{one.code} {one.word}" for one in EXITS)
    return f"Exit codes: {codes}. `pulsecast COMMAND --help` ends in examples."
