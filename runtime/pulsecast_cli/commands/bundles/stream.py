"""`pulsecast stream`: a bundle on a broker of streams."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pulsecast.errors import UsageError

from ...terminal.grouped import grouped
from ...terminal.options import USUAL, ModelOptions
from ...terminal.output import tell


@grouped
def stream(
    bundle: Annotated[Path, typer.Argument(help="Bundle that forecasts.", metavar="BUNDLE")],
    kafka: Annotated[str, typer.Option("--kafka", help="Brokers of Kafka: HOST:PORT, several with commas.")],
    source: Annotated[str, typer.Option("--from", help="Topic of measurements; a message's key is its series.")],
    forecasts: Annotated[str, typer.Option("--to", help="Topic of forecasts; it is made if it is not there.")],
    alarms: Annotated[str | None, typer.Option("--alarms", help="Topic of alarms; without it none are sent.")] = None,
    dead_letters: Annotated[
        str | None, typer.Option("--dead-letters", help="Topic of what was refused; FROM-dead-letters by default.")
    ] = None,
    group: Annotated[str, typer.Option("--group", help="Consumer group; its processes share the partitions.")] = (
        "pulsecast"
    ),
    exactly_once: Annotated[
        bool, typer.Option("--exactly-once", help="Commit in transactions; otherwise a crash may repeat forecasts.")
    ] = False,
    state: Annotated[str, typer.Option("--state", help="Folder for states, one for each process.")] = "pulsecast-state",
    commit: Annotated[float, typer.Option("--commit", help="Seconds between two commits.")] = 1.0,
    form: Annotated[str, typer.Option("--form", help="What is written: json or msgpack.")] = "json",
    properties: Annotated[
        str | None, typer.Option("--properties", help="File with properties of librdkafka: TLS, passwords, timeouts.")
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
    rate: Annotated[float | None, typer.Option("--rate", help="Share of ordinary steps that may be flagged.")] = None,
    adapt: Annotated[bool, typer.Option("--adapt", help="Correct forecasts by what happened since.")] = False,
    model: ModelOptions = USUAL,
) -> None:
    """Forecast each measurement that comes in a topic, until SIGTERM or Ctrl-C; then commit and end.

    A message that cannot be read goes to the topic of dead letters, with the reason.
    """
    from pulsecast_streams import KafkaConfig, Policies, stream_kafka

    try:
        config = KafkaConfig(
            brokers=kafka, source=source, forecasts=forecasts, alarms=alarms, dead_letters=dead_letters, group=group,
            exactly_once=exactly_once, state=state, commit_s=commit, form=form, properties=properties,  # type: ignore[arg-type]
        )  # fmt: skip
        policies = Policies(
            gap=gap, late=late, unknown_series=unknown_series, unknown_fields=unknown_fields,  # type: ignore[arg-type]
            false_alarm_rate=rate, adapt=adapt,
        )  # fmt: skip
    except ValueError as error:
        raise UsageError(str(error)) from None
    stream_kafka(model.load(bundle), config, policies=policies, started=tell)
