"""The command line, `pulsecast COMMAND`: the one place that knows all four packages; the runtime never imports it."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line of this process and exit with one of the codes in `pulsecast.stages.exits`."""
    try:
        code = _interruptible(sys.argv[1:])
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


def _interruptible(arguments: list[str]) -> int:
    from .terminal.interrupts import ending, interrupt_on_signals

    interrupt_on_signals()
    try:
        return _run(arguments)
    except KeyboardInterrupt:  # during the imports, or again at the end; a command reports its own interrupt
        return ending()[1]


def _run(arguments: list[str]) -> int:
    try:
        from .app import run
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich"):
            raise
        print(
            f"error: the command line needs {error.name}, which is not installed: pip install 'pulsecast[cli]'",
            file=sys.stderr,
        )
        return 6
    from .terminal.engine_log import engine_log

    with engine_log(shown=arguments[:1] == ["--verbose"]):
        return run(arguments)
