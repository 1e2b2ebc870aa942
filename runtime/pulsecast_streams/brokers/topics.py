"""Topics of MQTT with wildcards: what they match, and which part of them names the series."""

from __future__ import annotations

from collections.abc import Iterator

_LONGEST = 65_535  # bytes, as MQTT states


def topic_problem(topic: str) -> str | None:
    """Return what is wrong with a topic to publish to; None if nothing is."""
    if any(one in topic for one in "+#"):
        return "has a wildcard; expected one topic"
    return _text_problem(topic)


def filter_problem(source: str) -> str | None:
    """Return what is wrong with a filter to subscribe to; None if nothing is."""
    levels = source.split("/")
    if "#" in source:
        return "has the wildcard #, which names no series; expected + in its place, such as counts/+"
    if any("+" in level and level != "+" for level in levels):
        return "has a + beside other characters; expected it as a whole level, such as counts/+"
    if levels.count("+") > 1:
        return (
            f"has {levels.count('+')} wildcards; which one names the series? Expected one, such as counts/+, or none: "
            "then the field series of each message names it"
        )
    if levels[0].startswith("$"):
        return "begins with $; a shared subscription would take the steps of a series out of order"
    return _text_problem(source)


def _text_problem(topic: str) -> str | None:
    if not topic or not topic.isprintable() or len(topic.encode("utf-8", "surrogatepass")) > _LONGEST:
        return "is not a topic; expected printable text, such as counts/likes"
    return None


def matches(source: str, topic: str) -> bool:
    """Return whether a subscription to `source`, with + at most, gets what is published to `topic`.

    >>> matches("counts/+", "counts/likes"), matches("counts/+", "counts/likes/new")
    (True, False)
    """
    wanted, given = source.split("/"), topic.split("/")
    return len(wanted) == len(given) and all(one in ("+", other) for one, other in zip(wanted, given, strict=True))


def series_in(source: str, topic: str) -> str | None:
    """Return the level of `topic` at the wildcard of `source`; None where there is no wildcard.

    >>> series_in("counts/+/hour", "counts/likes/hour")
    'likes'
    """
    levels = source.split("/")
    return topic.split("/")[levels.index("+")] if "+" in levels else None


def without_wildcard(source: str) -> str:
    """Return the levels of `source` that are not a wildcard.

    >>> without_wildcard("counts/+/hour")
    'counts/hour'
    """
    return "/".join(_named(source))


def _named(source: str) -> Iterator[str]:
    yield from (level for level in source.split("/") if level != "+")
