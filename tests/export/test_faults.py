"""Full disks, kills and races while a bundle is exported or packed: never half a bundle, never a lost old one."""

import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from helpers.engines import EXPORT, require, require_tools
from pulsecast.bundle.bundle import Bundle
from pulsecast.bundle.packing import pack, sign, unpack
from pulsecast.errors import PulsecastError, UsageError

GOLDEN = Path(__file__).parents[1] / "data" / "golden_v1"
KILLS = 20
SCRIPTS = {
    "pack": "from pulsecast.bundle.packing import pack; from pathlib import Path; import sys\n"
    "while True: pack(sys.argv[1], Path(sys.argv[2]), force=True, compress=True)",
    "unpack": "from pulsecast.bundle.packing import unpack; from pathlib import Path; import sys\n"
    "while True: unpack(sys.argv[1], Path(sys.argv[2]), force=True)",
    "export": "from pulsecast_export.exporter import export_model; from pathlib import Path; import sys\n"
    "export_model(Path(sys.argv[1]), Path(sys.argv[2]), targets=('onnx',), force=True)",
}


def start(script: str, *arguments: Path, file_bytes: int | None = None) -> subprocess.Popen[str]:
    """Start a script; with `file_bytes` no file it or its children write may grow beyond."""

    def limit() -> None:
        if file_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))

    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPTS[script], *map(str, arguments)],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=limit,  # noqa: PLW1509  no threads here
    )


def kill(process: subprocess.Popen[str]) -> None:
    """Kill the script and its children."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


# A file system of its own, which no other process sees: `unshare -m` and a tmpfs of so many kB on the folder
ON_A_SMALL_DISK = """
import errno, os, subprocess, sys
from pathlib import Path
from pulsecast.bundle.bundle import Bundle
from pulsecast.errors import PulsecastError
from pulsecast.bundle.packing import pack, sign, unpack

what, folder, golden, other, kilobytes = sys.argv[1], *map(Path, sys.argv[2:5]), sys.argv[5]
subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", folder], check=True)
packed, unpacked = pack(golden, folder / "old.pulse").path, unpack(golden, folder / "old").path
before = packed.read_bytes()
if what == "read-only":
    subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
elif what == "full":
    with (folder / "filler").open("wb", buffering=0) as filler:
        try:
            while True:
                filler.write(b"x" * 4096)
        except OSError as error:
            assert error.errno == errno.ENOSPC
held = sorted(path.name for path in folder.iterdir())

def export():
    from pulsecast_export.exporter import export_model
    export_model(other, unpacked, targets=("onnx",), force=True)

works = {
    "pack": lambda: pack(golden, packed, force=True, compress=True),
    "pack anew": lambda: pack(golden, folder / "new.pulse"),
    "unpack": lambda: unpack(golden, unpacked, force=True),
    "unpack anew": lambda: unpack(golden, folder / "new"),
    "sign": lambda: sign(packed, other),
    "export": export,
}
for name, work in works.items():
    if (name == "export") != (other.is_dir()):
        continue
    try:
        work()
    except PulsecastError as error:
        print(f"{name}: {error}".replace(str(folder), "DISK"))
    else:
        print(f"{name}: done")
    assert packed.read_bytes() == before
    assert Bundle.open(unpacked).manifest == Bundle.open(golden).manifest
    assert sorted(path.name for path in folder.iterdir()) == held, list(folder.iterdir())
"""


def on_a_small_disk(what: str, folder: Path, other: Path, kilobytes: int = 4096) -> list[str]:
    """Return the output of each work on a disk that is `full` or `read-only`, or just of this size."""
    require_tools("unshare", "mount")
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode:
        pytest.skip("a file system of one's own (unshare -m, mount) is for root")
    folder.mkdir()
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    arguments = (what, folder, GOLDEN, other, kilobytes)
    command = ["unshare", "-m", "--propagation", "private", sys.executable, "-c", ON_A_SMALL_DISK]
    done = subprocess.run(
        [*command, *map(str, arguments)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.soak
@pytest.mark.slow
@pytest.mark.parametrize("script", ["pack", "unpack"])
def test_a_kill_at_any_moment_of_packing_leaves_a_whole_bundle(script: str, tmp_path: Path) -> None:
    out = tmp_path / ("b.pulse" if script == "pack" else "b")
    (pack if script == "pack" else unpack)(GOLDEN, out)
    draw = random.Random(11)
    for _ in range(KILLS):
        process = start(script, GOLDEN, out)
        # the first moments are the interpreter's own; from then on it packs without a pause
        before = out.stat().st_ino
        while out.stat().st_ino == before and process.poll() is None:
            time.sleep(0.01)
        time.sleep(draw.random() * 0.05)
        assert process.poll() is None
        kill(process)
        assert Bundle.open(out).manifest == Bundle.open(GOLDEN).manifest
    (pack if script == "pack" else unpack)(GOLDEN, out, force=True)
    assert names(tmp_path) == [out.name], "what killed processes left is removed by the next one"


@pytest.mark.soak
@pytest.mark.slow
def test_a_kill_at_any_moment_of_exporting_leaves_the_old_bundle_or_the_new_one(
    textbook_model: Path, tmp_path: Path
) -> None:
    require(*EXPORT)
    out = tmp_path / "bundle"
    began = time.monotonic()
    first = start("export", textbook_model, out)
    assert first.wait() == 0, first.communicate()
    took = time.monotonic() - began
    manifest = Bundle.open(out).manifest
    draw = random.Random(12)
    for _ in range(KILLS):
        process = start("export", textbook_model, out)
        time.sleep(draw.random() * took)
        kill(process)
        assert Bundle.open(out).manifest == manifest


@pytest.mark.soak
@pytest.mark.slow
def test_a_kill_while_exporting_to_a_new_place_leaves_nothing_or_a_whole_bundle(
    textbook_model: Path, tmp_path: Path
) -> None:
    require(*EXPORT)
    process = start("export", textbook_model, tmp_path / "bundle")
    while not names(tmp_path) and process.poll() is None:
        time.sleep(0.01)
    kill(process)
    assert not (tmp_path / "bundle").exists()


@pytest.mark.soak
@pytest.mark.slow
@pytest.mark.parametrize("file_bytes", [0, 20_000, 60_000])
def test_a_full_disk_while_exporting_leaves_the_old_bundle(
    file_bytes: int, textbook_model: Path, tmp_path: Path
) -> None:
    require(*EXPORT)
    out = unpack(GOLDEN, tmp_path / "bundle").path
    process = start("export", textbook_model, out, file_bytes=file_bytes)
    _, error = process.communicate()
    assert process.returncode == 1
    assert error.strip().splitlines()[-1].startswith("pulsecast.errors.")
    assert Bundle.open(out).manifest == Bundle.open(GOLDEN).manifest
    assert names(tmp_path) == ["bundle"]


@pytest.mark.parametrize("old", [False, True])
def test_a_full_disk_while_packing_is_one_sentence_and_changes_nothing(old: bool, tmp_path: Path) -> None:
    out = tmp_path / "b.pulse"
    if old:
        pack(GOLDEN, out)
    before = out.read_bytes() if old else None
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(PulsecastError, match=r"b\.pulse could not be written and is as it was: File too large"):
            pack(GOLDEN, out, force=True)
        with pytest.raises(PulsecastError, match="could not be written and is as it was: File too large"):
            unpack(GOLDEN, tmp_path / "folder")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names(tmp_path) == (["b.pulse"] if old else [])
    assert (out.read_bytes() if old else None) == before


@pytest.mark.slow
def test_a_disk_that_is_full_to_the_last_page_keeps_what_was_there(tmp_path: Path) -> None:
    require("cryptography")
    from pulsecast.bundle.signing import generate_key

    generate_key(tmp_path / "key")
    said = on_a_small_disk("full", tmp_path / "disk", tmp_path / "key")
    why = "could not be written and is as it was: No space left on device"
    places = ("old.pulse", "new.pulse", "old", "new", "old.pulse")
    works = ("pack", "pack anew", "unpack", "unpack anew", "sign")
    assert said == [f"{work}: DISK/{place} {why}" for work, place in zip(works, places, strict=True)]


@pytest.mark.slow
def test_a_disk_that_is_read_only_is_named_and_keeps_what_was_there(tmp_path: Path) -> None:
    require("cryptography")
    from pulsecast.bundle.signing import generate_key

    generate_key(tmp_path / "key")
    said = on_a_small_disk("read-only", tmp_path / "disk", tmp_path / "key")
    works = ("pack", "pack anew", "unpack", "unpack anew", "sign")
    assert said == [f"{work}: DISK is not writable" for work in works]


@pytest.mark.soak
@pytest.mark.slow
@pytest.mark.parametrize("kilobytes", [160, 192, 256])
def test_a_disk_that_fills_up_while_exporting_keeps_the_old_bundle(
    kilobytes: int, textbook_model: Path, tmp_path: Path
) -> None:
    require(*EXPORT)
    (said,) = on_a_small_disk("small", tmp_path / "disk", textbook_model, kilobytes)
    assert said != "export: done"
    assert said.startswith("export: ")


@pytest.mark.soak
@pytest.mark.slow
def test_an_export_to_a_read_only_disk_says_so_at_once(textbook_model: Path, tmp_path: Path) -> None:
    require(*EXPORT)
    assert on_a_small_disk("read-only", tmp_path / "disk", textbook_model) == ["export: DISK is not writable"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(UsageError, match="is not writable"):
        pack(GOLDEN, tmp_path / "b.pulse")
    tmp_path.chmod(0o700)


def test_a_place_that_is_not_our_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="missing is not a folder"):
        pack(GOLDEN, tmp_path / "missing" / "b.pulse")
    (tmp_path / "b.pulse").mkdir()
    with pytest.raises(UsageError, match=r"b\.pulse is not a plain file"):
        pack(GOLDEN, tmp_path / "b.pulse", force=True)


@pytest.mark.soak
@pytest.mark.slow
def test_two_that_pack_into_the_same_place_leave_one_whole_file(tmp_path: Path) -> None:
    out = pack(GOLDEN, tmp_path / "b.pulse").path
    both = [start("pack", GOLDEN, out) for _ in range(2)]
    until = time.monotonic() + 2
    opened = 0
    while time.monotonic() < until:
        assert Bundle.open(out).manifest == Bundle.open(GOLDEN).manifest
        opened += 1
    assert [process.poll() for process in both] == [None, None]
    for process in both:
        kill(process)
    assert opened > 10


@pytest.mark.soak
@pytest.mark.slow
def test_two_that_export_into_the_same_place_leave_one_whole_bundle(textbook_model: Path, tmp_path: Path) -> None:
    require(*EXPORT)
    out = tmp_path / "bundle"
    both = [start("export", textbook_model, out) for _ in range(2)]
    ends = [process.communicate()[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], ends
    assert {artifact.id for artifact in Bundle.open(out).manifest.artifacts} == {"numpy", "onnx"}
    assert names(tmp_path) == ["bundle"]


def test_signing_a_file_whose_disk_is_full_keeps_it_unsigned(tmp_path: Path) -> None:
    require("cryptography")
    from pulsecast.bundle.signing import generate_key

    generate_key(tmp_path / "key")
    out = pack(GOLDEN, tmp_path / "b.pulse").path
    before = out.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(PulsecastError, match="could not be written and is as it was"):
            sign(out, tmp_path / "key")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert out.read_bytes() == before
