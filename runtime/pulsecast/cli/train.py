"""`pulsecast train`: logs to a model directory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import log_options as log
from .output import Format, progress, show, table, tell

if TYPE_CHECKING:
    from pulsecast_train.train_config import RunConfig

    from ..manifest import HeldOut
    from ..model_directory import ModelRecord

PANEL = "Training"


def train(
    logs: log.Logs,
    out: Annotated[Path, typer.Option("--out", help="Model directory to write.")],
    config: Annotated[
        Path | None,
        typer.Option("--config", exists=True, dir_okay=False, help="TOML with [log] and [train]; flags win."),
    ] = None,
    recipe: Annotated[
        str | None, typer.Option("--recipe", help="recommended (default) or textbook.", rich_help_panel=PANEL)
    ] = None,
    window: Annotated[
        int | None, typer.Option("--window", help="Steps the network sees.", rich_help_panel=PANEL)
    ] = None,
    units: Annotated[
        str | None, typer.Option("--units", help="LSTM units per layer, such as 50,50, or tiny.", rich_help_panel=PANEL)
    ] = None,
    horizon: Annotated[int | None, typer.Option("--horizon", help="Steps forecast.", rich_help_panel=PANEL)] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", help="At most so many.", rich_help_panel=PANEL)] = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", rich_help_panel=PANEL)] = None,
    learning_rate: Annotated[float | None, typer.Option("--learning-rate", rich_help_panel=PANEL)] = None,
    loss: Annotated[str | None, typer.Option("--loss", help="A Keras loss.", rich_help_panel=PANEL)] = None,
    dropout: Annotated[
        float | None, typer.Option("--dropout", help="Fraction dropped after each layer.", rich_help_panel=PANEL)
    ] = None,
    heldout_fraction: Annotated[
        float | None, typer.Option("--heldout-fraction", help="Last part, never trained on.", rich_help_panel=PANEL)
    ] = None,
    validation_fraction: Annotated[
        float | None,
        typer.Option("--validation-fraction", help="Last part of training, for early stopping.", rich_help_panel=PANEL),
    ] = None,
    patience: Annotated[
        int | None, typer.Option("--patience", help="Epochs without progress before stopping.", rich_help_panel=PANEL)
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", rich_help_panel=PANEL)] = None,
    column: log.Columns = None,
    time: log.Time = None,
    metric: log.Metrics = None,
    part: log.Parts = None,
    series_column: log.SeriesColumn = None,
    id_: log.Identity = None,
    user: log.User = None,
    user_cap: log.UserCap = None,
    events: log.Events = None,
    kind: log.Kind = None,
    allow_reset: log.AllowReset = None,
    maturity: log.Maturity = None,
    step: log.Step = None,
    timezone: log.Timezone = None,
    repeated_hour: log.RepeatedHour = None,
    time_format: log.TimeFormat = None,
    missing: log.Missing = None,
    on_conflict: log.OnConflict = None,
    max_gap: log.MaxGap = None,
    pool: Annotated[
        bool | None,
        typer.Option(
            "--pool/--no-pool",
            help="Several series: one network, each scaled by itself, in OUT/SERIES; or one scaler for all, in OUT.",
            rich_help_panel=PANEL,
        ),
    ] = None,
    user_key: log.UserKey = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a model directory that is there.")] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Discard the progress of a killed run.")] = False,
    format_: Annotated[Format, typer.Option("--format", help="How the result is printed.")] = Format.text,
) -> None:
    """Train on engagement logs and write a model directory; a killed run goes on where it stopped."""
    from pulsecast_train.train_config import RunConfig, parse_units, read_config, with_changes

    run = read_config(config) if config else RunConfig()
    reading = log.given(
        columns=log.columns(column), time=time, metrics=metric, parts=part, series=series_column, id=id_, user=user,
        user_cap=user_cap, events=events, kind=kind, allow_reset=allow_reset, maturity=maturity, step=step,
        timezone=timezone, repeated_hour=repeated_hour, time_format=time_format, missing=missing,
        on_conflict=on_conflict, max_gap=max_gap,
    )  # fmt: skip
    training = log.given(
        recipe=recipe, window=window, units=parse_units(units) if units else None, horizon=horizon,
        epochs=epochs, batch_size=batch_size,
        learning_rate=learning_rate, loss=loss, dropout=dropout, heldout_fraction=heldout_fraction,
        validation_fraction=validation_fraction, patience=patience, seed=seed, pool=pool,
    )  # fmt: skip
    run = RunConfig(log=with_changes(run.log, reading), train=with_changes(run.train, training))
    found = run_training(logs, run, out, force=force, restart=restart, user_key=log.secret(user_key))
    if isinstance(found, tuple):
        show_pool(found, out, format_)
        return
    show(format_, text=f"{_text(found.heldout)}\nnext: pulsecast export {out} --out BUNDLE", document=_document(found))


def run_training(
    logs: list[Path], run: RunConfig, out: Path, *, force: bool, restart: bool, user_key: bytes | None = None
) -> ModelRecord | tuple[ModelRecord, ...]:
    """Train with progress on stderr; return the model's record, or those of a pool, in whose folder `out` they are."""
    from pulsecast_train.model_writer import Listener, train_logs

    with log.reading() as on_bytes, progress("epoch") as steps:
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
