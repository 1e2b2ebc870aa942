"""Which Keras model gives which target: small networks and graphs, and the tables of export/README.md that they prove.

`python tests/helpers/keras_matrix.py` trains each of them, exports every target that the tables promise it (each is
gated and verified, or the export fails), and prints the tables. The README holds them between two marks. `--table`
prints them without a proof.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helpers.keras_own.graphs import GRAPHS, teach, truth_of, windows_of

WINDOW, HORIZON = 12, 2
TRAINING = 350  # windows; the rest is held out
BEGIN, END = "<!-- keras targets: python tests/helpers/keras_matrix.py -->", "<!-- end of keras targets -->"
README = Path(__file__).parents[2] / "export" / "README.md"


def mixed(k: Any) -> list[Any]:
    """Return one of everything."""
    return [
        k.Bidirectional(k.GRU(5, return_sequences=True)),
        k.SpatialDropout1D(0.1),
        k.LSTM(4, activation="relu", recurrent_activation="hard_sigmoid", return_sequences=True, go_backwards=True),
        k.Bidirectional(k.LSTM(3), merge_mode="ave"),
        k.Dense(5, activation="relu"),
        k.Dense(HORIZON),
    ]


NETWORKS: dict[str, Callable[[Any], list[Any]]] = {
    "LSTM layers with Dropout, linear Dense head": lambda k: [
        k.LSTM(5, return_sequences=True),
        k.Dropout(0.1),
        k.LSTM(4),
        k.Dense(HORIZON),
    ],
    "GRU": lambda k: [k.GRU(5), k.Dense(HORIZON)],
    "GRU, `reset_after=False`": lambda k: [
        k.GRU(5, reset_after=False, return_sequences=True),
        k.GRU(4, reset_after=False),
        k.Dense(HORIZON),
    ],
    "LSTM and GRU, `use_bias=False`": lambda k: [
        k.LSTM(5, use_bias=False, return_sequences=True),
        k.GRU(4, use_bias=False),
        k.Dense(HORIZON, use_bias=False),
    ],
    "Bidirectional LSTM, `concat`": lambda k: [
        k.Bidirectional(k.LSTM(5, return_sequences=True)),
        k.Bidirectional(k.LSTM(4)),
        k.Dense(HORIZON),
    ],
    "Bidirectional GRU, `sum` and `mul`": lambda k: [
        k.Bidirectional(k.GRU(5, return_sequences=True), merge_mode="sum"),
        k.Bidirectional(k.GRU(4), merge_mode="mul"),
        k.Dense(HORIZON),
    ],
    "`go_backwards`": lambda k: [k.LSTM(5, go_backwards=True, return_sequences=True), k.GRU(4), k.Dense(HORIZON)],
    "`relu`, `hard_sigmoid`, `sigmoid` head": lambda k: [
        k.LSTM(5, activation="relu", recurrent_activation="hard_sigmoid"),
        k.Dense(HORIZON, activation="sigmoid"),
    ],
    "no Dense head": lambda k: [k.LSTM(5, return_sequences=True), k.LSTM(HORIZON)],
    "all of these mixed, `ave`, several Dense": mixed,
}
PLAIN = "LSTM layers with Dropout, linear Dense head"
HEADLESS = "no Dense head"
GRU = "GRU"
MIXED = "all of these mixed, `ave`, several Dense"


def wave() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return windows (n, 12, 2) and truth (n, 2) of a noisy wave."""
    steps = np.arange(500)
    noise = np.random.default_rng(3).standard_normal(500)
    values = np.stack([np.sin(steps / 4) + 0.1 * noise, np.cos(steps / 4)], axis=1).astype(np.float32)
    starts = range(500 - WINDOW - HORIZON)
    windows = np.stack([values[i : i + WINDOW] for i in starts])
    return windows, np.stack([values[i + WINDOW : i + WINDOW + HORIZON, 0] for i in starts])


def write_heldout(path: Path) -> Path:
    """Write the held-out windows to `path` and return it."""
    windows, truth = wave()
    np.savez(path, windows=windows[TRAINING:], truth=truth[TRAINING:])
    return path


def build(keras: Any, name: str) -> Any:
    """Return a network of NETWORKS, not trained."""
    keras.utils.set_random_seed(5)
    return keras.Sequential([keras.Input((WINDOW, 2)), *NETWORKS[name](keras.layers)])


def train(keras: Any, name: str, path: Path) -> Path:
    """Train a network of NETWORKS, or a graph, in a few steps and save it at `path`.

    Each step is over all windows, without a TensorFlow graph: one takes twice as long as all the steps. The error
    falls to less than half of the variance.
    """
    if name in GRAPHS:
        return _train_graph(keras, name, path)
    model = build(keras, name)
    model.compile(keras.optimizers.Adam(0.02), "mse", run_eagerly=True)
    windows, truth = wave()
    for _ in range(7):
        model.train_on_batch(windows[:TRAINING], truth[:TRAINING])
    model.save(path)
    return path


def _train_graph(keras: Any, name: str, path: Path) -> Path:
    row = GRAPHS[name]
    keras.utils.set_random_seed(5)
    model = row.make(keras)
    windows, truth = wave()
    given = windows_of(row, windows)[:TRAINING]
    teach(keras, model, row, given, truth_of(row, given, truth[:TRAINING]))
    model.save(path)
    return path


def write_heldout_of(name: str, path: Path) -> Path:
    """Write the held-out windows of a network or a graph to `path` and return it."""
    if name not in GRAPHS:
        return write_heldout(path)
    row, (windows, truth) = GRAPHS[name], wave()
    given = windows_of(row, windows)[TRAINING:]
    np.savez(path, windows=given, truth=truth_of(row, given, truth[TRAINING:]))
    return path


def promised(keras: Any, name: str) -> tuple[str, ...]:
    """Return the promised targets: all of a plain stack, fewer of another network, and of a graph fewer still."""
    from pulsecast_export.keras_models.keras_file import read_keras_file
    from pulsecast_export.keras_models.model_reading import read_model
    from pulsecast_export.targets import TARGETS

    if name in GRAPHS:
        return tuple(target_id for target_id, target in TARGETS.items() if target.graph_writer is not None)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "own.keras"
        build(keras, name).save(path)
        plain = read_model(read_keras_file(path).config)[0].network.is_plain  # type: ignore[union-attr]
    return tuple(target_id for target_id, target in TARGETS.items() if plain or not target.plain_only)


def export(keras: Any, name: str, folder: Path, targets: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Train a model in `folder`, export it to every promised target or to these, and return the bundle's artifacts."""
    from pulsecast_export.exporter import export_model
    from pulsecast_export.keras_models.keras_import import import_keras
    from pulsecast_export.keras_models.network_import import ImportOptions

    path = train(keras, name, folder / "own.keras")
    options = ImportOptions(name="own", step_s=3600, output=GRAPHS[name].output if name in GRAPHS else None)
    heldout = write_heldout_of(name, folder / "heldout.npz")
    import_keras(path, heldout, options, folder / "model", force=False)
    made = export_model(folder / "model", folder / "bundle", targets=targets or promised(keras, name))
    return tuple(artifact.id for artifact in made.manifest.artifacts if artifact.id != "numpy")


def table(keras: Any) -> str:
    """Return the table, and what is refused, as export/README.md holds them."""
    from pulsecast_export.layer_graphs.kinds import WHY_NOT
    from pulsecast_export.targets import TARGETS

    lines = [f"| network | numpy | {' | '.join(TARGETS)} |", f"|---|{':-:|' * (len(TARGETS) + 1)}"]
    for name in NETWORKS:
        given = promised(keras, name)
        marks = ("✓" if target in given else "–" for target in TARGETS)
        lines.append(f"| {name} | ✓ | {' | '.join(marks)} |")
    lines += ["", f"| graph of layers | numpy | {' | '.join(TARGETS)} |", f"|---|{':-:|' * (len(TARGETS) + 1)}"]
    for name in GRAPHS:
        marks = ("✓" if target in promised(keras, name) else "–" for target in TARGETS)
        lines.append(f"| {name} | – | {' | '.join(marks)} |")
    refused = "\n".join(f"| `{kind}` | {reason} |" for kind, reason in WHY_NOT.items())
    return "\n".join([*lines, "", "| refused layer | because |", "|---|---|", refused])


def held_by_readme() -> str:
    """Return the table that export/README.md holds now."""
    return README.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0].strip()


def main(arguments: list[str]) -> int:
    """Prove every row, unless `--table` is given, then print the table."""
    import keras

    for name in () if arguments == ["--table"] else (*NETWORKS, *GRAPHS):
        with tempfile.TemporaryDirectory() as folder:
            found, expected = export(keras, name, Path(folder)), promised(keras, name)
        print(f"{name}: {', '.join(found)}", file=sys.stderr)
        if found != expected:
            print(f"{name}: expected {', '.join(expected)}", file=sys.stderr)
            return 1
    print(table(keras))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
