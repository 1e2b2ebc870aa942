"""The progress of a training run, on disk: written whole after every epoch, so that a killed run can continue."""

from __future__ import annotations

import io
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulsecast.errors import FormatError, UsageError
from pulsecast.foundation import strict_json
from pulsecast.foundation.staging import sweep
from pulsecast.foundation.whole_file import whole_file
from pulsecast.model.weights import read_npz

PROGRESS_NAME = "progress.npz"


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One finished epoch: mean training loss, and validation loss where there is a validation part."""

    number: int
    loss: float
    validation_loss: float | None

    def __str__(self) -> str:
        validation = "" if self.validation_loss is None else f", validation {self.validation_loss:.3g}"
        return f"loss {self.loss:.3g}{validation}"


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """The place of one run's progress; `run` is the fingerprint of its data and configuration."""

    folder: Path
    run: str

    @property
    def path(self) -> Path:
        """The one file, replaced whole after every epoch."""
        return self.folder / PROGRESS_NAME


@dataclass(frozen=True, kw_only=True)
class SavedRun:
    """Everything the next epoch depends on.

    history    finished epochs
    variables  of the network, its dropout seeds and the optimizer, in Keras' order
    best       variables of the network to keep: at the lowest validation loss, or the last ones without validation
    """

    history: tuple[Epoch, ...]
    variables: tuple[NDArray[np.generic], ...] = field(repr=False)
    best: tuple[NDArray[np.generic], ...] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class _Header:
    run: str
    history: tuple[Epoch, ...]


def save_run(checkpoint: Checkpoint, saved: SavedRun) -> None:
    """Replace the saved progress in one step; a kill leaves the old one or the new one, whole.

    Raises PulsecastError, with the path, if the disk is full or refuses.
    """
    header = strict_json.dumps(_Header(run=checkpoint.run, history=saved.history))
    arrays: dict[str, Any] = {f"variable_{i}": array for i, array in enumerate(saved.variables)}
    arrays |= {f"best_{i}": array for i, array in enumerate(saved.best)}
    buffer = io.BytesIO()
    np.savez(buffer, header=np.frombuffer(header.encode(), np.uint8), **arrays)
    with whole_file(checkpoint.path, force=True) as file:
        file.write(buffer.getvalue())


def load_run(checkpoint: Checkpoint) -> SavedRun | None:
    """Return the saved progress of this run, or None.

    Raises UsageError if the folder holds the progress of a run on other data or with another configuration.
    """
    if not checkpoint.path.exists():
        return None
    try:
        arrays = read_npz(checkpoint.path.read_bytes(), where=PROGRESS_NAME)
        header = strict_json.loads(_Header, arrays["header"].tobytes(), where=PROGRESS_NAME)
    except (FormatError, KeyError) as error:
        raise UsageError(f"{checkpoint.folder} holds a damaged training run; --restart discards it") from error
    if header.run != checkpoint.run:
        raise UsageError(
            f"{checkpoint.folder} holds an unfinished run on other data or with another configuration; "
            "repeat that command to continue it, or pass --restart to discard it"
        )
    return SavedRun(history=header.history, variables=_numbered(arrays, "variable_"), best=_numbered(arrays, "best_"))


def forget_run(folder: Path) -> None:
    """Delete the saved progress in `folder`, and the folder if nothing else is in it: other files are the user's."""
    (folder / PROGRESS_NAME).unlink(missing_ok=True)
    if folder.is_dir():
        sweep(folder)
    with suppress(OSError):  # it is not there, or not empty
        folder.rmdir()


def _numbered(arrays: dict[str, NDArray[np.generic]], prefix: str) -> tuple[NDArray[np.generic], ...]:
    return tuple(arrays[f"{prefix}{i}"] for i in range(sum(name.startswith(prefix) for name in arrays)))
