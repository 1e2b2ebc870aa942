"""The network's weights, in Keras' layout, and their file format: little-endian float32 in an .npz without pickles."""

from __future__ import annotations

import io
import math
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import IO

import numpy as np
from numpy.typing import NDArray

from .. import limits
from ..errors import FormatError
from ..foundation.quick_dataclass import dataclass
from ..plain_text import listed
from .layer_graph import LayerGraph
from .network import Network
from .spec import ModelSpec

LITTLE_FLOAT32 = np.dtype("<f4")
_GRAPH_ARRAY = re.compile(r"layer_(\d+)\.\d+")
_ENTRY = b"PK\1\2"  # every entry of a zip's directory begins so


@dataclass(frozen=True, kw_only=True)
class CellWeights:
    """One cell. Of an LSTM: kernel (inputs, 4*units), recurrent (units, 4*units), bias (4*units,); gates i, f, c, o.

    Of a GRU: three blocks of columns, z, r, h, and bias (2, 3*units) with `reset_after`; see `Network.shapes`.
    """

    kernel: NDArray[np.float32]
    recurrent: NDArray[np.float32]
    bias: NDArray[np.float32]

    @property
    def units(self) -> int:
        """Number of units of the cell."""
        return int(self.recurrent.shape[0])


@dataclass(frozen=True, kw_only=True)
class Weights:
    """The arrays of a `Network`, or of a `LayerGraph`.

    layers  every cell in order, from input to output; both cells of a bidirectional layer, the forward one first
    dense   (kernel, bias) of the dense layers before the head
    head    kernel (width, horizon) and bias (horizon,); without recurrent layers width is 0, and the file has neither
    linear  kernel of the linear path, (its inputs, horizon), rows in the order of `Linear`; None without one
    named   of a graph, by `array_name`; then there is nothing else
    """

    layers: tuple[CellWeights, ...]
    head_kernel: NDArray[np.float32]
    head_bias: NDArray[np.float32]
    dense: tuple[tuple[NDArray[np.float32], NDArray[np.float32]], ...] = ()
    linear: NDArray[np.float32] | None = None
    named: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)

    def arrays(self, network: Network) -> dict[str, NDArray[np.float32]]:
        """Return every array under its name in the file."""
        if self.named:
            return dict(self.named)
        named: dict[str, NDArray[np.float32]] = {}
        for i, cell in enumerate(self.layers):
            arrays = {"kernel": cell.kernel, "recurrent": cell.recurrent, "bias": cell.bias}
            named |= {f"{network.cell_prefix}_{i}.{part}": array for part, array in arrays.items()}
        for i, (kernel, bias) in enumerate(self.dense):
            named |= {f"dense_{i}.kernel": kernel, f"dense_{i}.bias": bias}
        if self.layers:
            named |= {"head.kernel": self.head_kernel, "head.bias": self.head_bias}
        return named if self.linear is None else named | {"linear.kernel": self.linear}


def write_weights(weights: Weights, network: Network) -> bytes:
    """Return the file's bytes; the same weights give the same bytes."""
    buffer = io.BytesIO()
    arrays = weights.arrays(network)
    np.savez(buffer, **{name: array.astype(LITTLE_FLOAT32) for name, array in arrays.items()})  # type: ignore[arg-type]
    return buffer.getvalue()


def read_weights(data: bytes, spec: ModelSpec) -> Weights:
    """Return the weights in `data`; raises FormatError unless they are finite and of the shapes of `spec`."""
    arrays = read_npz(data, where="weights.npz")
    if spec.graph is not None:
        return _of_graph(arrays, spec.graph)
    prefix, shapes = spec.network.cell_prefix, shapes_of(spec)
    if prefix == "lstm" and "cell_0.kernel" in arrays:  # an LSTM stack without a head, as it was exported until 0.1
        arrays = {re.sub(r"^cell_(?=\d)", "lstm_", name): array for name, array in arrays.items()}
    problems = [f"{name} is missing" for name in shapes if name not in arrays]
    problems += [f"{name} is unexpected" for name in arrays if name not in shapes]
    for name, shape in shapes.items():
        array = arrays.get(name)
        if array is None:
            continue
        if array.dtype != LITTLE_FLOAT32:
            problems.append(f"{name} is {array.dtype}; expected little-endian float32")
        elif array.shape != shape:
            problems.append(f"{name} has shape {array.shape}; this model takes {shape}")
        elif not np.isfinite(array.astype(np.float32)).all():
            problems.append(f"{name} holds NaN or infinity")
    if problems:
        raise FormatError("weights.npz: " + listed(problems))
    floats = {name: arrays[name].astype(np.float32) for name in shapes}
    nothing = np.zeros((0, spec.horizon), np.float32)
    return Weights(
        layers=tuple(
            CellWeights(**{part: floats[f"{prefix}_{i}.{part}"] for part in ("kernel", "recurrent", "bias")})
            for i in range(spec.network.cells)
        ),
        head_kernel=floats.get("head.kernel", nothing),
        head_bias=floats.get("head.bias", np.zeros(spec.horizon, np.float32)),
        dense=tuple((floats[f"dense_{i}.kernel"], floats[f"dense_{i}.bias"]) for i in range(len(spec.network.dense))),
        linear=floats.get("linear.kernel"),
    )


def shapes_of(spec: ModelSpec) -> dict[str, tuple[int, ...]]:
    """Return the shape of every array of the weights' file of a model, by name."""
    return spec.network.shapes(len(spec.channels), spec.horizon, spec.measured)


def of_graph(named: Mapping[str, NDArray[np.float32]]) -> Weights:
    """Return the weights of a graph."""
    return Weights(layers=(), head_kernel=np.zeros((0, 0), np.float32), head_bias=np.zeros(0, np.float32), named=named)


def _of_graph(arrays: Mapping[str, NDArray[np.generic]], graph: LayerGraph) -> Weights:
    """Return the weights of a graph: arrays of its layers, whose shapes only Keras knows."""
    numbers = {str(number) for number in range(len(graph.layers))}
    problems = [
        f"{name[:60]!a} is not an array of one of the layers"
        for name in arrays
        if not ((found := _GRAPH_ARRAY.fullmatch(name)) and found[1] in numbers)
    ]
    problems += [
        f"{name[:60]!a} is not of finite little-endian float32"
        for name, array in arrays.items()
        if array.dtype != LITTLE_FLOAT32 or not np.isfinite(array.astype(np.float32)).all()
    ]
    if problems:
        raise FormatError("weights.npz: " + listed(problems))
    return of_graph({name: array.astype(np.float32) for name, array in arrays.items()})


def write_npz(**arrays: NDArray[np.generic]) -> bytes:
    """Return the bytes of a compressed .npz file; the same arrays give the same bytes."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def read_npz(data: bytes, *, where: str) -> dict[str, NDArray[np.generic]]:
    """Return the arrays of an .npz file by name; object arrays (pickles) and damaged files raise FormatError.

    No array is made before the file's directory and every array's header are within the limits.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(_counted(data))) as members:  # reads no member beyond the size that it states
            _check_sizes(members, len(data))
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    # damage comes out as zlib.error, MemoryError, RuntimeError, tokenize's error and others: no list of them is
    # complete
    except Exception as error:
        reason = str(error).partition("If you trust")[0].strip()  # leave out numpy's advice to allow pickles
        raise FormatError(f"{where} is not a readable .npz file of plain arrays: {reason}") from error
    if strange := [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]:
        raise FormatError(f"{where} is not a readable .npz file of plain arrays: {strange[0]} is not an array")
    return arrays


def array_problems(
    arrays: Mapping[str, NDArray[np.generic]],
    expected: Mapping[str, tuple[str, tuple[int, ...]]],
    unknown: Sequence[str] = (),
) -> list[str]:
    """Return what is wrong with the `arrays` of a file: those of `expected`, name -> (dtype, shape), and finite.

    unknown  those that may hold NaN, for what is not known
    """
    problems = [f"{name} is missing or unexpected" for name in sorted(set(arrays) ^ set(expected))]
    for name, (dtype, shape) in expected.items():
        array = arrays.get(name)
        if array is None:
            continue
        if array.dtype != np.dtype(dtype) or array.shape != shape:
            problems.append(f"{name} is {array.dtype}{array.shape}; expected {dtype}{shape}")
        elif name not in unknown and not np.isfinite(array.astype(np.float64)).all():
            problems.append(f"{name} holds NaN or infinity")
    return problems


def _counted(data: bytes) -> bytes:
    """Return `data` if its directory is short: zipfile makes an object of every entry."""
    if data.count(_ENTRY) > limits.NPZ_ARRAYS:
        raise ValueError(f"it holds more than {limits.NPZ_ARRAYS} arrays")
    return data


def _check_sizes(members: zipfile.ZipFile, size_bytes: int) -> None:
    """Raise ValueError if the arrays are too large together, or one of them promises more than its member holds."""
    inflated = sum(member.file_size for member in members.infolist())
    if inflated > limits.NPZ_BYTES:
        raise ValueError(f"its arrays have {inflated} bytes; at most {limits.NPZ_BYTES} are read")
    if inflated > max(limits.NPZ_SMALL_BYTES, limits.NPZ_INFLATION * size_bytes):
        raise ValueError(
            f"its {size_bytes} bytes hold {inflated}; at most {limits.NPZ_INFLATION} times as many are read"
        )
    for member in members.infolist():
        if member.filename.endswith(".npy"):
            with members.open(member) as file:
                _check_promise(file, member)


def _check_promise(file: IO[bytes], member: zipfile.ZipInfo) -> None:
    """Raise ValueError unless the header of an array states as many bytes as its member holds."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    promised = math.prod(shape) * dtype.itemsize
    if not dtype.hasobject and promised != member.file_size - file.tell():
        raise ValueError(f"{member.filename} promises {promised} bytes; it holds {member.file_size - file.tell()}")
