"""Protobuf messages made from literal tables: wire-compatible with those of the protocols' own stubs.

They live in a pool of their own, so that a process can hold both these and the official stubs: one pool refuses two
files of one name.
"""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, EnumDescriptorProto, FieldDescriptorProto
from google.protobuf.descriptor_pb2 import FileDescriptorProto as FileProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

POOL = DescriptorPool()
_FIELD = re.compile(
    r"(?P<repeated>repeated )?(?:map<(?P<key>\w+), (?P<value>[\w.]+)>|(?P<type>[\w.]+)) (?P<name>\w+) = (?P<number>\d+)"
    r"(?: in (?P<oneof>\w+))?"
)
_SCALARS = {
    name.removeprefix("TYPE_").lower(): number
    for name, number in FieldDescriptorProto.Type.items()
    if name not in {"TYPE_MESSAGE", "TYPE_ENUM", "TYPE_GROUP"}
}
_OPTIONAL, _REPEATED = FieldDescriptorProto.LABEL_OPTIONAL, FieldDescriptorProto.LABEL_REPEATED


@dataclass(frozen=True, kw_only=True, eq=False)
class Schema:
    """One file of a protocol, as its .proto says it, in proto3.

    path        the file's name
    package     stands before every name in it
    uses        files whose types it names
    well_known  the same of protobuf's own, such as "any" or "wrappers"
    messages    name -> fields, each "TYPE name = 1", "repeated TYPE name = 1", "map<KEY, TYPE> name = 1" or
                "TYPE name = 1 in ONEOF". A message within another is "Outer.Inner". A TYPE is one of protobuf's, a name
                in this file from its top on, or a whole name that begins with a dot.
    enums       name -> the names of its numbers 0, 1, ... or, where there are gaps, name -> number
    services    name -> method -> (name of its request, name of its response)
    """

    path: str
    package: str
    uses: Sequence[Schema] = ()
    well_known: Sequence[str] = ()
    messages: Mapping[str, Sequence[str]]
    enums: Mapping[str, Sequence[str] | Mapping[str, int]] = field(default_factory=dict)
    services: Mapping[str, Mapping[str, tuple[str, str]]] = field(default_factory=dict)


@functools.cache
def described(schema: Schema) -> FileDescriptor:
    """Return the descriptor of a schema and its messages; it is in POOL from then on."""
    names = [f"google/protobuf/{name}.proto" for name in schema.well_known]
    for name in schema.well_known:
        share(importlib.import_module(f"google.protobuf.{name}_pb2").DESCRIPTOR)
    names += [described(used).name for used in schema.uses]
    file = FileProto(name=schema.path, package=schema.package, syntax="proto3", dependency=names)
    _Types(schema, file).fill()
    POOL.AddSerializedFile(file.SerializeToString())
    return POOL.FindFileByName(schema.path)


def share(file: FileDescriptor) -> None:
    """Put a copy of a library's descriptor, and of those that it needs, into POOL."""
    for needed in file.dependencies:
        share(needed)
    POOL.AddSerializedFile(file.serialized_pb)


def message(name: str) -> Any:
    """Return the class of a message in POOL by its whole name; raises KeyError before its schema is `described`."""
    return GetMessageClass(POOL.FindMessageTypeByName(name))


class _Types:
    """Fills the descriptor of one file."""

    def __init__(self, schema: Schema, file: FileProto) -> None:
        self._schema = schema
        self._file = file
        self._places: dict[str, DescriptorProto] = {}

    def fill(self) -> None:
        """Add messages, enums and services."""
        for name, fields in self._schema.messages.items():
            outer, _, own = name.rpartition(".")
            proto = (self._places[outer].nested_type if outer else self._file.message_type).add(name=own)
            self._places[name] = proto
            for line in fields:
                self._add_field(name, proto, line)
        for name, values in self._schema.enums.items():
            self._add_enum(name, values)
        for name, methods in self._schema.services.items():
            service = self._file.service.add(name=name)
            for method, (request, response) in methods.items():
                service.method.add(name=method, input_type=self._whole(request), output_type=self._whole(response))

    def _add_enum(self, name: str, values: Sequence[str] | Mapping[str, int]) -> None:
        outer, _, own = name.rpartition(".")
        enum: EnumDescriptorProto = (self._places[outer] if outer else self._file).enum_type.add(name=own)
        numbers = values if isinstance(values, Mapping) else {value: number for number, value in enumerate(values)}
        for value, number in numbers.items():
            enum.value.add(name=value, number=number)

    def _add_field(self, message: str, proto: DescriptorProto, line: str) -> None:
        found = _FIELD.fullmatch(line)
        if found is None:
            raise ValueError(f"{message}: {line!r} is not a field; expected TYPE name = number")
        one = proto.field.add(name=found["name"], number=int(found["number"]), label=_OPTIONAL)
        if found["repeated"] or found["key"]:
            one.label = _REPEATED
        self._set_type(one, found["type"] or self._entry(message, proto, found))
        if found["oneof"]:
            known = [each.name for each in proto.oneof_decl]
            if found["oneof"] not in known:
                proto.oneof_decl.add(name=found["oneof"])
                known.append(found["oneof"])
            one.oneof_index = known.index(found["oneof"])

    def _entry(self, message: str, proto: DescriptorProto, found: re.Match[str]) -> str:
        """Add the message that holds one pair of a map, and return its name."""
        name = "".join(part.capitalize() for part in found["name"].split("_")) + "Entry"
        entry = proto.nested_type.add(name=name)
        entry.options.map_entry = True
        for number, (part, kind) in enumerate((("key", found["key"]), ("value", found["value"])), 1):
            self._set_type(entry.field.add(name=part, number=number, label=_OPTIONAL), kind)
        return f"{message}.{name}"

    def _set_type(self, one: FieldDescriptorProto, name: str) -> None:
        if name in _SCALARS:
            one.type = _SCALARS[name]
        else:
            one.type_name = self._whole(name)

    def _whole(self, name: str) -> str:
        return name if name.startswith(".") else f".{self._schema.package}.{name}"


def methods(file: FileDescriptor, service: str) -> Iterator[tuple[str, Any, Any]]:
    """Yield (name, class of the request, class of the response) of each method of a service in `file`."""
    for method in file.services_by_name[service].methods:
        yield method.name, GetMessageClass(method.input_type), GetMessageClass(method.output_type)
