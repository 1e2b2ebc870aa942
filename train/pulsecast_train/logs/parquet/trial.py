"""Whether Parquet files can be read, found out in a child process that may crash over one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from pulsecast.errors import DataError
from pulsecast.foundation import strict_json
from pulsecast.foundation.private_folder import temporary_folder
from pulsecast.stages.child_process import Ended, run_module

from ..config import LogConfig
from ..files import LogFile

CHILD = "pulsecast_train.logs.parquet.child"
LEAST_S = 60.0  # for the imports on a busy machine
SLOWEST_BYTES_PER_S = 1 << 20  # of a file on a slow network; a local disk gives a hundred times as much

_Key = tuple[str, int, int, int, str]
_tried: dict[_Key, str | None] = {}  # what `try_parquets` found and `try_parquet` has not yet been asked for


def try_parquet(log: LogFile, config: LogConfig) -> None:
    """Read what `config` asks of `log` in a child process; raises DataError if that fails or the child crashes.

    A length in a damaged page may be any number, and polars ends its process when it cannot have so much memory. The
    trial takes a third of a second for the imports, and of ten million rows a twentieth of the time of reading them.
    """
    key = _key(log, config)
    try:
        fault = _tried.pop(key)  # not `in` first: another thread may ask for the same log
    except KeyError:
        fault = next(_faults([log], config))
    if fault is not None:
        raise DataError(fault)


def try_parquets(logs: Sequence[LogFile], config: LogConfig) -> None:
    """Try many logs in one child, so that its imports are paid once: the next `try_parquet` of each knows the answer.

    A log that has changed by then is tried again.
    """
    keys = [_key(log, config) for log in logs]
    _tried.update(zip(keys, _faults(logs, config), strict=True))


def _key(log: LogFile, config: LogConfig) -> _Key:
    try:
        found = log.path.stat()
    except OSError as error:
        raise DataError(f"{log.name} cannot be read: {error.strerror or 'unknown failure'}") from error
    path = str(log.path.absolute())
    return path, found.st_size, found.st_mtime_ns, found.st_ctime_ns, strict_json.dumps(config)


def _faults(logs: Sequence[LogFile], config: LogConfig) -> Iterator[str | None]:
    """Yield for each of `logs` why it cannot be used, or None. One that ends a child costs another child."""
    left = list(logs)
    while left:
        answers, ended = _answers(left, config)
        yield from answers
        left = left[len(answers) :]
        if left:
            yield _ending(left.pop(0), ended)


def _answers(logs: Sequence[LogFile], config: LogConfig) -> tuple[list[str | None], Ended]:
    """Return the answers of one child, which may be fewer than `logs`, and how it ended."""
    with temporary_folder() as folder:
        wanted, answers = folder / "log.json", folder / "answers"
        wanted.write_text(strict_json.dumps(config), "utf-8")
        answers.touch()
        timeout_s = LEAST_S + sum(log.size_bytes for log in logs) / SLOWEST_BYTES_PER_S
        files = [str(log.path.absolute()) for log in logs]
        ended = run_module(CHILD, [str(wanted), str(answers), *files], timeout_s=timeout_s)
        lines = answers.read_text("ascii").split("\n")[:-1]
    return [json.loads(line) for line in lines], ended


def _ending(log: LogFile, ended: Ended) -> str:
    if ended.returncode is None or ended.returncode < 0:
        return f"{log.name} is not a whole Parquet file: reading it {ended.reason}; write it again"
    return ended.reason
