"""MLServer with one ONNX model, as its documentation has a custom runtime.

`python mlserver_server.py PORT MODEL.onnx NAME`, with mlserver, httptools and onnxruntime. The model runs in the
server's process (`parallel_workers` 0, the faster way for a small one); metrics, debugging and compression are off.
"""

import asyncio
import sys

import onnxruntime as ort
from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.codecs import NumpyCodec
from mlserver.settings import ModelParameters
from mlserver.types import InferenceRequest, InferenceResponse


class OnnxModel(MLModel):  # type: ignore[misc]  # a class of mlserver, which is not installed here
    """One session of one thread."""

    async def load(self) -> bool:
        """Load the model."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        path = self.settings.parameters.uri
        self.session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Forecast."""
        inputs = {one.name: NumpyCodec.decode_input(one) for one in payload.inputs}
        forecast = self.session.run(["forecast"], inputs)[0]
        return InferenceResponse(
            id=payload.id, model_name=self.name, outputs=[NumpyCodec.encode_output("forecast", forecast)]
        )


async def serve(port: int, path: str, name: str) -> None:
    """Answer until the process ends."""
    settings = Settings(
        host="127.0.0.1",
        http_port=port,
        grpc_port=port + 1,
        metrics_endpoint=None,
        parallel_workers=0,
        debug=False,
        gzip_enabled=False,
    )
    model = ModelSettings(name=name, implementation=OnnxModel, parameters=ModelParameters(uri=path))
    await MLServer(settings).start([model])


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), sys.argv[2], sys.argv[3]))
