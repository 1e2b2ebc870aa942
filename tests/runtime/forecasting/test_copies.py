"""What holds an engine is pickled and copied by loading its bundle again; a changed bundle is refused."""

import copy
import multiprocessing
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers import plain
from helpers.engines import require
from helpers.native_models import add_native, cc_here, require_c
from pulsecast import Forecaster, NativeForecaster, load, load_native, unpack
from pulsecast.backends import BACKENDS
from pulsecast.bundle.bundle import Bundle
from pulsecast.errors import IntegrityError, SignatureError, UsageError

SIGNED = Path(__file__).parents[2] / "data" / "golden_v2.pulse"
KEY = SIGNED.with_suffix(".pub")
WAYS: dict[str, Callable[[Any], Any]] = {
    "pickle": lambda held: pickle.loads(pickle.dumps(held)),  # noqa: S301 - pickled here
    "the oldest pickle": lambda held: pickle.loads(pickle.dumps(held, protocol=0)),  # noqa: S301 - pickled here
    "pickle in a list": lambda held: pickle.loads(pickle.dumps([held]))[0],  # noqa: S301 - pickled here
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}
SERIES = [float(value) for value in plain.series()[:90]]


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_copy_of_a_model_is_loaded_again_and_forecasts_the_same(
    plain_bundle: Path, way: Callable[[Any], Any]
) -> None:
    model = load(plain_bundle, backend="numpy", threads=2)
    found = way(model)
    assert (type(found), found.origin, found.artifact) == (Forecaster, model.origin, model.artifact)
    assert found.backend is not model.backend
    assert found.predict(SERIES[:50]) == model.predict(SERIES[:50])


@pytest.mark.parametrize("artifact", ["onnx-w8", "tflite-w8", "numpy"])
def test_every_backend_travels(artifact: str) -> None:
    require(*filter(None, [BACKENDS[artifact.partition("-")[0]].package]), "cryptography")
    model = load(SIGNED, artifact=artifact, key=KEY)
    windows = Bundle.open(SIGNED).golden().windows.take(slice(3))
    found = copy.deepcopy(model)
    assert (found.artifact.id, found.signature, found.backend.engine) == (
        artifact, model.signature, model.backend.engine
    )  # fmt: skip
    assert np.array_equal(found.predict(windows), model.predict(windows))


@pytest.mark.slow
def test_a_savedmodel_travels(textbook_bundle: Path) -> None:
    model = load(textbook_bundle, backend="savedmodel")
    windows = Bundle.open(textbook_bundle).golden().windows.take(slice(3))
    assert np.array_equal(copy.deepcopy(model).predict(windows), model.predict(windows))


def test_a_native_model_travels_and_keeps_that_it_is_trusted(
    level_model: plain.PlainModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_c()
    monkeypatch.setenv("PULSECAST_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CC", cc_here())
    plain.write_bundle(tmp_path / "bundle", level_model)
    add_native(tmp_path / "bundle", level_model)
    model = load_native(tmp_path / "bundle", trust_code=True)
    found = copy.deepcopy(model)
    assert type(found) is NativeForecaster
    assert found.predict(SERIES[:50]) == model.predict(SERIES[:50])
    loaded = load(tmp_path / "bundle", backend="native", trust_code=True)
    stream = loaded.stream()
    for value in SERIES[:60]:
        stream.push(value)
    for other in (copy.copy(stream), pickle.loads(pickle.dumps(stream))):  # noqa: S301 - pickled here
        assert other.push(1.0).tobytes() == copy.copy(stream).push(1.0).tobytes()


def test_another_process_with_another_current_folder_gets_the_model(
    plain_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(plain_bundle.parent)
    pickled = pickle.dumps(load(plain_bundle.name))
    monkeypatch.chdir(tmp_path)
    assert pickle.loads(pickled).predict(SERIES[:50]) == load(plain_bundle).predict(SERIES[:50])  # noqa: S301


def _forecast(model: Forecaster) -> bytes:
    os.chdir("/")
    return model.predict(SERIES[:50]).tobytes()


@pytest.mark.slow
def test_a_pool_of_processes_takes_a_model_as_an_argument(plain_bundle: Path) -> None:
    model = load(plain_bundle)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply_async(_forecast, (model,)).get(60) == model.predict(SERIES[:50]).tobytes()


def test_a_bundle_that_was_changed_since_is_refused(plain_bundle: Path, tmp_path: Path) -> None:
    shutil.copytree(plain_bundle, tmp_path / "bundle")
    model = load(tmp_path / "bundle")
    pickled = pickle.dumps(model)
    shutil.rmtree(tmp_path / "bundle")
    plain.write_bundle(tmp_path / "bundle", plain.rescaled(plain.make_model(plain.LEVEL_SPEC), 0.0, 10.0))
    sentence = r"^the bundle at .*bundle was changed after this model was pickled or copied: load the new one$"
    with pytest.raises(IntegrityError, match=sentence):
        pickle.loads(pickled)  # noqa: S301 - pickled here
    with pytest.raises(IntegrityError, match=sentence):
        copy.deepcopy(model)


def test_a_key_is_asked_again(tmp_path: Path) -> None:
    require("cryptography")
    unpack(SIGNED, tmp_path / "bundle")
    pickled = pickle.dumps(load(tmp_path / "bundle", backend="numpy", key=KEY))
    (tmp_path / "bundle" / "manifest.sig").unlink()
    with pytest.raises(SignatureError):
        pickle.loads(pickled)  # noqa: S301 - pickled here


def test_a_model_that_was_not_loaded_from_a_path_says_so(plain_bundle: Path) -> None:
    model = load(plain_bundle)
    made = Forecaster(model.manifest, model.artifact, model.backend)
    with pytest.raises(UsageError, match=r"^this Forecaster cannot be pickled or copied, because its engine lives in"):
        pickle.dumps(made)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("make", [Forecaster.stream, Forecaster.detector], ids=["stream", "detector"])
def test_a_copy_of_a_stream_or_detector_goes_on_by_itself(
    plain_bundle: Path, make: Callable[[Forecaster], Any], way: Callable[[Any], Any]
) -> None:
    one, same = (make(load(plain_bundle)) for _ in range(2))
    for value in SERIES[:60]:
        one.push(value)
        same.push(value)
    found = way(one)
    assert found.to_bytes() == one.to_bytes()
    for value in SERIES[60:]:
        assert repr(found.push(value)) == repr(same.push(value))  # the first one was not moved on
    assert one.to_bytes() != found.to_bytes()


def test_copies_of_streams_share_the_loaded_model(plain_bundle: Path) -> None:
    model = load(plain_bundle)
    assert copy.deepcopy(model.stream(3)).model is model
    assert copy.copy(model.stream()).model is model


def test_a_monitor_goes_on_in_another_process_and_its_copy_shares_the_model(plain_bundle: Path) -> None:
    monitor = load(plain_bundle).monitor()
    for value in SERIES[:120]:
        monitor.push(value)
    for other in (pickle.loads(pickle.dumps(monitor)), copy.deepcopy(monitor)):  # noqa: S301 - pickled here
        assert other.to_bytes() == monitor.to_bytes()
        assert other.report() == monitor.report()


def test_results_travel_between_processes(calendar_bundle: Path) -> None:
    model, windows = load(calendar_bundle), Bundle.open(calendar_bundle).golden().windows.take(slice(3))
    forecast = model.predict(windows)
    assert (pickle.loads(pickle.dumps(forecast)) == forecast).all()  # noqa: S301 - pickled here
    assert pickle.loads(pickle.dumps(model.manifest)) == model.manifest  # noqa: S301 - pickled here
