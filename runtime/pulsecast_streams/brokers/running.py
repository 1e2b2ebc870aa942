"""A whole stream on MQTT, Redis or NATS, until it is told to stop."""

from __future__ import annotations

import asyncio
import importlib
import logging
import signal
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from pulsecast.errors import EngineError, PulsecastError, UsageError
from pulsecast.forecasting.stream_state import require_loaded
from pulsecast.forecasting.streaming import Loaded
from pulsecast.foundation.arguments import instance, shown, text

from ..events.policies import EventPolicies
from ..following import Heard, Started, silent
from ..policies import USUAL, Policies
from .attaching import connect, make
from .config import SCHEMES, BrokerConfig, Kind
from .engine import engine
from .link import STEADY
from .pulse import Pulse

# kind -> module and function that opens a broker of FastStream
OPENERS: dict[Kind, tuple[str, str]] = {
    "mqtt": ("mqtt", "open_mqtt"),
    "redis": ("redis", "open_redis"),
    "nats": ("nats", "open_nats"),
}


def stream_broker(  # noqa: PLR0913  # an option is a parameter
    model: Loaded,
    url: str,
    config: BrokerConfig,
    *,
    policies: Policies = USUAL,
    events: EventPolicies | None = None,
    started: Started = silent,
    heard: Heard | None = None,
) -> None:
    """Forecast what comes from a broker until SIGTERM or Ctrl-C, then finish the message at work and return.

    model    what `pulsecast.load` returned
    url      mqtt://HOST:PORT, redis://HOST:PORT or nats://HOST:PORT; mqtts, rediss and tls are the same over TLS
    events   messages are single events, which are counted in steps first (`event_policies`)
    started  called with a sentence once messages may come
    heard    called with each step that was answered

    Raises UsageError (the file of states is in use), EngineError (the broker is not there, or failed),
    MissingExtraError, and what `answer` raises. Start it again then: what was not acknowledged is delivered again.

        config = BrokerConfig(kind="mqtt", source="counts/+", forecasts="forecasts")
        stream_broker(load("bundle"), "mqtt://127.0.0.1:1883", config)
    """
    require_loaded(model)
    instance("config", config, BrokerConfig)
    instance("policies", policies, Policies)
    place = _place(url, config)
    faststream = engine("faststream", config.kind)
    module, name = OPENERS[config.kind]
    opened = getattr(importlib.import_module(f".{module}", __package__), name)
    taking = make(model, config, policies, events, heard)
    logging.getLogger("zmqtt").setLevel(logging.CRITICAL)  # it says each try to connect with its traceback
    try:
        app = faststream.FastStream(opened(url, config, taking), logger=None)
        connect(app, taking)
        pulse = Pulse(app.broker, taking)
        app.after_startup(pulse.start)
        app.on_shutdown(pulse.stop)
        ended_by_itself = _run(app, lambda: started(f"{place} {config.source} -> {config.forecasts}; Ctrl-C stops it"))
    except (PulsecastError, KeyboardInterrupt):
        raise
    except Exception as error:  # of the broker's client
        if taking.fault is not None:
            raise taking.fault from error
        said = f"{type(error).__name__}: {error}"[:300]
        raise EngineError(f"the broker at {place} failed: {said}; {STEADY}") from error
    finally:
        taking.store.close()
    if taking.fault is not None:
        raise taking.fault
    if ended_by_itself:
        raise EngineError(f"the broker at {place} ended the subscription: its stream or group is gone; {STEADY}")


def _run(app: Any, started: Callable[[], None]) -> bool:
    """Run an application; return whether it ended though nobody asked: FastStream says so in its log only."""
    begun, asked, leave = False, False, app.exit

    def ask() -> None:
        nonlocal asked
        asked = True
        leave()

    async def running() -> None:
        nonlocal begun
        begun = True
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, ask)
        started()

    def end() -> None:
        nonlocal asked
        asked = asked or not begun
        leave()

    app.exit = end  # FastStream calls it for a signal that comes while it begins, and later when a subscription ends
    app.after_startup(running)
    try:
        asyncio.run(app.run())
    except Exception:
        if begun or not asked:
            raise  # else FastStream closed the connection while it was being made, and no message was taken
    return begun and not asked


def _place(url: str, config: BrokerConfig) -> str:
    """Return host and port, without a password; raises UsageError."""
    try:
        parts = urlsplit(text("url", url))
        place = f"{parts.hostname}:{parts.port}" if parts.port else parts.hostname
    except ValueError:
        parts, place = None, None
    if parts is None or not place or SCHEMES.get(parts.scheme) != config.kind:
        secure = next(scheme for scheme, kind in reversed(SCHEMES.items()) if kind == config.kind)
        said = url if "@" not in url else "an address with a password"
        raise UsageError(f"url is {shown(said)}; expected {config.kind}://HOST:PORT, or {secure}:// for TLS")
    return place
