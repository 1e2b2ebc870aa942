"""SIGTERM at random moments of every command: the old thing or the new one, whole; no child and no leftover stays."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from helpers import plain, rounds
from helpers.engines import EXPORT, TRAIN, require
from helpers.hostile.server import HostileServer, response
from helpers.hostile.terminating import STAGED, STARTING, ran
from helpers.logs.log_files import hours
from helpers.native_models import add_native
from helpers.serving_folders.folders import untruths
from pulsecast.bundle.bundle import Bundle
from pulsecast.bundle.folder import BUNDLE_FOLDER
from pulsecast.foundation.folder_kind import FolderKind, foreign
from pulsecast.stages.model_directory import read_model_directory

pytestmark = [pytest.mark.slow, pytest.mark.soak]

PAGES = 20
ENDINGS = {0: "", 143: "terminated"}  # exit code -> the last line on stderr


class Long(NamedTuple):
    """A row of COMMANDS: its words, what it writes, and how a whole one of it is known.

    moments  how many times the command is terminated, each at a moment drawn between its start and its end
    writes   file or folder in the working folder; empty: the command only prints
    whole    raises if what it wrote is not whole
    kept     what the next call continues from
    """

    words: str
    moments: int
    writes: str = ""
    whole: Callable[[Path], object] = Path.read_bytes
    kept: tuple[str, ...] = ()


def of_kind(kind: FolderKind) -> Callable[[Path], None]:
    def check(path: Path) -> None:
        assert foreign(path, kind) is None

    return check


def bundle(path: Path) -> None:
    opened = Bundle.open(path)  # checks every hash
    opened.golden()
    assert path.is_file() or foreign(path, BUNDLE_FOLDER) is None


def serving_folder(path: Path) -> None:
    """Its marker is true, and what an unfinished writer staged is not seen by a server."""
    assert untruths(path) == []
    assert (path / "compose.yaml").is_file()


def page(path: Path) -> None:
    from pulsecast_export.serving.page import PAGE_FOLDER

    of_kind(PAGE_FOLDER)(path)


def measured(path: Path) -> None:
    from pulsecast_bench import read_result

    read_result(path)


def evaluated(path: Path) -> None:
    """An unfinished evaluation keeps whole folds alone."""
    from pulsecast.foundation import strict_json
    from pulsecast_train.backtesting.backtest import read_result
    from pulsecast_train.backtesting.result import Evaluation

    if (path / "evaluation.json").exists():
        strict_json.loads(Evaluation, (path / "evaluation.json").read_bytes(), where="evaluation.json")
    assert {one.name for one in path.iterdir()} <= {"folds", "evaluation.json"}
    assert all(read_result(fold, 1) for fold in path.glob("folds/*"))


def demonstrated(path: Path) -> None:
    """What a demo has come to is whole, and it wrote nothing else."""
    from pulsecast_cli.commands.models.demo import WRITTEN

    assert {one.name for one in path.iterdir()} <= set(WRITTEN)
    for name, check in (("model", read_model_directory), ("bundle", bundle), ("result.json", measured)):
        if (path / name).exists():
            check(path / name)


def records(path: Path) -> None:
    found = [json.loads(line)["id"] for line in path.read_text("utf-8").splitlines()]
    assert found == list(range(PAGES))


def key(path: Path) -> None:
    """A private key never stands without its public one."""
    assert b"PRIVATE KEY" in path.read_bytes()
    assert path.with_name(f"{path.name}.pub").is_file()


TRAINED = "{things}/log.csv --window 12 --units 4 --epochs 3"
COMMANDS = {
    "anomalies": Long(
        "{things}/bundle --input {things}/log.csv --backend numpy --out found.json --force", 6, "found.json"
    ),
    "bench": Long("{things}/bundle --profile quick --out result.json --force", 8, "result.json", measured),
    "bench-pack": Long("{things}/bundle --out bench.pyz --force", 6, "bench.pyz"),
    "compare": Long("{things}/result.json {things}/result.json", 4),
    "demo": Long("--days 28 --out demo --force", 6, "demo", demonstrated),
    "doctor": Long("", 4),
    "evaluate": Long(
        TRAINED + " --origins 2 --seeds 1 --baseline last_value --jobs 2 --no-html --out evaluation --force",
        8, "evaluation", evaluated,
    ),
    "export": Long("{things}/model --target onnx --out bundle --force", 8, "bundle", bundle),
    "fetch": Long(
        "{url} --next next --out posts.ndjson --force", 12, "posts.ndjson", records,
        kept=("posts.ndjson.part", "posts.ndjson.state.json"),
    ),
    "inspect": Long("{things}/bundle", 4),
    "keygen": Long("--out own.pem", 8, "own.pem", key, kept=("own.pem.pub",)),
    "pack": Long("{things}/bundle --out bundle.pulse --force", 12, "bundle.pulse", bundle),
    "page": Long("{things}/shown --out page --force", 12, "page", page),
    "predict": Long("{things}/bundle --input {things}/log.csv --backend numpy", 4),
    "report": Long("{things}/result.json --out report.html --force", 6, "report.html"),
    "rhythm": Long("{things}/log.csv --out week.html --force", 6, "week.html"),
    "look": Long("{things}/log.csv", 4),
    "serve-config": Long("{things}/served --out serving --force", 8, "serving", serving_folder),
    "sign": Long("{work}/signed --key {things}/private.pem --force", 6, "signed", bundle),
    "train": Long(TRAINED + " --out model --force", 8, "model", read_model_directory, kept=("model.training",)),
    "unpack": Long("{things}/bundle --out bundle --force", 12, "bundle", bundle),
    "verify": Long("{things}/bundle", 4),
}  # fmt: skip
# every call begins without an old thing: the one replaces nothing, the other would find every fold done
AGAIN = ("keygen", "evaluate")


@pytest.fixture(scope="module")
def things(tmp_path_factory: pytest.TempPathFactory, textbook_model: Path, recommended_bundle: Path) -> Path:
    require(*TRAIN, *EXPORT, "typer", "cryptography", "matplotlib")
    from pulsecast import generate_key
    from pulsecast_bench.results.result import write_result

    folder = tmp_path_factory.mktemp("things")
    model = plain.make_model(plain.LEVEL_SPEC)
    plain.write_bundle(folder / "bundle", model)
    plain.write_bundle(folder / "shown", model)
    for name in ("model.wasm", "pulsecast.js"):
        path = folder / "shown" / "native" / "lib" / "wasm32" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    add_native(folder / "shown", model)
    day = [20 + 5 * (hour % 24) + hour % 7 for hour in range(400)]
    (folder / "log.csv").write_text(hours(day))
    write_result(rounds.result({"onnx": rounds.QUIET}), folder / "result.json", force=True)
    generate_key(folder / "private.pem")
    (folder / "model").symlink_to(textbook_model)
    (folder / "served").symlink_to(recommended_bundle)
    return folder


@pytest.fixture
def url() -> Iterator[str]:
    """The address of a server whose `?cursor=N` is page N of PAGES, one record each."""

    class Pages(HostileServer):
        def asked(self) -> bytes:
            words = self.requests[-1].split()[1].decode()
            number = int(words.partition("cursor=")[2] or 0)
            following = {"next": str(number + 1)} if number + 1 < PAGES else {}
            return response(json.dumps({"data": [{"id": number}], **following}).encode())

    server = Pages()
    server.answers = iter(server.asked, b"")
    yield server.url
    server.close()


def contents(path: Path) -> dict[str, bytes]:
    files = path.rglob("*") if path.is_dir() else [path]
    return {str(one.relative_to(path.parent)): one.read_bytes() for one in files if one.is_file()}


UNTIL_TOLD = {"serve", "stream"}  # they end by a signal: test_told_to_end.py


def test_every_command_is_terminated() -> None:
    from pulsecast_cli.commands import table

    assert {*COMMANDS, *UNTIL_TOLD} == set(table.COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_terminated_command_leaves_the_old_thing_or_the_new_one(
    command: str, things: Path, url: str, tmp_path: Path
) -> None:
    row, work = COMMANDS[command], tmp_path / "work"
    work.mkdir()
    words = row.words.format(things=things, url=url, work=work).split()
    if command == "sign":
        shutil.copytree(things / "bundle", work / "signed")
    whole = ran(command, words, work)
    assert whole.code == 0, whole.err
    place, draw = work / row.writes, random.Random(f"pulsecast {command}")
    for number in range(row.moments):
        if command in AGAIN:
            shutil.rmtree(work)
            work.mkdir()
        old = contents(place) if row.writes else {}
        after_s = draw.uniform(0, whole.seconds)
        case = f"case {number}, after {after_s:.2f} s"
        ended = ran(command, words, work, after_s)
        assert ended.code in (STARTING, *ENDINGS), f"{case}: {ended}"
        assert "Traceback" not in ended.err, f"{case}: {ended.err}"
        if ended.code == 143:
            assert ended.err.splitlines()[-1:] in ([], ["terminated"]), f"{case}: {ended.err}"  # silent during imports
        names = {one.name for one in work.iterdir() if not STAGED.fullmatch(one.name)}
        assert names <= {row.writes, *row.kept} - {""}, case
        if row.writes and place.exists() and contents(place) != old:
            row.whole(place)
        assert place.exists() or not old, case
    if command in AGAIN:
        shutil.rmtree(work)
        work.mkdir()
    last = ran(command, words, work)
    assert last.code == 0, last.err
    assert {one.name for one in work.iterdir()} <= {row.writes, *row.kept[-1:]} - {""}  # what was left is swept
    if row.writes:
        row.whole(place)
