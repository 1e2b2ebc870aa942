"""The server of a page, on 127.0.0.1: the page, an engine's files, messages to it, and its answers.

A page may read a clock that ticks every 5 us only if nothing from elsewhere can be in it, which two headers say.
Without them it ticks every 100 us.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HOST = "127.0.0.1"
POLL_S = 1.0  # the page asks again when there was no message for so long
_ALONE = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}
_KINDS = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".wasm": "application/wasm",
    ".onnx": "application/octet-stream",
}


class PageServer(ThreadingHTTPServer):
    """Serves files of `folders`, each by the first part of the path that it is asked for.

    asked  each file that was sent, in order
    """

    daemon_threads = True

    def __init__(
        self, folders: Mapping[str, Path], messages: queue.SimpleQueue[str], heard: Callable[[str], None]
    ) -> None:
        super().__init__((HOST, 0), _Handler)
        self.folders, self.messages, self.heard = folders, messages, heard
        self.asked: list[Path] = []

    @property
    def address(self) -> str:
        """Where the page is."""
        return f"http://{HOST}:{self.server_port}/page/page.html"

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a connection that broke: its page was ended."""

    def file_of(self, path: str) -> Path | None:
        """Return the file that `path` asks for; None if there is none, or it is of a kind that no page needs."""
        first, _, rest = path.partition("?")[0].lstrip("/").partition("/")
        folder = self.folders.get(first)
        if folder is None or ".." in rest.split("/") or Path(rest).suffix not in _KINDS:
            return None
        return folder / rest if (folder / rest).is_file() else None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: PageServer

    def log_message(self, *_: object) -> None:
        """Say nothing on stderr."""

    def do_GET(self) -> None:
        if self.path == "/message":
            self._send(200, "application/json", self._message())
        elif (file := self.server.file_of(self.path)) is None:
            self._send(404, "text/plain", b"")
        else:
            self._send(200, _KINDS[file.suffix], file.read_bytes())
            self.server.asked.append(file)

    def do_POST(self) -> None:
        answer = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._send(204, "text/plain", b"")
        self.server.heard(answer.decode())

    def _message(self) -> bytes:
        try:
            return self.server.messages.get(timeout=POLL_S).encode()
        except queue.Empty:
            return b""

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        for name, value in {**_ALONE, "Content-Type": kind, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def page_server(
    folders: Mapping[str, Path], messages: queue.SimpleQueue[str], heard: Callable[[str], None]
) -> Iterator[PageServer]:
    """Yield a server that runs until the block ends: `messages` go to the page, and `heard` takes its answers."""
    with PageServer(folders, messages, heard) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
