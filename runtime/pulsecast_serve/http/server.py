"""uvicorn, as this server runs it: a socket that is bound once, workers that share it, and an end that drains."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Generator
from types import FrameType

import uvicorn
from starlette.types import ASGIApp
from uvicorn.supervisors import Multiprocess

from pulsecast.errors import UsageError
from pulsecast.foundation.arguments import shown
from pulsecast.plain_text import tls_reason

from ..config import ServerConfig
from .patient import PatientProtocol

DRAIN_S = 30  # that answers may take once the server is told to stop
KEEP_ALIVE_S = 75  # a connection without a request is closed after it
_BACKLOG = 2048

Factory = Callable[[], ASGIApp]


def bound(config: ServerConfig) -> socket.socket:
    """Return a socket on the host and port of `config`; raises UsageError if it cannot be had."""
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((config.host, config.port))
        found.listen(_BACKLOG)  # who is told the address may connect at once, before the first worker is up
    except OSError as error:
        found.close()
        raise UsageError(
            f"{shown(config.host)} port {config.port} cannot be listened on: {error.strerror}; choose another --port, "
            "or 0 for any that is free"
        ) from None
    found.set_inheritable(True)
    return found


def check_tls(config: ServerConfig) -> None:
    """Raise UsageError unless the certificates of `config` can be used, and belong together."""
    if config.tls_certificate is None:
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(config.tls_certificate, config.tls_key, password=lambda: b"")
        if config.client_ca is not None:
            context.load_verify_locations(config.client_ca)
    except (OSError, ValueError) as error:  # SSLError is an OSError
        files = [one for one in (config.tls_certificate, config.tls_key, config.client_ca) if one is not None]
        raise UsageError(
            f"TLS cannot begin with {', '.join(map(shown, files))}: {tls_reason(error)}; expected a certificate, its "
            "private key without a password, and the authority of clients, each as PEM"
        ) from None


def run(factory: Factory, config: ServerConfig, listening: socket.socket) -> None:
    """Answer until a signal says to stop, then finish what is at work; raises UsageError if it cannot begin."""
    options = _options(factory, config)
    if config.workers == 1:
        server = Draining(options)
        with contextlib.suppress(SystemExit):  # with 3, which is another word of ours; older ones return
            server.run(sockets=[listening])
        if not server.started:
            raise UsageError("the server could not begin to answer; its log says why")
    else:
        Multiprocess(options, sockets=[listening]).run()


def draining(factory: Factory, config: ServerConfig) -> Draining:
    """Return a server of one process, for a thread of it."""
    return Draining(_options(factory, config))


def _options(factory: Factory, config: ServerConfig) -> uvicorn.Config:
    return uvicorn.Config(
        factory, factory=True, http=PatientProtocol, ws="none", lifespan="on", log_config=None, log_level=logging.ERROR,
        access_log=False, server_header=False, proxy_headers=False, backlog=_BACKLOG, timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=DRAIN_S, workers=config.workers, ssl_certfile=config.tls_certificate,
        ssl_keyfile=config.tls_key, ssl_ca_certs=config.client_ca,
        ssl_cert_reqs=ssl.CERT_NONE if config.client_ca is None else ssl.CERT_REQUIRED,
    )  # fmt: skip


def end_with_parent() -> None:
    """Let this worker end when the process that started it is gone: it would hold the port, and hear no signal."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def wait() -> None:
        parent.join()
        signal.raise_signal(signal.SIGTERM)

    threading.Thread(target=wait, name="pulsecast-parent", daemon=True).start()


class Draining(uvicorn.Server):
    """Ends in peace: uvicorn would raise the signal again once it has stopped, and so end as if it were killed."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Let SIGTERM and Ctrl-C stop the server, a second one at once."""
        numbers = (signal.SIGINT, signal.SIGTERM)
        in_main = threading.current_thread() is threading.main_thread()  # only there can a signal be heard
        before = {number: signal.signal(number, self._told) for number in numbers if in_main}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _told(self, number: int, frame: FrameType | None) -> None:
        self.handle_exit(number, frame)
