"""The model of Triton's Python backend: one ONNX session of one thread; requests that came together are one batch.

Triton runs this file in a process of its own; the environment variable ONNX_MODEL is the file of the model.
"""

import os

import numpy as np
import onnxruntime as ort
import triton_python_backend_utils as backend


class TritonPythonModel:
    """What the backend calls."""

    def initialize(self, args: object) -> None:
        """Load the model."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = ort.InferenceSession(os.environ["ONNX_MODEL"], options, providers=["CPUExecutionProvider"])
        self.ranks = {one.name: len(one.shape) for one in self.session.get_inputs()}

    def execute(self, requests: list) -> list:  # type: ignore[type-arg]  # of Triton's own class
        """Forecast for all of `requests` at once."""
        parts = [
            {name: backend.get_input_tensor_by_name(one, name).as_numpy() for name in self.ranks} for one in requests
        ]
        # a number for each window is (batch, 1) in Triton, (batch,) in the model
        joined = {
            name: np.concatenate([part[name] if rank > 1 else part[name][:, 0] for part in parts])
            for name, rank in self.ranks.items()
        }
        forecast = self.session.run(["forecast"], joined)[0]
        ends = np.cumsum([len(next(iter(part.values()))) for part in parts])[:-1]
        return [backend.InferenceResponse([backend.Tensor("forecast", part)]) for part in np.split(forecast, ends)]
