"""Who is let in, and how much: keys, sizes, requests at work, slow clients."""

from __future__ import annotations

import socket
import urllib.parse
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.outside.processes import wait_for
from helpers.serving import Client, running, series_body
from pulsecast_serve import ServerConfig
from pulsecast_serve.http import patient

PATH = "/v1/timeseries/forecast"
KEY = "k" * 32
SERIES = [float(200 + i % 24) for i in range(90)]


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text(f"# clients\n{'o' * 32}\n{KEY} # the second\n")
    path.chmod(0o600)
    return path


def test_a_key_opens_everything_and_health_needs_none(bundle: Path, keys: Path) -> None:
    with running(bundle, config=ServerConfig(keys=str(keys))) as client:
        assert client.get("/v2/health/ready").status == 200
        for headers in ({}, {"authorization": "Bearer " + "x" * 32}, {"authorization": KEY},
                        {"authorization": f"Basic {KEY}"}):  # fmt: skip
            reply = client.post(PATH, series_body("plain", SERIES), headers)
            assert reply.status == 401
            assert reply.headers["www-authenticate"] == "Bearer"
            assert "Authorization: Bearer KEY" in reply.json["error"]["message"]
        assert client.get("/metrics").status == 401
        assert client.get("/v1/models").status == 401
        allowed = {"authorization": f"bearer {KEY}"}
        assert client.post(PATH, series_body("plain", SERIES), allowed).status == 200
        assert client.get("/metrics", allowed).status == 200


def test_a_request_that_is_too_large_is_refused_before_it_is_read(bundle: Path) -> None:
    with running(bundle, config=ServerConfig(body_bytes=1000)) as client:
        reply = client.post(PATH, b"x" * 1001)
        assert reply.status == 413
        assert "this server takes 1,000 bytes" in reply.json["error"]["message"]
        assert raw(client, b"POST %s HTTP/1.1\r\nhost: a\r\ncontent-length: 99999999999999999999\r\n\r\n").startswith(
            b"HTTP/1.1 4"
        )
        chunks = b"400\r\n" + b"x" * 1024 + b"\r\n0\r\n\r\n"
        assert b" 413 " in raw(client, b"POST %s HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n" + chunks)


@pytest.mark.parametrize("wait_us", [0, 100])
def test_too_many_windows_are_refused(bundle: Path, wait_us: int) -> None:
    body = series_body("plain", SERIES)
    body["inputs"] *= 3
    with running(bundle, config=ServerConfig(windows=2, batch_wait_us=wait_us)) as client:
        reply = client.post(PATH, body)
        assert reply.status == 413
        assert "3 windows in one request; this server takes 2: split them" in reply.json["error"]["message"]


def raw(client: Client, request: bytes) -> bytes:
    """Return what comes back for bytes as they are; `%s` is the path."""
    with connected(client) as found:
        found.sendall(request.replace(b"%s", PATH.encode()))
        return found.recv(4096)


def connected(client: Client) -> socket.socket:
    where = urllib.parse.urlsplit(client.address)
    return socket.create_connection((where.hostname, where.port), timeout=20)


def test_one_request_more_than_can_be_at_work_is_told_to_come_again(bundle: Path) -> None:
    with running(bundle, config=ServerConfig(active=1)) as client, connected(client) as first:
        head = f"POST {PATH} HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n{{".encode()
        first.sendall(head)
        wait_for(lambda: client.get("/v1/timeseries/models").status == 429)
        reply = client.get("/v1/timeseries/models")
        assert reply.headers["retry-after"] == "1"
        assert client.get("/v2/health/live").status == 200
        first.sendall(b"    ")
        assert first.recv(4096).startswith(b"HTTP/1.1 400")
        wait_for(lambda: client.get("/v1/timeseries/models").status == 200)


def test_a_client_that_sends_its_body_slowly_is_turned_away(bundle: Path) -> None:
    with running(bundle, config=ServerConfig(request_s=0.2)) as client, connected(client) as slow:
        slow.sendall(f"POST {PATH} HTTP/1.1\r\nhost: a\r\ncontent-length: 500\r\n\r\n{{".encode())
        assert slow.recv(4096).startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nx: "], ids=["nothing", "half a header"])
def test_a_client_that_does_not_end_its_headers_is_disconnected(
    bundle: Path, sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patient, "HEAD_S", 0.2)
    with running(bundle) as client, connected(client) as slow:
        slow.sendall(sent)
        assert slow.recv(4096) == b""


def test_headers_without_end_are_cut_off(bundle: Path) -> None:
    with running(bundle) as client, connected(client) as endless:
        with pytest.raises(OSError):  # noqa: PT011, PT012  # either the send or the read meets the closed connection
            endless.sendall(b"GET / HTTP/1.1\r\n")
            for _ in range(200):
                endless.sendall(b"x: " + b"y" * 10_000 + b"\r\n")
            if endless.recv(4096) == b"":
                raise OSError
        assert client.get("/v2/health/live").status == 200


def test_a_failure_of_ours_says_nothing_of_it(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pulsecast_serve.protocols import timeseries

    def fail(*given: object) -> None:
        raise ZeroDivisionError("/secret/path 12345.678")

    monkeypatch.setattr(timeseries, "prepare", fail)
    with running(bundle) as client:
        reply = client.post(PATH, series_body("plain", SERIES))
    assert reply.status == 500
    assert reply.json["error"]["message"] == "the server failed to answer; its log says why"


def test_nothing_in_a_request_makes_a_line_of_the_log(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither in a message, nor in the traceback of a fault whose text is the client's."""
    from pulsecast_serve import front
    from pulsecast_serve.protocols import timeseries

    def fail(*given: object) -> None:
        raise ZeroDivisionError("a\r\nFORGED\x1b[2J")

    monkeypatch.setattr(front.log, "handlers", [])
    monkeypatch.setattr(front.log, "propagate", False)
    monkeypatch.setattr(front.log, "level", front.log.level)
    front._log_to_stderr()
    monkeypatch.setattr(timeseries, "prepare", fail)
    with running(bundle, config=ServerConfig(access_log=True)) as client:
        assert client.post(PATH, series_body("plain", SERIES)).status == 500
        assert client.get("/a%0d%0aFORGED%1b%5b2J").status == 404
    lines = capsys.readouterr().err.split("\n")
    assert len([line for line in lines if "FORGED" in line]) == 3  # with the line of source that raised it
    assert [line for line in lines if line.startswith("FORGED") or not line.isprintable()] == []


@pytest.mark.parametrize("path", ["/", "/nothing", "/v1/timeseries/nothing", "/../../etc/passwd", "/%2e%2e/%2fetc"])
def test_an_address_that_is_not_there_is_answered_in_words(client: Client, path: str) -> None:
    reply = client.post(path, {})
    assert reply.status in (404, 405)
    assert reply.json["error"]["message"]


def test_metrics_count_answers_by_address(bundle: Path) -> None:
    with running(bundle) as client:
        client.post(PATH, series_body("plain", SERIES))
        client.post(PATH, {})
        text = client.get("/metrics").body.decode()
    assert 'pulsecast_answers_total{address="timeseries.forecast",status="200"} 1.0' in text
    assert 'pulsecast_answers_total{address="timeseries.forecast",status="400"} 1.0' in text
    assert 'pulsecast_model_version{model="plain",version="1"} 1.0' in text


BAD_KEYS = {
    "read by others": ("k" * 32, 0o644, "other users can read the file of keys"),
    "empty": ("# nothing\n", 0o600, "holds no key"),
    "short": ("hunter2\n", 0o600, "the key in line 1"),
}


@pytest.mark.parametrize("name", BAD_KEYS)
def test_a_file_of_keys_that_would_not_lock_is_refused(name: str, tmp_path: Path, bundle: Path) -> None:
    from pulsecast import UsageError
    from pulsecast_serve import serve

    text, mode, sentence = BAD_KEYS[name]
    path = tmp_path / "keys"
    path.write_text(text)
    path.chmod(mode)
    with pytest.raises(UsageError, match=sentence) as caught:
        serve(bundle, config=ServerConfig(port=0, keys=str(path)))
    assert "hunter2" not in str(caught.value)


def test_a_server_that_others_can_reach_needs_keys_and_tls_or_a_word() -> None:
    with pytest.raises(ValueError, match=r"pass --keys FILE and --tls-cert FILE --tls-key FILE; or --insecure"):
        ServerConfig(host="0.0.0.0")  # noqa: S104  # it is refused
    with pytest.raises(ValueError, match="pass --tls-cert FILE --tls-key FILE; or"):
        ServerConfig(host="::", keys="keys")
    assert replace(ServerConfig(host="0.0.0.0", insecure=True)).insecure  # noqa: S104  # nothing listens
    assert ServerConfig(host="::1").host == "::1"
