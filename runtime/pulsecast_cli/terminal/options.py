"""Options that several commands share: the trust in a bundle, and groups under one heading of the help."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from pulsecast.forecasting.forecaster import Forecaster, load

Key = Annotated[
    Path | None, typer.Option("--key", exists=True, dir_okay=False, help="Public key that must have signed it.")
]
TrustCode = Annotated[
    bool,
    typer.Option("--trust-code", help="Run native artifacts, which are code, of a bundle that --key does not verify."),
]


def under(heading: str) -> Callable[..., Any]:
    """Return the function that makes an option of a flag and its help, shown under `heading`."""

    def option(flag: str, what: str | None = None) -> Any:
        return typer.Option(flag, help=what, rich_help_panel=heading)

    return option


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Which artifact of a bundle forecasts, on what, and why its code is trusted."""

    backend: Annotated[str, typer.Option("--backend", help="auto, numpy, onnx, tflite, savedmodel or native.")] = "auto"
    artifact: Annotated[str | None, typer.Option("--artifact", help="Artifact id of the bundle.")] = None
    key: Key = None
    trust_code: TrustCode = False
    threads: Annotated[int, typer.Option("--threads", help="Threads of one call.")] = 1

    def load(self, bundle: Path) -> Forecaster:
        """Return the forecaster that `pulsecast.load` gives for these options."""
        return load(bundle, **vars(self))


USUAL = ModelOptions()
