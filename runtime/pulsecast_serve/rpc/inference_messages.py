"""The messages of Open Inference v2.

Source: kserve/open-inference-protocol, open_inference_grpc.proto.
"""

from __future__ import annotations

from .messages import Schema, described

_PARAMETERS = "map<string, InferParameter> parameters = 4"
_NAMED = ("string name = 1", "string version = 2")
_TENSOR = ("string name = 1", "string datatype = 2", "repeated int64 shape = 3")
_FILLED = (*_TENSOR, _PARAMETERS, "InferTensorContents contents = 5")

FILE = described(
    Schema(
        path="open_inference_grpc.proto",
        package="inference",
        messages={
            "ServerLiveRequest": (),
            "ServerLiveResponse": ("bool live = 1",),
            "ServerReadyRequest": (),
            "ServerReadyResponse": ("bool ready = 1",),
            "ModelReadyRequest": _NAMED,
            "ModelReadyResponse": ("bool ready = 1",),
            "ServerMetadataRequest": (),
            "ServerMetadataResponse": (*_NAMED, "repeated string extensions = 3"),
            "ModelMetadataRequest": _NAMED,
            "ModelMetadataResponse": (
                "string name = 1",
                "repeated string versions = 2",
                "string platform = 3",
                "repeated ModelMetadataResponse.TensorMetadata inputs = 4",
                "repeated ModelMetadataResponse.TensorMetadata outputs = 5",
            ),
            "ModelMetadataResponse.TensorMetadata": _TENSOR,
            "ModelInferRequest": (
                "string model_name = 1",
                "string model_version = 2",
                "string id = 3",
                _PARAMETERS,
                "repeated ModelInferRequest.InferInputTensor inputs = 5",
                "repeated ModelInferRequest.InferRequestedOutputTensor outputs = 6",
                "repeated bytes raw_input_contents = 7",
            ),
            "ModelInferRequest.InferInputTensor": _FILLED,
            "ModelInferRequest.InferRequestedOutputTensor": (
                "string name = 1",
                "map<string, InferParameter> parameters = 2",
            ),
            "ModelInferResponse": (
                "string model_name = 1",
                "string model_version = 2",
                "string id = 3",
                _PARAMETERS,
                "repeated ModelInferResponse.InferOutputTensor outputs = 5",
                "repeated bytes raw_output_contents = 6",
            ),
            "ModelInferResponse.InferOutputTensor": _FILLED,
            "InferParameter": (
                "bool bool_param = 1 in parameter_choice",
                "int64 int64_param = 2 in parameter_choice",
                "string string_param = 3 in parameter_choice",
                "double double_param = 4 in parameter_choice",
                "uint64 uint64_param = 5 in parameter_choice",
            ),
            "InferTensorContents": (
                "repeated bool bool_contents = 1",
                "repeated int32 int_contents = 2",
                "repeated int64 int64_contents = 3",
                "repeated uint32 uint_contents = 4",
                "repeated uint64 uint64_contents = 5",
                "repeated float fp32_contents = 6",
                "repeated double fp64_contents = 7",
                "repeated bytes bytes_contents = 8",
            ),
        },
        services={
            "GRPCInferenceService": {
                name: (f"{name}Request", f"{name}Response")
                for name in ("ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer")
            }
        },
    )
)
