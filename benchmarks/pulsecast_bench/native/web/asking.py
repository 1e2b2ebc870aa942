"""What an engine is asked for, and the check of each answer: no time counts of an engine that forecasts badly."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pulsecast.bundle.golden import Golden
from pulsecast.errors import EngineError, ToleranceError

from .children import Child
from .engines import Engine

STEADY, MOST_TURNS = 8, 80
FASTER = 0.95  # of the best turn until then


@dataclass(frozen=True, kw_only=True)
class Asking:
    """Windows with their reference forecasts. Its methods raise EngineError, or ToleranceError for a bad forecast."""

    golden: Golden

    def first(self, child: Child, place: str, engine: Engine) -> float:
        """Open the engine; return the milliseconds from the begin of its process, or page, to its first forecast."""
        values, times = self._numbers()
        answer = child.ask("first", {"engine": engine.opened[place], "window": values[0], "time": times and times[0]})
        self._error(place, engine, [0], [answer["forecast"]])
        return float(answer["ms"])

    def check(self, child: Child, place: str, engine: Engine) -> float:
        """Give an open engine all windows; return its largest error, in parts of the training range."""
        values, times = self._numbers()
        answer = child.ask("check", {"values": values, "times": times})
        return self._error(place, engine, range(len(values)), answer["forecasts"])

    def turn(self, child: Child, place: str, engine: Engine, seconds: float) -> float:
        """Return the median microseconds of a forecast in `seconds` of them, one window a call."""
        answer = child.ask("turn", {"seconds": seconds})
        self._error(place, engine, [answer["window"]], [answer["forecast"]])
        return float(statistics.median(answer["us"]))

    def warm(self, child: Child, place: str, engine: Engine, seconds: float) -> None:
        """Let the engine forecast in turns until it has not become faster for STEADY of them.

        An engine begins with code that was compiled in a hurry. Better code replaces it when it is ready: for 14 MB of
        WebAssembly after some seconds, and a forecast then takes a fourth of the time.
        """
        best, since = float("inf"), 0
        for _ in range(MOST_TURNS):
            took_us = self.turn(child, place, engine, seconds)
            since = since + 1 if took_us > FASTER * best else 0
            best = min(best, took_us)
            if since == STEADY:
                return

    def _numbers(self) -> tuple[list[list[float]], list[int] | None]:
        values, time, _ = self.golden.windows.inputs
        return values.reshape(len(values), -1).tolist(), None if time is None else time.tolist()

    def _error(
        self, place: str, engine: Engine, windows: Sequence[int], forecasts: Sequence[Sequence[float | None]]
    ) -> float:
        """Return the largest error of `forecasts` of these `windows`; JSON has null for NaN."""
        expected, found = self.golden.take(list(windows)), np.array(forecasts, np.float64)
        if found.shape != expected.reference.shape:
            raise EngineError(
                f"{engine.name} in {place} gave {found.shape} forecasts; expected {expected.reference.shape}"
            )
        error = expected.largest_error(found)
        if not error <= engine.tolerance:
            raise ToleranceError(
                f"{engine.name} in {place} is wrong: the largest error / range is {error:.1e}, "
                f"above {engine.tolerance:.1e}; nothing of it counts"
            )
        return error
