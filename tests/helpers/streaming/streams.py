"""`pulsecast stream` in a process of its own, and what it should give."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from helpers import plain
from helpers.streaming.kafka import WAIT_S, Broker, until
from pulsecast import Forecaster
from pulsecast_streams import Answer, Policies, Received, answer
from pulsecast_streams.messages.writing import written
from pulsecast_streams.policies import USUAL

PROPERTIES = "session.timeout.ms=6000\nheartbeat.interval.ms=500\ntransaction.timeout.ms=10000\n"
RATE = 0.05
Message = tuple[str, bytes]


def measurements(series: Iterable[str], steps: int) -> list[Message]:
    """Return messages of several series in turn: an hourly column, each series at another place, with some bursts."""
    column, names = plain.series(), list(series)
    found = []
    for n in range(steps):
        for i, name in enumerate(names):
            value = column[(n + 7 * i) % len(column)] * (40 if n > 90 and (n + i) % 37 == 0 else 1)
            found.append((name, message(n, value)))
    return found


def message(n: int, value: object) -> bytes:
    return json.dumps({"time": plain.START_S + plain.STEP_S * n, "value": value}).encode()


@dataclass(kw_only=True)
class Expected:
    """What an undisturbed run gives, by series, in order."""

    forecasts: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    alarms: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    dead_letters: list[Any] = field(default_factory=list)
    states: dict[str, bytes | None] = field(default_factory=dict)

    def take(self, model: Forecaster, messages: Iterable[Message], policies: Policies = USUAL) -> Expected:
        for name, value in messages:
            self.add(name, answer(model, Received(key=name, value=value), self.states.get(name), policies=policies))
        return self

    def add(self, name: str, found: Answer) -> None:
        self.states[name] = found.state
        if found.forecast is not None:
            self.forecasts[name].append(json.loads(written(found.forecast)))
        self.alarms[name] += [json.loads(written(one)) for one in found.alarms]
        self.dead_letters += [] if found.dead_letter is None else [found.dead_letter]


def by_series(records: Iterable[dict[str, Any]]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = defaultdict(list)
    for record in records:
        found[record["series"]].append(record)
    return found


def without_repeats(records: list[Any]) -> list[Any]:
    """Return records as they came first, by time; fails if a repeat differs in more than how it arrived."""
    found: dict[int, Any] = {}
    for record in records:
        first = found.setdefault(record["time"], record)
        assert {**record, "arrival": None} == {**first, "arrival": None}
    return list(found.values())


@dataclass(kw_only=True)
class Stream:
    """A process; what it says on stderr is kept."""

    words: list[str]
    process: subprocess.Popen[str] | None = None
    said: list[str] = field(default_factory=list)

    def start(self) -> Stream:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pulsecast_cli", "stream", *self.words], stderr=subprocess.PIPE, text=True
        )
        assert self.process.stderr is not None
        threading.Thread(target=self._listen, args=(self.process.stderr,), daemon=True).start()
        return self

    def _listen(self, pipe: IO[str]) -> None:
        self.said.extend(pipe)

    def ready(self) -> Stream:
        """Wait until it reads."""
        until(lambda: self.ended or "Ctrl-C stops it" in "".join(self.said), "the stream reads")
        assert not self.ended, "".join(self.said)
        return self

    @property
    def ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(WAIT_S)

    def stop(self) -> int:
        """Send SIGTERM and return the exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(WAIT_S)


Streaming = Callable[..., Stream]  # of a topic and more words


def words(broker: Broker, bundle: Path, topic: str, state: Path, *more: str) -> list[str]:
    """Return the command line of a stream from `topic` to `topic`-forecasts, with alarms."""
    properties = state.parent / "properties"
    properties.write_text(PROPERTIES)
    return [
        str(bundle), "--kafka", broker.address, "--from", topic, "--to", f"{topic}-forecasts", "--alarms",
        f"{topic}-alarms", "--group", f"group-{topic}", "--state", str(state), "--properties", str(properties),
        "--rate", str(RATE), "--backend", "numpy", "--commit", "0.5", *more,
    ]  # fmt: skip
