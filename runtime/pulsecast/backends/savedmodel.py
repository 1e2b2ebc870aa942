"""Backend `savedmodel`: TensorFlow running the SavedModel's `serving_default`, as TF Serving does."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before the import: TensorFlow logs its start-up to stderr

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from ..bundle.bundle import Bundle
from ..bundle.manifest import Artifact
from ..errors import EngineError
from ..model.windows import FORECAST, OUTPUTS, position
from . import fail
from .forks import abandon, refuse, renew_after_fork

SIGNATURE = "serving_default"
# Arithmetic, shapes and loops. A TensorFlow graph is a program, which may also read and write files; a forecast needs
# only these, and a graph with any other operator is not loaded.
_NAMES = (
    "AddN AddV2 All Any AvgPool BatchMatMulV2 BatchToSpaceND BiasAdd Cast Ceil ConcatV2 Const Conv2D Cos Cumsum Elu "
    "Equal Exp ExpandDims Expm1 Fill Floor FloorMod GatherV2 Greater GreaterEqual Identity IsFinite LeakyRelu Less "
    "LessEqual Log Log1p LogicalAnd LogicalNot LogicalOr MatMul Max MaxPool Maximum Mean Min Minimum Mul Neg NoOp "
    "NotEqual Pack Pad PadV2 PartitionedCall Placeholder Pow Prod Range RealDiv Relu Relu6 Reshape ReverseV2 Rsqrt "
    "Select SelectV2 Selu Shape Sigmoid Sin Slice Softmax Softplus Softsign SpaceToBatchND Split SplitV Sqrt Square "
    "SquaredDifference Squeeze StatefulPartitionedCall StatelessWhile StopGradient StridedSlice Sub Sum Tanh Tile "
    "Transpose Unpack While ZerosLike"
)
OPERATORS = frozenset(_NAMES.split())
_COLLECTIONS = ("saved_model_main_op", "legacy_init_op")  # nodes that a server runs once, before any request
# kinds of objects that the file may hold; variables, assets and tables bring functions that loading runs
_OBJECTS = {"user_object", "function", "bare_concrete_function", None}


def engine() -> str:
    """Return name and version of the engine."""
    return f"tensorflow {tf.__version__}"


def device() -> str:
    """Return where TensorFlow places operations: `GPU` if it could start one."""
    return "GPU" if tf.config.list_logical_devices("GPU") else "CPU"


class _TensorFlow:
    """TensorFlow in this process: its threads do not follow a fork, and it starts once in a process."""

    def __init__(self) -> None:
        self.is_lost = False  # it was running when this process was forked
        renew_after_fork(self)

    def after_fork(self) -> None:
        """See `Renewed`."""
        self.is_lost = self.is_lost or _is_running()


def _is_running() -> bool:
    """Return whether TensorFlow has started its threads: it then refuses another number of them."""
    threading = tf.config.threading
    before = threading.get_inter_op_parallelism_threads()
    try:
        threading.set_inter_op_parallelism_threads(before + 1)
        threading.set_inter_op_parallelism_threads(before)
    except RuntimeError:
        return True
    return False


_tensorflow = _TensorFlow()


class SavedModelBackend:
    """One restored signature. Thread-safe: TensorFlow functions are. A forked process cannot use it."""

    def __init__(self, path: str) -> None:
        self.engine = engine()
        # the restored object owns the variables and must live as long as its signature
        self._model = tf.saved_model.load(path)
        self._signature = self._model.signatures[SIGNATURE]
        self._inputs = [(name, position(name)) for name in self._signature.structured_input_signature[1]]
        self.device = device()
        renew_after_fork(self)

    def predict(
        self,
        values: NDArray[np.float32],
        time: NDArray[np.int64] | None = None,
        series: NDArray[np.int64] | None = None,
    ) -> NDArray[np.float32]:
        """See `Backend.predict`."""
        try:
            forecasts: NDArray[np.float32] = self._run((values, time, series))[FORECAST].numpy()
        except Exception as error:
            fail(f"{self.engine} failed", error)
        return forecasts

    def outputs(
        self,
        values: NDArray[np.float32],
        time: NDArray[np.int64] | None = None,
        series: NDArray[np.int64] | None = None,
    ) -> tuple[NDArray[np.float32], ...]:
        """See `Backend.outputs`."""
        try:
            found = self._run((values, time, series))
            return tuple(found[name].numpy() for name in OUTPUTS if name in found)
        except Exception as error:
            fail(f"{self.engine} failed", error)

    def after_fork(self) -> None:
        """See `Renewed`."""
        abandon(self._model)
        abandon(self._signature)
        self._run = self._refuse  # type: ignore[method-assign]

    def _refuse(self, given: tuple[NDArray[np.generic] | None, ...]) -> Any:
        del given
        refuse(self.engine)

    def _run(self, given: tuple[NDArray[np.generic] | None, ...]) -> Any:
        return self._signature(**{name: tf.constant(given[i]) for name, i in self._inputs})


def open_artifact(bundle: Bundle, artifact: Artifact, threads: int) -> SavedModelBackend:
    """Return the restored SavedModel; `threads` holds for the process and only before TensorFlow's first operation."""
    if _tensorflow.is_lost:
        refuse(engine())
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        pass  # TensorFlow already runs in this process with its own number of threads
    with bundle.unpacked(artifact.path) as folder:  # TensorFlow reads all of it now, and nothing later
        require_arithmetic(folder)
        return SavedModelBackend(str(folder))


def require_arithmetic(folder: Path, *, served: bool = False) -> None:
    """Raise EngineError if loading or running the SavedModel in `folder` would run anything except OPERATORS.

    served  TensorFlow Serving will load it; it also runs the functions that restore variables, and two old collections
    """
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((folder / "saved_model.pb").read_bytes())
    foreign = {name for meta in saved.meta_graphs for name in _foreign(meta)}
    if served:
        foreign |= {name for meta in saved.meta_graphs for name in _foreign_to_a_server(meta)}
    if foreign:
        raise EngineError(
            f"the SavedModel holds more than a forecast: {', '.join(sorted(foreign)[:10])}; it is not "
            f"{'served' if served else 'loaded'}, because such a graph may read and write files"
        )


def _foreign(meta: Any) -> Iterator[str]:
    """Yield what is in a graph beyond arithmetic, except the functions of its saver, which nothing here calls."""
    objects = meta.object_graph_def
    for item in objects.nodes:
        if item.WhichOneof("kind") not in _OBJECTS or item.saveable_objects or item.registered_saver:
            yield f"an object of kind {item.WhichOneof('kind')}"
    outputs = [item.name for signature in meta.signature_def.values() for item in signature.outputs.values()]
    yield from _reached(meta, outputs, list(objects.concrete_functions))


def _foreign_to_a_server(meta: Any) -> Iterator[str]:
    """Yield what a server runs while it loads a graph, except the read of the variables file that the server names."""
    started = [name for key in _COLLECTIONS for name in meta.collection_def[key].node_list.value]
    found = _reached(meta, [*started, meta.saver_def.restore_op_name], [])
    yield from (name for name in found if name != "RestoreV2")


def _reached(meta: Any, outputs: Iterable[str], called: list[str]) -> Iterator[str]:
    """Yield every operator outside OPERATORS that runs when `outputs` or the functions `called` are computed."""
    graph = {node.name: node for node in meta.graph_def.node}
    functions = {function.signature.name: function.node_def for function in meta.graph_def.library.function}
    names, seen = [_node_name(output) for output in outputs], set()
    while names:
        name = names.pop()
        if name in graph and name not in seen:
            seen.add(name)
            names += map(_node_name, graph[name].input)
            yield from _foreign_operator(graph[name], functions, called)
    seen = set()
    while called:
        name = called.pop()
        if name in functions and name not in seen:
            seen.add(name)
            for node in functions[name]:
                yield from _foreign_operator(node, functions, called)


def _foreign_operator(node: Any, functions: Mapping[str, Any], called: list[str]) -> Iterator[str]:
    """Yield a node's operator if it is not in OPERATORS; add the functions that it calls to `called`."""
    called += [name for value in node.attr.values() for name in (value.func.name, *(f.name for f in value.list.func))]
    if node.op in functions:  # a function may be called by its name alone
        called.append(node.op)
    elif node.op not in OPERATORS:
        yield node.op


def _node_name(tensor: str) -> str:
    return tensor.lstrip("^").partition(":")[0]
