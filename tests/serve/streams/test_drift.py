"""What is followed beside a stream: the verdict is a Monitor's, and metrics say how many are to be trained again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.serving import Client, running
from helpers.serving.streams import HOUR, START, VALUES, address, other_model, pushes
from pulsecast import Forecaster, Monitor, load
from pulsecast.forecasting.living.kept_alive import KeptAlive
from pulsecast.forecasting.watching.promises import Promises
from pulsecast_serve import ServerConfig
from pulsecast_serve.models.served import Served
from pulsecast_serve.protocols.streams.pushing import Past, pushed
from pulsecast_serve.protocols.streams.request import read_push
from pulsecast_serve.protocols.streams.watching import BLOCK, Observations, last_seen
from pulsecast_serve.streams.kept import Kept, Key
from pulsecast_serve.streams.memory import MemoryStore

STEPS = 860  # more than the 672 that a verdict looks at
SENT = 400


@pytest.fixture(scope="module")
def sent() -> list[dict[str, Any]]:
    """The usual series with a gap, missing steps, and twice the size from step 300 on."""
    steps = pushes(range(SENT))
    for at in (180, 181, 285):
        steps[at]["value"] = None
    for one in steps[300:]:
        one["value"] *= 2
    return [one for i, one in enumerate(steps) if not 200 <= i < 203]


@pytest.fixture(scope="module")
def answered(bundle: Path, sent: list[dict[str, Any]]) -> Iterator[tuple[Client, int]]:
    """A server to which `sent` was pushed as `grown`, and the usual series as `usual` and `zebra`; and its alarms."""
    config = ServerConfig(store="memory", backend="numpy", series_metrics=2)
    parts = [("grown", sent[:210]), ("grown", sent[210:]), ("usual", pushes(range(240))), ("zebra", pushes(range(100)))]
    with running(bundle, config=config) as client:
        steps = [one for name, part in parts for one in client.post(address(name), {"steps": part}).json["steps"]]
        yield client, sum(one["anomaly"]["alarm"] for one in steps)


@pytest.fixture(scope="module")
def watching(answered: tuple[Client, int]) -> Client:
    """The same server."""
    return answered[0]


def monitored(model: Forecaster, sent: list[dict[str, Any]]) -> Monitor:
    """Return a Monitor that was given the same steps, missing ones as NaN."""
    monitor, due = model.monitor(), sent[0]["time"]
    for one in sent:
        for missing in range(due, one["time"], HOUR):
            monitor.push(float("nan"), timestamp=missing)
        monitor.push(float("nan") if one["value"] is None else one["value"], timestamp=one["time"])
        due = one["time"] + HOUR
    return monitor


def test_the_verdict_is_that_of_a_monitor_in_process(
    watching: Client, model: Forecaster, sent: list[dict[str, Any]]
) -> None:
    expected = monitored(model, sent).report()
    answered = watching.get(f"{address('grown')}/drift").json
    assert expected.verdict == answered["verdict"] == "train again"
    assert answered["reasons"] == list(expected.sentences)
    assert (answered["steps"], answered["needed"]) == (expected.steps, expected.needed)
    for said, one in zip(answered["findings"], expected.findings, strict=True):
        assert said == {name: getattr(one, name) for name in said}
    outside = next(one for one in expected.findings if one.sign == "coverage")
    assert answered["coverage"] == pytest.approx(1 - outside.share, abs=1e-12)  # a sum of counts either way


def test_too_few_steps_have_no_verdict(watching: Client, model: Forecaster) -> None:
    answered = watching.get(f"{address('zebra')}/drift").json
    assert (answered["verdict"], answered["steps"]) == ("unknown", 27)
    assert answered["reasons"] == ["unknown: 27 steps were judged; a verdict takes 100"]


def test_drift_of_a_series_that_is_not_followed_is_not_there(watching: Client) -> None:
    assert watching.get(f"{address('nobody')}/drift").status == 404
    assert watching.post(f"{address('nobody')}/drift", pushes([0])[0]).status == 404
    assert watching.ask("DELETE", f"{address('grown')}/drift").status == 404
    assert watching.get(address("grown")).status == 200


def metrics(client: Client) -> dict[str, float]:
    lines = client.get("/metrics").body.decode().splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if line.startswith(("pulsecast_stream", "pulsecast_series")))
    return {name: float(value) for name, value in pairs if "_created" not in name}


def test_metrics_say_what_came_and_what_drifts(answered: tuple[Client, int], sent: list[dict[str, Any]]) -> None:
    client, alarms = answered
    found = metrics(client)
    assert found['pulsecast_streams{model="plain"}'] == 3
    assert found['pulsecast_streams_to_train_again{model="plain"}'] == 1
    assert found['pulsecast_stream_alarms_total{model="plain"}'] == alarms > 0
    assert found['pulsecast_stream_pushes_total{arrival="gap",model="plain"}'] == 1
    assert found['pulsecast_stream_pushes_total{arrival="next",model="plain"}'] == len(sent) - 1 + 340
    assert 0 < found['pulsecast_stream_coverage{model="plain"}'] < 1
    assert -1 <= found['pulsecast_stream_bias{model="plain"}'] <= 1


def test_only_the_first_series_by_name_have_metrics_of_their_own(watching: Client) -> None:
    found = metrics(watching)
    again = {name: value for name, value in found.items() if name.startswith("pulsecast_series_to_train_again")}
    assert again == {
        'pulsecast_series_to_train_again{model="plain",series="grown"}': 1.0,
        'pulsecast_series_to_train_again{model="plain",series="usual"}': 0.0,
    }
    verdict = watching.get(f"{address('usual')}/drift").json
    assert found['pulsecast_series_coverage{model="plain",series="usual"}'] == verdict["coverage"]
    assert found['pulsecast_series_bias{model="plain",series="usual"}'] == verdict["bias"]


def test_series_that_are_to_be_trained_again_can_be_asked_for(watching: Client) -> None:
    assert watching.get("/v1/streams/plain?verdict=train%20again").json["series"] == ["grown"]
    assert watching.get("/v1/streams/plain?verdict=unknown").json["series"] == ["zebra"]
    assert watching.get("/v1/streams/plain").json["series"] == ["grown", "usual", "zebra"]
    refused = watching.get("/v1/streams/plain?verdict=retrain")
    assert refused.status == 400
    assert "?verdict= one of unknown, steady, train again" in refused.json["error"]["message"]


def test_only_steps_that_are_looked_at_are_kept(model: Forecaster) -> None:
    promises, kept, blocks = Promises(model, None), None, dict[int, bytes]()
    for at in range(0, STEPS, 20):
        made = Observations(promises, kept, same_model=True)
        for value in VALUES[at : at + 20]:
            made.add([value], value)
        assert (made.judged([*blocks.values()]) is None) == (not made.blocks)
        blocks = {number: one for number, one in (blocks | made.blocks).items() if number >= made.first}
        kept = Kept(began=0, time=0, digest="", state=b"", answer=b"", newest=made.newest, seen=made.seen)
    assert kept is not None
    assert len(blocks) == 672 // BLOCK
    assert {len(block) for block in blocks.values()} == {9 * BLOCK}
    assert len(kept.newest) == 9 * (STEPS % BLOCK)
    seen = last_seen(promises, [*blocks.values()], kept.newest)
    assert seen[:, 0].tolist() == VALUES[STEPS - 672 : STEPS]


def test_steps_of_a_gap_take_the_place_of_old_ones(model: Forecaster) -> None:
    promises = Promises(model, None)
    made = Observations(promises, None, same_model=True)
    for value in VALUES[:680]:
        made.add([value], value)
    made.miss(5)
    seen = last_seen(promises, [*made.blocks.values()], made.newest)
    assert seen[:-5, 0].tolist() == VALUES[680 - 672 + 5 : 680]
    assert np.isnan(seen[-5:, :2]).all()
    made.miss(10**7)  # more than are kept: no work without end
    assert made.seen < 2000
    served, push = Served(name="plain", version=1, model=model), {"steps": pushes([0, 1, 2, 9])}
    change, _ = pushed(served, "a", read_push(push, model.manifest.spec), Past(None, list, KeptAlive()))
    assert change is not None
    assert change.kept.seen == 10


def test_what_another_model_forecast_is_forgotten(model: Forecaster, tmp_path: Path) -> None:
    other = load(other_model(tmp_path / "other"), backend="numpy")
    store, key, alive = MemoryStore(), Key("plain", "a"), KeptAlive()
    for version, at in ((1, 0), (2, 110)):
        served = Served(name="plain", version=version, model=model if version == 1 else other)
        push = read_push({"steps": pushes(range(at, at + (110 if version == 1 else 150)))}, model.manifest.spec)
        with store.changing() as writing:
            change, answers = pushed(served, "a", push, Past(store.get(key), lambda: store.blocks(key), alive))
            assert change is not None
            writing.put(key, change)
    monitor = monitored(model, pushes(range(110)))
    carried = Monitor.from_bytes(other, monitor.to_bytes(), carry_over=True)
    for one in pushes(range(110, 260)):
        carried.push(one["value"], timestamp=one["time"])
    kept = store.get(key)
    assert kept is not None
    drift = Promises(other, None).report(last_seen(Promises(other, None), store.blocks(key), kept.newest))
    assert drift == carried.report()
    assert drift.steps == 149  # the first step after the change has no forecast of this model
    assert answers[-1]["model_version"] == "2"
    assert answers[0]["time"] == START + 110 * HOUR
