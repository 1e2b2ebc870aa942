"""What the columns and rows of a log are, where its names alone do not say so: proposals, each with its reason."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ..aggregation import usual_spacing_us
from ..config import METRIC_ALIASES, TIME_ALIASES, LogConfig, plain, step_text
from ..text.identities import rounded_row
from .choices import Choice, Reading
from .number_kinds import is_total, words_of
from .samples import Column, Sample

_IDENTITY_WORDS = frozenset("id ids uuid guid key url permalink link hash fingerprint".split())  # noqa: SIM905
_PERSON_WORDS = frozenset("user author actor account screen person member".split())  # noqa: SIM905
_HOUR_NAMES = ("hour", "hr", "hour_of_day", "hourofday", "time", "clock", "time_of_day", "stunde", "heure", "hora")
_UNIQUE = 0.95  # share of ids that differ
_ALIKE = 0.999  # share of rows that are alone with their time and series
_STEPS_S = (86_400, 3600, 1800, 900, 300, 60, 30, 10, 5, 1)
_ENOUGH_STEPS = 400
_MOST_READINGS = 5


def propose(sample: Sample, config: LogConfig, now_s: int) -> list[Choice]:
    """Return what is to be said about the columns and rows of a log; nothing where its names already say it."""
    found = _time(sample, config)
    time = config.time or _proposed(found, "time") or _alias(sample, TIME_ALIASES)
    if time is None or time not in sample.frame.columns:
        return found
    clock = config.time_of_day or _time_of_day(sample, str(time))
    if clock is not None and config.time_of_day is None:
        words = f"{time} has dates and {clock} the time of day: together they are the time"
        found = [
            Choice(what="the time", readings=(Reading(words=words, changes={"time": time, "time_of_day": clock}),))
        ]
    if config.events or config.metrics:
        return found
    times = None if clock else sample.times_us(str(time), config, now_s)
    taken = {str(time), clock, config.series, config.id, config.user, config.category}
    return [*found, *_rows(sample, config, times, taken)]


def _proposed(found: Sequence[Choice], field: str) -> object:
    return next((one.proposed.changes[field] for one in found if field in one.proposed.changes), None)


def _alias(sample: Sample, aliases: Sequence[str]) -> str | None:
    fitting = [name for name in sample.frame.columns if plain(name) in aliases]
    return fitting[0] if len(fitting) == 1 else None


def _time(sample: Sample, config: LogConfig) -> list[Choice]:
    if config.time is not None or _alias(sample, TIME_ALIASES) is not None:
        return []
    named = [one for one in sample.columns if plain(one.name) in TIME_ALIASES and one.kind != "clock"]
    likely = named or [one for one in sample.columns if one.kind == "time"]
    if not likely:
        return []
    likely.sort(key=lambda one: -one.distinct)
    readings = tuple(Reading(words=f"{one.name} is the time", changes={"time": one.name}) for one in likely)
    reason = "it has the most different times" if len(readings) > 1 else "only its cells are times"
    return [Choice(what="which column is the time", readings=readings[:_MOST_READINGS], reason=reason)]


def _time_of_day(sample: Sample, time: str) -> str | None:
    dates = sample.frame[time].drop_nulls()
    if dates.str.contains(r"\d:\d\d|T\d\d|^\d{9,}").any() or dates.n_unique() == len(dates):
        return None
    for one in sample.columns:
        hours = one.kind in ("number", "flag", "clock") and plain(one.name) in _HOUR_NAMES
        if one.name != time and (hours or one.kind == "clock") and one.distinct <= 24 * 60:
            return one.name
    return None


def _rows(sample: Sample, config: LogConfig, times: NDArray[np.int64] | None, taken: set[str | None]) -> list[Choice]:
    """Return what the rows are: events, samples of several series, or samples of one."""
    free = [one for one in sample.columns if one.name not in taken]
    numbers = [one for one in free if one.kind == "number" and not _is_identity(one)]
    if times is not None:
        known = times[times >= 0]
        shared = 1 - len(np.unique(known)) / max(len(known), 1)
        irregular = usual_spacing_us(np.sort(known)) is None
        identity = next((one for one in free if _is_event_id(one)), None)
        series = _series(sample, times, free, config) if numbers and shared > 0 else []
        if series:
            return [*series, *_metric(numbers, config)]
        if (irregular or shared > 0 or not numbers) and (identity is not None or not numbers):
            return [_events(sample, known, identity, numbers)]
    return _metric(numbers, config)


def _is_identity(one: Column) -> bool:
    return bool(set(words_of(one.name)) & _IDENTITY_WORDS)


def is_private(one: Column) -> bool:
    """Return whether a column's cells may name people: they are not shown."""
    return bool(set(words_of(one.name)) & _PERSON_WORDS)


def _is_event_id(one: Column) -> bool:
    words = set(words_of(one.name))
    unique = one.filled > 0 and one.distinct >= _UNIQUE * one.filled
    return bool(words & _IDENTITY_WORDS) and not words & _PERSON_WORDS and unique


def _events(sample: Sample, times: NDArray[np.int64], identity: Column | None, numbers: Sequence[Column]) -> Choice:
    span_s = float(times.max() - times.min()) / 1e6 / max(sample.share, 1e-9)
    step = step_text(next((step_s for step_s in _STEPS_S if span_s / step_s >= _ENOUGH_STEPS), 1))
    changes: dict[str, object] = {"events": True, "step": step}
    words = f"each row is an event; they are counted in steps of {step}"
    reason = "times are irregular or shared, and "
    if identity is None:
        reason += "no column holds numbers to add up"
    elif rounded_row(sample.frame[identity.name]) is not None:
        reason += f"{identity.name} would name each, but a spreadsheet has rounded it, so it is left out"
    else:
        changes["id"] = identity.name
        words += f", each {identity.name} once"
        reason += f"{identity.name} names each"
    totals = [one.name for one in numbers if is_total(one.name)]
    if totals:
        reason += (
            f"; {totals[0]} is a total that a post collects later: --metric {totals[0]} --maturity 2d forecasts it"
        )
    return Choice(what="what a row is", readings=(Reading(words=words, changes=changes),), reason=reason)


def _series(sample: Sample, times: NDArray[np.int64], free: Sequence[Column], config: LogConfig) -> list[Choice]:
    """Return the column that names several series, if with it nearly every row is alone with its time."""
    if config.series is not None:
        return []
    fitting = []
    for one in free:
        if one.kind in ("text", "flag", "number") and 1 < one.distinct <= one.filled / 3:
            pairs = pl.DataFrame({"t": times, "name": sample.frame[one.name]})
            if one.kind != "number" and pairs.n_unique() >= _ALIKE * len(pairs):
                fitting.append(one)
    fitting.sort(key=lambda one: one.distinct)
    readings = [Reading(words=f"{one.name} names the series", changes={"series": one.name}) for one in fitting]
    if not readings:
        return []
    reason = "with it each time stands once"
    return [Choice(what="which series a row is of", readings=tuple(readings[:_MOST_READINGS]), reason=reason)]


def _metric(numbers: Sequence[Column], config: LogConfig) -> list[Choice]:
    usual = [one for one in numbers if plain(one.name) in METRIC_ALIASES]
    if len(usual) == 1 or not numbers or config.metrics:
        return []
    likely = usual or numbers
    readings = tuple(Reading(words=f"{one.name} is forecast", changes={"metrics": (one.name,)}) for one in likely)
    reason = "it is the first one" if len(readings) > 1 else "no other column holds numbers"
    return [Choice(what="which column is forecast", readings=readings[:_MOST_READINGS], reason=reason)]
