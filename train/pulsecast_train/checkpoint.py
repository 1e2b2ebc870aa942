"""Where a training run stands, on disk: written whole after every epoch, so that a killed run goes on from there."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pulsecast import records
from pulsecast.errors import FormatError, UsageError
from pulsecast.weights import read_npz

PROGRESS_NAME = "progress.npz"


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One finished epoch: mean training loss, and validation loss where there is a validation part."""

    number: int
    loss: float
    validation_loss: float | None


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Everything the next epoch depends on.

    run        fingerprint of data and configuration: progress of another run is never continued
    history    finished epochs
    variables  of the network, its dropout seeds and the optimizer, in Keras' order
    best       variables of the network at the lowest validation loss; empty without validation
    """

    run: str
    history: tuple[Epoch, ...]
    variables: tuple[NDArray[np.generic], ...] = field(repr=False)
    best: tuple[NDArray[np.generic], ...] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class _Header:
    run: str
    history: tuple[Epoch, ...]


def save_progress(folder: Path, progress: Progress) -> None:
    """Replace the progress in `folder` in one step; a kill leaves the old one or the new one, whole."""
    header = records.dumps(_Header(run=progress.run, history=progress.history))
    arrays = {f"variable_{i}": array for i, array in enumerate(progress.variables)}
    arrays |= {f"best_{i}": array for i, array in enumerate(progress.best)}
    buffer = io.BytesIO()
    np.savez(buffer, header=np.frombuffer(header.encode(), np.uint8), **arrays)  # type: ignore[arg-type]
    partial = folder / f"{PROGRESS_NAME}.partial"
    partial.write_bytes(buffer.getvalue())
    partial.replace(folder / PROGRESS_NAME)


def load_progress(folder: Path, run: str) -> Progress | None:
    """Return the progress of this `run` in `folder`, or None if there is none.

    Raises UsageError if the folder holds the progress of a run on other data or with another configuration.
    """
    path = folder / PROGRESS_NAME
    if not path.exists():
        return None
    try:
        arrays = read_npz(path.read_bytes(), where=os.fspath(path))
        header = records.loads(_Header, arrays["header"].tobytes(), where=PROGRESS_NAME)
    except (FormatError, KeyError) as error:
        raise UsageError(f"{folder} holds a damaged training run; --restart discards it") from error
    if header.run != run:
        raise UsageError(
            f"{folder} holds an unfinished run on other data or with another configuration; "
            "repeat that command to go on with it, or pass --restart to discard it"
        )
    return Progress(
        run=run, history=header.history, variables=_numbered(arrays, "variable_"), best=_numbered(arrays, "best_")
    )


def _numbered(arrays: dict[str, NDArray[np.generic]], prefix: str) -> tuple[NDArray[np.generic], ...]:
    return tuple(arrays[f"{prefix}{i}"] for i in range(sum(name.startswith(prefix) for name in arrays)))
