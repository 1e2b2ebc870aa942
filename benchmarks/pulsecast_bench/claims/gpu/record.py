"""What the program finds, as it is written, and in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pulsecast.foundation.tables import duration_text, text_table

from .card import Card, Use


@dataclass(frozen=True, kw_only=True)
class Side:
    """One training: seconds of each epoch, the first of which traces the graph; loss of the last one.

    device  where the weights were, as the Keras backend says it
    """

    way: str
    device: str
    epoch_s: tuple[float, ...]
    loss: float

    @property
    def usual_s(self) -> float | None:
        """The median of the epochs after the first one; None without such."""
        return float(np.median(self.epoch_s[1:])) if len(self.epoch_s) > 1 else None


@dataclass(frozen=True, kw_only=True)
class Ran:
    """Calls of one artifact by one engine: where it really ran, the largest error over the range, median of a call."""

    artifact: str
    engine: str
    device: str
    max_error: float
    limit: float
    call_us: Mapping[int, float]

    @property
    def passed(self) -> bool:
        """Whether the error is within the artifact's own limit."""
        return self.max_error <= self.limit


@dataclass(frozen=True, kw_only=True)
class Found:
    """All of one run. `unseen` says what this machine could not show, and why."""

    card: Card | None
    keras_backend: str
    versions: Mapping[str, str]
    windows: int
    batch_size: int
    sides: tuple[Side, ...]
    use: Use
    verified_on_cpu: Mapping[str, bool]
    ran: tuple[Ran, ...]
    unseen: tuple[str, ...]
    spent_s: float

    @property
    def proven(self) -> bool:
        """Whether the bundle was made and all that ran of it computes the trained forecast."""
        return bool(self.verified_on_cpu) and all(self.verified_on_cpu.values()) and all(r.passed for r in self.ran)


def words(found: Found) -> str:
    """Return the record as it is printed."""
    card = f"{found.card.name}, driver {found.card.driver}" if found.card else "no NVIDIA card"
    trained = [
        (
            one.way,
            one.device,
            _seconds(one.epoch_s[0] if one.epoch_s else None),
            _seconds(one.usual_s),
            f"{one.loss:.3g}",
        )
        for one in found.sides
    ]
    ran = [
        (one.artifact, one.engine, one.device, f"{one.max_error:.1e}", f"{one.limit:.0e}", _calls(one.call_us))
        for one in found.ran
    ]
    passed, of = sum(found.verified_on_cpu.values()), len(found.verified_on_cpu)
    proof = f"{passed} of {of} artifacts compute the trained forecast" if of else "NOTHING is verified"
    lines = [
        f"{card}; Keras on {found.keras_backend}; {found.windows:,} windows in batches of {found.batch_size}",
        text_table(("training", "device", "first epoch", "an epoch", "loss"), trained),
        *_ratios(found.sides),
        f"the card: {found.use.words()}",
        f"without a card: {proof}",
        *([text_table(("artifact", "engine", "ran on", "error/range", "limit", "call by batch"), ran)] if ran else []),
        *(f"NOT SEEN: {reason}" for reason in found.unseen),
        f"{duration_text(found.spent_s)} in all",
    ]
    return "\n".join(lines)


def _ratios(sides: tuple[Side, ...]) -> list[str]:
    """Return the ratios that both sides of have usual epochs."""
    usual = {one.way: one.usual_s for one in sides}
    pairs = (
        ("pulsecast, card", "model.fit, card"),
        ("pulsecast, cpu", "model.fit, cpu"),
        ("pulsecast, card", "pulsecast, cpu"),
    )
    return [
        f"{ours} over {theirs}: {a / b:.2f}"
        for ours, theirs in pairs
        if (a := usual.get(ours)) is not None and (b := usual.get(theirs)) is not None and b > 0
    ]


def _seconds(value: float | None) -> str:
    return "-" if value is None else duration_text(value)


def _calls(call_us: Mapping[int, float]) -> str:
    return ", ".join(f"{batch}: {spent:,.0f} us" for batch, spent in call_us.items())
