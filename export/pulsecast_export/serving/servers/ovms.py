"""OpenVINO Model Server: the ONNX file in version directories, and config.json.

    DIR/models/NAME/VERSION/model.onnx
    DIR/config/config.json
    DIR/compose.yaml

OpenVINO's CPU plugin computes whole numbers in 32 bits. A model that takes times or rows of series is refused: it would
give plausible forecasts for times in milliseconds and after 2038, and inexact ones for all others. Every other model is
first proven in OpenVINO on this machine.
"""

from __future__ import annotations

import json

from pulsecast.bundle.contract import inputs_of
from pulsecast.errors import UsageError
from pulsecast.model.windows import VALUES

from ..options import ServeOptions
from . import triton
from .compose import compose
from .example import REQUEST, infer_body
from .openvino_proof import prove
from .order import Layout, Order, encoded
from .readme import Words, readme

IMAGE = "openvino/model_server:2026.1"
REST_PORT, GRPC_PORT = 8000, 9000


def layout(order: Order) -> Layout:
    """Return the files; raises UsageError or ToleranceError for a model that OpenVINO computes wrongly."""
    refuse_whole_numbers(order)
    options, plugin = order.options, plugin_config(order.options)
    prove(order, plugin)
    command = (f"--port={GRPC_PORT}", f"--rest_port={REST_PORT}", "--config_path=/config/config.json")
    words = Words(
        start="docker compose up",
        url=triton.url(options.name, REST_PORT),
        notes=_notes(order),
        update="The server looks for new versions every second, loads one and then drops the old one.",
    )
    texts = {
        "config/config.json": json.dumps(_config(order), indent=2) + "\n",
        "compose.yaml": compose(
            f"image: {options.image or IMAGE}",
            command=command,
            ports=(REST_PORT, GRPC_PORT),
            volumes=("models", "config"),
        ),
        "README.md": readme(order, words),
        REQUEST: infer_body(order.example, rows=True),
    }
    return Layout(
        root=f"models/{options.name}",
        version={triton.FILE: order.bundle.read(order.artifact.path)},
        around=encoded(texts),
    )


def plugin_config(options: ServeOptions) -> dict[str, str | int]:
    """Return the options of OpenVINO's CPU plugin."""
    return {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": options.threads,
        "NUM_STREAMS": options.threads,
    }


def _notes(order: Order) -> tuple[str, ...]:
    return (
        *triton.raw_notes(order),
        "`config.json` asks for float32: without that, OpenVINO computes in bfloat16 where the processor can.",
        "Its TensorFlow Serving addresses are gone from newer versions: use `/v2`.",
    )


def _config(order: Order) -> dict[str, object]:
    options = order.options
    config = {
        "name": options.name,
        "base_path": f"/models/{options.name}",
        "target_device": "CPU",
        "model_version_policy": {"latest": {"num_versions": 1}},
        "nireq": options.threads,
        "plugin_config": plugin_config(options),
    }
    return {"model_config_list": [{"config": config}]}


def refuse_whole_numbers(order: Order) -> None:
    """Raise UsageError for a model that takes times or rows of series."""
    manifest = order.bundle.manifest
    taken = inputs_of(manifest.spec, many=manifest.series is not None)
    others = [name for name in taken if name != VALUES]
    if others:
        raise UsageError(
            f"{order.bundle.path.name} takes {' and '.join(others)}, and OpenVINO computes whole numbers in 32 bits: "
            "forecasts would be inexact, and plausible for impossible times. Serve it on another server, as in "
            "--for triton or --for pulsecast, or train a model without a calendar (--recipe textbook)"
        )
