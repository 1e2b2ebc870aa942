"""A wrong argument of any type is a UsageError with one sentence."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pulsecast import Bundle, RollingConformal, load, verify
from pulsecast.errors import DtypeError, InputError, UsageError
from pulsecast.forecasting.forecaster import Forecaster
from pulsecast.foundation.arguments import file_path, require_types

GOLDEN = Path(__file__).parents[2] / "data" / "golden_v1"


@pytest.fixture(scope="module")
def model() -> Forecaster:
    return load(GOLDEN, backend="numpy")


def opened(**arguments: Any) -> Callable[[Forecaster], object]:
    return lambda _: load(GOLDEN, **{"backend": "numpy", **arguments})


WRONG: dict[str, tuple[Callable[[Forecaster], object], str]] = {
    "threads, text": (opened(threads="2"), "threads is '2'; expected a whole number of at least 1"),
    "threads, None": (opened(threads=None), "threads is None; expected a whole number of at least 1"),
    "threads, a fraction": (opened(threads=1.5), "threads is 1.5; expected a whole number of at least 1"),
    "threads, a truth": (opened(threads=True), "threads is True; expected a whole number of at least 1"),
    "threads, none": (opened(threads=0), "threads is 0; expected at least 1"),
    "artifact, a number": (opened(artifact=5), "no artifact 5 in this bundle; it has numpy"),
    "backend, a list": (opened(backend=[]), r"no backend \[\]; known: auto, numpy"),
    "key, a number": (opened(key=5), "key is of type int; expected the path of a public key, or its bytes"),
    "trust_code, a word": (opened(trust_code="no"), "trust_code is 'no'; expected True or False"),
    "verify, trust_code": (lambda _: verify(GOLDEN, trust_code=1), "trust_code is 1; expected True or False"),  # type: ignore[arg-type]
    "path, None": (lambda _: load(None), "None is not a path; expected the path of a bundle"),  # type: ignore[arg-type]
    "streams, text": (lambda model: model.stream("2"), "streams is '2'; expected a whole number"),  # type: ignore[arg-type]
    "rate, text": (
        lambda model: model.detector(false_alarm_rate="2"),  # type: ignore[arg-type]
        "false-alarm rate is '2'; expected a number between 0 and 1, such as 0.001",
    ),
    "window, text": (lambda model: model.detector(window="500"), "window is '500'; expected a whole number"),  # type: ignore[arg-type]
    "horizon, None": (lambda _: RollingConformal(horizon=None), "horizon is None; expected a whole number"),  # type: ignore[arg-type]
    "level, text": (
        lambda _: RollingConformal(horizon=1).interval(np.zeros(1), "0.9"),  # type: ignore[arg-type]
        "interval is '0.9'; expected a number between 0 and 1, such as 0.9",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_argument_is_one_sentence(name: str, model: Forecaster) -> None:
    call, sentence = WRONG[name]
    with pytest.raises(UsageError, match=sentence):
        call(model)


def test_numbers_of_numpy_are_numbers(model: Forecaster) -> None:
    assert load(GOLDEN, backend="numpy", threads=np.int64(2)).artifact.id == "numpy"  # type: ignore[arg-type]
    steps = np.zeros((3, len(model.manifest.spec.features)))
    assert model.stream(np.int32(3)).push(steps).shape == (3, model.manifest.spec.horizon)  # type: ignore[arg-type]
    assert RollingConformal(horizon=1).interval(np.zeros(1), np.float32(0.5)).upper == np.inf


@pytest.mark.parametrize("path", [".", "/", Path()])
def test_a_path_without_a_name_is_no_place_for_a_file(path: object) -> None:
    with pytest.raises(UsageError, match=r"out is '[./]'; expected the name of a file"):
        file_path("out", path)


@dataclass(frozen=True)
class Numbers:
    steps: tuple[int, ...] = ()
    levels: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        require_types(self)


@pytest.mark.parametrize(
    "wrong", [{"steps": (1, 10**400)}, {"levels": (0.5, float("nan"))}, {"levels": (-float("inf"),)}]
)
def test_a_number_in_a_list_has_the_limits_of_one_alone(wrong: dict[str, Any]) -> None:
    Numbers(steps=(1, 24), levels=(0.5, 0.9))
    with pytest.raises(ValueError, match="expected finite numbers of at most"):
        Numbers(**wrong)


def test_an_impossible_path_is_not_a_bundle() -> None:
    with pytest.raises(UsageError, match=r"the bundle is '.*x00'; expected a path"):
        Bundle.open("\0")


def test_text_is_not_a_step_of_a_stream(model: Forecaster) -> None:
    with pytest.raises(DtypeError, match="steps are <U1; expected real numbers"):
        model.stream().push("2")


@pytest.mark.parametrize("timestamp", [float("nan"), float("inf"), 1e300])
def test_a_time_that_is_not_a_second_is_refused_without_a_warning(model: Forecaster, timestamp: float) -> None:
    with pytest.raises(InputError, match=r"timestamps (are not all finite|lie beyond the years 1 to 9999)"):
        model.stream().push(np.zeros(1), timestamp=timestamp)
