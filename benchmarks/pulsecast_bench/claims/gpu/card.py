"""The card as `nvidia-smi` sees it: what it is, and how busy it was during a stretch of work."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

PROGRAM = "nvidia-smi"
_WHAT = ("name", "driver_version", "memory.total")
_USE = ("utilization.gpu", "memory.used", "power.draw")
_QUIET = "--format=csv,noheader,nounits"
LIMIT_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Card:
    """The first card of this machine; memory in MiB."""

    name: str
    driver: str
    memory_mib: float


@dataclass(kw_only=True)
class Use:
    """Samples of a stretch of work, one a second: busy in percent of the time, memory in MiB, power in watts."""

    busy_percent: list[float] = field(default_factory=list)
    memory_mib: list[float] = field(default_factory=list)
    power_w: list[float] = field(default_factory=list)

    def words(self) -> str:
        """Return the samples in words.

        >>> Use(busy_percent=[0.0, 40.0, 80.0], memory_mib=[900.0, 1200.0]).words()
        'busy 40 % (median of 3 samples, at most 80 %), at most 1,200 MiB'
        """
        if not self.busy_percent:
            return "no sample"
        middle, most = np.median(self.busy_percent), max(self.busy_percent)
        memory = f", at most {max(self.memory_mib):,.0f} MiB" if self.memory_mib else ""
        return f"busy {middle:.0f} % (median of {len(self.busy_percent)} samples, at most {most:.0f} %){memory}"


def find_card() -> Card | None:
    """Return the first card, or None where there is no driver that answers."""
    try:
        done = subprocess.run(
            [PROGRAM, f"--query-gpu={','.join(_WHAT)}", _QUIET],
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    rows = [line.split(", ") for line in done.stdout.splitlines()]
    known = [row for row in rows if len(row) == len(_WHAT)]
    return Card(name=known[0][0], driver=known[0][1], memory_mib=_number(known[0][2]) or 0.0) if known else None


@contextmanager
def watched() -> Iterator[Use]:
    """Yield the use of the first card while the block runs; its samples are there after the block."""
    use = Use()
    try:
        command = [PROGRAM, f"--query-gpu={','.join(_USE)}", _QUIET, "--loop=1", "--id=0"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    except OSError:
        yield use
        return
    try:
        yield use
    finally:
        process.terminate()
        said, _ = process.communicate(timeout=LIMIT_S)
        take(use, said)


def take(use: Use, said: str) -> None:
    """Add the samples in what `nvidia-smi --loop` said; what a card does not report is left out."""
    for line in said.splitlines():
        numbers = [_number(text) for text in line.split(", ")]
        if len(numbers) != len(_USE):
            continue  # the last line may be cut
        for kept, number in zip((use.busy_percent, use.memory_mib, use.power_w), numbers, strict=True):
            if number is not None:
                kept.append(number)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:  # [N/A]
        return None
