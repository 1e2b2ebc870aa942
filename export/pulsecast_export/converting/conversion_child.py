"""The converter child process: `python -m pulsecast_export.converting.conversion_child MODEL FOLDER TARGET...`.

Converters can segfault, leak and log; in a process of their own this does not affect the user's process. Before each
target its id is written to stdout, so that the parent knows which one a crash belongs to; the last line of stderr is
the reason of a failure.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pulsecast.errors import PulsecastError
from pulsecast.foundation.lazy import imported
from pulsecast.stages.model_directory import ModelDirectory, read_model_directory
from pulsecast.stages.parent import die_with_parent

from .without_keras import leave_out_keras


def main(arguments: list[str]) -> int:
    """Write the targets in order and check each one's gate; return 1 after a failure."""
    return convert(read_model_directory(Path(arguments[0])), Path(arguments[1]), arguments[2:])


def convert(model: ModelDirectory, folder: Path, target_ids: list[str]) -> int:
    """Do what `main` does, for a model that was read."""
    from ..targets import TARGETS
    from .gates import check_target
    from .labelling import write_contract

    for target_id in target_ids:
        print(target_id, flush=True)
        target = TARGETS[target_id]
        writer = target.writer if model.record.spec.graph is None else target.graph_writer or target.writer
        source = folder / TARGETS[target.source].path if target.source else None
        (folder / target.path).parent.mkdir(parents=True, exist_ok=True)
        try:
            imported(writer, "pulsecast_export")(model, folder / target.path, source)
            write_contract(model, target_id, folder / target.path)
            census = check_target(target_id, target, model.record.spec, folder)
        except PulsecastError as error:
            print(error, file=sys.stderr)
            return 1
        except Exception as error:  # a converter may raise any exception
            print(f"{type(error).__name__}: {error}".replace("\n", " ")[:500], file=sys.stderr)
            return 1
        print(f"{target_id}: {census}", flush=True)
    return 0


if __name__ == "__main__":
    die_with_parent()
    read = read_model_directory(Path(sys.argv[1]))
    if read.record.spec.graph is None:  # a graph of Keras layers is made by Keras alone
        leave_out_keras()
    sys.exit(convert(read, Path(sys.argv[2]), sys.argv[3:]))
