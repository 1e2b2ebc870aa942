"""`pulsecast bench --host`: the packed benchmark on another machine, over the system's ssh.

One connection does all of it: the program goes there on stdin, which stays open as long as this process waits; progress
comes back on stderr, the result on stdout. So ssh asks for a password at most once, there is no need for scp or sftp on
the device, and when the connection or this process ends, for any reason, the device notices, stops measuring and
removes its folder. No name of host or user reaches the result.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pulsecast.bundle.bundle import Bundle
from pulsecast.errors import EngineError, FormatError, MissingExtraError, PulsecastError, UsageError
from pulsecast.foundation import strict_json
from pulsecast.foundation.arguments import require_types, shown
from pulsecast.stages.progress import SILENT, Progress

from ..results.case import BenchConfig
from ..results.document import printable_document
from ..results.result import Result
from ..subjects.subject import UNVOUCHED, Trust
from .packing import packed

CONNECTION_FAILED = 255  # ssh's own exit code; the device does not use it
NO_PYTHON, NO_FOLDER, NOT_WRITTEN = 91, 92, 93  # exit codes of SCRIPT
STARTED = "pulsecast: the result follows"  # separates the result from a login shell's greeting on stdout
GRACE_S = 15.0  # time for the device to remove its folder after Ctrl-C here
# After the user's own options, because ssh takes the first of each: notice a lost device within a minute.
_OPTIONS = ("ConnectTimeout=20", "ServerAliveInterval=15", "ServerAliveCountMax=4", "Compression=yes")
# For any POSIX shell. All files, also the program's temporary ones, lie in one private folder, which the shell removes
# even if Python is killed.
SCRIPT = (
    'umask 077; python=$1; size=$2; shift 2; case "$python" in "~/"*) python="$HOME/${python#??}";; esac; '
    f'command -v "$python" >/dev/null 2>&1 || exit {NO_PYTHON}; '
    f'folder=$(mktemp -d "${{TMPDIR:-/tmp}}/pulsecast-XXXXXXXX") || exit {NO_FOLDER}; '
    'trap "rm -rf \\"$folder\\"" EXIT; trap "exit 129" HUP INT TERM; '
    f'head -c "$size" > "$folder/bench.pyz" && [ "$(wc -c < "$folder/bench.pyz")" -eq "$size" ] || exit {NOT_WRITTEN}; '
    f'echo "{STARTED}"; TMPDIR="$folder" "$python" "$folder/bench.pyz" "$@"; exit $?'
)
# ssh's message -> its meaning
_REASONS = (
    ("Permission denied", "the device refused the login; check name and key: --ssh-option IdentityFile=KEY"),
    ("Too many authentication failures", "the device refused the login; name one key: --ssh-option IdentitiesOnly=yes"),
    ("Host key verification failed", "the device's host key is unknown or has changed; log in once by hand"),
    ("Could not resolve hostname", "the device cannot be reached: its name is unknown"),
    ("connect to host", "the device cannot be reached"),
    ("Connection closed by", "the device closed the connection before anything ran"),
    ("Connection reset by", "the device closed the connection before anything ran"),
)
_ERRORS: dict[int, type[PulsecastError]] = {2: UsageError, 5: FormatError, 6: MissingExtraError}
_WITH_RESULT = (0, 1, 4)  # exit codes of a benchmark that may have written a result
_KILLED = 137
_CHUNK_BYTES = 1 << 16
_PROGRESS = re.compile(r"measuring (\d+)/(\d+) (.*)")


@dataclass(frozen=True, kw_only=True)
class Device:
    """A machine that `ssh` reaches.

    host     as ssh takes it, `user@device` or a name from its configuration
    python   program there; ~/ is that user's home
    options  of ssh: `Port=2222` for its -o, or as it is if it starts with a dash
    """

    host: str
    python: str = "python3"
    options: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        require_types(self)
        if not self.host or self.host.startswith("-") or " " in self.host or not self.host.isprintable():
            raise UsageError(f"host is {shown(self.host)}; expected user@device")


def bench_remotely(
    path: Path, config: BenchConfig, device: Device, progress: Progress = SILENT, trust: Trust = UNVOUCHED
) -> Result:
    """Measure the bundle at `path` on `device` and return the result, as `run_benchmark` does here.

    The check of a key happens here, on the bytes that are sent: code of a verified bundle is then trusted there.

    KeyboardInterrupt waits until the device has cleaned up, or GRACE_S.

    Raises FormatError or IntegrityError (the bundle), PulsecastError (no ssh, no connection, one that was lost, or what
    the device lacks, each in a sentence).
    """
    bundle = Bundle.open(path, key=trust.key)
    program = packed(bundle)
    ssh = shutil.which("ssh")
    if ssh is None:
        raise PulsecastError("--host needs ssh, which is not installed here: install the OpenSSH client")
    arguments = ["--out", "-", "--config", json.dumps(strict_json.to_json(config)), "--while-stdin-is-open"]
    if trust.code or bundle.signature.state == "verified":
        arguments.append("--trust-code")
    heard = _Heard(progress)
    code = _converse(_command(ssh, device, len(program), arguments), program, heard)
    try:
        document = printable_document(heard.answer or b"", where="the device's result")
        return strict_json.parse(Result, document, where="the device's result")
    except FormatError:
        if code not in _WITH_RESULT or not heard.answer:  # output of the device or of ssh comes first
            heard.pass_on(but=1)
            raise _explained(code, heard, device) from None
        raise


def _command(ssh: str, device: Device, size_bytes: int, arguments: Sequence[str]) -> list[str]:
    """Return the ssh command line that runs SCRIPT on the device."""
    words = [word for option in device.options for word in ([option] if option.startswith("-") else ["-o", option])]
    if not sys.stderr.isatty():
        words += ["-o", "BatchMode=yes"]  # ssh must not ask questions: no user is there to answer
    for option in _OPTIONS:
        words += ["-o", option]
    script = shlex.join(["sh", "-c", SCRIPT, "sh", device.python, str(size_bytes), *arguments])
    return [ssh, "-T", *words, "--", device.host, script]


class _Heard:
    """The device's output: `answer` is the text after STARTED on stdout, None without STARTED.

    lines  of stderr that are not progress and were not yet passed to `progress`
    done   processes of the benchmark that have ended, of `total`
    """

    def __init__(self, progress: Progress) -> None:
        self.answer: bytes | None = None
        self.lines: list[str] = []
        self.done = self.total = 0
        self._progress = progress

    def error(self, line: str) -> None:
        """Take a line of stderr: progress, or a line that is held back because it may be the last one."""
        match = _PROGRESS.fullmatch(line)
        if match:
            self.pass_on()
            self.done, self.total = int(match[1]), int(match[2])
            self._progress.advance("measuring there", self.done, self.total, match[3])
        elif line:
            self.lines.append(line)

    def pass_on(self, *, but: int = 0) -> None:
        """Tell `progress` the lines that were held back, except the last `but`."""
        for line in self.lines[: len(self.lines) - but]:
            self._progress.tell(line)
        del self.lines[: len(self.lines) - but]

    def output(self, data: bytes) -> None:
        """Take all of stdout."""
        _, started, answer = data.partition(f"{STARTED}\n".encode())
        self.answer = answer if started else None


def _converse(command: Sequence[str], program: bytes, heard: _Heard) -> int:
    """Run ssh to its end and return its exit code; after any exception, the device is told to end first."""
    process = subprocess.Popen(
        command,
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"LC_ALL": "C"},  # ssh's messages in the language of _REASONS
        # Ctrl-C goes to ssh too, and the connection must outlive it until the device has cleaned up
        preexec_fn=_ignore_interrupt,  # noqa: PLW1509  # no thread of this module runs yet
    )
    over = threading.Event()
    listening = [
        threading.Thread(target=_hear_output, args=(process, heard), daemon=True),
        threading.Thread(target=_hear_errors, args=(process, heard), daemon=True),
    ]
    for thread in (*listening, threading.Thread(target=_send, args=(process, program, over), daemon=True)):
        thread.start()
    try:
        code = process.wait()
        for thread in listening:
            thread.join()
    except BaseException:
        over.set()
        with contextlib.suppress(subprocess.TimeoutExpired, KeyboardInterrupt):  # a second Ctrl-C does not wait
            process.wait(timeout=GRACE_S)
        raise
    finally:
        over.set()
        process.kill()
        process.wait()
    return code


def _send(process: subprocess.Popen[bytes], program: bytes, over: threading.Event) -> None:
    """Send the program, and keep the pipe open until it is `over`: its end tells the device to stop."""
    with contextlib.suppress(OSError):  # ssh ended early: its exit code gives the reason
        left = memoryview(program)
        while left and not over.is_set() and process.stdin:
            left = left[process.stdin.write(left[:_CHUNK_BYTES]) :]
    over.wait()
    if process.stdin:
        process.stdin.close()


def _hear_output(process: subprocess.Popen[bytes], heard: _Heard) -> None:
    heard.output(process.stdout.read() if process.stdout else b"")


def _hear_errors(process: subprocess.Popen[bytes], heard: _Heard) -> None:
    for line in process.stderr or ():
        heard.error(line.decode("utf-8", "replace").strip())


def _ignore_interrupt() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _explained(code: int, heard: _Heard, device: Device) -> PulsecastError:
    """Return the error for an exit code without a result."""
    line = heard.lines[-1] if heard.lines else ""
    said = f": {line}" if line else ""
    if code == CONNECTION_FAILED or code < 0:
        return PulsecastError(_connection(line, heard))
    if code == NO_PYTHON:
        return MissingExtraError(
            f"{device.python} was not found on the device; --python names a Python there, 3.11 or newer, with numpy"
        )
    if code in (NO_FOLDER, NOT_WRITTEN):
        full = any(words in line for words in ("No space left", "quota exceeded"))
        why = "is full" if full else "cannot be written to"
        return PulsecastError(f"the device's folder for temporary files {why}{said}")
    if line.startswith("error: "):
        return _ERRORS.get(code, EngineError)(f"on the device: {line.removeprefix('error: ')}")
    if code == _KILLED:
        return EngineError(f"the benchmark was killed on the device; it may have too little memory{said}")
    return EngineError(f"the benchmark ended on the device with exit code {code}{said}")


def _connection(line: str, heard: _Heard) -> str:
    """Return the fate of the connection, in a sentence."""
    if heard.answer is not None:
        return (
            f"the connection was lost after {heard.done} of {heard.total or '?'} processes; no result was written"
            f" ({line or 'ssh gave no reason'}); the device stops measuring and removes its folder; start it again"
        )
    for words, sentence in _REASONS:
        if words in line:
            return f"{sentence} ({line})"
    return f"ssh failed: {line or 'it gave no reason'}"
