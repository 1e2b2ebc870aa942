"""Bytes to an object: JSON or MessagePack, which their first byte tells apart."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from pulsecast.errors import MissingExtraError
from pulsecast.foundation.arguments import shown
from pulsecast.foundation.strict_json import repeated_key

from ..refusal import RefusedError

_SPACE = b" \t\r\n"
_MAPS = frozenset((*range(0x80, 0x90), 0xDE, 0xDF))  # first bytes of a map in MessagePack; no UTF-8 text has one


def read_object(data: bytes, most: int) -> dict[str, Any]:
    """Return the object in `data` of at most `most` bytes; raises RefusedError.

    >>> read_object(b'{"time": 0, "value": 1.5}', 100)
    {'time': 0, 'value': 1.5}
    """
    if len(data) > most:
        raise RefusedError("unreadable", f"the message has {len(data):,} bytes; at most {most:,} are read")
    first = data[:1] if data[:1] == b"{" else data.lstrip(_SPACE)[:1]
    if first == b"{":
        found = _json(data)
    elif data[:1] and data[0] in _MAPS:
        found = _msgpack(data)
    else:
        begins = f"begins with byte 0x{first.hex()}" if first else "is empty"
        raise RefusedError("unreadable", f"the message {begins}; expected an object of JSON, or a map of MessagePack")
    return found


def _json(data: bytes) -> dict[str, Any]:
    try:
        found: dict[str, Any] = _DECODER.decode(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise RefusedError("unreadable", f"the message is not UTF-8 text: byte {error.start}") from None
    except RecursionError:
        raise RefusedError(
            "unreadable", "the message is nested too deeply; expected an object of numbers and text"
        ) from None
    except json.JSONDecodeError as error:
        raise RefusedError("unreadable", f"the message is not JSON: {error.msg} at character {error.pos}") from None
    except ValueError:  # a number of thousands of digits
        raise RefusedError(
            "unreadable", "the message holds a number that is too long; expected what float32 holds"
        ) from None
    return found


def _msgpack(data: bytes) -> dict[str, Any]:
    try:
        import msgpack
    except ModuleNotFoundError:
        raise MissingExtraError(
            "a message is in MessagePack, and msgpack is not installed: pip install 'pulsecast[streams]'"
        ) from None
    try:
        found: dict[str, Any] = msgpack.unpackb(data, strict_map_key=True, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        said = str(error) or type(error).__name__
        raise RefusedError("unreadable", f"the message is not MessagePack: {said[:80]}") from None
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = shown(repeated_key(pairs))
        raise RefusedError("schema", f"the field {twice} stands more than once; which one is meant?")
    return found


def _no_constant(word: str) -> NoReturn:
    raise RefusedError("value", f"the message holds {word}, which JSON does not have; send null for a missing step")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_once, parse_constant=_no_constant
)  # made once: it takes half of the time
