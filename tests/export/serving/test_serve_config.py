"""The files for TensorFlow Serving: parsed by its own definitions, mounted read-only, proven by its warm-up."""

import json
import os
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.engines import EXPORT, load, require
from helpers.serving_folders.folders import answer_said, curl_line
from pulsecast import load as load_bundle
from pulsecast.bundle.packing import pack
from pulsecast.errors import UsageError
from pulsecast_export import ServeOptions, serve_config

GOLDEN = Path(__file__).parents[2] / "data" / "golden_v1"


@pytest.fixture(scope="module")
def served(textbook_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("served") / "serving"
    serve_config(textbook_bundle, out, ServeOptions(version=3, threads=4, wait_us=500))
    return out


def parsed(text: str, message: Any) -> Any:
    require("google.protobuf")
    from google.protobuf import text_format

    return text_format.Parse(text, message)


@pytest.mark.slow
def test_the_configuration_is_what_tensorflow_serving_parses(served: Path) -> None:
    module = load("tensorflow_serving.config.model_server_config_pb2")
    models = parsed((served / "config" / "models.config").read_text(), module.ModelServerConfig())
    (model,) = models.model_config_list.config
    assert (model.name, model.base_path, model.model_platform) == ("pulsecast", "/models/pulsecast", "tensorflow")
    assert model.model_version_policy.latest.num_versions == 1


def message(name: str, fields: dict[str, str]) -> Any:
    """Return an empty message of `fields`: a type each, `*` behind it if repeated.

    tensorflow-serving-api ships neither of the two definitions that this is used for; names and types are those that
    TensorFlow Serving documents. Field numbers do not matter in text.
    """
    require("google.protobuf")
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, wrappers_pb2

    file = descriptor_pb2.FileDescriptorProto(name=f"{name}.proto", syntax="proto3")
    file.dependency.append(wrappers_pb2.DESCRIPTOR.name)
    for kind, members in {name: fields, "Prometheus": {"enable": "bool", "path": "string"}}.items():
        made = file.message_type.add(name=kind)
        for number, (field, of) in enumerate(members.items(), start=1):
            scalar = {"bool": 8, "string": 9, "int64": 3}.get(of.rstrip("*"))
            added = made.field.add(name=field, number=number, label=3 if of.endswith("*") else 1, type=scalar or 11)
            if scalar is None:
                added.type_name = f".{of}"
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))()


BATCHING = {
    "max_batch_size": "google.protobuf.Int64Value",
    "batch_timeout_micros": "google.protobuf.Int64Value",
    "max_enqueued_batches": "google.protobuf.Int64Value",
    "num_batch_threads": "google.protobuf.Int64Value",
    "allowed_batch_sizes": "int64*",
}


@pytest.mark.slow
def test_batches_are_of_the_sizes_that_warm_up_prepares(served: Path) -> None:
    batching = parsed((served / "config" / "batching.config").read_text(), message("BatchingParameters", BATCHING))
    assert list(batching.allowed_batch_sizes) == [1, 2, 4, 8, 16, 32, 64]
    assert batching.max_batch_size.value == 64
    assert (batching.num_batch_threads.value, batching.batch_timeout_micros.value) == (4, 500)


@pytest.mark.slow
def test_metrics_are_on_where_prometheus_looks(served: Path) -> None:
    empty = message("MonitoringConfig", {"prometheus_config": "Prometheus"})
    metrics = parsed((served / "config" / "monitoring.config").read_text(), empty).prometheus_config
    assert (metrics.enable, metrics.path) == (True, "/monitoring/prometheus/metrics")


@pytest.mark.slow
def test_the_compose_file_mounts_read_only_as_a_user_without_rights(served: Path) -> None:
    yaml = load("yaml")
    service = yaml.safe_load((served / "compose.yaml").read_text())["services"]["pulsecast"]
    assert all(volume.endswith(":ro") for volume in service["volumes"])
    assert (service["user"], service["read_only"], service["cap_drop"]) == ("65534:65534", True, ["ALL"])
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    for volume in service["volumes"]:
        assert (served / volume.split(":")[0]).is_dir()
    for argument in service["command"]:
        name, _, value = argument.partition("=")
        if name.endswith("_file"):
            assert (served / value.lstrip("/")).is_file(), argument


@pytest.mark.slow
def test_the_kubernetes_files_mount_read_only_as_a_user_without_rights(served: Path) -> None:
    yaml = load("yaml")
    config, deployment, service = yaml.safe_load_all((served / "kubernetes.yaml").read_text())
    assert config["data"] == {path.name: path.read_text() for path in (served / "config").iterdir()}
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    mounts = {mount["name"]: mount.get("readOnly", False) for mount in container["volumeMounts"]}
    assert mounts == {"models": True, "config": True, "tmp": False}
    assert {volume["name"] for volume in pod["volumes"]} == set(mounts)
    assert service["spec"]["selector"] == deployment["spec"]["template"]["metadata"]["labels"]


@pytest.mark.slow
def test_the_version_directory_forecasts_its_warm_up_as_the_bundle_does(served: Path, textbook_bundle: Path) -> None:
    require(*EXPORT)
    tf = load("tensorflow")
    logs = load("tensorflow_serving.apis.prediction_log_pb2")
    folder = served / "models" / "pulsecast" / "3"
    model = tf.saved_model.load(str(folder))
    expected = load_bundle(textbook_bundle, backend="numpy")
    scale = expected.manifest.scaler.range
    sizes = []
    for record in tf.data.TFRecordDataset(str(folder / "assets.extra" / "tf_serving_warmup_requests")):
        request = logs.PredictionLog.FromString(record.numpy()).predict_log.request
        assert (request.model_spec.name, request.model_spec.signature_name) == ("pulsecast", "serving_default")
        values = tf.make_ndarray(request.inputs["values"])
        forecasts = model.signatures["serving_default"](values=tf.constant(values))["forecast"].numpy()
        # float32 graph against the float64 reference, in fractions of the range
        np.testing.assert_allclose(forecasts / scale, expected.predict(values) / scale, rtol=0, atol=2e-6)
        sizes.append(len(values))
    assert sizes == [1, 2, 4, 8, 16, 32, 64]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["textbook_bundle", "recommended_bundle"])
def test_the_readmes_request_gets_the_answer_that_the_readme_says(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """TF Serving makes a tensor of each key of the instances, in the type that the signature states."""
    tf, bundle = load("tensorflow"), request.getfixturevalue(name)
    serve_config(bundle, tmp_path / "serving")
    words = shlex.split(curl_line(tmp_path / "serving"))
    assert words[-1] == "http://127.0.0.1:8501/v1/models/pulsecast:predict"
    assert words[words.index("--data") + 1] == "@request.json"
    instances = json.loads((tmp_path / "serving" / "request.json").read_text())["instances"]
    model = tf.saved_model.load(str(tmp_path / "serving" / "models" / "pulsecast" / "1"))
    signature = model.signatures["serving_default"]
    specs = signature.structured_input_signature[1]
    assert {*instances[0]} == {*specs}
    found = signature(**{key: tf.constant([one[key] for one in instances], specs[key].dtype) for key in specs})
    manifest, said = load_bundle(bundle, backend="numpy").manifest, answer_said(tmp_path / "serving")
    assert {*found} == {*said} == {"forecast", "lower", "upper"}
    limit = manifest.artifact("savedmodel").tolerance.max_abs * manifest.scaler.range
    np.testing.assert_allclose(found["forecast"].numpy()[0], said["forecast"], rtol=0, atol=limit)
    for bound in ("lower", "upper"):  # whole numbers
        np.testing.assert_allclose(found[bound].numpy()[0], said[bound], rtol=0, atol=1)


@pytest.mark.slow
def test_one_file_is_served_as_its_folder_is(served: Path, textbook_bundle: Path, tmp_path: Path) -> None:
    pack(textbook_bundle, tmp_path / "b.pulse")
    serve_config(tmp_path / "b.pulse", tmp_path / "out", ServeOptions(version=3, threads=4, wait_us=500))
    files = [
        {p.relative_to(d): p.read_bytes() for p in d.rglob("*") if p.is_file()} for d in (served, tmp_path / "out")
    ]
    assert files[0] == files[1]


def test_a_bundle_without_a_savedmodel_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no SavedModel; export it with --target savedmodel"):
        serve_config(GOLDEN, tmp_path / "out", ServeOptions())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "wrong", [{"version": 0}, {"threads": 0}, {"wait_us": -1}, {"image": 'x"\n  privileged: true'}, {"image": ""}]
)
def test_options_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"must be at least|not the name of an image"):
        ServeOptions(**wrong)


def test_the_command_reports_a_usage_error(tmp_path: Path) -> None:
    require("typer")
    from pulsecast_cli.app import run

    assert run(["serve-config", str(GOLDEN), "--out", str(tmp_path / "out")]) == 2
    assert run(["serve-config", str(GOLDEN), "--out", str(tmp_path / "out"), "--threads", "0"]) == 2


@pytest.mark.slow
@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_the_server_s_user_can_read_all_of_it_under_any_umask(
    textbook_bundle: Path, tmp_path: Path, umask: int
) -> None:
    before = os.umask(umask)
    try:
        serve_config(textbook_bundle, tmp_path / "serving")
    finally:
        os.umask(before)
    found = [tmp_path / "serving", *(tmp_path / "serving").rglob("*")]
    assert len(found) > 10
    closed = [path for path in found if path.stat().st_mode & 0o777 != (0o755 if path.is_dir() else 0o644)]
    assert closed == [] if umask == 0o022 else all(
        path.stat().st_mode & 0o005 == (0o005 if path.is_dir() else 0o004) for path in found
    )  # fmt: skip


@pytest.mark.slow
def test_the_most_windows_of_a_request_are_said(
    textbook_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    require("typer")
    from pulsecast_cli.app import run

    assert run(["serve-config", str(textbook_bundle), "--out", str(tmp_path / "serving")]) == 0
    assert (
        "at most 64 windows a request: TensorFlow Serving answers 400 to more, so split them\n"
        in capsys.readouterr().out
    )
    assert (
        (tmp_path / "serving" / "config" / "batching.config").read_text().startswith("# a request of more windows is")
    )
