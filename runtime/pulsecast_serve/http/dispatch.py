"""Which address a path is of, remembered: Starlette's walk through all routes takes as long as reading a request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

_MOST_PATHS = 1024  # that are remembered; all are forgotten when there would be more
_MOST_CHARACTERS = 256  # of a path that is remembered: a client chooses it
_Place = tuple[str, str, str]  # method, root path and path


class Dispatch:
    """Calls the first of `routes` that fits, as Starlette would, without its middleware: a route catches its errors.

    A request that no route fits, and all that is not a request of HTTP, goes to `otherwise`.
    """

    def __init__(self, routes: Sequence[Route], otherwise: ASGIApp) -> None:
        self._routes = tuple(routes)
        self._otherwise = otherwise
        self._known: dict[_Place, tuple[Route, Mapping[str, Any]]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._found(scope) if scope["type"] == "http" else None
        if found is None:
            await self._otherwise(scope, receive, send)
            return
        scope["route"], scope["path_params"] = found
        response = await found[0].endpoint(Request(scope, receive))
        await response(scope, receive, send)

    def _found(self, scope: Scope) -> tuple[Route, Mapping[str, Any]] | None:
        """Return the route of a request and the parameters in its path, None if no route fits."""
        place = (scope["method"], scope.get("root_path", ""), scope["path"])
        found = self._known.get(place)
        if found is None:
            found = self._walked(scope)
            if found is not None and len(place[2]) <= _MOST_CHARACTERS:
                if len(self._known) >= _MOST_PATHS:
                    self._known.clear()
                self._known[place] = found
        return found

    def _walked(self, scope: Scope) -> tuple[Route, Mapping[str, Any]] | None:
        for route in self._routes:
            match, found = route.matches(scope)
            if match is Match.FULL:
                return route, found["path_params"]
        return None
