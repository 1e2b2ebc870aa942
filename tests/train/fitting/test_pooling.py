"""One network over many series: ordinary models that share their weights and keep their own scale."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers.engines import TRAIN, require

require(*TRAIN)

from pulsecast.errors import UsageError  # noqa: E402
from pulsecast.stages.model_directory import ModelRecord, read_model_directory  # noqa: E402
from pulsecast_train.logs.config import LogConfig  # noqa: E402
from pulsecast_train.recipes.train_config import RunConfig, TrainConfig  # noqa: E402
from pulsecast_train.run import Listener, train_logs, train_pool  # noqa: E402

pytestmark = pytest.mark.slow


def write_logs(folder: Path) -> list[Path]:
    """Two hourly series of the same shape, one a hundred times as large as the other."""
    logs = []
    for name, size in (("small", 20), ("large", 2000)):
        hours = np.arange(600)
        values = np.round(size * (1.5 + np.sin(2 * np.pi * hours / 24)))
        lines = [f"{1_736_121_600 + 3600 * int(h)},{int(v)}" for h, v in zip(hours, values, strict=True)]
        logs.append(folder / f"{name}.csv")
        logs[-1].write_text("\n".join(["timestamp,value", *lines]) + "\n")
    return logs


def train(logs: list[Path], out: Path, **changes: object) -> ModelRecord | tuple[ModelRecord, ...]:
    config = replace(TrainConfig(units=(4, 4), window=12, epochs=1), **changes)  # type: ignore[arg-type]
    listener = Listener(tell=lambda _: None, on_epoch=lambda _epoch, _of: None)
    run = RunConfig(log=LogConfig(step="1h"), train=config)
    return train_logs(logs, run, out, force=False, restart=False, listener=listener)


def test_several_series_are_pooled_unless_told_otherwise(tmp_path: Path) -> None:
    logs = write_logs(tmp_path)
    pooled = train(logs, tmp_path / "pool")
    assert isinstance(pooled, tuple)
    assert [record.name for record in pooled] == ["small", "large"]
    with pytest.raises(UsageError, match="pool exists; pass --force to replace it"):
        train(logs[:1], tmp_path / "pool")
    common = train(logs, tmp_path / "common", pool=False)
    assert isinstance(common, ModelRecord)
    assert common.scaler.features[0].high == 5000.0
    with pytest.raises(UsageError, match="common exists; pass --force to replace it"):
        train(logs, tmp_path / "common")


def test_a_pool_writes_one_whole_model_per_series_with_shared_weights_and_own_scalers(tmp_path: Path) -> None:
    logs = write_logs(tmp_path)
    run = RunConfig(log=LogConfig(step="1h"), train=TrainConfig(units=(4, 4), window=12, epochs=1))
    listener = Listener(tell=lambda _: None, on_epoch=lambda _epoch, _of: None)
    records = train_pool(logs, run, tmp_path / "pool", force=False, restart=False, listener=listener)
    assert [record.name for record in records] == ["small", "large"]
    small, large = (read_model_directory(tmp_path / "pool" / name) for name in ("small", "large"))
    np.testing.assert_array_equal(small.weights.head_kernel, large.weights.head_kernel)
    assert (small.record.scaler.features[0].high, large.record.scaler.features[0].high) == (50.0, 5000.0)
    assert small.record.intervals is not None
    assert not (tmp_path / "pool.training").exists()
