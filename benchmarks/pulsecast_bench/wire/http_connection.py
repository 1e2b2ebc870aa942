"""One HTTP/1.1 connection that stays open, as cheap as Python can make it: what it costs is part of every latency.

`http.client` takes 0.1 ms of processor time for each answer, most of it for headers, as much as a forecast.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Mapping

from pulsecast.errors import EngineError
from pulsecast.plain_text import printable

from .server import Server, tls_context

ANSWER_S = 10.0  # that an answer may take
_PART = 64 << 10
_HEAD_BYTES, _BODY_BYTES = 64 << 10, 64 << 20
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d{1,12})\r\n", re.IGNORECASE)
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")
_OK = 200
_WORDS = 300  # characters of an error that are repeated


def http_request(
    server: Server, method: str, path: str, body: bytes, headers: Mapping[str, str] | None = None
) -> bytes:
    """Return a whole request, as it goes over the connection."""
    host = f"[{server.host}]" if ":" in server.host else server.host
    lines = [f"{method} {server.prefix}{path} HTTP/1.1", f"Host: {host}:{server.port}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    lines += ["Content-Type: application/json", f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode("ascii") + body


class HttpConnection:
    """Sends whole requests, one after the other, and returns the bodies of the answers."""

    def __init__(self, server: Server) -> None:
        """Connect; raises EngineError if there is no server, UsageError if its certificates cannot be used."""
        context = tls_context(server) if server.tls else None
        try:
            plain = socket.create_connection((server.host, server.port), timeout=ANSWER_S)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket = plain if context is None else context.wrap_socket(plain, server_hostname=server.host)
        except OSError as error:
            raise EngineError(f"the server cannot be reached: {said(error)}; is it running at that address?") from None

    def ask(self, request: bytes) -> bytes:
        """Return the body of the answer; raises EngineError if it is late, is an error, or does not come."""
        try:
            self._socket.sendall(request)
            status, body = self._answer()
        except TimeoutError:
            raise EngineError(f"the server did not answer within {ANSWER_S:g} s") from None
        except OSError as error:
            raise EngineError(f"the connection to the server broke: {said(error)}") from None
        if status != _OK:
            raise EngineError(f"the server answered {status}: {words_of(body)}")
        return body

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _answer(self) -> tuple[int, bytes]:
        data = self._more(b"")
        while (end := data.find(b"\r\n\r\n")) < 0:
            if len(data) > _HEAD_BYTES:
                raise EngineError("the server's answer does not end its headers; it does not speak HTTP")
            data += self._more(data)
        head = data[: end + 2]
        status, length = _STATUS.match(head), _LENGTH.search(head)
        if status is None:
            raise EngineError("the server does not speak HTTP/1.1")
        if length is None:
            raise EngineError("the server's answer has no Content-Length; only such answers are measured")
        size = int(length[1])
        if size > _BODY_BYTES:
            raise EngineError(f"the server's answer has {size:,} bytes; at most {_BODY_BYTES:,} are read")
        parts, left = [data[end + 4 :]], size - len(data) + end + 4
        while left > 0:
            parts.append(self._more(data))
            left -= len(parts[-1])
        if left < 0:
            raise EngineError("the server's answer is longer than its Content-Length")
        return int(status[1]), b"".join(parts)

    def _more(self, so_far: bytes) -> bytes:
        part = self._socket.recv(_PART)
        if not part:
            when = "within an answer" if so_far else "between two requests"
            raise EngineError(f"the server closed the connection {when}; expected one that stays open")
        return part


def words_of(body: bytes) -> str:
    """Return what the body of an error says: its message where it is JSON as the protocols have it."""
    try:
        found = json.loads(body)["error"]
        text = found if isinstance(found, str) else str(found["message"])
    except (ValueError, KeyError, TypeError, RecursionError):
        text = body.decode("utf-8", "replace")
    return printable(text[:_WORDS]) or "nothing"


def said(error: OSError) -> str:
    """Return what the system says of an error."""
    return error.strerror or str(error) or type(error).__name__
