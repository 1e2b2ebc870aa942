"""Masks in the configuration of a Keras file: known ones are read as they are, all others refused, none left out."""

import pytest

from helpers.engines import require
from pulsecast.errors import ConversionError

require("h5py")

from helpers.keras_own.configs import Config, dense, layer, lstm, read, sequential, start, tensor  # noqa: E402
from pulsecast_export.keras_models.graph_reading import FoundGraph  # noqa: E402


def masking(value: object) -> Config:
    return sequential(start(), layer("Masking", "mask", mask_value=value), lstm(), dense())


def embedding(zero: object) -> Config:
    row = layer("Embedding", "words", input_dim=5, output_dim=3, mask_zero=zero)
    return sequential(start(1), row, lstm(), dense())


WRONG_MASKS: dict[str, tuple[Config, str]] = {
    **{
        f"a masked value {value!r:.20}": (masking(value), rf"\(Masking\): mask_value is {said}; expected a number")
        for value, said in (("0", "'0'"), (None, "None"), (True, "True"), ([0.0], r"\[0.0\]"), (float("nan"), "nan"))
    },
    "a masked value beyond any number": (masking(10**400), "configuration is damaged; save the model again"),
    "a masking of one column": (
        sequential(start(), layer("Masking", "mask", mask_value=0.0, axis=1), lstm(), dense()),
        "it has a setting 'axis' that is not known here",
    ),
    **{
        f"a mask of zeros {zero!r}": (embedding(zero), rf"\(Embedding\): mask_zero is {said}; expected true or false")
        for zero, said in (("yes", "'yes'"), (1, "1"), (None, "None"), ({}, "{}"))
    },
}


@pytest.mark.parametrize("name", WRONG_MASKS)
def test_a_masking_or_an_embedding_of_another_kind_is_refused(name: str) -> None:
    config, sentence = WRONG_MASKS[name]
    with pytest.raises(ConversionError, match=sentence):
        read(config)


def masked(call: object) -> Config:
    """Return a functional model whose LSTM takes what a Masking gives; `call` is of Keras 2 (a list) or of Keras 3."""
    old = isinstance(call, list)
    calls: dict[str, list[object]] = {"input": [], "mask": [[["input", 0, 0, {}]]], "head": [[["first", 0, 0, {}]]]}
    new: dict[str, list[object]] = {
        "input": [], "mask": [{"args": [tensor("input")]}], "head": [{"args": [tensor("first")]}],
    }  # fmt: skip
    nodes = (calls if old else new) | {"first": [[call] if old else call]}
    layers = (start(), layer("Masking", "mask", mask_value=0.0), lstm(), dense())
    linked = [{**one, "inbound_nodes": nodes[one["config"]["name"]]} for one in layers]
    return {"class_name": "Functional", "config": {"layers": linked}}


def called(mask: object) -> Config:
    return {"args": [tensor("mask")], "kwargs": {"mask": mask}}


OWN_MASKS = ([True] * 8, True, False, "yes", {}, {"class_name": "__numpy__", "config": {"value": [True]}})


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        *((called(mask), r"layer 'first' \(LSTM\) is called with a mask of its own, ") for mask in OWN_MASKS),
        *((called(tensor(name)), "only those that Masking and Embedding") for name in ("input", "mask", "nothing")),
        (called({"class_name": "__keras_tensor__", "config": {}}), "configuration is damaged"),
        (["mask", 0, 0, {"mask": ["mask", 0, 0]}], r"layer 'first' \(LSTM\) is called with 'mask'"),
        (["mask", 0, 0, {"mask": True}], r"layer 'first' \(LSTM\) is called with 'mask'"),
    ],
)
def test_a_mask_that_no_masking_makes_is_refused_and_never_left_out(call: object, sentence: str) -> None:
    with pytest.raises(ConversionError, match=sentence):
        read(masked(call))


@pytest.mark.parametrize(
    "call", [called(None), called([]), {"args": [tensor("mask")]}, ["mask", 0, 0, {"mask": None}], ["mask", 0, 0]]
)
def test_a_mask_that_flows_by_itself_is_that_of_the_masking_in_files_of_either_keras(call: object) -> None:
    found = read(masked(call))
    assert isinstance(found, FoundGraph)
    assert [one.kind for one in found.layers][1:] == ["Masking", "LSTM", "Dense"]
    assert found.layers[1].settings == {"mask_value": 0.0}
