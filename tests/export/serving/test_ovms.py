"""A folder for OpenVINO Model Server: its keys, and the proof that OpenVINO computes the file."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from helpers.engines import load as load_package
from helpers.serving_folders.folders import answer_said, tensors_asked
from pulsecast.bundle.bundle import Bundle
from pulsecast.errors import MissingExtraError, ToleranceError, UsageError
from pulsecast_export import ServeOptions, serve_config
from pulsecast_export.serving.servers import ovms

DATA = Path(__file__).parents[2] / "data"
ONE, SEVERAL = DATA / "golden_v2", DATA / "golden_v2_series"

# What OpenVINO Model Server accepts of a config.json: keys of `src/schema.cpp` that ours could hold, and no others.
OVMS_MODEL = {
    "type": "object",
    "required": ["name", "base_path"],
    "properties": {
        **{key: {"type": "string"} for key in ("name", "base_path", "target_device")},
        **{key: {"type": "object"} for key in ("model_version_policy", "plugin_config")},
        "nireq": {"type": "integer", "minimum": 0},
    },
    "additionalProperties": False,
}
OVMS = {
    "type": "object",
    "required": ["model_config_list"],
    "properties": {
        "model_config_list": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["config"],
                "properties": {"config": OVMS_MODEL},
                "additionalProperties": False,
            },
        }
    },
    "additionalProperties": False,
}


def test_the_configuration_of_ovms_has_the_keys_that_it_reads(level: Path, written: Callable[..., Path]) -> None:
    folder = written(level, "ovms", threads=3)
    config = json.loads((folder / "config" / "config.json").read_text())
    load_package("jsonschema").validate(config, OVMS)
    model = config["model_config_list"][0]["config"]
    assert (model["name"], model["base_path"]) == ("tweets", "/models/tweets")
    assert model["model_version_policy"] == {"latest": {"num_versions": 1}}
    assert model["plugin_config"]["INFERENCE_PRECISION_HINT"] == "f32"
    assert (folder / "models" / "tweets" / "1" / "model.onnx").read_bytes() == (level / "onnx/model.onnx").read_bytes()


@pytest.mark.slow
def test_openvino_runs_what_ovms_serves_with_its_options(textbook_bundle: Path, written: Callable[..., Path]) -> None:
    openvino = load_package("openvino")
    folder = written(textbook_bundle, "ovms")
    model = json.loads((folder / "config" / "config.json").read_text())["model_config_list"][0]["config"]
    compiled = openvino.Core().compile_model(
        str(folder / "models" / "tweets" / "1" / "model.onnx"), model["target_device"], model["plugin_config"]
    )
    asked = tensors_asked(folder)["values"]
    found = compiled({"values": np.array(asked["data"], np.float32).reshape(asked["shape"])})
    manifest = Bundle.open(textbook_bundle).manifest
    limit = manifest.artifact("onnx").tolerance.max_abs * manifest.scaler.range
    np.testing.assert_allclose(found["forecast"][0], answer_said(folder)["forecast"], rtol=0, atol=limit)


@pytest.mark.slow
def test_a_model_that_openvino_computes_wrongly_fails_its_proof(
    recommended_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proof itself: its times would be refused before it."""
    load_package("openvino")
    monkeypatch.setattr(ovms, "refuse_whole_numbers", lambda _: None)
    with pytest.raises(ToleranceError) as raised:
        serve_config(recommended_bundle, tmp_path / "out", ServeOptions(server="ovms"))
    for wrong in ("largest error / range is ", "other years is ", "milliseconds in, no number out is "):
        assert wrong in str(raised.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("bundle", "said"), [(ONE, "takes time,"), (SEVERAL, "takes time and series,")])
def test_ovms_is_refused_what_openvino_computes_wrongly(bundle: Path, said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"{said} and OpenVINO computes whole numbers in 32 bits"):
        serve_config(bundle, tmp_path / "out", ServeOptions(server="ovms"))
    assert not (tmp_path / "out").exists()


def test_without_openvino_the_extra_is_named(level: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingExtraError, match=r"needs OpenVINO, .*: pip install 'pulsecast\[peers\]'"):
        serve_config(level, tmp_path / "out", ServeOptions(server="ovms"))
    assert not (tmp_path / "out").exists()
