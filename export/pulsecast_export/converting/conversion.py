"""Starts converter child processes and turns whatever happens to them into an error that names the target."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from pulsecast.errors import ConversionError, MissingExtraError
from pulsecast.stages.child_process import PARENT

from ..targets import TARGETS
from .children import map_in_threads, run_child

TIMEOUT_S = 600
_NEEDED = {
    "tensorflow": "savedmodel",
    "tf2onnx": "onnx",
    "onnx": "onnx",
    "ai_edge_litert": "tflite",
    "ai_edge_quantizer": "tflite",
    "flatbuffers": "tflite",
}


def convert_all(model: Path, folder: Path, target_ids: tuple[str, ...]) -> None:
    """Write `target_ids` and the targets that they are made from into `folder`, a child process for each family.

    Raises ConversionError for the first target, in the table's order, that crashed, failed, or failed a gate.
    """
    wanted = {name for target_id in target_ids for name in (target_id, TARGETS[target_id].source) if name}
    families: dict[str, list[str]] = {}
    for name in TARGETS:
        if name in wanted:
            families.setdefault(TARGETS[name].family, []).append(name)
    map_in_threads(lambda names: _convert_family(model, folder, tuple(names)), families.values())


def _convert_family(model: Path, folder: Path, target_ids: tuple[str, ...]) -> None:
    command = [
        sys.executable,
        "-P",
        "-m",
        "pulsecast_export.converting.conversion_child",
        str(model),
        str(folder),
        *target_ids,
    ]
    try:
        done = run_child(command, child_environment(), TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise ConversionError(f"target {target_ids[0]}: its converter took longer than {TIMEOUT_S} s") from error
    if done.returncode:
        raise _failure(done, target_ids)


def child_environment() -> dict[str, str]:
    """Return the child's environment: it imports from where this process does, without a GPU.

    Converters and engines are checked on the CPU: a visible GPU puts operators into graphs that run nowhere else.
    """
    path = os.pathsep.join(p for p in sys.path if p)
    return os.environ | {
        "PYTHONPATH": path,
        "PYTHONHASHSEED": "0",
        "CUDA_VISIBLE_DEVICES": "-1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        PARENT: str(os.getpid()),
    }


def _failure(done: subprocess.CompletedProcess[str], target_ids: tuple[str, ...]) -> Exception:
    """Return the error for a child that did not end well."""
    begun = [line for line in done.stdout.splitlines() if line in target_ids]
    target = begun[-1] if begun else target_ids[0]
    if done.returncode < 0:
        number = -done.returncode
        name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
        return ConversionError(f"target {target}: its converter crashed with {name}; no bundle was written")
    reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
    for package, extra in _NEEDED.items():
        if f"No module named '{package}" in reason:
            return MissingExtraError(f"target {target} needs {package} ({extra}): pip install 'pulsecast[export]'")
    return ConversionError(reason if reason.startswith("target ") else f"target {target}: {reason}")
