"""The port of gRPC: tried before anything is loaded for it, and kept where several workers share it."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import replace

from pulsecast.errors import UsageError
from pulsecast.foundation.arguments import shown

from ..config import ServerConfig


def address(host: str, port: int) -> str:
    """Return `host` and `port` as one word.

    >>> address("::1", 9000)
    '[::1]:9000'
    """
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@contextlib.contextmanager
def reserved(config: ServerConfig) -> Iterator[ServerConfig]:
    """Yield `config` with a port of gRPC that is free and, where several workers share it, kept for them.

    Raises UsageError if the port is taken. A port that was asked for may be shared by sockets of one user without a
    word, so it is tried alone first.
    """
    with _tried(config, shared=False) as alone:
        port = alone.getsockname()[1]
    config = replace(config, grpc_port=port)
    if config.workers == 1:
        yield config
        return
    with _tried(config, shared=True):
        yield config


def _tried(config: ServerConfig, *, shared: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        found.bind((config.host, config.grpc_port or 0))
    except OSError:
        found.close()
        raise taken(config) from None
    return found


def taken(config: ServerConfig) -> UsageError:
    """Return the error of a port that another program listens on."""
    return UsageError(
        f"{shown(config.host)} port {config.grpc_port} of gRPC cannot be listened on; choose another --grpc-port, or 0 "
        "for any that is free"
    )
