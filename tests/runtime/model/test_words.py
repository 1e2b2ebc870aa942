"""A model is named by its layers."""

from dataclasses import replace

import pytest

from helpers import plain
from pulsecast.model.linear import Linear
from pulsecast.model.network import Dense, Network, Recurrent, plain_stack
from pulsecast.model.spec import ModelSpec
from pulsecast.model.words import network_words


def spec_of(network: Network | None, *units: int) -> ModelSpec:
    return replace(plain.LEVEL_SPEC, units=units, network=network)


@pytest.mark.parametrize(
    ("network", "units", "words"),
    [
        (None, (50, 50), "LSTM 50 + LSTM 50"),
        (Network(recurrent=(Recurrent(kind="gru", units=8),)), (8,), "GRU 8"),
        (
            Network(recurrent=(Recurrent(kind="gru", units=4, direction="backward"),), dense=(Dense(units=3),)),
            (4,),
            "backward GRU 4 + dense 3",
        ),
        (
            Network(
                recurrent=(
                    Recurrent(kind="lstm", units=32, direction="both"),
                    Recurrent(kind="gru", units=16, direction="both", merge="sum", gates="relu"),
                    Recurrent(kind="gru", units=4),
                ),
                dense=(Dense(units=12, activation="relu"),),
                activation="sigmoid",
            ),
            (32, 16, 4),
            "bidirectional LSTM 32 + bidirectional GRU 16 (sum, gates relu) + GRU 4 + dense 12 (relu) + head (sigmoid)",
        ),
    ],
)
def test_a_network_is_named_layer_by_layer(network: Network | None, units: tuple[int, ...], words: str) -> None:
    assert network_words(spec_of(network, *units)) == words


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (plain_stack((12, 10), Linear(lags=2)), "LSTM 12 + LSTM 10 beside a linear path"),
        (Network(recurrent=(), linear=Linear(lags=2)), "a linear path"),
    ],
)
def test_a_linear_path_is_named_after_the_layers(network: Network, words: str) -> None:
    units = tuple(layer.units for layer in network.recurrent)
    assert network_words(replace(plain.CHANGE_SPEC, units=units, network=network)) == words
