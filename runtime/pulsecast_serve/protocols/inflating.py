"""Bodies that come compressed with gzip: inflated within the limit of a request, however small they are on the wire."""

from __future__ import annotations

import zlib
from typing import Any

from starlette.requests import Request

from pulsecast.foundation.arguments import shown

from ..refusal import BAD_REQUEST, TOO_LARGE, RefusedError
from ..serving import Serving
from .bodies import parsed, sent_header, whole_body

_GZIP = 16 + zlib.MAX_WBITS  # as zlib names the format
_PLAIN = ("", "identity")


async def json_body(serving: Serving, request: Request) -> Any:
    """Return what the JSON of a request says, also if it came compressed; raises RefusedError."""
    return parsed(inflated(serving, request, await whole_body(serving, request)))


def inflated(serving: Serving, request: Request, body: bytes) -> bytes:
    """Return a body as it was before its Content-Encoding.

    Raises RefusedError: 400 (another encoding than gzip, or a body that is none), 413 (it inflates beyond the limit).
    """
    encoding = sent_header(request, b"content-encoding", "").strip().lower()
    if encoding in _PLAIN:
        return body
    if encoding not in ("gzip", "x-gzip"):
        raise RefusedError(BAD_REQUEST, f"the content encoding is {shown(encoding)}; expected gzip, or none")
    most = serving.config.body_bytes
    stream = zlib.decompressobj(_GZIP)
    try:
        found = stream.decompress(body, most + 1)
    except zlib.error:
        raise RefusedError(BAD_REQUEST, "the request is not gzip, though its content encoding says so") from None
    if len(found) > most:
        raise RefusedError(
            TOO_LARGE, f"the request inflates beyond the {most:,} bytes that this server takes: split it"
        )
    if not stream.eof or stream.unused_data:
        raise RefusedError(BAD_REQUEST, "the gzip of the request is cut off, or something follows it")
    return found
