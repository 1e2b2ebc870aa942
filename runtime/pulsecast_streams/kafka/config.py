"""Which topics are read and written, as which group, and where states are kept."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pulsecast.errors import UsageError
from pulsecast.foundation.arguments import file_path, invalid, require_types, shown
from pulsecast.plain_text import Problems

from ..messages.writing import Form

_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
_GROUP = re.compile(r"[A-Za-z0-9._-]{1,200}")  # a part of the names of changelog topics
_MOST_BYTES = 65_536


@dataclass(frozen=True, kw_only=True)
class KafkaConfig:
    """All options of a stream on Kafka.

    brokers       HOST:PORT, several with commas between them
    source        topic that is read; it must be there
    forecasts, alarms, dead_letters   topics that are written, and made if they are not there. Without `alarms` none are
                  written; dead letters go to SOURCE-dead-letters by default
    group         the consumer group: processes of one group share the partitions
    exactly_once  messages and states are committed in transactions of Kafka: readers with
                  isolation.level=read_committed see each forecast once. Otherwise a crash may repeat forecasts
    state         folder for states, one for each process; it is rebuilt from the changelog topics if it is lost
    commit_s      seconds between two commits
    tick_s        seconds between two ticks of the clock that completes steps where no event comes (events only)
    form          of what is written
    properties    file with properties of librdkafka, NAME=VALUE on each line: TLS, passwords, timeouts
    """

    brokers: str
    source: str
    forecasts: str
    alarms: str | None = None
    dead_letters: str | None = None
    group: str = "pulsecast"
    exactly_once: bool = False
    state: str = "pulsecast-state"
    commit_s: float = 1.0
    tick_s: float = 5.0
    form: Form = "json"
    properties: str | None = None

    def __post_init__(self) -> None:
        require_types(self)
        if problems := Problems(self._problems()):
            raise invalid([str(problems)])

    @property
    def refused(self) -> str:
        """The topic of dead letters."""
        return f"{self.source}-dead-letters" if self.dead_letters is None else self.dead_letters

    @property
    def ticks(self) -> str:
        """The topic of the clock's ticks, which the processes of a group share."""
        return f"{self.source}-{self.group}-ticks"[:249]

    def _problems(self) -> Iterator[str]:
        topics = {"source": self.source, "forecasts": self.forecasts, "dead_letters": self.refused}
        topics |= {} if self.alarms is None else {"alarms": self.alarms}
        for name, topic in topics.items():
            if not _TOPIC.fullmatch(topic) or topic in (".", ".."):
                yield f"{name} is {shown(topic)}; expected a topic: up to 249 letters, digits, dots, _ and -"
        if len(set(topics.values())) < len(topics):
            said = ", ".join(f"{name} is {shown(topic)}" for name, topic in topics.items())
            yield f"two topics are one: {said}; a stream that reads what it writes never ends"
        if not _GROUP.fullmatch(self.group):
            yield f"group is {shown(self.group)}; expected up to 200 letters, digits, dots, _ and -"
        if not self.brokers.strip() or not self.brokers.isprintable():
            yield f"brokers is {shown(self.brokers)}; expected HOST:PORT, several with commas between them"
        if not 0 < self.commit_s <= 30:
            yield f"commit_s is {shown(self.commit_s)}; expected a number above 0, at most 30"
        if not 0.1 <= self.tick_s <= 3600:
            yield f"tick_s is {shown(self.tick_s)}; expected 0.1 to 3600"


def read_properties(path: str | None) -> dict[str, str]:
    """Return the properties in a file; raises UsageError that names the line, and never says a value."""
    if path is None:
        return {}
    file = file_path("properties", path)
    if not file.is_file():
        raise UsageError(f"the file of properties {shown(str(file))} is not there; expected NAME=VALUE on each line")
    found: dict[str, str] = {}
    for number, line in enumerate(_lines(file), 1):
        name, equals, value = line.partition("=")
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if not equals or not re.fullmatch(r"[a-z0-9._]+", name.strip()):
            raise UsageError(f"line {number} of the properties is not NAME=VALUE, such as security.protocol=SASL_SSL")
        if name.strip() in OURS:
            raise UsageError(f"line {number} of the properties sets {name.strip()}, which pulsecast sets itself")
        found[name.strip()] = value.strip()
    return found


# what a stream is right by
OURS = frozenset(
    {
        "auto.offset.reset", "bootstrap.servers", "enable.auto.commit", "enable.idempotence", "group.id",
        "group.instance.id", "isolation.level", "partition.assignment.strategy", "transactional.id",
    }
)  # fmt: skip


def _lines(file: Path) -> list[str]:
    with file.open("rb") as opened:
        data = opened.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise UsageError(f"the file of properties is longer than {_MOST_BYTES:,} bytes")
    try:
        return data.decode("utf-8").splitlines()
    except UnicodeDecodeError:
        raise UsageError("the file of properties is not UTF-8 text") from None
