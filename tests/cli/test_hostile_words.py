"""Every command, each of its options in turn with a hostile word: a result, or one line that begins with error.

Commands and options are found in the application; a new command fails here until it has usual words.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers import plain
from helpers.engines import require
from helpers.hostile.values import SECRET, TEXTS
from helpers.hostile.walk import CASE_S, outcome
from helpers.logs.log_files import hours
from helpers.measured import result

require("typer", "polars")

from typer.main import get_command  # noqa: E402

from pulsecast.limits import MESSAGE_BYTES  # noqa: E402
from pulsecast_bench.results.result import write_result  # noqa: E402
from pulsecast_cli.app import app, run  # noqa: E402

CODES = {0, 1, 2, 3, 4, 5, 6}
COMMANDS = get_command(app).commands  # type: ignore[attr-defined]
WORDS = {
    **TEXTS,
    "a negative number": "-3",
    "a huge number": "1" + "0" * 400,
    "not a number": "nan",
    "infinity": "-inf",
    "an option": "--help-me",
    "a folder": "a folder",
    "a pipe": "pipe",
    "a device": "/dev/zero",
}
# words that end soon, whatever the option in turn is; {things} is a folder that `things` makes
USUAL = {
    "anomalies": ["{things}/bundle", "--input", "{things}/short.csv", "--backend", "numpy"],
    "bench": ["{things}/bundle", "--out", "out", "--artifact", "nothing"],
    "bench-pack": ["{things}/bundle", "--out", "out"],
    "compare": ["{things}/result.json", "{things}/result.json"],
    "evaluate": ["{things}/short.csv", "--out", "out"],
    "export": ["{things}/nothing", "--out", "out"],
    "fetch": ["ftp://nowhere", "--out", "out"],
    "inspect": ["{things}/bundle"],
    "keygen": ["--out", "out"],
    "look": ["{things}/short.csv"],
    "pack": ["{things}/bundle", "--out", "out"],
    "page": ["{things}/bundle", "--out", "out"],
    "predict": ["{things}/bundle", "--input", "{things}/short.csv", "--backend", "numpy"],
    "report": ["{things}/result.json"],
    "rhythm": ["{things}/short.csv"],
    "serve": ["{things}/bundle", "--keys", "{things}/nothing", "--port", "0"],
    "serve-config": ["{things}/bundle", "--for", "pulsecast", "--out", "out"],
    "sign": ["{things}/bundle", "--key", "{things}/result.json"],
    "stream": ["{things}/bundle", "--kafka", "127.0.0.1:1", "--from", "a", "--to", "b", "--properties", "nothing"],
    "train": ["{things}/short.csv", "--out", "out"],
    "unpack": ["{things}/nothing", "--out", "out"],
    "verify": ["{things}/bundle"],
}
LEFT_OUT = {
    "demo": "its options are numbers and a folder; whatever is right begins a training run",
    "doctor": "it imports every engine, and has no option but --format",
}


def test_every_command_has_usual_words_or_a_reason() -> None:
    assert set(COMMANDS) == {*USUAL, *LEFT_OUT}


@pytest.fixture(scope="module")
def things(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("things")
    plain.write_bundle(folder / "bundle", plain.make_model(plain.LEVEL_SPEC))
    (folder / "short.csv").write_text(hours(list(range(30))))
    write_result(result(), folder / "result.json", force=True)
    return folder


def hostile(command: str, usual: list[str], every: int) -> Iterator[tuple[str, list[str]]]:
    """Yield the usual words with a hostile one: in the place of the first, and after each option that takes one.

    every  one word in so many; other ones for the next option
    """
    options = [one.opts[0] for one in COMMANDS[command].params if one.param_type_name == "option" and not one.is_flag]
    for number, option in enumerate(["", *options]):
        for name in [*WORDS][number % every :: every]:
            if option:
                yield f"{option}: {name}", [*usual, option, WORDS[name]]
            elif not usual[0].startswith("-"):
                yield f"first word: {name}", [WORDS[name], *usual[1:]]


@pytest.mark.parametrize("every", [27, pytest.param(1, marks=pytest.mark.soak)])
@pytest.mark.parametrize("command", USUAL)
def test_a_hostile_word_gives_a_result_or_one_line(
    command: str,
    every: int,
    things: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CI", raising=False)
    (tmp_path / "a folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    wrong = {}
    for case, words in hostile(command, [word.format(things=things) for word in USUAL[command]], every):
        codes: list[int] = []
        found = outcome(lambda words=words, codes=codes: codes.append(run([command, *words])))  # type: ignore[misc]
        said = capfd.readouterr()
        if found or (found := wrong_end(codes[0], said.out, said.err)):
            wrong[case] = found
    assert wrong == {}


def wrong_end(code: int, out: str, err: str) -> str | None:
    """Return what is wrong with how a command ended; CASE_S is watched elsewhere."""
    assert CASE_S
    lines = [line for line in err.splitlines() if re.match(r"error(\[[a-z-]+\])?: ", line)]
    if code not in CODES or (code not in (0, 3, 4) and len(lines) != 1):
        return f"exit code {code} with {len(lines)} lines of errors: {err[:200]!a}"
    if SECRET in out + err or "Traceback" in err:
        return f"a secret or a traceback: {err[:200]!a}"
    if any(len(line.encode()) > MESSAGE_BYTES + 10 or not line.isprintable() for line in lines):
        return f"a line too long, or not printable: {err[:200]!a}"
    return None
