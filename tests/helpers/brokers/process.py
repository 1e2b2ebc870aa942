"""A stream in a process of its own, which may be killed."""

from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from helpers.brokers.servers import WAIT_S, Server

_PROGRAM = """
import resource, sys
from pulsecast import load
from pulsecast_streams import BrokerConfig, EventPolicies, Policies, stream_broker
from pulsecast_streams.brokers import pulse
kind, port, bundle, source, name, store, lateness, lost, most = sys.argv[1:]
if int(most):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(most), int(most)))
pulse.LOST_S, pulse.ASK_S = float(lost), min(2.0, float(lost) / 10)
config = BrokerConfig(
    kind=kind, source=source, forecasts=f"{name}-forecasts", alarms=f"{name}-alarms", store=store, reader=name
)
stream_broker(
    load(bundle, backend="numpy"), f"{kind}://127.0.0.1:{port}", config,
    policies=Policies(false_alarm_rate=0.05),
    events=EventPolicies(step_s=3600, lateness_s=int(lateness)) if lateness else None,
    started=lambda said: print(said, flush=True),
)
"""


@dataclass(kw_only=True)
class Streaming:
    """A stream from `name` to `name`-forecasts, `name`-alarms and `name`-dead-letters."""

    server: Server
    bundle: Path
    name: str
    store: Path
    lateness_s: int | None = None  # of events; None for steps
    file_bytes: int = 0  # that a file may have, as on a full disk; 0 for as many as there is room
    lost_s: float = 30.0  # after which a broker is given up
    process: subprocess.Popen[str] | None = None
    said: list[str] = field(default_factory=list)
    _begun: threading.Event = field(default_factory=threading.Event)

    def start(self) -> Streaming:
        """Start, and return once it reads."""
        words = [
            self.server.kind, str(self.server.port), str(self.bundle), self.server.source(self.name), self.name,
            str(self.store), "" if self.lateness_s is None else str(self.lateness_s),
            str(self.lost_s), str(self.file_bytes),
        ]  # fmt: skip
        self.process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert self.process.stdout is not None
        threading.Thread(target=self._listen, args=(self.process.stdout,), daemon=True).start()
        assert self._begun.wait(WAIT_S), "the stream does not begin"
        return self

    def _listen(self, pipe: IO[str]) -> None:
        for line in pipe:
            self.said.append(line)
            self._begun.set()
        self._begun.set()

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(WAIT_S)

    def stop(self) -> int:
        """Send SIGTERM and return the exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(WAIT_S)
