"""What an operator asks: does the server live, is it ready, what did it do; and every path that no protocol has."""

from __future__ import annotations

import re
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

from ..refusal import NOT_READY, RefusedError
from ..serving import Serving
from .bodies import written
from .protocol import Address, Protocol

# what is answered without a key: whether it runs, and the files of the page, which asks for one itself
OPEN = frozenset({"/v2/health/live", "/v2/health/ready", "/", "/page.css", "/page.js", "/live.js", "/plot.js"})


def error_body(refused: RefusedError) -> Mapping[str, object]:
    """Return an error as this server words it by itself."""
    return {"error": {"message": str(refused), "param": refused.param, "code": refused.status}}


async def live(serving: Serving, request: Request) -> Response:
    """Answer that the process runs."""
    del serving, request
    return written({"live": True})


async def ready(serving: Serving, request: Request) -> Response:
    """Answer whether every model has a version that forecast its golden windows."""
    del request
    is_ready = serving.models.ready
    return written({"ready": is_ready}, 200 if is_ready else NOT_READY)


PROTOCOL = Protocol(
    name="operation",
    paths=re.compile(r"/"),
    error=error_body,
    addresses=(
        Address(method="GET", path="/v2/health/live", name="operation.live", answer=live),
        Address(method="GET", path="/v2/health/ready", name="operation.ready", answer=ready),
    ),
)
