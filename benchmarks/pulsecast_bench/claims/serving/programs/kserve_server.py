"""KServe's Python server with one ONNX model, as its documentation has a custom model.

`python kserve_server.py PORT MODEL.onnx NAME`, with kserve and onnxruntime. Its gRPC and its logs of requests are off.
"""

import logging
import sys

import onnxruntime as ort
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer
from kserve.utils.utils import generate_uuid


class OnnxModel(Model):  # type: ignore[misc]  # a class of kserve, which is not installed here
    """One session of one thread."""

    def __init__(self, name: str, path: str) -> None:
        super().__init__(name)
        self.path = path
        self.load()

    def load(self) -> bool:
        """Load the model."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = ort.InferenceSession(self.path, options, providers=["CPUExecutionProvider"])
        self.ready = True
        return self.ready

    def predict(self, payload: InferRequest, headers: object = None, response_headers: object = None) -> InferResponse:
        """Forecast."""
        inputs = {one.name: one.as_numpy() for one in payload.inputs}
        forecast = self.session.run(["forecast"], inputs)[0]
        output = InferOutput(name="forecast", shape=list(forecast.shape), datatype="FP32")
        output.set_data_from_numpy(forecast, binary_data=False)
        return InferResponse(response_id=payload.id or generate_uuid(), model_name=self.name, infer_outputs=[output])


if __name__ == "__main__":
    port, path, name = sys.argv[1:]
    server = ModelServer(http_port=int(port), workers=1, enable_grpc=False, enable_latency_logging=False)
    logging.getLogger("uvicorn.access").setLevel(logging.WARNING)  # a line for each request
    server.start([OnnxModel(name, path)])
