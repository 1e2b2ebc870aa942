"""Every public log: what `look` proposes reads it after one question at most, and under soak it trains, unchanged."""

import shlex
from pathlib import Path

import numpy as np
import pytest

from helpers.engines import TRAIN, require
from helpers.logs.log_files import NOW_S
from pulsecast.stages.model_directory import read_model_directory
from pulsecast_train.logs.generator import generate_log
from pulsecast_train.logs.looking.look import look
from pulsecast_train.logs.reader import read_log

DATA = Path(__file__).resolve().parents[3].parent / "shared" / "data"
WIDE = "newspop_counters/Facebook_Palestine.csv.gz"
LOGS = sorted(str(path.relative_to(DATA)) for path in DATA.glob("*/*") if path.suffix in (".csv", ".tsv", ".gz"))
TRAINED = [name for name in LOGS if not name.startswith(("nab", "reddit"))] + [
    "nab_tweets/Twitter_volume_AAPL.csv",
    "reddit_traffic/gadgets_traffic.csv",
]
pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(not LOGS, reason="the public logs are not beside this repository"),
]


def test_every_public_log_is_read_after_one_question_at_most() -> None:
    open_or_wrong = []
    for name in LOGS:
        found = look(DATA / name, now_s=NOW_S)
        if name == WIDE:
            assert "144 numbered columns, TS1 to TS144" in found.problem
        elif len(found.questions) > 1 or found.problem or not read_log(DATA / name, found.config, now_s=NOW_S).series:
            open_or_wrong.append(name)
    assert open_or_wrong == []
    assert len(LOGS) > 40


@pytest.mark.parametrize("name", [*(name for name in TRAINED if name != WIDE), "the demo's"])
def test_the_proposed_command_trains_unchanged(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require(*TRAIN, "typer")
    from pulsecast_cli.app import run

    path = DATA / name
    if name == "the demo's":
        path = tmp_path / "engagement.csv"
        generate_log(path, days=28)
    command = look(path, now_s=NOW_S).command
    program, *words = shlex.split(command)
    assert program == "pulsecast"
    monkeypatch.chdir(tmp_path)
    assert run([*words, "--epochs", "1"]) == 0  # the command with fewer epochs
    model = read_model_directory(tmp_path / "model")
    assert np.isfinite(model.weights.head_kernel).all()
