"""Model repositories on a real Triton, version 2.51: nvidia-pytriton's, which has the Python backend alone.

The ONNX form is run on that backend too: its configuration with another `backend`, and a model.py that runs model.onnx.
It is downloaded: `make soak` runs this.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from helpers.outside.processes import wait_for
from helpers.serving_folders.folders import answer_said, curl_line
from helpers.serving_folders.triton import Triton, environment, triton
from pulsecast import load
from pulsecast.bundle.bundle import Bundle
from pulsecast_export import ServeOptions, serve_config

pytestmark = [pytest.mark.slow, pytest.mark.soak]

DATA = Path(__file__).parents[2] / "data"
SEVERAL = DATA / "golden_v2_series"
STAND_IN = """
from pathlib import Path
import onnxruntime
import triton_python_backend_utils as triton

class TritonPythonModel:
    def initialize(self, args):
        path = Path(args["model_repository"]) / args["model_version"] / "model.onnx"
        self.session = onnxruntime.InferenceSession(str(path))
        self.inputs = [one.name for one in self.session.get_inputs()]
        self.outputs = [one.name for one in self.session.get_outputs()]

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        given = {name: triton.get_input_tensor_by_name(request, name).as_numpy() for name in self.inputs}
        print("SHAPES", {name: array.shape for name, array in given.items()}, flush=True)
        found = self.session.run(self.outputs, given)
        return triton.InferenceResponse([triton.Tensor(*pair) for pair in zip(self.outputs, found)])
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return environment(tmp_path_factory.mktemp("triton"))


def standing_in(written: Path, folder: Path) -> Path:
    """Return a copy of a serving folder whose model.onnx the Python backend runs."""
    shutil.copytree(written, folder)
    config = next((folder / "models").glob("*/config.pbtxt"))
    text = config.read_text()
    for old, new in (('backend: "onnxruntime"', 'backend: "python"'), ('default_model_filename: "model.onnx"\n', "")):
        assert old in text
        text = text.replace(old, new)
    config.write_text(text)
    for file in config.parent.glob("*/model.onnx"):
        file.with_name("model.py").write_text(STAND_IN)
    return folder


def outputs(answer: str) -> dict[str, list[float]]:
    return {one["name"]: one["data"] for one in json.loads(answer)["outputs"]}


def check_the_readmes_line(server: Triton, folder: Path, bundle: Path) -> None:
    """The line of README.md gets what README.md says, and what the runtime forecasts."""
    found = outputs(server.ask(curl_line(folder), folder))
    said = answer_said(folder)
    assert set(found) == set(said) == {"forecast", "lower", "upper"}
    opened = Bundle.open(bundle)
    golden = opened.golden()
    rows = golden.windows.series
    first = 0 if rows is None else int(np.flatnonzero(rows)[0])
    own = load(bundle, backend="onnx")
    limit = own.artifact.tolerance.max_abs * golden.unit[first]
    np.testing.assert_allclose(found["forecast"], said["forecast"], rtol=0, atol=limit)
    window = golden.windows.take([first])
    series = None if opened.series_names is None or rows is None else opened.series_names.name(int(rows[first]))
    given = {} if series is None else {"series": series}
    expected = own.predict(window.values, timestamps=window.time, interval=opened.manifest.level, **given)
    np.testing.assert_allclose(found["forecast"], expected.forecast[0], rtol=1e-6)
    np.testing.assert_array_equal(found["lower"], expected.lower[0].astype(np.float32))
    np.testing.assert_array_equal(found["upper"], expected.upper[0].astype(np.float32))


@pytest.mark.parametrize("wait_us", [None, 500])
@pytest.mark.parametrize("several", [False, True])
def test_triton_warms_the_onnx_form_up_and_answers_the_readmes_line(
    wait_us: int | None, several: bool, recommended_bundle: Path, installed: Path, tmp_path: Path
) -> None:
    bundle = SEVERAL if several else recommended_bundle
    serve_config(bundle, tmp_path / "written", ServeOptions(server="triton", name="tweets", wait_us=wait_us))
    folder = standing_in(tmp_path / "written", tmp_path / "changed")
    with triton(installed, folder / "models", tmp_path / "server") as running:
        shapes = [line for line in running.log.read_text().splitlines() if line.startswith("SHAPES")]
        assert len(shapes) == 2  # both instances, before the server was ready
        assert several or "'time': (1,)" in shapes[0]
        check_the_readmes_line(running, folder, bundle)


@pytest.mark.parametrize("several", [False, True])
def test_tritons_python_backend_runs_the_bundle_and_takes_the_next_version(
    several: bool, recommended_bundle: Path, installed: Path, tmp_path: Path
) -> None:
    """The folder that the server polls is the one that is written into."""
    bundle, folder = SEVERAL if several else recommended_bundle, tmp_path / "serving"
    serve_config(bundle, folder, ServeOptions(server="triton-python"))
    with triton(installed, folder / "models", tmp_path / "server") as running:
        line = curl_line(folder)
        assert json.loads(running.ask(line, folder))["model_version"] == "1"
        check_the_readmes_line(running, folder, bundle)
        serve_config(bundle, folder, ServeOptions(server="triton-python", version=2))
        wait_for(lambda: json.loads(running.ask(line, folder) or "{}").get("model_version") == "2")
        check_the_readmes_line(running, folder, bundle)


def test_what_the_runtime_refuses_is_an_error_of_that_request(
    recommended_bundle: Path, installed: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "serving"
    serve_config(recommended_bundle, folder, ServeOptions(server="triton-python"))
    values, time = json.loads((folder / "request.json").read_text())["inputs"]
    wrong = {
        "divide milliseconds by 1,000": [values, time | {"data": [time["data"][0] * 1000]}],
        "are NaN or infinite": [values | {"data": [float("nan"), *values["data"][1:]]}, time],
    }
    with triton(installed, folder / "models", tmp_path / "server") as running:
        for expected, inputs in wrong.items():
            (tmp_path / "wrong.json").write_text(json.dumps({"inputs": inputs}))
            answer = running.ask(curl_line(folder).replace("request.json", "wrong.json"), tmp_path)
            assert expected in json.loads(answer)["error"]
        check_the_readmes_line(running, folder, recommended_bundle)
