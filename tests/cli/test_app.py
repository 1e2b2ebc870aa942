"""The command line as a whole: what goes to stdout and stderr, and what the exit code means to a script."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.engines import require
from pulsecast import __version__, errors

require("typer")

from pulsecast.foundation.tables import size_text, text_table  # noqa: E402
from pulsecast.stages.exits import exit_code  # noqa: E402
from pulsecast_cli import app as application  # noqa: E402


def run(*arguments: object) -> int:
    return application.run([str(argument) for argument in arguments])


def raising(error: BaseException) -> object:
    def _app(*_: object, **__: object) -> None:
        raise error

    return _app


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.PulsecastError("x"), 1),
        (errors.DataError("x"), 1),
        (errors.NonFiniteError("x"), 1),
        (errors.ConversionError("x"), 1),
        (errors.EngineError("x"), 1),
        (errors.UsageError("x"), 2),
        (errors.ToleranceError("x"), 3),
        (errors.FormatError("x"), 5),
        (errors.IntegrityError("x"), 5),
        (errors.MissingExtraError("x"), 6),
    ],
)
def test_every_kind_of_error_has_its_documented_exit_code(error: errors.PulsecastError, code: int) -> None:
    assert exit_code(error) == code


def test_every_class_of_error_has_a_code_of_its_own_that_a_terminal_shows(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    codes = [vars(kind).get("code") for kind in kinds]
    assert len(set(codes)) == len(codes) >= 20
    for kind in {*kinds} - {errors.RangeWarning, errors.NotWrittenError}:
        monkeypatch.setattr(application, "_parser", lambda _, kind=kind: raising(kind("why")))
        assert run("doctor") == exit_code(kind("why"))
        assert capsys.readouterr().err == f"error[{kind.code}]: why\n"


def test_without_arguments_the_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    out = capsys.readouterr().out
    assert all(command in out for command in application.COMMANDS)


def test_the_version_is_printed_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out == f"pulsecast {__version__}\n"


def test_an_unknown_command_is_a_usage_error_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("forecast") == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "error[usage]: No such command 'forecast'.\n"


def test_a_file_that_is_not_there_is_a_usage_error(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run("verify", tmp_path / "nothing") == 2
    assert "does not exist" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (KeyboardInterrupt(), 130, "forecasts of many files (--out) go on with the same command\ninterrupted"),
        (
            ModuleNotFoundError("No module named 'polars'", name="polars"),
            6,
            "error[missing-extra]: this needs polars, which is not installed: pip install 'pulsecast[logs]'",
        ),
        (OSError(28, "No space left on device", "out"), 1, "error: No space left on device (out)"),
        (errors.DataError("log.csv is empty"), 1, "error[data]: log.csv is empty"),
    ],
)
def test_any_failure_of_a_command_is_one_sentence_on_stderr(
    error: BaseException, code: int, sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(application, "_parser", lambda _: raising(error))
    assert run("predict", "bundle") == code
    assert capsys.readouterr() == ("", f"{sentence}\n")


def test_an_error_of_our_own_making_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(application, "_parser", lambda _: raising(AssertionError("a bug")))
    with pytest.raises(AssertionError, match="a bug"):
        run("doctor")


def test_a_reader_that_leaves_early_gives_no_traceback(plain_bundle: Path) -> None:
    command = f"'{sys.executable}' -m pulsecast inspect '{plain_bundle}' --format json | head -c 20"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False, env=environment())  # noqa: S602
    assert done.stderr == ""


def test_json_is_one_document_that_names_its_schema(plain_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("inspect", plain_bundle, "--format", "json") == 0
    document = json.loads(capsys.readouterr().out)
    assert list(document)[:2] == ["schema_version", "command"]
    assert document["schema_version"] == 1
    assert document["manifest"]["format"] == 2


def test_columns_are_aligned_on_their_own_side() -> None:
    assert text_table(("artifact", "size"), [("onnx", "1"), ("tflite-int8", "22")]).splitlines() == [
        "artifact     size",
        "onnx            1",
        "tflite-int8    22",
    ]


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (39_080, "39.1 kB"), (140_056, "140 kB"), (5_000_000_000, "5 GB")],
)
def test_sizes_are_written_for_people(size: int, text: str) -> None:
    assert size_text(size) == text


def environment() -> dict[str, str]:
    """Return an environment in which a child process has this one's import path."""
    import os

    return os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}


SHOUT = (
    "import os, sys\n"
    "from pulsecast_cli.terminal.engine_log import engine_log\n"
    "with engine_log(shown={shown}):\n"
    "    os.write(2, b'engine noise\\n')\n"
    "    print('ours', file=sys.stderr)\n"
    "    {then}\n"
    "os.write(2, b'after\\n')\n"
)


@pytest.mark.parametrize(
    ("shown", "then", "stderr"),
    [
        (False, "pass", "ours\nafter\n"),
        (True, "pass", "engine noise\nours\nafter\n"),
        (False, "sys.exit(3)", "ours\n"),
    ],
)
def test_engines_text_on_stderr_is_shown_only_on_request(shown: bool, then: str, stderr: str) -> None:
    code = SHOUT.format(shown=shown, then=then)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment())
    assert done.stderr == stderr


def test_a_command_that_breaks_shows_what_the_engine_said() -> None:
    code = SHOUT.format(shown=False, then="raise ValueError('broke')")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment())
    assert done.stderr.startswith("ours\nengine noise\n")
    assert "ValueError: broke" in done.stderr


def test_ctrl_c_in_a_command_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pulsecast_cli.commands.doctor._backend", interrupted)
    assert run("doctor") == 130
    assert capsys.readouterr().err == "interrupted\n"


INTERRUPTED_AT = (
    "import signal, sys\n"
    "class Interrupt:\n"
    "    def find_spec(self, name, path, target=None):\n"
    "        if name == {module!r}:\n"
    "            signal.raise_signal(signal.SIGINT)\n"
    "sys.meta_path.insert(0, Interrupt())\n"
    "sys.argv = ['pulsecast', 'doctor']\n"
    "from pulsecast_cli import main\n"
    "main()\n"
)


@pytest.mark.parametrize(
    "module", ["pulsecast_cli.app", "typer", "pulsecast.stages.progress", "pulsecast_cli.terminal.engine_log"]
)
def test_ctrl_c_while_the_command_line_is_imported_gives_no_traceback(module: str) -> None:
    code = INTERRUPTED_AT.format(module=module)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment())
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


TERMINATED_IN_EXEC = (
    "import sys\n"
    "class Terminate:\n"
    "    def find_spec(self, name, path, target=None):\n"
    "        if name == 'typer':\n"
    "            exec('import signal; signal.raise_signal(signal.SIGTERM)')\n"
    "sys.meta_path.insert(0, Terminate())\n"
    "sys.argv = ['pulsecast', 'doctor']\n"
    "from pulsecast_cli import main\n"
    "main()\n"
)


def test_a_signal_inside_an_exec_ends_in_its_own_code_too(tmp_path: Path) -> None:
    """Records are made by `exec`. Python remembers an interrupt in there, and `python -m` would end by SIGINT."""
    (tmp_path / "program.py").write_text(TERMINATED_IN_EXEC)
    script, own = [sys.executable, "-m", "program"], environment()
    own["PYTHONPATH"] += f"{os.pathsep}{tmp_path}"
    done = subprocess.run(script, capture_output=True, text=True, check=False, env=own)
    assert (done.returncode, done.stdout, done.stderr) == (143, "", "")


SIGNALLED = (
    "import signal, sys\n"
    "from pulsecast.bundle import packing\n"
    "every = packing._all_files\n"
    "def signalled(*arguments):\n"
    "    for number, file in enumerate(every(*arguments)):\n"
    "        if number == 2:\n"
    "            signal.raise_signal(signal.{name})\n"
    "        yield file\n"
    "packing._all_files = signalled\n"
    "from pulsecast_cli import main\n"
    "main()\n"
)


@pytest.mark.parametrize("command", ["pack", "unpack"])
@pytest.mark.parametrize(
    ("name", "code", "word"),
    [("SIGINT", 130, "interrupted"), ("SIGTERM", 143, "terminated"), ("SIGHUP", 129, "the terminal was closed")],
)
def test_a_signal_in_the_middle_of_a_command_leaves_nothing_half_written(
    name: str, code: int, word: str, command: str, plain_bundle: Path, tmp_path: Path
) -> None:
    arguments = [command, str(plain_bundle), "--out", str(tmp_path / "b.pulse")]
    script = [sys.executable, "-c", SIGNALLED.format(name=name), *arguments]
    done = subprocess.run(script, capture_output=True, text=True, check=False, env=environment())
    assert (done.returncode, done.stdout, done.stderr) == (code, "", f"{word}\n")
    assert list(tmp_path.iterdir()) == []


def test_a_hangup_that_is_ignored_as_under_nohup_stays_ignored(plain_bundle: Path, tmp_path: Path) -> None:
    ignoring = "import signal\nsignal.signal(signal.SIGHUP, signal.SIG_IGN)\n" + SIGNALLED.format(name="SIGHUP")
    script = [sys.executable, "-c", ignoring, "unpack", str(plain_bundle), "--out", str(tmp_path / "out")]
    assert subprocess.run(script, capture_output=True, check=False, env=environment()).returncode == 0
    assert (tmp_path / "out" / "manifest.json").is_file()


@pytest.mark.parametrize("stderr", ["2>&-", "2>/dev/full"])
def test_a_stderr_that_takes_nothing_changes_no_exit_code(stderr: str) -> None:
    command = f"'{sys.executable}' -m pulsecast verify nothing {stderr}"
    assert subprocess.run(command, shell=True, check=False, env=environment()).returncode == 2  # noqa: S602


def test_every_backend_has_a_probe() -> None:
    from pulsecast.backends import BACKENDS
    from pulsecast_cli.probe import PROBES

    assert set(PROBES) == set(BACKENDS)
