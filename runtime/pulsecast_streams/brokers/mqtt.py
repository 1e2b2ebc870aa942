"""MQTT 5 on FastStream: a session that the broker keeps, quality of service 1 both ways."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from typing import TYPE_CHECKING, Any

from pulsecast.errors import EngineError, UsageError
from pulsecast.foundation.arguments import shown

from ..messages.received import Received
from .config import BrokerConfig
from .engine import engine
from .link import STEADY
from .taking import Taking
from .topics import MQTT, matches, series_in, topic_problem

if TYPE_CHECKING:
    from faststream.mqtt import MQTTBroker

PING_S = 5.0  # that the broker may take to answer
ALONE_S = 1.0  # that a process which has the session may take to answer another one
KEPT_S = 0xFFFF_FFFF  # a session that never ends


def open_mqtt(url: str, config: BrokerConfig, taking: Taking) -> MQTTBroker:
    """Return a broker of FastStream; raises MissingExtraError."""
    faststream = engine("faststream.mqtt", "mqtt")
    made: MQTTBroker

    async def lost() -> None:
        taking.fail(EngineError(f"the mqtt broker was lost; {STEADY}"))

    made = faststream.MQTTBroker(
        url, client_id=config.reader, clean_session=False, session_expiry_interval=KEPT_S, logger=None,
        on_connection_recovery_failed=lost,
    )  # fmt: skip
    return made


class MqttLink:
    """A subscription to a topic. The broker keeps its session, with its messages, while nobody is there."""

    def __init__(self, broker: MQTTBroker, taking: Taking) -> None:
        faststream = engine("faststream.mqtt", "mqtt")
        self._broker, self._taking, self._qos = broker, taking, faststream.QoS.AT_LEAST_ONCE
        self._source = taking.config.source
        self._written = frozenset(taking.config.written.values())
        self._subscriber = broker.subscriber(
            self._source,
            qos=self._qos,
            ack_policy=engine("faststream", "mqtt").AckPolicy.MANUAL,
            decoder=_whole,
            no_reply=True,
        )

        async def take(message: Any) -> None:
            await taking.take(self, message)
            await message.ack()

        self._subscriber(take)
        self._present = f"pulsecast/readers/{taking.config.group}"  # where the process of this group answers
        broker.subscriber(self._present, qos=faststream.QoS.AT_MOST_ONCE)(_here)

    def received(self, message: Any) -> Received:
        """Return the message; MQTT has no time of arrival, so that this machine's clock says it."""
        raw = message.raw_message
        source = {"topic": raw.topic, "retained": int(raw.retain)}
        key = series_in(MQTT, self._source, raw.topic)
        return Received(key=key, value=bytes(raw.payload), source=source, arrived_s=time.time())

    def asks(self, message: Any) -> bool:
        """Return whether the message says where its answer goes, as a request of MQTT 5 does."""
        return bool(_response_topic(message))

    def problem(self, message: Any) -> str | None:
        """Return why a request cannot be answered: its answer would come in as a message, or go to many topics."""
        topic = _response_topic(message)
        if topic is None:
            return None
        if problem := topic_problem(MQTT, topic):
            return f"the response topic {shown(topic)} {problem}"
        if topic.startswith("$") or matches(MQTT, self._source, topic) or topic in self._written:
            return f"the response topic {shown(topic)} is one of the stream's own; expected one of the asker's"
        return None

    async def ready(self) -> None:
        """Raise UsageError if another process has the session, which would take it back, so that each got some steps.

        It is asked over a connection of another name, before this one takes the session: a broker says nothing to the
        one who loses it, and a client connects again. What was not acknowledged is delivered again in its order.
        """
        if await self._other_answers():
            raise UsageError(
                f"the group {self._taking.config.reader} of {shown(self._source)} has another reader, which would take "
                "steps away; stop it, or choose another --group"
            )

    async def _other_answers(self) -> bool:
        same: dict[str, Any] = getattr(self._broker, "_connection_kwargs")  # noqa: B009  there is no public name
        own = {
            "client_id": "",
            "clean_session": True,
            "session_expiry_interval": 0,
            "on_connection_recovery_failed": None,
        }
        zmqtt = engine("zmqtt", "mqtt")
        client = zmqtt.MQTTClient(**same | own)
        words = zmqtt.PublishProperties(correlation_data=secrets.token_hex(8).encode())  # FastStream returns text only
        try:
            async with asyncio.timeout(3 * ALONE_S):
                await client.connect()
                await client.request(self._present, b"", timeout=ALONE_S, properties=words)
        except Exception:  # of any kind: nobody answers, or the connection that follows fails likewise and says why
            return False
        else:
            return True
        finally:
            with contextlib.suppress(Exception):
                await client.disconnect()

    async def leave(self) -> None:
        """End the subscription here only: FastStream would end it at the broker, which would keep nothing then."""
        subscription: Any = getattr(self._subscriber, "_subscription", None)
        if subscription is not None:
            await subscription.detach()

    async def respond(self, message: Any, data: bytes) -> str | None:
        """Publish to the response topic, with the correlation data of the request as it came."""
        topic = _response_topic(message)
        if topic is None:
            return None
        zmqtt = engine("zmqtt", "mqtt")
        client: Any = await self._broker.connect()
        properties = zmqtt.PublishProperties(correlation_data=message.raw_message.properties.correlation_data)
        try:
            await client.publish(topic, data, qos=self._qos, properties=properties)
        except (zmqtt.MQTTPublishError, zmqtt.MQTTInvalidTopicError) as error:  # it may not be written, say
            return f"the request could not be answered at {shown(topic)}: {error}; expected a topic that may be written"
        return None

    async def drained(self) -> bool:
        """Return whether the broker is there: it does not say what it keeps, and sends all of it at once."""
        return bool(await self._broker.ping(PING_S))

    async def send(self, topic: str, key: str | None, data: bytes) -> None:
        """Publish; returns once the broker has acknowledged it."""
        del key  # every record says its series
        await self._broker.publish(data, topic, qos=self._qos)


async def _here() -> bytes:
    return b"here"


def _response_topic(message: Any) -> str | None:
    properties = message.raw_message.properties
    return None if properties is None else properties.response_topic or None


async def _whole(message: Any) -> Any:
    """Return the message itself: the function gets its bytes, and nothing tries to read them before."""
    return message
