"""The front door of every stage: its names, its arguments, and its description in README."""

import importlib
import inspect
import re
import subprocess
import sys
from types import ModuleType

import pytest

import pulsecast
from helpers.engines import require
from helpers.source_tree import PACKAGES, REPOSITORY, modules

require("polars")

DOORS = {name: stage for name, stage in PACKAGES.items() if name != "pulsecast_cli"}
# public functions of a stage that its table of functions lists
FUNCTIONS = {
    "pulsecast": {"generate_key", "load", "load_native", "pack", "sign", "step", "unpack", "verify"},
    "pulsecast_serve": {"application", "live_page", "serve"},
    "pulsecast_streams": {
        "answer", "answer_clock", "answer_event", "attach", "count", "event_policies", "forecasting", "stream_broker",
        "stream_kafka", "tick",
    },
    "pulsecast_train": {"evaluate", "evaluate_bundle", "fetch", "find_rhythm", "generate_log", "look",
                        "predict_logs", "read_as_trained",
                        "read_config", "read_log", "train"},
    "pulsecast_export": {"export", "serve_config", "write_page"},
    "pulsecast_bench": {"bench", "compare", "pack_bench", "read_result", "report", "save_baseline"},
}  # fmt: skip


def readme(name: str) -> str:
    """Return what describes a package: a README of its own, or that of its stage."""
    own, stage = (REPOSITORY / DOORS[name] / part / "README.md" for part in (name, "."))
    return (own if own.exists() else stage).read_text("utf-8")


def door(name: str) -> ModuleType:
    return importlib.import_module(name)


@pytest.mark.parametrize("name", DOORS)
def test_what_is_listed_is_sorted_there_and_documented(name: str) -> None:
    package = door(name)
    listed = package.__all__
    assert listed == sorted(listed, key=lambda one: (not one.isupper(), one[0].islower() or one[0] == "_", one))
    assert dir(package) == sorted(listed)
    silent = [one for one in listed if not one.isupper() and one != "__version__" and not getattr(package, one).__doc__]
    assert silent == []


@pytest.mark.parametrize("name", DOORS)
def test_the_stage_s_readme_names_all_of_it(name: str) -> None:
    text = readme(name)
    said = set(re.findall(r"\w+", text))
    assert [one for one in door(name).__all__ if one not in said and one != "__version__"] == []


@pytest.mark.parametrize("name", DOORS)
def test_what_the_stage_s_readme_calls_can_be_imported(name: str) -> None:
    text = readme(name)
    called = set(re.findall(r"\b([A-Z][a-z]+[A-Z]\w*)\(", text))
    beside = {one for other, stage in DOORS.items() if stage == DOORS[name] for one in dir(door(other))}
    assert sorted(called - beside - set(dir(pulsecast))) == []


@pytest.mark.parametrize("name", DOORS)
def test_its_functions_are_those_that_are_known_and_all_take_text_for_a_path(name: str) -> None:
    package = door(name)
    functions = {one for one in package.__all__ if inspect.isfunction(getattr(package, one))}
    assert functions == FUNCTIONS[name]
    narrow = [
        f"{one}({parameter.name}: {parameter.annotation})"
        for one in sorted(functions)
        for parameter in inspect.signature(getattr(package, one)).parameters.values()
        if re.search(r"\bPath\b", str(parameter.annotation))
    ]
    assert narrow == []


def test_every_error_is_at_the_front_door() -> None:
    from pulsecast import errors

    raised = {name for name, value in vars(errors).items() if inspect.isclass(value) and issubclass(value, Exception)}
    assert raised <= set(pulsecast.__all__)


@pytest.mark.parametrize("name", [*DOORS, "pulsecast_cli"])
def test_type_checkers_read_the_package(name: str) -> None:
    assert (modules()[name].path.parent / "py.typed").is_file()


@pytest.mark.parametrize("name", DOORS)
def test_a_door_is_cheap_and_an_unknown_name_is_an_attribute_error(name: str) -> None:
    with pytest.raises(AttributeError, match=f"module '{name}' has no attribute 'nothing'"):
        door(name).nothing  # noqa: B018
    code = f"import sys, {name}; sys.exit(any(m in sys.modules for m in ('numpy', 'tensorflow', 'polars')))"
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, env={"PYTHONPATH": ":".join(p for p in sys.path if p)}
    )
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("package", "record", "options", "message"),
    [
        ("pulsecast_train", "TrainConfig", {"holidays": "US"}, r"holidays is 'US'; expected a list, such as \['US'\]"),
        ("pulsecast_train", "TrainConfig", {"units": "50"}, "units is '50'; expected a list"),
        ("pulsecast_train", "LogConfig", {"metrics": "likes"}, "metrics is 'likes'; expected a list"),
        ("pulsecast_train", "EvaluateConfig", {"baselines": "ridge"}, "baselines is 'ridge'; expected a list"),
        ("pulsecast_bench", "BenchConfig", {"artifacts": "onnx"}, "artifacts is 'onnx'; expected a list"),
    ],
)
def test_one_name_where_a_list_is_expected_is_not_read_letter_by_letter(
    package: str, record: str, options: dict[str, str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        getattr(importlib.import_module(package), record)(**options)
