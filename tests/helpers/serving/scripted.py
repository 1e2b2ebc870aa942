"""A server that says over a real connection what a test tells it to, byte by byte."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Reply = Callable[[bytes], bytes | None]  # body of a request -> what is sent, None closes the connection
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


def answer(body: bytes, status: str = "200 OK") -> bytes:
    """Return a whole answer."""
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


@contextmanager
def scripted(reply: Reply) -> Iterator[str]:
    """Yield the address of a server; each of its connections is a thread, which ends with the connection."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=_accept, args=(listening, reply), daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)


def _accept(listening: socket.socket, reply: Reply) -> None:
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:
            return
        threading.Thread(target=_serve, args=(connection, reply), daemon=True).start()


def _serve(connection: socket.socket, reply: Reply) -> None:
    with connection:
        data = b""
        while part := connection.recv(1 << 16):
            data += part
            head, end, rest = data.partition(b"\r\n\r\n")
            length = _LENGTH.search(head + b"\r\n")
            if not end or length is None or len(rest) < int(length[1]):
                continue
            data = rest[int(length[1]) :]
            said = reply(rest[: int(length[1])])
            if said is None:
                return
            connection.sendall(said)
