"""Exit codes: what a script learns from a finished command. `EXITS` says what each one means."""

from __future__ import annotations

from typing import NamedTuple

from ..errors import BundleError, MissingExtraError, PulsecastError, ToleranceError, UsageError

OK = 0
FAILED = 1
USAGE = 2
OUT_OF_TOLERANCE = 3
UNSTABLE = 4
INTEGRITY = 5
MISSING_EXTRA = 6
INTERRUPTED = 130  # as a shell reports it: 128 + SIGINT
HUNG_UP = 129  # 128 + SIGHUP
TERMINATED = 143  # 128 + SIGTERM


class Exit(NamedTuple):
    """A row of EXITS: the code, a word for it, and when a command ends with it."""

    code: int
    word: str
    meaning: str


EXITS = (
    Exit(OK, "ok", "The work is done."),
    Exit(FAILED, "failed", "The arguments were right and the work failed: a log with refused rows, a full disk."),
    Exit(USAGE, "usage", "An argument was wrong: an unknown option, or a file of another kind."),
    Exit(OUT_OF_TOLERANCE, "out of tolerance", "An artifact, or a server, does not compute the reference's forecast."),
    Exit(UNSTABLE, "unstable", "A measurement did not settle; its result is written."),
    Exit(INTEGRITY, "integrity", "A bundle, model or result is damaged, changed or incomplete."),
    Exit(MISSING_EXTRA, "missing extra", "A package is not installed; the message names the extra."),
    Exit(HUNG_UP, "hung up", "The terminal was closed."),
    Exit(INTERRUPTED, "interrupted", "Ctrl-C; what can go on is said before."),
    Exit(TERMINATED, "terminated", "SIGTERM; nothing half written is left."),
)

_CODES: tuple[tuple[type[PulsecastError], int], ...] = (
    (UsageError, USAGE),
    (ToleranceError, OUT_OF_TOLERANCE),
    (BundleError, INTEGRITY),
    (MissingExtraError, MISSING_EXTRA),
)


def exit_code(error: PulsecastError) -> int:
    """Return the exit code for `error`.

    >>> exit_code(UsageError("no backend 'tpu'"))
    2
    """
    return exit_code_of(type(error))


def exit_code_of(kind: type[PulsecastError]) -> int:
    """Return the exit code for errors of a class."""
    return next((code for parent, code in _CODES if issubclass(kind, parent)), FAILED)
