"""One message: its answer goes out, then the state is kept, then it is acknowledged. After a fault nothing is taken."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, NoReturn

from pulsecast.errors import EngineError, PulsecastError
from pulsecast.forecasting.living.kept_alive import KeptAlive
from pulsecast.forecasting.streaming import Loaded

from ..answering import Answer, Answering, Said
from ..events.policies import EventPolicies
from ..following import Answers, Heard, answer_event, measured_step
from ..kept import Alive, KeptAsBytes
from ..messages.measurement import series_of
from ..messages.received import Received
from ..messages.records import Record, dead_letter
from ..messages.writing import written
from ..policies import Policies
from ..refusal import RefusedError
from .config import BrokerConfig
from .link import STEADY, Link
from .store import StateStore

# what a request is answered that has no forecast, though it is not refused
_NOTHING = RefusedError("late", "the step changes nothing: a later one was taken; ask again with the next step")
_COUNTED = RefusedError("waiting", "the event was counted; its forecast follows once its step is complete")


def _nothing() -> None:
    pass


def _kept(series: str, state: bytes, arrived_s: float | None) -> None:
    del series, state, arrived_s


class Taking:
    """The function that FastStream calls with each message, one at a time.

    The state is kept only after the broker has the forecast, and the message is acknowledged only after that. A crash
    between two of these repeats the forecast and loses none.

    A fault that is not the message's (the disk, the broker, a damaged state) ends the subscription. To go on would make
    the step that failed a late one, and lose it.
    """

    def __init__(
        self,
        model: Loaded,
        config: BrokerConfig,
        policies: Policies,
        *,
        store: StateStore,
        events: EventPolicies | None = None,
        heard: Heard | None = None,
    ) -> None:
        """Take steps, or `events`; `heard` is called with each step that was answered."""
        self.model, self.config, self.policies, self.store = model, config, policies, store
        self.events, self.heard = events, heard
        self.turn = asyncio.Lock()  # of one message, or one tick of a clock
        self.kept: Callable[[str, bytes, float | None], None] = _kept  # called with the state that an event left
        self._answering, self._alive = Answering(model, policies), Alive(model, KeptAlive())
        self.fault: PulsecastError | None = None
        self.stopping = False  # the connection is closed on purpose
        self.taken_at = time.monotonic()  # a message says that the broker is there
        self.quiet: Callable[[], None] = _nothing  # stops a subscriber that would ask a lost broker without a pause
        self.ended: Callable[[], None] = _nothing  # called after a fault, from the broker's loop

    async def take(self, link: Link, message: Any) -> None:
        """Answer a message; returns if it may be acknowledged. Raises SystemExit, with which FastStream stops."""
        if self.fault is not None:
            raise SystemExit(1)
        try:
            async with self.turn:
                await self._taken(link, message)
            self.taken_at = time.monotonic()
        except PulsecastError as error:
            await self.stop(link, error)
        except Exception as error:  # of the broker's client
            await self.stop(link, self._failed(error))

    async def guarded(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do what no message asked for; a fault of it ends the application too."""
        try:
            await work()
        except PulsecastError as error:
            self.fail(error)
        except Exception as error:  # of the broker's client
            self.fail(self._failed(error))

    def _failed(self, error: Exception) -> EngineError:
        said = f"{type(error).__name__}: {error}"[:300]
        return EngineError(f"the {self.config.kind} broker failed: {said}; {STEADY}")

    async def stop(self, link: Link, fault: PulsecastError) -> NoReturn:
        """Take nothing any more; raises SystemExit."""
        self.fail(fault)
        await link.leave()
        raise SystemExit(1)

    def fail(self, fault: PulsecastError) -> None:
        """Keep the first fault, and end the application."""
        self.fault = self.fault or fault
        self.quiet()
        self.ended()

    async def _taken(self, link: Link, message: Any) -> None:
        received, problem = link.received(message), link.problem(message)
        if problem is not None:
            await self._refuse(link, received, None, RefusedError("schema", problem))
            return
        asked = link.asks(message)
        series = series_of(received, self.policies)
        state = None if series is None else self.store.get(series)
        if series is not None and state is None and len(self.store) >= self.config.streams:
            refused = await self._refuse(link, received, series, self._too_many())
            if asked:
                await self._respond(link, message, received, refused)
            return
        if self.events is not None:
            said = await self._counted(link, received, series, state, self.events)
            if asked:
                await self._respond(link, message, received, said)
            return
        kept = KeptAsBytes(self._alive, series, state)
        found = self._answering.said(received, kept)
        next_state = kept.end(changed=found.changed)
        await self._send(link, found, series)
        if self.heard is not None:
            self._hear(self.heard, received, found, next_state)
        if series is not None and next_state is not None and next_state != state:
            self.store.put(series, next_state)
        if asked:
            await self._respond(link, message, received, found)

    def _hear(self, heard: Heard, received: Received, found: Said, state: bytes | None) -> None:
        said = Answer(forecast=found.forecast, alarms=found.alarms, dead_letter=found.dead_letter, state=state)
        if (step := measured_step(self.model, received, said, self.policies)) is not None:
            heard(step)

    async def _respond(self, link: Link, message: Any, received: Received, found: Said | Answer) -> None:
        """Answer the one who asked; where this cannot be, a dead letter says so, and the step stands."""
        record = found.forecast or found.dead_letter or self._letter(received, _NOTHING)
        problem = await link.respond(message, written(record, self.config.form))
        if problem is not None:
            letter = self._letter(received, RefusedError("schema", problem))
            await self._send(link, Said(dead_letter=letter), None)

    def _letter(self, received: Received, error: RefusedError) -> Record:
        return dead_letter(self.model.manifest, received, error, self.policies.dead_letter_bytes)

    async def _counted(
        self, link: Link, received: Received, series: str | None, kept: bytes | None, events: EventPolicies
    ) -> Answer:
        found = answer_event(self.model, received, kept, events=events, policies=self.policies)
        if found.dead_letter is not None:
            await self._send(link, Said(dead_letter=found.dead_letter), series)
        await self.say(link, found, series)
        if series is not None and found.state is not None:
            if found.state != kept:
                self.store.put(series, found.state)
            self.kept(series, found.state, received.arrived_s)
        last = found.answers[-1].answer if found.answers else Answer(dead_letter=found.dead_letter, state=None)
        return (
            last if found.dead_letter or last.forecast else replace(last, dead_letter=self._letter(received, _COUNTED))
        )

    async def say(self, link: Link, found: Answers, series: str | None) -> None:
        """Send what was answered to steps."""
        for one in found.answers:
            await self._send(link, one.answer, series)
            if self.heard is not None:
                self.heard(one)

    def _too_many(self) -> RefusedError:
        return RefusedError(
            "series", f"{self.config.streams:,} series are followed, and no more are; raise it with --streams N"
        )

    async def _refuse(self, link: Link, received: Received, series: str | None, error: RefusedError) -> Said:
        said = Said(dead_letter=self._letter(received, error))
        await self._send(link, said, series)
        return said

    async def _send(self, link: Link, found: Said | Answer, series: str | None) -> None:
        config = self.config
        for alarm in found.alarms if config.alarms is not None else ():
            await link.send(str(config.alarms), series, written(alarm, config.form))
        if found.dead_letter is not None:
            await link.send(config.refused, series, written(found.dead_letter, config.form))
        if found.forecast is not None:
            await link.send(config.forecasts, series, written(found.forecast, config.form))
