"""Redis streams on FastStream: a group with one reader, which reads each entry in its order."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pulsecast.errors import UsageError
from pulsecast.foundation.arguments import shown

from ..messages.received import Received
from .config import BrokerConfig
from .engine import engine
from .taking import Taking

if TYPE_CHECKING:
    from faststream.redis import RedisBroker

CONSUMER = "pulsecast"
ALONE_S = 2.0  # a process that reads asks the broker more often
AT_ONCE = 100  # entries that are fetched together
_ENVELOPE = b"__data__"  # the field in which FastStream itself sends
_CLOCK_MS = 10**11  # an entry's id below this is not a time: someone chose it


def open_redis(url: str, config: BrokerConfig, taking: Taking) -> RedisBroker:
    """Return a broker of FastStream; raises MissingExtraError."""
    del taking
    name = f"{_name_of(config)}{secrets.token_hex(8)}"
    made: RedisBroker = engine("faststream.redis", "redis").RedisBroker(url, logger=None, client_name=name)
    return made


def _name_of(config: BrokerConfig) -> str:
    """Return how the names of all connections begin that read as this group."""
    return f"pulsecast:{config.group}:"


class RedisLink:
    """A group of a stream. An entry has the field `data`, which holds the message, and perhaps `key`."""

    def __init__(self, broker: RedisBroker, taking: Taking) -> None:
        faststream = engine("faststream.redis", "redis")
        self._broker, self._config, self._form = broker, taking.config, faststream.BinaryMessageFormatV1
        stream = faststream.StreamSub(
            self._config.source, group=self._config.reader, consumer=CONSUMER, max_records=AT_ONCE
        )
        policy = engine("faststream", "redis").AckPolicy.MANUAL
        subscriber = broker.subscriber(stream=stream, ack_policy=policy, parser=_fields, decoder=_whole)

        async def take(message: Any) -> None:
            await taking.take(self, message)
            await message.ack()

        subscriber(take)

    def received(self, message: Any) -> Received:
        """Return the message; the entry's id says when the broker got it."""
        entry = message.raw_message["message_ids"][0].decode()
        arrived_ms = int(entry.partition("-")[0])
        key, value = self._read(message.body)
        return Received(
            key=key,
            value=value,
            source={"stream": self._config.source, "entry": entry},
            arrived_s=arrived_ms / 1000 if arrived_ms > _CLOCK_MS else None,
        )

    def _read(self, fields: Mapping[bytes, bytes]) -> tuple[bytes | None, bytes]:
        """Return key and message; all fields in one line each where there is no message among them."""
        if fields.keys() == {_ENVELOPE}:
            return None, self._form.parse(fields[_ENVELOPE])[0]
        if b"data" in fields:
            return fields.get(b"key"), fields[b"data"]
        return None, b"\n".join(name + b"=" + value for name, value in fields.items())

    def problem(self, message: Any) -> str | None:
        """Return why the fields of an entry are not a message: a field that is not read may be meant."""
        names = message.body.keys()
        if names in ({_ENVELOPE}, {b"data"}, {b"data", b"key"}):
            return None
        said = ", ".join(sorted(repr(name.decode("utf-8", "replace"))[:40] for name in names)[:8])
        return f"the entry has the fields {said}; expected data, which holds the message, and perhaps key"

    async def ready(self) -> None:
        """Make the group if it is not there, and set it back to the first entry that was not acknowledged.

        A new group reads the stream from its beginning. FastStream reads new entries only. Raises UsageError if others
        read as this group: they would take steps away.
        """
        client: Any = await self._broker.connect()
        source, group = self._config.source, self._config.reader
        try:
            await client.xgroup_create(source, group, id="0", mkstream=True)
        except engine("redis.exceptions", "redis").ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise UsageError(f"{shown(source)} is not a stream: {error}") from None
        await self._require_alone(client)
        pending = await client.xpending(source, group)
        if pending["pending"]:
            await client.xgroup_setid(source, group, before(_text(pending["min"])))

    async def _require_alone(self, client: Any) -> None:
        """Raise UsageError if someone reads: another consumer, or another process, which would have our name."""
        consumers = await self._consumers(client)
        others = sorted(_text(one["name"]) for one in consumers if _text(one["name"]) != CONSUMER)
        if others:
            raise UsageError(
                f"the group {self._config.reader} of {shown(self._config.source)} has another reader, "
                f"{shown(others[0])}, which would take steps away; name another group"
            )
        if not await self._is_read(client):
            return
        await asyncio.sleep(ALONE_S)  # it may be the process before this one, which was killed just now
        if await self._is_read(client):
            raise UsageError(
                f"the group {self._config.reader} of {shown(self._config.source)} is read by another process, which "
                "would take steps away; stop it, or name another group: --group NAME"
            )

    async def _is_read(self, client: Any) -> bool:
        """Return whether a process reads as this group.

        Up to Redis 7.0 a consumer that waits for its first entry is not listed, and one that waits is idle: so the
        connections are looked at, by their names, too. Who may not list them has the consumers alone.
        """
        if any(one["idle"] < 1000 * ALONE_S for one in await self._consumers(client)):
            return True
        try:
            own = _text(await client.client_getname() or "")
            found = await client.client_list()
        except engine("redis.exceptions", "redis").ResponseError:  # an access rule
            return False
        readers = (one for one in found if one["name"].startswith(_name_of(self._config)) and one["name"] != own)
        return any(int(one["idle"]) < ALONE_S for one in readers)

    async def _consumers(self, client: Any) -> Any:
        return await client.xinfo_consumers(self._config.source, self._config.reader)

    def asks(self, message: Any) -> bool:
        """Return False: requests are those of MQTT 5."""
        return False

    async def respond(self, message: Any, data: bytes) -> str | None:
        """Do nothing: nobody asks."""

    async def drained(self) -> bool:
        """Return whether the group has taken all entries of its stream."""
        client: Any = await self._broker.connect()
        groups = await client.xinfo_groups(self._config.source)
        found = next(one for one in groups if _text(one["name"]) == self._config.reader)
        return not found["pending"] and found.get("lag") == 0

    async def leave(self) -> None:
        """Do nothing: the group stays."""

    async def send(self, topic: str, key: str | None, data: bytes) -> None:
        """Add an entry; returns once Redis has it."""
        client: Any = await self._broker.connect()
        await client.xadd(topic, {"data": data} if key is None else {"key": key.encode(), "data": data})


def before(entry: str) -> str:
    """Return the id right before that of an entry.

    >>> before("1736121600000-3"), before("1736121600000-0")
    ('1736121600000-2', '1736121599999-18446744073709551615')
    """
    at_ms, number = map(int, entry.split("-"))
    if number:
        return f"{at_ms}-{number - 1}"
    return f"{at_ms - 1}-{2**64 - 1}" if at_ms else "0-0"


def _text(given: bytes | str) -> str:
    return given.decode() if isinstance(given, bytes) else given


async def _fields(message: Any, original: Any) -> Any:
    """Return the message with the fields of its entry as its body; FastStream's own reader fails for some bytes."""
    made = await original({**message, "data": {_ENVELOPE: b""}})
    made.body = message["data"]
    return made


async def _whole(message: Any) -> Any:
    """Return the message itself: nothing tries to read its bytes before."""
    return message
