"""Triton: a model repository, with the ONNX file on its ONNX Runtime backend.

    DIR/models/NAME/config.pbtxt          inputs, outputs, instances, warm-up (protobuf text)
    DIR/models/NAME/VERSION/model.onnx
    DIR/models/NAME/warmup/               one file for each input: the bytes of a golden window
    DIR/compose.yaml

An instance computes in one thread: one window is too small to share, and requests run in parallel.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import Any

from pulsecast.bundle.contract import inputs_of, outputs_of
from pulsecast.bundle.manifest import Manifest
from pulsecast.model.windows import VALUES

from .compose import compose
from .example import REQUEST, infer_body, tensors
from .order import Layout, Order, encoded
from .readme import Words, readme

IMAGE = "nvcr.io/nvidia/tritonserver:25.10-py3"
LARGEST_BATCH = 64  # that Triton makes of several requests
FILE = "model.onnx"
UPDATE = "The server looks for new versions every five seconds, loads one and then drops the old one."
_PACKED = {"FP32": "<f", "INT64": "<q"}
COMMAND = (
    "tritonserver",
    "--model-repository=/models",
    "--model-control-mode=poll",
    "--repository-poll-secs=5",
    "--disable-auto-complete-config",
)
PORTS = (8000, 8001, 8002)


def layout(order: Order) -> Layout:
    """Return the files."""
    options = order.options
    words = Words(
        start="docker compose up",
        url=url(options.name),
        notes=(*raw_notes(order), *batch_notes(order)),
        update=UPDATE,
    )
    texts = {
        "compose.yaml": compose(f"image: {options.image or IMAGE}", command=COMMAND, ports=PORTS, volumes=("models",)),
        "README.md": readme(order, words),
        REQUEST: infer_body(order.example, rows=True, batch=True),
    }
    found = repository(order, "models")
    return Layout(
        root=found.root, version=found.version, around={**found.around, **encoded(texts)}, lasting=found.lasting
    )


def repository(order: Order, folder: str) -> Layout:
    """Return the model repository alone, in `folder`: what KServe's Triton serves too."""
    root = f"{folder}/{order.options.name}"
    config = _config(order)
    return Layout(
        root=root,
        version={FILE: order.bundle.read(order.artifact.path)},
        around={f"{root}/config.pbtxt": config.encode("utf-8")},
        lasting=warm_up_files(order, root, rows=True),
    )


def url(name: str, port: int = 8000) -> str:
    """Return where Open Inference requests go."""
    return f"http://127.0.0.1:{port}/v2/models/{name}/infer"


def raw_notes(order: Order) -> list[str]:
    """Return what a user must know of a file that is served without pulsecast."""
    notes = ["A window with a value that is not finite, or a time that is not unix seconds (UTC), gets NaN."]
    if order.bundle.manifest.series is not None:
        notes.append(
            "`series` is the row of a series in the bundle's table: line n of `series.txt` is row n, and row 0 is for "
            "a series that training never saw."
        )
    return notes


def batch_notes(order: Order) -> list[str]:
    """Return what a user must know of batches."""
    shape = "Inputs of one number for a window, such as `time`, have the shape (batch, 1) here."
    most = f"A request holds at most {LARGEST_BATCH} windows: Triton refuses more."
    if order.options.wait_us is None:
        return [f"{most} {shape}"]
    return [f"{most} Triton joins requests, which wait at most {order.options.wait_us} µs for each other. {shape}"]


def _config(order: Order) -> str:
    options = order.options
    delay = f"dynamic_batching {{ max_queue_delay_microseconds: {options.wait_us} }}\n"
    return f"""name: "{options.name}"
backend: "onnxruntime"
default_model_filename: "{FILE}"
{contract(order.bundle.manifest, _datatype)}\
{"" if options.wait_us is None else delay}\
version_policy {{ latest {{ num_versions: 1 }} }}
instance_group [ {{ count: {options.threads} kind: KIND_CPU }} ]
parameters {{ key: "intra_op_thread_count" value {{ string_value: "1" }} }}
parameters {{ key: "inter_op_thread_count" value {{ string_value: "1" }} }}
{warm_up(order, rows=True)}"""


def _datatype(name: str) -> str:
    return "FP32" if name == VALUES else "INT64"


def contract(manifest: Manifest, datatype: Callable[[str], str]) -> str:
    """Return inputs and outputs; the dimension of the batch is Triton's own.

    Without that dimension (`max_batch_size: 0`) Triton would warm no version up.
    """
    given = inputs_of(manifest.spec, many=manifest.series is not None)
    made = outputs_of(manifest.spec, bounded=manifest.level is not None)
    lines = [
        f"max_batch_size: {LARGEST_BATCH}",
        *(
            f'input {{ name: "{name}" data_type: TYPE_{datatype(name)} {_dims(shape)} }}'
            for name, shape in given.items()
        ),
        *(f'output {{ name: "{name}" data_type: TYPE_FP32 {_dims(shape)} }}' for name, shape in made.items()),
    ]
    return "".join(f"{line}\n" for line in lines)


def _dims(shape: tuple[int, ...]) -> str:
    own = shape[1:]
    # one number for a window: a configuration has no empty dims
    return f"dims: [ {', '.join(map(str, own))} ]" if own else "dims: [ 1 ] reshape { shape: [ ] }"


def warm_up(order: Order, *, rows: bool) -> str:
    """Return the request that an instance answers before it is ready."""
    given = "".join(
        f'  inputs {{ key: "{one["name"]}" value {{ data_type: TYPE_{_config_type(one["datatype"])} '
        f"dims: [ {', '.join(map(str, one['shape'][1:]))} ] "
        f'input_data_file: "{one["name"]}" }} }}\n'
        for one in tensors(order.example, rows=rows, batch=True)
    )
    return f'model_warmup {{\n  name: "golden"\n  batch_size: 1\n{given}}}\n'


def _config_type(datatype: str) -> str:
    return "STRING" if datatype == "BYTES" else datatype


def warm_up_files(order: Order, root: str, *, rows: bool) -> dict[str, bytes]:
    """Return the inputs' bytes, row-major and little-endian; a text has its length before it."""
    return {
        f"{root}/warmup/{one['name']}": b"".join(_packed(one["datatype"], one["data"]))
        for one in tensors(order.example, rows=rows)
    }


def _packed(datatype: str, data: Iterable[Any]) -> Iterable[bytes]:
    for value in data:
        if datatype == "BYTES":
            text = value.encode("utf-8")
            yield struct.pack("<I", len(text)) + text
        else:
            yield struct.pack(_PACKED[datatype], value)
