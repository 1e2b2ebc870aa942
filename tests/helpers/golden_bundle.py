"""Makes `tests/data/golden_v2`, its signed `.pulse` file and the public key: `python -m helpers.golden_bundle FOLDER`.

Only for a format that no release has written yet. The private key is thrown away.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from pulsecast.bundle.packing import pack, sign
from pulsecast.bundle.signing import generate_key

NAME, DAYS, TARGETS = "golden_v2", 60, ("onnx-w8", "tflite-w8")


def make(folder: Path) -> None:
    """Train the model on the generated log, export it to TARGETS, and put bundle, archive and key into `folder`."""
    from pulsecast_export import export
    from pulsecast_train import TrainConfig, generate_log, train
    from pulsecast_train.logs.generator import GENERATED_LOG

    training = TrainConfig(
        window=24, units=(12, 8), horizon=2, epochs=30, learning_rate=3e-3, batch_size=64, holidays=("US",)
    )
    with TemporaryDirectory() as temporary:
        work = Path(temporary)
        generate_log(work / "log.csv", days=DAYS)
        train(work / "log.csv", out=work / "golden_model", log=GENERATED_LOG, training=training)
        export(work / "golden_model", out=folder / NAME, targets=TARGETS)
        pack(folder / NAME, folder / f"{NAME}.pulse", compress=True)
        generate_key(work / "key.pem")
        sign(folder / f"{NAME}.pulse", work / "key.pem")
        (folder / f"{NAME}.pub").write_bytes((work / "key.pem.pub").read_bytes())


if __name__ == "__main__":
    make(Path(sys.argv[1]))
