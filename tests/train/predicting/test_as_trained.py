"""Logs that are read for a bundle: as its training log was, or as the options say."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from helpers import plain
from helpers.engines import require

require("polars")

from pulsecast.bundle.bundle import Bundle  # noqa: E402  the package above is needed first
from pulsecast.bundle.manifest import Manifest  # noqa: E402
from pulsecast.errors import DataError, UsageError  # noqa: E402
from pulsecast.foundation import strict_json  # noqa: E402
from pulsecast_train.logs.as_trained import read_as_trained  # noqa: E402
from pulsecast_train.logs.config import LogConfig  # noqa: E402


@pytest.fixture(scope="module")
def of_events(calendar_bundle: Path) -> Manifest:
    """What a bundle says whose training log had one event in each row, with all that this can bring."""
    manifest = Bundle.open(calendar_bundle).manifest
    log = LogConfig(
        time="at", id="event", events=True, step="1h", category="type", categories=("video",), user="who", user_cap=3,
    )  # fmt: skip
    recorded = dict(manifest.provenance.training) | {"log": strict_json.to_json(log)}
    provenance = dataclasses.replace(manifest.provenance, training=recorded)
    return dataclasses.replace(manifest, provenance=provenance)


def counts(folder: Path, column: str) -> Path:
    path = folder / "hourly.csv"
    lines = [f"2026-01-05T{hour:02d}:00:00Z,{200 + hour}" for hour in range(24)]
    path.write_text("\n".join([f"at,{column}", *lines]) + "\n")
    return path


def test_counts_are_read_for_a_model_of_events_where_the_options_say_samples(
    of_events: Manifest, tmp_path: Path
) -> None:
    (series,), _ = read_as_trained(counts(tmp_path, "value"), of_events, {"events": False})
    assert (series.metrics, series.step_s) == (("value",), plain.STEP_S)
    assert series.values[:, 0].tolist() == [200.0 + hour for hour in range(24)]
    columns = {"events": False, "columns": {"value": "likes"}}
    (named,), _ = read_as_trained(counts(tmp_path, "likes"), of_events, columns)
    assert named.values.tolist() == series.values.tolist()
    with pytest.raises(DataError, match="value"):
        read_as_trained(counts(tmp_path, "likes"), of_events, {"events": False})


def test_counts_given_to_a_model_of_events_are_refused_with_the_option_that_reads_them(
    of_events: Manifest, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"has no column .*: if this one holds their counts in steps, pass --samples$"):
        read_as_trained(counts(tmp_path, "value"), of_events)


def test_options_of_single_events_are_refused_beside_samples(of_events: Manifest, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="category is for events; add --events"):
        read_as_trained(counts(tmp_path, "value"), of_events, {"events": False, "category": "type"})


# --- the grid of steps ----------------------------------------------------------------------------------------------


def trained_on(manifest: Manifest, *firsts: str) -> Manifest:
    data = {"series": [{"name": f"s{i}", "first": first, "step_s": plain.STEP_S} for i, first in enumerate(firsts)]}
    return dataclasses.replace(manifest, provenance=dataclasses.replace(manifest.provenance, data=data))


def hours_at(folder: Path, clock: str) -> Path:
    path = folder / "hourly.csv"
    path.write_text("\n".join(["at,value", *(f"2026-01-05T{hour:02d}:{clock}Z,{200 + hour}" for hour in range(24))]))
    return path


@pytest.mark.parametrize(("clock", "phase"), [("30:00", 1800), ("59:59", 3599)])
def test_hours_that_are_named_by_their_middle_or_end_are_refused_until_that_is_stated(
    of_events: Manifest, tmp_path: Path, clock: str, phase: int
) -> None:
    manifest, path = trained_on(of_events, "2025-01-06T00:00:00Z"), hours_at(tmp_path, clock)
    with pytest.raises(DataError, match=rf"{phase:,} s after .* of 1h, and those of training 0 s .*--phase {phase} if"):
        read_as_trained(path, manifest, {"events": False})
    (series,), _ = read_as_trained(path, manifest, {"events": False, "phase_s": phase})
    assert series.start_s % 3600 == phase
    with pytest.raises(DataError, match=rf"{phase:,} s after a whole step of 1h; phase_s \(--phase\) says 60: correct"):
        read_as_trained(path, manifest, {"events": False, "phase_s": 60})


@pytest.mark.parametrize("firsts", [("2025-01-06T00:30:00Z",), ("2025-01-06T00:00:00Z", "2025-01-06T00:30:00Z"), ()])
def test_a_log_on_the_grid_of_training_is_read_and_any_where_training_had_several(
    of_events: Manifest, tmp_path: Path, firsts: tuple[str, ...]
) -> None:
    (series,), _ = read_as_trained(hours_at(tmp_path, "30:20"), trained_on(of_events, *firsts), {"events": False})
    assert series.start_s % 3600 == 1820
