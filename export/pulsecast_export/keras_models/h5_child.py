"""The HDF5 child process: `python -m pulsecast_export.keras_models.h5_child WHAT FILE NAME OUT`.

A damaged file can make HDF5 loop, crash or take all memory; in a process of its own, with limits, this does not affect
the user's process. It writes plain numbers to OUT, an .npz file; nothing else of the file goes further. WHAT is

    arrays   every array, under its path; `names` are the paths, one per line
    layers   the arrays of every layer in order, for `h5_weights`; `names` are the layer's number, of each

The last line of stderr is the reason of a failure.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulsecast.errors import ConversionError
from pulsecast.plain_text import listed
from pulsecast.stages.parent import die_with_parent

MAX_BYTES = 1 << 30  # of all arrays
MAX_OBJECTS = 10_000
MAX_CONFIG_CHARACTERS = 4 << 20
MEMORY_BYTES = 5 << 30  # address space: twice the arrays, their copies, and libraries

Named = Iterator[tuple[str, NDArray[np.generic]]]


def main(arguments: list[str]) -> int:
    """Read as the module says; return 1 after a failure."""
    what, file, name, out = arguments
    import h5py

    limit_memory(MEMORY_BYTES)
    try:
        with h5py.File(file, "r", locking=False) as opened:
            check(opened, name)
            named = list(_arrays(opened) if what == "arrays" else _layers(opened, name))
        names = np.frombuffer("\n".join(key for key, _ in named).encode("utf-8"), np.uint8)
        arrays = {str(number): array for number, (_, array) in enumerate(named)}
        np.savez(out, names=names, **arrays)  # type: ignore[arg-type]
    except ConversionError as error:
        print(error, file=sys.stderr)
        return 1
    except Exception:  # h5py raises what a file makes of it: KeyError, TypeError, MemoryError and others
        print(f"{name} holds no readable HDF5 weights", file=sys.stderr)
        return 1
    return 0


def limit_memory(size_bytes: int) -> None:
    """Let this process have at most `size_bytes` of address space, where the system can."""
    try:
        import resource
    except ImportError:  # Windows
        return
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    wanted = size_bytes if most == resource.RLIM_INFINITY else min(size_bytes, most)
    try:
        resource.setrlimit(resource.RLIMIT_AS, (wanted, most))
    except (ValueError, OSError):  # macOS knows the limit and does not set it
        return


def check(file: Any, name: str) -> None:
    """Raise ConversionError unless the file holds only plain numeric arrays, in itself, of sane size."""
    import h5py

    total = 0
    for path, item in _hard_links(file, name):
        if not isinstance(item, h5py.Dataset):
            continue
        if item.is_virtual or item.external:
            raise ConversionError(f"{name}: {_shown(path)} lies in another file")
        if item.dtype.kind not in "fiu":
            raise ConversionError(f"{name}: {_shown(path)} is {str(item.dtype)[:60]}; expected numbers")
        total += item.size * item.dtype.itemsize
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
                raise ConversionError(f"{name}: {_shown(f'{parent.name}/{key}')} is a link")
            item = parent[key]
            identity = h5py.h5o.get_info(item.id).addr
            if identity in seen:
                continue
            seen.add(identity)
            if len(seen) > MAX_OBJECTS:
                raise ConversionError(f"{name} holds more than {MAX_OBJECTS:,} arrays and groups")
            yield item.name, item
            if isinstance(item, h5py.Group):
                pending.append(item)


def _arrays(file: Any) -> Named:
    """Yield every array under its path."""
    import h5py

    for path, item in _hard_links(file, ""):
        if isinstance(item, h5py.Dataset):
            if not str(path).isprintable():
                raise ConversionError(f"{_shown(path)} is the name of an array; expected letters and digits")
            yield str(path), np.asarray(item[()])


def _layers(file: Any, name: str) -> Named:
    """Yield the arrays of every layer, in order: of the old layout (names in attributes) or of `.weights.h5`."""
    _check_configuration(file.attrs.get("model_config"), name)
    for number, arrays in enumerate(_arrays_of_layers(file)):
        for array in arrays:
            yield str(number), array


def _arrays_of_layers(file: Any) -> Iterator[list[NDArray[np.float32]]]:
    root = file.get("model_weights", file)
    if "layer_names" in root.attrs:
        for name in root.attrs["layer_names"]:
            group = root[_text(name)]
            yield [_floats(group[_text(weight)]) for weight in group.attrs.get("weight_names", ())]
    elif "layers" in file:
        # named by class: lstm, lstm_1, ..., dense
        names = sorted(file["layers"], key=lambda name: (name.startswith("dense"), _number(name)))
        for name in names:
            group = file["layers"][name]
            found = group["cell"]["vars"] if "cell" in group else group.get("vars", {})
            yield [_floats(found[key]) for key in sorted(found, key=int)]


def _number(name: str) -> int:
    match = re.search(r"_(\d{1,9})$", name)
    return int(match.group(1)) if match else 0


def _text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


def _floats(dataset: Any) -> NDArray[np.float32]:
    return np.asarray(dataset[()], np.float32)


def _shown(path: str) -> str:
    return ascii(path)[1:-1][:80]


def _check_configuration(text: Any, name: str) -> None:
    """Refuse a configuration with anything beyond tanh and sigmoid LSTMs and a linear head."""
    if text is None:
        return
    try:
        written = _text(text)
        if len(written) > MAX_CONFIG_CHARACTERS:
            raise ConversionError(f"the configuration in {name} has more than {MAX_CONFIG_CHARACTERS >> 20} MB")
        layers = json.loads(written)["config"]["layers"]
        problems = [problem for layer in layers for problem in _layer_problems(layer)]
    except ConversionError:
        raise
    except Exception as error:  # it is of any shape
        raise ConversionError(f"the configuration in {name} is damaged; save the model as .keras instead") from error
    if problems:
        raise ConversionError(f"{name} is refused, and nothing in it was run: {listed(problems)}")


def _layer_problems(layer: dict[str, Any]) -> Iterator[str]:
    kind, settings = layer["class_name"], layer["config"]
    name = f"layer {ascii(settings.get('name'))[:60]} ({_shown(str(kind))[:60]})"
    if kind not in ("InputLayer", "LSTM", "Dropout", "Dense"):
        yield f"{name} is not of our architecture (LSTM, Dropout, Dense); save the model as .keras of Keras 3 instead"
        return
    expected = {"LSTM": {"activation": "tanh", "recurrent_activation": "sigmoid"}, "Dense": {"activation": "linear"}}
    for key, value in expected.get(kind, {}).items():
        if settings.get(key, value) != value:
            yield f"{name}: {key} is {ascii(settings[key])[:60]}; expected {value!r}"
    if settings.get("go_backwards") or settings.get("stateful"):
        yield f"{name}: go_backwards and stateful must be off"


if __name__ == "__main__":
    die_with_parent()
    sys.exit(main(sys.argv[1:]))
