"""`pulsecast demo`: all stages, from a generated log to the table, in a minute or two."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pulsecast import verify as verify_bundle
from pulsecast.bundle.folder import BUNDLE_FOLDER
from pulsecast.errors import MissingExtraError, UsageError
from pulsecast.forecasting.verification import require_passed
from pulsecast.foundation.arguments import with_changes
from pulsecast.foundation.folder_kind import few
from pulsecast.foundation.staging import sweep
from pulsecast.foundation.whole_directory import check_free
from pulsecast.stages.exits import UNSTABLE
from pulsecast.stages.model_directory import MODEL_FOLDER

from ...terminal.dry_run import DryRun, tell_fate
from ...terminal.output import Format, progress, show, tell
from ..benchmarks.bench import bench_document, verdict

LOG, MODEL, BUNDLE, RESULT, REPORT = "engagement.csv", "model", "bundle", "result.json", "report.html"
PICTURE, PAGE = "forecast.png", "forecast.html"
WRITTEN = (LOG, MODEL, f"{MODEL}.training", BUNDLE, RESULT, REPORT, PICTURE, PAGE, "report.md")  # the last one by 0.1


def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for log, model, bundle, result, report.")] = Path("demo"),
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the generated log and of training.")] = 7,
    days: Annotated[int, typer.Option("--days", min=28, help="Length of the generated log.")] = 60,
    recipe: Annotated[str, typer.Option("--recipe", help="recommended or textbook.")] = "recommended",
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier demo.")] = False,
    dry_run: DryRun = False,
    format_: Annotated[Format, typer.Option("--format", help="How the table is printed.")] = Format.text,
) -> None:
    """Generate a messy engagement log, train, export every target, verify, and measure each backend here.

    It ends in a page with the measurements and one with the forecast. The native targets, which are compiled here, are
    part of it where there is a C compiler.
    """
    from pulsecast_bench import bench, report

    _check_folder(out, force=force)
    if dry_run:
        tell_fate(out, command="demo", format_=format_)
        return
    out.mkdir(parents=True, exist_ok=True)
    bundle = _make_bundle(out, recipe=recipe, seed=seed, days=days, force=force)
    tell("4/4 measuring, each case in a process of its own")
    with progress() as heard:
        found = bench(bundle, out=out / RESULT, config="quick", trust_code=True, force=force, progress=heard)
    report(found, out=out / REPORT, force=force)
    _draw_forecast(out, force=force)
    show(format_, text=f"{found!r}\n\n{_next(out)}", document=bench_document(found))
    code = verdict(found)
    if code not in (0, UNSTABLE):  # a noisy machine is reported, but a demo does not fail for it
        raise typer.Exit(code)


def _make_bundle(out: Path, *, recipe: str, seed: int, days: int, force: bool) -> Path:
    """Generate, train, export and verify; return the bundle's path."""
    from pulsecast_export import export
    from pulsecast_train import TrainConfig, generate_log, train
    from pulsecast_train.logs.generator import GENERATED_LOG

    tell(f"1/4 generating {days} days of engagement events, with the faults of real logs")
    generate_log(out / LOG, seed=seed, days=days)
    tell("2/4 training")
    training = with_changes(TrainConfig(), {"recipe": recipe, "seed": seed})
    with progress() as heard:
        train(
            out / LOG,
            out=out / MODEL,
            log=GENERATED_LOG,
            training=training,
            force=force,
            restart=force,
            progress=heard,
        )
    tell("3/4 exporting every target, and verifying each")
    with progress() as heard:
        export(out / MODEL, out=out / BUNDLE, targets=_targets(), force=force, progress=heard)
    reports = verify_bundle(out / BUNDLE, trust_code=True)  # the code was made here
    require_passed(reports)
    tell(f"verified {sum(not r.skipped for r in reports)} artifacts, {sum(len(r.checks) for r in reports)} checks")
    return out / BUNDLE


def _targets() -> tuple[str, ...]:
    """Return all targets that run here: the native ones too, where they can be compiled."""
    from pulsecast.backends.native_library import find_compiler
    from pulsecast_export import TARGETS

    try:
        find_compiler()
    except MissingExtraError:
        tell("skipped: native, native-w8: there is no C compiler; install gcc or clang to see them")
        return tuple(name for name, target in TARGETS.items() if not target.asked)
    return tuple(TARGETS)


def _draw_forecast(out: Path, *, force: bool) -> None:
    """Draw what comes after the log, as a picture and as a page, by the bundle's fastest engine."""
    from pulsecast import load
    from pulsecast_train import read_as_trained
    from pulsecast_train.pages.forecast_page import outlook, write_outlooks
    from pulsecast_train.predicting.after_log import Wanted, forecast_series

    model = load(out / BUNDLE)
    (series,), _ = read_as_trained([out / LOG], model.manifest)
    found = forecast_series(model, series, None, Wanted(level=model.manifest.level))
    shown = [outlook(found, series, model.manifest, zone="UTC", level=model.manifest.level)]
    for name in (PICTURE, PAGE):
        write_outlooks(out / name, shown, force=force)


def _check_folder(out: Path, *, force: bool) -> None:
    """Raise UsageError if the demo cannot be written to `out`: now, not after minutes of work."""
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file; choose another folder with --out")
    if out.exists() and any(out.iterdir()):
        if not force:
            raise UsageError(f"{out} is not empty; pass --force to replace an earlier demo, or choose another --out")
        _check_earlier_demo(out)
    if out.exists():
        check_free(out / MODEL, MODEL_FOLDER, force=force)
        check_free(out / BUNDLE, BUNDLE_FOLDER, force=force)


def _check_earlier_demo(out: Path) -> None:
    """Raise UsageError if `out` holds what a demo does not write; its model and bundle are checked by themselves."""
    from pulsecast_train.logs.generator import COLUMNS

    sweep(out)
    others = sorted(path.name for path in out.iterdir() if path.name not in WRITTEN)
    if (out / LOG).exists():
        with (out / LOG).open("rb") as log:
            if log.readline(200).strip() not in (b"", ",".join(COLUMNS).encode()):
                others.insert(0, LOG)
    if others:
        raise UsageError(f"{out} holds what a demo does not write: {few(others)}; choose another folder with --out")


def _next(out: Path) -> str:
    return (
        f"in {out}: {LOG}, {MODEL}/, {BUNDLE}/, {RESULT} (raw nanoseconds), {PICTURE}\n"
        f"open in a browser: {out / REPORT} (the measurements), {out / PAGE} (what comes after the log)\n"
        f"next: pulsecast inspect {out / BUNDLE}, or pulsecast train LOG --out MODEL with a log of your own"
    )
