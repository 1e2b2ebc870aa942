"""A server on 127.0.0.1 that answers every request with the bytes it was given, right or wrong."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, repeat

Answer = bytes | Callable[[threading.Event], Iterable[bytes]]
MOST_BYTES = 1 << 30  # that one answer may have


class HostileServer:
    """Answers with `answers` one after another, and then with the last one for ever; closes after each."""

    def __init__(self, *answers: Answer) -> None:
        self.answers: Iterator[Answer] = chain(answers, repeat(answers[-1])) if answers else iter(())
        self.requests: list[bytes] = []
        self.over = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/posts"
        threading.Thread(target=self._serve, daemon=True).start()

    def answer_with(self, *answers: Answer) -> None:
        self.answers = chain(answers, repeat(answers[-1]))

    def close(self) -> None:
        self.over.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _serve(self) -> None:
        while not self.over.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(10)
            asked = b""
            while b"\r\n\r\n" not in asked and len(asked) < 1 << 20:
                asked += connection.recv(1 << 16) or b"\r\n\r\n"
            self.requests.append(asked)
            answer = next(self.answers)
            sent = 0
            for piece in [answer] if isinstance(answer, bytes) else answer(self.over):
                connection.sendall(piece)
                sent += len(piece)
                if sent > MOST_BYTES or self.over.is_set():
                    return
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(1 << 16):  # closed by the other side first: what was sent is not lost by a reset
                pass


def response(body: bytes, *headers: str, status: str = "200 OK", length: bool = True) -> bytes:
    """Return an HTTP answer."""
    lines = [f"HTTP/1.1 {status}", *headers, *([f"Content-Length: {len(body)}"] if length else [])]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body
