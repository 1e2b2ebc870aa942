"""Faults to put into a series that has none, each drawn from a seed: what a detector should find."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


class Fault(Protocol):
    """Returns `part` (steps,) of a series as the fault leaves it; `before` are the values of the day before."""

    def __call__(self, part: Values, before: Values, rng: np.random.Generator) -> Values:
        """Return the changed part: (steps,)."""
        ...


@dataclass(frozen=True, kw_only=True)
class Injection:
    """A kind of fault: for how many hours it lasts, and what it does."""

    hours: int
    fault: Fault


def spike(part: Values, before: Values, rng: np.random.Generator) -> Values:
    """One step has three times its value."""
    del before, rng
    return 3.0 * part


def burst(part: Values, before: Values, rng: np.random.Generator) -> Values:
    """Interest doubles within an hour and fades away."""
    del before, rng
    return part * (1.0 + np.linspace(1.0, 0.0, len(part), endpoint=False))


def shift(part: Values, before: Values, rng: np.random.Generator) -> Values:
    """The level is half as high again, and stays there."""
    del before, rng
    return 1.5 * part


def outage(part: Values, before: Values, rng: np.random.Generator) -> Values:
    """Nothing arrives."""
    del before, rng
    return np.zeros(len(part))


def flat(part: Values, before: Values, rng: np.random.Generator) -> Values:
    """The last value is repeated."""
    del rng
    return np.full(len(part), before[-1])


def bot_constant(part: Values, before: Values, rng: np.random.Generator) -> Values:
    """A bot adds the same to every step: the median of the day before."""
    del rng
    return part + np.median(before)


def bot_periodic(part: Values, before: Values, rng: np.random.Generator) -> Values:
    """A bot adds twice the median of the day before to every third step."""
    added = np.zeros(len(part))
    added[rng.integers(3) :: 3] = 2.0 * np.median(before)
    return part + added


def bot_only(part: Values, before: Values, rng: np.random.Generator) -> Values:
    """People are gone: a bot posts by the clock, in a cycle of one to four steps, as much as there was on average."""
    cycle: Values = np.round(np.median(before) * rng.uniform(0.7, 1.3, rng.integers(1, 5)))
    return np.resize(cycle, len(part))


# kind -> injection
INJECTIONS: dict[str, Injection] = {
    "spike": Injection(hours=1, fault=spike),
    "burst": Injection(hours=6, fault=burst),
    "shift": Injection(hours=72, fault=shift),
    "outage": Injection(hours=6, fault=outage),
    "flat": Injection(hours=24, fault=flat),
    "bot constant": Injection(hours=24, fault=bot_constant),
    "bot periodic": Injection(hours=24, fault=bot_periodic),
    "bot only": Injection(hours=36, fault=bot_only),
}


def injected(values: Values, at: int, kind: str, step_s: int, seed: int) -> tuple[Values, slice]:
    """Return `values` (steps,) with a fault from step `at` on, and its steps; at least one, and at most to the end."""
    found = INJECTIONS[kind]
    steps = slice(at, min(at + max(1, found.hours * 3600 // step_s), len(values)))
    rng = np.random.default_rng([seed, at])
    changed = values.copy()
    day = max(1, 86400 // step_s)
    changed[steps] = found.fault(values[steps], values[max(0, at - day) : at], rng)
    return changed, steps
