"""How a server listens, whom it answers, and how much of one request it takes."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass

from pulsecast.foundation.arguments import invalid, require_types, shown
from pulsecast.limits import STREAMS
from pulsecast.plain_text import Problems

LOOPBACK_NAMES = ("localhost",)
HIGHEST_PORT = 65_535
MOST_WORKERS = 64
MOST_WAIT_US = 1_000_000
MEMORY = "memory"  # as a store of streams


@dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """All options of a server.

    host         interface to listen on; one beyond this machine needs `keys` and `tls_certificate`, or `insecure`
    port         of HTTP; 0 takes any free one
    grpc_port    of gRPC; 0 takes any free one, None answers none
    keys         file of the keys that clients present, one on each line; None asks for none
    tls_certificate, tls_key   PEM files; both, or neither
    client_ca    PEM file: only clients with a certificate that it signed are answered
    insecure     listen beyond this machine without keys or without TLS
    workers      processes that answer

    backend, artifact, threads, key, trust_code   as for `pulsecast.load`, for every bundle

    poll_s       seconds between two looks at the folder of models
    request_s    seconds that a client may take to send a request
    body_bytes   most bytes of one request
    windows      most windows of one request
    active       most requests at work at once; one more is answered 429
    batch_wait_us  how long a forecast waits for those of other requests, to be computed together; 0 never waits
    traces       a span of OpenTelemetry for each request; the process says where they go (opentelemetry-instrument)
    access_log   a line on stderr for each answer, without what was sent

    store        where streams are kept: a file, or `memory`; None keeps none
    streams      most series of one model that are followed
    streams_age_days  forget a series that nothing was pushed to for so long; None forgets none
    listeners    most clients that watch a series live, of each worker
    series_metrics    of each model the first so many series by name have metrics of their own
    """

    host: str = "127.0.0.1"
    port: int = 8080
    grpc_port: int | None = None
    keys: str | None = None
    tls_certificate: str | None = None
    tls_key: str | None = None
    client_ca: str | None = None
    insecure: bool = False
    workers: int = 1
    backend: str = "auto"
    artifact: str | None = None
    threads: int = 1
    key: str | None = None
    trust_code: bool = False
    poll_s: float = 1.0
    request_s: float = 10.0
    body_bytes: int = 4 << 20
    windows: int = 4096
    active: int = 256
    batch_wait_us: int = 0
    traces: bool = False
    access_log: bool = False
    store: str | None = None
    streams: int = STREAMS
    streams_age_days: float | None = None
    series_metrics: int = 100
    listeners: int = 64

    def __post_init__(self) -> None:
        require_types(self)
        if problems := Problems((*self._numbers(), *self._doors())):
            raise invalid([str(problems)])

    def _numbers(self) -> Iterator[str]:
        for name in ("port", "grpc_port"):
            port = getattr(self, name)
            if port is not None and not 0 <= port <= HIGHEST_PORT:
                yield f"{name} is {shown(port)}; expected 0 to {HIGHEST_PORT}"
        if self.port and self.port == self.grpc_port:
            yield f"port and grpc_port are both {self.port}; HTTP and gRPC each need a port of their own"
        if not 1 <= self.workers <= MOST_WORKERS:
            yield f"workers is {shown(self.workers)}; expected 1 to {MOST_WORKERS}"
        for name in ("threads", "body_bytes", "windows", "active", "streams", "listeners"):
            if getattr(self, name) < 1:
                yield f"{name} is {shown(getattr(self, name))}; expected at least 1"
        if not 0 <= self.batch_wait_us <= MOST_WAIT_US:
            yield f"batch_wait_us is {shown(self.batch_wait_us)}; expected 0 to {MOST_WAIT_US:,}"
        for name in ("poll_s", "request_s"):
            if getattr(self, name) <= 0:
                yield f"{name} is {shown(getattr(self, name))}; expected a number above 0"

        yield from self._streams()

    def _streams(self) -> Iterator[str]:
        if self.store == MEMORY and self.workers > 1:
            yield (
                f"store is memory, which each of {self.workers} workers has for itself: pass a file (--store "
                "streams.sqlite), or --workers 1"
            )
        if self.streams_age_days is not None and not self.streams_age_days > 0:
            yield f"streams_age_days is {shown(self.streams_age_days)}; expected a number above 0, or None"
        if self.series_metrics < 0:
            yield f"series_metrics is {shown(self.series_metrics)}; expected at least 0"

    def _doors(self) -> Iterator[str]:
        """Yield why this server would be open to others."""
        if (self.tls_certificate is None) != (self.tls_key is None):
            yield "TLS takes a certificate and its key: pass both (--tls-cert FILE --tls-key FILE), or neither"
        if self.client_ca is not None and self.tls_certificate is None:
            yield "certificates of clients are part of TLS: pass --tls-cert FILE --tls-key FILE as well"
        if is_loopback(self.host) or self.insecure:
            return
        lacking = [
            option
            for option, value in (("--keys FILE", self.keys), ("--tls-cert FILE --tls-key FILE", self.tls_certificate))
            if value is None
        ]
        if lacking:
            yield (
                f"host {shown(self.host)} can be reached by others: pass {' and '.join(lacking)}; or --insecure, if "
                "something before this server checks who asks"
            )


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches `host`.

    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return host in LOOPBACK_NAMES
