"""Training on several devices of one machine: each takes a part of every batch, and their gradients are added up.

An example's loss is weighted by one over the whole batch's size, so every example counts once, also in a batch that the
devices cannot share evenly, such as the last one of an epoch. TensorFlow only, by its MirroredStrategy.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from pulsecast.errors import UsageError


class Mirrored:
    """The devices, and how batches run on them. Build networks and assign variables in its `scope`."""

    def __init__(self, devices: int) -> None:
        """Take the first `devices` GPUs, or logical CPUs where there is no GPU; raises UsageError for fewer."""
        if keras.backend.backend() != "tensorflow":
            raise UsageError(f"devices is {devices}; Keras on {keras.backend.backend()} trains on one here")
        import tensorflow as tf

        kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
        found = [device.name for device in tf.config.list_logical_devices(kind)]
        if len(found) < devices:
            raise UsageError(f"devices is {devices}; TensorFlow finds {len(found)} {kind} here (see pulsecast doctor)")
        # NCCL, the default, is for GPUs
        reduction = None if kind == "GPU" else tf.distribute.ReductionToOneDevice()
        self._strategy = tf.distribute.MirroredStrategy(found[:devices], cross_device_ops=reduction)
        self._train: Callable[..., Any]
        self._judge: Callable[..., Any]

    def scope(self) -> AbstractContextManager[Any]:
        """Return the context in which a network for these devices is built."""
        scope: AbstractContextManager[Any] = self._strategy.scope()
        return scope

    def take(self, network: keras.Model, loss: Any) -> None:
        """From now on run batches of `network`, compiled in `scope`; `loss` is a Keras loss or its name."""
        import tensorflow as tf

        loss = keras.losses.get(loss)
        each = loss.call if isinstance(loss, keras.losses.Loss) else loss  # (batch, horizon) twice -> (batch,)

        def judge(inputs: Any, targets: Any, weights: Any, *, training: bool = False) -> Any:
            return tf.reduce_sum(weights * each(targets, network(inputs, training=training)))

        def train(inputs: Any, targets: Any, weights: Any) -> Any:
            with tf.GradientTape() as tape:
                own = judge(inputs, targets, weights, training=True)
            network.optimizer.apply(tape.gradient(own, network.trainable_variables), network.trainable_variables)
            return own

        def everywhere(one: Callable[..., Any]) -> Callable[..., Any]:
            run: Callable[..., Any] = tf.function(
                lambda *parts: self._strategy.reduce("SUM", self._strategy.run(one, args=parts), axis=None)
            )
            return run

        self._train, self._judge = everywhere(train), everywhere(judge)

    def train(self, inputs: NDArray[np.float32], targets: NDArray[np.float32]) -> float:
        """Take one step on a batch and return its mean loss before the step."""
        return float(self._train(*self._shared(inputs, targets)))

    def judge(self, inputs: NDArray[np.float32], targets: NDArray[np.float32]) -> float:
        """Return the mean loss of a batch."""
        return float(self._judge(*self._shared(inputs, targets)))

    def _shared(self, inputs: NDArray[np.float32], targets: NDArray[np.float32]) -> tuple[Any, ...]:
        """Return inputs, targets and weights (batch,) in parts; no part is empty: some kernels refuse that."""
        devices = self._strategy.num_replicas_in_sync
        weights = np.full(len(inputs), 1 / len(inputs), np.float32)
        rows = np.minimum(np.arange(max(len(inputs), devices)), len(inputs) - 1)  # filled with the last one, weight 0
        weights = np.concatenate([weights, np.zeros(len(rows) - len(inputs), np.float32)])
        return tuple(self._parts(array) for array in (inputs[rows], targets[rows], weights))

    def _parts(self, array: NDArray[np.float32]) -> Any:
        parts = np.array_split(array, self._strategy.num_replicas_in_sync)
        return self._strategy.experimental_distribute_values_from_function(
            lambda context: parts[context.replica_id_in_sync_group]
        )
