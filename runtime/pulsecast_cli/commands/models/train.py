"""`pulsecast train`: logs to a model directory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ...logs.options import UNSAID, LogOptions, Logs, UserKey, Yes, secret
from ...logs.reading import configured
from ...logs.train_options import AS_THE_RECIPE_SAYS, TrainOptions
from ...terminal.dry_run import DryRun, tell_fate
from ...terminal.grouped import grouped
from ...terminal.output import Format, progress, show


@grouped
def train(
    logs: Logs,
    out: Annotated[Path, typer.Option("--out", help="Model directory to write.")],
    config: Annotated[
        Path | None,
        typer.Option("--config", exists=True, dir_okay=False, help="TOML with [log] and [train]; flags win."),
    ] = None,
    training: TrainOptions = AS_THE_RECIPE_SAYS,
    log: LogOptions = UNSAID,
    user_key: UserKey = None,
    yes: Yes = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing model directory.")] = False,
    dry_run: DryRun = False,
    restart: Annotated[bool, typer.Option("--restart", help="Discard the progress of a killed run.")] = False,
    format_: Annotated[Format, typer.Option("--format", help="How the result is printed.")] = Format.text,
) -> None:
    """Train on engagement logs and write a model directory; a killed run continues where it stopped.

    Several series are one model: with --pool each has a scale of its own in its table of series.
    """
    from pulsecast_train import train as run
    from pulsecast_train.run import check_run

    chosen = configured(config, log, training.changes())
    if dry_run:
        check_run(out, chosen.train, force=force)
        tell_fate(out, command="train", format_=format_)
        return
    with progress() as heard:
        found = run(
            logs,
            out=out,
            log=chosen.log,
            training=chosen.train,
            force=force,
            restart=restart,
            user_key=secret(user_key),
            yes=yes,
            progress=heard,
        )
    record, by_series = found.record, {"series": found.by_series} if found.by_series else {}
    document = {"command": "train", "name": record.name, "recipe": record.recipe, "heldout": record.heldout}
    next_step = f"next: pulsecast export {out} --out BUNDLE"
    show(format_, text=f"{found!r}\n{next_step}", document=document | by_series)
