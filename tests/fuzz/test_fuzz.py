"""Seeds and fixtures go through every target; under `make soak`, fuzzing goes on where atheris is installed."""

from __future__ import annotations

import asyncio

import pytest

from fuzz import live
from fuzz.places import GOLDEN
from fuzz.running import fuzz, names
from fuzz.seeds import seeds
from fuzz.targets import CRASHES, TARGETS, crashes
from helpers.engines import require
from helpers.hostile.walk import outcome

require("polars", "h5py", "cryptography", "msgpack", "starlette", "grpc", "google.protobuf")

SOAKED_S = 15  # for each target


def test_every_folder_of_fixtures_is_of_a_target() -> None:
    assert {path.name for path in CRASHES.iterdir()} <= set(TARGETS)


@pytest.mark.parametrize("target", TARGETS)
def test_seeds_and_what_once_failed_are_read_or_refused(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from pulsecast_export.keras_models import h5_child, keras_file
    from pulsecast_train.logs.parquet import trial
    from pulsecast_train.logs.workbooks import sheet

    runs = ((trial, "run_module"), (sheet, "run_module"))
    replaced = ((h5_child, "limit_memory"), (keras_file, "h5_arrays"), *runs)  # by targets
    for module, name in replaced:
        monkeypatch.setattr(module, name, getattr(module, name))
    check = TARGETS[target].make()
    inputs = [*seeds(target), *(path.read_bytes() for path in crashes(target))]
    assert [found for data in inputs if (found := outcome(lambda data=data: check(data)))] == []  # type: ignore[misc]


def test_the_seeds_of_bodies_come_to_a_forecast_in_every_protocol() -> None:
    """A target whose seeds are all refused at the door would never find what lies behind it."""
    from pulsecast_serve import ServerConfig, application

    app, loop = application([GOLDEN], config=ServerConfig(store="memory", backend="numpy")), asyncio.new_event_loop()
    answered = set()
    for number, address, headers, sent in map(live.request, seeds("body")):
        status, _ = loop.run_until_complete(live.asked(app, address.path, headers, sent))
        answered |= {number} if status == 200 else set()
    loop.close()
    assert answered == set(range(len(live.ADDRESSES))) - {6}  # classify, which this model does not


@pytest.mark.soak
@pytest.mark.slow
@pytest.mark.parametrize("target", names())
def test_fuzzing_finds_nothing(target: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    found = fuzz(target, tmp_path_factory.mktemp("kept"), SOAKED_S)
    if found.skipped:
        pytest.skip(found.skipped)
    assert not found.failed, found.text()
