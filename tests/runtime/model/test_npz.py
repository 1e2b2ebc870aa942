"""Reading weights and goldens: written arrays are read back unchanged, and every damage is a FormatError."""

import io
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from helpers import plain
from pulsecast import limits
from pulsecast.bundle.golden import Golden, read_golden, write_golden
from pulsecast.errors import FormatError
from pulsecast.model.weights import read_npz, read_weights, write_weights

Arrays = dict[str, np.ndarray]


def npz(arrays: Arrays, *, compressed: bool = False) -> bytes:
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, **arrays)
    return buffer.getvalue()


def test_weights_come_back_as_written_and_twice_the_same_bytes(level_model: plain.PlainModel) -> None:
    data = write_weights(level_model.weights, level_model.spec.network)
    found = read_weights(data, level_model.spec)
    for name, array in level_model.weights.arrays(level_model.spec.network).items():
        np.testing.assert_array_equal(found.arrays(level_model.spec.network)[name], array)
    assert write_weights(found, level_model.spec.network) == data
    assert [layer.units for layer in found.layers] == [12, 10]


def test_weights_are_little_endian_float32_on_any_machine(level_model: plain.PlainModel) -> None:
    swapped = replace(level_model.weights, head_bias=level_model.weights.head_bias.astype(">f4"))
    data = write_weights(swapped, level_model.spec.network)
    assert data == write_weights(level_model.weights, level_model.spec.network)
    assert {array.dtype.str for array in read_npz(data, where="w").values()} == {"<f4"}


def test_an_lstm_stack_written_as_a_network_of_cells_is_read(level_model: plain.PlainModel) -> None:
    """Until 0.1 a stack without a Dense head was not a plain stack, and its cells had other names."""
    arrays = level_model.weights.arrays(level_model.spec.network)
    found = read_weights(npz({name.replace("lstm_", "cell_"): a for name, a in arrays.items()}), level_model.spec)
    np.testing.assert_array_equal(found.layers[1].recurrent, level_model.weights.layers[1].recurrent)


def manifest_of(model: plain.PlainModel) -> Any:
    """Return what a golden is read by."""
    return SimpleNamespace(format=2, spec=model.spec, scaler=model.scaler, series=None)


def test_a_golden_comes_back_as_written_and_twice_the_same_bytes(change_model: plain.PlainModel) -> None:
    golden = change_model.golden()
    data = write_golden(golden)
    found = read_golden(data, manifest_of(change_model))
    np.testing.assert_array_equal(found.windows.values, golden.windows.values)
    np.testing.assert_array_equal(found.windows.time, golden.windows.time)
    for name in ("truth", "reference", "trained", "unit"):
        np.testing.assert_array_equal(getattr(found, name), getattr(golden, name))
    assert write_golden(found) == data


BAD_WEIGHTS: dict[str, tuple[Callable[[Arrays], object], str]] = {
    "a missing array": (lambda a: a.pop("lstm_1.bias"), "lstm_1.bias is missing"),
    "an array too many": (lambda a: a.update(lstm_2=np.ones(3, "<f4")), "lstm_2 is unexpected"),
    "double precision": (
        lambda a: a.update({"head.bias": a["head.bias"].astype("<f8")}),
        "head.bias is float64; expected little-endian float32",
    ),
    "big-endian": (lambda a: a.update({"head.bias": a["head.bias"].astype(">f4")}), "head.bias is >f4"),
    "another shape": (
        lambda a: a.update({"lstm_0.kernel": a["lstm_0.kernel"].T}),
        r"lstm_0.kernel has shape \(48, 1\); this model takes \(1, 48\)",
    ),
    "NaN": (lambda a: a["head.kernel"].__setitem__((0, 0), np.nan), "head.kernel holds NaN or infinity"),
    "infinity": (lambda a: a["lstm_0.bias"].__setitem__(0, np.inf), "lstm_0.bias holds NaN or infinity"),
}


@pytest.mark.parametrize(("damage", "sentence"), BAD_WEIGHTS.values(), ids=BAD_WEIGHTS.keys())
def test_weights_that_are_not_those_of_the_spec_are_refused(
    level_model: plain.PlainModel, damage: Callable[[Arrays], object], sentence: str
) -> None:
    arrays = {name: array.copy() for name, array in level_model.weights.arrays(level_model.spec.network).items()}
    damage(arrays)
    with pytest.raises(FormatError, match=f"weights.npz: .*{sentence}"):
        read_weights(npz(arrays), level_model.spec)


def test_all_problems_of_the_weights_are_listed_at_once(level_model: plain.PlainModel) -> None:
    arrays = {"head.bias": np.array([np.nan], "<f4"), "more": np.ones(1)}
    with pytest.raises(FormatError) as raised:
        read_weights(npz(arrays), level_model.spec)
    for problem in ("lstm_0.kernel is missing", "head.kernel is missing", "more is unexpected", "head.bias holds NaN"):
        assert problem in str(raised.value)


def golden_arrays(golden: Golden) -> Arrays:
    arrays = {name: getattr(golden, name).copy() for name in ("truth", "reference", "trained")}
    return {"values": golden.windows.values.copy(), "time": golden.windows.time.copy(), **arrays}


BAD_GOLDENS: dict[str, tuple[Callable[[Arrays], object], str]] = {
    "no reference": (lambda a: a.pop("reference"), "reference is missing or unexpected"),
    "another array": (lambda a: a.update(more=np.ones(2)), "more is missing or unexpected"),
    "too few windows": (
        lambda a: a.update({name: array[:63] for name, array in a.items()}),
        "63 windows; at least 64 are needed",
    ),
    "no windows at all": (lambda a: a.pop("values"), "values is missing or unexpected"),
    "no times": (lambda a: a.pop("time"), "time is missing or unexpected"),
    "times of 32 bits": (lambda a: a.update(time=a["time"].astype("<i4")), r"time is int32\(96,\); expected <i8"),
    "columns of format 1": (
        lambda a: a.update(windows=a.pop("values")),
        "values is missing or unexpected",
    ),
    "unequal counts": (lambda a: a.update(truth=a["truth"][:-1]), r"truth is float64\(95, 2\); expected <f8\(96, 2\)"),
    "a shorter context": (lambda a: a.update(values=a["values"][:, 1:]), r"values is float32\(96, 72, 1\)"),
    "reference in float32": (lambda a: a.update(reference=a["reference"].astype("<f4")), "reference is float32"),
    "NaN in the truth": (lambda a: a["truth"].__setitem__((3, 0), np.nan), "truth holds NaN or infinity"),
}


@pytest.mark.parametrize(("damage", "sentence"), BAD_GOLDENS.values(), ids=BAD_GOLDENS.keys())
def test_a_golden_that_is_not_of_the_spec_is_refused(
    change_model: plain.PlainModel, damage: Callable[[Arrays], object], sentence: str
) -> None:
    arrays = golden_arrays(change_model.golden())
    damage(arrays)
    with pytest.raises(FormatError, match=f"golden.npz: .*{sentence}"):
        read_golden(npz(arrays), manifest_of(change_model))


class Bomb:
    """Would write a file if it were unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("raise SystemExit('unpickled')",))


def pickled_array() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, a=np.array([Bomb()], dtype=object))
    return buffer.getvalue()


def plain_array() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.arange(5.0))
    return buffer.getvalue()


def huge_array() -> bytes:
    """A header that promises an exabyte."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (144115188075855872,), }"
        header += b" " * (117 - len(header)) + b"\n"
        archive.writestr("a.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    return buffer.getvalue()


def foreign_member() -> bytes:
    """A zip with a member that is not an array: numpy returns it as bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("readme.txt", b"not an array")
    return buffer.getvalue()


NOT_NPZ = {
    "nothing": lambda: b"",
    "text": lambda: b"weights",
    "a pickle": lambda: pickle.dumps(Bomb()),
    "an array of pickles": pickled_array,
    "a lone .npy": plain_array,
    "a promise of an exabyte": huge_array,
    "a member that is no array": foreign_member,
}


@pytest.mark.parametrize("make", NOT_NPZ.values(), ids=NOT_NPZ.keys())
def test_a_file_that_is_not_an_npz_of_plain_arrays_is_refused(make: Callable[[], bytes]) -> None:
    with pytest.raises(FormatError, match=r"^x\.npz is not a readable \.npz file of plain arrays: "):
        read_npz(make(), where="x.npz")


@pytest.mark.parametrize("compressed", [False, True])
def test_no_single_wrong_byte_and_no_truncation_escapes_the_format_error(compressed: bool) -> None:
    whole = npz({"a": np.arange(60.0), "b": np.ones((3, 4), np.float32)}, compressed=compressed)
    refused = 0
    for place in range(len(whole)):
        for other in (whole[place] ^ 1, whole[place] ^ 0xFF, 0):
            damaged = bytearray(whole)
            damaged[place] = other
            refused += _refused(bytes(damaged))
        refused += _refused(whole[:place])
    assert refused > 2 * len(whole)  # the rest are bytes without meaning, like a member's date


def _refused(data: bytes) -> bool:
    try:
        read_npz(data, where="x.npz")
    except FormatError:
        return True
    return False


def test_an_archive_that_inflates_without_measure_is_refused_before_it_is_read() -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, zeros=np.zeros(20_000_000, np.float32))
    with pytest.raises(FormatError, match="at most 20 times as many are read"):
        read_npz(buffer.getvalue(), where="weights.npz")


def test_an_archive_of_more_arrays_than_are_read_is_refused_before_zipfile_sees_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = npz({f"a{i}": np.zeros(1, np.float32) for i in range(limits.NPZ_ARRAYS + 1)})
    monkeypatch.setattr(zipfile, "ZipFile", lambda *_: pytest.fail("the directory was read"))
    with pytest.raises(FormatError, match="it holds more than 1000 arrays"):
        read_npz(data, where="weights.npz")


def test_arrays_that_are_too_large_together_are_refused_before_one_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    data = npz({"a": np.zeros(1000, np.float32), "b": np.zeros(1000, np.float32)})
    monkeypatch.setattr(limits, "NPZ_BYTES", 8000)
    monkeypatch.setattr(np, "load", lambda *_, **__: pytest.fail("an array was read"))
    with pytest.raises(FormatError, match="its arrays have 8256 bytes; at most 8000 are read"):
        read_npz(data, where="weights.npz")


def test_an_array_that_promises_more_than_its_member_holds_takes_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(np, "load", lambda *_, **__: pytest.fail("an array was read"))
    with pytest.raises(FormatError, match=r"a\.npy promises 1152921504606846976 bytes; it holds 0"):
        read_npz(huge_array(), where="weights.npz")
