"""tls:// of NATS: nothing is sent before the connection is secured, whatever the server says."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from helpers.engines import require
from helpers.serving.certificates import write_certificates
from pulsecast import Forecaster
from pulsecast.errors import EngineError
from pulsecast_streams import BrokerConfig, stream_broker

require("faststream", "nats")

WAIT_S = 30.0
INFO = {"server_id": "A", "version": "2.10.0", "headers": True, "max_payload": 1048576, "jetstream": True}


class Server:
    """Says INFO to each client, and keeps what it is told; over TLS with a context."""

    def __init__(self, info: dict[str, object], context: ssl.SSLContext | None = None) -> None:
        self._info, self._context = json.dumps(info).encode(), context
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.heard = b""
        self._clients: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._thread = threading.Thread(target=self._answer, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        port: int = self._listening.getsockname()[1]
        return port

    def _answer(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            self._threads.append(threading.Thread(target=self._talk, args=(client,), daemon=True))
            self._threads[-1].start()

    def _talk(self, client: socket.socket) -> None:
        client.settimeout(WAIT_S)
        self._clients.append(client)
        with suppress(OSError), client:
            client.sendall(b"INFO " + self._info + b"\r\n")
            secured = client if self._context is None else self._context.wrap_socket(client, server_side=True)
            with secured:
                self.heard += secured.recv(4096)

    def close(self) -> bytes:
        """End, and return what clients said; one that waits in silence is cut off."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for client in self._clients:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RD)
        for thread in (self._thread, *self._threads):
            thread.join(WAIT_S)
        return self.heard


@pytest.fixture
def config(tmp_path: Path) -> BrokerConfig:
    return BrokerConfig(kind="nats", source="counts.*", forecasts="out", store=str(tmp_path / "a.db"))


@pytest.mark.parametrize(
    ("who", "more"), [("ann:secret@", {"auth_required": True}), ("secret@", {}), ("", {"tls_available": True})]
)
def test_a_server_that_denies_tls_gets_nothing(
    model: Forecaster, config: BrokerConfig, who: str, more: dict[str, object]
) -> None:
    server = Server(INFO | more)
    with pytest.raises(
        EngineError, match=r"does not speak TLS, which tls:// asks for; nothing was sent to it"
    ) as raised:
        stream_broker(model, f"tls://{who}127.0.0.1:{server.port}", config)
    assert server.close() == b""
    assert "secret" not in str(raised.value)


_PROGRAM = """
import sys
from pulsecast import load
from pulsecast_streams import BrokerConfig, stream_broker
config = BrokerConfig(kind="nats", source="counts.*", forecasts="out", store=sys.argv[3])
stream_broker(load(sys.argv[1], backend="numpy"), sys.argv[2], config)
"""


@pytest.mark.parametrize("name", ["server", "stranger"])
def test_the_password_goes_to_a_server_with_a_signed_certificate_alone(
    calendar_bundle: Path, tmp_path: Path, name: str
) -> None:
    write_certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / f"{name}.pem", tmp_path / f"{name}.key")
    server = Server(INFO | {"tls_required": True, "auth_required": True}, context)
    url = f"tls://a%20nn:s%3Acret@127.0.0.1:{server.port}"
    own = {"SSL_CERT_FILE": str(tmp_path / "ca.pem"), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, calendar_bundle, url, tmp_path / "a.db"], env=os.environ | own,
        capture_output=True, text=True, check=False, timeout=4 * WAIT_S,
    )  # fmt: skip
    heard = server.close()
    assert "EngineError" in done.stderr
    if name == "stranger":
        assert heard == b""
    else:
        said = json.loads(heard.removeprefix(b"CONNECT ").splitlines()[0])
        assert (said["user"], said["pass"]) == ("a nn", "s:cret")
