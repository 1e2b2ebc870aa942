"""The HDF5 child process: `python -m pulsecast_export.keras_models.h5_child WHAT FILE NAME OUT`.

A damaged file can make HDF5 loop, crash or take all memory; in a process of its own, with limits, this does not affect
the user's process. It writes plain numbers to OUT, an .npz file; nothing else of the file goes further. WHAT is

    arrays   every array, under its path; `names` are the paths, one per line
    layers   the arrays of every layer in order, for `h5_weights`; `names` are the layer's number, of each. A first name
             says whether the file has a configuration

The last line of stderr is the reason of a failure.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulsecast.errors import ConversionError
from pulsecast.plain_text import listed
from pulsecast.stages.parent import die_with_parent

from .keras_layers import NO_OPERATION, find_network
from .keras_nodes import INPUT, Node, read_nodes

MAX_BYTES = 1 << 30  # of all arrays
MAX_OBJECTS = 10_000
MAX_CONFIG_CHARACTERS = 4 << 20
MEMORY_BYTES = 5 << 30  # address space: twice the arrays, their copies, and libraries
_WITH_WEIGHTS = re.compile(r"(lstm|dense)(_\d{1,9})?")
# by their usual names: they return their input
_WITHOUT_WEIGHTS = re.compile(
    r"(input|input_layer|dropout|spatial_dropout1d|gaussian_dropout|gaussian_noise|activity_regularization)(_\d{1,9})?"
)
_NOT_OF_THE_MODEL = re.compile(r"^/(optimizer|optimizer_weights)/|/seed_generator/")  # what training left in the file
CONFIGURED, BARE = "configured", "bare"
_INSTEAD = "save the whole model as .keras instead"

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
    """Yield the arrays of every layer, in order: of the old layout (names in attributes) or of `.weights.h5`.

    Raises ConversionError if the file is of another model than LSTM layers and a dense head, as far as it says so: by
    its configuration, by a layer of another kind, or by an array that such a model does not have.
    """
    chain = _configured(file.attrs.get("model_config"), name)
    layers = dict(_old_layers(file, name) if _is_old(file) else _new_layers(file, name))
    if chain is not None:
        if set(chain) != set(layers):
            raise ConversionError(
                f"{name} holds weights of {_named(layers)}; its configuration has weights in {_named(chain)}"
            )
        layers = {layer: layers[layer] for layer in chain}
    yield CONFIGURED if chain is not None else BARE, np.zeros(0)
    used = {item.name for items in layers.values() for item in items}
    _check_all_used(file, used, name)
    for number, items in enumerate(layers.values()):
        for item in items:
            yield str(number), np.asarray(item[()], np.float32)


def _is_old(file: Any) -> bool:
    return "layer_names" in file.get("model_weights", file).attrs


def _old_layers(file: Any, name: str) -> Iterator[tuple[str, list[Any]]]:
    """Yield (layer, its arrays) of the layout of Keras 2, of the layers that have any."""
    root = file.get("model_weights", file)
    for layer in map(_text, root.attrs["layer_names"]):
        group = root[layer]
        items = [group[_text(weight)] for weight in group.attrs.get("weight_names", ())]
        if items:
            yield layer, items
        elif "model_config" not in file.attrs and not _WITHOUT_WEIGHTS.fullmatch(layer):
            raise ConversionError(
                f"{name} has no weights of layer {_shown(layer)!r} and does not say what it does; {_INSTEAD}"
            )


def _new_layers(file: Any, name: str) -> Iterator[tuple[str, list[Any]]]:
    """Yield (layer, its arrays) of `.weights.h5`, in which layers are named by class: lstm, lstm_1, ..., dense."""
    groups = file.get("layers", {})
    foreign = [key for key in groups if not (_WITH_WEIGHTS.fullmatch(key) or _WITHOUT_WEIGHTS.fullmatch(key))]
    if foreign:
        raise ConversionError(
            f"{name} holds {_named(sorted(foreign))}; expected LSTM layers, Dropout and a dense head; {_INSTEAD}"
        )
    for key in sorted(groups, key=lambda key: (key.startswith("dense"), _number(key))):
        group = groups[key]
        found = group["cell"]["vars"] if "cell" in group else group.get("vars", {})
        if _WITH_WEIGHTS.fullmatch(key):
            yield key, [found[place] for place in sorted(found, key=int)]


def _check_all_used(file: Any, used: set[str], name: str) -> None:
    """Raise ConversionError if the file holds an array that is not of the model: then the model is another one."""
    import h5py

    found = [path for path, item in _hard_links(file, name) if isinstance(item, h5py.Dataset)]
    beyond = sorted(path for path in found if path not in used and not _NOT_OF_THE_MODEL.search(path))
    if beyond:
        raise ConversionError(
            f"{name} holds {_named(beyond)}, which LSTM layers and a dense head do not have; {_INSTEAD}"
        )


def _named(names: Iterable[str]) -> str:
    shown = [_shown(one) for one in names]
    return ", ".join(shown[:6]) + (f" and {len(shown) - 6} more" if len(shown) > 6 else "")


def _number(name: str) -> int:
    match = re.search(r"_(\d{1,9})$", name)
    return int(match.group(1)) if match else 0


def _text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


def _shown(path: str) -> str:
    return ascii(path)[1:-1][:80]


def _configured(text: Any, name: str) -> tuple[str, ...] | None:
    """Return the layers that have weights in the order of the model, None without a configuration.

    Raises ConversionError unless it is one chain of LSTM layers with tanh and sigmoid and a linear dense head.
    """
    if text is None:
        return None
    try:
        written = _text(text)
        if len(written) > MAX_CONFIG_CHARACTERS:
            raise ConversionError(f"the configuration in {name} has more than {MAX_CONFIG_CHARACTERS >> 20} MB")
        nodes = read_nodes(_with_input(json.loads(written)))
        found, problems = find_network(nodes)
        if found is not None and not (found.network.is_plain and found.head):
            problems = list(_not_plain(nodes)) or ["it has no dense head"]
    except ConversionError as error:
        raise ConversionError(f"the configuration in {name} is refused: {error}") from error
    except Exception as error:  # it is of any shape
        raise ConversionError(f"the configuration in {name} is damaged; save the model as .keras instead") from error
    if problems or found is None:
        raise ConversionError(f"{name} is refused, and nothing in it was run: {listed(problems)}; {_INSTEAD}")
    return (*found.recurrent, *found.dense)


def _with_input(config: Any) -> Any:
    """Return a configuration that begins with an input, also of a Sequential model whose first layer has its shape."""
    inner = config["config"]
    layers = inner["layers"] if isinstance(inner, dict) else inner
    first = layers[0]
    if config["class_name"] != "Sequential" or first["class_name"] == INPUT:
        return config
    # arrays say how many features there are
    start = {"class_name": INPUT, "config": {"name": "the input", "batch_input_shape": [None, None, 1]}}
    return {**config, "config": {"layers": [start, *layers]}}


def _not_plain(nodes: tuple[Node, ...]) -> Iterator[str]:
    expected = {"LSTM": {"activation": "tanh", "recurrent_activation": "sigmoid"}, "Dense": {"activation": "linear"}}
    for node in nodes:
        if node.kind in expected:
            for key, value in expected[node.kind].items():
                if (node.settings.get(key) or "linear") != value:
                    yield f"{node.words}: {key} is {ascii(node.settings.get(key))[:60]}; expected {value!r}"
            if node.settings.get("go_backwards"):
                yield f"{node.words}: go_backwards must be off"
        elif node.kind not in (INPUT, *NO_OPERATION):
            yield f"{node.words} is not an LSTM, Dropout or Dense"
    if sum(node.kind == "Dense" for node in nodes) > 1:
        yield "it has several dense layers; expected one, the head"


if __name__ == "__main__":
    die_with_parent()
    sys.exit(main(sys.argv[1:]))
