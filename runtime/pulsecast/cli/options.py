"""Options that several commands share: who vouches for a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Key = Annotated[
    Path | None, typer.Option("--key", exists=True, dir_okay=False, help="Public key that must have signed it.")
]
TrustCode = Annotated[
    bool,
    typer.Option("--trust-code", help="Run native artifacts, which are code, of a bundle that --key does not verify."),
]
