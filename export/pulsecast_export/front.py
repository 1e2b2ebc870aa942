"""Export from a model directory, or from a Keras file with held-out windows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pulsecast import limits
from pulsecast.bundle.folder import BUNDLE_FOLDER
from pulsecast.errors import FormatError, UsageError
from pulsecast.foundation import strict_json
from pulsecast.foundation.arguments import StrPath, flag, listed, one_path, shown, text, whole_number
from pulsecast.foundation.plain_file import read_plain
from pulsecast.foundation.private_folder import temporary_folder
from pulsecast.foundation.whole_directory import check_free
from pulsecast.model.scaler import Scaler
from pulsecast.stages.linear_alone import linear_alone
from pulsecast.stages.model_directory import read_model_directory, write_model_directory
from pulsecast.stages.progress import SILENT, Progress, require_progress

from .exporter import Exported, export_model

MODEL_SUFFIXES = (".keras", ".h5")
WHOLE = "whole"
MODELS = (WHOLE, "ridge")  # what a model directory holds: the model, and its linear path as one of its own


def export(  # noqa: PLR0913  # an option is a parameter
    model: StrPath,
    *,
    out: StrPath,
    targets: Sequence[str] = (),
    native_for: Sequence[str] = (),
    heldout: StrPath | None = None,
    step_s: int = 3600,
    features: Sequence[str] = (),
    scaler: Scaler | StrPath | None = None,
    output: str | None = None,
    which: str = WHOLE,
    force: bool = False,
    progress: Progress = SILENT,
) -> Exported:
    """Convert a model to every target, verify each one, and write the bundle `out`; it appears whole or not at all.

    model       a model directory, such as `pulsecast_train.train` makes, or your own .keras or .h5 file
    targets     ids of `pulsecast_export.TARGETS`; () means all that need not be named
    native_for  platforms that the native targets get prebuilt libraries for, such as aarch64-linux
    which       of a model directory: `whole`, or `ridge` for its linear path without the network
    force       replace an existing bundle, once the new one is verified

    Of a Keras file only:

    heldout     .npz with raw `windows` (n, window, features) and `truth` (n, horizon) to verify it on
    step_s      seconds between two steps
    features    names of the input columns, the forecast one first
    scaler      how raw values become the model's inputs: a Scaler, or a JSON file as in a manifest
    output      the output that is the forecast, of a model with several: its key, or the name of its layer

        export("model", out="bundle")

    Raises FormatError (not a model directory), UsageError (an unknown target; `out` exists; no linear path),
    ConversionError (a
    converter or a gate failed), DataError (the held-out windows), ToleranceError (an artifact does not compute the
    reference forecast), MissingExtraError. After an error `out` is as it was.
    """
    source, folder = one_path("model", model), one_path("out", out)
    force = flag("force", force)
    require_progress(progress)
    chosen, platforms = _names("targets", targets), _names("native_for", native_for)
    which = _which(which)
    if source.is_dir() or not source.exists():  # a missing path is refused as a model directory
        with _chosen_model(source, which) as directory:
            return export_model(directory, folder, targets=chosen, native_for=platforms, force=force, progress=progress)
    if source.suffix.lower() not in MODEL_SUFFIXES:
        raise UsageError(
            f"{source} is not a model; expected the folder that `pulsecast train` writes, "
            f"or a {' or '.join(MODEL_SUFFIXES)} file"
        )
    if which != WHOLE:
        raise UsageError(f"{source.name} is a Keras file, which has no ridge model in it; leave which out (--model)")
    if heldout is None:
        raise UsageError(
            f"{source.name} is a Keras file: name the windows and truth to verify it on, as heldout (--heldout FILE)"
        )
    from .keras_models.keras_import import import_keras
    from .keras_models.network_import import ImportOptions

    check_free(folder, BUNDLE_FOLDER, force=force)
    options = ImportOptions(
        name=source.stem,
        step_s=whole_number("step_s", step_s),
        features=_names("features", features),
        scaler=_scaler(scaler),
        output=None if output is None else text("output", output),
    )
    with temporary_folder() as work:
        directory = work / "model"
        import_keras(source, one_path("heldout", heldout), options, directory, force=False)
        return export_model(directory, folder, targets=chosen, native_for=platforms, force=force, progress=progress)


def _which(value: object) -> str:
    if not isinstance(value, str) or value not in MODELS:
        raise UsageError(f"which is {shown(value)}; expected {' or '.join(MODELS)} (--model)")
    return value


@contextmanager
def _chosen_model(source: Path, which: str) -> Iterator[Path]:
    """Yield the model directory to export: `source`, or one of its linear path alone, which is gone afterwards."""
    if which == WHOLE:
        yield source
        return
    alone = linear_alone(read_model_directory(source))
    with temporary_folder() as work:
        write_model_directory(work, alone)
        yield work


def _names(what: str, value: Sequence[str]) -> tuple[str, ...]:
    """Return names as a tuple; one name that is not in a list would be read letter by letter."""
    if isinstance(value, str):
        raise UsageError(f"{what} is {shown(value)}; expected a list of names, such as [{shown(value)}]")
    return tuple(text(f"{what}[{i}]", one) for i, one in enumerate(listed(what, value)))


def _scaler(value: Scaler | StrPath | None) -> Scaler | None:
    if value is None or isinstance(value, Scaler):
        return value
    path = one_path("scaler", value)
    try:
        return strict_json.loads(Scaler, read_plain(path, limits.MANIFEST_BYTES), where=path.name)
    except OSError as error:
        raise UsageError(f"scaler {path} cannot be read: {error.strerror}") from None
    except FormatError as error:
        raise UsageError(f"scaler: {error}") from error
