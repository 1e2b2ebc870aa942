"""Children of an export that find TensorFlow imported: forks of a process that has imported it and done nothing else.

The import takes some three of the five CPU seconds of a converter. `test_exported_files.py` exports with the product's
own children too, and compares every byte.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import multiprocessing
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from pulsecast.errors import PulsecastError
from pulsecast.stages import child_process
from pulsecast.stages.child_process import Ended
from pulsecast.stages.model_directory import read_model_directory
from pulsecast_export.converting.conversion import ON_THE_CPU

CONVERTER = "pulsecast_export.converting.conversion_child"
MEASURING = "pulsecast_export.converting.measuring_child"
IMPORTED = ("helpers.outside.keras_left_out", "tensorflow", "tf2onnx")
_FORKING = multiprocessing.get_context("forkserver")
_started_cold = child_process.run_child


@contextmanager
def converters() -> Iterator[None]:
    """Let exports in this block fork the children that would import TensorFlow; the other children are as ever."""
    _FORKING.set_forkserver_preload(list(IMPORTED))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(child_process, "run_child", run_child)
        yield


@contextmanager
def in_this_process() -> Iterator[None]:
    """Let exports in this block do the work of their children here, one after the other.

    Converters of layer graphs import Keras, which takes as long as the rest of their work; a test of them has it.
    """
    from pulsecast_export import exporter
    from pulsecast_export.converting import conversion
    from pulsecast_export.keras_models import h5_child

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(child_process, "run_child", _run_here)
        patch.setattr(h5_child, "limit_memory", lambda _: None)  # it would stay
        for module in (conversion, exporter):
            patch.setattr(module, "map_in_threads", lambda function, items, told: [function(item) for item in items])
        yield


def _run_here(command: Sequence[str], environment: Mapping[str, str], *, timeout_s: float) -> Ended:
    del environment
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = importlib.import_module(command[3]).main(list(command[4:]))
    return Ended(returncode=code, stdout=out.getvalue(), stderr=err.getvalue(), timeout_s=timeout_s)


def run_child(command: Sequence[str], environment: Mapping[str, str], *, timeout_s: float) -> Ended:
    """Do what `child_process.run_child` does, in a fork if `command` is a child that imports TensorFlow."""
    _, *options, module = command[:4]
    ours = module == CONVERTER and not _of_layers(Path(command[4]))  # those import Keras, which is left out here
    if options != ["-P", "-m"] or not (ours or (module == MEASURING and "savedmodel" in command)):
        return _started_cold(command, environment, timeout_s=timeout_s)
    said = [Path(environment["TMPDIR"]) / name for name in ("stdout", "stderr")]
    process = _FORKING.Process(target=_run, args=(module, command[4:], dict(environment), said), daemon=True)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ({"TF_CPP_MIN_LOG_LEVEL": "3"} | ON_THE_CPU).items():  # read at the start, or at the import
            patch.setenv(name, value)
        process.start()
    child_process._running.add(process)  # type: ignore[arg-type]  # it has `kill`, and that is all that is called
    try:
        process.join(timeout_s)
        code = process.exitcode
    finally:
        process.kill()
        process.join()
        child_process._running.discard(process)  # type: ignore[arg-type]
    out, err = (path.read_text(errors="replace") if path.exists() else "" for path in said)
    return Ended(returncode=code, stdout=out, stderr=err, timeout_s=timeout_s)


def _of_layers(model: Path) -> bool:
    """Return whether a model is a graph of Keras layers; a damaged one is refused by its converter."""
    try:
        return read_model_directory(model).record.spec.graph is not None
    except PulsecastError:
        return False


def _run(module: str, arguments: list[str], environment: dict[str, str], said: list[Path]) -> None:
    """Be the child: the environment, the output and the exit code of `python -m module arguments`."""
    os.environ.clear()
    os.environ.update(environment)
    for number, path in enumerate(said, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
    sys.exit(importlib.import_module(module).main(arguments))
