"""`pulsecast serve`: a bundle, or a folder of models, behind HTTP and gRPC."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pulsecast.errors import UsageError
from pulsecast.limits import STREAMS

from ...terminal.grouped import grouped
from ...terminal.options import USUAL, ModelOptions
from ...terminal.output import tell


@grouped
def serve(
    bundles: Annotated[
        list[str] | None, typer.Argument(help="Bundles to serve, each as PATH or NAME=PATH.", metavar="BUNDLE…")
    ] = None,
    models: Annotated[
        Path | None,
        typer.Option("--models", help="Folder of models, DIR/NAME/VERSION/, which is followed as it changes."),
    ] = None,
    host: Annotated[str, typer.Option("--host", help="Interface to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="Port of HTTP; 0 takes a free one.")] = 8080,
    grpc_port: Annotated[
        int | None, typer.Option("--grpc-port", help="Port of gRPC, which answers none without it; 0 takes a free one.")
    ] = None,
    workers: Annotated[int, typer.Option("--workers", help="Processes that answer.")] = 1,
    keys: Annotated[
        str | None, typer.Option("--keys", help="File of the keys that clients present; only you may read it.")
    ] = None,
    tls_cert: Annotated[str | None, typer.Option("--tls-cert", help="Certificate of this server, PEM.")] = None,
    tls_key: Annotated[str | None, typer.Option("--tls-key", help="Its private key, PEM.")] = None,
    client_ca: Annotated[
        str | None, typer.Option("--client-ca", help="Answer only clients with a certificate that this one signed.")
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Listen beyond this machine without keys or TLS.")
    ] = False,
    body_bytes: Annotated[int, typer.Option("--body-bytes", help="Most bytes of one request.")] = 4 << 20,
    windows: Annotated[int, typer.Option("--windows", help="Most windows of one request.")] = 4096,
    active: Annotated[int, typer.Option("--active", help="Most requests at work; one more is answered 429.")] = 256,
    batch_wait_us: Annotated[
        int, typer.Option("--batch-wait-us", help="Let a forecast wait so long for others, to compute them together.")
    ] = 0,
    poll: Annotated[float, typer.Option("--poll", help="Seconds between two looks at --models.")] = 1.0,
    traces: Annotated[bool, typer.Option("--traces", help="A span of OpenTelemetry for each request.")] = False,
    access_log: Annotated[bool, typer.Option("--access-log", help="A line for each answer, on stderr.")] = False,
    store: Annotated[
        str | None, typer.Option("--store", help="Where streams are kept: a file (of SQLite), or memory.")
    ] = None,
    streams: Annotated[int, typer.Option("--streams", help="Most series of one model that are followed.")] = STREAMS,
    streams_age: Annotated[
        float | None, typer.Option("--streams-age", help="Forget a series after so many days without a push.")
    ] = None,
    series_metrics: Annotated[
        int, typer.Option("--series-metrics", help="Series of each model, first by name, with metrics of their own.")
    ] = 100,
    listeners: Annotated[
        int, typer.Option("--listeners", help="Clients that watch a series live at the same time, of each worker.")
    ] = 64,
    model: ModelOptions = USUAL,
) -> None:
    """Answer forecasts over HTTP and gRPC until SIGTERM or Ctrl-C, then finish what is at work.

    It listens on this machine alone, unless --host says otherwise; then it asks for keys and TLS.
    """
    from pulsecast_serve import ServerConfig
    from pulsecast_serve import serve as run

    try:
        config = ServerConfig(
            host=host, port=port, grpc_port=grpc_port, workers=workers, keys=keys, tls_certificate=tls_cert,
            tls_key=tls_key, client_ca=client_ca, insecure=insecure, body_bytes=body_bytes, windows=windows,
            active=active, poll_s=poll, batch_wait_us=batch_wait_us, traces=traces, access_log=access_log,
            store=store, streams=streams, streams_age_days=streams_age, series_metrics=series_metrics,
            listeners=listeners,
            backend=model.backend, artifact=model.artifact, threads=model.threads,
            key=None if model.key is None else str(model.key), trust_code=model.trust_code,
        )  # fmt: skip
    except ValueError as error:
        raise UsageError(str(error)) from None
    run(
        bundles or (), models=models, config=config,
        listening=lambda address: tell(f"answering on {address}; Ctrl-C stops it"),
    )  # fmt: skip
