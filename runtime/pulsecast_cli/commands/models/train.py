"""`pulsecast train`: logs to a model directory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...logs.options import UNSAID, LogOptions, Logs, UserKey, secret
from ...logs.reading import configured, reading
from ...logs.train_options import AS_THE_RECIPE_SAYS, TrainOptions
from ...terminal.grouped import grouped
from ...terminal.output import Format, progress, show, table, tell

if TYPE_CHECKING:
    from pulsecast.bundle.manifest import HeldOut
    from pulsecast.stages.model_directory import ModelRecord
    from pulsecast_train.recipes.train_config import RunConfig


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
    force: Annotated[bool, typer.Option("--force", help="Replace a model directory that is there.")] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Discard the progress of a killed run.")] = False,
    format_: Annotated[Format, typer.Option("--format", help="How the result is printed.")] = Format.text,
) -> None:
    """Train on engagement logs and write a model directory; a killed run goes on where it stopped."""
    run = configured(config, log, training.changes())
    found = run_training(logs, run, out, force=force, restart=restart, user_key=secret(user_key))
    if isinstance(found, tuple):
        show_pool(found, out, format_)
        return
    show(format_, text=f"{_text(found.heldout)}\nnext: pulsecast export {out} --out BUNDLE", document=_document(found))


def run_training(
    logs: list[Path], run: RunConfig, out: Path, *, force: bool, restart: bool, user_key: bytes | None = None
) -> ModelRecord | tuple[ModelRecord, ...]:
    """Train with progress on stderr; return the model's record, or those of a pool, in whose folder `out` they are."""
    from pulsecast_train.run import Listener, train_logs

    with reading() as on_bytes, progress("epoch") as steps:
        listener = Listener(
            tell=tell,
            on_epoch=lambda epoch, total: steps.advance(_losses(epoch), total),
            on_bytes=on_bytes,
            user_key=user_key,
        )
        return train_logs(logs, run, out, force=force, restart=restart, listener=listener)


def show_pool(found: tuple[ModelRecord, ...], out: Path, format_: Format) -> None:
    """Print every model's errors."""
    parts = [f"{record.name}\n{_text(record.heldout)}" for record in found]
    text = "\n\n".join([*parts, f"next: pulsecast export {out}/{found[0].name} --out BUNDLE"])
    show(format_, text=text, document={"command": "train", "models": [_document(record) for record in found]})


def _losses(epoch: Any) -> str:
    validation = "" if epoch.validation_loss is None else f", validation {epoch.validation_loss:.3g}"
    return f"loss {epoch.loss:.3g}{validation}"


def _text(heldout: HeldOut) -> str:
    naive = heldout.forecasts.get("last_value")
    rows = [
        (
            name.replace("_", " "),
            f"{found.mae:,.4g}",
            f"{found.rmse:,.4g}",
            f"{found.bias:+,.3g}",
            f"{found.mae / naive.mae:.3f}" if naive and naive.mae > 0 else "-",
        )
        for name, found in heldout.forecasts.items()
    ]
    head = ("forecast", "MAE", "RMSE", "bias", "MAE / last value")
    return f"{table(head, rows)}\n{heldout.windows:,} held-out windows, raw units; {_verdict(heldout)}"


def _verdict(heldout: HeldOut) -> str:
    model = heldout.forecasts["model"]
    better = [name for name, found in heldout.forecasts.items() if name != "model" and found.mae <= model.mae]
    if better:
        return f"the model does NOT beat {', '.join(name.replace('_', ' ') for name in better)} by MAE"
    return "the model beats every naive forecast by MAE (one split: a quick check)"


def _document(record: ModelRecord) -> dict[str, Any]:
    return {"command": "train", "name": record.name, "recipe": record.recipe, "heldout": record.heldout}
