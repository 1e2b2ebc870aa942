"""A stream as a part of an application of FastStream."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pulsecast.errors import UsageError
from pulsecast.forecasting.stream_state import require_loaded
from pulsecast.forecasting.streaming import Loaded
from pulsecast.foundation.arguments import file_path, instance, shown

from ..events.policies import EventPolicies
from ..events.trained import require_fits
from ..following import Heard
from ..policies import USUAL, Policies
from .config import BrokerConfig, Kind
from .engine import engine
from .link import Link
from .store import StateStore
from .taking import Taking
from .ticking import Ticking

if TYPE_CHECKING:
    from faststream import FastStream

# kind -> class of FastStream's broker; module and class of the link, below this package
LINKS: dict[Kind, tuple[str, str, str]] = {
    "mqtt": ("faststream.mqtt:MQTTBroker", "mqtt", "MqttLink"),
    "redis": ("faststream.redis:RedisBroker", "redis", "RedisLink"),
    "nats": ("faststream.nats:NatsBroker", "nats", "NatsLink"),
}


def attach(
    app: FastStream,
    model: Loaded,
    config: BrokerConfig,
    *,
    policies: Policies = USUAL,
    events: EventPolicies | None = None,
    heard: Heard | None = None,
) -> None:
    """Add a stream to an application of FastStream, whose first broker has the messages.

    model   what `pulsecast.load` returned; a newer one goes on with the states of the old one
    events  messages are single events, which are counted in steps first (`event_policies`)
    heard   called with each step that was answered

    A client of MQTT needs `client_id` and `clean_session=False`: otherwise the broker keeps nothing while it is away. A
    fault that is not a message's ends the application; start it again. Raises MissingExtraError and UsageError (another
    broker; the file of states is in use).

        app = FastStream(MQTTBroker("mqtt://127.0.0.1", client_id="likes", clean_session=False))
        attach(app, load("bundle"), BrokerConfig(kind="mqtt", source="counts/+", forecasts="forecasts"))
    """
    require_loaded(model)
    instance("config", config, BrokerConfig)
    instance("policies", policies, Policies)
    faststream = engine("faststream", config.kind)
    if not isinstance(app, faststream.FastStream):
        raise UsageError(f"app is {shown(app)}; expected an application of FastStream")
    connect(app, make(model, config, policies, events, heard))


def make(
    model: Loaded,
    config: BrokerConfig,
    policies: Policies,
    events: EventPolicies | None = None,
    heard: Heard | None = None,
) -> Taking:
    """Return what takes messages, with its file open; a file of steps is not one of events."""
    if events is not None:
        require_fits(model, events)
    kind = config.kind if events is None else f"{config.kind} events"
    store = StateStore(Path(file_path("store", config.store)), f"{kind} {config.source}")
    return Taking(model, config, policies, store=store, events=events, heard=heard)


def connect(app: FastStream, taking: Taking) -> Link:
    """Subscribe the application's broker; raises UsageError if it is of another kind."""
    where, module, name = LINKS[taking.config.kind]
    package, kind = where.split(":")
    if not isinstance(app.broker, getattr(engine(package, taking.config.kind), kind)):
        taking.store.close()
        raise UsageError(f"the application's broker is a {type(app.broker).__name__}; kind {module} needs {kind}")
    link = cast("Link", getattr(importlib.import_module(f".{module}", __package__), name)(app.broker, taking))

    async def closed() -> None:
        taking.store.close()

    hooks: Any = app
    taking.ended = app.exit
    hooks.on_startup(link.ready)
    if taking.events is not None:
        clock = Ticking(taking, link, taking.events)
        hooks.on_startup(clock.ready)
        hooks.after_startup(clock.start)
        hooks.on_shutdown(clock.stop)
    hooks.on_shutdown(link.leave)
    hooks.after_shutdown(closed)
    return link
