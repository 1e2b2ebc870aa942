"""What a stream on Kafka is told: refused before a broker is asked, and never with a password in the words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from helpers.engines import require
from pulsecast import Forecaster
from pulsecast.errors import EngineError, UsageError
from pulsecast_cli.app import run
from pulsecast_streams import KafkaConfig, forecasting, stream_kafka
from pulsecast_streams.kafka import running
from pulsecast_streams.kafka.config import read_properties
from pulsecast_streams.kafka.identity import identity

require("quixstreams", "confluent_kafka")

USUAL: dict[str, Any] = {"brokers": "127.0.0.1:1", "source": "likes", "forecasts": "forecasts"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"forecasts": "likes"}, "two topics are one: source is 'likes', forecasts is 'likes'"),
        ({"alarms": "likes-dead-letters"}, "two topics are one"),
        ({"source": "my likes"}, "source is 'my likes'; expected a topic"),
        ({"forecasts": ".."}, "forecasts is '..'; expected a topic"),
        ({"group": "a--b c"}, "group is 'a--b c'; expected up to 200 letters"),
        ({"brokers": " "}, "brokers is ' '; expected HOST:PORT"),
        ({"commit_s": 0.0}, "commit_s is 0.0; expected a number above 0, at most 30"),
        ({"form": "xml"}, "form is 'xml'; expected json or msgpack"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said.replace(".", r"\.")):
        KafkaConfig(**{**USUAL, **changes})


def test_all_problems_are_said_at_once(plain_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["stream", str(plain_bundle), "--kafka", "a:1", "--from", "likes", "--to", "likes", "--commit", "99"]
    assert run(words) == 2
    said = capsys.readouterr().err
    assert "two topics are one" in said
    assert "commit_s is 99.0" in said
    assert run([*words[:-4], "--to", "b", "--gap", "guess"]) == 2
    assert "gap is 'guess'; expected unknown, last or zero" in capsys.readouterr().err


def test_properties_are_read_and_comments_left_out(tmp_path: Path) -> None:
    file = tmp_path / "properties"
    file.write_text("# of the cluster\n\nsecurity.protocol=SASL_SSL\nsasl.password = a=b\n")
    assert read_properties(str(file)) == {"security.protocol": "SASL_SSL", "sasl.password": "a=b"}
    assert read_properties(None) == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a=1\nsecret", "line 2 of the properties is not NAME=VALUE"),
        ("Pass word=secret", "line 1 of the properties is not NAME=VALUE"),
        ("isolation.level=read_uncommitted", "line 1 of the properties sets isolation.level, which pulsecast sets"),
        ("a=secret\n" * 9000, "longer than 65,536 bytes"),
    ],
)
def test_a_wrong_line_of_properties_is_named_without_its_words(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "properties").write_text(text)
    with pytest.raises(UsageError, match=said) as raised:
        read_properties(str(tmp_path / "properties"))
    assert "secret" not in str(raised.value)


def test_a_process_keeps_its_name_and_two_do_not_share_a_folder(tmp_path: Path) -> None:
    with identity(tmp_path / "state") as first:
        assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
        with (
            pytest.raises(UsageError, match="is used by another process; each takes one of its own: --state DIR"),
            identity(tmp_path / "state"),
        ):
            pass
        with identity(tmp_path / "other") as other:
            assert other != first
    with identity(tmp_path / "state") as again:
        assert again == first


def test_a_broker_that_is_not_there_is_named(
    model: Forecaster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "REACH_S", 0.2)
    with pytest.raises(EngineError, match=r"Kafka at 127\.0\.0\.1:1 failed: .*read again"):
        stream_kafka(model, KafkaConfig(**USUAL, state=str(tmp_path / "state")))


def test_something_else_than_a_dataframe_is_refused(model: Forecaster) -> None:
    with pytest.raises(UsageError, match=r"dataframe is 'likes'; expected what app\.dataframe\(topic\) returned"):
        forecasting("likes", model)
