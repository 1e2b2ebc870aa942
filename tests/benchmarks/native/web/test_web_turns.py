"""Engines in Node and in a page, in turns: what is measured, what fails the run, and that nothing stays behind."""

from __future__ import annotations

import contextlib
import http.client
import queue
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.engines import EXPORT, install_from_npm, require, require_tool, require_tools
from helpers.native_models import FLOAT32_ROUNDING
from helpers.outside.processes import children, is_running, wait_for
from helpers.outside.web_peer import known_forecasts
from pulsecast.bundle.bundle import Bundle, entry_for
from pulsecast.bundle.manifest import MANIFEST_NAME, parse_manifest
from pulsecast.errors import EngineError, ToleranceError
from pulsecast.foundation import strict_json
from pulsecast_bench.native.web import __main__ as program
from pulsecast_bench.native.web.children import BROWSERS, find_browser, node_child
from pulsecast_bench.native.web.engines import CHROMIUM, NODE, PEER, PEER_VERSION
from pulsecast_bench.native.web.page_server import page_server
from pulsecast_bench.native.web.turns import Plan

SHORT = Plan(rounds=2, round_s=0.0, starts=1)


@pytest.mark.parametrize("bundle", ["web_bundle", "untimed_web_bundle"])
def test_every_engine_is_measured_in_node_and_is_right(bundle: str, stand_in: Path, request) -> None:
    require_tool("node")
    web_bundle = request.getfixturevalue(bundle)
    found, ran = program.compare(web_bundle, stand_in, [NODE], SHORT)
    assert list(found.turns_us[NODE]) == ["native", "onnx"]
    assert {len(rounds) for rounds in found.turns_us[NODE].values()} == {2}
    assert {len(starts) for starts in found.starts_ms[NODE].values()} == {1}
    assert min(min(each) for each in (*found.turns_us[NODE].values(), *found.starts_ms[NODE].values())) > 0
    assert 0 < found.errors[NODE]["native"] < FLOAT32_ROUNDING
    assert found.errors[NODE]["onnx"] < FLOAT32_ROUNDING
    assert found.downloads == {}
    assert ran[0].startswith("node: v")
    assert ran[1] == f"{PEER}: 0.0.1, WebAssembly, one thread"


@pytest.mark.slow
def test_a_page_gives_the_same_forecasts_and_its_files_are_counted(web_bundle: Path, stand_in: Path) -> None:
    require_tools("node")
    require_tool(*BROWSERS)
    found, ran = program.compare(web_bundle, stand_in, program.PLACES, SHORT)
    assert found.errors[CHROMIUM] == found.errors[NODE]
    module = web_bundle / "native" / "lib" / "wasm32"
    sizes = [(module / name).stat().st_size for name in ("model.wasm", "pulsecast.js")]
    assert found.downloads["native"].size_bytes == sum(sizes)
    assert 0 < found.downloads["native"].gzip_bytes < sum(sizes)
    peer = [stand_in / PEER / "dist" / "ort.mjs", web_bundle / "onnx" / "model.onnx"]
    assert found.downloads["onnx"].size_bytes == sum(path.stat().st_size for path in peer)
    assert ran[1].startswith("chromium: ")


def changed(bundle: Path, folder: Path, path: str, text: str) -> Path:
    """A copy of `bundle` with another text in one of its files."""
    copy = Path(shutil.copytree(bundle, folder))
    (copy / path).write_text(text, "utf-8")
    manifest = parse_manifest((copy / MANIFEST_NAME).read_bytes())
    files = tuple(entry_for(copy, entry.path) for entry in manifest.files)
    (copy / MANIFEST_NAME).write_text(strict_json.dumps(replace(manifest, files=files)), "utf-8")
    return copy


def test_an_engine_that_computes_another_number_fails_the_run(web_bundle, stand_in, tmp_path, capsys) -> None:
    require_tool("node")
    opened = Bundle.open(web_bundle)
    limit = opened.manifest.artifact("onnx").tolerance.max_abs * opened.manifest.scaler.range
    near = changed(web_bundle, tmp_path / "near", "onnx/model.onnx", known_forecasts(opened.golden(), 0.5 * limit))
    program.compare(near, stand_in, [NODE], SHORT)
    far = changed(web_bundle, tmp_path / "far", "onnx/model.onnx", known_forecasts(opened.golden(), 2.0 * limit))
    with pytest.raises(ToleranceError, match=r"onnx in node is wrong: the largest error / range is \S+, above"):
        program.compare(far, stand_in, [NODE], SHORT)
    assert program.main([str(far), "--modules", str(stand_in), "--place", "node", "--rounds", "1"]) == 3
    taken = capsys.readouterr()
    assert taken.out == ""
    assert "error: onnx in node is wrong" in taken.err


def test_an_engine_that_cannot_open_its_model_says_so(web_bundle, stand_in, tmp_path) -> None:
    require_tool("node")
    broken = changed(web_bundle, tmp_path / "broken", "onnx/model.onnx", "no model")
    with pytest.raises(EngineError, match="onnx in node failed: Unexpected token"):
        program.compare(broken, stand_in, [NODE], SHORT)
    unknown = changed(web_bundle, tmp_path / "unknown", "onnx/model.onnx", "[]")
    with pytest.raises(EngineError, match="onnx in node failed: an unknown window"):
        program.compare(unknown, stand_in, [NODE], SHORT)


def test_a_child_that_ends_or_hangs_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = require_tool("node")
    (tmp_path / "ends.mjs").write_text("console.error('not today'); process.exit(1);", "ascii")
    with (
        node_child(node, "an engine", tmp_path / "ends.mjs", tmp_path / "one") as child,
        pytest.raises(EngineError, match="an engine ended: not today"),
    ):
        child.ask("first", {})
    (tmp_path / "hangs.mjs").write_text("setInterval(() => {}, 1000);", "ascii")
    monkeypatch.setattr("pulsecast_bench.native.web.children.ANSWER_S", 0.1)
    with (
        node_child(node, "an engine", tmp_path / "hangs.mjs", tmp_path / "two") as child,
        pytest.raises(EngineError, match=r"an engine did not answer within 0\.1 s"),
    ):
        child.ask("first", {})


def test_the_page_s_server_gives_files_of_its_folders_alone(tmp_path: Path) -> None:
    for name in ("page/page.html", "secret.js", "page/notes.txt", "page/.mjs"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name, "ascii")
    with page_server({"page": tmp_path / "page"}, queue.SimpleQueue(), print) as server:
        assert server.server_address[0] == "127.0.0.1"
        assert server.file_of("/page/page.html?1") == tmp_path / "page" / "page.html"
        for path in ("/page/../secret.js", "/secret.js", "/page/notes.txt", "/page/none.js", "/page", "/", "//page.js"):
            assert server.file_of(path) is None
        asked = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
        with contextlib.closing(asked):
            answers = {}
            for path in ("/page/page.html", "/page/..%2fsecret.js"):
                asked.request("GET", path)
                answer = asked.getresponse()
                answers[path] = (answer.status, answer.read(), answer.headers["Cross-Origin-Embedder-Policy"])
        assert list(answers.values()) == [(200, b"page/page.html", "require-corp"), (404, b"", "require-corp")]
        assert server.asked == [tmp_path / "page" / "page.html"]


def started(bundle: Path, modules: Path, *options: str) -> subprocess.Popen[str]:
    """The program in a process of its own, in no hurry to end."""
    command = [sys.executable, "-m", "pulsecast_bench.native.web", str(bundle), "--modules", str(modules)]
    command += ["--rounds", "1000", *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def of_session(first: int) -> list[int]:
    """Every running process of the session that `first` leads."""
    stats = {int(path.parent.name): path for path in Path("/proc").glob("[0-9]*/stat")}
    found = []
    for pid, path in stats.items():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if path.read_text().rpartition(")")[2].split()[3] == str(first) and is_running(pid):
                found.append(pid)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("place", [NODE, CHROMIUM])
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_run_says_one_sentence_and_leaves_no_process(web_bundle, stand_in, place, sent) -> None:
    require_tool(*{NODE: ("node",), CHROMIUM: BROWSERS}[place])
    process = started(web_bundle, stand_in, "--place", place)
    try:
        wait_for(lambda: "round 2 of 1000\n" in iter(process.stderr.readline, ""))
        engines = children(process.pid)
        everything = [pid for engine in engines for pid in of_session(engine)]
        assert len(engines) == 2
        process.send_signal(sent)
        out, said = process.communicate(timeout=60)
    finally:
        process.kill()
    if sent is signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
    else:
        assert (process.returncode, out) == (130, "")
        assert said.splitlines()[-1] == "interrupted: every engine was ended, and nothing was measured"
        assert "Traceback" not in said
    wait_for(lambda: not any(map(is_running, everything)))


@pytest.mark.slow
@pytest.mark.soak
def test_onnxruntime_web_itself_is_measured_beside_the_bundle(recommended_model: Path, tmp_path: Path, capsys) -> None:
    require(*EXPORT, "ziglang")
    require_tools("node")
    install_from_npm(tmp_path, f"{PEER}@{PEER_VERSION}")
    from pulsecast_export.exporter import export_model

    targets = ("native", "native-w8", "onnx", "onnx-w8")
    export_model(recommended_model, tmp_path / "bundle", targets=targets, native_for=("wasm32",))
    places = ["--place", "node", *(("--place", "chromium") if find_browser() else ())]
    short = ["--rounds", "1", "--round-seconds", "0", "--starts", "1"]
    modules = ["--modules", str(tmp_path / "node_modules")]
    assert program.main([str(tmp_path / "bundle"), *modules, *places, *short]) == 0
    said = capsys.readouterr().out
    assert f"{PEER}: {PEER_VERSION}, WebAssembly, one thread" in said
    assert said.count("at most 0.2") == 12 if find_browser() else 4
