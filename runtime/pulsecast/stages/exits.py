"""Exit codes: what a script learns from a finished command.

1: the arguments were right, but the work failed, such as a log with refused rows or a full disk. 2: an argument was
wrong, such as an unknown option or a file of another kind. 5: a bundle, model or result is damaged, changed or
incomplete.
"""

from __future__ import annotations

from ..errors import BundleError, MissingExtraError, PulsecastError, ToleranceError, UsageError

OK = 0
FAILED = 1
USAGE = 2
OUT_OF_TOLERANCE = 3
UNSTABLE = 4
INTEGRITY = 5
MISSING_EXTRA = 6
INTERRUPTED = 130  # as a shell reports it: 128 + SIGINT; SIGTERM gives 143 and SIGHUP 129

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
    return next((code for kind, code in _CODES if isinstance(error, kind)), FAILED)
