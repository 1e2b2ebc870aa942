"""Whether a Parquet file can be read, found out in a child process that may crash over it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from pulsecast.errors import DataError
from pulsecast.foundation import strict_json
from pulsecast.stages.child_process import run_module

from ..config import LogConfig
from ..files import LogFile

CHILD = "pulsecast_train.logs.parquet.child"
LEAST_S = 60.0  # for the imports on a busy machine
SLOWEST_BYTES_PER_S = 1 << 20  # of a file on a slow network; a local disk gives a hundred times as much


def try_parquet(log: LogFile, config: LogConfig) -> None:
    """Read what `config` asks of `log` in a child process; raises DataError if that fails or the child crashes.

    A length in a damaged page may be any number, and polars ends its process when it cannot have so much memory. The
    trial takes a third of a second for the imports, and of ten million rows a twentieth of the time of reading them.
    """
    with tempfile.TemporaryDirectory(prefix="pulsecast-") as folder:
        wanted = Path(folder) / "log.json"
        wanted.write_text(strict_json.dumps(config), "utf-8")
        timeout_s = LEAST_S + log.size_bytes / SLOWEST_BYTES_PER_S
        ended = run_module(CHILD, [str(log.path.absolute()), str(wanted)], timeout_s=timeout_s)
    if ended.returncode is None or ended.returncode < 0:
        raise DataError(f"{log.name} is not a whole Parquet file: reading it {ended.reason}; write it again")
    if ended.failed:
        raise DataError(ended.reason)
