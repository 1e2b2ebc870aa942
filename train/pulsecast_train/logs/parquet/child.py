"""The Parquet child process: `python -m pulsecast_train.logs.parquet.child FILE CONFIG` reads a log and keeps nothing.

CONFIG is a file with a `LogConfig` in JSON. The last line of stderr is the reason of a failure.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pulsecast.errors import DataError
from pulsecast.foundation import strict_json
from pulsecast.stages.parent import die_with_parent

from ..config import LogConfig
from ..files import open_log
from ..tables import tried_parquet


def main(arguments: list[str]) -> int:
    """Read as the module says; return 1 if the log cannot be used."""
    file, config = arguments
    wanted = strict_json.loads(LogConfig, Path(config).read_bytes(), where=config)
    try:
        _, batches = tried_parquet(open_log(Path(file)), wanted)
        for _ in batches:
            pass
    except DataError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    die_with_parent()
    sys.exit(main(sys.argv[1:]))
