"""The protocols that a server is asked in: a request of windows, and the forecasts in an answer.

A row of WIRES for each name in `results.case.PROTOCOLS`.
"""

from __future__ import annotations

import datetime
import functools
import importlib
import json
import re
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulsecast.errors import EngineError
from pulsecast.foundation.arguments import shown
from pulsecast.model.series import POOL_ROW, SeriesNames
from pulsecast.model.spec import ModelSpec
from pulsecast.model.windows import FORECAST, SERIES, TIME, VALUES, Windows

from .clients import Connection
from .grpc_connection import GrpcConnection
from .http_connection import HttpConnection, http_request
from .server import Server, authorization

Array = NDArray[np.float32]
POOL_NAME = "pulsecast.POOL"  # of `pulsecast serve`: a series that training never saw
_VERSION = re.compile(r".+/([1-9][0-9]{0,17})")
_FREQUENCIES = {1: "S", 60: "T", 3600: "H", 86_400: "D", 604_800: "W"}


def split_version(model: str) -> int | None:
    """Return the version in NAME/VERSION.

    >>> split_version("shop/3"), split_version("shop"), split_version("a/b")
    (3, None, None)
    """
    found = _VERSION.fullmatch(model)
    return None if found is None else int(found[1])


@dataclass(frozen=True, kw_only=True)
class Asking:
    """What requests are about.

    model  as the server calls it; NAME/VERSION for one version of it
    names  of the series, where there are several
    named  a series is asked for by its name; else by its row
    """

    model: str
    spec: ModelSpec
    names: SeriesNames | None = None
    named: bool = True

    @property
    def name(self) -> str:
        """The name of the model without its version."""
        return self.model if self.version is None else self.model.rpartition("/")[0]

    @property
    def version(self) -> int | None:
        """The version that is named."""
        return split_version(self.model)

    @property
    def path(self) -> str:
        """The model as part of a path, of TensorFlow Serving and of Open Inference alike."""
        version = "" if self.version is None else f"/versions/{self.version}"
        return urllib.parse.quote(self.name, safe="") + version

    def series(self, windows: Windows) -> list[str]:
        """Return the names of the series that `windows` are of."""
        if windows.series is None or self.names is None:
            return [VALUES] * len(windows)
        return [POOL_NAME if row == POOL_ROW else str(self.names.name(row)) for row in windows.series.tolist()]


@dataclass(frozen=True, kw_only=True)
class Wire:
    """A protocol.

    path     of a forecast over HTTP, or the method of gRPC
    write    the body of a request
    read     forecasts (batch, horizon) of an answer; raises KeyError, TypeError, ValueError if it holds none
    """

    path: str
    write: Callable[[Asking, Windows], bytes]
    read: Callable[[bytes], Array]
    grpc: bool = False

    def connect(self, server: Server) -> Connection:
        """Return a new connection; raises EngineError, MissingExtraError."""
        return GrpcConnection(server, self.path) if self.grpc else HttpConnection(server)

    def request(self, server: Server, asking: Asking, windows: Windows) -> bytes:
        """Return a whole request of a connection of this protocol."""
        body = self.write(asking, windows)
        if self.grpc:
            return body
        key = authorization(server)
        path = self.path.format(model=asking.path)
        return http_request(server, "POST", path, body, {} if key is None else {"Authorization": key})

    def forecasts(self, answer: bytes, windows: int, horizon: int) -> Array:
        """Return the forecasts (windows, horizon) in an answer; raises EngineError if it holds others or none."""
        try:
            found = self.read(answer)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            text = shown(answer[:200].decode("utf-8", "replace"))
            raise EngineError(f"the server's answer holds no forecast ({type(error).__name__}): {text}") from None
        if found.shape != (windows, horizon):
            raise EngineError(
                f"the server forecasts {found.shape}; expected {(windows, horizon)}: does it serve this bundle?"
            )
        return found


def _json(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _shortest(numbers: Array) -> list[float]:
    """Return numbers as the shortest floats that read back as the same float32."""
    return [float(str(one)) for one in numbers.ravel()]


def _nested(values: Array) -> list[Any]:
    """Return values (batch, steps, columns) as nested lists."""
    shape = values.shape
    return [[_shortest(step) for step in window] for window in np.ascontiguousarray(values).reshape(shape)]


def _write_timeseries(asking: Asking, windows: Windows) -> bytes:
    spec, step = asking.spec, asking.spec.step_s
    inputs = []
    for place, name in enumerate(asking.series(windows)):
        values = windows.values[place]  # (context, measured)
        one: dict[str, Any] = {
            "type": "univariate_time_series" if spec.measured == 1 else "multivariate_time_series",
            "name": name,
            "series": _shortest(values) if spec.measured == 1 else [_shortest(row) for row in values],
            "frequency": _FREQUENCIES.get(step, "S"),
        }
        if step not in _FREQUENCIES:
            one["step_seconds"] = step
        if windows.time is not None:
            first = int(windows.time[place]) - (len(values) - 1) * step
            one["start_timestamp"] = datetime.datetime.fromtimestamp(first, datetime.UTC).isoformat()
        inputs.append(one)
    return _json({"model": asking.model, "inputs": inputs, "options": {"horizon": spec.horizon}})


def _read_timeseries(answer: bytes) -> Array:
    outputs = json.loads(answer)["outputs"]
    return np.array([one["content"][0]["mean_forecast"] for one in outputs], np.float32)


def _write_tensorflow(asking: Asking, windows: Windows) -> bytes:
    del asking
    given: dict[str, Any] = {VALUES: _nested(windows.values)}
    if windows.time is not None:
        given[TIME] = windows.time.tolist()
    if windows.series is not None:
        given[SERIES] = windows.series.tolist()
    return _json({"inputs": given if len(given) > 1 else given[VALUES]})


def _read_tensorflow(answer: bytes) -> Array:
    outputs = json.loads(answer)["outputs"]
    return np.array(outputs[FORECAST] if isinstance(outputs, dict) else outputs, np.float32)


def _write_inference(asking: Asking, windows: Windows) -> bytes:
    tensors = [(VALUES, "FP32", windows.values.shape, _shortest(windows.values))]
    tensors += [(name, datatype, (len(windows),), data) for name, datatype, data in _sides(asking, windows)]
    inputs = [
        {"name": name, "datatype": datatype, "shape": shape, "data": data} for name, datatype, shape, data in tensors
    ]
    return _json({"inputs": inputs, "outputs": [{"name": FORECAST}]})


def _sides(asking: Asking, windows: Windows) -> list[tuple[str, str, list[Any]]]:
    """Return what stands beside the values, (batch,) each, as (name, datatype, elements)."""
    found: list[tuple[str, str, list[Any]]] = []
    if windows.time is not None:
        found.append((TIME, "INT64", windows.time.tolist()))
    if windows.series is not None:
        by_name = (SERIES, "BYTES", asking.series(windows))
        found.append(by_name if asking.named else (SERIES, "INT64", windows.series.tolist()))
    return found


def _read_inference(answer: bytes) -> Array:
    output = _only(json.loads(answer)["outputs"], lambda one: one["name"])
    return np.array(output["data"], np.float32).reshape(output["shape"])


def _only(outputs: Any, name_of: Callable[[Any], str]) -> Any:
    return next((one for one in outputs if name_of(one) == FORECAST), None) or outputs[0]


@functools.cache
def _message(module: str, schema: str, name: str) -> Any:
    """Return the class of a protobuf message; the tables of the server's own messages make it."""
    messages = importlib.import_module("pulsecast_serve.rpc.messages")
    found = getattr(importlib.import_module(f"pulsecast_serve.rpc.{module}"), schema)
    if isinstance(found, messages.Schema):
        messages.described(found)
    return messages.message(name)


def _inference_message(name: str) -> Any:
    return _message("inference_messages", "FILE", f"inference.{name}")


def _write_inference_grpc(asking: Asking, windows: Windows) -> bytes:
    request = _inference_message("ModelInferRequest")(model_name=asking.name)
    if asking.version is not None:
        request.model_version = str(asking.version)
    request.inputs.add(name=VALUES, datatype="FP32", shape=windows.values.shape)
    request.raw_input_contents.append(windows.values.astype("<f4").tobytes())
    for name, datatype, elements in _sides(asking, windows):
        request.inputs.add(name=name, datatype=datatype, shape=[len(windows)])
        request.raw_input_contents.append(_raw(datatype, elements))
    request.outputs.add(name=FORECAST)
    found: bytes = request.SerializeToString()
    return found


def _raw(datatype: str, elements: list[Any]) -> bytes:
    if datatype == "INT64":
        return np.array(elements, "<i8").tobytes()
    texts = [element.encode() for element in elements]
    return b"".join(len(text).to_bytes(4, "little") + text for text in texts)


def _read_inference_grpc(answer: bytes) -> Array:
    found = _inference_message("ModelInferResponse").FromString(answer)
    output = _only(found.outputs, lambda one: str(one.name))
    if found.raw_output_contents:
        flat = np.frombuffer(found.raw_output_contents[list(found.outputs).index(output)], "<f4")
    else:
        flat = np.array(output.contents.fp32_contents, np.float32)
    return flat.reshape(tuple(output.shape))


def _tensorflow_message(name: str) -> Any:
    return _message("tensorflow_serving.schema", "PREDICTION", f"tensorflow.serving.{name}")


_DT_FLOAT, _DT_INT64 = 1, 9


def _write_tensorflow_grpc(asking: Asking, windows: Windows) -> bytes:
    request = _tensorflow_message("PredictRequest")()
    request.model_spec.name = asking.name
    if asking.version is not None:
        request.model_spec.version.value = asking.version
    given: Mapping[str, NDArray[Any] | None] = {VALUES: windows.values, TIME: windows.time, SERIES: windows.series}
    for name, array in given.items():
        if array is None:
            continue
        tensor = request.inputs[name]
        tensor.dtype = _DT_FLOAT if name == VALUES else _DT_INT64
        for size in array.shape:
            tensor.tensor_shape.dim.add(size=size)
        tensor.tensor_content = array.astype("<f4" if name == VALUES else "<i8").tobytes()
    request.output_filter.append(FORECAST)
    found: bytes = request.SerializeToString()
    return found


def _read_tensorflow_grpc(answer: bytes) -> Array:
    outputs = _tensorflow_message("PredictResponse").FromString(answer).outputs
    if FORECAST not in outputs:
        raise KeyError(FORECAST)
    tensor = outputs[FORECAST]
    flat = np.frombuffer(tensor.tensor_content, "<f4") if tensor.tensor_content else np.array(tensor.float_val)
    return flat.astype(np.float32).reshape([one.size for one in tensor.tensor_shape.dim])


WIRES: Mapping[str, Wire] = {
    "timeseries": Wire(path="/v1/timeseries/forecast", write=_write_timeseries, read=_read_timeseries),
    "tensorflow": Wire(path="/v1/models/{model}:predict", write=_write_tensorflow, read=_read_tensorflow),
    "inference": Wire(path="/v2/models/{model}/infer", write=_write_inference, read=_read_inference),
    "tensorflow-grpc": Wire(
        path="/tensorflow.serving.PredictionService/Predict",
        write=_write_tensorflow_grpc,
        read=_read_tensorflow_grpc,
        grpc=True,
    ),
    "inference-grpc": Wire(
        path="/inference.GRPCInferenceService/ModelInfer",
        write=_write_inference_grpc,
        read=_read_inference_grpc,
        grpc=True,
    ),
}
