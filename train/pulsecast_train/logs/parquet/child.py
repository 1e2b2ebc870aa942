"""The Parquet child: `python -m pulsecast_train.logs.parquet.child CONFIG ANSWERS FILE...` reads and keeps nothing.

CONFIG is a file with a `LogConfig` in JSON. For each FILE in turn a line is added to the file ANSWERS: in JSON, null or
why the log cannot be used. A file over which the process ends has no line.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pulsecast.errors import DataError, UsageError
from pulsecast.foundation import strict_json
from pulsecast.stages.parent import die_with_parent

from ..config import LogConfig
from ..files import open_log
from ..tables import tried_parquet


def main(arguments: list[str]) -> int:
    """Read as the module says."""
    config, answers, *files = arguments
    wanted = strict_json.loads(LogConfig, Path(config).read_bytes(), where=config)
    with Path(answers).open("a", encoding="ascii") as said:
        for file in files:
            said.write(f"{json.dumps(_fault(Path(file), wanted))}\n")
            said.flush()
    return 0


def _fault(file: Path, wanted: LogConfig) -> str | None:
    """Return why the log cannot be used; None if it can."""
    try:
        _, batches = tried_parquet(open_log(file), wanted)
        for _ in batches:
            pass
    except (DataError, UsageError) as error:
        return str(error)
    return None


if __name__ == "__main__":
    die_with_parent()
    sys.exit(main(sys.argv[1:]))
