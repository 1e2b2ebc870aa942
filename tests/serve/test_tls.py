"""TLS: a client sees whom it talks to, and where the server asks for it, the server sees the client."""

from __future__ import annotations

import http.client
import ssl
from pathlib import Path

import pytest

from helpers.serving import WAIT_S, Served, started
from helpers.serving.certificates import write_certificates
from pulsecast_cli.app import run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    write_certificates(folder)
    return folder


def status(served: Served, folder: Path, client: str | None = None) -> int:
    """Return the status of a request that trusts our authority alone."""
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    if client is not None:
        context.load_cert_chain(folder / f"{client}.pem", folder / f"{client}.key")
    where = served.client.address.removeprefix("https://")
    connection = http.client.HTTPSConnection(where, timeout=WAIT_S, context=context)
    try:
        connection.request("GET", "/v1/timeseries/models")
        return connection.getresponse().status
    finally:
        connection.close()


def test_a_client_that_trusts_the_authority_is_answered(bundle: Path, certificates: Path) -> None:
    pair = ("--tls-cert", certificates / "server.pem", "--tls-key", certificates / "server.key")
    with started(bundle, *pair) as served:
        assert served.client.address.startswith("https://")
        assert status(served, certificates) == 200
        plain = http.client.HTTPConnection(served.client.address.removeprefix("https://"), timeout=WAIT_S)
        plain.request("GET", "/v1/timeseries/models")  # plain text to a port of TLS
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            plain.getresponse()


def test_only_clients_with_a_signed_certificate_are_answered(bundle: Path, certificates: Path) -> None:
    pair = ("--tls-cert", certificates / "server.pem", "--tls-key", certificates / "server.key")
    with started(bundle, *pair, "--client-ca", certificates / "ca.pem") as served:
        assert status(served, certificates, "client") == 200
        for client in (None, "stranger"):
            with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
                status(served, certificates, client)


@pytest.mark.parametrize(("cert", "key", "reason"), [
    ("nowhere.pem", "server.key", "No such file or directory"),
    ("server.pem", "client.key", "the key belongs to another certificate"),
    ("server.key", "server.pem", "a file is damaged, or holds something else"),
])  # fmt: skip
def test_certificates_that_do_not_fit_are_refused_before_anything_is_loaded(
    bundle: Path, certificates: Path, cert: str, key: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["serve", str(bundle), "--port", "0", "--tls-cert", str(certificates / cert), "--tls-key",
             str(certificates / key)]  # fmt: skip
    assert run(asked) == 2
    said = capsys.readouterr().err
    assert "TLS cannot begin with" in said
    assert f": {reason}; expected a certificate" in " ".join(said.split())
