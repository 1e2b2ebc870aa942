"""Backend `savedmodel`: TensorFlow running the SavedModel's `serving_default`, as TF Serving does."""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before the import: TensorFlow logs its start-up to stderr

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from ..bundle import Bundle
from ..manifest import Artifact

SIGNATURE = "serving_default"


def engine() -> str:
    """Return name and version of the engine."""
    return f"tensorflow {tf.__version__}"


def device() -> str:
    """Return where TensorFlow places operations: `GPU` if it could start one."""
    return "GPU" if tf.config.list_logical_devices("GPU") else "CPU"


class SavedModelBackend:
    """One restored signature. Thread-safe: TensorFlow functions are."""

    def __init__(self, path: str) -> None:
        self.engine = engine()
        # the restored object owns the variables and must live as long as its signature
        self._model = tf.saved_model.load(path)
        self._signature = self._model.signatures[SIGNATURE]
        self.device = device()

    def predict(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `Backend.predict`."""
        forecasts: NDArray[np.float32] = self._signature(window=tf.constant(windows))["forecast"].numpy()
        return forecasts


def open_artifact(bundle: Bundle, artifact: Artifact, threads: int) -> SavedModelBackend:
    """Return the restored SavedModel; `threads` holds for the process and only before TensorFlow's first operation."""
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        pass  # TensorFlow already runs in this process with its own number of threads
    with bundle.unpacked(artifact.path) as folder:  # TensorFlow reads all of it now, and nothing later
        return SavedModelBackend(str(folder))
