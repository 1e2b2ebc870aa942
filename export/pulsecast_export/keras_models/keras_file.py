"""Reading a user's `.keras` or `.h5` file as data: nothing in it is ever executed, and nothing is read outside of it.

A Keras file can make Keras run code (Lambda layers, functions and classes named in the configuration) and make HDF5
read other files (external links and storage). So the configuration is read as JSON and compared with a list of harmless
classes before Keras sees the file; Keras then reads it in safe mode.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pulsecast.errors import ConversionError

MAX_BYTES = 1 << 30
MAX_CONFIG_BYTES = 16 << 20
MAX_DEPTH = 64
CONFIG, WEIGHTS, METADATA = "config.json", "model.weights.h5", "metadata.json"
# All classes that a recurrent model's configuration names; none takes code, files or addresses
_MODULES = {
    "keras",
    "keras.constraints",
    "keras.initializers",
    "keras.layers",
    "keras.models",
    "keras.regularizers",
    "keras.src.models.functional",
    "keras.src.models.sequential",
}
_CODE = {"Lambda", "__lambda__", "function", "TorchModuleWrapper", "TFSMLayer", "JaxLayer", "FlaxLayer"}
_TENSOR = "__keras_tensor__"


@dataclass(frozen=True, kw_only=True)
class KerasFile:
    """A vetted `.keras` file: its whole bytes, its configuration, and the Keras version that wrote it."""

    data: bytes
    config: dict[str, Any]
    version: str


def read_bytes(path: Path) -> bytes:
    """Return a file's bytes; raises ConversionError if it cannot be read or is too large."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConversionError(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise ConversionError(f"{path.name} has more than {MAX_BYTES} bytes")
    return data


def read_keras_file(path: Path) -> KerasFile:
    """Return the vetted file; raises ConversionError that names what is refused and why."""
    data = read_bytes(path)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = _members(archive, path.name)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, EOFError, OSError) as error:
        raise ConversionError(f"{path.name} is not a whole .keras file: {error}") from error
    config = _json(members[CONFIG], f"{CONFIG} in {path.name}")
    problems = list(dict.fromkeys(_foreign(config)))
    if problems:
        raise ConversionError(f"{path.name} is refused, and nothing in it was run: " + "; ".join(problems[:20]))
    check_h5(members[WEIGHTS], path.name)
    metadata = _json(members[METADATA], f"{METADATA} in {path.name}")
    return KerasFile(data=data, config=config, version=str(metadata.get("keras_version", "unknown"))[:40])


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
        with archive.open(info) as file:
            content = file.read(limits[info.filename] + 1)
        if len(content) > limits[info.filename]:
            raise ConversionError(f"{info.filename} in {name} has more than {limits[info.filename]} bytes")
        members[info.filename] = content
    return members


def _json(data: bytes, where: str) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
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


def _owner(item: dict[str, Any], owner: str) -> str:
    """Return a layer's name for a message; parts of a layer have the layer's name."""
    config = item.get("config")
    if isinstance(config, dict) and "trainable" in config and isinstance(config.get("name"), str):
        return f"layer {config['name'][:60]!r} ({str(item['class_name'])[:60]})"
    return owner


def _foreign_class(item: dict[str, Any], owner: str) -> Iterator[str]:
    name, module, registered = item["class_name"], item.get("module"), item.get("registered_name")
    if name in _CODE:
        yield f"{owner} carries code ({name}); express it with Keras' own layers"
    elif name != _TENSOR and module not in _MODULES:
        yield f"{owner} needs {str(name)[:60]!r} of module {str(module)[:60]!r}; only Keras' own classes are accepted"
    elif registered not in (None, name):
        yield f"{owner} needs the registered class {str(registered)[:60]!r}; only Keras' own classes are accepted"


def check_h5(data: bytes, name: str) -> None:
    """Raise ConversionError unless HDF5 `data` holds only plain numeric arrays, in the file itself, of sane size."""
    import h5py

    total = 0
    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            for path, item in _hard_links(file, name):
                if not isinstance(item, h5py.Dataset):
                    continue
                if item.is_virtual or item.external:
                    raise ConversionError(f"{name}: {path} lies in another file")
                if item.dtype.kind not in "fiu":
                    raise ConversionError(f"{name}: {path} is {item.dtype}; expected numbers")
                total += item.size * item.dtype.itemsize
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise ConversionError(f"{name} holds no readable HDF5 weights") from error
    if total > MAX_BYTES:
        raise ConversionError(f"{name}: its weights have {total} bytes; at most {MAX_BYTES} are read")


def _hard_links(group: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield every object below `group` with its path, each once; raises ConversionError at a link to elsewhere."""
    import h5py

    pending, seen = [group], set()
    while pending:
        parent = pending.pop()
        for key in parent:
            if not isinstance(parent.get(key, getlink=True), h5py.HardLink):
                raise ConversionError(f"{name}: {parent.name}/{key} is a link")
            item = parent[key]
            identity = h5py.h5o.get_info(item.id).addr
            if identity in seen:
                continue
            seen.add(identity)
            yield item.name, item
            if isinstance(item, h5py.Group):
                pending.append(item)
