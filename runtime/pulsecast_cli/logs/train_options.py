"""The options of training, under the names of `TrainConfig`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from ..terminal.options import under
from .options import given

_option = under("Training")


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """The options of training; None means the recipe's value or the default."""

    recipe: Annotated[str | None, _option("--recipe", "recommended (default) or textbook.")] = None
    window: Annotated[int | None, _option("--window", "Steps the network sees.")] = None
    units: Annotated[str | None, _option("--units", "LSTM units per layer, such as 50,50, or tiny.")] = None
    horizon: Annotated[int | None, _option("--horizon", "Steps forecast.")] = None
    epochs: Annotated[int | None, _option("--epochs", "Most epochs.")] = None
    batch_size: Annotated[int | None, _option("--batch-size")] = None
    learning_rate: Annotated[float | None, _option("--learning-rate")] = None
    loss: Annotated[str | None, _option("--loss", "A Keras loss.")] = None
    dropout: Annotated[float | None, _option("--dropout", "Fraction dropped after each layer.")] = None
    heldout_fraction: Annotated[float | None, _option("--heldout-fraction", "Last part, never trained on.")] = None
    validation_fraction: Annotated[
        float | None, _option("--validation-fraction", "Last part of training, for early stopping.")
    ] = None
    patience: Annotated[int | None, _option("--patience", "Epochs without progress before stopping.")] = None
    seed: Annotated[int | None, _option("--seed")] = None
    devices: Annotated[int | None, _option("--devices", "GPUs of this machine that share every batch.")] = None
    holidays: Annotated[
        list[str] | None, _option("--holidays", "Tell the network the holidays of US, DE-BY, ...; repeatable.")
    ] = None
    holiday_zone: Annotated[str | None, _option("--holiday-zone", "Time zone in which a holiday begins; UTC.")] = None
    pool: Annotated[
        bool | None,
        _option(
            "--pool/--no-pool",
            "Several series: one network and a scale for each by name, or one scale for all.",
        ),
    ] = None

    linear: Annotated[
        bool | None, _option("--linear/--no-linear", "A linear path beside the network, or the network alone.")
    ] = None

    def changes(self) -> dict[str, Any]:
        """Return the given options as values of `TrainConfig`; raises UsageError for wrong units."""
        from pulsecast_train.recipes.train_config import parse_units

        return given(**{**vars(self), "units": parse_units(self.units) if self.units else None})


AS_THE_RECIPE_SAYS = TrainOptions()
