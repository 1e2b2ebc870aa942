"""What a release says of itself: licences of what it brings, one version, systems that it was tried on."""

import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

import pulsecast
from helpers.engines import lacking, require

REPOSITORY = Path(__file__).parents[2]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]


@pytest.fixture(scope="module")
def dependencies() -> ModuleType:
    """The program that lists dependencies."""
    require("packaging")
    found = importlib.util.spec_from_file_location("dependencies", REPOSITORY / ".ci" / "dependencies.py")
    assert found is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def listed() -> dict[str, tuple[str, str]]:
    """Return version and licence of each package in DEPENDENCIES.md."""
    text = (REPOSITORY / "DEPENDENCIES.md").read_text("utf-8")
    rows = re.findall(r"^\| ([a-z0-9-]+) \| (.+?) \| (.+?) \|$", text, re.MULTILINE)
    return {name: (pin, licence) for name, pin, licence in rows if name != "package"}


@pytest.mark.slow
def test_dependencies_are_listed_with_the_licences_that_they_state(dependencies: ModuleType) -> None:
    program = [sys.executable, str(REPOSITORY / ".ci" / "dependencies.py")]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    if " is not installed; " in done.stderr:
        lacking(done.stderr.strip())
    assert done.stderr == ""
    assert done.stdout == (REPOSITORY / "DEPENDENCIES.md").read_text("utf-8")


def test_no_licence_forbids_what_ours_allows() -> None:
    found = listed()
    assert len(found) > 50
    copyleft = {
        name: licence for name, (_, licence) in found.items() if re.search(r"\bA?GPL|LGPL|SSPL|Unknown", licence)
    }
    assert copyleft == {}


def test_listed_versions_are_those_of_the_constraints(dependencies: ModuleType) -> None:
    pins = dependencies.pinned()
    assert {name: pin for name, (pin, _) in listed().items() if pins.get(name, "not pinned") != pin} == {}
    assert listed()["numpy"][0] == pins["numpy"]


def test_a_licence_that_a_package_states_nowhere_is_asked_for(
    dependencies: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    from email.message import Message

    monkeypatch.setattr(dependencies, "metadata", lambda _: Message())
    with pytest.raises(LookupError, match="pytest states no licence by name; add it to STATED"):
        dependencies.licence("pytest")


def test_the_changelog_begins_with_this_version_and_a_wheel_is_named_by_it() -> None:
    newest = re.search(r"^## (\S+)", (REPOSITORY / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert newest is not None
    assert newest[1] == pulsecast.__version__
    for name in ("README.md", "runtime/README.md"):
        wheels = re.findall(r"pulsecast-([\d.]+)-py3", (REPOSITORY / name).read_text("utf-8"))
        assert set(wheels) <= {pulsecast.__version__}, name


def test_pythons_and_systems_of_the_classifiers_are_those_that_the_readme_calls_tested() -> None:
    pythons = [one.rpartition(" ")[2] for one in PROJECT["classifiers"] if re.search(r"Python :: 3\.\d+$", one)]
    systems = [one for one in PROJECT["classifiers"] if one.startswith("Operating System")]
    readme = " ".join((REPOSITORY / "README.md").read_text("utf-8").split())
    assert systems == ["Operating System :: POSIX :: Linux"]
    tested = re.search(r"tested on Linux x86-64 with Python ([\d., and]+?)\.? ", readme)
    assert tested is not None
    assert re.findall(r"3\.\d+", tested[1]) == pythons
    assert "Windows and macOS are not tested" in readme
