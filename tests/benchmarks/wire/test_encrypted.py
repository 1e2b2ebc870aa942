"""Connections with TLS: whom the caller trusts, and with which certificate it comes, over HTTP and gRPC alike."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from helpers.engines import require
from helpers.serving import running
from helpers.serving.certificates import write_certificates
from pulsecast.errors import EngineError, UsageError
from pulsecast_bench import Server
from pulsecast_bench.wire import grpc_connection
from pulsecast_bench.wire.grpc_connection import GrpcConnection
from pulsecast_bench.wire.http_connection import HttpConnection, http_request
from pulsecast_serve import ServerConfig
from pulsecast_serve.rpc.ports import reserved

require("grpc", "cryptography", "uvicorn")
LIVE = "/inference.GRPCInferenceService/ServerLive"


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    write_certificates(folder)
    return folder


@pytest.fixture(scope="module")
def servers(calendar_bundle: Path, pem: Path) -> Iterator[dict[str, str]]:
    """The addresses of one server that answers only clients whose certificate its authority signed."""
    config = ServerConfig(
        grpc_port=0, tls_certificate=str(pem / "server.pem"), tls_key=str(pem / "server.key"),
        client_ca=str(pem / "ca.pem"),
    )  # fmt: skip
    with reserved(config) as settled, running(calendar_bundle, config=settled, tls=True) as client:
        yield {
            "https": client.address.replace("http://", "https://"),
            "grpcs": f"grpcs://127.0.0.1:{settled.grpc_port}",
        }


def live(server: Server) -> bytes:
    """Ask whether a server lives."""
    if server.url.startswith("grpcs"):
        with contextlib.closing(GrpcConnection(server, LIVE)) as rpc:
            return rpc.ask(b"")
    with contextlib.closing(HttpConnection(server)) as connection:
        return connection.ask(http_request(server, "GET", "/v2/health/live", b""))


def trusted(servers: dict[str, str], pem: Path, scheme: str) -> Server:
    return Server(
        url=servers[scheme], ca=str(pem / "ca.pem"), certificate=str(pem / "client.pem"),
        certificate_key=str(pem / "client.key"),
    )  # fmt: skip


@pytest.mark.parametrize(("scheme", "answer"), [("https", b'{"live":true}'), ("grpcs", b"\x08\x01")])
def test_a_caller_that_trusts_the_authority_and_has_its_certificate_is_answered(
    servers: dict[str, str], pem: Path, scheme: str, answer: bytes
) -> None:
    assert live(trusted(servers, pem, scheme)) == answer


@pytest.mark.parametrize("scheme", ["https", "grpcs"])
@pytest.mark.parametrize("lacking", ["authority", "certificate", "signature"])
def test_without_one_of_them_nothing_is_measured(
    servers: dict[str, str], pem: Path, scheme: str, lacking: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grpc_connection, "ANSWER_S", 0.5)  # a channel tries again and again
    stranger = {"certificate": str(pem / "stranger.pem"), "certificate_key": str(pem / "stranger.key")}
    changes: dict[str, dict[str, Any]] = {
        "authority": {"ca": str(pem / "stranger.pem")},
        "certificate": {"certificate": None, "certificate_key": None},
        "signature": stranger,
    }
    with pytest.raises(EngineError):
        live(replace(trusted(servers, pem, scheme), **changes[lacking]))


@pytest.mark.parametrize("scheme", ["https", "grpcs"])
@pytest.mark.parametrize(("ca", "certificate", "key", "reason"), [
    ("nowhere.pem", "client.pem", "client.key", "No such file or directory"),
    ("ca.pem", "client.pem", "server.key", "the key belongs to another certificate"),
    ("client.key", "client.pem", "client.key", "the file of authorities holds no certificate"),
])  # fmt: skip
def test_files_that_cannot_be_used_are_told_from_a_server_that_is_gone(
    pem: Path, scheme: str, ca: str, certificate: str, key: str, reason: str
) -> None:
    server = Server(
        url=f"{scheme}://127.0.0.1:9", ca=str(pem / ca), certificate=str(pem / certificate),
        certificate_key=str(pem / key),
    )  # fmt: skip
    with pytest.raises(UsageError, match=rf"the certificates .* cannot be used: {reason}; expected PEM files"):
        live(server)


def test_certificates_without_encryption_and_half_a_pair_are_refused() -> None:
    with pytest.raises(UsageError, match="which is not encrypted; certificates need https:// or grpcs://"):
        Server(url="http://h", ca="ca.pem")
    with pytest.raises(UsageError, match="a client's certificate and its key go together"):
        Server(url="https://h", certificate="client.pem")
