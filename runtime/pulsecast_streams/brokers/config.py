"""Which topics or streams are read and written, as which reader, and where states are kept."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pulsecast.foundation.arguments import invalid, require_types, shown
from pulsecast.limits import STREAMS
from pulsecast.plain_text import Problems

from ..messages.writing import Form
from .topics import MQTT, NATS, Grammar, filter_problem, matches, topic_problem, without_wildcard

Kind = Literal["mqtt", "redis", "nats"]
# words before :// in the address of a broker -> its kind
SCHEMES: dict[str, Kind] = {
    "mqtt": "mqtt",
    "mqtts": "mqtt",
    "redis": "redis",
    "rediss": "redis",
    "nats": "nats",
    "tls": "nats",
}
# kind -> how its topics are written; the keys of Redis have no wildcards
GRAMMARS: dict[Kind, Grammar] = {"mqtt": MQTT, "nats": NATS}
_READER = re.compile(r"[A-Za-z0-9._-]{1,200}")


@dataclass(frozen=True, kw_only=True)
class BrokerConfig:
    """All options of a stream on MQTT, Redis or NATS.

    kind       mqtt, redis or nats
    source     topic that is read. One level at most is a wildcard, and names the series: + of MQTT, * of NATS. Of Redis
               it is the key of a stream
    forecasts, alarms, dead_letters   topics or streams that are written. Without `alarms` none are written; dead
               letters go to SOURCE-dead-letters by default, without the wildcard
    store      file of states, one for each process, which this user alone can read
    streams    most series in that file; a message of one more is a dead letter
    reader     the client of MQTT, the group of Redis, the consumer of NATS, that the broker keeps messages for
    form       of what is written
    """

    kind: Kind
    source: str
    forecasts: str
    alarms: str | None = None
    dead_letters: str | None = None
    store: str = "pulsecast-states.db"
    streams: int = STREAMS
    reader: str = "pulsecast"
    form: Form = "json"

    @property
    def group(self) -> str:
        """The readers of this source as one word, whatever the names hold: what processes know each other by."""
        return hashlib.sha256(repr((self.source, self.reader)).encode()).hexdigest()[:32]

    def __post_init__(self) -> None:
        require_types(self)
        if problems := Problems(self._problems()):
            raise invalid([str(problems)])

    @property
    def refused(self) -> str:
        """Where dead letters go."""
        if self.dead_letters is not None:
            return self.dead_letters
        grammar = GRAMMARS.get(self.kind)
        return f"{self.source if grammar is None else without_wildcard(grammar, self.source)}-dead-letters"

    @property
    def written(self) -> dict[str, str]:
        """Option -> topic or stream that is written."""
        topics = {"forecasts": self.forecasts, "dead_letters": self.refused}
        return topics if self.alarms is None else {**topics, "alarms": self.alarms}

    def _problems(self) -> Iterator[str]:
        if not _READER.fullmatch(self.reader):
            yield f"reader is {shown(self.reader)}; expected up to 200 letters, digits, dots, _ and -"
        if not self.store:
            yield "store is empty; expected a file for states"
        if self.streams < 1:
            yield f"streams is {shown(self.streams)}; expected at least 1"
        grammar = GRAMMARS.get(self.kind)
        if grammar is NATS and "." in self.reader:
            yield f"reader is {shown(self.reader)}; a consumer of NATS has no dots in its name"
        yield from self._stream_problems() if grammar is None else self._topic_problems(grammar)
        if len(set(self.written.values())) < len(self.written):
            said = ", ".join(f"{name} is {shown(topic)}" for name, topic in self.written.items())
            yield f"two topics are one: {said}; expected one for each"

    def _topic_problems(self, grammar: Grammar) -> Iterator[str]:
        if problem := filter_problem(grammar, self.source):
            yield f"source {shown(self.source)} {problem}"
        for name, topic in self.written.items():
            if problem := topic_problem(grammar, topic):
                yield f"{name} {shown(topic)} {problem}"
            elif matches(grammar, self.source, topic):
                yield (
                    f"{name} is {shown(topic)}, which source {shown(self.source)} matches; "
                    "a stream that reads what it writes never ends"
                )

    def _stream_problems(self) -> Iterator[str]:
        for name, stream in {"source": self.source, **self.written}.items():
            if not stream or not stream.isprintable():
                yield f"{name} is {shown(stream)}; expected the key of a stream, in printable text"
        for name, stream in self.written.items():
            if stream == self.source:
                yield f"{name} is {shown(stream)}, which is read; a stream that reads what it writes never ends"
