"""`pulsecast demo`: all stages, from a generated log to the table, in a minute or two."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pulsecast import verify as verify_bundle
from pulsecast.bundle.folder import BUNDLE_FOLDER
from pulsecast.errors import UsageError
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

LOG, MODEL, BUNDLE, RESULT, REPORT = "engagement.csv", "model", "bundle", "result.json", "report.md"


def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for log, model, bundle, result, report.")] = Path("demo"),
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the generated log and of training.")] = 7,
    days: Annotated[int, typer.Option("--days", min=28, help="Length of the generated log.")] = 60,
    recipe: Annotated[str, typer.Option("--recipe", help="recommended or textbook.")] = "recommended",
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier demo.")] = False,
    dry_run: DryRun = False,
    format_: Annotated[Format, typer.Option("--format", help="How the table is printed.")] = Format.text,
) -> None:
    """Generate a messy engagement log, train, export every target, verify, and measure each backend here."""
    from pulsecast_bench import bench, report

    _check_folder(out, force=force)
    if dry_run:
        tell_fate(out, command="demo", format_=format_)
        return
    out.mkdir(parents=True, exist_ok=True)
    bundle = _make_bundle(out, recipe=recipe, seed=seed, days=days, force=force)
    tell("4/4 measuring, each case in a process of its own")
    with progress() as heard:
        found = bench(bundle, out=out / RESULT, config="quick", force=force, progress=heard)
    report(found, out=out / REPORT, force=force)
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
        export(out / MODEL, out=out / BUNDLE, force=force, progress=heard)
    reports = verify_bundle(out / BUNDLE)
    require_passed(reports)
    tell(f"verified {sum(not r.skipped for r in reports)} artifacts, {sum(len(r.checks) for r in reports)} checks")
    return out / BUNDLE


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
    own = {LOG, MODEL, f"{MODEL}.training", BUNDLE, RESULT, REPORT}
    others = sorted(path.name for path in out.iterdir() if path.name not in own)
    if (out / LOG).exists():
        with (out / LOG).open("rb") as log:
            if log.readline(200).strip() not in (b"", ",".join(COLUMNS).encode()):
                others.insert(0, LOG)
    if others:
        raise UsageError(f"{out} holds what a demo does not write: {few(others)}; choose another folder with --out")


def _next(out: Path) -> str:
    return (
        f"in {out}: {LOG}, {MODEL}/, {BUNDLE}/, {RESULT} (raw nanoseconds), {REPORT}\n"
        f"next: pulsecast inspect {out / BUNDLE}, or pulsecast train LOG --out MODEL with a log of your own"
    )
