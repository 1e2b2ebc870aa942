"""JSON in and out: what was sent is read within limits, and numbers are written as short as they can be read back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message

from pulsecast.errors import UsageError
from pulsecast.foundation.arguments import fraction, shown
from pulsecast.foundation.strict_json import repeated_key

from ..refusal import BAD_REQUEST, GONE_SLOW, TOO_LARGE, RefusedError
from ..serving import Serving

T = TypeVar("T")
JSON = "application/json"
_NUMBERS = frozenset({int, float})  # what JSON's numbers become; True and False are of another type


async def whole_body(serving: Serving, request: Request) -> bytes:
    """Return the bytes of a request; raises RefusedError: 413 (too many), 408 (they come too slowly)."""
    most = serving.config.body_bytes
    declared = sent_header(request, b"content-length", "0")
    if not declared.isdigit() or len(declared) > 18 or int(declared) > most:
        raise _too_large(most)
    parts, size = [], 0
    try:
        async with asyncio.timeout(serving.config.request_s):
            more = True
            while more:
                part, more = _received(await request.receive())
                size += len(part)
                if size > most:
                    raise _too_large(most)
                parts.append(part)
    except TimeoutError:
        raise RefusedError(GONE_SLOW, "the request did not arrive in time; send it faster, or in parts") from None
    return b"".join(parts)


def _received(message: Message) -> tuple[bytes, bool]:
    """Return the bytes in a message of ASGI, and whether more of them follow; raises RefusedError (400)."""
    if message["type"] != "http.request":
        raise RefusedError(BAD_REQUEST, "the request ended before it was whole")
    return message.get("body", b""), message.get("more_body", False)


def sent_header(request: Request, name: bytes, default: T) -> str | T:
    """Return the first header of a `name` in small letters; Starlette would make text of every header for it."""
    headers: list[tuple[bytes, bytes]] = request.scope["headers"]
    return next((value.decode("latin-1") for key, value in headers if key == name), default)


def _too_large(most: int) -> RefusedError:
    return RefusedError(TOO_LARGE, f"the request is too large; this server takes {most:,} bytes: split it")


def parsed(body: bytes, *, constants: bool = False) -> Any:
    """Return what JSON `body` says; `constants` takes NaN and Infinity. Raises RefusedError (400)."""
    try:
        return (_LENIENT if constants else _STRICT).decode(body.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise RefusedError(BAD_REQUEST, f"the request is not UTF-8 text: byte {error.start}") from None
    except RecursionError:
        raise RefusedError(BAD_REQUEST, "the request is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise RefusedError(BAD_REQUEST, f"the request is not JSON: {error.msg} at character {error.pos}") from None
    except ValueError as error:  # a number of thousands of digits
        raise RefusedError(BAD_REQUEST, "the request holds a number that is too long") from error


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the object of `pairs`, for the standard library's reader; raises RefusedError (400) for a key twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = shown(repeated_key(pairs))
        raise RefusedError(BAD_REQUEST, f"the key {twice} stands more than once; which one is meant?")
    return found


def _no_constant(word: str) -> NoReturn:
    raise RefusedError(BAD_REQUEST, f"the request holds {word}, which JSON does not have; expected finite numbers")


# made once, since `json.loads` and `json.dumps` would make one for each text
_STRICT = json.JSONDecoder(object_pairs_hook=once, parse_constant=_no_constant)
_LENIENT = json.JSONDecoder(object_pairs_hook=once, parse_constant=float)
_encoded = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


def written(document: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return `document` as a response."""
    return Response(json_bytes(document), status, headers, JSON)


def json_bytes(document: object) -> bytes:
    """Return `document` as JSON; all beyond ASCII stands as escapes, since half a character has no bytes."""
    return _encoded(document).encode("ascii")


def shortest(numbers: NDArray[np.floating]) -> list[float]:
    """Return numbers (n,) as the shortest floats that read back as the same float32; -0 is 0.

    >>> shortest(np.array([0.1, 12, -0.0], np.float32))
    [0.1, 12.0, 0.0]
    """
    return [float(str(one)) + 0.0 for one in numbers.astype(np.float32, copy=False)]


def real_numbers(name: str, given: Sequence[object]) -> None:
    """Raise RefusedError (400) unless everything in `given` is a JSON number."""
    if _NUMBERS.issuperset(map(type, given)):
        return
    for place, one in enumerate(given):
        if type(one) is not float and type(one) is not int:
            what = "is null, a missing value" if one is None else f"is {shown(one)}"
            raise RefusedError(BAD_REQUEST, f"{name}[{place}] {what}; expected a number", param=name)


def false_alarm_rate(body: Mapping[str, object]) -> float | None:
    """Return the rate of false alarms that a request asks for, None for the usual one; raises RefusedError (400)."""
    given = body.get("false_alarm_rate")
    if given is None:
        return None
    try:
        return fraction("false_alarm_rate", given, such_as=0.001)
    except UsageError as error:
        raise RefusedError(BAD_REQUEST, str(error), param="false_alarm_rate") from None
