"""Requests and answers of streams as JSON schemas, for the OpenAPI document."""

from __future__ import annotations

from pulsecast.forecasting.departures import REASONS
from pulsecast.forecasting.watching.drift import SIGNS

from ..grid import PHASE
from ..protocol import Schema
from .request import MOST_STEPS

_NUMBER: Schema = {"type": ["number", "null"]}
_NUMBERS: Schema = {"type": ["array", "null"], "items": _NUMBER}
_TEXT: Schema = {"type": "string"}
_PUSHED: dict[str, object] = {
    "value": _NUMBER,
    "values": {"type": "array", "minItems": 1, "items": _NUMBER},
    "time": {"anyOf": [{"type": "integer"}, {"type": "string", "format": "date-time"}]},
}
_ONE_OF: dict[str, object] = {"required": ["time"], "oneOf": [{"required": ["value"]}, {"required": ["values"]}]}
_OPTIONS: dict[str, object] = {
    "adapt": {"type": "boolean"},
    "restart": {"type": "boolean"},
    PHASE: {"type": ["integer", "null"], "minimum": 0},
    "false_alarm_rate": {"type": ["number", "null"], "exclusiveMinimum": 0, "exclusiveMaximum": 1},
}
_STEP: Schema = {"type": "object", "additionalProperties": False, "properties": _PUSHED, **_ONE_OF}
_STEPS: Schema = {"type": "array", "minItems": 1, "maxItems": MOST_STEPS, "items": _STEP}

PUSH_REQUEST: Schema = {
    "anyOf": [
        {"type": "object", "additionalProperties": False, "properties": {**_PUSHED, **_OPTIONS}, **_ONE_OF},
        {
            "type": "object",
            "additionalProperties": False,
            "properties": {"steps": _STEPS, **_OPTIONS},
            "required": ["steps"],
        },
    ]
}

_INTERVAL: Schema = {
    "type": ["object", "null"],
    "required": ["level", "lower", "upper"],
    "properties": {"level": {"type": "number"}, "lower": _NUMBERS, "upper": _NUMBERS},
}
_FORECAST: dict[str, object] = {"forecast": _NUMBERS, "interval": _INTERVAL}
_ANOMALY: Schema = {
    "type": ["object", "null"],
    "required": ["value", "expected", "lower", "upper", "score", "anomalous", "alarm", "reason"],
    "properties": {
        **dict.fromkeys(("value", "expected", "lower", "upper", "score"), _NUMBER),
        "anomalous": {"type": "boolean"},
        "alarm": {"type": "boolean"},
        "reason": {"enum": [*REASONS, None]},
    },
}
_ANSWER: dict[str, object] = {
    "time": {"type": "integer"},
    "arrival": {"enum": ["next", "gap", "repeated", "late"]},
    "missing": {"type": "integer", "minimum": 0},
    "values": _NUMBERS,
    "differs": {"type": "boolean"},
    "outside_training_range": {"type": "boolean"},
    **_FORECAST,
    "no_forecast": {"type": ["string", "null"]},
    "anomaly": _ANOMALY,
    "adapted": {"type": ["object", "null"], "properties": _FORECAST},
    "model_version": _TEXT,
}
_ANSWERED = [name for name in _ANSWER if name != "differs"]
_WHOSE: dict[str, object] = {"model": _TEXT, "series": _TEXT}
_DUE: dict[str, object] = {"due": {"type": "integer"}, "due_time": {"type": ["string", "null"]}}

PUSH_RESPONSE: Schema = {
    "type": "object",
    "required": [*_WHOSE],
    "properties": {**_WHOSE, **_DUE},
    "anyOf": [
        {"required": _ANSWERED, "properties": _ANSWER},
        {
            "required": ["steps"],
            "properties": {
                "steps": {"type": "array", "items": {"type": "object", "required": _ANSWERED, "properties": _ANSWER}}
            },
        },
    ],
}
LAST_RESPONSE: Schema = {
    "type": "object",
    "required": [*_WHOSE, "began", "last"],
    "properties": {
        **_WHOSE,
        **_DUE,
        "began": {"type": "integer"},
        "last": {"type": "object", "required": _ANSWERED, "properties": _ANSWER},
    },
}
FORGET_RESPONSE: Schema = {
    "type": "object",
    "required": [*_WHOSE, "forgotten"],
    "properties": {**_WHOSE, "forgotten": {"type": "boolean"}},
}
NAMES_RESPONSE: Schema = {
    "type": "object",
    "required": ["model", "series", "after"],
    "properties": {
        "model": _TEXT,
        "series": {"type": "array", "items": _TEXT},
        "after": {"type": ["string", "null"]},
    },
}
DRIFT_RESPONSE: Schema = {
    "type": "object",
    "required": [*_WHOSE, "model_version", "verdict", "steps", "needed", "reasons", "coverage", "bias", "findings"],
    "properties": {
        **_WHOSE,
        "verdict": {"enum": ["unknown", "steady", "train again"]},
        "steps": {"type": "integer", "minimum": 0},
        "needed": {"type": "integer", "minimum": 1},
        "reasons": {"type": "array", "minItems": 1, "items": _TEXT},
        "coverage": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
        "bias": {"type": ["number", "null"], "minimum": -1, "maximum": 1},
        "findings": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["sign", "steps", "share", "promised", "limit", "chance", "beyond", "sentence"],
                "properties": {"sign": {"enum": [*SIGNS]}, "beyond": {"type": "boolean"}},
            },
        },
    },
}
