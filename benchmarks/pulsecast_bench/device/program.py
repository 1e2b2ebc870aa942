"""The command line of a packed benchmark: `bench` for a device that has numpy and an engine, but no typer or rich."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pulsecast.backends import BACKENDS, check_known, is_installed
from pulsecast.bundle.bundle import Bundle
from pulsecast.errors import MissingExtraError, PulsecastError, UsageError
from pulsecast.foundation import strict_json
from pulsecast.foundation.whole_file import check_file_free
from pulsecast.stages.exits import FAILED, exit_code
from pulsecast.stages.progress import LineProgress

from ..analysis.outcome import judge

if TYPE_CHECKING:
    from ..results.case import BenchConfig
    from ..results.result import Result

STDOUT = Path("-")


def main(arguments: Sequence[str], *, bundle: Path, program: str) -> int:
    """Measure `bundle` by the arguments, write the result and return the exit code."""
    options = _parser(program).parse_args(arguments)
    if options.while_stdin_is_open:
        threading.Thread(target=_interrupt_at_end_of_stdin, daemon=True).start()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        return _bench(bundle, options)
    except PulsecastError as error:
        _tell(f"error: {error}")
        return exit_code(error)


def _bench(path: Path, options: argparse.Namespace) -> int:
    from ..analysis.summary import summarise
    from ..measuring.runner import run_benchmark
    from ..reporting.table import text_table
    from ..results.result import check_label
    from ..subjects.subject import Trust

    out: Path = options.out
    if out != STDOUT:
        check_file_free(out, force=options.force)
    label = check_label(options.label)
    config = _config(options)
    bundle = Bundle.open(path)
    config = replace(config, artifacts=_artifacts(bundle, config.artifacts, options.backend))
    _name_engines(bundle, config.artifacts)
    result = replace(run_benchmark(path, config, EveryStep(), Trust(code=options.trust_code)), label=label)
    summary = summarise(result)
    written = _write(result, out, force=options.force)
    if out != STDOUT:
        print(text_table(summary))
        if written:
            print(f"\nraw nanoseconds in {out}; next, where pulsecast is: pulsecast report {out.name}")
    code, sentence = judge(summary)
    if sentence:
        _tell(sentence)
    return code if written else FAILED


class EveryStep(LineProgress):
    """Prints a line for every process; the program that started this one over ssh counts the lines."""

    def advance(self, what: str, done: int, total: int, note: str = "") -> None:
        self.tell(f"{what} {done}/{total} {note}")


def _parser(program: str) -> argparse.ArgumentParser:
    from ..results.case import PROFILES, STEP_CALLS

    parser = argparse.ArgumentParser(
        prog=program,
        description="Measure every artifact of the packed bundle on this machine; exit 4 if a measurement is unstable.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--out", type=Path, required=True, help="result file to write (JSON, raw nanoseconds); - for stdout")
    add("--profile", choices=tuple(PROFILES), help="standard (default): for decisions; quick: a first look")
    add("--artifact", action="append", help="artifact id, repeatable; all by default")
    add("--backend", action="append", help="only artifacts of this backend, repeatable")
    add("--batch", action="append", type=int, help="windows per call, repeatable")
    add("--threads", type=int, help="threads per call; 1 by default")
    add("--repeats", type=int, help="processes per case")
    add("--step-call", action="append", choices=(*STEP_CALLS, "none"), help="call of a stream to measure, repeatable")
    add("--seed", type=int, help="seed of the order and the inputs")
    add("--label", help="what reports call this machine, e.g. pi4")
    add("--trust-code", action="store_true", help="run native artifacts, which are code that came with the bundle")
    add("--force", action="store_true", help="replace an existing result")
    add("--config", help="all settings at once, as JSON: the value of `config` in a result file")
    add("--while-stdin-is-open", action="store_true", help="end when stdin ends: for a run over ssh")
    return parser


def _config(options: argparse.Namespace) -> BenchConfig:
    from ..results.case import BenchConfig, change, find_profile

    if options.config is not None and options.profile is not None:
        raise UsageError("--config includes the profile; pass one of the two")
    if options.config is not None:
        config = strict_json.loads(BenchConfig, options.config.encode(), where="--config")
    else:
        config = find_profile(options.profile or "standard")
    return change(
        config,
        artifacts=tuple(options.artifact) if options.artifact else None,
        batches=tuple(options.batch) if options.batch else None,
        threads=options.threads,
        repeats=options.repeats,
        seed=options.seed,
        step_calls=None if options.step_call is None else tuple(one for one in options.step_call if one != "none"),
    )


def _artifacts(bundle: Bundle, ids: tuple[str, ...], backends: list[str] | None) -> tuple[str, ...]:
    """Return the ids to measure; raises UsageError if no artifact remains, MissingExtraError if no engine remains."""
    if not backends:
        return ids
    for backend in backends:
        check_known(backend)
    named = [bundle.manifest.artifact(name) for name in ids] or list(bundle.manifest.artifacts)
    chosen = [artifact for artifact in named if artifact.backend in backends]
    if not chosen:
        known = ", ".join(sorted({artifact.backend for artifact in named}))
        raise UsageError(
            f"no requested artifact is for backend {', '.join(backends)}; the requested ones are for {known}"
        )
    if not any(is_installed(artifact.backend) for artifact in chosen):
        missing = sorted({artifact.backend for artifact in chosen})
        raise MissingExtraError(f"no engine is installed here for backend {', '.join(backends)}: {_install(missing)}")
    return tuple(artifact.id for artifact in chosen)


def _name_engines(bundle: Bundle, ids: tuple[str, ...]) -> None:
    """Tell the user which engines are missing, before anything is measured; raise if all are missing and needed."""
    chosen = [artifact for artifact in bundle.manifest.artifacts if not ids or artifact.id in ids]
    needed = list(dict.fromkeys(a.backend for a in chosen if BACKENDS[a.backend].package))
    missing = [backend for backend in needed if not is_installed(backend)]
    for backend in missing:
        _tell(f"skipped: backend {backend}; its engine is not installed here: {_install([backend])}")
    if needed and len(missing) == len(needed):
        if all(artifact.backend in missing for artifact in chosen):
            raise MissingExtraError(f"no engine is installed here: {_install(missing)}")
        _tell("no engine is installed here: only pulsecast's own code on numpy is measured")


def _install(backends: Sequence[str]) -> str:
    """Return the command that installs the engines of `backends` without pulsecast: by their own names."""
    return "pip install " + " or ".join(f"{BACKENDS[backend].package}".replace("_", "-") for backend in backends)


def _write(result: Result, out: Path, *, force: bool) -> bool:
    """Write the result; if that fails, report it and return False: the table is still worth printing."""
    from ..results.result import write_result

    if out == STDOUT:
        print(strict_json.dumps(result), end="", flush=True)
        return True
    try:
        write_result(result, out, force=force)
    except PulsecastError as error:
        _tell(f"error: {error}")
        return False
    return True


def _interrupt_at_end_of_stdin() -> None:
    """Interrupt this program when stdin ends: the connection, or the program at its other end, is gone."""
    while os.read(sys.stdin.fileno(), 1024):
        pass
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
