"""Which cases there are and in which order their processes run."""

import dataclasses

import pytest

from helpers import plain
from pulsecast.bundle.manifest import Artifact
from pulsecast.errors import UsageError
from pulsecast_bench.results.case import (
    PROFILES,
    BenchConfig,
    Case,
    Measurable,
    change,
    find_profile,
    leading_artifacts,
    plan_cases,
    schedule,
)

FREE = plain.numpy_artifact()
SINGLE = dataclasses.replace(FREE, id="single", max_batch=1)
CONFIG = BenchConfig(batches=(64, 1, 8), repeats=4, sweep_repeats=2)


def test_the_smallest_batch_leads_and_a_limited_artifact_has_no_larger_one() -> None:
    cases = plan_cases([FREE, SINGLE], CONFIG)
    assert [(c.artifact, c.batch, c.leading) for c in cases] == [
        ("numpy", 1, True),
        ("numpy", 8, False),
        ("numpy", 64, False),
        ("single", 1, True),
    ]


def test_every_round_holds_every_case_once_in_an_order_of_its_own() -> None:
    cases = plan_cases([FREE, SINGLE], CONFIG)
    order = schedule(cases, CONFIG)
    rounds = [[case for case, repeat in order if repeat == number] for number in range(4)]
    assert [repeat for _, repeat in order] == sorted(repeat for _, repeat in order)
    assert [len(one) for one in rounds] == [4, 4, 2, 2]
    assert all(set(one) == set(cases) for one in rounds[:2])
    assert all(case.leading for one in rounds[2:] for case in one)
    assert rounds[0] != rounds[1]


def test_every_scenario_is_a_case_with_the_windows_of_its_query_and_repeats_of_its_own() -> None:
    config = dataclasses.replace(CONFIG, batches=(1,), scenarios=("server", "multi-stream"), scenario_repeats=3)
    cases = plan_cases([Measurable(id="peer", max_batch=None)], config)
    assert [(c.scenario, c.batch, c.leading) for c in cases] == [
        (None, 1, True),
        ("server", 1, False),
        ("multi-stream", 8, False),
    ]
    assert str(cases[1]) == "peer, server, threads 1"
    assert [case.scenario for case, _ in schedule(cases, config)].count("server") == 3


def test_an_unknown_scenario_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="no scenario burst; known: single-stream, multi-stream, server, offline"):
        change(PROFILES["quick"], scenarios=("burst",))


def artifact(name: str, backend: str = "") -> Artifact:
    return dataclasses.replace(FREE, id=name, backend=backend or name)


def test_a_case_is_of_windows_unless_it_says_what_it_calls() -> None:
    assert Case(artifact="onnx", batch=1, threads=1, leading=True).call == "predict"
    step = Case(artifact="onnx", batch=1000, threads=1, leading=False, call="streams")
    assert str(step) == "onnx, streams, threads 1"


def test_steps_are_measured_of_what_load_takes_by_itself_and_of_native() -> None:
    every = [FREE, artifact("tflite"), artifact("onnx-w8", "onnx"), artifact("onnx"), artifact("native")]
    assert leading_artifacts(every, CONFIG) == ("onnx-w8", "native")  # the backend's first artifact
    assert leading_artifacts(every[:2], CONFIG) == ("tflite",)
    assert leading_artifacts([artifact("savedmodel")], CONFIG) == ()
    named = dataclasses.replace(CONFIG, artifacts=("savedmodel", "tflite"))
    assert leading_artifacts([artifact("savedmodel"), artifact("tflite")], named) == ("savedmodel", "tflite")


def test_every_step_call_is_a_case_that_does_not_lead_and_has_the_sweeps_repeats() -> None:
    config = dataclasses.replace(CONFIG, batches=(1,), step_calls=("streams", "push", "detector"))
    cases = plan_cases([FREE, SINGLE], config, stepped=("numpy", "single"))
    steps = [(c.artifact, c.call, c.batch, c.leading) for c in cases if c.call != "predict"]
    assert steps == [
        ("numpy", "push", 1, False),
        ("numpy", "detector", 1, False),
        ("numpy", "streams", 1000, False),
        ("single", "push", 1, False),
        ("single", "detector", 1, False),
    ]
    assert [case.call for case in plan_cases([FREE], config)] == ["predict"]
    assert [case.call for case, _ in schedule(cases, config)].count("streams") == config.sweep_repeats


def test_an_unknown_step_call_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="no step call jump; known: push, back_to_back, detector, streams"):
        change(PROFILES["quick"], step_calls=("jump",))


def test_the_seed_decides_the_order() -> None:
    cases = plan_cases([FREE, SINGLE], CONFIG)
    assert schedule(cases, CONFIG) == schedule(cases, CONFIG)
    assert schedule(cases, CONFIG) != schedule(cases, dataclasses.replace(CONFIG, seed=8))


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_may_hold_too_little_for_a_figure_but_never_breaks_the_protocol(name: str) -> None:
    profile = find_profile(name)
    assert profile.profile == name
    assert (profile.warmup_calls, profile.warmup_s, profile.window_calls) >= (10, 0.5, 50)


def test_quick_makes_enough_calls_for_a_p99_and_standard_enough_processes_for_intervals() -> None:
    assert PROFILES["quick"].calls * PROFILES["quick"].repeats >= 662
    assert min(PROFILES["standard"].repeats, PROFILES["standard"].sweep_repeats) >= 5


def test_an_unknown_profile_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="no profile 'fast'; known: standard, quick"):
        find_profile("fast")


def test_requested_repeats_hold_for_the_sweep_as_well() -> None:
    changed = change(PROFILES["standard"], repeats=7, threads=None)
    assert (changed.repeats, changed.sweep_repeats, changed.most_repeats, changed.threads) == (7, 7, 7, 1)


def test_all_values_that_cannot_be_are_named_at_once() -> None:
    with pytest.raises(UsageError, match=r"threads is 0; expected at least 1; .*batches are \(1, 1\)"):
        change(PROFILES["quick"], threads=0, batches=(1, 1))


@pytest.mark.parametrize(("name", "value"), [("warmup_calls", 9), ("warmup_s", 0.4), ("window_calls", 49)])
def test_less_than_the_protocol_demands_is_refused(name: str, value: float) -> None:
    with pytest.raises(UsageError, match=f"{name} is {value}"):
        change(PROFILES["standard"], **{name: value})
