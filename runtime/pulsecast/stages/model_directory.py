"""The model directory: what training writes and export reads. Only this module describes it, so the two never differ.

MODEL/
  model.json        this module's `ModelRecord`
  model.keras       the trained Keras network with its share of the forecast; export does not trace it
  weights.npz       its weights, see `pulsecast.model.weights`
  history.json      loss per epoch
  heldout.npz       up to 2,048 held-out raw windows and their times, evenly spaced, with truth and what the Keras
                    network with the linear path beside it forecasts
  series.txt        where one network serves several series: their names, and
  series.npz        what belongs to each of them, see `pulsecast.model.series`
  accuracy.json     and the held-out errors of each of them by its name, for people
  ridge.npz         where a linear path stands beside the network: what the path alone forecasts for those windows, and
                    its radii for each series; see `pulsecast.stages.linear_alone`
  calibration.npz   raw training windows and their times that span the training range, for full-integer quantisation
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .. import limits
from ..bundle.golden import Extremes, extreme_arrays, extremes_of
from ..bundle.manifest import HeldOut, Provenance, SeriesEntry, check_printable, shown_of_spec
from ..errors import FormatError
from ..foundation import strict_json
from ..foundation.folder_kind import FolderKind
from ..foundation.plain_file import NotPlainError, TooLongError, read_plain
from ..foundation.quick_dataclass import dataclass
from ..model.radii import SplitConformal
from ..model.scaler import Scaler
from ..model.series import Scaling, SeriesTable, read_names, read_table, scaling_of, write_names, write_table
from ..model.spec import ModelSpec
from ..model.weights import Weights, array_problems, read_npz, read_weights, write_npz, write_weights
from ..model.windows import SERIES, TIME, VALUES, Windows
from ..plain_text import Problems, listed

MODEL_NAME = "model.json"
KERAS_NAME = "model.keras"
WEIGHTS_NAME = "weights.npz"
HISTORY_NAME = "history.json"
HELDOUT_NAME = "heldout.npz"
CALIBRATION_NAME = "calibration.npz"
SERIES_NAMES_NAME = "series.txt"
SERIES_TABLE_NAME = "series.npz"
ACCURACY_NAME = "accuracy.json"
RIDGE_NAME = "ridge.npz"
HELDOUT_WINDOWS = 2048
IMPORTED = "imported"  # the recipe of a model that was not trained here
CALIBRATION_WINDOWS = 256


@dataclass(frozen=True, kw_only=True)
class LinearRecord:
    """What is known of a model's linear path as a model of its own.

    share      of the path in the model's forecast: its kernel in the weights is so many times that of the path alone
    heldout    errors of the path alone
    intervals  of the path alone
    """

    share: float
    heldout: HeldOut
    intervals: SplitConformal | None = None

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise ValueError(f"share is {self.share}; expected a number between 0 and 1")


@dataclass(frozen=True, kw_only=True)
class ModelRecord:
    """All of `model.json`; `files` maps the directory's other files to their SHA-256, once they are written.

    linear  where a linear path stands beside a network that was trained here
    """

    format: Literal[2]
    name: str
    recipe: str
    spec: ModelSpec
    scaler: Scaler
    heldout: HeldOut
    provenance: Provenance
    files: Mapping[str, str] = field(default_factory=dict)
    intervals: SplitConformal | None = None
    series: SeriesEntry | None = None
    linear: LinearRecord | None = field(default=None, metadata=strict_json.OMITTED)

    def __post_init__(self) -> None:
        network = self.spec.network
        if self.linear is not None and (self.spec.linear is None or not network.recurrent):
            raise ValueError("linear is given; the model has no linear path beside a network")


@dataclass(frozen=True, kw_only=True)
class HeldOutWindows:
    """Raw windows, n of them, and what followed.

    truth    (n, horizon) float64
    trained  (n, horizon) float32: what the Keras network with the linear path beside it forecasts
    unit     (n,) float64: the range of each window's series, in which errors are measured; None where there is one
             series, whose scaler has it
    reference, extremes  of a graph, which numpy does not compute: as in the golden. None for a network
    """

    windows: Windows
    truth: NDArray[np.float64]
    trained: NDArray[np.float32]
    unit: NDArray[np.float64] | None = None
    reference: NDArray[np.float64] | None = None
    extremes: Extremes | None = None


@dataclass(frozen=True, kw_only=True)
class RidgeArrays:
    """What the linear path alone has beside its weights.

    trained  (n, horizon) float32: its forecasts of the held-out windows
    radii    (rows, levels, horizon) float64, as in `SeriesTable`; None without a table, or without intervals
    """

    trained: NDArray[np.float32]
    radii: NDArray[np.float64] | None = None


@dataclass(frozen=True, kw_only=True)
class ModelDirectory:
    """An opened model directory; `ridge` where its record has `linear`."""

    record: ModelRecord
    weights: Weights
    heldout: HeldOutWindows
    calibration: Windows
    table: SeriesTable | None = None
    ridge: RidgeArrays | None = None

    @property
    def scaling(self) -> Scaling:
        """How windows are scaled: by the one scaler, or by the table of series."""
        return scaling_of(self.record.scaler, self.table)


def _listed(record: bytes) -> set[str]:
    return {*strict_json.loads(ModelRecord, record, where=MODEL_NAME).files, MODEL_NAME}


MODEL_FOLDER = FolderKind(noun="model directory", marker=MODEL_NAME, listed=_listed)


def write_model_directory(folder: Path, model: ModelDirectory, more: Mapping[str, bytes] | None = None) -> ModelRecord:
    """Write every file of `model` into the empty `folder`, and `more` by name; return the record with their hashes."""
    heldout, table = model.heldout, model.table
    unit = {} if heldout.unit is None else {"unit": heldout.unit}
    of_graph = {} if heldout.reference is None else {"reference": heldout.reference, **extreme_arrays(heldout.extremes)}
    files = {
        WEIGHTS_NAME: write_weights(model.weights, model.record.spec.network),
        HELDOUT_NAME: write_npz(
            **_named(heldout.windows), truth=heldout.truth, trained=heldout.trained, **unit, **of_graph
        ),
        CALIBRATION_NAME: write_npz(**_named(model.calibration)),
        **({} if table is None else series_files(table)),
        **({} if model.ridge is None else {RIDGE_NAME: _ridge_file(model.ridge)}),
        **(more or {}),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    record = dataclasses.replace(model.record, files={name: sha256(data) for name, data in files.items()})
    (folder / MODEL_NAME).write_text(strict_json.dumps(record), encoding="utf-8")
    return record


def series_files(table: SeriesTable) -> dict[str, bytes]:
    """Return the files of a table of series, of a model directory or a bundle, by name."""
    return {SERIES_NAMES_NAME: write_names(table.names), SERIES_TABLE_NAME: write_table(table)}


def series_entry(table: SeriesTable | None) -> SeriesEntry | None:
    """Return what a record says about the files of `table`."""
    if table is None:
        return None
    return SeriesEntry(names=SERIES_NAMES_NAME, table=SERIES_TABLE_NAME, count=len(table.names))


def read_model_directory(path: Path) -> ModelDirectory:
    """Return the model at `path`; raises FormatError if a file is missing, changed or does not match `model.json`."""
    try:
        # what does not fit a manifest is refused before hours of export, not after them
        content = _read(path, MODEL_NAME, limits.MANIFEST_BYTES)
        record = strict_json.loads(ModelRecord, _of_this_format(content), where=MODEL_NAME)
        of_series = () if record.series is None else (SERIES_NAMES_NAME, SERIES_TABLE_NAME)
        of_ridge = () if record.linear is None else (RIDGE_NAME,)
        names = (WEIGHTS_NAME, HELDOUT_NAME, CALIBRATION_NAME, *of_series, *of_ridge)
        data = {name: _read(path, name, limits.FILE_BYTES) for name in names}
    except FileNotFoundError as error:
        missing = Path(error.filename).name
        raise FormatError(
            f"{path} is not a model directory: it has no {missing}; make one with `pulsecast train`"
        ) from error
    except OSError as error:
        raise FormatError(f"{path} is not a readable model directory: {error.strerror}") from error
    if unprintable := Problems(check_printable(_shown(record))):
        raise FormatError(f"{MODEL_NAME}: {unprintable}")
    changed = [name for name, content in data.items() if record.files.get(name) != sha256(content)]
    if changed:
        raise FormatError(f"model directory {path.name} was changed after training: {', '.join(changed)}")
    spec = record.spec
    many = ("unit",) if record.series else ()
    of_graph = () if spec.graph is None else ("reference", "extreme_values", "extreme_reference")
    heldout = _arrays(data[HELDOUT_NAME], HELDOUT_NAME, (*_names(record), "truth", "trained", *many, *of_graph))
    calibration = _arrays(data[CALIBRATION_NAME], CALIBRATION_NAME, _names(record))
    table = _table(record, data)
    return ModelDirectory(
        record=record,
        weights=read_weights(data[WEIGHTS_NAME], spec),
        heldout=HeldOutWindows(
            windows=_windows(heldout),
            truth=heldout["truth"].astype(np.float64),
            trained=heldout["trained"].astype(np.float32),
            unit=heldout["unit"].astype(np.float64) if many else None,
            reference=heldout["reference"].astype(np.float64) if of_graph else None,
            extremes=extremes_of(heldout) if of_graph else None,
        ),
        calibration=_windows(calibration),
        table=table,
        ridge=None if record.linear is None else _ridge(record.linear, data[RIDGE_NAME], heldout["truth"].shape, table),
    )


def _ridge_file(ridge: RidgeArrays) -> bytes:
    radii = {} if ridge.radii is None else {"radii": ridge.radii.astype("<f8")}
    return write_npz(trained=ridge.trained.astype("<f4"), **radii)


def _ridge(linear: LinearRecord, data: bytes, forecasts: tuple[int, ...], table: SeriesTable | None) -> RidgeArrays:
    levels = 0 if linear.intervals is None or table is None else len(linear.intervals.levels)
    shapes = {"trained": ("<f4", forecasts)}
    if table is not None and levels:
        shapes["radii"] = ("<f8", (len(table), levels, forecasts[-1]))
    arrays = read_npz(data, where=RIDGE_NAME)
    if problems := listed(array_problems(arrays, shapes)):
        raise FormatError(f"{RIDGE_NAME}: {problems}")
    radii = arrays["radii"].astype(np.float64) if levels else None
    return RidgeArrays(trained=arrays["trained"].astype(np.float32), radii=radii)


def _table(record: ModelRecord, data: Mapping[str, bytes]) -> SeriesTable | None:
    if record.series is None:
        return None
    names = read_names(data[SERIES_NAMES_NAME])
    levels = 0 if record.intervals is None else len(record.intervals.levels)
    return read_table(data[SERIES_TABLE_NAME], names, record.scaler, record.spec, levels)


def _of_this_format(data: bytes) -> bytes:
    """Return `data`; raises FormatError if it is a `model.json` of an older format, which holds no times."""
    found = strict_json.loads(Mapping[str, object], data, where=MODEL_NAME)  # type: ignore[type-abstract]
    if found.get("format") == 1:
        raise FormatError(f"{MODEL_NAME} has format 1, of an earlier pulsecast; train the model again")
    return data


def _read(folder: Path, name: str, at_most: int) -> bytes:
    try:
        return read_plain(folder / name, at_most)
    except (NotPlainError, TooLongError) as error:
        raise FormatError(f"{folder} is not a readable model directory: {name} {error.strerror}") from error


def _shown(record: ModelRecord) -> Iterator[str]:
    """Yield the texts that people read, of this directory and of the bundle that is made from it."""
    yield from (record.name, record.recipe)
    yield from shown_of_spec(record.spec)
    yield from record.heldout.forecasts
    yield from record.provenance.shown


def sha256(data: bytes) -> str:
    """Return the hash as a model directory records it, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def _names(record: ModelRecord) -> tuple[str, ...]:
    return (VALUES, *((TIME,) if record.spec.timed else ()), *((SERIES,) if record.series else ()))


def _named(windows: Windows) -> dict[str, NDArray[np.generic]]:
    pairs = {VALUES: windows.values, TIME: windows.time, SERIES: windows.series}
    return {name: array for name, array in pairs.items() if array is not None}


def _windows(arrays: Mapping[str, NDArray[np.generic]]) -> Windows:
    time, series = (arrays[name].astype(np.int64) if name in arrays else None for name in (TIME, SERIES))
    return Windows(values=arrays[VALUES].astype(np.float32), time=time, series=series)


def _arrays(data: bytes, where: str, names: tuple[str, ...]) -> dict[str, NDArray[np.generic]]:
    arrays = read_npz(data, where=where)
    missing = [name for name in names if name not in arrays]
    if missing:
        raise FormatError(f"{where} has no {', '.join(missing)}")
    return arrays
