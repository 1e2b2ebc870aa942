"""Opening a bundle checks every byte; damage of any kind is an IntegrityError or a FormatError, never half a bundle."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from helpers import plain
from pulsecast import load, verify
from pulsecast.bundle.bundle import Bundle, size_bytes
from pulsecast.errors import BundleError, FormatError, IntegrityError, UsageError

Copied = Callable[[Path], Path]


def flip(path: Path, place: int = 100) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(bytes(data))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def link(path: Path) -> None:
    aside = path.parent.parent / path.name
    path.rename(aside)
    path.symlink_to(aside)


def test_a_whole_bundle_opens_and_forecasts(plain_bundle: Path, level_model: plain.PlainModel) -> None:
    forecasts = load(str(plain_bundle), backend="numpy").predict(level_model.windows)
    np.testing.assert_array_equal(forecasts, level_model.golden().reference.astype(np.float32))


def test_a_whole_bundle_gives_its_golden_and_weights(plain_bundle: Path, level_model: plain.PlainModel) -> None:
    bundle = Bundle.open(plain_bundle)
    np.testing.assert_array_equal(bundle.golden().reference, level_model.golden().reference)
    np.testing.assert_array_equal(bundle.weights().head_kernel, level_model.weights.head_kernel)


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "a flipped bit": (lambda b: flip(b / "weights.npz"), "weights.npz has another SHA-256"),
    "a lost byte": (lambda b: truncate(b / "weights.npz"), r"weights.npz has \d+ bytes, the manifest says \d+"),
    "a lost file": (lambda b: (b / "golden.npz").unlink(), "golden.npz is missing"),
    "a file too many": (lambda b: (b / "readme.txt").write_text("x"), "readme.txt is not in the manifest"),
    "a hidden file": (lambda b: (b / ".cache").write_text("x"), ".cache is not in the manifest"),
    "a file in a new folder": (lambda b: _write(b / "onnx" / "model.onnx"), "onnx/model.onnx is not in the manifest"),
    "a link to a file": (lambda b: link(b / "weights.npz"), "weights.npz is a link"),
    "a broken link": (lambda b: (b / "x").symlink_to("nowhere"), "x is not in the manifest"),
    "a link to a folder": (lambda b: (b / "more").symlink_to(b.parent), "more is not in the manifest"),
    "a folder for a file": (lambda b: _folder(b / "weights.npz"), "weights.npz"),
    "no way to read": (lambda b: (b / "weights.npz").chmod(0), "weights.npz cannot be read: Permission denied"),
}


def _write(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"x")


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(("damage", "sentence"), DAMAGE.values(), ids=DAMAGE.keys())
@pytest.mark.parametrize("opening", [Bundle.open, load, verify], ids=["open", "load", "verify"])
def test_a_changed_bundle_is_refused(
    plain_bundle: Path,
    copied: Copied,
    damage: Callable[[Path], object],
    sentence: str,
    opening: Callable[[Path], object],
) -> None:
    if "Permission" in sentence and os.geteuid() == 0:
        pytest.skip("root reads everything")
    bundle = copied(plain_bundle)
    damage(bundle)
    with pytest.raises(IntegrityError, match=f"^bundle copy-bundle was changed after export: .*{sentence}"):
        opening(bundle)


@pytest.mark.parametrize("name", ["weights.npz", "golden.npz"])
def test_no_flipped_byte_anywhere_in_a_file_goes_unseen(plain_bundle: Path, copied: Copied, name: str) -> None:
    bundle = copied(plain_bundle)
    whole = (bundle / name).read_bytes()
    for place in np.linspace(0, len(whole) - 1, 25).astype(int):
        (bundle / name).write_bytes(whole)
        flip(bundle / name, int(place))
        with pytest.raises(IntegrityError, match=rf"{name} has another SHA-256"):
            Bundle.open(bundle)


def test_all_problems_of_a_bundle_are_listed_at_once(plain_bundle: Path, copied: Copied) -> None:
    bundle = copied(plain_bundle)
    (bundle / "golden.npz").unlink()
    flip(bundle / "weights.npz")
    (bundle / "more").write_text("x")
    with pytest.raises(IntegrityError) as raised:
        Bundle.open(bundle)
    for problem in ("golden.npz is missing", "weights.npz has another SHA-256", "more is not in the manifest"):
        assert problem in str(raised.value)


def test_a_file_changed_after_opening_is_noticed_when_it_is_read(plain_bundle: Path, copied: Copied) -> None:
    path = copied(plain_bundle)
    bundle = Bundle.open(path)
    flip(path / "weights.npz")
    with pytest.raises(IntegrityError, match=r"weights\.npz was changed while the bundle was open"):
        bundle.weights()


def test_a_file_lost_after_opening_is_a_bundle_error(plain_bundle: Path, copied: Copied) -> None:
    path = copied(plain_bundle)
    bundle = Bundle.open(path)
    (path / "weights.npz").unlink()
    with pytest.raises(IntegrityError, match=r"weights\.npz was changed while the bundle was open"):
        bundle.weights()


def test_a_path_that_is_not_a_bundle_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"nothing is not a bundle: it has no manifest\.json"):
        load(tmp_path / "nothing")
    with pytest.raises(FormatError, match=r"is not a bundle: it has no manifest\.json"):
        load(tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="file is not a bundle; expected the folder that"):
        load(tmp_path / "file")


BAD_MANIFESTS: dict[str, tuple[bytes, str]] = {
    "an empty one": (b"", "manifest.json is not valid JSON"),
    "another format": (b'{"format": 3}', "format is 3; this version of pulsecast reads formats 1 and 2"),
    "no format": (b"{}", "format is None; this version"),
    "a list": (b"[]", "manifest.json"),
    "nothing but the format": (b'{"format": 1}', "missing key name; missing key recipe; missing key spec"),
}


@pytest.mark.parametrize(("data", "sentence"), BAD_MANIFESTS.values(), ids=BAD_MANIFESTS.keys())
def test_a_manifest_that_is_none_is_a_format_error(
    plain_bundle: Path, copied: Copied, data: bytes, sentence: str
) -> None:
    bundle = copied(plain_bundle)
    (bundle / "manifest.json").write_bytes(data)
    with pytest.raises(FormatError, match=sentence):
        Bundle.open(bundle)


def test_a_manifest_that_is_a_link_is_refused(plain_bundle: Path, copied: Copied) -> None:
    bundle = copied(plain_bundle)
    link(bundle / "manifest.json")
    with pytest.raises(FormatError, match=r"manifest\.json in copy-bundle is a link; a bundle holds plain files"):
        Bundle.open(bundle)


def test_a_folder_named_as_an_artifacts_file_is_a_bundle_error(plain_bundle: Path, copied: Copied) -> None:
    bundle = copied(plain_bundle)
    (bundle / "nested").mkdir()
    shutil.move(bundle / "weights.npz", bundle / "nested" / "weights.npz")
    document = json.loads((bundle / "manifest.json").read_text())
    document["weights"]["path"] = document["artifacts"][0]["path"] = "nested"
    document["files"][1]["path"] = "nested/weights.npz"
    (bundle / "manifest.json").write_text(json.dumps(document))
    with pytest.raises(BundleError, match="nested is not among the files"):
        load(bundle, backend="numpy")


def test_the_size_of_an_artifact_is_that_of_all_its_files(plain_bundle: Path) -> None:
    manifest = Bundle.open(plain_bundle).manifest
    assert size_bytes(manifest, "weights.npz") == (plain_bundle / "weights.npz").stat().st_size
    assert size_bytes(manifest, "weights") == 0
