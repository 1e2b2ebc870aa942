"""A rhythm in words: one sentence per cycle."""

from __future__ import annotations

from ..zones import DAY_NAMES
from .cycles import CLEAR, HOUR_S, SHORTEST_DAYS, SHORTEST_WEEKS, STRONG, SURE, TURNS, Cycle, Rhythm


def words(found: Rhythm) -> tuple[str, ...]:
    """Return the sentences about both cycles."""
    return (
        _day_words(found.day, found.zone, found.slot_s, factors=found.factors),
        _week_words(found.week, factors=found.factors),
    )


def slot_text(slot: int, slot_s: int) -> str:
    """Return the hours of a slot of the day.

    >>> slot_text(23, 3600), slot_text(1, 21600)
    ('23:00-24:00', '06:00-12:00')
    """
    hours = slot_s // HOUR_S
    return f"{slot * hours:02d}:00-{(slot + 1) * hours:02d}:00"


def _day_words(day: Cycle, zone: str, slot_s: int, *, factors: bool) -> str:
    if day.p is None or day.peak is None or day.quiet is None:
        if slot_s > 8 * HOUR_S:
            return "Day: steps of a day do not show its hours."
        seen = _count(day.periods, "day")
        return f"Day: too short; {seen} seen whole beside its trend, at least {SHORTEST_DAYS} are needed."
    if not day.sure:
        return _none(day, "days")
    beside = "an hour" if slot_s == HOUR_S else "a slot"
    return (
        f"{_found(day, 'days')} Busiest at {slot_text(day.peak, slot_s)} {zone} "
        f"(or {beside} beside in {day.peak_sure:.0%} of resampled logs), quietest at {slot_text(day.quiet, slot_s)}; "
        f"{_spread(day, factors=factors)}."
    )


def _week_words(week: Cycle, *, factors: bool) -> str:
    if week.p is None or week.peak is None or week.quiet is None:
        return (
            f"Week: too short; {_count(week.periods, 'week')} seen whole beside its trend, at least "
            f"{SHORTEST_WEEKS} are needed to distinguish a weekly rhythm from chance."
        )
    if not week.sure:
        return _none(week, "weeks")
    return (
        f"{_found(week, 'weeks')} Busiest on {DAY_NAMES[week.peak]} (in {week.peak_sure:.0%} of resampled logs), "
        f"quietest on {DAY_NAMES[week.quiet]}; {_spread(week, factors=factors)}."
    )


def _found(cycle: Cycle, periods: str) -> str:
    strength = cycle.strength or 0.0
    kind = "strong" if strength >= STRONG else "clear" if strength >= CLEAR else "weak"
    p = f"p <= {1 / (1 + TURNS):g}" if cycle.p is not None and cycle.p <= 1 / (1 + TURNS) else f"p = {cycle.p:.3f}"
    return f"{cycle.name.capitalize()}: a {kind} rhythm, strength {strength:.2f} of 1, {p}, {cycle.periods} {periods}."


def _none(cycle: Cycle, periods: str) -> str:
    return (
        f"{cycle.name.capitalize()}: no rhythm beyond chance, p = {cycle.p:.3f} (sure at {SURE:g}), "
        f"strength {cycle.strength or 0.0:.2f}, {cycle.periods} {periods}."
    )


def _spread(cycle: Cycle, *, factors: bool) -> str:
    high, low = max(cycle.profile), min(cycle.profile)
    return f"the one has {high / low:.2f} times the other's level" if factors else f"{high - low:.4g} apart"


def _count(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"


def amount(value: float) -> str:
    """Return a raw value as text: whole from a hundred on, else three digits.

    >>> amount(1234.5), amount(0.12345)
    ('1,234', '0.123')
    """
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
