"""The command line, `pulsecast COMMAND`: the one place that knows all four packages; the runtime never imports it."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line of this process and exit with one of the codes in `pulsecast.stages.exits`."""
    try:
        from .terminal.interrupts import end_on_signals, ending, interrupt_on_signals
    except KeyboardInterrupt:
        sys.exit(130)
    try:
        interrupt_on_signals()
        code = _run(sys.argv[1:])
    except KeyboardInterrupt:  # during the imports, or again at the end; a command reports its own interrupt
        code = ending()[1]
    end_on_signals()
    exec("")  # noqa: S102  # else Python, if it was interrupted inside an exec, ends itself by SIGINT in place of `code`
    sys.exit(code)


def _run(arguments: list[str]) -> int:
    try:
        from .app import run
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich"):
            raise
        print(
            f"error[missing-extra]: the command line needs {error.name}, which is not installed: "
            "pip install 'pulsecast[cli]'",
            file=sys.stderr,
        )
        return 6
    from .terminal.engine_log import engine_log

    # a server's log goes to stderr, also from its worker processes, which have file descriptor 2 alone
    with engine_log(shown=arguments[:1] in (["--verbose"], ["serve"])):
        return run(arguments)
