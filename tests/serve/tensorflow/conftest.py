"""A server of three models, over HTTP and gRPC: one input, two, and three."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from helpers.engines import require
from helpers.serving import Client
from helpers.serving.rpc import running_both
from pulsecast_serve import ServerConfig

require("grpc", "google.protobuf")


@dataclass(frozen=True)
class Server:
    """A server: `http` asks it, and gRPC answers at `target`."""

    http: Client
    target: str

    def call(self, service: str, method: str, request: Any, answer: Any) -> Any:
        """Return the answer, a message of the class `answer`, to one call of gRPC."""
        import grpc

        with grpc.insecure_channel(self.target) as channel:
            ask = channel.unary_unary(
                f"/tensorflow.serving.{service}/{method}",
                request_serializer=lambda one: one.SerializeToString(),
                response_deserializer=answer.FromString,
            )
            return ask(request, timeout=30)


@pytest.fixture(scope="session")
def server(bundle: Path, plain_bundle: Path, table_bundle: Path) -> Iterator[Server]:
    """The models `plain` (values, time), `level` (values) and `table` (values, time, series)."""
    config = ServerConfig(body_bytes=1 << 20, windows=300)
    with running_both(bundle, f"level={plain_bundle}", f"table={table_bundle}", config=config) as both:
        yield Server(http=both.http, target=both.rpc)
