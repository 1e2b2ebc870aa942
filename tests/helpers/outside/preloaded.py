"""A WSGI application for `gunicorn --preload preloaded:application`: it loads a model and forecasts before the fork.

The environment names BUNDLE, ARTIFACT and THREADS. Every request is answered with the worker's process and what its
forecasts are beside those of the parent: `same`, or what was raised.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable

from forked import forecasts, outcome, prepare, state

prepare(os.environ["BUNDLE"], os.environ["ARTIFACT"], int(os.environ["THREADS"]))
state["expected"] = forecasts()
PARENT = os.getpid()


def application(_: object, respond: Callable[[str, list[tuple[str, str]]], object]) -> Iterable[bytes]:
    """Answer any request."""
    body = json.dumps({"worker": os.getpid(), "parent": PARENT, "outcome": outcome()}).encode()
    respond("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
