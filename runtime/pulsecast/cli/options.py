"""Options that several commands share: who vouches for a bundle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from ..forecaster import Forecaster, load

Key = Annotated[
    Path | None, typer.Option("--key", exists=True, dir_okay=False, help="Public key that must have signed it.")
]
TrustCode = Annotated[
    bool,
    typer.Option("--trust-code", help="Run native artifacts, which are code, of a bundle that --key does not verify."),
]


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Which artifact of a bundle forecasts, on what, and who vouches for it."""

    backend: Annotated[str, typer.Option("--backend", help="auto, numpy, onnx, tflite, savedmodel or native.")] = "auto"
    artifact: Annotated[str | None, typer.Option("--artifact", help="Artifact id of the bundle.")] = None
    key: Key = None
    trust_code: TrustCode = False
    threads: Annotated[int, typer.Option("--threads", help="Threads of one call.")] = 1

    def load(self, bundle: Path) -> Forecaster:
        """Return what `pulsecast.load` does with these options."""
        return load(bundle, **vars(self))


USUAL = ModelOptions()
