"""Requests and answers of the time-series API as JSON schemas, for the OpenAPI document."""

from __future__ import annotations

from .grid import PHASE
from .protocol import Schema
from .timeseries_request import MULTIVARIATE, UNIVARIATE

_NUMBERS: Schema = {"type": "array", "items": {"type": "number"}}
_BOUNDS: Schema = {"type": "array", "items": {"type": ["number", "null"]}}
_TEXT: Schema = {"type": "string"}
_SERIES_FIELDS: dict[str, object] = {
    "name": {"type": ["string", "null"]},
    "frequency": {"enum": ["S", "T", "H", "D", "W", "second", "minute", "hour", "day", "week"]},
    "step_seconds": {"type": ["integer", "null"], "minimum": 1},
    "start_timestamp": {"type": ["string", "null"], "format": "date-time"},
    PHASE: {"type": ["integer", "null"], "minimum": 0},
}

FORECAST_REQUEST: Schema = {
    "type": "object",
    "required": ["model", "inputs"],
    "properties": {
        "model": _TEXT,
        "inputs": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["type", "series", "frequency"],
                "properties": {
                    "type": {"enum": [UNIVARIATE, MULTIVARIATE]},
                    "series": {"type": "array", "minItems": 1, "items": {"anyOf": [{"type": "number"}, _NUMBERS]}},
                    "columns": {"type": ["array", "null"], "items": _TEXT},
                    **_SERIES_FIELDS,
                },
            },
        },
        "options": {
            "type": ["object", "null"],
            "properties": {
                "horizon": {"type": ["integer", "null"], "minimum": 1},
                "quantiles": {
                    "type": ["array", "null"],
                    "uniqueItems": True,
                    "items": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
                },
            },
        },
    },
}

_CONTENT: Schema = {
    "type": "object",
    "required": ["type", "name", "mean_forecast", "statistic", "frequency", "outside_training_range"],
    "properties": {
        "mean_forecast": _NUMBERS,
        "statistic": {"const": "median"},
        "outside_training_range": {"type": "boolean"},
        "quantiles": {"type": "object", "additionalProperties": _BOUNDS},
        "interval": {
            "type": "object",
            "required": ["level", "lower", "upper"],
            "properties": {"level": {"type": "number"}, "lower": _BOUNDS, "upper": _BOUNDS},
        },
        "start_timestamp": {"type": ["string", "null"]},
    },
}

FORECAST_RESPONSE: Schema = {
    "type": "object",
    "required": ["id", "created_at", "status", "model", "model_version", "outputs"],
    "properties": {
        "status": {"enum": ["completed", "partial"]},
        "outputs": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["type", "id", "status", "content", "error"],
                "properties": {
                    "status": {"enum": ["completed", "error"]},
                    "content": {"type": "array", "items": _CONTENT},
                },
            },
        },
    },
}

MODELS_RESPONSE: Schema = {
    "type": "object",
    "required": ["models"],
    "properties": {
        "models": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name", "version", "horizon", "context", "step_seconds", "columns"],
                "properties": {"name": _TEXT, "version": _TEXT, "horizon": {"type": "integer", "minimum": 1}},
            },
        }
    },
}

ANOMALIES_REQUEST: Schema = {
    "type": "object",
    "required": ["model", "series", "frequency"],
    "properties": {
        "model": _TEXT,
        "series": {"type": "array", "minItems": 1, "items": {"type": ["number", "null"]}},
        "false_alarm_rate": {"type": ["number", "null"], "exclusiveMinimum": 0, "exclusiveMaximum": 1},
        **_SERIES_FIELDS,
    },
}

ANOMALIES_RESPONSE: Schema = {
    "type": "object",
    "required": ["model", "model_version", "false_alarm_rate", "judged", "forecast", "lower", "upper", "anomalies"],
    "properties": {
        "judged": {"type": "integer", "minimum": 0},
        "forecast": _BOUNDS,
        "lower": _BOUNDS,
        "upper": _BOUNDS,
        "anomalies": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["step", "time", "value", "forecast", "score", "alarm", "reason"],
                "properties": {"step": {"type": "integer"}, "value": {"type": "number"}, "alarm": {"type": "boolean"}},
            },
        },
    },
}
