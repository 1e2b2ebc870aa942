"""Puts the contract of an artifact into its file. Run in a converter child process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pulsecast.bundle.contract import CONTRACT_FILE, CONTRACT_KEY, contract_text
from pulsecast.stages.model_directory import ModelDirectory

from ..contracts import contract_of
from ..targets import TARGETS, Family


def write_contract(model: ModelDirectory, target_id: str, path: Path) -> None:
    """Put the contract into the artifact at `path`; a native one has it from its writer."""
    writer = _WRITERS.get(TARGETS[target_id].family)
    if writer is not None:
        writer(path, contract_text(contract_of(model, target_id)))


def _into_onnx(path: Path, text: str) -> None:
    import onnx

    found = onnx.load(path)
    del found.metadata_props[:]
    onnx.helper.set_model_props(found, {CONTRACT_KEY: text})
    path.write_bytes(found.SerializeToString(deterministic=True))


def _into_tflite(path: Path, text: str) -> None:
    from ..graphs.tflite_file import write_contract as write

    write(path, text)


def _into_savedmodel(path: Path, text: str) -> None:
    (path / CONTRACT_FILE).write_text(text + "\n", encoding="ascii")


_WRITERS: dict[Family, Callable[[Path, str], None]] = {
    "savedmodel": _into_savedmodel,
    "onnx": _into_onnx,
    "tflite": _into_tflite,
    "tflite-int8": _into_tflite,
}
