"""`pulsecast bench`: latency, memory, size and accuracy of every artifact, here or on a device over ssh."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from pulsecast.errors import NotWrittenError
from pulsecast.stages.exits import FAILED

from ...terminal.options import Key, TrustCode
from ...terminal.output import Format, progress, show, tell

if TYPE_CHECKING:
    from pulsecast_bench import Benchmark


class Profile(enum.StrEnum):
    """How long to measure."""

    quick = "quick"
    standard = "standard"


class Issuer(enum.StrEnum):
    """Who issues queries."""

    auto = "auto"
    loadgen = "loadgen"
    loop = "loop"


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
    python: Annotated[str, typer.Option("--python", help="Python on the device.")] = "python3",
    force: Annotated[bool, typer.Option("--force", help="Replace an existing result.")] = False,
    format_: Annotated[Format, typer.Option("--format", help="How the result is printed.")] = Format.text,
) -> None:
    """Measure every artifact on this machine, each case in processes of its own; exit 4 if any is unstable."""
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
    )
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
                force=force,
                progress=heard,
            )
    except NotWrittenError as error:  # the measurement survives a failed write
        tell(f"error: {error}")
        show(format_, text=repr(error.result), document=bench_document(cast("Benchmark", error.result)))
        raise typer.Exit(FAILED) from error
    next_step = f"raw nanoseconds in {out}; next: pulsecast report {out} --out REPORT.md"
    show(format_, text=f"{found!r}\n\n{next_step}", document=bench_document(found))
    code = verdict(found)
    if code:
        raise typer.Exit(code)


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
