"""Connections to a server that stay open, and what is said of a server that is slow, gone, or wrong."""

import contextlib
import socket
import threading
from pathlib import Path

import pytest

from helpers.serving.scripted import answer, scripted
from pulsecast.errors import EngineError, UsageError
from pulsecast_bench.wire import http_connection
from pulsecast_bench.wire.clients import Until, ask_all
from pulsecast_bench.wire.http_connection import HttpConnection, http_request
from pulsecast_bench.wire.server import Server, authorization

FAULTS = {
    "an error of the server": (answer(b'{"error": "no model x"}', "404 Not Found"), "answered 404: .*no model x"),
    "an answer without a length": (b"HTTP/1.1 200 OK\r\n\r\n{}", "no Content-Length"),
    "another protocol": (b"SSH-2.0-server\r\n\r\n", "does not speak HTTP/1.1"),
    "headers without an end": (b"HTTP/1.1 200 OK\r\nx: " + b"a" * 70_000, "does not end its headers"),
    "an answer that is too long": (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab", "longer than its Content-Length"),
    "an answer that nobody could hold": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
        "at most .* are read",
    ),
    "a closed door": (None, "closed the connection between two requests"),
}


def ask(address: str, body: bytes = b"{}") -> bytes:
    server = Server(url=address)
    with contextlib.closing(HttpConnection(server)) as connection:
        return connection.ask(http_request(server, "POST", "/x", body))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_server_that_answers_wrongly_is_described_in_one_sentence(fault: str) -> None:
    said, sentence = FAULTS[fault]
    with scripted(lambda _: said) as address, pytest.raises(EngineError, match=sentence) as raised:
        ask(address)
    assert "\n" not in str(raised.value)


def test_a_server_that_closes_within_an_answer_is_told_from_one_that_closes_between_two() -> None:
    def half(connection: socket.socket) -> None:
        peer, _ = connection.accept()
        with peer:
            peer.recv(1 << 16)
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=half, args=(listening,))
        thread.start()
        with pytest.raises(EngineError, match="closed the connection within an answer"):
            ask(f"http://127.0.0.1:{listening.getsockname()[1]}")
        thread.join()


def test_a_server_that_is_gone_and_one_that_is_slow_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        monkeypatch.setattr(http_connection, "ANSWER_S", 0.05)
        with pytest.raises(EngineError, match=r"did not answer within 0.05 s"):
            ask(address)  # the system accepts the connection, and nobody reads
    with pytest.raises(EngineError, match=r"cannot be reached: Connection refused; is it running at that address\?"):
        ask(address)


def test_an_answer_in_small_parts_is_put_together_and_the_connection_is_used_again() -> None:
    with scripted(lambda body: answer(body[::-1] * 30_000)) as address:
        server = Server(url=f"{address}/before")
        with contextlib.closing(HttpConnection(server)) as connection:
            for body in (b"abc", b"", b"xy"):
                assert connection.ask(http_request(server, "POST", "/x", body)) == body[::-1] * 30_000


def test_a_request_has_the_prefix_the_key_and_the_length_of_its_body() -> None:
    request = http_request(Server(url="http://[::1]:81/a/"), "POST", "/x", b"{1}", {"Authorization": "Bearer k"})
    assert request.decode().split("\r\n") == [
        "POST /a/x HTTP/1.1", "Host: [::1]:81", "Authorization: Bearer k", "Content-Type: application/json",
        "Content-Length: 3", "", "{1}",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("localhost:80", "begins with none of http://"),
        ("ftp://x", "begins with none of"),
        ("http://", "names no host"),
        ("http://x:0", "names no host"),
        ("http://a b", "names no host"),
        ("http://x:99999", "is not an address"),
        ("http://me:secret@x", "a user or a password"),
        ("http://x/y?z", "goes on after the path"),
    ],
)
def test_an_address_that_is_none_is_refused(url: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        Server(url=url)


def test_an_address_gives_host_port_and_whether_it_is_encrypted() -> None:
    found = [Server(url=url) for url in ("http://h", "https://h", "grpc://h:8500", "grpcs://[::1]")]
    assert [(one.host, one.port, one.tls) for one in found] == [
        ("h", 80, False), ("h", 443, True), ("h", 8500, False), ("::1", 443, True),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "why"),
    [(None, "cannot be read: No such file"), (b"", "no key on its first line"), (b"two words", "no key on its first"),
     (b"# a comment\nkey", "no key on its first line"), (b"\xff", "is not text")],
)  # fmt: skip
def test_a_key_file_without_a_key_is_refused(content: bytes | None, why: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "key").write_bytes(content)
    with pytest.raises(UsageError, match=why):
        authorization(Server(url="http://x", key=str(tmp_path / "key")))


def test_a_key_is_the_first_line_without_its_comment(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("k3y-of-mine  # laptop\nanother\n")
    assert authorization(Server(url="http://x", key=str(tmp_path / "key"))) == "Bearer k3y-of-mine"
    assert authorization(Server(url="http://x")) is None


class Counting:
    """Answers with how often it was asked, and the request."""

    def __init__(self, fails_at: int = 10**9) -> None:
        self.asked: list[bytes] = []
        self._fails_at = fails_at

    def ask(self, request: bytes) -> bytes:
        self.asked.append(request)
        if len(self.asked) >= self._fails_at:
            raise EngineError("the server is tired")
        return request + str(len(self.asked)).encode()

    def close(self) -> None:
        """Nothing is open."""


def test_callers_ask_all_requests_in_turn_each_on_its_connection() -> None:
    callers = [Counting(), Counting()]
    heard = ask_all(callers, [b"a", b"b", b"c"], Until(seconds=0.0, answers=10, limit_s=30.0))
    assert [caller.asked for caller in callers] == [[b"a", b"b", b"c", b"a", b"b"], [b"b", b"c", b"a", b"b", b"c"]]
    assert sorted((one.request, one.body) for one in heard) == sorted(
        (b"abc".index(sent), sent + str(i + 1).encode()) for caller in callers for i, sent in enumerate(caller.asked)
    )
    assert [one.ended_ns for one in heard] == sorted(one.ended_ns for one in heard)
    assert all(one.latency_ns > 0 for one in heard)


def test_the_error_of_one_caller_ends_all() -> None:
    callers = [Counting(), Counting(fails_at=3)]
    with pytest.raises(EngineError, match="the server is tired"):
        ask_all(callers, [b"a"], Until(seconds=60.0, answers=1, limit_s=60.0))


def test_callers_stop_at_the_limit() -> None:
    (caller,) = [Counting()]
    heard = ask_all([caller], [b"a"], Until(seconds=0.0, answers=10**9, limit_s=0.01))
    assert len(heard) == len(caller.asked) > 0
