"""The servers that are compared: how each is started, when it is ready, what it is asked, what memory it holds."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pulsecast.errors import EngineError, UsageError

from ...wire.http_connection import HttpConnection, http_request
from ...wire.server import Server

PROGRAMS = Path(__file__).parent / "programs"
NAME = "model"  # of the model, in every server
READY_S = 120.0  # that a server may take
_POLL_S = 0.01
NOOP = "no-op"
OURS, TIMESERIES, BATCHES = "pulsecast", "pulsecast, time series", "pulsecast, batches"
_BATCH_WAIT_US = 200  # of BATCHES, which forecasts for requests together that come within it, as Triton does


@dataclass(frozen=True, kw_only=True)
class Start:
    """What starts a server: the command of a port; `ours` imports from where this process does."""

    command: Callable[[int], Sequence[str]]
    ours: bool = False


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A server that is not ours.

    program  below PROGRAMS, for its own environment's Python
    columns  its inputs of one number for each window are (batch, 1)
    """

    program: str
    columns: bool = False


# name -> what is run by the Python of the environment that is given for it
PEERS: Mapping[str, Peer] = {
    "kserve": Peer(program="kserve_server.py"),
    "mlserver": Peer(program="mlserver_server.py"),
    "triton": Peer(program="triton_server.py", columns=True),
}


def starts(bundle: Path, model: Path, environments: Mapping[str, Path], answer_bytes: int) -> dict[str, Start]:
    """Return how each server is started, by its name; `answer_bytes` is the length of the no-op's answers."""
    serve = [sys.executable, "-m", "pulsecast_cli", "serve", f"{NAME}={bundle}", "--artifact", "onnx", "--port"]
    noop = [sys.executable, str(PROGRAMS / "noop.py")]
    found = {
        OURS: Start(command=lambda port: [*serve, str(port)], ours=True),
        BATCHES: Start(
            command=lambda port: [*serve, str(port), "--batch-wait-us", str(_BATCH_WAIT_US)],
            ours=True,
        ),
        NOOP: Start(command=lambda port: [*noop, str(port), str(answer_bytes)], ours=True),
    }
    for name, environment in environments.items():
        program = [str(environment / "bin" / "python"), str(PROGRAMS / PEERS[name].program)]
        found[name] = Start(command=lambda port, program=program: [*program, str(port), str(model), NAME])  # type: ignore[misc]
    return found


def peer_environments(given: Sequence[str]) -> dict[str, Path]:
    """Return the environments in NAME=FOLDER; raises UsageError for an unknown name or a folder without Python."""
    found = {}
    for text in given:
        name, equals, folder = text.partition("=")
        if name not in PEERS or not equals:
            raise UsageError(f"{text!r} is not a peer; expected NAME=FOLDER, with a NAME of {', '.join(PEERS)}")
        if not os.access(Path(folder) / "bin" / "python", os.X_OK):
            raise UsageError(f"{folder} is not an environment of Python; benchmarks/README.md has the command for it")
        found[name] = Path(folder).absolute()
    return found


@dataclass(frozen=True, kw_only=True)
class Running:
    """A server in a process of its own; `ready_s` is from before its start until it said that the model is ready."""

    server: Server
    process: subprocess.Popen[bytes]
    ready_s: float

    def resident_bytes(self) -> int:
        """Return the memory of the process and its children; pages that they share count once."""
        return sum(_proportional_bytes(pid) for pid in family(self.process.pid))


@contextlib.contextmanager
def running(start: Start, folder: Path) -> Iterator[Running]:
    """Yield a server once it is ready; it works in `folder`, and is stopped at the end.

    Raises EngineError, with what it said last, if it ends or takes longer than READY_S.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port = _free_port()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if start.ours:
        environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    with (folder / "log").open("wb") as log:
        began = time.perf_counter()
        process = subprocess.Popen(
            start.command(port), cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
    server = Server(url=f"http://127.0.0.1:{port}")
    try:
        _wait_until_ready(server, process, began, folder / "log")
        yield Running(server=server, process=process, ready_s=time.perf_counter() - began)
    finally:
        _stop(process)


def _wait_until_ready(server: Server, process: subprocess.Popen[bytes], began: float, log: Path) -> None:
    request = http_request(server, "GET", f"/v2/models/{NAME}/ready", b"")
    while time.perf_counter() - began < READY_S:
        if process.poll() is not None:
            break
        try:
            with contextlib.closing(HttpConnection(server)) as connection:
                connection.ask(request)
        except EngineError:
            time.sleep(_POLL_S)
            continue
        return
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["nothing"]
    raise EngineError(f"{process.args!r} is not ready within {READY_S:g} s; it said last: {lines[-1][:300]}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a server and what it started; it has a session of its own."""
    members = family(process.pid)
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(10)
    for pid in members:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait(10)


def family(pid: int) -> list[int]:
    """Return a process and all that came from it, as far as they run."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def _proportional_bytes(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def _free_port() -> int:
    """Return a port with two free ones behind it, as far as can be known: some servers take three."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
    return port


def in_columns(body: bytes) -> bytes:
    """Return a request of Open Inference whose inputs of one number for each window are (batch, 1)."""
    document = json.loads(body)
    for one in document["inputs"]:
        if len(one["shape"]) == 1:
            one["shape"].append(1)
    return json.dumps(document, separators=(",", ":")).encode()
