"""What a client is told when its request is not answered: a status and a sentence, which each protocol words."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pulsecast.errors import DataError, InputError, PulsecastError, UsageError

BAD_REQUEST, UNAUTHENTICATED, NOT_FOUND, CONFLICT, GONE_SLOW, TOO_LARGE = 400, 401, 404, 409, 408, 413
TOO_MANY, FAILED, NOT_READY, NO_SPACE = 429, 500, 503, 507
OUR_FAULT = "the server failed to answer; its log says why"


class RefusedError(PulsecastError):
    """A request that is not answered.

    status  of HTTP
    param   the part of the request that is wrong, as the client calls it; None if it is not one part
    """

    def __init__(self, status: int, text: str, *, param: str | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.param = param


ErrorBody = Callable[[RefusedError], Mapping[str, object]]

# what a forecaster raises because of the request; everything else is a fault of the server
_STATUS: tuple[tuple[type[PulsecastError], int], ...] = (
    (InputError, BAD_REQUEST),
    (UsageError, BAD_REQUEST),
    (DataError, BAD_REQUEST),
)


def refusal(error: Exception) -> RefusedError:
    """Return what a client is told of `error`; nothing of a fault that is not its own."""
    if isinstance(error, RefusedError):
        return error
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), FAILED)
    return RefusedError(status, OUR_FAULT if status == FAILED else str(error))
