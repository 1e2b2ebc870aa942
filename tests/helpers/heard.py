"""A `Progress` that remembers, and one that stops the work."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Heard:
    """The reported `lines`, and `steps` as (what, done, total, note)."""

    lines: list[str] = field(default_factory=list)
    steps: list[tuple[str, int, int, str]] = field(default_factory=list)

    def tell(self, line: str) -> None:
        self.lines.append(line)

    def advance(self, what: str, done: int, total: int, note: str = "") -> None:
        self.steps.append((what, done, total, note))

    @property
    def notes(self) -> list[str]:
        return [note for *_, note in self.steps]

    def done(self, what: str) -> list[int]:
        return [done for name, done, _, _ in self.steps if name == what]


class StoppedError(Exception):
    """Raised in the middle of a piece of work."""


@dataclass
class StopAfter(Heard):
    """Raises StoppedError after a number of steps of `what`."""

    what: str = "epoch"
    step: int = 1

    def advance(self, what: str, done: int, total: int, note: str = "") -> None:
        super().advance(what, done, total, note)
        if what == self.what and done == self.step:
            raise StoppedError
