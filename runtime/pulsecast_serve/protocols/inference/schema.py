"""Requests and answers of Open Inference v2 as JSON schemas, for the OpenAPI document."""

from __future__ import annotations

from ..protocol import Schema
from .tensors import DATATYPES

_TEXT: Schema = {"type": "string"}
_PARAMETERS: Schema = {"type": ["object", "null"]}
_SHAPE: Schema = {"type": "array", "items": {"type": "integer"}}
_DESCRIBED: Schema = {
    "type": "object",
    "required": ["name", "datatype", "shape"],
    "properties": {"name": _TEXT, "datatype": {"enum": list(DATATYPES)}, "shape": _SHAPE},
}
_INPUT: Schema = {
    "type": "object",
    "required": ["name", "datatype", "shape"],
    "properties": {
        "name": {"type": "string", "minLength": 1},
        "datatype": {"enum": list(DATATYPES)},
        "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
        "parameters": _PARAMETERS,
        "data": {"type": "array"},
    },
}
_OUTPUT: Schema = {
    "type": "object",
    "required": ["name", "datatype", "shape"],
    "properties": {"name": _TEXT, "datatype": {"const": "FP32"}, "shape": _SHAPE, "data": {"type": "array"}},
}

INFER_REQUEST: Schema = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "id": {"type": ["string", "null"]},
        "parameters": _PARAMETERS,
        "inputs": {"type": "array", "minItems": 1, "items": _INPUT},
        "outputs": {
            "type": ["array", "null"],
            "items": {"type": "object", "required": ["name"], "properties": {"name": _TEXT, "parameters": _PARAMETERS}},
        },
    },
}
INFER_RESPONSE: Schema = {
    "type": "object",
    "required": ["model_name", "model_version", "outputs"],
    "properties": {
        "model_name": _TEXT,
        "model_version": _TEXT,
        "id": _TEXT,
        "parameters": {"type": "object"},
        "outputs": {"type": "array", "items": _OUTPUT},
    },
}
SERVER_RESPONSE: Schema = {
    "type": "object",
    "required": ["name", "version", "extensions"],
    "properties": {"name": _TEXT, "version": _TEXT, "extensions": {"type": "array", "items": _TEXT}},
}
METADATA_RESPONSE: Schema = {
    "type": "object",
    "required": ["name", "versions", "platform", "inputs", "outputs"],
    "properties": {
        "name": _TEXT,
        "versions": {"type": "array", "items": _TEXT},
        "platform": _TEXT,
        "inputs": {"type": "array", "items": _DESCRIBED},
        "outputs": {"type": "array", "items": _DESCRIBED},
    },
}
READY_RESPONSE: Schema = {
    "type": "object",
    "required": ["name", "ready"],
    "properties": {"name": _TEXT, "ready": {"type": "boolean"}},
}
