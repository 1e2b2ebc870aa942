"""A series is a grid that checks itself."""

import numpy as np
import pytest

from pulsecast_train.series import Series

NAN = float("nan")


def series(values: list[list[float]], *, metrics: tuple[str, ...] = ("y",), step_s: int = 60) -> Series:
    return Series(name="a", metrics=metrics, start_s=1000, step_s=step_s, values=np.array(values))


def test_timestamps_are_the_start_plus_whole_steps() -> None:
    stamps = series([[1.0], [2.0], [3.0]]).timestamps_s()
    assert stamps.dtype == np.int64
    assert stamps.tolist() == [1000, 1060, 1120]


@pytest.mark.parametrize(
    ("column", "segments"),
    [
        ([1, 2, 3], ((0, 3),)),
        ([1, NAN, 3], ((0, 1), (2, 3))),
        ([NAN, 2, 3, NAN, NAN, 6], ((1, 3), (5, 6))),
        ([NAN], ()),
    ],
)
def test_segments_are_the_stretches_between_gaps(column: list[float], segments: tuple[tuple[int, int], ...]) -> None:
    assert series([[value] for value in column]).segments == segments


def test_values_are_a_copy_that_cannot_be_written() -> None:
    source = np.ones((2, 1))
    made = Series(name="a", metrics=("y",), start_s=0, step_s=60, values=source)
    source[0] = 9
    assert made.values[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        made.values[0] = 2


BAD_SERIES = {
    "no steps": ({"values": np.empty((0, 1))}, "has no steps"),
    "a flat array": ({"values": np.ones(3)}, r"shape \(3,\); expected \(steps, 1\)"),
    "two columns and one name": ({"values": np.ones((3, 2))}, r"shape \(3, 2\); expected \(steps, 1\)"),
    "half a missing step": ({"values": np.array([[1.0, NAN]]), "metrics": ("y", "z")}, "neither finite nor NaN"),
    "infinity": ({"values": np.array([[np.inf]])}, "neither finite nor NaN"),
    "a step of no length": ({"values": np.ones((3, 1)), "step_s": 0}, "step_s is 0; expected 1 or more"),
}


@pytest.mark.parametrize(("fields", "sentence"), BAD_SERIES.values(), ids=BAD_SERIES.keys())
def test_parts_that_do_not_fit_are_refused(fields: dict[str, object], sentence: str) -> None:
    whole: dict[str, object] = {"name": "a", "metrics": ("y",), "start_s": 0, "step_s": 60} | fields
    with pytest.raises(ValueError, match=sentence):
        Series(**whole)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("start_s", "step_s", "phase_s", "same"),
    [
        (7200, 3600, 0, True),
        (7207, 3600, 0, True),  # each sample a few seconds late
        (7200 + 1800, 3600, 0, False),
        (7200 + 3599, 3600, 0, False),  # the end of an hour, not a second before the next one
        (82_800, 86_400, 79_200, True),  # midnight in Berlin, in winter and in summer
        (82_800, 86_400, 0, True),  # midnight in London
        (43_200, 86_400, 0, False),
        (86_399, 86_400, 0, False),
        (3600, 7200, 0, False),
    ],
)
def test_a_grid_is_the_same_up_to_a_sixtieth_of_a_step_and_days_up_to_a_change_of_clocks(
    start_s: int, step_s: int, phase_s: int, same: bool
) -> None:
    one = Series(name="a", metrics=("y",), start_s=start_s, step_s=step_s, values=np.ones((3, 1)))
    assert one.has_phase(phase_s) is same
