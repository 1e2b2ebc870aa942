"""HDF5 as plain numbers, read by a child process with limits on time and memory."""

from __future__ import annotations

import importlib.util

import numpy as np
from numpy.typing import NDArray

from pulsecast.errors import ConversionError, FormatError
from pulsecast.foundation.private_folder import temporary_folder
from pulsecast.model.weights import read_npz
from pulsecast.stages.child_process import run_module

from .h5_child import CONFIGURED

TIMEOUT_S = 60.0  # a gigabyte takes a few seconds
CHILD = "pulsecast_export.keras_models.h5_child"
Arrays = list[NDArray[np.generic]]


def h5_arrays(data: bytes, name: str) -> dict[str, NDArray[np.generic]]:
    """Return every array of HDF5 `data` under its path; raises ConversionError, naming `name`, as `h5_child` says."""
    names, arrays = _read("arrays", data, name)
    return dict(zip(names, arrays, strict=True))


def h5_layers(data: bytes, name: str) -> tuple[bool, list[Arrays]]:
    """Return whether the file says how its layers are connected, and the arrays of every layer that has any.

    Raises ConversionError, naming `name`, as `h5_child` says.
    """
    names, arrays = _read("layers", data, name)
    groups: dict[str, Arrays] = {}
    for number, array in zip(names[1:], arrays[1:], strict=True):
        groups.setdefault(number, []).append(array)
    return names[0] == CONFIGURED, list(groups.values())


def _read(what: str, data: bytes, name: str) -> tuple[list[str], Arrays]:
    if importlib.util.find_spec("h5py") is None:
        raise ModuleNotFoundError("No module named 'h5py'", name="h5py")
    with temporary_folder() as folder:
        file, out = folder / "weights.h5", folder / "arrays.npz"
        file.write_bytes(data)
        limits = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # each thread would take address space
        shown = ascii(name)[1:-1]
        ended = run_module(CHILD, [what, str(file), shown, str(out)], timeout_s=TIMEOUT_S, environment=limits)
        if ended.returncode is None or ended.returncode < 0:
            raise ConversionError(f"{shown} holds no readable HDF5 weights: reading them {ended.reason}")
        if ended.failed:
            raise ConversionError(ended.reason)
        try:
            arrays = read_npz(out.read_bytes(), where=shown)
            names = arrays.pop("names").tobytes().decode("utf-8")
        except (FormatError, KeyError, ValueError, OSError) as error:
            raise ConversionError(f"{shown} holds no readable HDF5 weights") from error
    return names.split("\n") if names else [], list(arrays.values())
