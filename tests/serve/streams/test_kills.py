"""kill -9 in the middle of pushes: what was answered stays, and the next forecasts are those of an undisturbed run."""

from __future__ import annotations

import http.client
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from helpers import native_models, plain
from helpers.serving import WAIT_S, Client, Served, started
from helpers.serving.streams import HOUR, START, VALUES, address, same_anomaly, same_numbers
from pulsecast import Forecaster
from pulsecast_serve.streams.kept import Key
from pulsecast_serve.streams.store import open_store

SOAK_PUSHES = int(os.environ.get("PULSECAST_SOAK_PUSHES", "1000000"))
SOAK_KILL_S = 10.0


class Server:
    """`pulsecast serve` on one store, killed and started again while clients push."""

    def __init__(self, stack: ExitStack, *arguments: str | Path) -> None:
        self._stack = stack
        self._arguments = arguments
        self._lock = threading.Condition()
        self._address: str | None = None
        self.answers = 0
        self.kills = 0
        self.start()

    def start(self) -> None:
        self._own = self._stack.enter_context(ExitStack())
        self._served: Served = self._own.enter_context(started(*self._arguments))
        with self._lock:
            self._address = self._served.client.address.removeprefix("http://")
            self._lock.notify_all()

    def kill(self) -> None:
        """Kill all its processes at once, and start it again."""
        with self._lock:
            self._address = None
        os.killpg(self._served.process.pid, signal.SIGKILL)
        self._own.close()
        self.kills += 1
        self.start()

    def address(self) -> str:
        """Return where it answers; waits while it is being started."""
        with self._lock:
            assert self._lock.wait_for(lambda: self._address is not None, WAIT_S)
            assert self._address is not None
            return self._address

    def answered(self) -> None:
        with self._lock:
            self.answers += 1
            self._lock.notify_all()

    def wait_for(self, answers: int, timeout: float | None = WAIT_S) -> bool:
        with self._lock:
            return self._lock.wait_for(lambda: self.answers >= answers, timeout)


@contextmanager
def serving(*arguments: str | Path) -> Iterator[Server]:
    with ExitStack() as stack:
        yield Server(stack, *arguments)


def value(series: int, step: int) -> float:
    return VALUES[(step + 37 * series) % len(VALUES)]


class Pusher(threading.Thread):
    """Pushes the steps of one series, each until it is answered, and checks every answer against a detector."""

    def __init__(self, server: Server, model: Forecaster, series: int, steps: int) -> None:
        super().__init__(daemon=True)
        self.server, self.series, self.steps = server, series, steps
        self.model = model
        self.wrong: list[Any] = []
        self.again = 0
        self.detector = model.detector()

    def run(self) -> None:
        try:
            self._push_all()
        except BaseException as error:
            self.wrong.append(error)

    def _push_all(self) -> None:
        connection = http.client.HTTPConnection(self.server.address(), timeout=WAIT_S)
        for step in range(self.steps):
            sent = {"value": value(self.series, step), "time": START + step * HOUR}
            for tries in count():
                try:
                    connection.request("POST", address(f"s{self.series}"), json.dumps(sent).encode())
                    reply = connection.getresponse()
                    said = json.loads(reply.read())
                except (OSError, http.client.HTTPException):
                    assert tries < 1000
                    connection.close()
                    connection = http.client.HTTPConnection(self.server.address(), timeout=WAIT_S)
                    continue
                self._check(step, sent, reply.status, said)
                break
            self.server.answered()

    def _check(self, step: int, sent: dict[str, Any], status: int, said: dict[str, Any]) -> None:
        judged = self.detector.push(sent["value"], timestamp=sent["time"])
        self.again += said.get("arrival") == "repeated"
        good = (
            status == 200
            and said["arrival"] in ("next", "repeated")
            and said["time"] == sent["time"]
            and same_numbers(said["forecast"], self.detector.forecasts)
            and same_anomaly(said["anomaly"], judged)
        )
        if not good:
            self.wrong.append((step, status, said))


def nothing_is_lost(pushers: Sequence[Pusher], store: Path) -> None:
    """Check every answer, and what is in the file at the end."""
    for pusher in pushers:
        pusher.join(WAIT_S)
        assert not pusher.is_alive()
        assert pusher.wrong[:3] == []
    found = open_store(str(store))
    for pusher in pushers:
        kept = found.get(Key("plain", f"s{pusher.series}"))
        assert kept is not None
        assert kept.state == pusher.detector.to_bytes()
        assert kept.seen == pusher.steps
    found.close()


@pytest.mark.slow
def test_a_kill_in_the_middle_of_pushes_loses_nothing(bundle: Path, model: Forecaster, tmp_path: Path) -> None:
    """Two workers, four clients: when one hears an answer and the server is killed, others have not heard theirs."""
    store = tmp_path / "s.sqlite"
    with serving(bundle, "--store", store, "--workers", "2", "--backend", "numpy") as server:
        pushers = [Pusher(server, model, series, 90) for series in range(4)]
        for pusher in pushers:
            pusher.start()
        assert server.wait_for(90)
        server.kill()
        assert server.wait_for(4 * 90)
        nothing_is_lost(pushers, store)
        text = Client(f"http://{server.address()}").get("/metrics").body.decode()
        assert 'pulsecast_streams{model="plain"} 4.0' in text  # of the store, whichever worker answers
        assert 'pulsecast_model_version{model="plain",version="1"} 1.0' in text
        assert 'pulsecast_stream_pushes_total{arrival="next",model="plain"}' in text


@pytest.mark.soak
def test_a_million_pushes_with_a_kill_every_ten_seconds_lose_nothing(
    change_model: plain.PlainModel, tmp_path: Path
) -> None:
    """PULSECAST_SOAK_PUSHES says how many. The model is compiled: here, too, every push is judged."""
    store, options = tmp_path / "s.sqlite", ("--workers", "2", "--backend", "native", "--trust-code")
    with (
        native_models.loaded_native(change_model, tmp_path / "plain") as model,
        serving(f"plain={tmp_path / 'plain' / 'bundle'}", "--store", store, *options) as server,
    ):
        pushers = [Pusher(server, model, series, SOAK_PUSHES // 8) for series in range(8)]
        for pusher in pushers:
            pusher.start()
        while not server.wait_for(SOAK_PUSHES // 8 * 8, SOAK_KILL_S) and any(one.is_alive() for one in pushers):
            server.kill()
        nothing_is_lost(pushers, store)
        again = sum(one.again for one in pushers)
        assert server.answers == SOAK_PUSHES // 8 * 8
        sys.stdout.write(f"{server.answers:,} pushes, {server.kills} kills, {again} pushes answered the second time\n")
