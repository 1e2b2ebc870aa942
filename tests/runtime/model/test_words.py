"""A model is named by its layers."""

from dataclasses import replace

import pytest

from helpers import plain
from pulsecast.model.network import Dense, Network, Recurrent
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
