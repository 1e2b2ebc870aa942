"""No user or event is named in a model directory or a bundle: every byte is searched, also unpacked."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from helpers.engines import EXPORT, TRAIN, require
from helpers.heard import Heard

pytestmark = pytest.mark.slow
NEEDLES = (b"person-", b"event-", b"4711-fingerprint")


def all_bytes(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield every file of a folder, and every member of those that are archives."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            yield path.name, data
            if zipfile.is_zipfile(io.BytesIO(data)):  # .npz and .keras
                with zipfile.ZipFile(io.BytesIO(data)) as archive:
                    for member in archive.namelist():
                        yield f"{path.name}:{member}", archive.read(member)


def test_the_search_finds_what_is_packed(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x", b"so it is person-1 " * 9)
    assert [name for name, data in all_bytes(tmp_path) if b"person-" in data] == ["a.npz:x"]


def test_model_directories_and_bundles_hold_no_user_and_no_event(tmp_path: Path) -> None:
    require(*TRAIN, *EXPORT)
    from helpers.outside import warm
    from pulsecast.foundation.arguments import with_changes
    from pulsecast_export.exporter import export_model
    from pulsecast_train import TrainConfig, train
    from pulsecast_train.logs.generator import GENERATED_LOG, generate_log

    generate_log(tmp_path / "log.csv", days=20)
    log = pl.read_csv(tmp_path / "log.csv", infer_schema=False).with_columns(
        event_id="event-" + pl.col("event_id"), user_id="person-" + pl.col("user_id") + "-4711-fingerprint"
    )
    log.write_csv(tmp_path / "log.csv")
    reading = with_changes(GENERATED_LOG, {"user": "user_id", "user_cap": 50})
    heard = Heard()
    train(
        tmp_path / "log.csv",
        out=tmp_path / "model",
        log=reading,
        training=TrainConfig(epochs=1, units=(4,), window=24),
        user_key=b"a key of sixteen",
        progress=heard,
    )
    with warm.converters():
        export_model(tmp_path / "model", tmp_path / "bundle", targets=("onnx",), progress=heard)
    told = heard.lines
    for folder in ("model", "bundle"):
        names = [name for name, _ in all_bytes(tmp_path / folder)]
        assert len(names) > 5
        assert [name for name, data in all_bytes(tmp_path / folder) if any(needle in data for needle in NEEDLES)] == []
        assert [name for name, data in all_bytes(tmp_path / folder) if b"a key of sixteen" in data] == []
    assert "user-cap" in "".join(told)
    assert not any(needle.decode() in line for needle in NEEDLES for line in told)
