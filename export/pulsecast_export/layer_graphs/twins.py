"""Layers that engines run, in place of Keras layers that they do not: the same arithmetic over the same weights.

Keras' recurrent layers become tensor lists, which TFLite has no builtin operator for; its TimeDistributed becomes one
subgraph per step; its Embedding reads beyond its rows. Everything else stays Keras'. Imported in converter child
processes only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pulsecast.model.network import Recurrent
from pulsecast.model.weights import CellWeights

from ..graphs.network_graph import Step
from .form import Twins

Tensor = Any


@dataclass(frozen=True, kw_only=True, eq=False)
class Mark:
    """A recurrent layer that stands in a graph as one operator, until an operator of ONNX replaces it."""

    layer: Recurrent
    cells: list[CellWeights]
    window: int


class RecurrentTwin(keras.layers.Layer):  # type: ignore[misc]
    """An LSTM, a GRU, or two of them in a Bidirectional.

    A step that a mask leaves out changes no state. It repeats the output before it, or gives 0 in a Bidirectional, as
    in Keras.
    """

    def __init__(self, layer: Recurrent, cells: list[CellWeights], twins: Twins, *, sequences: bool) -> None:
        super().__init__()
        self.supports_masking = True
        self._layer, self._cells, self._sequences = layer, tuple(cells), sequences
        self._twins = twins  # not its lists: Keras would copy a list

    def call(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the outputs (batch, steps, width), or the last one (batch, width), of x (batch, steps, inputs)."""
        window = int(x.shape[1])
        sequence = tf.transpose(x, [1, 0, 2])  # (steps, batch, inputs)
        if self._twins.form == "marked" and mask is None:
            every, last = self._marked(sequence, window)
        else:
            kept = None if mask is None else tf.transpose(mask)[:, :, tf.newaxis]  # (steps, batch, 1)
            every, last = self._run(sequence, kept, window)
        return tf.transpose(every, [1, 0, 2]) if self._sequences else last

    def compute_output_shape(self, shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """Return the shape of what `call` gives."""
        width = self._layer.width
        return (shape[0], shape[1], width) if self._sequences else (shape[0], width)

    def compute_mask(self, x: Tensor, mask: Tensor | None = None) -> Tensor | None:
        """Return the mask of the outputs."""
        del x
        return mask if self._sequences else None

    def _marked(self, sequence: Tensor, window: int) -> tuple[Tensor, Tensor]:
        token = f"{MARK}{len(self._twins.marks)}"
        self._twins.marks.append(Mark(layer=self._layer, cells=list(self._cells), window=window))
        every, last = tf.raw_ops.PyFunc(input=[sequence], token=token, Tout=[tf.float32, tf.float32])
        width = self._layer.width
        return tf.ensure_shape(every, [window, None, width]), tf.ensure_shape(last, [None, width])

    def _run(self, sequence: Tensor, kept: Tensor | None, window: int) -> tuple[Tensor, Tensor]:
        both = self._layer.direction == "both"
        ways = {"forward": (False,), "backward": (True,), "both": (False, True)}[self._layer.direction]
        run = _loop if self._twins.form == "loop" else _unrolled
        outputs, finals = [], []
        for backwards, cell in zip(ways, self._cells, strict=True):
            turned = [None if one is None else one[::-1] if backwards else one for one in (sequence, kept)]
            every, last = run(Step(self._layer, cell), turned[0], turned[1], window, zeroed=both)
            outputs.append(every[::-1] if backwards and both else every)
            finals.append(last)
        return self._merged(outputs), self._merged(finals)

    def _merged(self, parts: list[Tensor]) -> Tensor:
        if len(parts) == 1:
            return parts[0]
        merges: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
            "concat": lambda one, other: tf.concat([one, other], axis=-1),
            "mul": lambda one, other: one * other,
            "sum": lambda one, other: one + other,
            "ave": lambda one, other: (one + other) * 0.5,
        }
        return merges[self._layer.merge](*parts)


MARK = "pulsecast_layer_"


def _stepped(
    step: Step, x: Tensor, kept: Tensor | None, state: tuple[Tensor, Tensor], *, zeroed: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Return (output, h, c), each (batch, units), after one step; `kept` (batch, 1) says whose step counts."""
    h, c = step(x, *state)
    if kept is None:
        return h, h, c
    before, c = state[0], tf.where(kept, c, state[1])
    output = tf.where(kept, h, tf.zeros_like(h) if zeroed else before)
    return output, tf.where(kept, h, before), c


def _loop(step: Step, sequence: Tensor, kept: Tensor | None, window: int, *, zeroed: bool) -> tuple[Tensor, Tensor]:
    """Return the outputs (steps, batch, units) and the last h (batch, units) of one cell, by a loop over time."""
    units = step.layer.units
    batch = tf.shape(sequence)[1]
    zeros = tf.zeros([batch, units])

    def body(t: Tensor, h: Tensor, c: Tensor, outputs: Tensor) -> tuple[Tensor, ...]:
        now = None if kept is None else tf.gather(kept, t)
        output, h, c = _stepped(step, tf.gather(sequence, t), now, (h, c), zeroed=zeroed)
        return t + 1, h, c, tf.concat([outputs[1:], output[tf.newaxis]], axis=0)

    state = tf.TensorShape([None, units])
    _, last, _, outputs = tf.while_loop(
        lambda t, *_: t < window,
        body,
        (tf.constant(0), zeros, zeros, tf.zeros([window, batch, units])),
        shape_invariants=(tf.TensorShape([]), state, state, tf.TensorShape([window, None, units])),
        maximum_iterations=window,
    )
    return outputs, last


def _unrolled(step: Step, sequence: Tensor, kept: Tensor | None, window: int, *, zeroed: bool) -> tuple[Tensor, Tensor]:
    """Return what `_loop` does, by one copy of the cell for each step."""
    h = c = tf.zeros([tf.shape(sequence)[1], step.layer.units])
    outputs = []
    for t in range(window):
        output, h, c = _stepped(step, sequence[t], None if kept is None else kept[t], (h, c), zeroed=zeroed)
        outputs.append(output)
    return tf.stack(outputs, axis=0), h


class EveryStepTwin(keras.layers.Layer):  # type: ignore[misc]
    """A TimeDistributed: all steps of all windows go through the inner layer as one batch."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.supports_masking = True
        self.inner = inner

    def call(self, x: Tensor) -> Tensor:
        """Return (batch, steps, ...) of x (batch, steps, ...)."""
        steps, shape = int(x.shape[1]), [int(size) for size in x.shape[2:]]
        found = self.inner(tf.reshape(x, [-1, *shape]))
        return tf.reshape(found, [-1, steps, *(int(size) for size in found.shape[1:])])


class EmbeddingTwin(keras.layers.Layer):  # type: ignore[misc]
    """An Embedding. A window with a number that is not whole, or that has no row, gets NaN from a guard."""

    def __init__(self, table: NDArray[np.float32], twins: Twins, *, mask_zero: bool) -> None:
        super().__init__()
        self.supports_masking = True
        self._table, self._mask_zero, self._twins = table, mask_zero, twins

    def call(self, x: Tensor) -> Tensor:
        """Return rows (batch, ..., width) of indices x (batch, ...)."""
        inside = tf.minimum(tf.maximum(x, 0.0), np.float32(len(self._table) - 1))
        known = tf.where(tf.equal(inside, inside), inside, tf.zeros_like(inside))  # an engine may keep NaN above
        index = tf.cast(known, tf.int32)
        same = tf.cast(tf.equal(tf.cast(index, tf.float32), x), tf.float32)  # 0 for another number, and for NaN
        axes = list(range(1, len(x.shape)))
        least = tf.reduce_min(same, axis=axes) if axes else same
        self._twins.guards.append(tf.reshape(0.0 / least, [-1, 1]))
        return tf.gather(tf.constant(self._table), index)

    def compute_mask(self, x: Tensor, mask: Tensor | None = None) -> Tensor | None:
        """Return where the index is not 0, if 0 is for steps that are left out."""
        del mask
        return tf.not_equal(tf.cast(x, tf.int32), 0) if self._mask_zero else None


class AffineTwin(keras.layers.Layer):  # type: ignore[misc]
    """A BatchNormalization at inference, or a Normalization: one product, and a sum before or after it."""

    def __init__(
        self, factor: NDArray[np.float32], *, before: NDArray[np.float32] | None, after: NDArray[np.float32] | None
    ) -> None:
        super().__init__()
        self.supports_masking = True
        self._factor, self._before, self._after = factor, before, after

    def call(self, x: Tensor) -> Tensor:
        """Return (x - before) times the factor + after, of x (batch, ..., width)."""
        x = x if self._before is None else x - tf.constant(self._before)
        x = x * tf.constant(self._factor)
        return x if self._after is None else x + tf.constant(self._after)


class RepeatTwin(keras.layers.Layer):  # type: ignore[misc]
    """A RepeatVector."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self._count = count

    def call(self, x: Tensor) -> Tensor:
        """Return (batch, count, width) of x (batch, width)."""
        return tf.tile(x[:, tf.newaxis], [1, self._count, 1])
