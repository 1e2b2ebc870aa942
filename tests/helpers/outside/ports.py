"""Ports for servers that are told theirs before they bind it."""

from __future__ import annotations

import random
import socket

import pytest

# Below those that the kernel gives to connections on their way out: one of these may be taken before the server binds
# it, which takes a broker seconds, or between a kill of the server and its next start.
PORTS = range(20_000, 32_768)


def free_port() -> int:
    """Return a port of 127.0.0.1 that nothing listens on."""
    for port in random.SystemRandom().sample(PORTS, 100):
        with socket.socket() as one:
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    pytest.fail(f"none of 100 ports from {PORTS.start} on is free")
