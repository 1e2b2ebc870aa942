"""`pulsecast stream`: a bundle on a broker of streams."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pulsecast.errors import UsageError

from ...terminal.grouped import grouped
from ...terminal.options import USUAL, ModelOptions
from ...terminal.output import tell
from .stream_page import page

if TYPE_CHECKING:
    from pulsecast import Forecaster
    from pulsecast_streams import EventPolicies


@grouped
def stream(
    bundle: Annotated[Path, typer.Argument(help="Bundle that forecasts.", metavar="BUNDLE")],
    source: Annotated[
        str,
        typer.Option("--from", help="Topic of measurements; a message's key, + of MQTT or * of NATS is its series."),
    ],
    forecasts: Annotated[str, typer.Option("--to", help="Topic of forecasts; it is made if it is not there.")],
    kafka: Annotated[
        str | None, typer.Option("--kafka", help="Brokers of Kafka: HOST:PORT, several with commas.")
    ] = None,
    mqtt: Annotated[str | None, typer.Option("--mqtt", help="Broker of MQTT: HOST:PORT, or a URL.")] = None,
    redis: Annotated[str | None, typer.Option("--redis", help="Redis with its streams: HOST:PORT, or a URL.")] = None,
    nats: Annotated[str | None, typer.Option("--nats", help="NATS with JetStream: HOST:PORT, or a URL.")] = None,
    alarms: Annotated[str | None, typer.Option("--alarms", help="Topic of alarms; without it none are sent.")] = None,
    dead_letters: Annotated[
        str | None, typer.Option("--dead-letters", help="Topic of what was refused; FROM-dead-letters by default.")
    ] = None,
    group: Annotated[
        str, typer.Option("--group", help="Group of Kafka, whose processes share the partitions; client of MQTT.")
    ] = "pulsecast",
    exactly_once: Annotated[
        bool, typer.Option("--exactly-once", help="Kafka: commit in transactions; else a crash may repeat forecasts.")
    ] = False,
    state: Annotated[
        str | None, typer.Option("--state", help="Kafka: folder for states, one for each process; pulsecast-state.")
    ] = None,
    store: Annotated[
        str | None, typer.Option("--store", help="MQTT, Redis, NATS: file of states; pulsecast-states.db.")
    ] = None,
    streams: Annotated[
        int | None, typer.Option("--streams", help="MQTT, Redis, NATS: most series in the file of states; 100000.")
    ] = None,
    commit: Annotated[float | None, typer.Option("--commit", help="Kafka: seconds between two commits; 1.")] = None,
    form: Annotated[str, typer.Option("--form", help="What is written: json or msgpack.")] = "json",
    properties: Annotated[
        str | None,
        typer.Option("--properties", help="Kafka: file with properties of librdkafka: TLS, passwords, timeouts."),
    ] = None,
    events: Annotated[
        bool | None,
        typer.Option("--events/--samples", help="Messages are single events, which are counted in steps first."),
    ] = None,
    of: Annotated[
        str | None,
        typer.Option("--of", help="With --events: a step is the number of events, or sum or mean of their values."),
    ] = None,
    lateness: Annotated[
        int | None, typer.Option("--lateness", help="With --events: seconds that a step waits after its end; 60.")
    ] = None,
    tick: Annotated[
        float | None, typer.Option("--tick", help="Kafka with --events: seconds between two looks at the clock; 5.")
    ] = None,
    gap: Annotated[
        str, typer.Option("--gap", help="What stands for missing steps: unknown, or last or zero for short gaps.")
    ] = "unknown",
    late: Annotated[
        str, typer.Option("--late", help="A step that is older than the last one: dead-letter or ignore.")
    ] = "dead-letter",
    unknown_series: Annotated[
        str, typer.Option("--unknown-series", help="A series that the bundle does not hold: dead-letter or pool.")
    ] = "dead-letter",
    unknown_fields: Annotated[
        str, typer.Option("--unknown-fields", help="A message with other fields: dead-letter or ignore.")
    ] = "dead-letter",
    page_at: Annotated[
        str | None,
        typer.Option("--page", help="Show forecasts and alarms in a browser: [HOST:]PORT; 127.0.0.1 by itself."),
    ] = None,
    keys: Annotated[
        str | None, typer.Option("--keys", help="With --page: file of the keys that clients present.")
    ] = None,
    tls_cert: Annotated[str | None, typer.Option("--tls-cert", help="With --page: certificate, PEM.")] = None,
    tls_key: Annotated[str | None, typer.Option("--tls-key", help="With --page: its private key, PEM.")] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="With --page: listen beyond this machine without keys or TLS.")
    ] = False,
    rate: Annotated[
        float | None,
        typer.Option(
            "--rate", help="Share of ordinary steps that may be flagged; a series keeps that of its beginning."
        ),
    ] = None,
    phase: Annotated[
        int | None, typer.Option("--phase", help="Seconds of each step after a whole one, if training's are others.")
    ] = None,
    adapt: Annotated[bool, typer.Option("--adapt", help="Correct forecasts by what happened since.")] = False,
    model: ModelOptions = USUAL,
) -> None:
    """Forecast each measurement that comes in a topic, until SIGTERM or Ctrl-C; then commit and end.

    With --events the messages are single events, such as a like, and are counted as in `train --events`. A message that
    cannot be read goes to the topic of dead letters, with the reason.
    """
    from pulsecast_streams import BrokerConfig, KafkaConfig, Policies, stream_broker, stream_kafka

    kind, address = _one_of(
        {"kafka": kafka, "mqtt": mqtt, "redis": redis, "nats": nats}, f"{bundle} --from {source} --to {forecasts}"
    )
    topics = {"source": source, "forecasts": forecasts, "alarms": alarms, "dead_letters": dead_letters, "form": form}
    of_kafka = {
        "exactly_once": exactly_once or None, "state": state, "commit_s": commit, "tick_s": tick,
        "properties": properties,
    }  # fmt: skip
    of_others = {"store": store, "streams": streams}
    _refuse_others(kind, of_kafka if kind != "kafka" else of_others)
    if not events:
        _refuse_counting({"--of": of, "--lateness": lateness, "--tick": tick})
    config: KafkaConfig | BrokerConfig
    try:
        policies = Policies(
            gap=gap, late=late, unknown_series=unknown_series, unknown_fields=unknown_fields,  # type: ignore[arg-type]
            false_alarm_rate=rate, adapt=adapt, phase_s=phase,
        )  # fmt: skip
        if kind == "kafka":
            config = KafkaConfig(brokers=address, group=group, **_given(topics | of_kafka))
        else:
            config = BrokerConfig(kind=kind, reader=group, **_given(topics | of_others))  # type: ignore[arg-type]
    except ValueError as error:
        raise UsageError(str(error)) from None
    loaded = model.load(bundle)
    counted = _counted(loaded, events=events, of=of, lateness=lateness)
    locks = {"keys": keys, "tls_certificate": tls_cert, "tls_key": tls_key, "insecure": insecure or None}
    with page(loaded, page_at, _given(locks)) as heard:
        if isinstance(config, KafkaConfig):
            stream_kafka(loaded, config, policies=policies, events=counted, started=tell, heard=heard)
        else:
            url = address if "://" in address else f"{kind}://{address}"
            stream_broker(loaded, url, config, policies=policies, events=counted, started=tell, heard=heard)


def _counted(model: Forecaster, *, events: bool | None, of: str | None, lateness: int | None) -> EventPolicies | None:
    """Return how events are counted, None where steps come; raises UsageError."""
    from pulsecast_streams import event_policies

    if not events:
        return None
    return event_policies(model, of=of, **_given({"lateness_s": lateness}))  # type: ignore[arg-type]


def _refuse_counting(options: dict[str, Any]) -> None:
    if given := list(_given(options)):
        raise UsageError(f"{', '.join(given)}: only for single events; add --events, or leave it out")


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _one_of(brokers: dict[str, str | None], words: str) -> tuple[str, str]:
    """Return kind and address of the broker that is named; raises UsageError unless it is one."""
    named = _given(brokers)
    if len(named) != 1:
        said = " and ".join(f"--{kind}" for kind in named) + " are named" if named else "no broker is named"
        raise UsageError(
            f"{said}; expected one of {', '.join(f'--{kind} HOST:PORT' for kind in brokers)}: "
            f"pulsecast stream {words} --{next(iter(named), 'mqtt')} 127.0.0.1:1883"
        )
    return next(iter(named.items()))


def _refuse_others(kind: str, options: dict[str, Any]) -> None:
    """Raise UsageError for options of other brokers: they would say nothing here."""
    words = {"commit_s": "commit", "exactly_once": "exactly-once", "tick_s": "tick"}
    given = [f"--{words.get(name, name)}" for name in _given(options)]
    if given:
        said = "--store FILE keeps the states" if kind != "kafka" else "--state DIR keeps the states"
        raise UsageError(f"{', '.join(given)}: not an option of --{kind}; leave it out. {said}")
