"""A series as it happens, by server-sent events.

    event: step      data: what was answered to a step, as a push is answered; the id is its time
    event: anew      the series was begun anew: forget what was seen
    : here           a heartbeat

Who comes again says the last id in `Last-Event-ID`, and gets the steps since then, as far as they are known.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from pulsecast.errors import FormatError
from pulsecast.forecasting.stream_state import read_state
from pulsecast.foundation.arguments import shown

from ...live.hub import ENDING, Hub, Point, Waiting
from ...refusal import BAD_REQUEST, RefusedError
from ...serving import Serving
from ...streams.kept import Kept, Key
from ..bodies import shortest
from .names import series_of

HEARTBEAT_S = 15.0
LOOK_S = 1.0  # between two looks at a store that other processes write, too
_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}
_EVENTS = "text/event-stream; charset=utf-8"


async def live(serving: Serving, request: Request, key: Key) -> Response:
    """Answer each step of a series as it comes, until the client goes or the server stops."""
    series_of(serving.models.find(key.model).model, key.series)
    after = _after(request)
    serving.hub.require_room()

    async def events() -> AsyncIterator[bytes]:
        with serving.hub.watching(key) as waiting:
            request.scope[ENDING] = waiting.end
            async for part in _events(serving, key, waiting, after):
                yield part

    return StreamingResponse(events(), 200, _HEADERS, _EVENTS)


def _after(request: Request) -> int | None:
    """Return the time of the last step that the client has; raises RefusedError (400)."""
    given = request.headers.get("last-event-id", "")
    if not given:
        return None
    try:
        return int(given)
    except ValueError:
        raise RefusedError(
            BAD_REQUEST, f"Last-Event-ID is {shown(given)}; expected the id of an event, the time of its step"
        ) from None


async def _events(serving: Serving, key: Key, waiting: Waiting, after: int | None) -> AsyncIterator[bytes]:
    hub, life, last, beat = serving.hub, None, after, 0.0
    while not waiting.ended:
        await _look(serving, key)
        now_life, points = hub.since(key, last)
        if life is not None and now_life != life:
            yield b"event: anew\ndata: {}\n\n"
            last = None
            now_life, points = hub.since(key, last)
        life = now_life
        for point in points:
            yield _written(point)
            last = point["time"]
        if points:
            beat = time.monotonic()
        elif time.monotonic() - beat >= HEARTBEAT_S:
            yield b": here\n\n"
            beat = time.monotonic()
        await waiting.wait(HEARTBEAT_S if serving.streams is None else LOOK_S)


def _written(point: Point) -> bytes:
    return b"id: %d\nevent: step\ndata: %s\n\n" % (
        point["time"], json.dumps(point, separators=(",", ":"), allow_nan=False).encode()
    )  # fmt: skip


async def _look(serving: Serving, key: Key) -> None:
    """Let the hub know what the store has: steps that another process took, or that came before this one began."""
    if serving.streams is None:
        return
    kept = await serving.streams.read(lambda store: store.get(key))
    if kept is None:
        serving.hub.forget(key)
    elif kept.time != serving.hub.last(key):
        serving.hub.say(key, seen(kept, serving.hub, key))


def seen(kept: Kept, hub: Hub, key: Key) -> Sequence[Point]:
    """Return the last step, and those before it that the state remembers and `hub` does not."""
    last = hub.last(key)
    before = [one for one in past(kept.state) if one["time"] < kept.time]
    if last is not None and last <= kept.time:
        before = [one for one in before if one["time"] > last]
    return [*before, json.loads(kept.answer)]


def past(state: bytes) -> Sequence[Mapping[str, Any]]:
    """Return time and values of the steps that a state remembers; none of one that cannot be read."""
    try:
        stream = read_state(state).stream
    except FormatError:
        return []
    if stream.time is None:
        return []
    window = stream.window[0]  # (context, columns)
    known = np.flatnonzero(~np.isnan(window).all(axis=1))
    return [
        {"time": stream.time - (len(window) - 1 - i) * stream.step_s, "values": nullable(window[i])}
        for i in range(known[0] if len(known) else len(window), len(window))
    ]


def nullable(row: NDArray[np.float32]) -> list[float | None]:
    """Return values (columns,) as JSON has them: null for one that is missing."""
    return [None if math.isnan(one) else one for one in shortest(row)]
