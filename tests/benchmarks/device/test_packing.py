"""The packed benchmark: one program that measures a bundle where there is Python, numpy and perhaps an engine."""

import contextlib
import dataclasses
import errno
import fcntl
import io
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from helpers import plain
from helpers.engines import require
from helpers.outside.environments import environment
from helpers.outside.processes import children, is_running, wait_for
from pulsecast.bundle import packing as bundle_packing
from pulsecast.bundle.bundle import Bundle
from pulsecast.errors import UsageError
from pulsecast_bench.device import program as device_program
from pulsecast_bench.device import unpacking
from pulsecast_bench.device.packing import MAIN, pack_bench, packed
from pulsecast_bench.results.result import check_label, read_result

REPOSITORY = Path(__file__).parents[3]
ONE_RUN = ("--profile", "quick", "--repeats", "1", "--batch", "1")


@pytest.fixture(scope="module")
def two_backends(level_model: plain.PlainModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with the numpy artifact, and one for ONNX Runtime that no test loads."""
    onnx = dataclasses.replace(plain.numpy_artifact(), id="onnx", backend="onnx", path="onnx/model.onnx")
    folder = tmp_path_factory.mktemp("two") / "bundle"
    plain.write_bundle(folder, level_model, onnx)
    return folder


@pytest.fixture(scope="module")
def program(two_backends: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packed benchmark of `two_backends`, in a folder of its own."""
    out = tmp_path_factory.mktemp("packed") / "bench.pyz"
    pack_bench(two_backends, out)
    return out


@pytest.fixture(scope="module")
def numpy_only(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with only numpy."""
    require("packaging")
    return environment(tmp_path_factory.mktemp("numpy") / "venv", "numpy")


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """TMPDIR of the programs that a test starts."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    return folder


def start(python: Path | str, program: Path, temporary: Path, *arguments: str) -> "subprocess.Popen[str]":
    """Start the program as on a device: away from the checkout and without this process's import path."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    return subprocess.Popen(
        [str(python), str(program), *arguments],
        cwd=temporary.parent,
        env=kept | {"TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run(python: Path | str, program: Path, temporary: Path, *arguments: str) -> tuple[int, str, str]:
    process = start(python, program, temporary, *arguments)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def test_the_same_bundle_gives_the_same_bytes_wherever_and_whenever_it_is_packed(
    plain_bundle: Path, copied: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = packed(Bundle.open(plain_bundle))
    elsewhere = copied(plain_bundle)
    for path in elsewhere.rglob("*"):
        os.utime(path, (1e9, 1e9))
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    time.tzset()
    try:
        assert packed(Bundle.open(elsewhere)) == expected
        bundle_packing.pack(plain_bundle, tmp_path / "bundle.pulse", compress=True)
        assert packed(Bundle.open(tmp_path / "bundle.pulse")) == expected
    finally:
        monkeypatch.undo()
        time.tzset()


def test_it_holds_what_it_needs_and_no_path_of_this_machine(program: Path, two_backends: Path) -> None:
    data = program.read_bytes()
    assert data.startswith(b"#!/usr/bin/env python3\n")
    for path in (REPOSITORY, two_backends, program.parent, Path.home(), Path(sys.prefix)):
        assert len(str(path)) < 5 or str(path).encode() not in data
    names = zipfile.ZipFile(program).namelist()
    assert [name for name in names if name.startswith("/") or ".." in name or "__pycache__" in name] == []
    assert {name.split("/")[1] for name in names if name.startswith("code/")} == {"pulsecast", "pulsecast_bench"}
    bundled = {name.removeprefix("bundle/") for name in names if name.startswith("bundle/")}
    assert bundled == {path.relative_to(two_backends).as_posix() for path in two_backends.rglob("*") if path.is_file()}
    assert os.access(program, os.X_OK)


def test_a_signature_goes_along(program: Path) -> None:
    signed = packed(Bundle.open(REPOSITORY / "tests" / "data" / "golden_v1.pulse"))
    with contextlib.closing(zipfile.ZipFile(program)) as unsigned:
        assert "bundle/manifest.sig" not in unsigned.namelist()
    has_one = Bundle.open(REPOSITORY / "tests" / "data" / "golden_v1.pulse").signature.state != "unsigned"
    assert (b"bundle/manifest.sig" in signed) == has_one


def test_another_name_or_an_existing_file_is_refused(program: Path, plain_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"bench\.zip does not end in \.pyz"):
        pack_bench(plain_bundle, tmp_path / "bench.zip")
    before = program.read_bytes()
    with pytest.raises(UsageError, match="exists; pass --force"):
        pack_bench(plain_bundle, program)
    assert program.read_bytes() == before


def test_an_old_python_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 2, "final", 0))
    with pytest.raises(SystemExit, match=r"error: Python 3\.11 or newer is needed; this is Python 3\.9"):
        exec(MAIN, {})  # noqa: S102  # as Python runs it, except for the version


def test_step_calls_are_chosen_on_the_device_too() -> None:
    def chosen(*words: str) -> tuple[str, ...]:
        options = device_program._parser("bench.pyz").parse_args(["--out", "-", *words])
        return device_program._config(options).step_calls

    assert chosen("--profile", "quick") == ("push", "detector")
    assert chosen("--step-call", "streams", "--step-call", "push") == ("streams", "push")
    assert chosen("--step-call", "none") == ()


@pytest.mark.slow
def test_numpy_alone_measures_and_leaves_nothing_but_the_result(
    program: Path, numpy_only: Path, temporary: Path, tmp_path: Path, two_backends: Path
) -> None:
    out = tmp_path / "result.json"
    code, printed, said = run(numpy_only, program, temporary, "--out", str(out), *ONE_RUN, "--label", "shelf 3")
    assert code in (0, 4), said
    result = read_result(out)
    assert [(one.case.artifact, one.case.batch) for one in result.runs] == [("numpy", 1)]
    assert {one.case.call for one in result.steps} == {"push", "detector"}
    assert result.label == "shelf 3"
    assert result.config.profile == "quick"
    assert {"onnxruntime", "tensorflow", "typer"} & set(result.machine.versions) == set()
    assert printed.splitlines()[2].startswith("numpy")
    assert [one.artifact for one in result.skipped] == ["onnx"]
    assert "skipped: backend onnx; its engine is not installed here: pip install onnxruntime\n" in said
    assert "no engine is installed here: only pulsecast's own code on numpy is measured\n" in said
    assert re.search(r"^measuring \d/3 numpy, batch 1, threads 1$", said, re.MULTILINE)
    assert list(temporary.iterdir()) == []
    text = out.read_text()
    assert str(tmp_path) not in text
    assert str(two_backends) not in text


@pytest.mark.parametrize("options", [("--backend", "onnx"), ("--artifact", "onnx")])
def test_without_any_requested_engine_nothing_is_measured(
    two_backends: Path, tmp_path: Path, options: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_program, "is_installed", lambda backend: backend == "numpy")
    code, said = directly(two_backends, "--out", str(tmp_path / "result.json"), *options)
    assert (code, "no engine is installed" in said[-1], "pip install onnxruntime" in said[-1]) == (6, True, True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "code", "sentence"),
    [
        (("--backend", "tpu"), 2, "error: no backend 'tpu'; known: auto, numpy, onnx, tflite, savedmodel, native"),
        (
            ("--backend", "tflite"),
            2,
            "error: no requested artifact is for backend tflite; the requested ones are for numpy,",
        ),
        (("--label", "a|b"), 2, "error: label is 'a|b'; expected 1 to 40 letters"),
        (("--config", "{}", "--profile", "quick"), 2, "error: --config includes the profile; pass one of the two"),
        (("--config", '{"repeats": 0}'), 5, "error: --config: repeats is 0; expected at least 1"),
        (("--batch", "0"), 2, "error: batches are (0,); expected different numbers from 1"),
    ],
)
def test_options_that_cannot_be_are_one_sentence(
    two_backends: Path, tmp_path: Path, options: tuple[str, ...], code: int, sentence: str
) -> None:
    found, said = directly(two_backends, "--out", str(tmp_path / "result.json"), *options)
    assert (found, said[-1][: len(sentence)]) == (code, sentence)
    assert list(tmp_path.iterdir()) == []


def directly(bundle: Path, *arguments: str) -> tuple[int, list[str]]:
    """Return the exit code of the device's command line in this process, and the lines on its stderr."""
    with contextlib.redirect_stderr(io.StringIO()) as said:
        code = device_program.main(arguments, bundle=bundle, program="bench.pyz")
    return code, said.getvalue().splitlines()


@pytest.mark.slow
def test_without_numpy_one_sentence_says_so(program: Path, temporary: Path, tmp_path: Path) -> None:
    require("packaging")
    bare = environment(tmp_path / "venv")
    code, printed, said = run(bare, program, temporary, "--out", str(tmp_path / "result.json"))
    assert (code, printed) == (6, "")
    assert said.startswith(f"error: numpy is not installed for Python {sys.version_info[0]}.{sys.version_info[1]} at ")


@pytest.mark.slow
def test_damage_is_found_before_anything_is_measured(program: Path, temporary: Path, tmp_path: Path) -> None:
    data = program.read_bytes()
    flipped, swapped = tmp_path / "flipped.pyz", tmp_path / "swapped.pyz"
    at = zipfile.ZipFile(program).getinfo("bundle/weights.npz").header_offset + 1000  # well inside the weights
    flipped.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    code, _, said = run(sys.executable, flipped, temporary, "--out", str(tmp_path / "result.json"))
    assert (code, "flipped.pyz is damaged: Bad CRC-32 for file" in said) == (5, True)
    with zipfile.ZipFile(program) as whole, zipfile.ZipFile(swapped, "w") as changed:
        for name in whole.namelist():  # every CRC is right, the model is another
            content = whole.read(name)
            changed.writestr(name, content[:-1] + b"\0\0" if name == "bundle/golden.npz" else content)
    code, _, said = run(sys.executable, swapped, temporary, "--out", str(tmp_path / "result.json"))
    assert (code, "was changed after export: golden.npz has" in said) == (5, True)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["flipped.pyz", "swapped.pyz", "temporary"]
    assert list(temporary.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "how",
    [
        signal.SIGINT,
        signal.SIGKILL,
        pytest.param(signal.SIGTERM, marks=pytest.mark.soak),
        pytest.param(signal.SIGHUP, marks=pytest.mark.soak),
    ],
    ids=lambda one: one.name,
)
def test_however_it_ends_no_child_goes_on_and_an_older_result_stays(
    program: Path, temporary: Path, tmp_path: Path, how: signal.Signals
) -> None:
    out = tmp_path / "result.json"
    out.write_text("precious")
    arguments = ("--out", str(out), "--force", "--profile", "quick", "--repeats", "9")
    process = start(sys.executable, program, temporary, *arguments)
    child = wait_for(lambda: children(process.pid))[0]
    process.send_signal(how)
    _, said = process.communicate(timeout=20)
    wait_for(lambda: not is_running(child))
    assert out.read_text() == "precious"
    if how is not signal.SIGKILL:
        assert (process.returncode, said.splitlines()[-1]) == (130, "interrupted")
        assert list(temporary.iterdir()) == []
        return
    (left,) = temporary.iterdir()  # left by a killed run: the next run removes it
    os.utime(left, (0, 0))
    with open_lock(temporary / "pulsecast-bench-busy") as busy:
        run(sys.executable, program, temporary, "--out", str(out))
        assert list(temporary.iterdir()) == [busy]


def test_a_folder_that_a_child_still_writes_to_is_removed_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, remove, tries = tmp_path / "folder", unpacking.shutil.rmtree, []

    def raced(path: Path, *, ignore_errors: bool) -> None:
        remove(path, ignore_errors=ignore_errors)
        tries.append(path)
        if len(tries) < 3:
            (path / "cache").mkdir(parents=True)  # the child's last file

    folder.mkdir()
    monkeypatch.setattr(unpacking.shutil, "rmtree", raced)
    unpacking._remove(folder)
    assert len(tries) == 3
    assert not folder.exists()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_names_the_folder_and_the_way_out(
    program: Path, temporary: Path, number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(unpacking.zipfile.ZipFile, "extractall", full)
    monkeypatch.setattr(unpacking.tempfile, "tempdir", str(temporary))
    monkeypatch.setattr(unpacking.signal, "signal", lambda *_: None)  # the test's own Ctrl-C stays as it is
    assert unpacking.run([str(program)]) == 1
    sentence = f"error: {temporary} is full; name a folder with more room in TMPDIR\n"
    assert capsys.readouterr().err == sentence
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("label", ["", " pi", "a\nb", "x" * 41, "a|b", "<b>"])
def test_a_label_is_one_that_a_column_can_show(label: str) -> None:
    assert check_label("pi4 (2 GB)") == "pi4 (2 GB)"
    with pytest.raises(UsageError, match="expected 1 to 40 letters"):
        check_label(label)


@contextlib.contextmanager
def open_lock(folder: Path) -> Iterator[Path]:
    """Yield an old folder that is locked like one in use."""
    folder.mkdir()
    os.utime(folder, (0, 0))
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield folder
    finally:
        os.close(handle)
