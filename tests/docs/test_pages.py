"""The site's pages by hand: each code block is done, in order, or says why not; the numbers agree with each other."""

from __future__ import annotations

import importlib
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from helpers.documents import DOCS, WRITTEN_BY_HAND, Block, Walk, blocks, own_commands
from helpers.engines import EXPORT, TRAIN, require, require_tool, require_tools
from helpers.outside import warm
from helpers.outside.browser import chromium, served
from helpers.source_tree import REPOSITORY
from pulsecast import load

SMALL = {"pulsecast train": "--units 4 --epochs 1", "pulsecast export model --out": "--target onnx"}
PROSE = [*WRITTEN_BY_HAND, *sorted(REPOSITORY.glob("*.md")), *sorted(REPOSITORY.glob("*/README.md"))]
PROSE += sorted(REPOSITORY.glob("runtime/*/README.md"))
MARK = re.compile(r"not run: .{20,}|file: \S+|said|a run of \d{4}-\d\d-\d\d|")


@pytest.fixture(scope="module", params=[SMALL, pytest.param({}, marks=pytest.mark.soak)], ids=["small", "as written"])
def walk(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    """The first page done, with a smaller network; `make soak` does it as it is written."""
    require(*TRAIN, *EXPORT, "lightgbm", "statsmodels", "matplotlib", "starlette", "uvicorn")
    found = Walk(folder=tmp_path_factory.mktemp("walk"), smaller=request.param)
    try:
        with warm.converters():
            found.follow("first-forecast.md")
        yield found
    finally:
        found.close()


def predicted(walk: Walk) -> float:
    """What `pulsecast predict` says of the log."""
    from pulsecast_train import predict_logs

    predict_logs(walk.folder / "bundle", walk.folder / "visits.csv", out=walk.folder / "again.csv", force=True)
    return float((walk.folder / "again.csv").read_text().splitlines()[-1].split(",")[4])


@pytest.mark.slow
def test_the_first_page_ends_in_a_stream_that_gives_the_forecast_of_predict(walk: Walk) -> None:
    last = float(re.findall(r"\[\[(.+)\]\]", walk.said)[0])
    assert last == pytest.approx(predicted(walk), rel=1e-5)
    assert "next.html" in {path.name for path in walk.folder.iterdir()}


@pytest.mark.slow
def test_the_page_on_serving_gets_the_same_forecast_from_the_server(walk: Walk) -> None:
    require_tools("curl")
    answers: dict[str, str] = {}
    for block in blocks(DOCS / "serve.md"):
        walk.do(block)
        if block.language == "sh":
            answers[block.text.split("\n")[0]] = walk.said
    for program in ("python ask.py", "python push.py"):
        forecast = re.match(r"\[(.+?)\]", answers[program])
        assert forecast
        assert float(forecast[1]) == pytest.approx(predicted(walk), rel=1e-5)
    assert '"arrival":"next"' in answers["python push.py"]
    assert '"verdict":"unknown"' in answers["python push.py"]


@pytest.mark.slow
def test_the_page_of_one_s_own_forecasts_in_a_browser_what_the_bundle_forecasts(
    example_bundle: Path, tmp_path: Path
) -> None:
    """The bundle with a module for browsers is a shared one: the command that makes it is tested with the exporter."""
    require_tool("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    shutil.copytree(example_bundle, tmp_path / "web")
    made = "pulsecast export model --native-for wasm32 --out web\n"
    walk = Walk(folder=tmp_path, smaller=SMALL)
    for block in blocks(DOCS / "in-a-browser.md"):
        if not block.mark.startswith("not run: "):
            walk.do(Block(**{**vars(block), "text": block.text.replace(made, "")}))
    log = json.loads((tmp_path / "page" / "series.json").read_text())
    with served(tmp_path / "page") as (address, _), chromium(tmp_path / "profile") as page:
        page.open(f"{address}/own.html", width=390)
        shown = page.evaluate(
            "new Promise(done => { const look = () => { const said = document.getElementById('next').textContent;"
            " said === '…' ? requestAnimationFrame(look) : done(said); }; look(); })"
        )
    model = load(tmp_path / "web", backend="numpy")
    last = log["start"] + (len(log["rows"]) - 1) * log["step_s"]
    values = np.array(log["rows"][-model.manifest.spec.context :], np.float32)[None, :, None]
    expected = model.predict(values, timestamps=np.array([last]), interval=0.9)
    assert shown == f"{expected[0][0, 0]:.1f} ({expected[1][0, 0]:.1f} to {expected[2][0, 0]:.1f})"


@pytest.mark.parametrize("path", WRITTEN_BY_HAND, ids=lambda path: path.name)
def test_every_block_of_a_page_is_done_or_says_why_not(path: Path) -> None:
    done = {"first-forecast.md", "serve.md", "in-a-browser.md"}  # by the walks above
    for block in blocks(path):
        assert MARK.fullmatch(block.mark), f"{path.name}:{block.line}: % {block.mark}"
        if block.language == "text":
            assert block.mark, f"{path.name}:{block.line}: what is it? mark it `% said` or `% a run of DATE`"
        elif path.name not in done:
            assert block.mark.startswith("not run: ") or block.language == "python", f"{path.name}:{block.line}"


def test_the_python_of_the_page_of_errors_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = [block for block in blocks(DOCS / "errors.md") if block.language == "python"]
    exec(block.text, {})  # noqa: S102  # it is ours
    assert capsys.readouterr().out == f"{block.text.split('# ')[1]}"


@pytest.mark.parametrize("path", PROSE, ids=lambda path: path.relative_to(REPOSITORY).as_posix())
def test_commands_in_prose_have_options_that_are_there(path: Path) -> None:
    require("typer", "polars")
    import typer
    from typer.main import get_command

    from pulsecast_cli.app import app

    root = get_command(app)
    known = {
        name: {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        for name, command in root.commands.items()
    }
    assert typer.Context(root)
    wrong = []
    for block in blocks(path):
        for words in own_commands(block.text) if block.language == "sh" else []:
            if not words[1].startswith("-"):
                given = {word.partition("=")[0] for word in words[2:] if word.startswith("--") and word != "--"}
                wrong += [f"{block.line}: {words[1]} {one}" for one in given - known.get(words[1], set())]
    assert wrong == []


@pytest.mark.parametrize("path", PROSE, ids=lambda path: path.relative_to(REPOSITORY).as_posix())
def test_python_in_prose_compiles_and_imports_what_is_there(path: Path) -> None:
    require("polars")
    for block in blocks(path):
        if block.language != "python":
            continue
        compile(block.text, f"{path.name}:{block.line}", "exec")
        for package, names in re.findall(r"^from (pulsecast\w*) import (.+)$", block.text, re.MULTILINE):
            listed = set(dir(importlib.import_module(package)))
            assert {name.strip() for name in names.split(",")} <= listed, f"{path.name}:{block.line}"
