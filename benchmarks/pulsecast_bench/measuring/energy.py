"""Joules from a counter of the machine: RAPL of the processor, or a discharging battery.

On most machines Linux shows RAPL to root only, and a virtual machine has none. The reason is then recorded.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..results.result import Energy

ROOT = Path("/sys/class")
_MICROJOULES_PER_MICROWATT_HOUR = 3600


@dataclass(frozen=True, kw_only=True)
class Counter:
    """Files that together count energy; `wraps_at` is the value after which each restarts, () for a battery."""

    source: str
    files: tuple[Path, ...]
    wraps_at: tuple[int, ...]

    def read(self) -> tuple[int, ...]:
        """Return each file's value; () if one cannot be read any more."""
        found = tuple(_number(file) for file in self.files)
        return () if None in found else tuple(value for value in found if value is not None)

    def spent_uj(self, before: tuple[int, ...], after: tuple[int, ...]) -> int | None:
        """Return microjoules between two readings; None if the counter is too coarse and did not move."""
        if not before or not after:
            return None
        if self.wraps_at:
            pairs = zip(before, after, self.wraps_at, strict=True)
            spent = sum(new - old if new >= old else new + wrap - old for old, new, wrap in pairs)
        else:
            spent = (sum(before) - sum(after)) * _MICROJOULES_PER_MICROWATT_HOUR
        return spent if spent > 0 else None


def find_counter(root: Path = ROOT) -> tuple[Counter | None, str | None]:
    """Return the counter of this machine, or None and the reason."""
    domains = sorted(root.glob("powercap/intel-rapl:[0-9]*"))
    packages = [domain for domain in domains if domain.name.count(":") == 1]  # a subdomain is part of its package
    if packages:
        files = tuple(domain / "energy_uj" for domain in packages)
        wraps = tuple(_number(domain / "max_energy_range_uj") for domain in packages)
        if None not in (*map(_number, files), *wraps):
            limits = tuple(wrap for wrap in wraps if wrap is not None)
            return Counter(source=f"RAPL, {len(files)} package(s)", files=files, wraps_at=limits), None
        return None, "RAPL is there but not readable: it needs root, or read permission for energy_uj"
    batteries = sorted(root.glob("power_supply/*/energy_now"))
    emptied = tuple(file for file in batteries if _text(file.with_name("status")) == "Discharging")
    if emptied:
        return Counter(source="battery", files=emptied, wraps_at=()), None
    if batteries:
        return None, "no RAPL counter was found, and the battery is not being discharged"
    return None, "no RAPL counter (a virtual machine or another processor) and no battery were found"


def describe_energy(root: Path = ROOT) -> Energy:
    """Return the source of energy readings on this machine, or why there is none."""
    counter, reason = find_counter(root)
    return Energy(source=counter.source if counter else None, reason=reason)


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text and text.isdigit() else None


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
