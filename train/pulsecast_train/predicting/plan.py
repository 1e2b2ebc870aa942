"""What a batch does: its options, and its pieces, each a few files that are forecast together in one process."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pulsecast import __version__
from pulsecast.errors import UsageError
from pulsecast.forecasting.copies import manifest_digest
from pulsecast.forecasting.forecaster import Forecaster
from pulsecast.foundation import strict_json
from pulsecast.model.series import POOL, SeriesNames

from ..logs.as_trained import asked_for
from ..logs.config import LogConfig
from .after_log import Asked, Wanted

REVISION = 1  # of the code behind a piece's result; a new number makes older kept pieces stale
PIECE_FILES = 128  # a second of work; the child that tries Parquet files costs half a second for each piece
FEWEST_FILES = 8  # of a piece, where there are few files
PIECES = 16  # at least, if the files are enough: work for many processes
PIECE_BYTES = 16 << 20  # of the files of a piece, unless one alone is larger


@dataclass(frozen=True, kw_only=True)
class Asking:
    """Which series of a bundle of several the series in the files are.

    name     of the only series in the only file
    pool     what training never saw is forecast by the pool
    by_file  a file is the series of its own name
    """

    name: str | None = None
    pool: bool = False
    by_file: bool = False

    def settled(self, names: SeriesNames | None, config: LogConfig, files: int) -> Asking:
        """Return this for a bundle with the table `names`; raises UsageError where it is not said, or contradicts."""
        if names is None:
            if self != Asking():
                raise UsageError(
                    "this bundle is of one series and has no table of names: leave --series, --pool and "
                    "--series-by-file out"
                )
            return self
        if self.by_file and (self.name is not None or config.series is not None):
            other = "--series names it" if config.series is None else f"the column {config.series} names series"
            raise UsageError(f"--series-by-file takes a file's name as that of its series, and {other}: leave one out")
        if self.name is not None and files > 1:
            raise UsageError(
                f"{self.name[:60]!r} is the name of one series, and there are {files:,} files: leave it out; "
                "--series-by-file takes the name of each file"
            )
        if not self.by_file and config.series is None and self.name is None and not self.pool:
            raise UsageError(
                f"this bundle holds {len(names):,} series, and the files do not say which ones they are of: pass "
                "--series-by-file if each file has the name of its series, --series-column for files that name their "
                "series, or --pool for series that training never saw; `pulsecast inspect` lists them"
            )
        asked_for(names, [], named=self.by_file or config.series is not None, name=self.name, pool=self.pool)
        return self

    def of(self, names: SeriesNames | None, series: str, config: LogConfig) -> Asked:
        """Return what the series of a file is forecast as; raises UsageError for a name that is not there."""
        if names is None:
            return None
        if self.name is not None:
            return self.name
        if names.knows(series) and (self.by_file or config.series is not None):
            return series
        if self.pool:
            return POOL
        raise UsageError("there is no series of this name in the bundle; for what training never saw pass --pool")


@dataclass(frozen=True, kw_only=True, slots=True)
class InputFile:
    """A file as it was when the batch began: as it was named, where it is, and what changes with its content."""

    name: str
    path: str
    size_bytes: int
    modified_ns: int
    changed_ns: int

    def has_changed(self) -> bool:
        """Return whether the file at its path is another one now, or has other content; raises OSError."""
        found = os.stat(self.path)  # noqa: PTH116  # a path is text here, as it travels
        return (found.st_size, found.st_mtime_ns) != (self.size_bytes, self.modified_ns)


@dataclass(frozen=True, kw_only=True)
class Task:
    """A piece: files, and all that is needed to forecast them in another process, where the paths are the same.

    model   a pickled Forecaster: where its bundle is, how it is loaded, and a digest that the bundle must have
    engine  which artifact of which bundle runs on which engine
    """

    model: bytes
    engine: tuple[str, ...]
    files: tuple[InputFile, ...]
    config: LogConfig
    wanted: Wanted
    asking: Asking

    def alone(self) -> list[Task]:
        """Return a piece for each of the files."""
        return [dataclasses.replace(self, files=(file,)) for file in self.files]

    def fingerprint(self) -> str:
        """Return the result's name: the same for the same files, bundle, engine, options and version."""
        parts = [
            REVISION, __version__, list(self.engine), self.config, self.wanted, self.asking, list(self.files),
        ]  # fmt: skip
        return hashlib.sha256(strict_json.dumps(parts).encode("utf-8", "surrogateescape")).hexdigest()[:32]


def tasks_of(model: Forecaster, files: Sequence[Path], config: LogConfig, wanted: Wanted, asking: Asking) -> list[Task]:
    """Return the pieces, in the order of the files."""
    pickled = pickle.dumps(model)
    threads = model.origin.threads if model.origin is not None else None
    artifact = (manifest_digest(model.manifest), model.artifact.id)
    engine = (*artifact, model.backend.engine, model.backend.device, f"{threads} threads")
    # after every step a file has many windows of its own, and a piece of many files would hold all their forecasts
    most = 1 if wanted.every else min(PIECE_FILES, max(FEWEST_FILES, -(-len(files) // PIECES)))
    return [
        Task(model=pickled, engine=engine, files=tuple(part), config=config, wanted=wanted, asking=asking)
        for part in _parts([_described(path) for path in files], most)
    ]


def _described(path: Path) -> InputFile:
    try:
        found = path.stat()
        size, modified_ns, changed_ns = found.st_size, found.st_mtime_ns, found.st_ctime_ns
    except OSError:  # a dangling link among a pattern's files: reading it fails, and the others go on
        size, modified_ns, changed_ns = -1, 0, 0
    return InputFile(
        name=str(path), path=str(path.absolute()), size_bytes=size, modified_ns=modified_ns, changed_ns=changed_ns
    )


def _parts(files: Sequence[InputFile], most: int) -> Iterator[list[InputFile]]:
    part: list[InputFile] = []
    for one in files:
        if part and (len(part) == most or sum(f.size_bytes for f in part) + one.size_bytes > PIECE_BYTES):
            yield part
            part = []
        part.append(one)
    if part:
        yield part
