"""A program: an application that has answered, and the same in a process forked from it: `same`, or what went wrong.

python forking.py BUNDLE STORE
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import sys
from typing import Any

DEADLINE_S = 20  # a child answers within a second; a busy machine may need more
START = 1_736_121_600


def asked(app: Any, path: str, document: object) -> Any:
    """Return status and document of the answer to a POST."""
    sent, answered = json.dumps(document).encode(), []
    scope = {
        "type": "http", "http_version": "1.1", "method": "POST", "scheme": "http", "path": path, "query_string": b"",
        "raw_path": path.encode(), "root_path": "", "headers": [(b"content-length", str(len(sent)).encode())],
    }  # fmt: skip

    async def receive() -> Any:
        return {"type": "http.request", "body": sent}

    async def send(message: Any) -> None:
        answered.append(message)

    asyncio.run(app(scope, receive, send))
    return answered[0]["status"], json.loads(b"".join(one.get("body", b"") for one in answered))


def forecasts(app: Any) -> Any:
    """Return the forecasts of enough windows for a thread of their own."""
    values = [[[float(200 + (i + k) % 24)] for i in range(73)] for k in range(20)]
    rows = [{"values": one, "time": START} for one in values]
    return asked(app, "/v1/models/plain:predict", {"instances": rows})


def pushed(app: Any, step: int) -> Any:
    """Push a step of the series `a`."""
    status, found = asked(app, "/v1/streams/plain/a", {"value": 200.0 + step, "time": START + 3600 * step})
    return status, found["arrival"] if status == 200 else found


def child(app: Any, expected: Any, said: Any) -> None:
    same = forecasts(app) == expected
    said.put(("same" if same else "other numbers", pushed(app, 1)))


def main() -> None:
    """Print what a child says that is forked after the parent has answered, and what the parent says afterwards."""
    from pulsecast_serve import ServerConfig, application

    app = application(sys.argv[1], config=ServerConfig(backend="numpy", store=sys.argv[2]))
    expected, first = forecasts(app), pushed(app, 0)
    assert expected[0] == first[0] == 200, (expected, first)
    context = multiprocessing.get_context("fork")
    said = context.SimpleQueue()
    process = context.Process(target=child, args=(app, expected, said))
    process.start()
    process.join(DEADLINE_S)
    found = [said.get() if process.exitcode == 0 else f"ended with {process.exitcode}"]
    process.kill()
    print(json.dumps([*found, pushed(app, 2)]))  # noqa: T201  # a program


if __name__ == "__main__":
    main()
