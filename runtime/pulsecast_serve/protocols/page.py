"""The page at `/`: what is served, and a box to try it. It asks this server alone, and works without a network."""

from __future__ import annotations

import functools
import re
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response

from ..serving import Serving
from .operation import error_body
from .protocol import Address, Protocol

# address -> (file, its type)
FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/live.js": ("live.js", "text/javascript; charset=utf-8"),
    "/plot.js": ("plot.js", "text/javascript; charset=utf-8"),
}
_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}


@functools.cache
def _content(name: str) -> bytes:
    return files(__package__.rpartition(".")[0]).joinpath("page", name).read_bytes()


async def page(serving: Serving, request: Request) -> Response:
    """Answer a file of the page."""
    del serving
    name, kind = FILES[request.url.path]
    return Response(_content(name), 200, _HEADERS, kind)


PROTOCOL = Protocol(
    name="page",
    paths=re.compile(r"/(?:page\.css|page\.js|live\.js|plot\.js)?$"),
    error=error_body,
    addresses=tuple(Address(method="GET", path=path, name="page", answer=page, listed=False) for path in FILES),
)
