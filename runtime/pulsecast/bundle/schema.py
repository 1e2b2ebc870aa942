"""The manifest's JSON Schema (draft 2020-12), generated from the records that read it, so that the two cannot differ.

`manifest.schema.json` beside this module is shipped; `python -m pulsecast.bundle.schema` prints what it must hold. The
schema holds the rules that JSON Schema can express; the records also check relations, such as a path that must be among
the files.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .manifest import Manifest

SCHEMA_PATH = Path(__file__).with_name("manifest.schema.json")
_SCALARS = {int: "integer", float: "number", str: "string", bool: "boolean"}


def manifest_schema() -> dict[str, Any]:
    """Return the schema of `manifest.json`."""
    definitions: dict[str, Any] = {}
    top = _schema(Manifest, definitions)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "pulsecast bundle manifest, formats 1 and 2",
        **top,
        "$defs": dict(sorted(definitions.items())),
    }


def schema_text() -> str:
    """Return the text of the shipped file."""
    return json.dumps(manifest_schema(), indent=2) + "\n"


def _schema(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        return _record(typing.cast(type, kind), definitions)
    if origin in (typing.Union, types.UnionType):
        options = [{"type": "null"} if a is type(None) else _schema(a, definitions) for a in arguments]
        return {"anyOf": options}
    if origin is typing.Literal:
        return {"enum": list(arguments)}
    if origin is tuple:
        return {"type": "array", "items": _schema(arguments[0], definitions)}
    if origin is not None and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": _schema(arguments[1], definitions)}
    return {} if kind is object else {"type": _SCALARS[kind]}


def _record(cls: type, definitions: dict[str, Any]) -> dict[str, Any]:
    """Return a reference to the definition of `cls`, which is made on first use."""
    if cls.__name__ not in definitions:
        definitions[cls.__name__] = {}  # found by a record that holds itself
        hints = typing.get_type_hints(cls)
        fields = dataclasses.fields(cls)
        definitions[cls.__name__] = {
            "description": (cls.__doc__ or "").strip().splitlines()[0],
            "type": "object",
            "properties": {f.name: _property(f, hints[f.name], definitions) for f in fields},
            "required": [f.name for f in fields if _is_required(f)],
            "additionalProperties": False,
        }
    return {"$ref": f"#/$defs/{cls.__name__}"}


def _property(field: dataclasses.Field[Any], kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    found = _bounded(_schema(kind, definitions), field.metadata.get("most", ()))
    return {"anyOf": [found, {"type": "null"}]} if "null_if" in field.metadata else found


def _bounded(schema: dict[str, Any], most: tuple[int, ...]) -> dict[str, Any]:
    """Return the schema of a list or an object with at most as many items as its field may have."""
    if not most:
        return schema
    inner = {"items": _bounded(schema["items"], most[1:])} if "items" in schema else {}
    return {**schema, **inner, {"array": "maxItems", "object": "maxProperties"}[schema["type"]]: most[0]}


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


if __name__ == "__main__":
    sys.stdout.write(schema_text())
