"""From a model directory to a bundle: convert, gate, measure, verify through the runtime, then put in place."""

from __future__ import annotations

import dataclasses
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from pulsecast.bundle.bundle import entry_for
from pulsecast.bundle.contract import model_digest
from pulsecast.bundle.folder import BUNDLE_FOLDER
from pulsecast.bundle.golden import MINIMUM_WINDOWS, Golden, write_golden
from pulsecast.bundle.manifest import (
    FORMAT,
    MANIFEST_NAME,
    Artifact,
    FileEntry,
    GoldenEntry,
    Library,
    Manifest,
    Parity,
    Provenance,
    Tolerance,
    WeightsEntry,
)
from pulsecast.bundle.tables import ARTIFACTS, LIBRARIES, artifact_rows, library_rows
from pulsecast.errors import ConversionError, ToleranceError
from pulsecast.foundation import strict_json
from pulsecast.foundation.tables import html_table, text_table
from pulsecast.foundation.whole_directory import check_free, whole_directory
from pulsecast.model.weights import write_weights
from pulsecast.stages.child_process import Told, map_in_threads
from pulsecast.stages.environment import commands
from pulsecast.stages.model_directory import (
    IMPORTED,
    ModelDirectory,
    read_model_directory,
    series_entry,
    series_files,
)
from pulsecast.stages.progress import SILENT, Progress

from .converting.conversion import convert_all, run_converter
from .converting.measuring_child import TOLERANCE_FAILED, UNMEASURED, Measured
from .golden_windows import reference_of, thinned
from .libraries.libraries import build_libraries, check_platforms, with_native
from .model_card import CARD_NAME, model_card
from .targets import FLOAT32, TARGETS, find_targets, fitting, tolerance
from .worth import remarks, worth

GOLDEN_WINDOWS = 256
GOLDEN_NAME = "golden.npz"
WEIGHTS_NAME = "weights.npz"
# Keras computes in float32 with other kernels; a wrong gate order or a stale weight causes an error of 1e-2 or more.
TRAINED_LIMIT = 1e-4


@dataclass(frozen=True, kw_only=True, repr=False)
class Exported:
    """The bundle that `export` made, usable as its path. It shows the measured errors.

    remarks  reasons not to deploy the model, `pulsecast_export.worth`; none for one that is of use
    """

    path: Path
    manifest: Manifest
    remarks: tuple[str, ...] = ()

    def __fspath__(self) -> str:
        return os.fspath(self.path)

    def __repr__(self) -> str:
        tables = [text_table(ARTIFACTS, artifact_rows(self.manifest))]
        if self.manifest.libraries:
            tables.append(text_table(LIBRARIES, library_rows(self.manifest)))
        return "\n\n".join([*tables, *filter(None, [worth(self.manifest.heldout)]), *_remarked(self.remarks)])

    def _repr_html_(self) -> str:
        caption = f"{self.path}: every artifact computes the trained forecast within its limit"
        said = "; ".join([caption, *filter(None, [worth(self.manifest.heldout)]), *_remarked(self.remarks)])
        return html_table(ARTIFACTS, artifact_rows(self.manifest), caption=said)


def _remarked(found: tuple[str, ...]) -> list[str]:
    return [f"REMARK: {remark}" for remark in found]


def export_model(
    model_path: Path,
    out: Path,
    *,
    targets: tuple[str, ...] = (),
    native_for: tuple[str, ...] = (),
    force: bool = False,
    progress: Progress = SILENT,
) -> Exported:
    """Export the model directory at `model_path` to a bundle at `out`.

    targets  ids of `pulsecast_export.targets.TARGETS`; () means all that need not be named. numpy is always included.
    force    replace an existing bundle, after the new one is verified
    native_for  platforms that the native targets get prebuilt libraries for: `pulsecast_export.libraries.libraries`

    Raises FormatError (not a model directory), UsageError (unknown target, `out` exists), ConversionError (a converter
    or a gate failed), ToleranceError (an artifact does not compute the reference forecast). After an error `out` is as
    it was.
    """
    if native_for:
        check_platforms(native_for)
        targets = with_native(targets)
    chosen = find_targets(targets)
    check_free(out, BUNDLE_FOLDER, force=force)
    model = read_model_directory(model_path)
    chosen, reasons = fitting(targets, chosen, model.record.spec, many=model.table is not None)
    for reason in reasons:
        progress.tell(f"skipped: {reason}")
    heldout = reference_of(model)
    _check_trained(model, heldout)
    found = remarks(model.record.heldout, heldout)
    with whole_directory(out, BUNDLE_FOLDER, force=force) as staging:
        progress.tell(f"converting {len(chosen)} targets from weights, each family in its own process")
        convert_all(model_path, staging, chosen, progress)
        _remove_sources(staging, chosen)
        libraries = _libraries(model_path, staging, chosen, native_for, progress)
        manifest = _verified(model, staging, chosen, libraries, heldout, progress)
        _write_manifest(staging, manifest)
    for line in _remarked(found):
        progress.tell(line)
    return Exported(path=out, manifest=manifest, remarks=found)


def _verified(
    model: ModelDirectory,
    staging: Path,
    chosen: tuple[str, ...],
    libraries: tuple[Library, ...],
    heldout: Golden,
    progress: Progress,
) -> Manifest:
    """Measure every artifact in `staging`, write the files beside them, and return the final manifest."""
    golden = thinned(heldout, GOLDEN_WINDOWS)
    (staging / WEIGHTS_NAME).write_bytes(write_weights(model.weights, model.record.spec.network))
    for name, content in ({} if model.table is None else series_files(model.table)).items():
        (staging / name).write_bytes(content)
    (staging / GOLDEN_NAME).write_bytes(write_golden(heldout))
    progress.tell(f"verifying on {len(heldout.windows)} held-out windows through the runtime")
    unmeasured = _manifest(model, staging, chosen, {}, len(heldout.windows))
    parities = measure_in_children(staging, unmeasured, progress)
    (staging / GOLDEN_NAME).write_bytes(write_golden(golden))
    final = _manifest(model, staging, chosen, parities, len(golden.windows))
    final = dataclasses.replace(final, libraries=libraries)
    (staging / CARD_NAME).write_text(model_card(final, remarks(final.heldout, heldout)), encoding="utf-8")
    return dataclasses.replace(final, files=_files(staging))


def _libraries(
    model_path: Path, staging: Path, chosen: tuple[str, ...], native_for: tuple[str, ...], progress: Progress
) -> tuple[Library, ...]:
    if not native_for:
        return ()
    progress.tell(f"compiling and checking libraries for {', '.join(native_for)}")
    libraries = tuple(build_libraries(model_path, staging, chosen, native_for, progress))
    if unproven := sorted({library.platform for library in libraries if library.proof == "built"}):
        progress.tell(f"built but not tested (no emulator for it on this machine): {', '.join(unproven)}")
    return libraries


def _check_trained(model: ModelDirectory, heldout: Golden) -> None:
    """The reference must equal the trained model: this check finds a wrong gate order or layout."""
    if len(heldout.windows) < MINIMUM_WINDOWS:
        raise ConversionError(f"the model has {len(heldout.windows)} held-out windows; {MINIMUM_WINDOWS} are needed")
    error = heldout.largest_error(heldout.trained)
    if not error <= TRAINED_LIMIT:
        raise ToleranceError(
            f"the float64 reference differs from the trained Keras model by {error:.1e} of the range, "
            f"limit {TRAINED_LIMIT}"
        )


def measure_in_children(staging: Path, manifest: Manifest, progress: Progress = SILENT) -> dict[str, Parity]:
    """Return each artifact's parity, measured and verified by the runtime in a process per backend.

    Raises ToleranceError with every failed check, ConversionError if an engine crashes on an artifact.
    """
    _write_manifest(staging, manifest)
    backends: dict[str, list[str]] = {}
    for artifact in manifest.artifacts:
        backends.setdefault(artifact.backend, []).append(artifact.id)
    told = Told(what="verifying", words=", ".join, progress=progress)
    reports = map_in_threads(lambda ids: _measure(staging, tuple(ids)), backends.values(), told)
    (staging / MANIFEST_NAME).unlink()
    return {name: parity for report in reports for name, parity in report.items()}


def _measure(staging: Path, artifact_ids: tuple[str, ...]) -> dict[str, Parity]:
    done = run_converter("pulsecast_export.converting.measuring_child", str(staging), *artifact_ids)
    names = ", ".join(artifact_ids)
    if done.returncode == TOLERANCE_FAILED:
        raise ToleranceError(f"{done.reason}; to leave a target out, name the others with --target")
    if done.failed:
        raise ConversionError(f"target {names}: the engine failed on it: {done.reason}")
    return dict(strict_json.loads(Measured, done.answer.encode(), where="measurement").parities)


def _manifest(
    model: ModelDirectory, staging: Path, chosen: tuple[str, ...], parities: dict[str, Parity], golden_windows: int
) -> Manifest:
    spec = model.record.spec
    imported = model.record.recipe == IMPORTED
    rows = {name: (TARGETS[name], tolerance(TARGETS[name], spec, imported=imported)) for name in chosen}
    artifacts = [
        Artifact(
            id=name,
            backend=target.backend,
            path=target.path,
            precision=target.precision,
            units=target.units,
            max_batch=target.max_batch,
            tolerance=limits,
            parity=parities.get(name, UNMEASURED),
        )
        for name, (target, limits) in rows.items()
    ]
    return Manifest(
        format=FORMAT,
        name=model.record.name,
        recipe=model.record.recipe,
        spec=spec,
        scaler=model.record.scaler,
        weights=WeightsEntry(path=WEIGHTS_NAME),
        golden=GoldenEntry(path=GOLDEN_NAME, windows=golden_windows),
        artifacts=(*((_numpy_artifact(parities),) if spec.graph is None else ()), *artifacts),
        files=_files(staging),
        heldout=model.record.heldout,
        provenance=_provenance(model.record.provenance),
        intervals=model.record.intervals,
        level=None if model.record.intervals is None else model.record.intervals.default_level,
        digest=model_digest(spec, model.record.scaler, model.weights, model.table),
        series=series_entry(model.table),
    )


def _provenance(trained: Provenance) -> Provenance:
    """Return the model's provenance with this export's command line appended."""
    known = trained.commands
    return dataclasses.replace(trained, commands=(*known, *(c for c in commands() if c not in known)))


def _numpy_artifact(parities: dict[str, Parity]) -> Artifact:
    """The reference itself as an artifact: float64 arithmetic, only the output is rounded to float32."""
    limits = Tolerance(max_abs=FLOAT32.max_abs, accuracy_change=FLOAT32.accuracy_change)
    return Artifact(
        id="numpy",
        backend="numpy",
        path=WEIGHTS_NAME,
        precision="float32",
        units="raw",
        max_batch=None,
        tolerance=limits,
        parity=parities.get("numpy", UNMEASURED),
    )


def _files(staging: Path) -> tuple[FileEntry, ...]:
    paths = sorted(p.relative_to(staging).as_posix() for p in staging.rglob("*") if p.is_file())
    return tuple(entry_for(staging, path) for path in paths if path != MANIFEST_NAME)


def _remove_sources(staging: Path, chosen: tuple[str, ...]) -> None:
    """Remove targets that were only sources of the chosen ones."""
    for name, target in TARGETS.items():
        for path in (staging / place for place in (target.path, *target.beside)):
            if name not in chosen and path.exists():
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _write_manifest(staging: Path, manifest: Manifest) -> None:
    (staging / MANIFEST_NAME).write_text(strict_json.dumps(manifest), encoding="utf-8")
