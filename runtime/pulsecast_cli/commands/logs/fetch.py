"""`pulsecast fetch`: records of an HTTP API to a log that `train` and `predict` read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from pulsecast.errors import UsageError

from ...terminal.output import Format, progress, show


def fetch(
    url: Annotated[str, typer.Argument(help="Address that answers in pages of JSON.")],
    out: Annotated[Path, typer.Option("--out", help="NDJSON log to write.")],
    records: Annotated[
        str, typer.Option("--records", help="Path of the list of objects in a page, dotted; . is the whole page.")
    ] = "data",
    following: Annotated[
        str | None,
        typer.Option("--next", help="Path of the next page's cursor or address: meta.next_token."),
    ] = None,
    parameter: Annotated[
        str, typer.Option("--next-parameter", help="Query parameter that takes the cursor.")
    ] = "cursor",
    field: Annotated[
        list[str] | None, typer.Option("--field", help="Keep only this field (dotted path), repeatable.")
    ] = None,
    token_env: Annotated[
        str | None, typer.Option("--token-env", help="Environment variable with the token to send.")
    ] = None,
    attempts: Annotated[int, typer.Option("--attempts", help="Tries per page.")] = 8,
    timeout: Annotated[float, typer.Option("--timeout", help="Longest silence in seconds.")] = 30.0,
    max_pages: Annotated[int, typer.Option("--max-pages", help="Most pages of the log.")] = 100_000,
    max_bytes: Annotated[int, typer.Option("--max-bytes", help="Most bytes of the log.")] = 10_000_000_000,
    max_seconds: Annotated[
        float, typer.Option("--max-seconds", help="Longest time of this run; the next one continues.")
    ] = 86_400.0,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing log.")] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Discard the progress of a broken run.")] = False,
    format_: Annotated[Format, typer.Option("--format", help="How the result is printed.")] = Format.text,
) -> None:
    """Fetch a log from an HTTP API, with retries; a broken run continues where it stopped.

    A page is an object with a list of objects and, unless it is the last, the cursor of the next:
    {"data": [{"created_at": "...", "id": "17", "likes": 3}], "meta": {"next_token": "b26v"}}
    """
    from pulsecast_train import fetch as run
    from pulsecast_train.fetching.fetch import forget_progress
    from pulsecast_train.fetching.http_source import HttpQuery, HttpSource
    from pulsecast_train.fetching.limits import FetchLimits
    from pulsecast_train.fetching.retrying import RetryPolicy

    if out.suffix not in (".ndjson", ".jsonl"):
        raise UsageError(f"--out is {out.name}; expected a name that ends in .ndjson or .jsonl")
    limits = FetchLimits(pages=max_pages, size_bytes=max_bytes, seconds=max_seconds)
    query = HttpQuery(
        url=url, records=records, following=following, parameter=parameter, token=_token(token_env), timeout_s=timeout
    )
    try:
        policy = RetryPolicy(attempts=attempts)
    except ValueError as error:
        raise UsageError(str(error)) from error
    if restart:
        forget_progress(out)
    with progress() as heard:
        source = HttpSource(query=query, policy=policy, progress=heard)
        state = run(source, out, fields=tuple(field or ()), force=force, limits=limits, progress=heard)
    document = {"command": "fetch", "records": state.records, "pages": state.pages, "bytes": state.size_bytes}
    show(format_, text=f"{state.records:,} records in {state.pages} pages: {out}", document=document)


def _token(variable: str | None) -> str | None:
    if variable is None:
        return None
    token = os.environ.get(variable, "").strip()
    if not token:
        raise UsageError(f"--token-env names {variable}, which is not set or empty; export the token under that name")
    return token
