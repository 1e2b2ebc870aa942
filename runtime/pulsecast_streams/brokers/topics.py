"""Topics with wildcards, of MQTT and of NATS: what they match, and which part of them names the series."""

from __future__ import annotations

from typing import NamedTuple

_LONGEST = 65_535  # bytes, as MQTT states


class Grammar(NamedTuple):
    """How topics are written: between levels, for any one level, for all levels that follow."""

    between: str
    one: str
    rest: str

    @property
    def example(self) -> str:
        """A filter that names its series."""
        return f"counts{self.between}{self.one}"


MQTT = Grammar("/", "+", "#")
NATS = Grammar(".", "*", ">")


def topic_problem(grammar: Grammar, topic: str) -> str | None:
    """Return what is wrong with a topic to publish to; None if nothing is."""
    if grammar.one in topic or grammar.rest in topic:
        return "has a wildcard; expected one topic"
    return _text_problem(grammar, topic)


def filter_problem(grammar: Grammar, source: str) -> str | None:
    """Return what is wrong with a filter to subscribe to; None if nothing is."""
    levels, one = source.split(grammar.between), grammar.one
    if grammar.rest in source:
        return (
            f"has the wildcard {grammar.rest}, which names no series; expected {one} in its place, such as "
            f"{grammar.example}"
        )
    if any(one in level and level != one for level in levels):
        return f"has a {one} beside other characters; expected it as a whole level, such as {grammar.example}"
    if levels.count(one) > 1:
        return (
            f"has {levels.count(one)} wildcards; which one names the series? Expected one, such as {grammar.example}, "
            "or none: then the field series of each message names it"
        )
    if levels[0].startswith("$"):
        return "begins with $; a shared subscription would take the steps of a series out of order"
    return _text_problem(grammar, source)


def _text_problem(grammar: Grammar, topic: str) -> str | None:
    text = topic.isprintable() and len(topic.encode("utf-8", "surrogatepass")) <= _LONGEST
    if not text or not topic or (grammar is NATS and (" " in topic or "" in topic.split("."))):
        return f"is not a topic; expected printable text, such as counts{grammar.between}likes"
    return None


def matches(grammar: Grammar, source: str, topic: str) -> bool:
    """Return whether a subscription to `source`, without the wildcard for the rest, gets what goes to `topic`.

    >>> matches(MQTT, "counts/+", "counts/likes"), matches(MQTT, "counts/+", "counts/likes/new")
    (True, False)
    """
    wanted, given = source.split(grammar.between), topic.split(grammar.between)
    return len(wanted) == len(given) and all(
        one in (grammar.one, other) for one, other in zip(wanted, given, strict=True)
    )


def series_in(grammar: Grammar, source: str, topic: str) -> str | None:
    """Return the level of `topic` at the wildcard of `source`; None where there is no wildcard.

    >>> series_in(MQTT, "counts/+/hour", "counts/likes/hour")
    'likes'
    """
    levels = source.split(grammar.between)
    return topic.split(grammar.between)[levels.index(grammar.one)] if grammar.one in levels else None


def without_wildcard(grammar: Grammar, source: str) -> str:
    """Return the levels of `source` that are not a wildcard.

    >>> without_wildcard(NATS, "counts.*.hour")
    'counts.hour'
    """
    return grammar.between.join(level for level in source.split(grammar.between) if level != grammar.one)
