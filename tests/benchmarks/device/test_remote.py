"""`bench --host` against a real sshd on 127.0.0.1, and the message if something is missing on either side."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers import plain
from helpers.engines import require
from helpers.outside.environments import environment
from helpers.outside.processes import children, wait_for
from helpers.outside.ssh_server import SshServer, ssh_server
from pulsecast.errors import PulsecastError, UsageError
from pulsecast_bench.device.remote import Device, bench_remotely
from pulsecast_bench.results.case import PROFILES, change
from pulsecast_bench.results.result import read_result

require("typer")

from pulsecast_cli.app import run as run_arguments  # noqa: E402

ALIAS = "shelf-in-the-kitchen"
QUICK = ("--profile", "quick", "--repeats", "1", "--batch", "1")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    with ssh_server(tmp_path_factory.mktemp("sshd")) as running:
        yield running


def arguments(server: SshServer, bundle: Path, out: Path, *more: str, key: str = "client") -> list[str]:
    """Return the command line that measures `bundle` on the server, by a name that only its options explain."""
    options = [
        f"--ssh-option={option}" for option in (*server.options(key), "HostName=127.0.0.1", "HostKeyAlias=device")
    ]
    known = server.folder / "known_hosts"
    key_line = known.read_text().splitlines()[0].split(" ", 1)[1]
    if "device " not in known.read_text():
        known.write_text(f"{known.read_text()}device {key_line}\n")
    host = ("--host", f"{server.user}@{ALIAS}", "--python", sys.executable)
    return ["bench", str(bundle), "--out", str(out), *QUICK, *host, *options, *more]


def failure(capsys: pytest.CaptureFixture[str], command: list[str]) -> tuple[int, str]:
    """Return the exit code and the last line on stderr."""
    code = run_arguments(command)
    return code, capsys.readouterr().err.splitlines()[-1]


@pytest.mark.slow
def test_a_device_is_measured_and_neither_keeps_nor_reports_anything_else(
    server: SshServer, plain_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "result.json"
    code = run_arguments(arguments(server, plain_bundle, out, "--label", "pi4", "--seed", "5"))
    captured = capsys.readouterr()
    assert code in (0, 4), captured.err
    result = read_result(out)
    assert [(one.case.artifact, one.case.batch) for one in result.runs] == [("numpy", 1)]
    assert (result.label, result.config.seed, result.config.repeats) == ("pi4", 5, 1)
    assert captured.out.splitlines()[2].startswith("numpy")
    assert {one.case.call for one in result.steps} == {"push", "detector"}
    assert re.search(r"^measuring there \d/3 numpy, batch 1, threads 1$", captured.err, re.MULTILINE)
    text = out.read_text()
    assert ALIAS not in text
    assert "127.0.0.1" not in text
    assert not re.search(rf"\b{re.escape(server.user)}\b", text)
    assert list(server.temporary.iterdir()) == []


@pytest.mark.slow
def test_a_refused_login_and_an_unknown_host_key_are_different_errors(
    server: SshServer, plain_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "result.json"
    code, said = failure(capsys, arguments(server, plain_bundle, out, key="stranger"))
    assert (code, said.startswith("error[failed]: the device refused the login; check name and key: --ssh-option")) == (
        1,
        True,
    )
    command = [
        word.replace("HostKeyAlias=device", "HostKeyAlias=other") for word in arguments(server, plain_bundle, out)
    ]
    code, said = failure(capsys, command)
    assert (code, said.startswith("error[failed]: the device's host key is unknown or has changed; log in")) == (
        1,
        True,
    )
    assert not out.exists()


@pytest.mark.slow
def test_a_device_that_does_not_answer_is_one_sentence(
    server: SshServer, plain_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # port 1: nothing listens there, and only root may
    command = [re.sub(r"Port=\d+", "Port=1", word) for word in arguments(server, plain_bundle, tmp_path / "r.json")]
    code, said = failure(capsys, command)
    assert (code, said.startswith("error[failed]: the device cannot be reached (")) == (1, True)
    command = [word.replace("HostName=127.0.0.1", "HostName=nothing.invalid") for word in command]
    code, said = failure(capsys, command)
    assert (code, said.startswith("error[failed]: the device cannot be reached: its name is unknown (")) == (1, True)


@pytest.mark.slow
def test_what_the_device_lacks_is_one_sentence_and_leaves_nothing_there(
    server: SshServer, level_model: plain.PlainModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    require("packaging")
    bundle, out = tmp_path / "bundle", tmp_path / "result.json"
    onnx = plain.Artifact(
        **{**vars(plain.numpy_artifact()), "id": "onnx", "backend": "onnx", "path": "onnx/model.onnx"}
    )
    plain.write_bundle(bundle, level_model, onnx)
    old = tmp_path / "python3.9"
    pretend = (
        "import runpy, sys; del sys.argv[0]; sys.version_info = (3, 9); runpy.run_path(sys.argv[0], None, '__main__')"
    )
    old.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{pretend}" "$@"\n')
    bare = tmp_path / "bare"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')  # without the packages that are installed
    for program in (old, bare):
        program.chmod(0o755)
    numpy = environment(tmp_path / "numpy", "numpy")
    expected = [
        (
            "/no/python",
            6,
            "error[missing-extra]: /no/python was not found on the device; --python names a Python there, 3.11",
        ),
        (str(old), 1, "error[engine]: on the device: Python 3.11 or newer is needed; this is Python 3.9"),
        (str(bare), 6, "error[missing-extra]: on the device: numpy is not installed for Python 3."),
        (str(numpy), 6, "error[missing-extra]: on the device: no engine is installed here: pip install onnxruntime"),
    ]
    for python, status, sentence in expected:
        command = arguments(server, bundle, out, "--python", python, "--artifact", "onnx")
        code, said = failure(capsys, command)
        assert (code, said[: len(sentence)]) == (status, sentence)
        assert list(server.temporary.iterdir()) == []
    assert not out.exists()


def begin(command: list[str]) -> "subprocess.Popen[str]":
    """Start a measurement of many processes in a process group of its own, as a terminal does."""
    path = os.pathsep.join(p for p in sys.path if p)
    program = f"import sys; from pulsecast_cli.app import run; sys.exit(run({[*command, '--repeats', '9']!r}))"
    return subprocess.Popen(
        [sys.executable, "-P", "-c", program],
        env=os.environ | {"PYTHONPATH": path},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.slow
def test_ctrl_c_returns_when_the_device_has_stopped_and_cleaned_up(
    server: SshServer, plain_bundle: Path, tmp_path: Path
) -> None:
    process = begin(arguments(server, plain_bundle, tmp_path / "result.json"))
    wait_for(lambda: list(server.temporary.glob("*/pulsecast-bench-*/code/*/__pycache__")))
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert (process.returncode, said.splitlines()[-1]) == (130, "interrupted")
    assert list(server.temporary.iterdir()) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_connection_that_is_lost_midway_says_how_far_it_was_and_the_device_cleans_up(
    server: SshServer, plain_bundle: Path, tmp_path: Path
) -> None:
    process = begin(arguments(server, plain_bundle, tmp_path / "result.json"))
    assert process.stderr
    for line in process.stderr:
        if "measuring there" in line:
            break
    for pid in children(server.process.pid):  # the process of this connection; the server itself continues
        os.kill(pid, signal.SIGKILL)
    said = process.stderr.read()
    assert process.wait(timeout=30) == 1
    assert re.search(
        r"^error\[failed\]: the connection was lost after \d+ of 27 processes; no result was written", said, re.M
    )
    wait_for(lambda: not list(server.temporary.iterdir()))
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def pretended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of programs in front of all others, with an `ssh` that greets and runs its last word here."""
    folder = tmp_path / "programs"
    folder.mkdir()
    ssh = folder / "ssh"
    ssh.write_text('#!/bin/sh\necho Welcome.; for last; do :; done; exec sh -c "$last"\n')
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    return folder


def measure(bundle: Path, device: Device) -> None:
    bench_remotely(bundle, PROFILES["quick"], device)


@pytest.mark.parametrize(
    ("said", "why"), [("No space left on device", "is full"), ("Input/output error", "cannot be written to")]
)
def test_a_disk_there_that_does_not_take_the_program_is_one_sentence(
    pretended: Path, plain_bundle: Path, tmp_path: Path, said: str, why: str
) -> None:
    head = pretended / "head"
    head.write_text(f"#!/bin/sh\nprintf part\necho \"head: error writing 'standard output': {said}\" >&2\nexit 1\n")
    head.chmod(0o755)
    with pytest.raises(PulsecastError, match=f"^the device's folder for temporary files {why}: head: .*{said}$"):
        measure(plain_bundle, Device(host="device", python=sys.executable))
    assert list((tmp_path / "temporary").iterdir()) == []


@pytest.mark.slow
def test_a_login_shells_greeting_is_not_part_of_the_result(pretended: Path, plain_bundle: Path, tmp_path: Path) -> None:
    command = ["bench", str(plain_bundle), "--out", str(tmp_path / "r.json"), *QUICK, "--host", "device"]
    assert run_arguments([*command, "--python", sys.executable]) in (0, 4)
    result = read_result(tmp_path / "r.json")
    assert len(result.runs) == 1
    assert result.config == change(PROFILES["quick"], batches=(1,), repeats=1)
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_benchmark_that_is_killed_there_is_one_sentence(pretended: Path, plain_bundle: Path) -> None:
    python = pretended / "python"
    python.write_text("#!/bin/sh\nkill -KILL $$\n")
    python.chmod(0o755)
    with pytest.raises(PulsecastError, match="was killed on the device; it may have too little memory"):
        measure(plain_bundle, Device(host="device", python=str(python)))


def test_ssh_that_is_missing_here_is_one_sentence(plain_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(PulsecastError, match=r"^--host needs ssh, which is not installed here"):
        measure(plain_bundle, Device(host="device"))


@pytest.mark.parametrize("host", ["", "-oProxyCommand=touch evil", "a b", "a\tb", "a\0b", "a\udcffb", "a\x1bb"])
def test_a_host_that_ssh_would_take_for_an_option_is_refused(host: str) -> None:
    with pytest.raises(UsageError, match="expected user@device"):
        Device(host=host)
