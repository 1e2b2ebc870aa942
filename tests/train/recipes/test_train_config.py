"""The TOML file: its values arrive, and all wrong values are refused at once."""

from pathlib import Path

import pytest

from pulsecast.errors import UsageError
from pulsecast.foundation.arguments import with_changes
from pulsecast_train.recipes.train_config import RunConfig, TrainConfig, read_config


def written(folder: Path, text: str) -> Path:
    path = folder / "train.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_what_the_file_says_arrives_and_the_rest_keeps_its_default(tmp_path: Path) -> None:
    config = read_config(
        written(tmp_path, '[log]\nstep = "1h"\n[train]\nrecipe = "textbook"\nunits = [8, 4]\nlearning_rate = 1\n')
    )
    assert config.log.step == "1h"
    assert config.train == TrainConfig(recipe="textbook", units=(8, 4), learning_rate=1.0)


def test_an_empty_file_is_the_default(tmp_path: Path) -> None:
    assert read_config(written(tmp_path, "")) == RunConfig()


def test_all_problems_are_listed_at_once(tmp_path: Path) -> None:
    text = '[train]\nepoch = 5\nwindow = "50"\n[log]\nstepp = "1h"\n[export]\n'
    with pytest.raises(UsageError) as raised:
        read_config(written(tmp_path, text))
    for problem in (
        "train.toml: ",
        "unknown key export; known: log, train",
        "unknown key train.epoch; known: recipe, window",
        "train.window is the string '50'; expected an integer",
        "unknown key log.stepp",
    ):
        assert problem in str(raised.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[train]\nwindow = 0\n", "train: window is 0; expected at least 1"),
        ("[train]\nlearning_rate = nan\n", "train.learning_rate is not finite"),
        ("[train]\nunits = [8, 0]\n", "train: units must name"),
        ("[train]\nseed = true\n", "train.seed is the boolean true; expected an integer"),
        ("[train]\nseed = 2026-01-01\n", "train.seed"),
    ],
)
def test_a_value_that_cannot_be_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        read_config(written(tmp_path, text))


def test_a_file_that_is_not_toml_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not TOML: "):
        read_config(written(tmp_path, "train: yes\n"))
    (tmp_path / "latin.toml").write_bytes(b'[log]\ntime = "\xe9"\n')
    with pytest.raises(UsageError, match="is not TOML: "):
        read_config(tmp_path / "latin.toml")
    with pytest.raises(UsageError, match=r"none\.toml cannot be read: No such file"):
        read_config(tmp_path / "none.toml")


def test_flags_change_what_is_given_and_check_it() -> None:
    config = TrainConfig(window=20)
    assert with_changes(config, {"window": None, "epochs": 3}) == TrainConfig(window=20, epochs=3)
    with pytest.raises(UsageError, match="epochs is 0; expected at least 1"):
        with_changes(config, {"epochs": 0})
