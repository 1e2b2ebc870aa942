"""`pulsecast.json` of a serving folder: for which server and model it is, and the SHA-256 of every other file.

It stays true while a version is added: the files that are on their way stand in `changing` first. Until the last step
each of them may be as `files` says, as `changing` says, or absent. After a kill the next writer looks which.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Literal

from pulsecast.bundle.bundle import Bundle
from pulsecast.foundation import strict_json
from pulsecast.foundation.folder_kind import FolderKind

from ..options import ServeOptions
from ..servers.table import SERVERS

MARKER = "pulsecast.json"
LABELS = "labels.json"  # beside the versions: which ones `pulsecast serve` keeps loaded; the user writes it


@dataclass(frozen=True, kw_only=True)
class Promise:
    """What a client of a model relies on, so what all versions in one folder have in common.

    features  measured ones, in order
    level     coverage of `lower` and `upper`; None without them
    rows      SHA-256 of the names of the series, where requests say rows: row 3 of another table is another series
    """

    name: str
    features: tuple[str, ...]
    context: int
    horizon: int
    step_s: int
    calendar: bool
    series: bool
    level: float | None
    rows: str | None

    def differences(self, other: Promise) -> Iterator[str]:
        """Yield in what this one differs from `other`, which the folder has."""
        for one in fields(self):
            mine, theirs = getattr(self, one.name), getattr(other, one.name)
            if mine != theirs and one.name == "rows":
                yield "the rows of its series are others"
            elif mine != theirs:
                yield f"{one.name} is {_said(mine)}, not {_said(theirs)}"


@dataclass(frozen=True, kw_only=True)
class Marker:
    """All of `pulsecast.json`.

    root      the folder of the version directories
    files     every other file -> SHA-256
    changing  files on their way -> SHA-256; None is a file that goes
    """

    format: Literal[2]
    kind: Literal["serving"]
    server: str
    root: str
    model: Promise
    files: Mapping[str, str]
    changing: Mapping[str, str | None] = field(default_factory=dict)


def read_marker(data: bytes) -> Marker:
    """Return the marker in `data`; raises FormatError."""
    return strict_json.loads(Marker, data, where=MARKER)


def promise_of(bundle: Bundle, options: ServeOptions) -> Promise:
    """Return what clients of this bundle rely on."""
    manifest, spec = bundle.manifest, bundle.manifest.spec
    rows = None
    if manifest.series is not None and SERVERS[options.server].rows:
        rows = next(entry.sha256 for entry in manifest.files if entry.path == manifest.series.names)
    return Promise(
        name=options.name,
        features=tuple(feature.name for feature in spec.features[: spec.measured]),
        context=spec.context,
        horizon=spec.horizon,
        step_s=spec.step_s,
        calendar=spec.timed,
        series=manifest.series is not None,
        level=manifest.level,
        rows=rows,
    )


def _listed(written: bytes) -> set[str]:
    marker = read_marker(written)
    row = SERVERS.get(marker.server)
    labels = {f"{marker.root}/{LABELS}"} if row is not None and row.labels else set()
    return {*marker.files, *marker.changing, MARKER, *labels}


def _said(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


SERVING_FOLDER = FolderKind(noun="serving folder", marker=MARKER, listed=_listed)
