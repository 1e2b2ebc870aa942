"""An error as a response, in the words of the protocol that was asked."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response

from ..protocols.bodies import written
from ..protocols.protocol import Protocol
from ..refusal import NOT_READY, TOO_MANY, UNAUTHENTICATED, RefusedError

RETRY_AFTER_S = "1"
_NO_HEADERS: Mapping[str, str] = {}
_HEADERS = {
    UNAUTHENTICATED: {"www-authenticate": "Bearer"},
    TOO_MANY: {"retry-after": RETRY_AFTER_S},
    NOT_READY: {"retry-after": RETRY_AFTER_S},
}


def error_response(protocol: Protocol, refused: RefusedError, headers: Mapping[str, str] = _NO_HEADERS) -> Response:
    """Return the response for a request that is refused; `headers` come with those of its status."""
    return written(protocol.error(refused), refused.status, {**headers, **_HEADERS.get(refused.status, _NO_HEADERS)})
