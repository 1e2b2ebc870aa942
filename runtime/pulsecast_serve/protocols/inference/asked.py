"""A request of REST: JSON, and behind it the tensors that are sent as binary data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pulsecast.foundation.arguments import shown

from ...refusal import BAD_REQUEST, RefusedError
from ..bodies import parsed
from .tensors import Head, Tensor, flattened, from_bytes, from_values, head, refused

HEADER = "Inference-Header-Content-Length"  # of the JSON before binary data
BINARY_SIZE, BINARY, BINARY_OUTPUT = "binary_data_size", "binary_data", "binary_data_output"
# parameters that would change what is computed, or where it is; every other one that is unknown is left alone
_NOTHING: Mapping[str, Any] = {}
_ELSEWHERE = ("shared_memory_region", "classification", "sequence_id")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """An output that is asked for, and whether as binary data."""

    name: object
    binary: bool


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request: its tensors, and the outputs that it names; `binary` is how those are sent that it does not name."""

    id: str | None
    tensors: Sequence[Tensor]
    outputs: Sequence[Wanted]
    binary: bool


def read_asked(body: bytes, header_length: str | None) -> Asked:
    """Return what a request asks; raises RefusedError (400)."""
    text, data = _split(body, header_length)
    document = _mapping("the request", parsed(text))
    name = document.get("id")
    if name is not None and not isinstance(name, str):
        raise refused(f"id is {shown(name)}; expected text", "id")
    parameters = _parameters("the request", document)
    binary = _flag(BINARY_OUTPUT, parameters)
    inputs = document.get("inputs")
    if not isinstance(inputs, list) or not inputs:
        raise refused("inputs is missing; expected a list of at least one tensor", "inputs")
    return Asked(
        id=name,
        tensors=_tensors(inputs, data),
        outputs=[_wanted(one, binary=binary) for one in _list("outputs", document.get("outputs"))],
        binary=binary,
    )


def _split(body: bytes, header_length: str | None) -> tuple[bytes, memoryview]:
    """Return the JSON of a request and the binary data behind it."""
    if header_length is None:
        return body, memoryview(b"")
    if not header_length.isascii() or not header_length.isdigit() or len(header_length) > 18:
        raise refused(
            f"Inference-Header-Content-Length is {shown(header_length)}; expected a number of bytes", "header"
        )
    length = int(header_length)
    if not 0 < length <= len(body):
        raise refused(
            f"{HEADER} is {length:,} and the request has {len(body):,} bytes; expected the "
            "length of the JSON before the binary data",
            HEADER,
        )
    return body[:length], memoryview(body)[length:]


def _tensors(inputs: list[Any], data: memoryview) -> list[Tensor]:
    found, place = [], 0
    for one in inputs:
        given = _mapping("an input", one)
        of = head(given.get("name"), given.get("datatype"), given.get("shape"))
        size = _binary_size(of, given, len(data) - place)
        if size is None:
            found.append(from_values(of, flattened(of, given.get("data"))))
        else:
            found.append(from_bytes(of, data[place : place + size]))
            place += size
    if place != len(data):
        raise refused(
            f"{len(data) - place:,} bytes of binary data are left after the inputs; expected a {BINARY_SIZE} for each "
            "tensor that is sent so",
            "inputs",
        )
    return found


def _binary_size(of: Head, given: Mapping[str, Any], left: int) -> int | None:
    """Return how many bytes of binary data an input has; None where its elements are in the JSON."""
    if given.get("parameters") is None:
        return None
    size = _parameters(shown(of.name), given).get(BINARY_SIZE)
    if size is None:
        return None
    if "data" in given:
        raise refused(f"{shown(of.name)} has both data and {BINARY_SIZE}; expected one of them", of.name)
    if type(size) is not int or not 0 <= size <= left:
        raise refused(
            f"{BINARY_SIZE} of {shown(of.name)} is {shown(size)} and {left:,} bytes are left; expected the bytes "
            f"of this tensor, behind the JSON whose length is the header {HEADER}",
            of.name,
        )
    return size


def _wanted(given: object, *, binary: bool) -> Wanted:
    output = _mapping("an output", given)
    parameters = _parameters("an output", output)
    return Wanted(name=output.get("name"), binary=_flag(BINARY, parameters, usual=binary))


def _mapping(what: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise RefusedError(BAD_REQUEST, f"{what} is not an object of JSON")
    return value


def _list(name: str, value: object) -> list[Any]:
    if value is not None and not isinstance(value, list):
        raise refused(f"{name} is not a list", name)
    return value or []


def _parameters(what: str, given: Mapping[str, Any]) -> Mapping[str, Any]:
    value = given.get("parameters")
    if value is None:
        return _NOTHING
    found = _mapping(f"parameters of {what}", value)
    refuse_elsewhere(found)
    return found


def refuse_elsewhere(parameters: Mapping[str, Any]) -> None:
    """Raise RefusedError (400) for a parameter that is known, and asks for what this server does not do."""
    asked = [name for name in _ELSEWHERE if name in parameters]
    if asked:
        raise refused(f"this server does not know the parameter {', '.join(asked)}: leave it out", "parameters")


def _flag(name: str, parameters: Mapping[str, Any], *, usual: bool = False) -> bool:
    value = parameters.get(name)
    if value is not None and not isinstance(value, bool):
        raise refused(f"{name} is {shown(value)}; expected true or false", name)
    return usual if value is None else value
