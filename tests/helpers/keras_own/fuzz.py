"""Keras models drawn at random from the layers that an export knows, with weights large enough to matter."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

WINDOW, COLUMNS, HORIZON = 10, 2, 2
ACTIVATIONS = ("linear", "tanh", "sigmoid", "relu", "hard_sigmoid")
MORE = (*ACTIVATIONS, "softplus", "softsign", "elu", "selu", "silu", "softmax", "leaky_relu", "relu6")


def draw_model(keras: Any, seed: int) -> tuple[Any, str | None]:
    """Return the model of a seed, and the name of its forecast if it has several outputs."""
    draw, k = random.Random(f"keras {seed}"), keras.layers
    keras.utils.set_random_seed(seed)
    start = keras.Input((WINDOW, COLUMNS), name="values")
    x = _beginning(draw, k, start)
    for _ in range(draw.randint(0, 3)):
        x = _of_steps(draw, k, x)
    x = _last_step(draw, k, x)
    for _ in range(draw.randint(0, 2)):
        x = draw.choice([k.Dense(4, activation=draw.choice(MORE)), k.Dropout(0.2), k.LayerNormalization()])(x)
    forecast = k.Dense(HORIZON, activation=draw.choice(["linear"] * 5 + ["relu", "tanh"]), name="forecast")(x)
    several = draw.random() < 0.15
    model = keras.Model(start, {"forecast": forecast, "hidden": x} if several else forecast)
    _shake(keras, model, seed)
    return model, "forecast" if several else None


def _beginning(draw: random.Random, k: Any, x: Any) -> Any:
    kind = draw.random()
    if kind < 0.1:
        return k.Normalization(mean=[0.2, -0.3], variance=[0.5, 2.0])(x)
    if kind < 0.2:
        return k.Rescaling(draw.choice([0.5, -0.5, [2.0, 0.5]]), offset=0.25)(x)
    return k.Masking(draw.choice([0.0, -1.0]))(x) if kind < 0.3 else x


def _of_steps(draw: random.Random, k: Any, x: Any) -> Any:
    """Return one more layer of steps."""
    width, steps = int(x.shape[-1]), int(x.shape[1])
    makers = [
        lambda: _recurrent(draw, k, sequences=True)(x),
        lambda: _recurrent(draw, k, sequences=True)(x),
        lambda: k.Bidirectional(
            _recurrent(draw, k, sequences=True, turned=False),
            merge_mode=draw.choice(["concat", "sum", "mul", "ave"]),
        )(x),
        lambda: k.Dense(draw.randint(1, 5), activation=draw.choice(MORE))(x),
        lambda: k.TimeDistributed(k.Dense(draw.randint(1, 4), activation=draw.choice(ACTIVATIONS)))(x),
        lambda: k.BatchNormalization(center=draw.random() < 0.5, scale=draw.random() < 0.5)(x),
        lambda: k.LayerNormalization()(x),
        lambda: k.Activation(draw.choice(MORE))(x),
        lambda: k.Attention(use_scale=draw.random() < 0.5)([x, x], use_causal_mask=draw.random() < 0.5),
        lambda: k.Add()([x, k.Dense(width, activation="tanh")(x)]),
        lambda: k.Concatenate()([x, k.LSTM(3, return_sequences=True)(x)]),
        lambda: k.SpatialDropout1D(0.1)(x),
        lambda: k.Permute((2, 1))(x),
        lambda: x + k.Dense(width)(x),
    ]
    if steps >= 4:
        makers += [
            lambda: k.Conv1D(
                draw.randint(1, 5), draw.randint(1, 3), padding=draw.choice(["causal", "same", "valid"]),
                dilation_rate=draw.choice([1, 1, 2]) if steps >= 6 else 1, activation=draw.choice(MORE),
            )(x),
            lambda: k.Conv1D(3, 2, strides=2, use_bias=False)(x),
            lambda: draw.choice([k.MaxPooling1D, k.AveragePooling1D])(2, padding=draw.choice(["valid", "same"]))(x),
        ]  # fmt: skip
    return draw.choice(makers)()


def _recurrent(draw: random.Random, k: Any, *, sequences: bool, turned: bool = True) -> Any:
    kind, more = draw.choice([(k.LSTM, {}), (k.GRU, {}), (k.GRU, {"reset_after": False})])
    return kind(
        draw.randint(1, 5),
        activation=draw.choice(["tanh", "tanh", *ACTIVATIONS]),
        recurrent_activation=draw.choice(["sigmoid", "sigmoid", "hard_sigmoid", "tanh"]),
        use_bias=draw.random() < 0.8,
        go_backwards=turned and draw.random() < 0.15,
        return_sequences=sequences,
        **more,
    )


def _last_step(draw: random.Random, k: Any, x: Any) -> Any:
    kind = draw.random()
    if kind < 0.5:
        return _recurrent(draw, k, sequences=False)(x)
    if kind < 0.6:
        return k.Bidirectional(_recurrent(draw, k, sequences=False, turned=False))(x)
    if kind < 0.7:
        return _recurrent(draw, k, sequences=False)(k.RepeatVector(3)(_recurrent(draw, k, sequences=False)(x)))
    return draw.choice([k.Flatten, k.GlobalAveragePooling1D, k.GlobalMaxPooling1D])()(x)


def _shake(keras: Any, model: Any, seed: int) -> None:
    """Move every weight away from what it begins as: biases from 0, normalisations from 1."""
    numbers = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Normalization):
            continue
        moved = [array + numbers.normal(0, 0.2, array.shape) for array in layer.get_weights()]
        if isinstance(layer, keras.layers.BatchNormalization):
            moved[-1] = np.abs(moved[-1]) + 0.1
        layer.set_weights(moved)


def windows(count: int, seed: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return windows (count, 10, 2); some have steps of 0 and of -1, which a Masking leaves out."""
    numbers = np.random.default_rng(seed)
    made = numbers.standard_normal((count, WINDOW, COLUMNS)).astype(np.float32)
    for value, first in ((0.0, 1), (-1.0, 2)):
        made[first::5, 3:6] = value
    made[3::15, :4] = 0.0
    made[4::15] = -1.0
    return made
