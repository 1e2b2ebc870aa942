"""Time zones by their names, and the message on a system without zones."""

from __future__ import annotations

import datetime
import zoneinfo

import pytest

from pulsecast.errors import UsageError
from pulsecast_train import LogConfig
from pulsecast_train.zones import check_zone


@pytest.mark.parametrize("name", ["Mars/Phobos", "/etc/passwd", "..", "a\0b", ""])
def test_a_zone_that_is_none_is_named_with_what_it_is_of(name):
    with pytest.raises(UsageError) as caught:
        check_zone("clock", name)
    assert str(caught.value) == f"clock is {name!r}; expected a name such as UTC or Europe/Berlin"


def test_a_zone_is_returned_by_its_name():
    summer = datetime.datetime(2024, 7, 1, tzinfo=check_zone("clock", "Europe/Berlin"))
    assert summer.utcoffset() == datetime.timedelta(hours=2)


def test_without_a_zone_database_the_name_is_not_to_blame_and_utc_is_there(monkeypatch):
    def missing(name):
        raise zoneinfo.ZoneInfoNotFoundError(name)

    monkeypatch.setattr(zoneinfo, "ZoneInfo", missing)
    monkeypatch.setattr(zoneinfo, "available_timezones", set)
    assert check_zone("clock", "UTC") is datetime.UTC
    with pytest.raises(UsageError, match="this system has no time zones to look it up in: pip install tzdata"):
        check_zone("clock", "Europe/Berlin")


def test_a_database_of_zones_is_listed_once(monkeypatch):
    listed = []

    def list_them():
        listed.append(1)
        return {"Europe/Berlin"}

    monkeypatch.setattr(zoneinfo, "available_timezones", list_them)
    assert [LogConfig(timezone="Europe/Berlin").timezone for _ in range(3)] == ["Europe/Berlin"] * 3
    assert listed == [1]
