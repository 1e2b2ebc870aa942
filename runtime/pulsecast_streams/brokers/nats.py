"""NATS JetStream on FastStream: a durable consumer with one message at a time, in the order of the stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pulsecast.errors import EngineError, UsageError
from pulsecast.foundation.arguments import shown

from ..messages.received import Received
from .config import BrokerConfig
from .engine import engine
from .link import STEADY
from .secured import secured
from .taking import Taking
from .topics import NATS, series_in

if TYPE_CHECKING:
    from faststream.nats import NatsBroker

TRIES, TRY_S = 2, 1  # at the start only: a connection that is lost ends the stream
ACK_WAIT_S = 5.0  # after a crash the message at work comes again so late


def open_nats(url: str, config: BrokerConfig, taking: Taking) -> NatsBroker:
    """Return a broker of FastStream; raises MissingExtraError."""
    del config

    async def lost() -> None:
        if not taking.stopping:
            taking.fail(EngineError(f"the nats broker was lost; {STEADY}"))

    made: NatsBroker = engine("faststream.nats", "nats").NatsBroker(
        **secured(url, taking.fail),
        logger=None,
        allow_reconnect=False,
        max_reconnect_attempts=TRIES,
        reconnect_time_wait=TRY_S,
        closed_cb=lost,
        error_cb=_silent,
    )
    return made


async def _silent(error: Exception) -> None:
    del error  # the call that failed raises an error of its own


class NatsLink:
    """A durable consumer. More than one message at work would come out of order where one is delivered again."""

    def __init__(self, broker: NatsBroker, taking: Taking) -> None:
        self._broker, self._taking, self._config = broker, taking, taking.config
        self._jetstream: Any = None

    def received(self, message: Any) -> Received:
        """Return the message; the stream says when it got it."""
        raw = message.raw_message
        return Received(
            key=series_in(NATS, self._config.source, raw.subject),
            value=bytes(raw.data),
            source={"subject": raw.subject, "sequence": raw.metadata.sequence.stream},
            arrived_s=raw.metadata.timestamp.timestamp(),
        )

    def problem(self, message: Any) -> str | None:
        """Return None: every message has a payload."""

    async def ready(self) -> None:
        """Subscribe. Raises UsageError if no stream holds a subject, or if others read as this consumer."""
        client: Any = await self._broker.connect()
        self._jetstream = client.jetstream()
        streams = {one: await self._stream(one) for one in (self._config.source, *self._config.written.values())}
        lacking = [subject for subject, stream in streams.items() if stream is None]
        if lacking:
            raise UsageError(
                f"no stream of JetStream holds {', '.join(map(shown, lacking))}; make one: "
                f"nats stream add NAME --subjects {shown(lacking[0])}"
            )
        await self._require_alone(str(streams[self._config.source]))
        self._subscribe(str(streams[self._config.source]))

    async def _stream(self, subject: str) -> str | None:
        try:
            found: str = await self._jetstream.find_stream_name_by_subject(subject)
        except engine("nats.js.errors", "nats").NotFoundError:
            return None
        return found

    async def _require_alone(self, stream: str) -> None:
        """Raise UsageError if the consumer is another one's: it would bring other messages, or take some away."""
        reader = self._config.reader
        try:
            found = await self._jetstream.consumer_info(stream, reader)
        except engine("nats.js.errors", "nats").NotFoundError:
            return
        if (found.config.filter_subject, found.config.max_ack_pending) != (self._config.source, 1):
            raise UsageError(f"the consumer {reader} of {stream} is not of this stream's subject; name another group")
        if found.num_waiting:
            raise UsageError(f"the consumer {reader} of {stream} has another reader, which would take steps away")

    def _subscribe(self, stream: str) -> None:
        faststream, api = engine("faststream.nats", "nats"), engine("nats.js.api", "nats")
        config = api.ConsumerConfig(ack_wait=ACK_WAIT_S, max_ack_pending=1, deliver_policy=api.DeliverPolicy.ALL)
        subscriber = self._broker.subscriber(
            self._config.source, durable=self._config.reader, config=config,
            stream=faststream.JStream(stream, declare=False), pull_sub=faststream.PullSub(batch_size=1, timeout=0.5),
            ack_policy=engine("faststream", "nats").AckPolicy.MANUAL, decoder=_whole,
        )  # fmt: skip

        async def take(message: Any) -> None:
            await self._taking.take(self, message)
            await message.ack_sync()

        def quiet() -> None:
            subscriber.running = False  # its loop would ask a closed connection again and again, and starve the others

        self._taking.quiet = quiet
        subscriber(take)

    def asks(self, message: Any) -> bool:
        """Return False: requests are those of MQTT 5."""
        return False

    async def respond(self, message: Any, data: bytes) -> str | None:
        """Do nothing: nobody asks."""

    async def drained(self) -> bool:
        """Return whether the consumer has taken all that the stream holds for it."""
        stream = await self._stream(self._config.source)
        found = await self._jetstream.consumer_info(stream, self._config.reader)
        return not found.num_pending and not found.num_ack_pending

    async def leave(self) -> None:
        """Say that the connection is about to be closed; the consumer stays."""
        self._taking.stopping = True

    async def send(self, topic: str, key: str | None, data: bytes) -> None:
        """Publish; returns once a stream has it."""
        del key  # every record says its series
        await self._jetstream.publish(topic, data)


async def _whole(message: Any) -> Any:
    """Return the message itself: nothing tries to read its bytes before."""
    return message
