"""The HTML report: its content, and how a real browser shows it."""

import dataclasses
import re
from pathlib import Path

import pytest

from helpers import measured, rounds
from helpers.engines import require
from helpers.outside.browser import chromium
from pulsecast_bench.analysis.pareto import Budget
from pulsecast_bench.reporting.markdown import markdown
from pulsecast_bench.reporting.section import measured as parts
from pulsecast_bench.results.case import Case
from pulsecast_bench.results.result import Energy, Package, Result
from pulsecast_bench.results.run import ScenarioRun, encode

require("matplotlib")

from pulsecast_bench.reporting.drawing import spread  # noqa: E402
from pulsecast_bench.reporting.html import html  # noqa: E402

LIGHT, DARK = "rgb(27, 27, 27)", "rgb(232, 232, 232)"  # --ink


def scenario(artifact: str, name: str, latencies_us: list[int]) -> ScenarioRun:
    latencies = [1000 * value for value in latencies_us]
    return ScenarioRun(
        case=Case(artifact=artifact, batch=1, threads=1, leading=False, scenario=name),
        repeat=0,
        order=0,
        engine="engine 1.0",
        device="CPU",
        issuer="loop",
        generator="pulsecast 1.0",
        target_qps=500.0 if name == "server" else None,
        due=encode([i * 2_000_000 for i in range(len(latencies))]),
        latencies=encode(latencies),
        service=encode([value // 2 for value in latencies]),
        wall_ns=2_000_000 * len(latencies),
        cpu_ns=1,
        foreign_cpu=0.0,
        energy_uj=None,
        affinity=None,
        loadgen={},
        windows=len(latencies),
    )


def whole() -> Result:
    """Return a result with everything in it that the report can show; a name has to be escaped."""
    base = rounds.result({"onnx": rounds.QUIET, "onnx-w8": (90,) * 5, "tflite": (300,) * 5}, off={"onnx-w8": 0.01})
    needs = {"onnx": ("onnxruntime",), "onnx-w8": ("onnxruntime",), "tflite": None}
    return dataclasses.replace(
        base,
        model=dataclasses.replace(base.model, name="shop <b>&"),
        subjects=tuple(dataclasses.replace(one, needs=needs[one.artifact]) for one in base.subjects),
        packages=(
            Package(name="numpy", version="2.4.6", size_bytes=60_000_000),
            Package(name="onnxruntime", version="1.32.0", size_bytes=40_000_000),
        ),
        machine=dataclasses.replace(measured.MACHINE, energy=Energy(source=None, reason="no counter is readable")),
        scenarios=(scenario("onnx", "server", [100] * 63 + [900]), scenario("onnx", "single-stream", [100] * 64)),
    )


PAGE = html(parts([whole()]), Budget(latency_us=95))


def test_the_page_names_no_address_and_runs_no_script() -> None:
    outside = re.sub(r'xmlns(:\w+)?="[^"]*"', "", PAGE)
    assert re.findall(r"""(?:src|href)=["'](?!#|data:)""", outside) == []
    assert "url(http" not in outside
    assert "@import" not in outside
    assert "<script" not in outside
    assert "shop &lt;b&gt;&amp;" in PAGE


def test_every_section_has_its_pictures() -> None:
    labels = re.findall(r'<svg role="img" aria-label="([^"]*)"', PAGE)
    assert [label.partition(":")[0] for label in labels] == [
        "p50 latency against size; filled markers are not beaten",
        "p50 latency against RMSE; filled markers are not beaten",
        "Latency at the smallest batch, distribution per artifact",
        "Throughput over the batch, per artifact",
        "RMSE per artifact with its interval",
        "onnx",
        "onnx-w8",
        "tflite",
        "Latencies in the scenario server",
        "Latencies in the scenario single-stream",
        "Each process's median latency over its case's, and foreign processor time",
    ]


def test_both_reports_say_the_same() -> None:
    text = markdown(parts([whole()]), Budget(latency_us=95))
    for sentence in (
        "Take onnx-w8 (90.0 us, RMSE ",
        "Not beaten in p50, RMSE and size together: onnx-w8.",
        "Energy is not measurable here: no counter is readable.",
    ):
        assert sentence in text
        assert sentence in PAGE
    # 64 queries in 128 ms; half of each latency is waiting; p99 needs more queries
    assert "| server | onnx | 100 | 100 | - | 500 | 500 | 50% | 64 in 1 |" in text
    assert "<td>server</td><td>onnx</td><td>100</td><td>100</td><td>-</td><td>500</td>" in PAGE
    # 60 MB of numpy and 40 MB of the engine; the needs of tflite are unknown
    assert re.search(r"\| onnx \| 60.0 [^|]*\| - \| 100 \| - \| 100 \| onnxruntime \|", text)
    assert re.search(r"\| tflite \| 60.0 [^|]*\| - \| 300 \| - \| - \| - \|", text)


def test_the_accuracy_table_holds_changes_against_float32_of_the_same_engine() -> None:
    accuracy = markdown(parts([whole()])).partition("### Accuracy")[2].partition("###")[0]
    row = next(line for line in accuracy.splitlines() if line.startswith("| onnx-w8 |"))
    assert re.search(r"\| [+-]0\.\d\d% \([+-]0\.\d\d to [+-]0\.\d\d\) \| onnx \|", row)


def test_rows_of_several_machines_say_the_machine() -> None:
    other = dataclasses.replace(whole(), label="pi4")
    text = markdown(parts([whole(), other]))
    assert "| machine | model | artifact |" in text
    assert "| Test CPU | shop <b>& | onnx | 100 |" in text
    assert "| pi4 | shop <b>& | onnx | 100 |" in text
    assert "2 results of one model" in text
    twice = markdown(parts([whole(), whole()]))
    assert "| Test CPU #1 |" in twice
    assert "| Test CPU #2 |" in twice


def test_a_result_without_a_measurement_is_a_page_all_the_same() -> None:
    nothing = dataclasses.replace(rounds.result({"onnx": rounds.QUIET}), runs=())
    page = html(parts([nothing]), Budget(latency_us=10))
    assert "No measured artifact can be recommended." in page
    assert "<svg" not in page


def test_the_same_result_gives_the_same_page() -> None:
    assert html(parts([whole()]), Budget(latency_us=95)) == PAGE


def test_labels_keep_apart_and_stay_in_order() -> None:
    places = spread([0.5, 0.5, 0.52, 0.9], 0.1)
    assert sorted(places) == pytest.approx([0.406667, 0.506667, 0.606667, 0.9], abs=1e-6)
    assert places[0] < places[2]
    assert spread([], 0.1) == []


@pytest.mark.slow
def test_a_browser_shows_it_without_a_network_on_a_phone_in_the_dark_and_on_paper(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(PAGE, encoding="utf-8")
    with chromium(tmp_path / "profile") as page:
        for width, scheme, ink in ((1200, "light", LIGHT), (390, "light", LIGHT), (390, "dark", DARK)):
            page.open(path, width=width, scheme=scheme)
            assert page.requests() == [path.as_uri()]
            assert page.complaints() == []
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            drawn = page.evaluate(
                "[...document.querySelectorAll('svg')].filter(s => s.getBoundingClientRect().width > 250"
                " && s.getBoundingClientRect().height > 80).length"
            )
            assert drawn == PAGE.count("<svg ")
            assert page.evaluate("getComputedStyle(document.body).color") == ink
            # text in a picture has the page's colour, and is not smaller than 8 pixels on a phone
            assert page.evaluate("getComputedStyle(document.querySelector('svg text')).fill") == ink
            heights = "[...document.querySelectorAll('svg text')].map(t => t.getBoundingClientRect().height)"
            assert page.evaluate(f"Math.min(...{heights})") >= 8
        # the widest table scrolls in its own box
        assert page.evaluate("[...document.querySelectorAll('.scroll')].some(box => box.scrollWidth > box.clientWidth)")
        printed = page.pdf()
        assert printed.startswith(b"%PDF")
        page.call("Emulation.setEmulatedMedia", media="print", features=[])
        assert page.evaluate("getComputedStyle(document.body).color") == LIGHT
