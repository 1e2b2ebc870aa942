"""A missing package or tool is a skip on a laptop, and a failure in CI: except for the tests that are listed here."""

import re
from pathlib import Path

import pytest

from helpers.engines import load, require, require_tool, require_tools

# Why a test may skip in CI too: the missing thing is neither a tool nor a package of an extra that others bring.
MAY_SKIP = {
    "benchmarks/anomalies/test_nab.py": ["vus, an extra of its own"],
    "benchmarks/comparing/test_compare.py": ["no baseline is kept"],
    "export/libraries/test_cross.py": ["a library for x86_64-linux"],
    "export/native/test_native_sums.py": ["of x86-64", "of x86-64", "this processor has no"],
    "export/test_faults.py": ["is for root", "root writes everywhere"],
    "fuzz/test_fuzz.py": ["found.skipped"],  # atheris is in an extra of its own
    "helpers/native_models.py": ["this processor has no"],
    "helpers/streaming/kafka.py": ["jars cannot be fetched"],
    "runtime/backends/test_artifacts.py": ["this is the GPU wheel"],
    "runtime/backends/test_native_library.py": ["is for root"],
    "runtime/backends/test_native_store.py": ["is for root"],
    "runtime/backends/test_sealed_library.py": ["are Linux's"],
    "runtime/bundle/test_bundle.py": ["root reads everything"],
    "runtime/foundation/test_private_folder.py": ["is for root", "on Linux only"],
    "runtime/foundation/test_whole_directory.py": ["root writes everywhere"],
    "runtime/stages/test_child_process.py": ["the parent-death signal is Linux's"],
    "serve/test_forked.py": ["no fork"],
    "serve/streams/test_store_faults.py": ["is for root"],
    "train/fitting/test_keras_backends.py": ["{backend} is not installed"],  # jax and torch: gigabytes each
    "runtime/forecasting/test_monitor.py": ["the public sample logs are not beside this repository"],
    "train/logs/test_faults.py": ["the public counts are not beside this repository"],
    "train/cases/test_shared_cases.py": ["the public cases are not beside this repository"],
    "train/looking/test_public_looks.py": ["the public logs are not beside this repository"],
    "train/looking/test_look.py": ["the public logs are not beside this repository"],
    "train/logs/test_public_logs.py": ["the public sample logs are not beside this repository"],
    "train/rhythm/test_posts.py": ["public data that is not beside the clone"],
}
SKIPS = re.compile(r"(?:pytest\.skip|skipif|importorskip)\(.*")
LOOKS = re.compile(r"shutil\.which|util\.find_spec\((?!\"pulsecast)")  # for a tool or a package, by itself
HERE = Path(__file__).parent


def sources() -> dict[str, str]:
    """Return every file of tests and helpers, except those about skipping."""
    about = {Path(__file__), HERE / "helpers" / "engines.py"}
    return {
        path.relative_to(HERE).as_posix(): path.read_text("utf-8")
        for path in sorted(HERE.rglob("*.py"))
        if path not in about
    }


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


def test_a_missing_tool_is_a_skip_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"^no-such-tool, no-other not installed$"):
        require_tools("no-such-tool", "sh", "no-other")
    with pytest.raises(pytest.skip.Exception, match=r"^no-such-tool or no-other not installed$"):
        require_tool("no-such-tool", "no-other")


def test_a_missing_tool_is_a_failure_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "1")
    with pytest.raises(pytest.fail.Exception, match="no-such-tool, no-other not installed, and CI is set"):
        require_tools("no-such-tool", "sh", "no-other")
    with pytest.raises(pytest.fail.Exception, match="no-such-tool or no-other not installed, and CI is set"):
        require_tool("no-such-tool", "no-other")


def test_an_installed_tool_is_found_also_among_the_administrators_programs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    require_tools("tool")
    assert require_tool("no-such-tool", "tool") == str(tool)


def test_no_test_skips_on_its_own_except_for_the_reasons_listed_here() -> None:
    found = {name: SKIPS.findall(text) for name, text in sources().items()}
    assert {name for name, skips in found.items() if skips} == set(MAY_SKIP)
    for name, reasons in MAY_SKIP.items():
        assert len(found[name]) == len(reasons), name
        for skip, reason in zip(found[name], reasons, strict=True):
            assert reason in skip, name


def test_no_test_looks_for_a_tool_or_a_package_on_its_own() -> None:
    found = {name for name, text in sources().items() if LOOKS.search(text)}
    assert found == {"train/fitting/test_keras_backends.py"}
