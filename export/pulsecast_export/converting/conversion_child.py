"""The converter child process: `python -m pulsecast_export.converting.conversion_child MODEL FOLDER TARGET...`.

Converters can segfault, leak and log; in a process of their own this does not affect the user's process. Before each
target its id is written to stdout, so that the parent knows which one a crash belongs to; the last line of stderr is
the reason of a failure.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from pulsecast.stages.parent import die_with_parent

from .without_keras import leave_out_keras


def main(arguments: list[str]) -> int:
    """Write the targets in order and check each one's gate; return 1 after a failure."""
    from pulsecast.errors import PulsecastError
    from pulsecast.stages.model_directory import read_model_directory

    from ..targets import TARGETS
    from .gates import check_target
    from .labelling import write_contract

    model, folder = read_model_directory(Path(arguments[0])), Path(arguments[1])
    for target_id in arguments[2:]:
        print(target_id, flush=True)
        target = TARGETS[target_id]
        writer = target.writer if model.record.spec.graph is None else target.graph_writer or target.writer
        module, function = writer.split(":")
        source = folder / TARGETS[target.source].path if target.source else None
        (folder / target.path).parent.mkdir(parents=True, exist_ok=True)
        try:
            write = getattr(importlib.import_module(f"pulsecast_export.{module}"), function)
            write(model, folder / target.path, source)
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


def of_layers(model: Path) -> bool:
    """Return whether a model is a graph of Keras layers, which only Keras makes; a damaged one is refused later."""
    from pulsecast.errors import PulsecastError
    from pulsecast.stages.model_directory import read_model_directory

    try:
        return read_model_directory(model).record.spec.graph is not None
    except PulsecastError:
        return False


if __name__ == "__main__":
    die_with_parent()
    if not of_layers(Path(sys.argv[1])):
        leave_out_keras()
    sys.exit(main(sys.argv[1:]))
