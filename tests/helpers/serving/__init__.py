"""A real server for tests: on loopback, a free port, in a thread of this process or in a process of its own."""

from __future__ import annotations

import http.client
import json
import os
import ssl
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pulsecast_serve import ServerConfig

WAIT_S = 30.0  # for what is always there long before


@dataclass(frozen=True)
class Reply:
    """An answer: its status, headers in small letters, and body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Client:
    """Asks a server at `address`, each time on a connection of its own."""

    address: str

    def ask(self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> Reply:
        """Return the answer; `body` is bytes, or what JSON is made of."""
        sent = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        connection = http.client.HTTPConnection(urllib.parse.urlsplit(self.address).netloc, timeout=WAIT_S)
        try:
            connection.request(method, path, sent, dict(headers or {}))
            answer = connection.getresponse()
            return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Reply:
        """Return the answer to GET."""
        return self.ask("GET", path, headers=headers)

    def post(self, path: str, body: object, headers: Mapping[str, str] | None = None) -> Reply:
        """Return the answer to POST."""
        return self.ask("POST", path, body, headers)


@contextmanager
def running(
    *bundles: Path | str, models: Path | None = None, config: ServerConfig | None = None, tls: bool = False
) -> Iterator[Client]:
    """Yield a client of a server in a thread of this process; it is stopped at the end.

    tls  HTTP is encrypted as `config` says, and the client of no use
    """
    from pulsecast_serve import application

    config = replace(config or ServerConfig(), port=0)
    with running_app(application(bundles, models=models, config=config), config, tls=tls) as client:
        yield client


@contextmanager
def running_app(app: Any, config: ServerConfig, *, tls: bool = False) -> Iterator[Client]:
    """Yield a client of an application in a thread of this process; it is stopped at the end."""
    import uvicorn

    from pulsecast_serve.http.patient import PatientProtocol
    from pulsecast_serve.http.server import Draining, bound

    encrypted = {
        "ssl_certfile": config.tls_certificate, "ssl_keyfile": config.tls_key, "ssl_ca_certs": config.client_ca,
        "ssl_cert_reqs": ssl.CERT_NONE if config.client_ca is None else ssl.CERT_REQUIRED,
    }  # fmt: skip
    options = uvicorn.Config(
        app, http=PatientProtocol, ws="none", lifespan="on", log_config=None, access_log=False,
        **(encrypted if tls else {}),
    )  # fmt: skip
    server = Draining(options)
    with bound(config) as socket:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]}, daemon=True)
        thread.start()
        try:
            yield Client(f"http://127.0.0.1:{socket.getsockname()[1]}")
        finally:
            server.should_exit = True
            thread.join(WAIT_S)
            assert not thread.is_alive()


@dataclass
class Served:
    """A server in a process of its own."""

    process: subprocess.Popen[str]
    client: Client

    def log(self) -> str:
        """Return what it wrote to stderr after its address; it must have ended."""
        assert self.process.stderr is not None
        return self.process.stderr.read()


@contextmanager
def started(*arguments: str | Path, environment: Mapping[str, str] | None = None) -> Iterator[Served]:
    """Yield `pulsecast serve ARGUMENTS --port 0` in a process of its own, which is killed at the end."""
    command = [sys.executable, "-m", "pulsecast_cli", "serve", *map(str, arguments), "--port", "0"]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        env={**os.environ, **(environment or {})}, start_new_session=True,
    )  # fmt: skip
    try:
        assert process.stderr is not None
        first = process.stderr.readline()
        assert "answering on" in first, first + process.stderr.read()
        yield Served(process, Client(first.split("answering on ")[1].split(";")[0]))
    finally:
        if process.poll() is None:
            os.killpg(process.pid, 9)
        process.wait(WAIT_S)
        if process.stderr is not None:
            process.stderr.close()


def series_body(
    model: str, values: list[Any], *, start: str | None = "2026-01-05T00:00:00Z", **more: Any
) -> dict[str, Any]:
    """Return a request of the time-series API for one univariate hourly series."""
    options = {key: more.pop(key) for key in ("horizon", "quantiles") if key in more}
    one = {"type": "univariate_time_series", "name": "a", "series": values, "frequency": "H", **more}
    if start is not None:
        one["start_timestamp"] = start
    return {"model": model, "inputs": [one], "options": options}
