"""Times in text: what is taken, and what is refused."""

import pytest

from pulsecast.computing.iso_time import iso_seconds, iso_whole_seconds

REFUSED = {
    "now": "is not a time",
    "1769846400": "is not a time",
    1769846400: "is not a time",
    None: "is not a time",
    "2026-02-30T08:00:00Z": "is not a time",
    "9999-12-31T24:00:01Z": "is not a time",
    "2026-01-31": "has no zone",
    "2026-01-31T08:00:00": "has no zone",
}


@pytest.mark.parametrize("given", REFUSED)
def test_what_is_not_one_moment_is_refused(given: object) -> None:
    for read in (iso_seconds, iso_whole_seconds):
        with pytest.raises(ValueError, match=f"^{REFUSED[given]}$"):
            read(given)


@pytest.mark.parametrize("given", ["2026-01-31T08:00:00.5Z", "9999-12-31T23:59:59.999999Z",
                                   "2026-01-31T08:00:00+00:00:01.25"])  # fmt: skip
def test_a_part_of_a_second_is_taken_only_where_it_is_asked_for(given: str) -> None:
    assert iso_seconds(given) > 0
    with pytest.raises(ValueError, match="has a part of a second"):
        iso_whole_seconds(given)


def test_the_first_and_the_last_second_of_the_calendar_have_their_numbers() -> None:
    assert iso_whole_seconds("0001-01-01T00:00:00+10:00") == -62_135_632_800
    assert iso_whole_seconds("9999-12-31T23:59:59-10:00") == 253_402_336_799
