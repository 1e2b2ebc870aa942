"""Reading a user's `.keras` or `.h5` file as data: nothing in it is ever executed, and nothing is read outside of it.

A Keras file can make Keras run code (Lambda layers, functions and classes named in the configuration) and make HDF5
read other files (external links and storage). So the configuration is read as JSON and compared with a list of harmless
classes before Keras sees it. HDF5 is read by a child process. Keras then reads, in safe mode, a file that is written
anew from that configuration and those numbers.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulsecast.errors import ConversionError
from pulsecast.foundation.plain_file import TooLongError, read_plain
from pulsecast.foundation.zip_directory import open_zip
from pulsecast.plain_text import listed

from ..layer_graphs.kinds import KINDS, WHY_NOT
from .h5_reading import h5_arrays
from .keras_layers import NO_OPERATION
from .keras_nodes import MASK_OPERATIONS, OPERATIONS, OPERATORS

MAX_BYTES = 1 << 30
MAX_CONFIG_BYTES = 4 << 20
MAX_INFLATION = 100  # how many times as long a member may be as it is in the file; Keras does not pack its members
MAX_DIRECTORY_BYTES = 4096  # of the zip file's list of members; there are three
MAX_DEPTH = 64
CONFIG, WEIGHTS, METADATA = "config.json", "model.weights.h5", "metadata.json"
# All classes that a recurrent model's configuration may name, by the module that it names for them. None takes code,
# files or addresses. A name is compared as a whole: Keras resolves dots in it as attributes.
_CLASSES: dict[str, frozenset[str]] = {
    "keras": frozenset({"DTypePolicy", "FloatDTypePolicy", "Functional", "Model", "Sequential"}),
    "keras.constraints": frozenset({"MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm"}),
    "keras.initializers": frozenset(
        {
            *("Constant", "GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "Identity", "IdentityInitializer"),
            *("LecunNormal", "LecunUniform", "Ones", "Orthogonal", "OrthogonalInitializer", "RandomNormal"),
            *("RandomUniform", "TruncatedNormal", "VarianceScaling", "Zeros"),
        }
    ),
    "keras.layers": frozenset({"InputLayer", *KINDS, *NO_OPERATION, *WHY_NOT}),
    "keras.models": frozenset({"Functional", "Model", "Sequential"}),
    "keras.regularizers": frozenset({"L1", "L1L2", "L2", "OrthogonalRegularizer"}),
    **{module: frozenset(names) for module, names in MASK_OPERATIONS.items()},
    OPERATORS: frozenset((*OPERATIONS, *MASK_OPERATIONS[OPERATORS])),
    "keras.src.models.functional": frozenset({"Functional"}),
    "keras.src.models.sequential": frozenset({"Sequential"}),
}
_CODE = {"Lambda", "__lambda__", "function", "TorchModuleWrapper", "TFSMLayer", "JaxLayer", "FlaxLayer"}
_TENSOR = "__keras_tensor__"


@dataclass(frozen=True, kw_only=True)
class KerasFile:
    """A vetted `.keras` file: its whole bytes, its configuration, and the Keras version that wrote it.

    `arrays` are its weights under their HDF5 paths: Keras reads these, and not the file's own HDF5.
    """

    data: bytes
    config: dict[str, Any]
    version: str
    arrays: dict[str, NDArray[np.generic]]


def read_bytes(path: Path) -> bytes:
    """Return a file's bytes; raises ConversionError if it cannot be read or is too large."""
    try:
        return read_plain(path, MAX_BYTES)
    except TooLongError as error:
        raise ConversionError(f"{path.name} {error.strerror}") from error
    except OSError as error:
        raise ConversionError(f"{path} cannot be read: {error.strerror}") from error


def read_keras_file(path: Path) -> KerasFile:
    """Return the vetted file; raises ConversionError that names what is refused and why."""
    data = read_bytes(path)
    try:
        with open_zip(io.BytesIO(data), directory_bytes=MAX_DIRECTORY_BYTES) as archive:
            members = _members(archive, path.name)
    except ConversionError:
        raise
    except Exception as error:  # zlib.error, LZMAError, RuntimeError: what unpackers make of damage has no end
        reason = ascii(str(error) or type(error).__name__)[1:-1][:100]
        raise ConversionError(f"{path.name} is not a whole .keras file: {reason}") from error
    config = _json(members[CONFIG], f"{CONFIG} in {path.name}")
    problems = list(dict.fromkeys(_foreign(config)))
    if problems:
        raise ConversionError(f"{path.name} is refused, and nothing in it was run: {listed(problems)}")
    metadata = _json(members[METADATA], f"{METADATA} in {path.name}")
    version = str(metadata.get("keras_version", "unknown"))[:40]
    arrays = h5_arrays(members[WEIGHTS], path.name)
    return KerasFile(data=data, config=config, version=version if version.isprintable() else "unknown", arrays=arrays)


def _members(archive: zipfile.ZipFile, name: str) -> dict[str, bytes]:
    """Return the three members of a `.keras` file; any other, such as a layer's own assets, is refused."""
    infos = archive.infolist()
    found = sorted(info.filename for info in infos)
    if found != sorted((CONFIG, WEIGHTS, METADATA)):
        raise ConversionError(
            f"{name} holds {', '.join(map(ascii, found[:10])) or 'nothing'}; "
            f"expected {CONFIG}, {METADATA} and {WEIGHTS} (model.save of Keras 3)"
        )
    limits = {CONFIG: MAX_CONFIG_BYTES, METADATA: MAX_CONFIG_BYTES, WEIGHTS: MAX_BYTES}
    members = {}
    for info in infos:
        if info.file_size > max(MAX_INFLATION * info.compress_size, MAX_INFLATION << 10):
            raise ConversionError(
                f"{info.filename} in {name} unpacks to over {MAX_INFLATION} times its size; save the model again"
            )
        with archive.open(info) as file:
            content = file.read(limits[info.filename] + 1)
        if len(content) > limits[info.filename]:
            raise ConversionError(f"{info.filename} in {name} has more than {limits[info.filename]} bytes")
        members[info.filename] = content
    return members


def _json(data: bytes, where: str) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError, MemoryError) as error:
        raise ConversionError(f"{where} is not valid JSON") from error
    if not isinstance(value, dict):
        raise ConversionError(f"{where} is not an object")
    return value


def _foreign(config: dict[str, Any]) -> Iterator[str]:
    """Yield every name in a configuration beyond Keras' own harmless classes; the compile configuration is not read."""
    inner = {key: value for key, value in config.items() if key != "compile_config"}
    pending: list[tuple[Any, str, int]] = [(inner, "the model", 0)]
    while pending:
        item, owner, depth = pending.pop()
        if depth > MAX_DEPTH:
            yield f"{owner} is nested more than {MAX_DEPTH} levels deep"
            continue
        if isinstance(item, list):
            pending += [(part, owner, depth + 1) for part in item]
        elif isinstance(item, dict):
            if "class_name" in item:
                owner = _owner(item, owner)
                yield from _foreign_class(item, owner)
            pending += [(part, owner, depth + 1) for part in item.values()]
        elif isinstance(item, float) and not math.isfinite(item):
            yield f"{owner} has a number that is not finite"


def _owner(item: dict[str, Any], owner: str) -> str:
    """Return a layer's name for a message; parts of a layer have the layer's name."""
    config = item.get("config")
    if isinstance(config, dict) and "trainable" in config and isinstance(config.get("name"), str):
        return f"layer {config['name'][:60]!a} ({ascii(str(item['class_name']))[1:-1][:60]})"
    return owner


def _foreign_class(item: dict[str, Any], owner: str) -> Iterator[str]:
    name, module, registered = item["class_name"], item.get("module"), item.get("registered_name")
    known = _CLASSES.get(module, frozenset()) if isinstance(module, str) else frozenset()
    if not isinstance(name, str):
        yield f"{owner} needs a class whose name is not text"
    elif name in _CODE:
        yield f"{owner} carries code ({name}); express it with Keras' own layers"
    elif registered not in (None, name):
        yield f"{owner} needs the registered class {ascii(registered)[:60]}; only Keras' own classes are accepted"
    elif name not in known and not (name == _TENSOR and module is None):
        needed = f"{ascii(name)[:60]} of module {ascii(str(module))[:60]}"
        yield f"{owner} needs {needed}; only Keras' own classes for such models are accepted"
