"""One message: its answer goes out, then the state is kept, then it is acknowledged. After a fault nothing is taken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from pulsecast.errors import EngineError, PulsecastError
from pulsecast.forecasting.living.kept_alive import KeptAlive
from pulsecast.forecasting.streaming import Loaded

from ..answering import Answering, Said
from ..kept import Alive, KeptAsBytes
from ..messages.measurement import series_of
from ..messages.received import Received
from ..messages.records import dead_letter
from ..messages.writing import written
from ..policies import Policies
from ..refusal import RefusedError
from .config import BrokerConfig
from .link import STEADY, Link
from .store import StateStore


def _nothing() -> None:
    pass


class Taking:
    """The function that FastStream calls with each message, one at a time.

    The state is kept only after the broker has the forecast, and the message is acknowledged only after that. A crash
    between two of these repeats the forecast and loses none.

    A fault that is not the message's (the disk, the broker, a damaged state) ends the subscription. To go on would make
    the step that failed a late one, and lose it.
    """

    def __init__(self, model: Loaded, config: BrokerConfig, policies: Policies, *, store: StateStore) -> None:
        self.model, self.config, self.policies, self.store = model, config, policies, store
        self._answering, self._alive = Answering(model, policies), Alive(model, KeptAlive())
        self.fault: PulsecastError | None = None
        self.stopping = False  # the connection is closed on purpose
        self.ended: Callable[[], None] = _nothing  # called after a fault, from the broker's loop

    async def take(self, link: Link, message: Any) -> None:
        """Answer a message; returns if it may be acknowledged. Raises SystemExit, with which FastStream stops."""
        if self.fault is not None:
            raise SystemExit(1)
        try:
            await self._taken(link, message)
        except PulsecastError as error:
            await self.stop(link, error)
        except Exception as error:  # of the broker's client
            said = f"{type(error).__name__}: {error}"[:300]
            await self.stop(link, EngineError(f"the {self.config.kind} broker failed: {said}; {STEADY}"))

    async def stop(self, link: Link, fault: PulsecastError) -> NoReturn:
        """Take nothing any more; raises SystemExit."""
        self.fail(fault)
        await link.leave()
        raise SystemExit(1)

    def fail(self, fault: PulsecastError) -> None:
        """Keep the first fault, and end the application."""
        self.fault = self.fault or fault
        self.ended()

    async def _taken(self, link: Link, message: Any) -> None:
        received, problem = link.received(message), link.problem(message)
        if problem is not None:
            await self._refuse(link, received, None, RefusedError("schema", problem))
            return
        series = series_of(received, self.policies)
        state = None if series is None else self.store.get(series)
        if series is not None and state is None and len(self.store) >= self.config.streams:
            await self._refuse(link, received, series, self._too_many())
            return
        kept = KeptAsBytes(self._alive, series, state)
        found = self._answering.said(received, kept)
        next_state = kept.end(changed=found.changed)
        await self._send(link, found, series)
        if series is not None and next_state is not None and next_state != state:
            self.store.put(series, next_state)

    def _too_many(self) -> RefusedError:
        return RefusedError(
            "series", f"{self.config.streams:,} series are followed, and no more are; raise it with --streams N"
        )

    async def _refuse(self, link: Link, received: Received, series: str | None, error: RefusedError) -> None:
        letter = dead_letter(self.model.manifest, received, error, self.policies.dead_letter_bytes)
        await self._send(link, Said(dead_letter=letter), series)

    async def _send(self, link: Link, found: Said, series: str | None) -> None:
        config = self.config
        for alarm in found.alarms if config.alarms is not None else ():
            await link.send(str(config.alarms), series, written(alarm, config.form))
        if found.dead_letter is not None:
            await link.send(config.refused, series, written(found.dead_letter, config.form))
        if found.forecast is not None:
            await link.send(config.forecasts, series, written(found.forecast, config.form))
