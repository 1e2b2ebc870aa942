"""One network over many series: ordinary models that share their weights and keep their own scale."""

from pathlib import Path

import numpy as np
import pytest

from engines import TRAIN, require

require(*TRAIN)

from pulsecast.model_directory import read_model_directory  # noqa: E402
from pulsecast_train.logs.config import LogConfig  # noqa: E402
from pulsecast_train.model_writer import Listener, train_pool  # noqa: E402
from pulsecast_train.train_config import RunConfig, TrainConfig  # noqa: E402

pytestmark = pytest.mark.slow


def test_a_pool_writes_one_whole_model_per_series_with_shared_weights_and_own_scalers(tmp_path: Path) -> None:
    logs = []
    for name, size in (("small", 20), ("large", 2000)):
        hours = np.arange(600)
        values = np.round(size * (1.5 + np.sin(2 * np.pi * hours / 24)))
        lines = [f"{1_736_121_600 + 3600 * int(h)},{int(v)}" for h, v in zip(hours, values, strict=True)]
        logs.append(tmp_path / f"{name}.csv")
        logs[-1].write_text("\n".join(["timestamp,value", *lines]) + "\n")
    run = RunConfig(log=LogConfig(step="1h"), train=TrainConfig(units=(4, 4), window=12, epochs=1))
    listener = Listener(tell=lambda _: None, on_epoch=lambda _epoch, _of: None)
    records = train_pool(logs, run, tmp_path / "pool", force=False, restart=False, listener=listener)
    assert [record.name for record in records] == ["small", "large"]
    small, large = (read_model_directory(tmp_path / "pool" / name) for name in ("small", "large"))
    np.testing.assert_array_equal(small.weights.head_kernel, large.weights.head_kernel)
    assert (small.record.scaler.features[0].high, large.record.scaler.features[0].high) == (50.0, 5000.0)
    assert small.record.intervals is not None
    assert not (tmp_path / "pool.training").exists()
