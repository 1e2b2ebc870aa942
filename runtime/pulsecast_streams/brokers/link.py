"""What each kind of broker does in its own way."""

from __future__ import annotations

from typing import Any, Protocol

from ..messages.received import Received

STEADY = "start it again: what was not acknowledged is delivered again"


class Link(Protocol):
    """A subscription of a FastStream broker. Its methods run in the broker's loop.

    received  reads a message of FastStream; it never fails
    asks      says whether an answer to this very message is awaited
    problem   says why there is no message in it; None if there is one
    ready     makes the broker deliver again what was not acknowledged; before the subscription starts
    leave     ends the subscription so that the broker goes on keeping messages
    send      returns once the broker has what is sent
    respond   answers the one who asked: a request says where, other messages are not answered
    drained   says whether the broker is there and has nothing left that was not taken, as far as it says so
    """

    def received(self, message: Any) -> Received:
        """Return a message as it came."""

    def asks(self, message: Any) -> bool:
        """Return whether a message is a request."""

    def problem(self, message: Any) -> str | None:
        """Return why there is nothing to read."""

    async def ready(self) -> None:
        """Prepare the broker."""

    async def leave(self) -> None:
        """End the subscription."""

    async def send(self, topic: str, key: str | None, data: bytes) -> None:
        """Publish to a topic, or add to a stream."""

    async def respond(self, message: Any, data: bytes) -> str | None:
        """Answer a request; return why it cannot be answered, None if it was or is not one."""

    async def drained(self) -> bool:
        """Return whether nothing waits to be read."""
