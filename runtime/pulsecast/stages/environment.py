"""What this process runs on: versions and platform, without paths, users or host names."""

from __future__ import annotations

import platform
import re
import zoneinfo
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from .. import __version__, limits

PACKAGES = (
    "numpy",
    "tensorflow",
    "keras",
    "scikit-learn",
    "polars",
    "holidays",
    "tf2onnx",
    "onnx",
    "onnxruntime",
    "onnxruntime-gpu",
    "ai-edge-litert",
    "ai-edge-quantizer",
)


def installed_versions() -> dict[str, str]:
    """Return the versions of Python, of pulsecast itself and of those PACKAGES that are installed."""
    found = {"python": platform.python_version(), "pulsecast": __version__}  # a checkout has no distribution
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def platform_name() -> str:
    """Return operating system and processor architecture, e.g. `Linux x86_64`."""
    return f"{platform.system()} {platform.machine()}"


_command: list[tuple[str, ...]] = []


def set_command(arguments: Sequence[str] | None) -> None:
    """Remember the running command line for the provenance of its results; None when it has ended.

    Of thousands of logs in it the first are remembered: a manifest holds so many words.
    """
    words = () if arguments is None else ("pulsecast", *map(reduced, arguments))
    kept = words if len(words) <= limits.COMMAND_WORDS else (*words[: limits.COMMAND_WORDS - 1], "...")
    _command[:] = [kept] if kept else []


def commands() -> tuple[tuple[str, ...], ...]:
    """Return the command line of this process as one command, or none if it was not started from one."""
    return tuple(_command)


def reduced(argument: str) -> str:
    """Return an argument; a path is reduced to its last name, because folders can reveal the user.

    A time zone is not a path, although it may look like one.

    >>> reduced("--out=/home/me/bundle"), reduced("log.csv"), reduced("Europe/Berlin")
    ('--out=bundle', 'log.csv', 'Europe/Berlin')
    """
    option, equals, value = argument.partition("=") if argument.startswith("-") else ("", "", argument)
    if not equals and option:
        return argument
    if "/" in value and value in zoneinfo.available_timezones():
        return argument
    name = re.split(r"[/\\]", value.rstrip("/\\"))[-1]
    return f"{option}{equals}{name}"
