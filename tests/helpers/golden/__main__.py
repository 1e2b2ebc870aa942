"""Makes the golden bundles of `tests/data`: `python -m helpers.golden golden_v2 FOLDER`, or `golden_v2_series`.

Each is a folder, a signed `.pulse` file and the public key. Only for a format that no release has written yet. The
private key is thrown away.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from pulsecast.bundle.packing import pack, sign
from pulsecast.bundle.signing import generate_key

DAYS, TARGETS = 60, ("onnx-w8", "tflite-w8")
SERIES = {"golden_v2": ("log",), "golden_v2_series": ("birds", "cats", "dogs")}  # by the bundle's name


def make(name: str, folder: Path) -> None:
    """Train on generated logs, one for each series, and put bundle, archive and key into `folder`."""
    from pulsecast_export import export
    from pulsecast_train import TrainConfig, generate_log, train
    from pulsecast_train.logs.generator import GENERATED_LOG

    training = TrainConfig(
        window=24, units=(12, 8), horizon=2, epochs=30, learning_rate=3e-3, batch_size=64, holidays=("US",)
    )
    with TemporaryDirectory() as temporary:
        work = Path(temporary)
        logs = [work / f"{series}.csv" for series in SERIES[name]]
        for seed, log in enumerate(logs, 7):
            generate_log(log, days=DAYS, seed=seed)
        train(logs, out=work / "golden_model", log=GENERATED_LOG, training=training)
        export(work / "golden_model", out=folder / name, targets=TARGETS)
        pack(folder / name, folder / f"{name}.pulse", compress=True)
        generate_key(work / "key.pem")
        sign(folder / f"{name}.pulse", work / "key.pem")
        (folder / f"{name}.pub").write_bytes((work / "key.pem.pub").read_bytes())


if __name__ == "__main__":
    make(sys.argv[1], Path(sys.argv[2]))
