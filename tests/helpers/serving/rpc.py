"""The same real server, with gRPC on a free port."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from helpers.serving import Client, running
from pulsecast_serve import ServerConfig
from pulsecast_serve.rpc.ports import reserved


@dataclass(frozen=True)
class Both:
    """Where a server answers: HTTP, and `rpc`, HOST:PORT of gRPC."""

    http: Client
    rpc: str

    @property
    def place(self) -> str:
        """HOST:PORT of HTTP."""
        return self.http.address.removeprefix("http://")


@contextmanager
def running_both(
    *bundles: Path | str, models: Path | None = None, config: ServerConfig | None = None
) -> Iterator[Both]:
    """Yield a server in a thread of this process; it is stopped at the end."""
    with (
        reserved(replace(config or ServerConfig(), grpc_port=0)) as settled,
        running(*bundles, models=models, config=settled) as client,
    ):
        assert client.get("/v2/health/live").status == 200  # it is answered once gRPC listens, too
        yield Both(client, f"127.0.0.1:{settled.grpc_port}")
