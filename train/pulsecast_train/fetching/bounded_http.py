"""One HTTP answer in bounded time and memory: limits on the whole answer, its headers and framing included.

`http.client` limits only the time between two bytes and the length of one header line. A server that sends a byte now
and then, or a chunk of unlimited length, would hold a run for ever. The limits are set where bytes leave the socket.
"""

from __future__ import annotations

import http.client
import io
import socket
import time
import urllib.error
import urllib.request
from typing import Any, cast

from pulsecast.errors import DataError

from . import addresses
from .limits import PAGE_BYTES, SILENCES_PER_PAGE
from .retrying import TransientError

_ANSWER_BYTES = 2 * PAGE_BYTES  # with headers and the framing of chunks
_CHUNK = 1 << 16


def answer(request: urllib.request.Request, silence_s: float) -> bytes:
    """Return the body of the answer to `request`; redirects are followed within its server.

    Raises HTTPError for a status that is not a success, TransientError if the body is shorter than announced,
    DataError if it is too long or packed, and whatever else `http.client` and proxies raise about an answer.
    """
    with _OPENER.open(request, timeout=silence_s) as response:
        packed = response.headers.get("Content-Encoding", "identity").strip().lower()
        if packed not in ("", "identity"):
            raise DataError(f"{request.host} packs its pages, which was not asked for; ask its provider for plain JSON")
        return _body(response)


def _body(response: http.client.HTTPResponse) -> bytes:
    if (response.length or 0) > PAGE_BYTES:
        raise _too_large()
    body = bytearray()
    while chunk := response.read(_CHUNK):
        body += chunk
        if len(body) > PAGE_BYTES:
            raise _too_large()
    if response.length:
        raise TransientError("broke off in the middle of a page")
    return bytes(body)


def _too_large() -> DataError:
    return DataError(f"a page has more than {PAGE_BYTES >> 20} MB; ask for smaller pages")


class _BoundedReader(io.RawIOBase):
    """The bytes of a socket, up to a moment and a number."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._raw = cast(io.RawIOBase, sock.makefile("rb", buffering=0))
        self._silence_s = sock.gettimeout() or 0.0
        self._stop_s = time.monotonic() + SILENCES_PER_PAGE * self._silence_s
        self._left_bytes = _ANSWER_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left_s = self._stop_s - time.monotonic()
        if left_s <= 0:
            raise self._too_long()
        if self._left_bytes <= 0:
            raise _too_large()
        self._sock.settimeout(min(self._silence_s, left_s))
        try:
            count = self._raw.readinto(memoryview(buffer)[: self._left_bytes])
        except TimeoutError as error:
            raise (self._too_long() if left_s < self._silence_s else error) from None
        self._left_bytes -= count or 0
        return count

    def _too_long(self) -> TransientError:
        return TransientError(f"took longer than {SILENCES_PER_PAGE * self._silence_s:g} s for one page")

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Bounded:
    """A socket whose file is a `_BoundedReader`; `HTTPResponse` asks it for nothing else."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_BoundedReader(self._sock))


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(cast(socket.socket, _Bounded(sock)), *args, **kwargs)


class _Connection(http.client.HTTPConnection):
    response_class = _Response


class _SecureConnection(http.client.HTTPSConnection):
    response_class = _Response


class _Http(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Connection, req)


class _Https(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_SecureConnection, req)


class _SameServer(urllib.request.HTTPRedirectHandler):
    """Follows redirects within one server: a token must not reach another one."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        problem = addresses.flaw(newurl)
        if problem:
            raise DataError(f"{req.host} redirects to an address that {problem}")
        if not addresses.same_server(newurl, req.full_url):
            elsewhere = addresses.host(newurl)
            raise DataError(f"{req.host} redirects to {elsewhere}; fetch from there if you trust it")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def opener() -> urllib.request.OpenerDirector:
    """Return what sends a request, through the proxies that the environment names now."""
    return urllib.request.build_opener(_Http, _Https, _SameServer)


_OPENER = opener()
