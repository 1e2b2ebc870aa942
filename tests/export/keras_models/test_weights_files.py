"""No file of weights exports a model that is not the file's: `.h5` refuses what `.keras` does, and drops nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.engines import require
from helpers.hostile.keras_files import in_this_process
from pulsecast.errors import ConversionError

pytestmark = pytest.mark.slow
WINDOW, HORIZON = 6, 2


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    require("h5py")
    in_this_process(monkeypatch)


def states(keras: Any) -> Any:
    k, start = keras.layers, keras.Input((WINDOW, 2))
    sequence, h, c = k.LSTM(4, return_sequences=True, return_state=True)(start)
    return keras.Model(start, k.Dense(HORIZON)(k.LSTM(4)(sequence, initial_state=[h, c])))


def cell_state(keras: Any) -> Any:
    k, start = keras.layers, keras.Input((WINDOW, 2))
    _, _, c = k.LSTM(4, return_state=True)(start)
    return keras.Model(start, k.Dense(HORIZON)(c))


def state_as_output(keras: Any) -> Any:
    k, start = keras.layers, keras.Input((WINDOW, 2))
    _, _, c = k.LSTM(HORIZON, return_state=True)(start)
    return keras.Model(start, c)


def bidirectional(keras: Any) -> Any:
    k = keras.layers
    layers = [k.LSTM(4, return_sequences=True), k.Bidirectional(k.LSTM(2)), k.Dense(HORIZON)]
    return keras.Sequential([keras.Input((WINDOW, 2)), *layers])


def nested(keras: Any) -> Any:
    k = keras.layers
    inner = keras.Sequential([keras.Input((WINDOW, 2)), k.LSTM(3, return_sequences=True)])
    return keras.Sequential([keras.Input((WINDOW, 2)), inner, k.LSTM(4), k.Dense(HORIZON)])


def shared(keras: Any) -> Any:
    k, start = keras.layers, keras.Input((WINDOW, 2))
    one = k.LSTM(2, return_sequences=True)
    return keras.Model(start, k.Dense(HORIZON)(k.LSTM(4)(one(one(start)))))


def two_inputs(keras: Any) -> Any:
    k, starts = keras.layers, [keras.Input((WINDOW, 1)), keras.Input((WINDOW, 1))]
    return keras.Model(starts, k.Dense(HORIZON)(k.LSTM(4)(k.Concatenate()(starts))))


def two_outputs(keras: Any) -> Any:
    k, start = keras.layers, keras.Input((WINDOW, 2))
    hidden = k.LSTM(4, name="hidden")(start)
    return keras.Model(start, [hidden, k.Dense(HORIZON, name="forecast")(hidden)])


def activation_behind(keras: Any) -> Any:
    k = keras.layers
    return keras.Sequential([keras.Input((WINDOW, 2)), k.LSTM(4), k.Activation("relu"), k.Dense(HORIZON)])


def backwards(keras: Any) -> Any:
    k = keras.layers
    return keras.Sequential([keras.Input((WINDOW, 2)), k.LSTM(4, go_backwards=True), k.Dense(HORIZON)])


def normalised(keras: Any) -> Any:
    k = keras.layers
    layers = [k.Normalization(mean=[1.0, 2.0], variance=[4.0, 9.0]), k.LSTM(4), k.Dense(HORIZON)]
    return keras.Sequential([keras.Input((WINDOW, 2)), *layers])


def called_in_training(keras: Any) -> Any:
    k, start = keras.layers, keras.Input((WINDOW, 2))
    return keras.Model(start, k.Dense(HORIZON)(k.Dropout(0.5)(k.LSTM(4)(start), training=True)))


# what each says: the sentence of `.h5`, and that of `.weights.h5`; None where the file cannot tell, as it holds names
# of classes and numbers alone
MODELS: dict[str, tuple[Callable[[Any], Any], str, str | None]] = {
    "states that flow": (states, r"layer 'lstm(_\d+)?' \(LSTM\) takes a state of another layer", None),
    "a dense layer on the cell state": (cell_state, "takes a state of another layer", None),
    "the cell state as output": (
        state_as_output,
        "an end of this model is output 2 of layer .*: a state",
        "of 1 layers",
    ),
    "a bidirectional layer": (
        bidirectional,
        r"layer 'bidirectional' \(Bidirectional\) is not an LSTM",
        "holds bidirectional; expected LSTM",
    ),
    "a model in the model": (nested, "holds weights of sequential", "holds sequential; expected LSTM"),
    "a layer that is used twice": (shared, r"\(LSTM\) is used 2 times; expected once", None),
    "two inputs": (two_inputs, "only one chain of layers is converted", "holds concatenate; expected LSTM"),
    "two outputs": (two_outputs, "this model has 2 outputs: hidden, forecast; name one", None),
    "an activation behind": (
        activation_behind,
        r"\(Activation\): it is not a layer",
        "holds activation; expected LSTM",
    ),
    "a layer that goes backwards": (backwards, "go_backwards must be off", None),
    "a normalisation": (normalised, r"\(Normalization\): it is not a layer", "holds normalization; expected LSTM"),
    "dropout that stays on": (called_in_training, "only one chain|is called with", None),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_whole_h5_file_of_another_model_is_refused_by_layer(name: str, keras: Any, tmp_path: Path) -> None:
    from pulsecast_export.keras_models.h5_weights import read_h5_weights

    make, sentence, _ = MODELS[name]
    keras.backend.clear_session()
    make(keras).save(tmp_path / "own.h5")
    with pytest.raises(ConversionError, match=sentence):
        read_h5_weights(tmp_path / "own.h5")


@pytest.mark.parametrize("name", [name for name, row in MODELS.items() if row[2] is not None])
def test_weights_of_a_layer_that_our_architecture_does_not_have_are_refused(
    name: str, keras: Any, tmp_path: Path
) -> None:
    from pulsecast_export.keras_models.h5_weights import read_h5_weights

    make, _, sentence = MODELS[name]
    keras.backend.clear_session()
    make(keras).save_weights(tmp_path / "own.weights.h5")
    with pytest.raises(ConversionError, match=sentence):
        read_h5_weights(tmp_path / "own.weights.h5")


@pytest.mark.parametrize("ending", [".h5", ".weights.h5"])
def test_what_training_leaves_in_a_file_of_our_architecture_is_no_reason_to_refuse_it(
    ending: str, keras: Any, tmp_path: Path
) -> None:
    from pulsecast_export.keras_models.h5_weights import read_h5_weights

    k = keras.layers
    layers = [k.LSTM(4, return_sequences=True, dropout=0.1), k.Dropout(0.1), k.LSTM(3), k.Dense(HORIZON)]
    model = keras.Sequential([keras.Input((WINDOW, 2)), *layers])
    model.compile("adam", "mse", metrics=["mae"])
    draw = np.random.default_rng(2).standard_normal
    model.fit(draw((32, WINDOW, 2)), draw((32, HORIZON)), verbose=0)
    path = tmp_path / f"own{ending}"
    model.save(path) if ending == ".h5" else model.save_weights(path)
    weights, configured = read_h5_weights(path)
    assert configured == (ending == ".h5")
    np.testing.assert_array_equal(weights.layers[1].recurrent, layers[2].get_weights()[1])
    np.testing.assert_array_equal(weights.head_kernel, layers[3].get_weights()[0])


@pytest.mark.parametrize("name", [name for name, row in MODELS.items() if row[2] is None])
def test_weights_alone_that_lose_to_the_last_value_are_probably_of_another_model(
    name: str, keras: Any, tmp_path: Path
) -> None:
    """Such a file names neither connections nor directions: only the user's windows show that it was misread."""
    from pulsecast_export.keras_models.keras_import import import_keras
    from pulsecast_export.keras_models.network_import import ImportOptions

    keras.backend.clear_session()
    MODELS[name][0](keras).save_weights(tmp_path / "own.weights.h5")
    steps = np.sin(np.arange(100 + WINDOW + HORIZON) / 9)[:, np.newaxis] * [1.0, 0.5]
    windows = np.stack([steps[i : i + WINDOW] for i in range(100)])
    truth = np.stack([steps[i + WINDOW : i + WINDOW + HORIZON, 0] for i in range(100)])
    np.savez(tmp_path / "heldout.npz", windows=windows, truth=truth)
    with pytest.raises(ConversionError, match=r"does not say how its layers are connected. Taken as LSTM .* MAE of"):
        import_keras(
            tmp_path / "own.weights.h5", tmp_path / "heldout.npz", ImportOptions(name="own", step_s=3600),
            tmp_path / "model", force=False,
        )  # fmt: skip
