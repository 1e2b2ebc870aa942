"""An error as a response, in the words of the protocol that was asked."""

from __future__ import annotations

from starlette.responses import Response

from ..protocols.bodies import written
from ..protocols.protocol import Protocol
from ..refusal import NOT_READY, TOO_MANY, UNAUTHENTICATED, RefusedError

RETRY_AFTER_S = "1"
_HEADERS = {
    UNAUTHENTICATED: {"www-authenticate": "Bearer"},
    TOO_MANY: {"retry-after": RETRY_AFTER_S},
    NOT_READY: {"retry-after": RETRY_AFTER_S},
}


def error_response(protocol: Protocol, refused: RefusedError) -> Response:
    """Return the response for a request that is refused."""
    return written(protocol.error(refused), refused.status, _HEADERS.get(refused.status))
