"""The proof that OpenVINO computes a bundle's ONNX file: the runtime's own checks, run in OpenVINO on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pulsecast.backends import engine_errors
from pulsecast.errors import MissingExtraError, ToleranceError
from pulsecast.forecasting.checks import check_backend
from pulsecast.model.windows import INPUTS

from .order import Order


class OpenvinoBackend:
    """An ONNX file, compiled for the CPU as the server compiles it."""

    def __init__(self, file: Path, options: Mapping[str, object]) -> None:
        import openvino

        self.engine, self.device = f"openvino {openvino.__version__.partition('-')[0]}", "CPU"
        core = openvino.Core()
        self._compiled = core.compile_model(core.read_model(str(file)), self.device, dict(options))
        self._inputs = [one.any_name for one in self._compiled.inputs]
        self._outputs = [one.any_name for one in self._compiled.outputs]

    def outputs(
        self,
        values: NDArray[np.float32],
        time: NDArray[np.int64] | None = None,
        series: NDArray[np.int64] | None = None,
    ) -> tuple[NDArray[np.float32], ...]:
        """See `Backend.outputs`."""
        given = dict(zip(INPUTS, (values, time, series), strict=True))
        found = self._compiled({name: given[name] for name in self._inputs})
        return tuple(np.array(found[name]) for name in self._outputs)  # a copy: the next call writes into its memory

    def predict(
        self,
        values: NDArray[np.float32],
        time: NDArray[np.int64] | None = None,
        series: NDArray[np.int64] | None = None,
    ) -> NDArray[np.float32]:
        """See `Backend.predict`."""
        return self.outputs(values, time, series)[0]


def prove(order: Order, options: Mapping[str, object]) -> None:
    """Raise ToleranceError, with what was measured, unless OpenVINO passes every check that the artifact must pass.

    options  of the CPU plugin, as the server gets them

    Raises MissingExtraError without OpenVINO, EngineError if it cannot run the file.
    """
    try:
        import openvino  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            "the check of the ONNX file needs OpenVINO, which is not installed: pip install 'pulsecast[peers]'"
        ) from error
    bundle, artifact = order.bundle, order.artifact
    with bundle.unpacked(artifact.path) as file, engine_errors(f"{artifact.id} cannot be run by OpenVINO"):
        backend = OpenvinoBackend(file, options)
        checks = check_backend(backend, bundle.manifest, artifact, bundle.golden(), bundle.weights(), bundle.series)
    if failed := [check for check in checks if not check.passed]:
        said = "; ".join(f"{check.name} is {check.measured}, limit {check.limit}" for check in failed)
        raise ToleranceError(
            f"{backend.engine} computes {artifact.id} of {bundle.path.name} wrongly: {said}. Serve it on another "
            "server, as in --for triton or --for pulsecast"
        )
