"""`pulsecast bench`: latency, memory, size and accuracy of every artifact, here or on a device over ssh."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from pulsecast.errors import NotWrittenError, UsageError
from pulsecast.foundation.arguments import shown
from pulsecast.stages.exits import FAILED

from ...terminal.options import Key, TrustCode
from ...terminal.output import Format, progress, show, tell

if TYPE_CHECKING:
    from pulsecast_bench import Benchmark, Server


class Profile(enum.StrEnum):
    """How long to measure."""

    quick = "quick"
    standard = "standard"


class Issuer(enum.StrEnum):
    """Who issues queries."""

    auto = "auto"
    loadgen = "loadgen"
    loop = "loop"


class Spoken(enum.StrEnum):
    """Protocols of servers."""

    timeseries = "timeseries"
    tensorflow = "tensorflow"
    inference = "inference"
    tensorflow_grpc = "tensorflow-grpc"
    inference_grpc = "inference-grpc"


def bench(
    bundle: Annotated[Path, typer.Argument(exists=True, help="Bundle to measure.")],
    out: Annotated[Path, typer.Option("--out", help="Result file to write (JSON, raw nanoseconds).")],
    artifact: Annotated[
        list[str] | None, typer.Option("--artifact", help="Artifact id, repeatable; all by default.")
    ] = None,
    batch: Annotated[
        list[int] | None, typer.Option("--batch", help="Windows per call, repeatable; 1, 8, 64, 256, 1024 by default.")
    ] = None,
    threads: Annotated[int | None, typer.Option("--threads", help="Threads per call; 1 by default.")] = None,
    repeats: Annotated[int | None, typer.Option("--repeats", help="Processes per case; by default 5 to 15.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Seed of the order and the inputs.")] = None,
    profile: Annotated[
        Profile, typer.Option("--profile", help="standard: for decisions; quick: a first look in under a minute.")
    ] = Profile.standard,
    peers: Annotated[
        list[str] | None,
        typer.Option("--peers", help="Alternatives without pulsecast, in the same run: names, or all."),
    ] = None,
    step_call: Annotated[
        list[str] | None,
        typer.Option(
            "--step-call",
            help="One value at a time: push, back_to_back, detector, streams (1,000), all or none. By default push and "
            "detector, and all in standard; without --artifact, of what `load` takes by itself and of native.",
        ),
    ] = None,
    scenario: Annotated[
        list[str] | None,
        typer.Option("--scenario", help="single-stream, multi-stream, server, offline, or all; repeatable."),
    ] = None,
    issuer: Annotated[
        Issuer, typer.Option("--issuer", help="Issuer of a scenario's queries; auto: LoadGen if installed.")
    ] = Issuer.auto,
    target_qps: Annotated[
        float | None,
        typer.Option("--target-qps", help="For server; by default half of each process's capacity."),
    ] = None,
    pin: Annotated[bool, typer.Option(help="Bind each process to one processor while one thread is used.")] = True,
    key: Key = None,
    trust_code: TrustCode = False,
    label: Annotated[str | None, typer.Option("--label", help="What reports call this machine, e.g. pi4.")] = None,
    host: Annotated[
        str | None, typer.Option("--host", help="Measure there, over ssh: user@device with Python, numpy, an engine.")
    ] = None,
    ssh_option: Annotated[
        list[str] | None,
        typer.Option("--ssh-option", help="Option of ssh, repeatable: Port=2222, or -Fconfig as it is."),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option("--url", help="Measure this running server too, e.g. http://127.0.0.1:8080; grpc:// for gRPC."),
    ] = None,
    protocol: Annotated[
        Spoken, typer.Option("--protocol", help="What the server at --url is asked in.")
    ] = Spoken.timeseries,
    concurrency: Annotated[
        list[str] | None, typer.Option("--concurrency", help="Connections at once; 1,8,32 by default.")
    ] = None,
    url_key: Annotated[
        Path | None, typer.Option("--url-key", help="File with the key that the server at --url asks for.")
    ] = None,
    url_ca: Annotated[
        Path | None, typer.Option("--url-ca", help="PEM file of the authority that signed that server's certificate.")
    ] = None,
    url_cert: Annotated[
        Path | None, typer.Option("--url-cert", help="PEM file: a client's certificate, if that server asks for one.")
    ] = None,
    url_cert_key: Annotated[
        Path | None, typer.Option("--url-cert-key", help="PEM file: the key of --url-cert.")
    ] = None,
    url_model: Annotated[
        str | None,
        typer.Option(
            "--url-model", help="What that server calls the bundle, NAME or NAME/VERSION; its own name by default."
        ),
    ] = None,
    python: Annotated[str, typer.Option("--python", help="Python on the device.")] = "python3",
    force: Annotated[bool, typer.Option("--force", help="Replace an existing result.")] = False,
    format_: Annotated[Format, typer.Option("--format", help="How the result is printed.")] = Format.text,
) -> None:
    """Measure every artifact on this machine, each case in processes of its own; exit 4 if any is unstable.

    With --url a running server too: exit 3 if an answer is not the bundle's forecast.
    """
    from pulsecast_bench import Device
    from pulsecast_bench import bench as run
    from pulsecast_bench.results.case import SCENARIOS, STEP_CALLS, change, find_profile
    from pulsecast_bench.subjects.peers import PEERS

    config = change(
        find_profile(profile.value),
        artifacts=tuple(artifact) if artifact else None,
        batches=tuple(batch) if batch else None,
        threads=threads,
        repeats=repeats,
        seed=seed,
        step_calls=None if step_call is None else _names(step_call, STEP_CALLS),
        peers=_names(peers, PEERS) or None,
        scenarios=_names(scenario, SCENARIOS) or None,
        issuer=issuer.value,
        target_qps=target_qps,
        pin=pin,
        protocol=protocol.value,
        concurrency=_connections(concurrency),
    )
    of_server = {
        "key": url_key, "model": url_model, "ca": url_ca, "certificate": url_cert, "certificate_key": url_cert_key,
    }  # fmt: skip
    server = _server(url, of_server, concurrency)
    device = None if host is None else Device(host=host, python=python, options=tuple(ssh_option or ()))
    try:
        with progress() as heard:
            found = run(
                bundle,
                out=out,
                config=config,
                key=key,
                trust_code=trust_code,
                label=label,
                device=device,
                server=server,
                force=force,
                progress=heard,
            )
    except NotWrittenError as error:  # the measurement survives a failed write
        tell(f"error[{error.code}]: {error}")
        show(format_, text=repr(error.result), document=bench_document(cast("Benchmark", error.result)))
        raise typer.Exit(FAILED) from error
    next_step = f"raw nanoseconds in {out}; next: pulsecast report {out} --out REPORT.md"
    show(format_, text=f"{found!r}\n\n{next_step}", document=bench_document(found))
    code = verdict(found)
    if code:
        raise typer.Exit(code)


def _connections(given: list[str] | None) -> tuple[int, ...] | None:
    """Return the numbers in repeated options, which may hold commas; raises UsageError.

    >>> _connections(["1,8", "32"])
    (1, 8, 32)
    """
    if given is None:
        return None
    words = [word.strip() for text in given for word in text.split(",")]
    if wrong := [word for word in words if not (word.isascii() and word.isdigit() and len(word) < 6)]:
        raise UsageError(f"--concurrency has {shown(wrong[0])}; expected numbers of connections, such as 1,8,32")
    return tuple(map(int, words))


# option of `Server` -> how the command calls it
_SERVER_OPTIONS = {
    "key": "--url-key", "model": "--url-model", "ca": "--url-ca", "certificate": "--url-cert",
    "certificate_key": "--url-cert-key",
}  # fmt: skip


def _server(url: str | None, options: Mapping[str, Path | str | None], more: list[str] | None) -> Server | None:
    """Return the server to measure, by the options of `Server`; `more` is what else has a meaning with one alone.

    Raises UsageError if they stand without its address.
    """
    if url is None:
        given = {**{_SERVER_OPTIONS[name]: value for name, value in options.items()}, "--concurrency": more}
        if alone := [option for option, value in given.items() if value is not None]:
            raise UsageError(f"{', '.join(alone)} without a server: pass --url http://HOST:PORT as well")
        return None
    from pulsecast_bench import Server

    return Server(url=url, **{name: None if value is None else str(value) for name, value in options.items()})


def _names(given: list[str] | None, known: Iterable[str]) -> tuple[str, ...]:
    """Return the names in repeated options, which may hold commas; `all` is every known one, `none` is not a name.

    >>> _names(["b,a", "a"], "ab"), _names(["all"], "ab"), _names(["none"], "ab")
    (('b', 'a'), ('a', 'b'), ())
    """
    names = [name.strip() for text in given or () for name in text.split(",") if name.strip() not in ("", "none")]
    return tuple(known) if "all" in names else tuple(dict.fromkeys(names))


def verdict(found: Benchmark) -> int:
    """Return the exit code; print why if it is not 0."""
    from pulsecast_bench.analysis.outcome import judge

    code, sentence = judge(found.summary)
    if sentence:
        tell(sentence)
    return code


def bench_document(found: Benchmark) -> dict[str, Any]:
    """Return the JSON document of a benchmark: statistics; the raw nanoseconds are in the result file."""
    return {"command": "bench", "stable": not found.summary.unstable, "summary": found.summary}
