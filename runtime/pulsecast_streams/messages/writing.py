"""Records to bytes, in one of the forms that are read."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Literal

from pulsecast.errors import MissingExtraError

from .records import Record

Form = Literal["json", "msgpack"]


_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


def _json(record: Record) -> bytes:
    return _ENCODER.encode(record).encode("ascii")


def _msgpack(record: Record) -> bytes:
    try:
        import msgpack
    except ModuleNotFoundError:
        raise MissingExtraError("MessagePack needs msgpack: pip install 'pulsecast[streams]'") from None
    packed: bytes = msgpack.packb(dict(record))
    return packed


FORMS: dict[Form, Callable[[Record], bytes]] = {"json": _json, "msgpack": _msgpack}


def written(record: Record, form: Form = "json") -> bytes:
    """Return the bytes of a record; the same record gives the same bytes.

    >>> written({"series": "likes", "time": 0})
    b'{"series":"likes","time":0}'
    """
    return FORMS[form](record)
