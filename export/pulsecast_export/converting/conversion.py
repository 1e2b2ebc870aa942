"""Starts converter child processes and turns every failure into an error that names the target."""

from __future__ import annotations

from pathlib import Path

from pulsecast.errors import ConversionError, MissingExtraError
from pulsecast.stages.child_process import Ended, Told, map_in_threads, run_module
from pulsecast.stages.progress import SILENT, Progress

from ..targets import TARGETS

TIMEOUT_S = 600
ON_THE_CPU = {"CUDA_VISIBLE_DEVICES": "-1", "PYTHONHASHSEED": "0", "KERAS_BACKEND": "tensorflow"}
_NEEDED = {
    "tensorflow": "savedmodel",
    "tf2onnx": "onnx",
    "onnx": "onnx",
    "ai_edge_litert": "tflite",
    "ai_edge_quantizer": "tflite",
    "flatbuffers": "tflite",
}


def convert_all(model: Path, folder: Path, target_ids: tuple[str, ...], progress: Progress = SILENT) -> None:
    """Write `target_ids` and their source targets into `folder`, with a child process for each family.

    Raises ConversionError for the first target, in the table's order, that crashed, failed, or failed a gate.
    """
    wanted = {name for target_id in target_ids for name in (target_id, TARGETS[target_id].source) if name}
    families: dict[str, list[str]] = {}
    for name in TARGETS:
        if name in wanted:
            families.setdefault(TARGETS[name].family, []).append(name)
    told = Told(what="converting", words=", ".join, progress=progress)
    map_in_threads(lambda names: _convert_family(model, folder, tuple(names)), families.values(), told)


def _convert_family(model: Path, folder: Path, target_ids: tuple[str, ...]) -> None:
    done = run_converter("pulsecast_export.converting.conversion_child", str(model), str(folder), *target_ids)
    if done.failed:
        raise _failure(done, target_ids)


def run_converter(module: str, *arguments: str) -> Ended:
    """Run a child of an export and return how it ended.

    Converters and engines are checked on the CPU: a visible GPU puts operators into graphs that run only on GPUs.
    """
    return run_module(module, arguments, timeout_s=TIMEOUT_S, environment=ON_THE_CPU)


def _failure(done: Ended, target_ids: tuple[str, ...]) -> Exception:
    """Return the error for a failed child."""
    begun = [line for line in done.stdout.splitlines() if line in target_ids]
    target, reason = begun[-1] if begun else target_ids[0], done.reason
    if done.returncode is None or done.returncode < 0:
        return ConversionError(f"target {target}: its converter {reason}; no bundle was written")
    for package, extra in _NEEDED.items():
        if f"No module named '{package}" in reason:
            return MissingExtraError(f"target {target} needs {package} ({extra}): pip install 'pulsecast[export]'")
    return ConversionError(reason if reason.startswith("target ") else f"target {target}: {reason}")
