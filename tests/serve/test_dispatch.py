"""Requests reach the address that Starlette's own walk finds, however often and in whichever order they are asked."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message

from pulsecast_serve.http import dispatch
from pulsecast_serve.http.dispatch import Dispatch

PATHS = ("/models", "/models/{model}", "/models/{model}/versions/{version}", "/files/{rest:path}", "/models/special")


def routes() -> list[Route]:
    def route(path: str, method: str) -> Route:
        async def answer(request: Request) -> JSONResponse:
            return JSONResponse({"at": f"{method} {path}", "given": dict(request.path_params)})

        return Route(path, answer, methods=[method])

    return [route(path, method) for path in PATHS for method in ("GET", "POST")]


def ask(app: ASGIApp, method: str, path: str, root: str = "") -> tuple[int, bytes]:
    heard: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        heard.append(message)

    scope: dict[str, Any] = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "root_path": root, "headers": [],
        "query_string": b"", "server": ("127.0.0.1", 80), "scheme": "http",
    }  # fmt: skip
    asyncio.run(app(scope, receive, send))
    return heard[0]["status"], heard[1]["body"]


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE"])
@pytest.mark.parametrize(
    "path",
    ["/models", "/models/", "/models/a", "/models/special", "/models/a/versions/3", "/files/x/y", "/files/", "/", "//"],
)
def test_every_path_is_answered_as_by_starlette_also_the_second_time(method: str, path: str) -> None:
    known = routes()
    plain = Starlette(routes=known)
    plain.router.redirect_slashes = False
    fast = Dispatch(known, plain)
    expected = ask(plain, method, path)
    assert [ask(fast, method, path), ask(fast, method, path)] == [expected, expected]


def test_a_path_below_another_root_is_another_path() -> None:
    known = routes()
    fast = Dispatch(known, Starlette(routes=known))
    assert ask(fast, "GET", "/models/models", "/models")[1] == ask(fast, "GET", "/models")[1]
    assert b'"model":"models"' in ask(fast, "GET", "/models/models")[1]


def test_what_clients_make_up_is_not_remembered_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "_MOST_PATHS", 10)
    known = routes()
    fast = Dispatch(known, Starlette(routes=known))
    for number in range(25):
        assert f'"model":"{number}"'.encode() in ask(fast, "GET", f"/models/{number}")[1]
        assert len(fast._known) <= 10
    before = len(fast._known)
    assert ask(fast, "GET", f"/models/{'x' * 300}")[0] == 200
    assert ask(fast, "GET", "/nothing")[0] == 404
    assert len(fast._known) == before
