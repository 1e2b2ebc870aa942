"""The contract of a lone file is read from hand-made ONNX, TFLite, SavedModel and C, and from damaged ones.

The files that the exporter writes are read in `tests/export/graphs/test_contracts.py`.
"""

import os
import random
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from helpers import plain
from pulsecast.bundle.contract import (
    CONTRACT_FILE,
    CONTRACT_KEY,
    Contract,
    contract_text,
    model_digest,
    read_contract,
)
from pulsecast.bundle.lone_files import MAX_CONTRACT_BYTES, is_lone_file, lone_contract
from pulsecast.errors import FormatError, PulsecastError, UsageError

Make = Callable[..., bytes]


@pytest.fixture(scope="module")
def contract(change_model: plain.PlainModel) -> Contract:
    return plain.contract(change_model, name="plain */ model")


# ------------------------------------------------------------------------------------------------------ files by hand


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, data: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(data)) + data


def onnx_file(*texts: bytes, key: str = CONTRACT_KEY) -> bytes:
    """Return an ONNX file: version, producer, graph, another entry of metadata, then an entry for each text."""
    other = field(14, field(1, b"author") + field(2, b"ann"))
    entries = b"".join(field(14, field(1, key.encode()) + field(2, text)) for text in texts)
    return varint(1 << 3) + varint(8) + field(2, b"tool") + field(7, bytes(range(256))) + other + entries


def table(fields: list[int | None]) -> tuple[bytes, list[int]]:
    """Return a table of 4-byte fields behind its layout, and where each field stands from the table's first byte."""
    present = [i for i, value in enumerate(fields) if value is not None]
    places = [4 + 4 * present.index(i) if i in present else 0 for i in range(len(fields))]
    size = 4 + 2 * len(fields)
    layout = struct.pack(f"<{2 + len(fields)}H", size, 4 + 4 * len(present), *places) + bytes(-size % 4)
    body = struct.pack("<i", len(layout)) + b"".join(struct.pack("<I", fields[i] or 0) for i in present)
    return layout + body, [len(layout), *(len(layout) + place for place in places)]


class Flat:
    """A growing FlatBuffer, in which offsets are set when their targets are known."""

    def __init__(self) -> None:
        self.data = bytearray(b"\0\0\0\0TFL3")

    def add(self, data: bytes) -> int:
        self.data += bytes(-len(self.data) % 4)
        at = len(self.data)
        self.data += data
        return at

    def point(self, field: int, target: int) -> None:
        self.data[field : field + 4] = struct.pack("<I", target - field)

    def table(self, fields: list[int | None]) -> list[int]:
        """Add a table; return where it and its fields stand."""
        data, places = table(fields)
        base = self.add(data)
        return [base + place for place in places]

    def vector(self, field: int, count: int, items: bytes) -> int:
        """Add what `field` refers to; return where its first element stands."""
        at = self.add(struct.pack("<I", count) + items)
        self.point(field, at)
        return at + 4


def tflite_file(*texts: bytes, key: str = CONTRACT_KEY) -> bytes:
    """Return a TFLite file of buffers and metadata: another entry, then one for each text."""
    entries = [("min_runtime_version", b"1.5.0"), *((key, text) for text in texts)]
    flat = Flat()
    model, _, _, _, _, buffers, _, metadata = flat.table([3, None, None, None, 0, None, 0])
    flat.point(0, model)
    first = flat.vector(buffers, len(entries), bytes(4 * len(entries)))
    for i, (_, text) in enumerate(entries):
        buffer, data = flat.table([0])
        flat.point(first + 4 * i, buffer)
        flat.vector(data, len(text), text)
    first = flat.vector(metadata, len(entries), bytes(4 * len(entries)))
    for i, (name, _) in enumerate(entries):
        entry, title, _ = flat.table([0, i])
        flat.point(first + 4 * i, entry)
        flat.vector(title, len(name), name.encode() + b"\0")
    return bytes(flat.data)


def c_file(*texts: bytes, key: str = CONTRACT_KEY) -> bytes:
    """Return C with each text in its first comment, as the native writer puts it there."""
    lines = b"".join(b" * " + text.replace(b"*/", b"*\\/") + b"\n" for text in texts if key == CONTRACT_KEY)
    return b"/* plain: generated\n *\n" + lines + b" */\nint x; // {}\n"


MAKERS: dict[str, Make] = {"model.onnx": onnx_file, "model.tflite": tflite_file, "model.c": c_file}
KINDS = pytest.mark.parametrize(("name", "make"), MAKERS.items(), ids=MAKERS.keys())


def written(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


# ------------------------------------------------------------------------------------------------------------ reading


@KINDS
def test_the_contract_is_found_in_each_kind_of_file(name: str, make: Make, contract: Contract, tmp_path: Path) -> None:
    path = written(tmp_path, name, make(contract_text(contract).encode()))
    assert is_lone_file(path)
    assert lone_contract(path) == contract


def test_the_contract_is_found_in_a_savedmodel_folder(contract: Contract, tmp_path: Path) -> None:
    (tmp_path / "assets.extra").mkdir()
    written(tmp_path, "saved_model.pb", b"")
    assert is_lone_file(tmp_path)
    with pytest.raises(UsageError, match="holds no contract"):
        lone_contract(tmp_path)
    written(tmp_path, CONTRACT_FILE, contract_text(contract).encode() + b"\n")
    assert lone_contract(tmp_path) == contract
    written(tmp_path, CONTRACT_FILE, b" " * (MAX_CONTRACT_BYTES + 1))
    with pytest.raises(FormatError, match=rf"is damaged: {CONTRACT_FILE} has more than {MAX_CONTRACT_BYTES} bytes"):
        lone_contract(tmp_path)


def test_a_bundle_is_not_a_lone_file(plain_bundle: Path, tmp_path: Path) -> None:
    assert not is_lone_file(plain_bundle)
    written(tmp_path, "saved_model.pb", b"")
    written(tmp_path, "manifest.json", b"")
    assert not is_lone_file(tmp_path)
    assert not is_lone_file(tmp_path / "manifest.json")


@pytest.mark.parametrize(
    ("name", "beside"), [("micro_io.c", "micro_io.h"), ("example.c", "model.c"), ("model.h", "model.c")]
)
def test_c_without_a_contract_names_the_file_that_holds_it(name: str, beside: str, tmp_path: Path) -> None:
    path = written(tmp_path, name, b"/* plain: raw values to channels */\n")
    with pytest.raises(UsageError, match=f"{name} holds no contract; that of its model stands in {beside}, beside it"):
        lone_contract(path)


@KINDS
def test_a_file_of_another_maker_is_said_to_hold_no_contract(name: str, make: Make, tmp_path: Path) -> None:
    for data in (make(), make(b"{}", key="pulsecase"), make(b"{}", key="pulse")):
        with pytest.raises(UsageError, match=f"{name} holds no contract; expected a file that `pulsecast export` has"):
            lone_contract(written(tmp_path, name, data))


@KINDS
def test_two_contracts_in_one_file_are_refused(name: str, make: Make, contract: Contract, tmp_path: Path) -> None:
    text = contract_text(contract).encode()
    with pytest.raises(FormatError, match=f"{name} is damaged: it holds 2 contracts; expected one"):
        lone_contract(written(tmp_path, name, make(text, text)))


@KINDS
def test_a_contract_that_is_too_long_is_refused_unread(name: str, make: Make, tmp_path: Path) -> None:
    text = b'{"' + b"x" * MAX_CONTRACT_BYTES + b'":1}'
    with pytest.raises(FormatError, match=f"{name} is damaged: its (contract has|first comment does not end)"):
        lone_contract(written(tmp_path, name, make(text + b" " * 8192)))


# ----------------------------------------------------------------------------------------------- damaged and hostile


def refusal(path: Path, contract: Contract) -> str:
    """Return how the file is refused, or nothing if it still holds `contract`; any other exception is a fault."""
    try:
        assert lone_contract(path) == contract
    except PulsecastError as error:
        return str(error)
    return ""


@KINDS
def test_a_file_cut_off_anywhere_is_refused_in_a_sentence(
    name: str, make: Make, contract: Contract, tmp_path: Path
) -> None:
    data = make(contract_text(contract).encode())
    ends = {"model.c": b"*/", "model.tflite": CONTRACT_KEY.encode(), "model.onnx": b"}"}
    needed = data.rindex(ends[name]) + len(ends[name])
    for size in [*range(0, needed, 7), needed - 1, needed]:
        sentence = refusal(written(tmp_path, name, data[:size]), contract)
        assert bool(sentence) == (size < needed), size


@pytest.mark.parametrize("name", ["model.onnx", "model.tflite"])
@pytest.mark.parametrize("value", [0, 1, 0x7F, 0x80, 0xFF])
def test_a_changed_byte_is_refused_or_changes_nothing_that_matters(
    name: str, value: int, contract: Contract, tmp_path: Path
) -> None:
    small = b'{"format":2}'
    data = MAKERS[name](small)
    for at in range(len(data)):
        damaged = data[:at] + bytes([value]) + data[at + 1 :]
        with pytest.raises(PulsecastError):
            lone_contract(written(tmp_path, name, damaged))
    text = contract_text(contract).encode()
    data = MAKERS[name](text)
    for at in (i for i in range(len(data)) if not data.find(text) <= i < data.find(text) + len(text)):
        refusal(written(tmp_path, name, data[:at] + bytes([value]) + data[at + 1 :]), contract)


@pytest.mark.parametrize("value", [0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFC, 1 << 20])
def test_huge_offsets_and_lengths_in_a_tflite_file_are_refused(value: int, contract: Contract, tmp_path: Path) -> None:
    data = tflite_file(b'{"format":2}')
    for at in range(0, len(data) - 3, 2):
        damaged = data[:at] + struct.pack("<I", value) + data[at + 4 :]
        with pytest.raises(PulsecastError):
            lone_contract(written(tmp_path, "model.tflite", damaged))


def test_random_bytes_are_refused(contract: Contract, tmp_path: Path) -> None:
    source = random.Random(5)
    for size in (1, 3, 8, 30, 300):
        for _ in range(40):
            data = source.randbytes(size)
            assert refusal(written(tmp_path, "model.onnx", data), contract)
            assert refusal(written(tmp_path, "model.tflite", data[:4] + b"TFL3" + data), contract)
            assert refusal(written(tmp_path, "model.c", data), contract)


HOSTILE: dict[str, tuple[str, bytes, str]] = {
    "an empty TFLite file": ("model.tflite", b"", "it ends before byte 8"),
    "another FlatBuffer": ("model.tflite", b"\x10\0\0\0ABCD", "it does not have TFL3 at byte 4"),
    "a length beyond 64 bits": ("model.onnx", b"\xff" * 20, "the number before byte 10 has more than 64 bits"),
    "a length beyond the file": ("model.onnx", field(7, b"x" * 9)[:-1], "field 7 ends at byte 11, beyond its message"),
    "a length of 2**63": ("model.onnx", varint(7 << 3 | 2) + varint(1 << 63), "beyond its message"),
    "an entry beyond its message": ("model.onnx", field(14, varint(1 << 3 | 2) + b"\x09x"), "beyond its message"),
    "a group, which protobuf gave up": ("model.onnx", varint(3 << 3 | 3), "byte 1 is not the start of a field"),
    "a million fields": ("model.onnx", varint(1 << 3) * 2_000_000, "has more than 10000 fields"),
    "an entry of many fields": ("model.onnx", field(14, field(1, b"a") * 17), "has more than 16 fields"),
    "a comment without an end": ("model.c", b"/* x\n * {}\n", "its first comment does not end"),
}


@pytest.mark.parametrize(("name", "data", "sentence"), HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_files_are_refused_for_what_is_wrong(name: str, data: bytes, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=f"{name} is damaged: .*{sentence}"):
        lone_contract(written(tmp_path, name, data))


def test_a_table_that_refers_to_itself_ends(tmp_path: Path) -> None:
    data = bytearray(tflite_file(b"{}"))
    for at in range(8, len(data) - 3, 4):  # every field in turn refers to the start of the file, or to itself
        for target in (0, 4, 2**32 - at):
            changed = bytes(data[:at]) + struct.pack("<I", target) + bytes(data[at + 4 :])
            with pytest.raises(PulsecastError):
                lone_contract(written(tmp_path, "model.tflite", changed))


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.onnx")
    with pytest.raises(FormatError, match=r"model.onnx is damaged: it is not a plain file"):
        lone_contract(tmp_path / "model.onnx")


# ------------------------------------------------------------------------------------------------- the contract itself

WRONG: dict[str, tuple[dict[str, object], str]] = {
    "another step": ({"step_s": 60}, "context and step_s are 73 and 60; spec says otherwise"),
    "inputs of another model": ({"inputs": {"values": (-1, 5, 1)}}, "inputs are not those of spec"),
    "bounds without a level": ({"level": None}, "outputs are not those of spec and level"),
    "a level of 90": ({"level": 90.0}, "level is 90.0; expected a number between 0 and 1"),
    "nothing given": ({"units": "scaled", "outputs": {}}, "inputs or outputs are empty"),
    "half a digest": ({"digest": "ab"}, "digest is malformed"),
    "a name that clears the screen": ({"name": "\x1b[2J"}, r"'\\x1b\[2J' holds characters that cannot be printed"),
}


@pytest.mark.parametrize(("changes", "sentence"), WRONG.values(), ids=WRONG.keys())
def test_a_contract_checks_itself(changes: dict[str, object], sentence: str, contract: Contract) -> None:
    with pytest.raises(ValueError, match=sentence):
        replace(contract, **changes)  # type: ignore[arg-type]


def test_a_contract_of_another_format_or_with_unknown_keys_is_refused(contract: Contract) -> None:
    text = contract_text(contract)
    assert read_contract(text.encode(), where="here") == contract
    with pytest.raises(FormatError, match="here: format is 3; expected one of 2"):
        read_contract(text.replace('"format":2', '"format":3').encode(), where="here")
    with pytest.raises(FormatError, match="here: unknown key more"):
        read_contract(text.replace('"format":2', '"format":2,"more":1').encode(), where="here")
    with pytest.raises(FormatError, match=r"here is (nested too deeply|not valid JSON)"):
        read_contract(b"[" * 5000, where="here")


def test_two_models_have_two_digests(change_model: plain.PlainModel, level_model: plain.PlainModel) -> None:
    spec, scaler, weights = change_model.spec, change_model.scaler, change_model.weights
    known = model_digest(spec, scaler, weights)
    assert known == model_digest(spec, scaler, weights)
    moved = replace(scaler.features[0], offset=scaler.features[0].offset + 1)
    kernel = weights.head_kernel.copy()
    kernel[0, 0] += 1e-3
    others = {
        model_digest(replace(spec, step_s=60), scaler, weights),
        model_digest(spec, replace(scaler, features=(moved, *scaler.features[1:])), weights),
        model_digest(spec, scaler, replace(weights, head_kernel=kernel)),
        model_digest(level_model.spec, level_model.scaler, level_model.weights),
    }
    assert len({known, *others}) == 5
