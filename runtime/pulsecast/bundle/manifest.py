"""The manifest: everything a bundle says about itself, as frozen records that check themselves (formats 1 and 2)."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from typing import Literal

from .. import limits
from ..errors import FormatError, UsageError
from ..foundation import strict_json
from ..foundation.arguments import plain, shown
from ..foundation.quick_dataclass import dataclass
from ..model.accuracy import Accuracy
from ..model.network import GATE_ORDER
from ..model.radii import SplitConformal
from ..model.scaler import Scaler
from ..model.spec import ModelSpec
from ..plain_text import listed

FORMAT: Literal[2] = 2  # that is written
FORMATS = (1, 2)  # that are read
MANIFEST_NAME = "manifest.json"
SIGNATURE_NAME = "manifest.sig"

BackendId = Literal["numpy", "onnx", "tflite", "savedmodel", "native"]
Precision = Literal["float32", "float16 weights", "int8 weights", "int8"]

FOLDER_BACKENDS = ("savedmodel", "native")  # their artifacts are folders; all others are one file

_SAFE_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def check_relative(path: str) -> None:
    """Raise ValueError unless `path` is a relative POSIX path of plain names that stays inside its folder."""
    if len(path) > limits.PATH_BYTES or path.count("/") >= limits.PATH_PARTS:
        raise ValueError(
            f"path {path[:40]!r} has {len(path)} characters and {path.count('/') + 1} parts; expected at most "
            f"{limits.PATH_BYTES} and {limits.PATH_PARTS}"
        )
    if not all(_SAFE_PART.fullmatch(part) for part in path.split("/")):
        raise ValueError(f"path {path!r} is not a relative path of plain names")


def check_distinct(paths: Sequence[str]) -> list[str]:
    """Return why `paths` cannot share a folder on every system: on some, `A` and `a` are the same."""
    seen: dict[str, str] = {}
    problems = []
    for path in paths:
        other = seen.get(path.lower())
        if other is not None:
            problems.append(f"{path} appears twice" if other == path else f"{path} and {other} differ by case only")
        seen[path.lower()] = path
    for path in paths:
        problems += [
            f"{seen[parent]} is a file and the folder of {path}" for parent in _above(path.lower()) if parent in seen
        ]
    return problems


def check_printable(texts: Iterable[str]) -> Iterator[str]:
    """Yield what is wrong with texts that people read: control characters could rewrite the screen."""
    for text in texts:
        if len(text) > limits.TEXT_CHARACTERS:
            yield f"{text[:40]!a} has {len(text)} characters; at most {limits.TEXT_CHARACTERS} are read"
        elif not text.isprintable():
            yield f"{text!a} holds characters that cannot be printed"


def shown_of_spec(spec: ModelSpec) -> Iterator[str]:
    """Yield the texts of `spec` that people read."""
    yield from () if spec.graph is None else spec.graph.shown
    for feature in spec.features:
        yield feature.name
        if feature.calendar and feature.calendar.holidays:
            yield from (feature.calendar.holidays.region, feature.calendar.holidays.zone)


def _above(path: str) -> Iterator[str]:
    """Yield the folders of `path`, the outermost one first."""
    at = path.find("/")
    while at >= 0:
        yield path[:at]
        at = path.find("/", at + 1)


def _repeated(names: Iterable[str]) -> list[str]:
    """Return the names that stand more than once in `names`, sorted."""
    return sorted(name for name, count in Counter(names).items() if count > 1)


@dataclass(frozen=True, kw_only=True)
class FileEntry:
    """One file of the bundle, by relative path; every file but the manifest has one."""

    path: str
    size_bytes: int
    sha256: str

    def __post_init__(self) -> None:
        check_relative(self.path)
        if self.size_bytes < 0 or not _SHA256.fullmatch(self.sha256):
            raise ValueError(f"{self.path}: size_bytes or sha256 is malformed")


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """How far an artifact may deviate from the float64 reference.

    max_abs          largest |forecast - reference|, as a fraction of the scaler's range
    accuracy_change  largest relative change of MAE and of RMSE on held-out data
    """

    max_abs: float
    accuracy_change: float


@dataclass(frozen=True, kw_only=True)
class Parity:
    """What was measured when the bundle was made; same units as `Tolerance`, over all held-out windows."""

    max_abs: float
    rms: float
    mae_change: float
    rmse_change: float


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """One deployable form of the model.

    path       a file, or for the SavedModel and the native model a folder, inside the bundle
    units      `raw`: values as the app has them; `scaled`: network channels in, network outputs out, and the runtime
               scales around it
    max_batch  windows per call; None is any number
    """

    id: str
    backend: BackendId
    path: str
    precision: Precision
    units: Literal["raw", "scaled"]
    max_batch: int | None
    tolerance: Tolerance
    parity: Parity

    def __post_init__(self) -> None:
        check_relative(self.path)


@dataclass(frozen=True, kw_only=True)
class Library:
    """One prebuilt shared library of a native artifact, and how it was checked.

    proof    `run`: it passed the artifact's checks on such a platform; `emulated`: the same, in an emulator of its
             processor; `built`: only its file was inspected
    engine   the engine that ran, with the instruction set, unless it was only built
    max_abs  largest |forecast - reference| found, as a fraction of the scaler's range
    """

    artifact: str
    platform: str
    path: str
    proof: Literal["run", "emulated", "built"]
    compiler: str
    engine: str | None = None
    max_abs: float | None = None

    def __post_init__(self) -> None:
        check_relative(self.path)
        if (self.proof == "built") != (self.engine is None):
            raise ValueError(f"{self.path}: engine is given if and only if the library has run")


@dataclass(frozen=True, kw_only=True)
class WeightsEntry:
    """Where the weights are and how to read them."""

    path: str
    gate_order: str = GATE_ORDER
    dtype: str = "<f4"

    def __post_init__(self) -> None:
        check_relative(self.path)
        if self.gate_order != GATE_ORDER or self.dtype != "<f4":
            raise ValueError(f"gate_order and dtype must be {GATE_ORDER!r} and '<f4'")


@dataclass(frozen=True, kw_only=True)
class GoldenEntry:
    """Where the golden is and how many windows it holds."""

    path: str
    windows: int

    def __post_init__(self) -> None:
        check_relative(self.path)


@dataclass(frozen=True, kw_only=True)
class SeriesEntry:
    """Where the table of series is, `pulsecast.model.series`, and how many series it holds beside the pool.

    names  a text file, a name on each line; the first one is that of row 1
    """

    names: str
    table: str
    count: int

    def __post_init__(self) -> None:
        check_relative(self.names)
        check_relative(self.table)
        if not 1 <= self.count <= limits.SERIES:
            raise ValueError(f"count of series is {self.count}; expected 1 to {limits.SERIES}")


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Accuracy on the chronologically last part of every series, in raw units, for the model and naive forecasts."""

    windows: int
    forecasts: Mapping[str, Accuracy] = field(metadata=strict_json.most(limits.FORECASTS))


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What the bundle was made from and with; no paths, no names of users or hosts.

    commands  command lines that trained and exported it, paths reduced to names; empty if it was made from Python
    """

    versions: Mapping[str, str] = field(metadata=strict_json.most(limits.VERSIONS))
    platform: str
    seed: int
    training: Mapping[str, object]
    data: Mapping[str, object]
    commands: tuple[tuple[str, ...], ...] = field(
        default=(), metadata=strict_json.most(limits.COMMANDS, limits.COMMAND_WORDS)
    )

    @property
    def shown(self) -> Iterator[str]:
        """The texts that people read."""
        yield self.platform
        for name, version in self.versions.items():
            yield from (name, version)


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """All of `manifest.json`; FORMAT.md specifies it.

    scaler  of the one series, or where there are several, of all of them together
    series  the table of series; None where the bundle is of one series, and in format 1
    digest  of spec, scaler, weights and the table of series, `pulsecast.bundle.contract.model_digest`: what a forecast
            depends on; format 1 has none
    level  coverage of the outputs `lower` and `upper` of every artifact of raw units, one of the intervals' levels;
           None without intervals, and in format 1

    Older bundles have no `intervals` and no `libraries`.
    """

    format: Literal[1, 2]
    name: str
    recipe: str
    spec: ModelSpec
    scaler: Scaler
    weights: WeightsEntry
    golden: GoldenEntry
    artifacts: tuple[Artifact, ...] = field(metadata=strict_json.most(limits.ARTIFACTS))
    files: tuple[FileEntry, ...] = field(metadata=strict_json.most(limits.FILES))
    heldout: HeldOut
    provenance: Provenance
    intervals: SplitConformal | None = None
    libraries: tuple[Library, ...] = field(default=(), metadata=strict_json.most(limits.LIBRARIES))

    level: float | None = None
    digest: str | None = None
    series: SeriesEntry | None = None

    def __post_init__(self) -> None:
        problems = [*self._mismatches(), *self._misplaced(), *self._additions(), *check_printable(self._shown())]
        if problems:
            raise ValueError(listed(problems))

    def _mismatches(self) -> Iterator[str]:
        """Yield which parts of the model have another size than `spec` says."""
        if len(self.scaler.features) != len(self.spec.features):
            yield f"scaler has {len(self.scaler.features)} features; spec has {len(self.spec.features)}"
        if self.intervals and len(self.intervals.radii[0]) != self.spec.horizon:
            yield f"intervals have {len(self.intervals.radii[0])} steps; horizon is {self.spec.horizon}"

    def _misplaced(self) -> Iterator[str]:
        """Yield what is named twice, or names a part that is not there."""
        names = [artifact.id for artifact in self.artifacts]
        paths = [entry.path for entry in self.files]
        ids, files, folders = set(names), set(paths), {folder for path in paths for folder in _above(path)}
        yield from (f"artifact {name} appears twice" for name in _repeated(names))
        yield from (f"file {problem}" for problem in check_distinct(paths))
        unlisted = ((MANIFEST_NAME, "itself"), (SIGNATURE_NAME, "its signature"))
        yield from (f"{MANIFEST_NAME} cannot list {what}" for name, what in unlisted if name in files)
        in_folders = {a.path for a in self.artifacts if a.backend in FOLDER_BACKENDS}
        tables = [] if self.series is None else [self.series.names, self.series.table]
        for path in dict.fromkeys([self.weights.path, self.golden.path, *tables, *(a.path for a in self.artifacts)]):
            if path not in (folders if path in in_folders else files):
                yield f"{path} is not among the files"
        for library in self.libraries:
            if library.path not in files:
                yield f"library {library.path} is not among the files"
            if library.artifact not in ids:
                yield f"library {library.path} names artifact {library.artifact!a}, which is not in the bundle"

    def _shown(self) -> Iterator[str]:
        """Yield the texts that people read."""
        yield from (self.name, self.recipe)
        yield from (artifact.id for artifact in self.artifacts)
        for library in self.libraries:
            yield from (library.platform, library.compiler, library.engine or "")
        yield from shown_of_spec(self.spec)
        yield from self.heldout.forecasts
        yield from self.provenance.shown

    def _additions(self) -> Iterator[str]:
        """Yield what is wrong with the keys that format 2 has beside those of format 1."""
        intervals, levels = self.intervals, self.intervals.levels if self.intervals else ()
        if self.format == 1:
            yield from (
                f"{key} is given; format 1 has none"
                for key in ("level", "digest", "series")
                if getattr(self, key) is not None
            )
            return
        if self.digest is None or not _SHA256.fullmatch(self.digest):
            yield "digest is missing or malformed; expected 64 lower-case hexadecimal digits"
        if intervals is None:
            yield from ["level is given, but no intervals"] if self.level is not None else []
        elif self.level not in levels:
            yield f"level is {self.level}; the intervals have {', '.join(f'{level:g}' for level in levels)}"
        if intervals is not None and intervals.counts and intervals.scale != "log1p":
            yield "intervals of counts need the scale log1p"
        if self.series is not None:
            if any(scale.transform != "log1p" for scale in self.scaler.features[: self.spec.measured]):
                yield "a table of series needs the transform log1p for every measured feature"
            yield from (
                f"artifact {artifact.id} takes scaled values, which a bundle of several series has none of"
                for artifact in self.artifacts
                if artifact.units == "scaled"
            )

    @functools.cached_property  # of format 1 it takes milliseconds, and every step of a stream compares it
    def model_digest(self) -> str:
        """`digest`; for a bundle of format 1 a number made from the same facts, which no other model shares."""
        if self.digest is not None:
            return self.digest
        import hashlib

        weights = next(entry.sha256 for entry in self.files if entry.path == self.weights.path)
        facts = strict_json.dumps([self.spec, self.scaler, weights])
        return hashlib.sha256(facts.encode("utf-8")).hexdigest()

    @property
    def radius(self) -> tuple[float, ...] | None:
        """Radii of the artifacts' `lower` and `upper`, one for each horizon step; None if they give only a forecast."""
        return None if self.intervals is None or self.level is None else self.intervals.at(self.level)

    def artifact(self, artifact_id: str) -> Artifact:
        """Return the artifact with this id; raises UsageError that lists the known ones."""
        wanted = plain(artifact_id)
        for artifact in self.artifacts:
            if artifact.id == wanted:
                return artifact
        known = ", ".join(artifact.id for artifact in self.artifacts)
        raise UsageError(f"no artifact {shown(artifact_id)} in this bundle; it has {known}")


def parse_manifest(data: bytes) -> Manifest:
    """Return the manifest in `data`; raises FormatError with the problems found."""
    return strict_json.loads(Manifest, data, where=MANIFEST_NAME, at_most=limits.MANIFEST_BYTES)


def check_format(data: bytes) -> None:
    """Raise FormatError if `data` is JSON of another format number: its remedy is another version of pulsecast."""
    kind = Mapping[str, object]
    found = strict_json.loads(kind, data, where=MANIFEST_NAME, at_most=limits.MANIFEST_BYTES)  # type: ignore[type-abstract]
    number = found.get("format")
    if number not in FORMATS:
        read = " and ".join(map(str, FORMATS))
        raise FormatError(f"{MANIFEST_NAME}: format is {number!r}; this version of pulsecast reads formats {read}")
