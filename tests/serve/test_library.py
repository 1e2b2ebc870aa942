"""A folder of models is followed: a new version takes its place once it is proven, a broken one never does."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import pytest

from pulsecast import UsageError
from pulsecast_serve import ServerConfig
from pulsecast_serve.models.library import Library
from pulsecast_serve.models.served import Models
from pulsecast_serve.models.sources import named
from pulsecast_serve.refusal import RefusedError


class Followed:
    """A folder, and the models that a library has of it after each look."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.models = Models()
        self.library = Library(self.models, ServerConfig(), folder=folder)
        self._first = True

    def look(self, times: int = 1) -> None:
        for _ in range(times):
            self.library.refresh(first=self._first)
            self._first = False

    def add(self, bundle: Path, where: str) -> Path:
        shutil.copytree(bundle, self.folder / where)
        return self.folder / where

    def stable(self, name: str = "mentions") -> int:
        return self.models.find(name).version


@pytest.fixture
def followed(tmp_path: Path) -> Followed:
    folder = tmp_path / "models"
    folder.mkdir()
    return Followed(folder)


def damage(version: Path) -> None:
    path = version / "weights.npz"
    path.write_bytes(path.read_bytes()[:-1] + b"x")


def test_the_largest_version_answers(followed: Followed, bundle: Path) -> None:
    followed.add(bundle, "mentions/2")
    followed.add(bundle, "mentions/10")
    followed.look()
    assert followed.stable() == 10
    assert followed.models.ready


def test_nothing_is_ready_before_the_first_look_and_with_no_model(followed: Followed, bundle: Path) -> None:
    assert not followed.models.ready
    followed.look()
    assert not followed.models.ready
    followed.add(bundle, "mentions/1")
    followed.look(2)
    assert followed.models.ready


def test_a_new_version_takes_the_place_of_the_old_one(followed: Followed, bundle: Path) -> None:
    followed.add(bundle, "mentions/1")
    followed.look()
    held = followed.models.find("mentions")
    followed.add(bundle, "mentions/2")
    followed.look(2)
    assert followed.stable() == 2
    assert held.version == 1  # a request at work keeps what it has
    with pytest.raises(RefusedError, match="no version 1; it has 2, stable"):
        followed.models.find("mentions", version=1)


def test_a_version_on_its_way_waits_until_its_files_stand_still(followed: Followed, bundle: Path) -> None:
    followed.add(bundle, "mentions/1")
    followed.look()
    arriving = followed.add(bundle, "mentions/2")
    late = arriving / "weights.npz"
    data = late.read_bytes()
    late.write_bytes(data[:100])
    followed.look()
    late.write_bytes(data)
    followed.look()
    assert followed.stable() == 1
    assert followed.models.shelf("mentions").refused == {}
    followed.look()
    assert followed.stable() == 2


def test_a_broken_version_is_refused_and_the_old_one_goes_on(
    followed: Followed, bundle: Path, caplog: pytest.LogCaptureFixture
) -> None:
    followed.add(bundle, "mentions/1")
    followed.look()
    broken = followed.add(bundle, "mentions/2")
    damage(broken)
    with caplog.at_level(logging.ERROR, "pulsecast.serve"):
        followed.look(5)
    assert followed.stable() == 1
    assert followed.models.ready
    assert "was changed after export" in followed.models.shelf("mentions").refused[2]
    assert len(caplog.records) == 1  # it is said once, and not tried again
    shutil.rmtree(broken)
    followed.add(bundle, "mentions/2")
    followed.look(2)
    assert followed.stable() == 2
    assert followed.models.shelf("mentions").refused == {}


def test_a_broken_only_version_is_not_ready(followed: Followed, bundle: Path) -> None:
    damage(followed.add(bundle, "mentions/1"))
    followed.look()
    assert not followed.models.ready
    with pytest.raises(RefusedError) as caught:
        followed.models.find("mentions")
    assert caught.value.status == 503


def test_with_the_newest_broken_at_the_start_the_one_before_answers(followed: Followed, bundle: Path) -> None:
    followed.add(bundle, "mentions/1")
    damage(followed.add(bundle, "mentions/2"))
    followed.look(2)
    assert followed.stable() == 1


def test_a_version_that_is_taken_back_gives_its_place_to_the_one_before(followed: Followed, bundle: Path) -> None:
    followed.add(bundle, "mentions/1")
    second = followed.add(bundle, "mentions/2")
    followed.look()
    shutil.rmtree(second)
    followed.look(2)
    assert followed.stable() == 1


def test_the_last_version_goes_on_until_the_model_itself_is_gone(followed: Followed, bundle: Path) -> None:
    first = followed.add(bundle, "mentions/1")
    followed.look()
    damage(first)
    followed.look(3)
    assert followed.stable() == 1
    assert 1 in followed.models.shelf("mentions").refused
    shutil.rmtree(followed.folder / "mentions")
    followed.look(2)
    with pytest.raises(RefusedError, match="no model 'mentions'"):
        followed.models.find("mentions")


def test_labels_choose_which_versions_stand(followed: Followed, bundle: Path) -> None:
    for version in (1, 2, 3):
        followed.add(bundle, f"mentions/{version}")
    labels = followed.folder / "mentions" / "labels.json"
    labels.write_text(json.dumps({"stable": 1, "canary": 3}))
    followed.look()
    assert followed.stable() == 1
    assert followed.models.find("mentions", label="canary").version == 3
    assert sorted(followed.models.shelf("mentions").versions) == [1, 3]
    labels.write_text(json.dumps({"stable": 3}))
    followed.look(2)
    assert followed.stable() == 3


def test_a_stable_label_of_a_broken_version_leaves_the_one_before(followed: Followed, bundle: Path) -> None:
    followed.add(bundle, "mentions/1")
    damage(followed.add(bundle, "mentions/2"))
    labels = followed.folder / "mentions" / "labels.json"
    labels.write_text('{"stable": 1}')
    followed.look()
    labels.write_text('{"stable": 2}')
    followed.look(3)
    assert followed.stable() == 1


@pytest.mark.parametrize("text", ["[", "[]", '{"stable": "1"}', '{"stable": true}', '{"a b": 1}', '{"stable": 0}'])
def test_labels_that_cannot_be_read_are_said_and_the_largest_answers(
    followed: Followed, bundle: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    followed.add(bundle, "mentions/1")
    (followed.folder / "mentions" / "labels.json").write_text(text)
    followed.look(2)
    assert followed.stable() == 1
    assert len([one for one in caplog.records if "labels.json" in one.getMessage()]) == 1


@pytest.mark.parametrize("text", ["", '{"stable":'])
def test_labels_that_cannot_be_read_any_more_leave_those_before(followed: Followed, bundle: Path, text: str) -> None:
    for version in (1, 2):
        followed.add(bundle, f"mentions/{version}")
    labels = followed.folder / "mentions" / "labels.json"
    labels.write_text('{"stable": 1, "canary": 2}')
    followed.look()
    labels.write_text(text)  # as one finds a file that is being written
    followed.look(2)
    assert followed.stable() == 1
    assert followed.models.find("mentions", label="canary").version == 2


def test_a_folder_without_a_version_is_said(followed: Followed, bundle: Path, caplog: pytest.LogCaptureFixture) -> None:
    followed.add(bundle, "mentions/1")
    (followed.folder / "logs").mkdir()
    followed.look(2)
    assert not followed.models.ready
    assert [one.getMessage() for one in caplog.records if "logs" in one.getMessage()] == [
        "model logs: has no version; expected logs/1/ with a bundle in it, and other folders elsewhere"
    ]


def test_what_is_not_a_version_is_left_alone(followed: Followed, bundle: Path) -> None:
    followed.add(bundle, "mentions/1")
    for name in ("mentions/.2.arriving", "mentions/02", "mentions/v3", "mentions/-4", ".hidden/1"):
        followed.add(bundle, name)
    (followed.folder / "notes.txt").write_text("x")
    followed.look()
    assert followed.models.names == ["mentions"]
    assert followed.stable() == 1


def test_a_bundle_in_the_folder_itself_is_version_1(followed: Followed, bundle: Path) -> None:
    followed.add(bundle, "mentions")
    followed.look()
    assert followed.stable() == 1


def test_bundles_are_called_by_their_own_name_or_the_given_one(bundle: Path) -> None:
    assert named([str(bundle), f"other={bundle}"]) == {"plain": bundle, "other": bundle}


def test_two_bundles_of_one_name_are_refused(bundle: Path) -> None:
    with pytest.raises(UsageError, match="two bundles are called plain: serve one of them as NAME="):
        named([str(bundle), str(bundle)])
    with pytest.raises(UsageError, match="cannot be part of an address"):
        named([f"a b={bundle}"])
