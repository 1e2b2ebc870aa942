"""A page for a stream that runs elsewhere in this process: what it answers is shown as that of a server is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pulsecast.errors import MissingExtraError, UsageError
from pulsecast.forecasting.forecaster import Forecaster
from pulsecast.foundation.arguments import instance, one_path

from .config import ServerConfig

Say = Callable[[str, Mapping[str, Any], bytes | None], None]
Listening = Callable[[str], None]
_STARTS_S = 30.0


def _silent(address: str) -> None:
    del address


@contextmanager
def live_page(
    model: Forecaster, *, config: ServerConfig | None = None, listening: Listening = _silent
) -> Iterator[Say]:
    """Serve the page of `model` in a thread, and yield what a stream calls with each step that it answered.

    config     how to listen, whom to answer; it keeps no streams of its own
    listening  called with the address once the server listens

    Called with the series, the answer to its step in the words of a push, and the stream's state after it, from any
    thread. Raises UsageError as `serve` does, and MissingExtraError.

        with live_page(model, config=ServerConfig(port=8080)) as say:
            ...
    """
    instance("model", model, Forecaster)
    config = ServerConfig() if config is None else instance("config", config, ServerConfig)
    if config.workers > 1 or config.store is not None or config.grpc_port is not None:
        raise UsageError("a page of a stream takes one worker, no store and no gRPC: leave these options out")
    try:
        from .http.keys import read_keys
        from .http.server import bound, check_tls, draining
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"a page needs {error.name}, which is not installed: pip install 'pulsecast[serve]'"
        ) from None
    if config.keys is not None:
        read_keys(one_path("keys", config.keys))
    check_tls(config)
    app, say = _application(model, config)
    with bound(config) as socket:
        server = draining(lambda: app, config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]}, name="pulsecast-page", daemon=True)
        thread.start()
        host = f"[{config.host}]" if ":" in config.host else config.host
        listening(f"http{'' if config.tls_certificate is None else 's'}://{host}:{socket.getsockname()[1]}")
        try:
            yield say
        finally:
            server.should_exit = True
            thread.join(_STARTS_S)


def _application(model: Forecaster, config: ServerConfig) -> tuple[Any, Say]:
    from .http.app import build
    from .http.measures import Measures
    from .live.hub import Hub
    from .models.library import Library, fixed
    from .models.served import Models
    from .protocols.streams.live import past
    from .serving import Serving
    from .streams.kept import Key

    models, hub, name = Models(), Hub(config.listeners), model.manifest.name
    fixed(models, {name: model})
    serving = Serving(models=models, config=config, hub=hub, watched=True)

    def say(series: str, answer: Mapping[str, Any], state: bytes | None) -> None:
        key = Key(name, series)
        known = hub.last(key) is not None or state is None
        before = [] if known or state is None else [one for one in past(state) if one["time"] < answer["time"]]
        hub.say(key, [*before, answer])

    return build(serving, Library(models, config, folder=None), Measures(models)), say
