"""The `.pulse` file: one canonical form of zip; everything else is refused before a member is inflated."""

import io
import os
import shutil
import struct
import subprocess
import sys
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from helpers.engines import require
from pulsecast import limits, load, verify
from pulsecast.bundle import archive
from pulsecast.bundle.archive import read_archive, write_archive
from pulsecast.bundle.bundle import Bundle
from pulsecast.bundle.packing import pack, unpack
from pulsecast.errors import BundleError, EngineError, FormatError, IntegrityError, UsageError

GOLDEN = Path(__file__).parents[2] / "data" / "golden_v1"
PULSE = GOLDEN.with_suffix(".pulse")


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    path = tmp_path / "golden.pulse"
    pack(GOLDEN, path)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_folder_and_its_files_forecast_the_same(stored: Path) -> None:
    windows = Bundle.open(GOLDEN).golden().windows
    expected = load(GOLDEN, backend="numpy").predict(windows)
    np.testing.assert_array_equal(load(stored, backend="numpy").predict(windows), expected)
    np.testing.assert_array_equal(load(PULSE, backend="numpy").predict(windows), expected)


@pytest.mark.parametrize("backend", ["onnx", "tflite"])
def test_an_engine_runs_from_one_file_as_from_a_folder(stored: Path, backend: str) -> None:
    require({"onnx": "onnxruntime", "tflite": "ai_edge_litert"}[backend])
    windows = Bundle.open(GOLDEN).golden().windows
    expected = load(GOLDEN, backend=backend).predict(windows)
    np.testing.assert_array_equal(load(stored, backend=backend).predict(windows), expected)


def test_one_file_verifies(stored: Path) -> None:
    reports = verify(stored)
    assert {report.artifact for report in reports} == {"numpy", "onnx-w8", "tflite-w8"}
    assert all(report.passed for report in reports)


@pytest.mark.parametrize("compress", [False, True])
def test_packing_twice_gives_the_same_bytes_for_any_dates_and_modes_of_files(tmp_path: Path, compress: bool) -> None:
    pack(GOLDEN, tmp_path / "one.pulse", compress=compress)
    copy = shutil.copytree(GOLDEN, tmp_path / "copy", copy_function=shutil.copyfile)
    for path in copy.rglob("*"):
        os.utime(path, (1e9, 1e9))
        path.chmod(0o700)
    pack(copy, tmp_path / "two.pulse", compress=compress)
    assert (tmp_path / "one.pulse").read_bytes() == (tmp_path / "two.pulse").read_bytes()


def test_packing_what_is_packed_gives_the_same_bytes(stored: Path, tmp_path: Path) -> None:
    pack(stored, tmp_path / "again.pulse")
    assert (tmp_path / "again.pulse").read_bytes() == stored.read_bytes()


@pytest.mark.parametrize("compress", [False, True])
def test_unpacking_gives_the_packed_files(tmp_path: Path, compress: bool) -> None:
    pack(GOLDEN, tmp_path / "b.pulse", compress=compress)
    unpack(tmp_path / "b.pulse", tmp_path / "folder")
    assert contents(tmp_path / "folder") == contents(GOLDEN)


@pytest.mark.parametrize("compress", [False, True])
def test_other_zip_readers_read_it(tmp_path: Path, compress: bool) -> None:
    pack(GOLDEN, tmp_path / "b.pulse", compress=compress)
    with zipfile.ZipFile(tmp_path / "b.pulse") as file:
        assert file.testzip() is None
        assert {name: file.read(name) for name in file.namelist()} == contents(GOLDEN)


def test_a_member_that_deflates_beyond_the_limit_is_stored() -> None:
    buffer = io.BytesIO()
    write_archive(buffer, [("manifest.json", bytes(1_000_000))], compress=True)
    assert len(buffer.getvalue()) > 1_000_000


def test_opening_one_file_writes_nothing_to_disk(stored: Path, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    script = f"import pulsecast; pulsecast.load({str(stored)!r}, backend='numpy')"
    environment = os.environ | {"TMPDIR": str(scratch), "PYTHONPATH": os.pathsep.join(sys.path)}
    scratch.chmod(0o500)
    subprocess.run([sys.executable, "-c", script], env=environment, check=True, cwd=tmp_path)
    assert not list(scratch.iterdir())


# --- files that are refused; each is built with Python's zipfile or by hand, and none may be read as a bundle


def zipped(edit: Callable[[zipfile.ZipFile], object]) -> bytes:
    """An archive with a manifest and the additions of `edit`, written by zipfile."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr(_info("manifest.json"), (GOLDEN / "manifest.json").read_bytes())
        edit(file)
    return buffer.getvalue()


def _info(name: str, *, mode: int = 0o100644, method: int = 0, extra: bytes = b"") -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr, info.create_system, info.compress_type, info.extra = mode << 16, 3, method, extra
    return info


def member(name: str, *, data: bytes = b"x", mode: int = 0o100644, method: int = 0, extra: bytes = b"") -> bytes:
    return zipped(lambda file: file.writestr(_info(name, mode=mode, method=method, extra=extra), data))


def twice(one: str, other: str) -> bytes:
    def edit(file: zipfile.ZipFile) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # a name twice
            for name in (one, other):
                file.writestr(_info(name), b"x")

    return zipped(edit)


def canonical(*files: tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    write_archive(buffer, [("manifest.json", b"{}"), *files], compress=False)
    return buffer.getvalue()


def patched(data: bytes, signature: bytes, place: int, value: bytes) -> bytes:
    """Return `data` with `value` written at `place` after the last `signature`."""
    at = data.rindex(signature) + place
    return data[:at] + value + data[at + len(value) :]


def bomb() -> bytes:
    """A member of a few kB that correctly states its inflated size of 10 MB."""
    return member("bomb", data=bytes(10_000_000), method=zipfile.ZIP_DEFLATED)


def lying_bomb() -> bytes:
    """A member that inflates to 10 MB and states 100 bytes."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(bytes(10_000_000)) + packer.flush()
    one = archive.Member(name="manifest.json", method=8, crc=0, packed_bytes=len(packed), size_bytes=100, offset=0)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(one.central), len(one.local) + len(packed), 0)
    return one.local + packed + one.central + end


PLAIN = canonical(("weights.npz", b"x"))
CENTRAL, LOCAL, END = b"PK\1\2", b"PK\3\4", b"PK\5\6"
REFUSED: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "has 0 bytes"),
    "no zip": (b"\x00" * 1000, "does not end in a zip end record"),
    "a climb out": (member("../x"), "member '../x' is not a relative path of plain names"),
    "a climb inside": (member("onnx/../../x"), "is not a relative path"),
    "an absolute path": (member("/etc/passwd"), "member '/etc/passwd' is not a relative path"),
    "a drive": (member("C:/x"), "member 'C:/x' is not a relative path"),
    "a backslash": (member("onnx\\model.onnx"), "is not a relative path"),
    "a folder": (member("onnx/"), "is not a relative path"),
    "a hidden file": (member(".x"), "is not a relative path"),
    "a control character": (member("a\x1b[2J"), "is not a relative path"),
    "a letter beyond ASCII": (member("mod\u00e8le"), "is not a relative path"),
    "an NUL in a name": (patched(PLAIN, b"weights.npz", 3, b"\0"), "is not a relative path"),
    "a link": (member("weights.npz", data=b"/etc/passwd", mode=0o120777), "weights.npz is a link"),
    "a device": (member("weights.npz", mode=0o020666), "not in canonical form"),
    "a name twice": (twice("weights.npz", "weights.npz"), "weights.npz appears twice"),
    "a name twice in two cases": (twice("weights.npz", "WEIGHTS.npz"), "differ by case only"),
    "a file that is a folder": (twice("onnx", "onnx/model.onnx"), "onnx is a file and the folder of onnx/model.onnx"),
    "bzip2": (member("weights.npz", method=zipfile.ZIP_BZIP2), "compression method 12"),
    "lzma": (member("weights.npz", method=zipfile.ZIP_LZMA), "compression method 14"),
    "encryption": (patched(PLAIN, CENTRAL, 8, b"\1\0"), "weights.npz is encrypted"),
    "an extra field": (member("weights.npz", extra=b"UT\1\0\0"), "not in canonical form"),
    "a data descriptor": (patched(PLAIN, CENTRAL, 8, b"\x08\0"), "not in canonical form"),
    "a bomb": (bomb(), "bomb inflates"),
    "a huge size": (patched(PLAIN, CENTRAL, 24, b"\xfe\xff\xff\xff"), "weights.npz has 4294967294 bytes"),
    "a zip64 size": (patched(PLAIN, CENTRAL, 24, b"\xff\xff\xff\xff"), "weights.npz has 4294967295 bytes"),
    "a zip64 count": (patched(PLAIN, END, 8, b"\xff\xff\xff\xff"), "says it has 65535 members"),
    "a wrong count": (patched(PLAIN, END, 8, b"\x03\0\x03\0"), "holds 2 whole entries; its end record says 3"),
    "two disks": (patched(PLAIN, END, 4, b"\1"), "before, after or between"),
    "a comment": (patched(PLAIN, END, 20, b"\1") + b"x", "does not end in a zip end record"),
    "bytes behind": (PLAIN + b"x", "does not end in a zip end record"),
    "bytes in front": (b"#!/bin/sh\n" + PLAIN, "before, after or between"),
    "another archive in front": (PLAIN + PLAIN, "before, after or between"),
    "a local header with another name": (
        patched(PLAIN, LOCAL, 30, b"WEIGHTS"),
        "header of weights.npz differs from its directory entry",
    ),
    "a local header with another size": (
        patched(PLAIN, LOCAL, 22, b"\2"),
        "header of weights.npz differs from its directory entry",
    ),
    "overlapping members": (patched(PLAIN, CENTRAL, 42, b"\0\0\0\0"), "weights.npz starts at byte 0; expected"),
    "another first member": (
        zipped(lambda f: None).replace(b"manifest.json", b"manifest.jsom"),
        "expected manifest.json",
    ),
    "a half file": (PLAIN[: len(PLAIN) // 2], "is not a"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_zip_allows_beyond_the_canonical_form_is_refused_unread(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, sentence = REFUSED[name]
    path = tmp_path / "bad.pulse"
    path.write_bytes(data)

    def inflate(*_: object) -> bytes:
        pytest.fail("a member was inflated")

    monkeypatch.setattr(archive, "_inflate", inflate)
    with pytest.raises(FormatError) as caught:
        Bundle.open(path)
    assert sentence in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_a_member_that_inflates_beyond_its_size_stops_there(tmp_path: Path) -> None:
    path = tmp_path / "lie.pulse"
    path.write_bytes(lying_bomb())
    with pytest.raises(IntegrityError, match=r"manifest.json is damaged"):
        read_archive(path).read("manifest.json", 1_000_000)


def test_members_beyond_the_total_are_refused(monkeypatch: pytest.MonkeyPatch, stored: Path) -> None:
    monkeypatch.setattr(limits, "ARCHIVE_BYTES", 10_000)
    with pytest.raises(FormatError, match="more than 10000 bytes together"):
        Bundle.open(stored)


def test_a_member_that_the_manifest_does_not_list_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "more.pulse"
    files = [*contents(GOLDEN).items(), ("onnx/more.onnx", b"x")]
    with path.open("wb") as file:
        write_archive(file, sorted(files, key=lambda pair: pair[0] != "manifest.json"), compress=False)
    with pytest.raises(IntegrityError, match=r"onnx/more.onnx is not in the manifest"):
        Bundle.open(path)


def test_any_flipped_bit_of_a_stored_file_is_refused(stored: Path, tmp_path: Path) -> None:
    data = stored.read_bytes()
    headers = list(read_archive(stored).members.values())
    in_data = {m.data_offset + m.packed_bytes // 2 for m in headers}
    everywhere = {i for m in headers for i in range(m.offset, m.data_offset)} | set(range(len(data) - 500, len(data)))
    path = tmp_path / "flipped.pulse"
    for place in sorted(everywhere | in_data):
        changed = bytearray(data)
        changed[place] ^= 1 << place % 8
        path.write_bytes(changed)
        with pytest.raises(BundleError):
            Bundle.open(path)


def test_a_file_that_is_swapped_after_opening_is_not_used(stored: Path) -> None:
    bundle = Bundle.open(stored)
    data = bytearray(stored.read_bytes())
    weights = read_archive(stored).members["weights.npz"]
    data[weights.data_offset + 1000] ^= 1
    stored.write_bytes(data)
    with pytest.raises(IntegrityError, match=r"weights.npz is damaged"):
        bundle.weights()


def test_a_file_that_is_replaced_while_open_is_read_to_its_end(stored: Path) -> None:
    bundle = Bundle.open(stored)
    before = bundle.read("weights.npz")
    stored.with_name("other").write_bytes(b"other")
    stored.with_name("other").replace(stored)
    assert bundle.read("weights.npz") == before


def test_a_bundle_is_not_packed_over_a_file_without_force(stored: Path) -> None:
    before = stored.read_bytes()
    with pytest.raises(UsageError, match="exists; pass --force"):
        pack(GOLDEN, stored)
    assert stored.read_bytes() == before
    pack(GOLDEN, stored, force=True)


def test_a_packed_bundle_must_be_called_pulse(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"bundle.zip does not end in .pulse"):
        pack(GOLDEN, tmp_path / "bundle.zip")


def test_a_private_copy_is_checked_closed_to_others_and_removed(stored: Path) -> None:
    bundle = Bundle.open(stored)
    with bundle.unpacked("onnx") as folder:
        assert (folder / "model.w8.onnx").read_bytes() == (GOLDEN / "onnx" / "model.w8.onnx").read_bytes()
        assert folder.parent.stat().st_mode & 0o777 == 0o700
    assert not folder.parent.exists()


def test_a_private_copy_is_not_made_where_others_can_exchange_it(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs").chmod(0o777)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "theirs"))
    with pytest.raises(EngineError, match="theirs can be changed by others"), Bundle.open(stored).unpacked("onnx"):
        pytest.fail("a copy was handed out that others can exchange")


def test_a_private_copy_of_a_swapped_file_is_refused(tmp_path: Path) -> None:
    copy = shutil.copytree(GOLDEN, tmp_path / "copy")
    bundle = Bundle.open(copy)
    (copy / "onnx" / "model.w8.onnx").write_bytes(b"swapped")
    with pytest.raises(IntegrityError), bundle.unpacked("onnx"):
        pytest.fail("a swapped file was handed out")


def test_a_pipe_in_a_folder_is_refused_and_blocks_nothing(tmp_path: Path) -> None:
    copy = shutil.copytree(GOLDEN, tmp_path / "copy")
    (copy / "weights.npz").unlink()
    os.mkfifo(copy / "weights.npz")
    with pytest.raises(IntegrityError, match=r"weights.npz is not a plain file"):
        Bundle.open(copy)


def test_a_file_swapped_for_a_link_after_opening_is_not_followed(tmp_path: Path) -> None:
    copy = shutil.copytree(GOLDEN, tmp_path / "copy")
    bundle = Bundle.open(copy)
    (copy / "weights.npz").rename(tmp_path / "aside.npz")
    (copy / "weights.npz").symlink_to(tmp_path / "aside.npz")
    with pytest.raises(IntegrityError, match=r"weights.npz cannot be read"):
        bundle.weights()
