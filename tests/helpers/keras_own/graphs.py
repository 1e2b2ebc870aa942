"""Keras models of layers that no `Network` has: one for each row of the second table of export/README.md.

Five of them are public architectures, built anew from their descriptions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

WINDOW, HORIZON = 12, 2
Array = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Row:
    """A model: `make` returns it for Keras.

    columns  of a step: 2 of a wave, or 3, the third one an index from 0 to 6
    copies   whether it gives the window's first column back, as an autoencoder does
    output   the name of its forecast, of several outputs
    """

    make: Callable[[Any], Any]
    columns: int = 2
    copies: bool = False
    output: str | None = None


def chain(*layers: Callable[[Any], Any], columns: int = 2) -> Row:
    """Return the row of layers one after the other."""
    return Row(
        make=lambda keras: keras.Sequential([keras.Input((WINDOW, columns)), *(one(keras.layers) for one in layers)]),
        columns=columns,
    )


def functional(make: Callable[[Any, Any], Any], **more: Any) -> Row:
    """Return the row of a model whose forecast is `make(layers, input)`."""

    def built(keras: Any) -> Any:
        start = keras.Input((WINDOW, more.get("columns", 2)))
        return keras.Model(start, make(keras.layers, start))

    return Row(make=built, **more)


def head(k: Any) -> Any:
    return k.Dense(HORIZON)


def wavenet(k: Any, x: Any) -> Any:
    """Gated, dilated causal convolutions with residual and skip connections (van den Oord et al., 2016)."""
    x, skips = k.Conv1D(6, 1)(x), []
    for rate in (1, 2, 4):
        tanh = k.Conv1D(6, 2, padding="causal", dilation_rate=rate, activation="tanh")(x)
        gate = k.Conv1D(6, 2, padding="causal", dilation_rate=rate, activation="sigmoid")(x)
        z = k.Conv1D(6, 1)(k.Multiply()([tanh, gate]))
        skips.append(z)
        x = k.Add()([x, z])
    x = k.Conv1D(6, 1, activation="relu")(k.ReLU()(k.Add()(skips)))
    return head(k)(k.Flatten()(x))


def attended(k: Any, x: Any) -> Any:
    """Two bidirectional LSTMs, attention over their steps (Luong et al., 2015), and the mean of it."""
    x = k.Bidirectional(k.LSTM(5, return_sequences=True))(x)
    x = k.Bidirectional(k.LSTM(4, return_sequences=True))(x)
    return head(k)(k.GlobalAveragePooling1D()(k.Attention()([x, x])))


def parts(keras: Any) -> Any:
    """A window in three parts, each through the same convolution, then an LSTM over the parts."""
    k = keras.layers
    layers = [
        k.TimeDistributed(k.Conv1D(6, 3, activation="relu")),
        k.TimeDistributed(k.MaxPooling1D(2)),
        k.TimeDistributed(k.Flatten()),
        k.LSTM(5),
        head(k),
    ]
    return keras.Sequential([keras.Input((3, 4, 2)), *layers])


def embedded(keras: Any) -> Any:
    k = keras.layers
    values, day = keras.Input((WINDOW, 2), name="values"), keras.Input((WINDOW,), name="day", dtype="int32")
    x = k.Concatenate()([values, k.Embedding(7, 3)(day)])
    return keras.Model([values, day], head(k)(k.LSTM(5)(x)))


def named_inputs(keras: Any) -> Any:
    """Steps, and one number of the last step, under names whose order Keras changes."""
    k = keras.layers
    given = {"zeit": keras.Input((WINDOW, 2), name="zeit"), "art": keras.Input((1,), name="art")}
    x = k.Concatenate()([k.LSTM(5)(given["zeit"]), k.Dense(3, activation="tanh")(given["art"])])
    return keras.Model(given, head(k)(x))


def chosen(keras: Any) -> Any:
    k, start = keras.layers, keras.Input((WINDOW, 2))
    hidden = k.Conv1D(5, 3, activation="relu", name="hidden")(start)
    return keras.Model(start, {"hidden": hidden, "forecast": k.Dense(HORIZON, name="forecast")(k.GRU(4)(hidden))})


def nested(keras: Any) -> Any:
    k = keras.layers
    encoder = keras.Sequential([keras.Input((WINDOW, 2)), k.LSTM(5)], name="encoder")
    rest = [k.RepeatVector(HORIZON), k.GRU(4, return_sequences=True), k.TimeDistributed(k.Dense(1))]
    decoder = keras.Sequential([keras.Input((5,)), *rest], name="decoder")
    start = keras.Input((WINDOW, 2))
    return keras.Model(start, decoder(encoder(start)))


def operator(k: Any, x: Any) -> Any:
    y = k.Dense(4)(x)
    return head(k)(k.GRU(4)(y + k.LSTM(4, return_sequences=True)(y)))


def merged(k: Any, x: Any) -> Any:
    one, other = k.LSTM(4)(x), k.GRU(4)(x)
    kinds = [k.Subtract(), k.Average(), k.Maximum(), k.Minimum(), k.Multiply()]
    return head(k)(k.Concatenate()([kind([one, other]) for kind in kinds]))


def several(*activations: str) -> Row:
    """Return the row of layers with these activations, one after the other."""
    return chain(*(lambda k, a=a: k.Conv1D(5, 2, activation=a) for a in activations), lambda k: k.Flatten(), head)


GRAPHS: dict[str, Row] = {
    "CNN-LSTM: Conv1D, pooling, LSTM": chain(
        lambda k: k.Conv1D(8, 3, padding="causal", activation="relu"), lambda k: k.MaxPooling1D(2),
        lambda k: k.LSTM(6), lambda k: k.Dropout(0.1), head,
    ),
    "stacked Bidirectional LSTM with Attention": functional(attended),
    "LSTM autoencoder": Row(
        make=chain(
            lambda k: k.LSTM(6), lambda k: k.RepeatVector(WINDOW), lambda k: k.LSTM(6, return_sequences=True),
            lambda k: k.TimeDistributed(k.Dense(1)),
        ).make,
        copies=True,
    ),
    "sequence to sequence with RepeatVector": chain(
        lambda k: k.LSTM(6), lambda k: k.RepeatVector(HORIZON), lambda k: k.LSTM(5, return_sequences=True),
        lambda k: k.TimeDistributed(k.Dense(1)),
    ),
    "WaveNet-like: gated causal Conv1D, dilated, residual": functional(wavenet),
    "TimeDistributed CNN of parts of the window, LSTM": Row(make=parts),
    "Conv1D `same`, GlobalMaxPooling1D": chain(
        lambda k: k.Conv1D(6, 3, padding="same", activation="tanh"), lambda k: k.GlobalMaxPooling1D(), head
    ),
    "Conv1D `valid` in strides, GlobalAveragePooling1D": chain(
        lambda k: k.Conv1D(6, 3, strides=2, use_bias=False), lambda k: k.GlobalAveragePooling1D(), head
    ),
    "AveragePooling1D `same`, GRU": chain(
        lambda k: k.AveragePooling1D(3, strides=2, padding="same"), lambda k: k.GRU(5), head
    ),
    "MaxPooling1D `same` in strides": chain(
        lambda k: k.MaxPooling1D(3, strides=1, padding="same"), lambda k: k.LSTM(5), head
    ),
    "BatchNormalization between": chain(
        lambda k: k.Conv1D(6, 3), lambda k: k.BatchNormalization(), lambda k: k.ReLU(), lambda k: k.LSTM(5),
        lambda k: k.BatchNormalization(center=False), head,
    ),
    "LayerNormalization between": chain(
        lambda k: k.LSTM(5, return_sequences=True), lambda k: k.LayerNormalization(), lambda k: k.GRU(4), head
    ),
    "Normalization first, `relu` head": chain(
        lambda k: k.Normalization(mean=[0.1, -0.2], variance=[0.5, 2.0]), lambda k: k.LSTM(5),
        lambda k: k.Dense(HORIZON, activation="relu"),
    ),
    "Rescaling first, below 0": chain(lambda k: k.Rescaling(-2.0, offset=0.5), lambda k: k.LSTM(5), head),
    "Activation layers": chain(
        lambda k: k.LSTM(5, return_sequences=True), lambda k: k.Activation("relu"), lambda k: k.GRU(4),
        lambda k: k.Activation("sigmoid"), head,
    ),
    "`relu`, `elu`, `selu`, `silu`": several("relu", "elu", "selu", "silu"),
    "`softplus`, `softsign`, `softmax`, `exponential`": several("softplus", "softsign", "softmax", "exponential"),
    "`relu6`, `leaky_relu`, `hard_sigmoid`, `sigmoid`": several("relu6", "leaky_relu", "hard_sigmoid", "sigmoid"),
    "ReLU, LeakyReLU, ELU, Softmax": chain(
        lambda k: k.Conv1D(5, 2), lambda k: k.LeakyReLU(negative_slope=0.2), lambda k: k.Conv1D(5, 2),
        lambda k: k.ELU(),
        lambda k: k.Conv1D(5, 2), lambda k: k.Softmax(), lambda k: k.Dense(4), lambda k: k.ReLU(max_value=3.0),
        lambda k: k.Flatten(), head,
    ),
    "Embedding of a column, two inputs": Row(make=embedded, columns=3),
    "Masking, LSTM, GRU": chain(
        lambda k: k.Masking(0.0), lambda k: k.LSTM(5, return_sequences=True), lambda k: k.GRU(4), head
    ),
    "Masking, Bidirectional, Dense, GlobalAveragePooling1D": chain(
        lambda k: k.Masking(-1.0), lambda k: k.Bidirectional(k.LSTM(4, return_sequences=True)), lambda k: k.Dense(4),
        lambda k: k.GlobalAveragePooling1D(), head,
    ),
    "TimeDistributed Dense, Flatten": chain(
        lambda k: k.LSTM(5, return_sequences=True), lambda k: k.TimeDistributed(k.Dense(3, activation="tanh")),
        lambda k: k.Flatten(), head,
    ),
    "TimeDistributed LSTM": Row(
        make=lambda keras: keras.Sequential([
            keras.Input((3, 4, 2)), keras.layers.TimeDistributed(keras.layers.LSTM(4)), keras.layers.GRU(4),
            head(keras.layers),
        ]),
    ),
    "Reshape, Permute, Flatten": chain(
        lambda k: k.Permute((2, 1)), lambda k: k.Dense(6, activation="tanh"), lambda k: k.Reshape((4, -1)),
        lambda k: k.LSTM(4), head,
    ),
    "Attention with scale, causal": functional(
        lambda k, x: head(k)(
            k.GRU(4)(k.Attention(use_scale=True)([k.Dense(4)(x), k.LSTM(4, return_sequences=True)(x)],
                                                 use_causal_mask=True))
        )
    ),
    "Attention `concat`, AdditiveAttention": functional(
        lambda k, x: head(k)(
            k.Flatten()(
                k.AdditiveAttention()([k.Attention(score_mode="concat")([y := k.Dense(4)(x), y]), y])
            )
        )
    ),
    "residual Add, LayerNormalization": functional(
        lambda k, x: head(k)(
            k.GlobalAveragePooling1D()(
                k.LayerNormalization()(k.Add()([y := k.Dense(5)(x), k.LSTM(5, return_sequences=True)(y)]))
            )
        )
    ),
    "`x + y` of two layers": functional(operator),
    "Concatenate of branches": functional(
        lambda k, x: head(k)(k.Concatenate()([k.LSTM(4)(x), k.GlobalMaxPooling1D()(k.Conv1D(4, 3)(x))]))
    ),
    "Subtract, Average, Maximum, Minimum, Multiply": functional(merged),
    "two named inputs, one of the last step": Row(make=named_inputs, columns=3),
    "one of several outputs": Row(make=chosen, output="forecast"),
    "models in the model": Row(make=nested),
    "ZeroPadding1D, Cropping1D, UpSampling1D": chain(
        lambda k: k.ZeroPadding1D((2, 1)), lambda k: k.Conv1D(4, 3), lambda k: k.Cropping1D((1, 2)),
        lambda k: k.UpSampling1D(2), lambda k: k.GRU(4), head,
    ),
    "Conv1D, GRU `reset_after=False`, `go_backwards`": chain(
        lambda k: k.Conv1D(4, 2), lambda k: k.GRU(4, reset_after=False, return_sequences=True, go_backwards=True),
        lambda k: k.LSTM(4, use_bias=False), head,
    ),
    "Bidirectional GRU `sum`, `mul`, `ave` behind Conv1D": chain(
        lambda k: k.Conv1D(4, 2), lambda k: k.Bidirectional(k.GRU(4, return_sequences=True), merge_mode="sum"),
        lambda k: k.Bidirectional(k.GRU(4, return_sequences=True), merge_mode="ave"),
        lambda k: k.Bidirectional(k.LSTM(4), merge_mode="mul"), head,
    ),
    "Dense before LSTM, noise and dropout": chain(
        lambda k: k.GaussianNoise(0.1), lambda k: k.Dense(5, activation="tanh"), lambda k: k.SpatialDropout1D(0.1),
        lambda k: k.LSTM(5, recurrent_dropout=0.1), head,
    ),
    "LSTM of all steps, Flatten": chain(lambda k: k.LSTM(4, return_sequences=True), lambda k: k.Flatten(), head),
    "Dense layers alone": chain(lambda k: k.Flatten(), lambda k: k.Dense(8, activation="relu"), head),
}  # fmt: skip


def windows_of(row: Row, wave: Array) -> Array:
    """Return windows (n, 12, columns) for a row, of windows of a wave (n, 12, 2)."""
    if row.columns == 2:
        return wave
    index = (np.arange(len(wave))[:, np.newaxis] // 2 + np.arange(WINDOW)) % 7
    return np.concatenate([wave, index[..., np.newaxis].astype(np.float32)], axis=2)


def truth_of(row: Row, windows: Array, truth: Array) -> Array:
    """Return what a row is to give for windows: what follows, or the window itself."""
    return windows[:, :, 0] if row.copies else truth


def given_to(model: Any, windows: Array) -> Any:
    """Return windows (n, 12, columns) in the form in which a Keras model takes them."""
    if len(model.inputs) == 1:
        return windows.reshape(-1, *model.inputs[0].shape[1:])
    first, second = windows[..., :2], windows[..., 2]
    return {"zeit": first, "art": second[:, -1:]} if len(model.inputs[0].shape) == 2 else [first, second]


def teach(keras: Any, model: Any, row: Row, windows: Array, truth: Array) -> None:
    """Fit the model of a row in four steps over all windows, so that its states matter; a graph takes far longer."""
    part = model if row.output is None else keras.Model(model.inputs, model.get_layer(row.output).output)
    given = truth[..., np.newaxis] if len(part.outputs[0].shape) == 3 else truth
    part.compile(keras.optimizers.Adam(0.02), "mse", run_eagerly=True)
    for _ in range(4):
        part.train_on_batch(given_to(part, windows), given)
