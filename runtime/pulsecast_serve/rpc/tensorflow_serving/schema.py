"""The messages of TensorFlow Serving's services, as far as they are read or written here.

Source: tensorflow/serving, `apis/*.proto`, and tensorflow/tensorflow, `core/framework/{tensor,tensor_shape}.proto` and
`core/protobuf/meta_graph.proto`. What is left out, such as a configuration that nothing here takes, stays in a message
as unknown fields.
"""

from __future__ import annotations

from ..messages import Schema

_TENSOR_SHAPE = Schema(
    path="tensorflow/core/framework/tensor_shape.proto",
    package="tensorflow",
    messages={
        "TensorShapeProto": ("repeated TensorShapeProto.Dim dim = 2", "bool unknown_rank = 3"),
        "TensorShapeProto.Dim": ("int64 size = 1", "string name = 2"),
    },
)
_TYPES = Schema(
    path="tensorflow/core/framework/types.proto",
    package="tensorflow",
    messages={},
    enums={
        "DataType": {
            "DT_INVALID": 0,
            "DT_FLOAT": 1,
            "DT_DOUBLE": 2,
            "DT_INT32": 3,
            "DT_UINT8": 4,
            "DT_INT16": 5,
            "DT_INT8": 6,
            "DT_STRING": 7,
            "DT_COMPLEX64": 8,
            "DT_INT64": 9,
            "DT_BOOL": 10,
            "DT_QINT8": 11,
            "DT_QUINT8": 12,
            "DT_QINT32": 13,
            "DT_BFLOAT16": 14,
            "DT_QINT16": 15,
            "DT_QUINT16": 16,
            "DT_UINT16": 17,
            "DT_COMPLEX128": 18,
            "DT_HALF": 19,
            "DT_RESOURCE": 20,
            "DT_VARIANT": 21,
            "DT_UINT32": 22,
            "DT_UINT64": 23,
        },
    },
)
_TENSOR = Schema(
    path="tensorflow/core/framework/tensor.proto",
    package="tensorflow",
    uses=(_TENSOR_SHAPE, _TYPES),
    messages={
        "TensorProto": (
            "DataType dtype = 1",
            "TensorShapeProto tensor_shape = 2",
            "int32 version_number = 3",
            "bytes tensor_content = 4",
            "repeated int32 half_val = 13",
            "repeated float float_val = 5",
            "repeated double double_val = 6",
            "repeated int32 int_val = 7",
            "repeated bytes string_val = 8",
            "repeated int64 int64_val = 10",
            "repeated bool bool_val = 11",
            "repeated uint32 uint32_val = 16",
            "repeated uint64 uint64_val = 17",
        ),
    },
)
_SIGNATURE = Schema(
    path="tensorflow/core/protobuf/meta_graph.proto",
    package="tensorflow",
    uses=(_TENSOR_SHAPE, _TYPES, _TENSOR),
    messages={
        "TensorInfo": (
            "string name = 1 in encoding",
            "DataType dtype = 2",
            "TensorShapeProto tensor_shape = 3",
        ),
        "SignatureDef": (
            "map<string, TensorInfo> inputs = 1",
            "map<string, TensorInfo> outputs = 2",
            "string method_name = 3",
            "map<string, TensorProto> defaults = 4",
        ),
    },
)
_MODEL = Schema(
    path="tensorflow_serving/apis/model.proto",
    package="tensorflow.serving",
    well_known=("wrappers",),
    messages={
        "ModelSpec": (
            "string name = 1",
            ".google.protobuf.Int64Value version = 2 in version_choice",
            "string version_label = 4 in version_choice",
            "string signature_name = 3",
        ),
    },
)
_PREDICT = Schema(
    path="tensorflow_serving/apis/predict.proto",
    package="tensorflow.serving",
    uses=(_TENSOR, _MODEL),
    messages={
        "PredictRequest": (
            "ModelSpec model_spec = 1",
            "map<string, .tensorflow.TensorProto> inputs = 2",
            "repeated string output_filter = 3",
        ),
        "PredictResponse": (
            "ModelSpec model_spec = 2",
            "map<string, .tensorflow.TensorProto> outputs = 1",
        ),
    },
)
_METADATA = Schema(
    path="tensorflow_serving/apis/get_model_metadata.proto",
    package="tensorflow.serving",
    uses=(_SIGNATURE, _MODEL),
    well_known=("any",),
    messages={
        "SignatureDefMap": ("map<string, .tensorflow.SignatureDef> signature_def = 1",),
        "GetModelMetadataRequest": ("ModelSpec model_spec = 1", "repeated string metadata_field = 2"),
        "GetModelMetadataResponse": (
            "ModelSpec model_spec = 1",
            "map<string, .google.protobuf.Any> metadata = 2",
        ),
    },
)
_EXAMPLE = Schema(
    path="tensorflow/core/example/example.proto",
    package="tensorflow",
    messages={
        "BytesList": ("repeated bytes value = 1",),
        "FloatList": ("repeated float value = 1",),
        "Int64List": ("repeated int64 value = 1",),
        "Feature": (
            "BytesList bytes_list = 1 in kind",
            "FloatList float_list = 2 in kind",
            "Int64List int64_list = 3 in kind",
        ),
        "Features": ("map<string, Feature> feature = 1",),
        "Example": ("Features features = 1",),
    },
)
_INPUT = Schema(
    path="tensorflow_serving/apis/input.proto",
    package="tensorflow.serving",
    uses=(_EXAMPLE,),
    messages={
        "ExampleList": ("repeated .tensorflow.Example examples = 1",),
        "ExampleListWithContext": ("repeated .tensorflow.Example examples = 1", ".tensorflow.Example context = 2"),
        "Input": (
            "ExampleList example_list = 1 in kind",
            "ExampleListWithContext example_list_with_context = 2 in kind",
        ),
    },
)
_CLASSIFICATION = Schema(
    path="tensorflow_serving/apis/classification.proto",
    package="tensorflow.serving",
    uses=(_INPUT, _MODEL),
    messages={
        "Class": ("string label = 1", "float score = 2"),
        "Classifications": ("repeated Class classes = 1",),
        "ClassificationResult": ("repeated Classifications classifications = 1",),
        "ClassificationRequest": ("ModelSpec model_spec = 1", "Input input = 2"),
        "ClassificationResponse": ("ModelSpec model_spec = 2", "ClassificationResult result = 1"),
    },
)
_REGRESSION = Schema(
    path="tensorflow_serving/apis/regression.proto",
    package="tensorflow.serving",
    uses=(_INPUT, _MODEL),
    messages={
        "Regression": ("float value = 1",),
        "RegressionResult": ("repeated Regression regressions = 1",),
        "RegressionRequest": ("ModelSpec model_spec = 1", "Input input = 2"),
        "RegressionResponse": ("ModelSpec model_spec = 2", "RegressionResult result = 1"),
    },
)
_INFERENCE = Schema(
    path="tensorflow_serving/apis/inference.proto",
    package="tensorflow.serving",
    uses=(_INPUT, _MODEL, _CLASSIFICATION, _REGRESSION),
    messages={
        "InferenceTask": ("ModelSpec model_spec = 1", "string method_name = 2"),
        "InferenceResult": (
            "ModelSpec model_spec = 1",
            "ClassificationResult classification_result = 2 in result",
            "RegressionResult regression_result = 3 in result",
        ),
        "MultiInferenceRequest": ("repeated InferenceTask tasks = 1", "Input input = 2"),
        "MultiInferenceResponse": ("repeated InferenceResult results = 1",),
    },
)
PREDICTION = Schema(
    path="tensorflow_serving/apis/prediction_service.proto",
    package="tensorflow.serving",
    uses=(_PREDICT, _METADATA, _CLASSIFICATION, _REGRESSION, _INFERENCE),
    messages={},
    services={
        "PredictionService": {
            "Classify": ("ClassificationRequest", "ClassificationResponse"),
            "Regress": ("RegressionRequest", "RegressionResponse"),
            "Predict": ("PredictRequest", "PredictResponse"),
            "MultiInference": ("MultiInferenceRequest", "MultiInferenceResponse"),
            "GetModelMetadata": ("GetModelMetadataRequest", "GetModelMetadataResponse"),
        },
    },
)
_CODES = Schema(
    path="xla/tsl/protobuf/error_codes.proto",
    package="tensorflow.error",
    messages={},
    enums={
        "Code": {
            "OK": 0,
            "CANCELLED": 1,
            "UNKNOWN": 2,
            "INVALID_ARGUMENT": 3,
            "DEADLINE_EXCEEDED": 4,
            "NOT_FOUND": 5,
            "ALREADY_EXISTS": 6,
            "PERMISSION_DENIED": 7,
            "UNAUTHENTICATED": 16,
            "RESOURCE_EXHAUSTED": 8,
            "FAILED_PRECONDITION": 9,
            "ABORTED": 10,
            "OUT_OF_RANGE": 11,
            "UNIMPLEMENTED": 12,
            "INTERNAL": 13,
            "UNAVAILABLE": 14,
            "DATA_LOSS": 15,
        },
    },
)
_STATUS = Schema(
    path="tensorflow_serving/apis/status.proto",
    package="tensorflow.serving",
    uses=(_CODES,),
    messages={"StatusProto": (".tensorflow.error.Code error_code = 1", "string error_message = 2")},
)
MODEL = Schema(
    path="tensorflow_serving/apis/model_service.proto",
    package="tensorflow.serving",
    uses=(_MODEL, _STATUS),
    messages={
        "GetModelStatusRequest": ("ModelSpec model_spec = 1",),
        "ModelVersionStatus": (
            "int64 version = 1",
            "ModelVersionStatus.State state = 2",
            "StatusProto status = 3",
        ),
        "GetModelStatusResponse": ("repeated ModelVersionStatus model_version_status = 1",),
        "ReloadConfigRequest": (),
        "ReloadConfigResponse": ("StatusProto status = 1",),
    },
    enums={
        "ModelVersionStatus.State": {
            "UNKNOWN": 0,
            "START": 10,
            "LOADING": 20,
            "AVAILABLE": 30,
            "UNLOADING": 40,
            "END": 50,
        },
    },
    services={
        "ModelService": {
            "GetModelStatus": ("GetModelStatusRequest", "GetModelStatusResponse"),
            "HandleReloadConfigRequest": ("ReloadConfigRequest", "ReloadConfigResponse"),
        },
    },
)
