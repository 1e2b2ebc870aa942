"""What is written for each server: read by that server's definitions, its request answered by what it serves."""

from __future__ import annotations

import datetime
import importlib.util
import json
import shlex
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.engines import load as load_package
from helpers.serving_folders.folders import answer_said, curl_line, tensors_asked
from pulsecast import load
from pulsecast.bundle.bundle import Bundle
from pulsecast.errors import UsageError
from pulsecast_export import ServeOptions, serve_config
from pulsecast_export.serving.options import NAME
from pulsecast_export.serving.servers.table import SERVERS

DATA = Path(__file__).parents[2] / "data"
REPOSITORY = Path(__file__).parents[3]
ONE, SEVERAL = DATA / "golden_v2", DATA / "golden_v2_series"
ADDRESSES = {
    "triton": "http://127.0.0.1:8000/v2/models/tweets/infer",
    "triton-python": "http://127.0.0.1:8000/v2/models/tweets/infer",
    "kserve": "http://127.0.0.1:8080/v2/models/tweets/infer",
    "kserve-pulsecast": "http://127.0.0.1:8080/v1/timeseries/forecast",
    "ovms": "http://127.0.0.1:8000/v2/models/tweets/infer",
    "pulsecast": "http://127.0.0.1:8080/v1/timeseries/forecast",
}
OUTPUTS = ("forecast", "lower", "upper")
OWN_OUTPUTS = ("mean_forecast", "interval.lower", "interval.upper")
COMPOSED = ("triton", "triton-python", "ovms", "pulsecast")


def served(server: str, level: Path) -> Path:
    return level if server == "ovms" else ONE


def test_every_server_is_here_in_the_help_and_in_the_readme() -> None:
    assert set(ADDRESSES) | {"tfserving"} == set(SERVERS)
    load_package("typer")
    from pulsecast_cli.commands.bundles import serve_config as command

    assert command.SERVERS.replace(" or ", ", ").split(", ") == [*SERVERS]
    section = (REPOSITORY / "export" / "README.md").read_text("utf-8").partition("## Model servers")[2]
    rows = [line for line in section.partition("\n## ")[0].splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows[1:]] == [*SERVERS]


@pytest.mark.parametrize("server", ADDRESSES)
def test_the_readmes_line_sends_a_golden_window_and_says_the_references_answer(
    server: str, level: Path, written: Callable[..., Path]
) -> None:
    bundle = served(server, level)
    folder = written(bundle, server)
    words = shlex.split(curl_line(folder))
    assert words[-1] == ADDRESSES[server]
    assert words[words.index("--data") + 1] == "@request.json"
    golden, said = Bundle.open(bundle).golden(), answer_said(folder)
    values, time = window_asked(folder)
    np.testing.assert_array_equal(values, golden.windows.values[:1])
    assert time == (None if golden.windows.time is None else golden.windows.time[0])
    expected = load(bundle, backend="numpy").predict(golden.windows.take([0]), interval=0.9)
    names = OWN_OUTPUTS if ADDRESSES[server].endswith("/forecast") else OUTPUTS
    np.testing.assert_allclose(said[names[0]], golden.reference[0], rtol=1e-8)
    for name, numbers in zip(names, expected, strict=True):
        np.testing.assert_allclose(said[name], numbers[0], rtol=1e-6)


def window_asked(folder: Path) -> tuple[np.ndarray, int | None]:
    """Return the values (1, context, 1) and the time that request.json holds, in whichever protocol."""
    document = json.loads((folder / "request.json").read_text())
    (series,) = document["inputs"] if "model" in document else [None]
    if series is None:
        asked = tensors_asked(folder)
        values = np.array(asked["values"]["data"], np.float32).reshape(asked["values"]["shape"])
        return values, asked["time"]["data"][0] if "time" in asked else None
    values = np.array(series["series"], np.float32).reshape(1, -1, 1)
    if "start_timestamp" not in series:
        return values, None
    start = datetime.datetime.fromisoformat(series["start_timestamp"])
    assert (document["model"], series["frequency"]) == ("tweets", "hour")
    return values, int(start.timestamp()) + 3600 * (values.shape[1] - 1)


@pytest.mark.parametrize("server", COMPOSED)
def test_compose_runs_a_user_without_rights_on_a_read_only_file_system_for_this_machine_alone(
    server: str, level: Path, written: Callable[..., Path]
) -> None:
    folder = written(served(server, level), server)
    yaml = load_package("yaml")
    (service,) = yaml.safe_load((folder / "compose.yaml").read_text())["services"].values()
    assert (service["user"], service["read_only"], service["cap_drop"]) == ("65534:65534", True, ["ALL"])
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert any(port.endswith(ADDRESSES[server].split(":")[2].split("/")[0]) for port in service["ports"])
    assert all((folder / volume.split(":")[0]).is_dir() for volume in service["volumes"])
    assert all(volume.endswith(":ro") for volume in service["volumes"])
    assert ("build" in service) == (folder / "Dockerfile").exists()


def config_of(folder: Path) -> Any:
    text_format = load_package("google.protobuf.text_format")
    message = load_package("tritonclient.grpc.model_config_pb2").ModelConfig()
    return text_format.Parse((folder / "models" / "tweets" / "config.pbtxt").read_text(), message)


@pytest.mark.parametrize("bundle", [ONE, SEVERAL], ids=["one", "several"])
@pytest.mark.parametrize("server", ["triton", "triton-python"])
def test_tritons_own_definitions_read_its_configuration(
    server: str, bundle: Path, written: Callable[..., Path]
) -> None:
    folder = written(bundle, server, threads=3)
    config, asked = config_of(folder), tensors_asked(folder)
    assert (config.name, config.max_batch_size) == ("tweets", 64)
    assert config.backend == {"triton": "onnxruntime", "triton-python": "python"}[server]
    assert config.instance_group[0].count == 3
    assert config.version_policy.latest.num_versions == 1
    assert not config.HasField("dynamic_batching")
    types_ = {"FP32": "TYPE_FP32", "INT64": "TYPE_INT64", "BYTES": "TYPE_STRING"}
    assert [one.name for one in config.input] == list(asked)
    for one in config.input:
        assert (
            type(config).DESCRIPTOR.file.enum_types_by_name["DataType"].values_by_number[one.data_type].name
            == (types_[str(asked[one.name]["datatype"])])
        )
        assert [1, *one.dims] == asked[one.name]["shape"]
        if one.name != "values":  # the file takes (batch,)
            assert one.HasField("reshape")
            assert list(one.reshape.shape) == []
    spec = Bundle.open(bundle).manifest.spec
    assert [(one.name, list(one.dims)) for one in config.output] == [(name, [spec.horizon]) for name in OUTPUTS]
    (warm_up,) = config.model_warmup
    assert warm_up.batch_size == 1  # 0 is no warm-up at all
    for name, one in warm_up.inputs.items():
        data = (folder / "models" / "tweets" / "warmup" / one.input_data_file).read_bytes()
        if asked[name]["datatype"] == "BYTES":
            assert data == len(data[4:]).to_bytes(4, "little") + str(asked[name]["data"][0]).encode()
        else:
            found = np.frombuffer(data, {"FP32": "<f4", "INT64": "<i8"}[str(asked[name]["datatype"])])
            np.testing.assert_array_equal(found, np.array(asked[name]["data"], found.dtype))


def test_triton_joins_requests_only_if_asked(written: Callable[..., Path]) -> None:
    config = config_of(written(ONE, "triton", wait_us=500))
    assert config.dynamic_batching.max_queue_delay_microseconds == 500


@pytest.mark.parametrize("bundle", [ONE, SEVERAL], ids=["one", "several"])
@pytest.mark.parametrize("server", ["triton", "kserve"])
def test_the_served_onnx_file_answers_the_request_as_the_readme_says(
    server: str, bundle: Path, written: Callable[..., Path]
) -> None:
    ort = load_package("onnxruntime")
    folder = written(bundle, server)
    session = ort.InferenceSession(str(folder / "models" / "tweets" / "1" / "model.onnx"))
    given = {}
    for name, one in tensors_asked(folder).items():
        shape = one["shape"] if name == "values" else one["shape"][:1]  # as `reshape` makes it
        given[name] = np.array(one["data"], {"FP32": np.float32, "INT64": np.int64}[one["datatype"]]).reshape(shape)
    found = dict(zip([one.name for one in session.get_outputs()], session.run(None, given), strict=True))
    opened, said = Bundle.open(bundle), answer_said(folder)
    artifact = next(one for one in opened.manifest.artifacts if one.backend == "onnx")
    row = 0 if opened.series is None else int(given["series"][0])
    unit = opened.manifest.scaler.range if opened.series is None else opened.series.unit[row]
    assert row or opened.series is None  # a named series, not the pool
    np.testing.assert_allclose(found["forecast"][0], said["forecast"], rtol=0, atol=artifact.tolerance.max_abs * unit)


@pytest.fixture
def in_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for the module that Triton gives to model.py: tensors are pairs, and so are responses."""
    module: Any = types.ModuleType("triton_python_backend_utils")
    module.Tensor = lambda name, array: (name, array)
    module.TritonError = str
    module.InferenceResponse = lambda output_tensors, error=None: (dict(output_tensors), error)
    module.get_input_tensor_by_name = lambda request, name: request.get(name)
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", module)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)


class Given:
    """A tensor of a request."""

    def __init__(self, one: dict[str, Any]) -> None:
        kinds = {"FP32": np.float32, "INT64": np.int64, "BYTES": np.object_}
        data = [text.encode() if isinstance(text, str) else text for text in one["data"]]
        shape = one["shape"] if one["name"] == "values" else one["shape"][:1]
        self.array = np.array(data, kinds[one["datatype"]]).reshape(shape)

    def as_numpy(self) -> Any:
        return self.array


@pytest.mark.usefixtures("in_triton")
@pytest.mark.parametrize("bundle", [ONE, SEVERAL], ids=["one", "several"])
def test_model_py_answers_each_request_and_says_what_is_wrong_with_one(
    bundle: Path, written: Callable[..., Path]
) -> None:
    folder = written(bundle, "triton-python")
    root = folder / "models" / "tweets"
    spec = importlib.util.spec_from_file_location("served_model", root / "1" / "model.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model = module.TritonPythonModel()
    config = {"output": [{"name": name} for name in OUTPUTS]}
    model.initialize({"model_repository": str(root), "model_version": "1", "model_config": json.dumps(config)})
    good = {name: Given(one) for name, one in tensors_asked(folder).items()}
    late = good | {"time": Given({"name": "time", "datatype": "INT64", "shape": [1, 1], "data": [1_740_265_200_000]})}
    answers = model.execute([good, late, good])
    series = {"series": good["series"].array[0].decode()} if "series" in good else {}
    values, time = good["values"].as_numpy(), good["time"].as_numpy()
    expected = load(bundle, backend="onnx").predict(values, timestamps=time, interval=0.9, **series)
    assert answers[1][0] == {}
    assert "divide milliseconds by 1,000" in answers[1][1]
    for outputs, error in (answers[0], answers[2]):
        assert error is None
        for name in OUTPUTS:
            assert outputs[name].dtype == np.float32
            np.testing.assert_array_equal(outputs[name], getattr(expected, name).astype(np.float32))
    if bundle == SEVERAL:
        nobody = good | {"series": Given({"name": "series", "datatype": "BYTES", "shape": [1, 1], "data": ["nobody"]})}
        assert "no series 'nobody' in this bundle" in model.execute([nobody])[0][1]


@pytest.mark.parametrize(
    ("server", "own"), [("kserve", {"runtime": "kserve-tritonserver"}), ("kserve-pulsecast", {"image": "own:1"})]
)
def test_kserve_runs_a_user_without_rights_with_probes_and_limits(
    server: str, own: dict[str, str], written: Callable[..., Path]
) -> None:
    options = {"image": own["image"]} if "image" in own else {}
    folder = written(ONE, server, storage_uri="s3://models/tweets", threads=3, **options)
    service = load_package("yaml").safe_load((folder / "inferenceservice.yaml").read_text())
    assert (service["apiVersion"], service["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
    assert service["metadata"]["name"] == "tweets"
    predictor = service["spec"]["predictor"]
    container = predictor["model"] if server == "kserve" else predictor["containers"][0]
    assert own.items() <= container.items()
    assert "s3://models/tweets" in (container.get("storageUri"), container.get("env", [{}])[0].get("value"))
    security = container["securityContext"]
    assert (security["runAsNonRoot"], security["allowPrivilegeEscalation"]) == (True, False)
    assert security["runAsUser"] > 0
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert container["resources"]["limits"]["cpu"] == container["resources"]["requests"]["cpu"] == "3"
    paths = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "readiness", "liveness")}
    assert paths == {
        "startup": "/v2/health/ready",
        "readiness": "/v2/health/ready",
        "liveness": "/v2/health/live",
    }


@pytest.mark.parametrize("server", ["pulsecast", "triton-python", "kserve-pulsecast"])
def test_a_version_of_the_whole_bundle_is_a_bundle(server: str, written: Callable[..., Path]) -> None:
    version = written(ONE, server) / "models" / "tweets" / "1"
    opened = Bundle.open(version / "bundle" if server == "triton-python" else version)
    assert opened.manifest_bytes() == Bundle.open(ONE).manifest_bytes()


def test_an_image_installs_the_wheel_beside_it(tmp_path: Path) -> None:
    wheel = tmp_path / "pulsecast-0.2.0-py3-none-any.whl"
    wheel.write_bytes(b"wheel")
    for server, extras in (("pulsecast", "cli,serve,onnx"), ("triton-python", "onnx")):
        out = tmp_path / server
        serve_config(ONE, out, ServeOptions(server=server, wheel=str(wheel), image="base:1"))
        lines = (out / "Dockerfile").read_text().splitlines()
        assert lines[1] == "FROM base:1"
        assert f"RUN pip install --no-cache-dir --no-compile '/wheels/{wheel.name}[{extras}]'" in lines
        assert [line for line in lines if line.startswith("USER ")][-1] == "USER 65534:65534"
        assert (out / "wheels" / wheel.name).read_bytes() == b"wheel"
        missing = ServeOptions(server=server, wheel=str(tmp_path / "dist" / wheel.name))
        with pytest.raises(UsageError, match="is not a file; `python -m build --wheel` in a checkout"):
            serve_config(ONE, tmp_path / "other", missing)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"server": "torchserve"}, "expected one of tfserving, triton, triton-python, kserve"),
        ({"server": "ovms", "wait_us": 5}, "wait_us is given, which ovms has no use for; it is for tfserving, triton"),
        ({"server": "triton", "storage_uri": "pvc://a"}, "storage_uri is given, which triton has no use for"),
        ({"server": "kserve", "image": "a"}, "image is given, which kserve has no use for"),
        ({"server": "triton", "name": "../a"}, "name is '../a'; expected lower-case letters"),
        ({"name": "tweets"}, f"the warm-up records of a SavedModel are for {NAME}"),
        ({"server": "kserve", "storage_uri": "a b"}, "expected an address such as pvc://"),
        ({"server": "pulsecast", "wheel": "pulsecast-1'.whl"}, "wheel is .*; expected a file such as dist/pulsecast-"),
        ({"keep": 0}, "keep is 0; it must be at least 1"),
        ({"version": 10**18}, "expected at most 999999999999999999"),
    ],
)
def test_options_that_a_server_does_not_take_are_refused_and_never_dropped(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ServeOptions(**wrong)
