"""One network over many series: ordinary models that share their weights and keep their own scale."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers.engines import TRAIN, require

require(*TRAIN)

from pulsecast.errors import UsageError  # noqa: E402
from pulsecast.stages.model_directory import read_model_directory  # noqa: E402
from pulsecast_train.logs.config import LogConfig  # noqa: E402
from pulsecast_train.recipes.train_config import TrainConfig  # noqa: E402
from pulsecast_train.run import Trained, train  # noqa: E402

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


def trained(logs: list[Path], out: Path, **changes: object) -> Trained:
    config = replace(TrainConfig(units=(4, 4), window=12, epochs=1), **changes)  # type: ignore[arg-type]
    return train(logs, out=out, log=LogConfig(step="1h"), training=config)


def test_several_series_are_pooled_unless_told_otherwise(tmp_path: Path) -> None:
    logs = write_logs(tmp_path)
    pooled = trained(logs, tmp_path / "pool")
    assert pooled.pooled
    assert [record.name for record in pooled.records] == ["small", "large"]
    assert [model.path for model in pooled.models] == [tmp_path / "pool" / name for name in ("small", "large")]
    with pytest.raises(UsageError, match=r"pool holds a pool of models: small, large; take one of `\.models`"):
        Path(pooled)
    with pytest.raises(UsageError, match="pool exists; pass --force to replace it"):
        trained(logs[:1], tmp_path / "pool")
    common = trained(logs, tmp_path / "common", pool=False)
    assert Path(common) == tmp_path / "common"
    assert common.records[0].scaler.features[0].high == 5000.0
    with pytest.raises(UsageError, match="common exists; pass --force to replace it"):
        trained(logs, tmp_path / "common")


def test_a_pool_writes_one_whole_model_per_series_with_shared_weights_and_own_scalers(tmp_path: Path) -> None:
    logs = write_logs(tmp_path)
    trained(logs, tmp_path / "pool")
    small, large = (read_model_directory(tmp_path / "pool" / name) for name in ("small", "large"))
    np.testing.assert_array_equal(small.weights.head_kernel, large.weights.head_kernel)
    assert (small.record.scaler.features[0].high, large.record.scaler.features[0].high) == (50.0, 5000.0)
    assert small.record.intervals is not None
    assert not (tmp_path / "pool.training").exists()
