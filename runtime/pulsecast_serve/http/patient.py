"""The connection: uvicorn's, which closes one whose request does not begin, or whose headers do not end, in time."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ..live.hub import ENDING

HEAD_S = 10.0  # that a client may take from its first byte, or from connecting, to the end of its headers
HEAD_BYTES = 64 << 10


class PatientProtocol(HttpToolsProtocol):
    """Waits HEAD_S for the head of a request, and reads HEAD_BYTES of it at most."""

    _timer: asyncio.TimerHandle | None = None
    _in_head = True
    _head_bytes = 0

    def connection_made(self, transport: Any) -> None:
        """Start the clock of the first request."""
        super().connection_made(transport)
        self._start_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._stop_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what belongs to a head."""
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if not self._in_head or self._head_bytes == 0:  # the usual request comes whole, and needs no clock
            return
        if self._timer is None:
            self._start_clock()
        if self._head_bytes > HEAD_BYTES and self.transport is not None:
            self.transport.close()

    def on_headers_complete(self) -> None:
        """Stop the clock: the body has one of its own."""
        self._in_head = False
        self._stop_clock()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Get ready for the next head; until it begins, uvicorn's own clock runs."""
        self._in_head, self._head_bytes = True, 0
        super().on_message_complete()

    def shutdown(self) -> None:
        """End an answer that goes on until its client goes."""
        super().shutdown()
        scope: Any = self.scope  # of the request at work, or the last one
        end = None if scope is None else scope.get(ENDING)
        if end is not None:
            end()

    def _start_clock(self) -> None:
        self._timer = self.loop.call_later(HEAD_S, self._too_late)

    def _stop_clock(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_late(self) -> None:
        self._timer = None
        if self.transport is not None and not self.transport.is_closing():
            self.transport.close()
