"""A vetted `.keras` file as a Keras model, read in safe mode, and what the model gives."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulsecast.errors import ConversionError
from pulsecast.foundation.private_folder import temporary_folder

from .keras_file import CONFIG, METADATA, WEIGHTS, KerasFile
from .keras_nodes import ends

# what training leaves in a file beside the weights of layers
NOT_WEIGHTS = re.compile(r"^/(optimizer|optimizer_weights|compile_metrics)/|/seed_generator/")
Array = NDArray[np.floating]
Forward = Callable[[Array], Array]  # channels (batch, window, channels) to outputs (batch, horizon)


def load_model(file: KerasFile) -> Any:
    """Return the Keras model, read in safe mode from a file made anew of what was vetted."""
    import keras

    with temporary_folder() as folder:
        copy = folder / "model.keras"
        _write_keras_file(copy, file)
        try:
            return keras.saving.load_model(copy, compile=False, safe_mode=True)
        except Exception as error:  # Keras may raise any exception
            raise ConversionError(f"Keras cannot load the model in safe mode: {first_line(error)}") from error


def _write_keras_file(path: Path, file: KerasFile) -> None:
    """Write the configuration and the weights as Keras does; no byte of the user's HDF5 or zip file is copied."""
    import h5py

    weights = io.BytesIO()
    with h5py.File(weights, "w") as made:
        for name, array in file.arrays.items():
            made[name] = array
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(METADATA, json.dumps({"keras_version": file.version}))
        vetted = {key: value for key, value in file.config.items() if key != "compile_config"}
        archive.writestr(CONFIG, json.dumps(vetted))
        archive.writestr(WEIGHTS, weights.getbuffer())


def check_loaded(keras_model: Any, file: KerasFile) -> None:
    """Raise ConversionError unless the model's weights are those of the file: Keras may leave some as they are."""
    held = {_identity(array): path for path, array in file.arrays.items()}
    made = {_identity(np.asarray(weight)): weight.path for weight in keras_model.weights if _is_weight(weight)}
    strange = sorted({path for one, path in made.items() if one not in held})
    unused = sorted(
        path for one, path in held.items() if one not in made and "float" in one[0] and not NOT_WEIGHTS.search(path)
    )
    if strange or unused:
        raise ConversionError(
            f"the weights are not those of the layers: {', '.join(strange[:6]) or 'none'} not in the file, "
            f"{', '.join(map(ascii, unused[:6])) or 'none'} not in a layer; save the model again"
        )


def _is_weight(weight: Any) -> bool:
    return str(weight.dtype).startswith("float")


def _identity(array: NDArray[np.generic]) -> tuple[str, tuple[int, ...], bytes]:
    return str(array.dtype), array.shape, array.tobytes()


def part_of(keras_model: Any, config: Mapping[str, Any], inputs: Sequence[str], output: str | None) -> Any:
    """Return the part of the model of `config` from the inputs of these names, as a list, to one output.

    output  its name, None for the only one
    """
    import keras

    inner = config["config"]
    if config["class_name"] == "Sequential" or "output_layers" not in inner:
        return keras_model
    given = dict(zip((name for _, name in ends(inner["input_layers"], as_keras=True)), keras_model.inputs, strict=True))
    names = [key or name for key, name in ends(inner["output_layers"], as_keras=True)]
    found = dict(zip(names, keras_model.outputs, strict=True))
    wanted = names[0] if output is None else output
    taken = [given[name] for name in inputs]
    return keras.Model(taken if len(taken) > 1 else taken[0], found[wanted])


def forward_of(keras_model: Any) -> Callable[[Any], Array]:
    """Return the Keras model as a function of its input, or of a list of its inputs, to outputs (batch, horizon).

    It raises ConversionError if Keras cannot run the model or gives outputs of another form.
    """

    def forward(inputs: Any) -> Array:
        given = inputs if isinstance(inputs, list) else [inputs]
        try:
            one = keras_model(given if len(given) > 1 else given[0], training=False)
            found = np.asarray(one[0] if isinstance(one, list) and len(one) == 1 else one)
        except Exception as error:  # Keras may raise any exception
            raise ConversionError(f"Keras cannot run the model: {first_line(error)}") from error
        sizes = [size for size in found.shape[1:] if size != 1]
        flat = found.reshape(len(found), -1) if found.ndim > 1 and len(sizes) < 2 else found
        if flat.ndim != 2 or len(flat) != len(given[0]):
            raise ConversionError(f"the Keras model gives {found.shape}; expected ({len(given[0])}, horizon)")
        return flat

    return forward


def first_line(error: Exception) -> str:
    """Return the first line of what Keras says, in printable letters; it may raise any exception."""
    return ascii((str(error).strip() or type(error).__name__).splitlines()[0][:300])[1:-1]
