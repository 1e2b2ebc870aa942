"""Whether the broker is still there, asked now and then: a client may wait for it without a word."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Any

from pulsecast.errors import EngineError

from .link import STEADY
from .taking import Taking

ASK_S = 2.0  # between two questions, and that an answer may take
LOST_S = 30.0  # without an answer: as long as the client of MQTT tries, so that a restart of the broker is waited for


class Pulse:
    """Ends a stream whose broker does not answer for LOST_S."""

    def __init__(self, broker: Any, taking: Taking) -> None:
        self._broker, self._taking = broker, taking
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to ask."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Ask no more."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        heard = monotonic()
        while self._taking.fault is None:
            await asyncio.sleep(ASK_S)
            if await self._answers():
                heard = monotonic()
            heard = max(heard, self._taking.taken_at)  # its answer may wait behind many messages
            if monotonic() - heard >= LOST_S:
                kind = self._taking.config.kind
                self._taking.fail(EngineError(f"the {kind} broker has not answered for {LOST_S:.0f} s; {STEADY}"))

    async def _answers(self) -> bool:
        try:
            return bool(await asyncio.wait_for(self._broker.ping(ASK_S), 2 * ASK_S))
        except Exception:  # of any client: it does not answer
            return False
