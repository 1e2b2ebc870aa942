"""A package that is missing is a skip on a laptop, and a failure in CI: except for the tests that are listed here."""

import re
from pathlib import Path

import pytest

from helpers.engines import load, require

# skipped in CI as well: an extra that no other one brings, and Keras' other two backends, gigabytes each
OPTIONAL = {"benchmarks/anomalies/test_nab.py", "train/fitting/test_keras_backends.py"}
SKIPS = re.compile(r"importorskip|util\.find_spec\((?!\"pulsecast)")


def test_a_missing_package_is_a_skip_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no_such_package not installed"):
        require("json", "no_such_package")
    with pytest.raises(pytest.skip.Exception, match="no_such_package not installed"):
        load("no_such_package.module")


def test_a_missing_package_is_a_failure_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "1")
    with pytest.raises(pytest.fail.Exception, match="no_such_package not installed, and CI is set"):
        require("json", "no_such_package")


def test_no_test_skips_on_its_own_where_a_package_is_missing() -> None:
    folder = Path(__file__).parent
    found = {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("test_*.py")
        if path != Path(__file__) and SKIPS.search(path.read_text("utf-8"))
    }
    assert found == OPTIONAL
