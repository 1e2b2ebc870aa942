"""A server of pulsecast's stack that computes nothing: it reads the JSON of a request and answers a constant.

`python noop.py PORT BYTES`: BYTES is the length of its answers.
"""

import json
import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_JSON = "application/json"


def application(size: int) -> Starlette:
    """Return the application."""
    constant = json.dumps({"answer": "x" * max(0, size - len('{"answer": ""}'))}).encode()

    async def infer(request: Request) -> Response:
        json.loads(await request.body())
        return Response(constant, media_type=_JSON)

    async def ready(request: Request) -> Response:
        del request
        return Response(b"{}", media_type=_JSON)

    return Starlette(
        routes=[
            Route("/v2/models/{model}/ready", ready, methods=["GET"]),
            Route("/v2/models/{model}/infer", infer, methods=["POST"]),
        ]
    )


if __name__ == "__main__":
    uvicorn.run(
        application(int(sys.argv[2])),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        http="httptools",
        loop="uvloop",
        ws="none",
        log_config=None,
        access_log=False,
    )
