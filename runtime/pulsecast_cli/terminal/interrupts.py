"""SIGTERM and SIGHUP end a command as Ctrl-C does: its children end, and what it has half written is removed."""

from __future__ import annotations

import signal

from pulsecast.stages.exits import INTERRUPTED

_WORDS = {"SIGTERM": "terminated", "SIGHUP": "the terminal was closed"}  # Windows has no SIGHUP
_received: list[signal.Signals] = []


def interrupt_on_signals() -> None:
    """Let these signals raise KeyboardInterrupt in the main thread; one that is ignored, as under nohup, stays so."""
    for name in _WORDS:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _interrupt)


def end_on_signals() -> None:
    """Let these signals end the process again: its work is done, and what libraries do at exit may take long."""
    for name in _WORDS:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is _interrupt:
            signal.signal(number, signal.SIG_DFL)


def ending() -> tuple[str, int]:
    """Return the word and the exit code for a command that KeyboardInterrupt ended."""
    if not _received:
        return "interrupted", INTERRUPTED
    return _WORDS[_received[0].name], 128 + _received[0]


def _interrupt(number: int, frame: object) -> None:
    del frame
    _received.append(signal.Signals(number))
    raise KeyboardInterrupt
