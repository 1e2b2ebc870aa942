"""The page of a bundle in a real browser, and its wrapper's files under Node."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from helpers.engines import require_tool
from helpers.native_models import FLOAT32_ROUNDING
from helpers.outside.browser import chromium, document_of, served
from pulsecast.bundle.bundle import Bundle
from pulsecast.errors import UsageError
from pulsecast_export.libraries.wasm import MODULE, WRAPPER
from pulsecast_export.serving.page import longest_run, write_page


def test_a_page_of_a_bundle_without_a_module_is_refused(plain_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no model for browsers; export it with --native-for wasm32"):
        write_page(plain_bundle, tmp_path / "page")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_page_forecasts_the_golden_in_a_browser_from_its_own_files_alone(bundle: Path, tmp_path: Path) -> None:
    write_page(bundle, tmp_path / "page")
    opened = Bundle.open(bundle)
    golden, scaler = opened.golden(), opened.manifest.scaler
    run = longest_run(golden.windows, opened.manifest.spec)
    rows, ends = run.rows, run.ends
    at = list(ends.values())[len(ends) // 2]
    with served(tmp_path / "page") as (address, asked):
        document = document_of(f"{address}/#{at}", tmp_path / "profile")
    assert 'id="error" role="alert" hidden' in document
    here = {int(end): json.loads(html.unescape(text)) for end, text in _rows(document)}
    assert sorted(here) == sorted(ends.values())
    assert len(here) > 10
    for i, end in ends.items():
        assert np.abs(np.subtract(here[end], golden.reference[i])).max() / scaler.range < FLOAT32_ROUNDING, end
    assert f"{len(here)} held-out windows forecast as the reference" in document
    (shown,) = re.findall(r'id="forecast" data-values="([^"]*)"', document)
    assert json.loads(shown) == here[at]
    assert f">{at} of {len(rows)}<" in document
    assert set(asked) == {"/", "/page.css", "/page.js", "/pulsecast.js", "/model.wasm", "/series.json"}
    spec = opened.manifest.spec
    when = datetime.fromtimestamp((run.start or 0) + (at - 1) * spec.step_s, UTC)
    assert f'id="when">{f", {when:%-d %b %Y %H:%M}" if spec.timed else ""}<' in document


LABELS = """[...document.querySelectorAll('svg text.at')].map((one) => {
  const { left, right } = one.getBoundingClientRect();
  return [one.textContent, left, right];
})"""


@pytest.mark.slow
def test_dates_below_the_page_s_picture_are_right_and_do_not_touch_on_a_phone(bundle: Path, tmp_path: Path) -> None:
    write_page(bundle, tmp_path / "page")
    with served(tmp_path / "page") as (address, _), chromium(tmp_path / "profile") as page:
        page.open(address, width=390)
        page.evaluate("new Promise((done) => setInterval(() => document.querySelector('svg text.at') && done(), 20))")
        found = page.evaluate(LABELS)
    texts = [text for text, _, _ in found]
    assert len(texts) >= 2
    assert all(right < left for (_, _, right), (_, left, _) in pairwise(found))
    assert max(right for _, _, right in found) <= 390
    if Bundle.open(bundle).manifest.spec.timed:
        days = [datetime.strptime(f"{text.partition(' at')[0]} 2025", "%d %b %Y").replace(tzinfo=UTC) for text in texts]
        assert {(after - before).days for before, after in pairwise(days)} <= {1, 2, 7}
    else:
        assert all(text.isdigit() for text in texts)


def test_under_node_the_wrapper_opens_files_by_path_and_by_address(bundle: Path, tmp_path: Path) -> None:
    shutil.copy(bundle / "native" / WRAPPER, tmp_path / "pulsecast.mjs")
    shutil.copy(bundle / "native" / MODULE, tmp_path / "a model.wasm")
    (tmp_path / "caller.mjs").write_text(
        """
        import { load, PulsecastError } from './pulsecast.mjs';
        const here = new URL('a%20model.wasm', import.meta.url);
        for (const source of ['a model.wasm', here, here.href]) console.log((await load(source)).context);
        await load('missing.wasm').catch((error) => console.log(error instanceof PulsecastError, error.message));
        """,
        "utf-8",
    )
    node = [require_tool("node"), "caller.mjs"]
    done = subprocess.run(node, cwd=tmp_path, capture_output=True, text=True, check=True)
    context = str(Bundle.open(bundle).manifest.spec.context)
    assert done.stdout.splitlines()[:3] == [context] * 3
    assert done.stdout.splitlines()[3].startswith("true ENOENT: no such file or directory, open 'missing.wasm'")


def _rows(document: str) -> list[tuple[str, str]]:
    return re.findall(r'<tr data-end="(\d+)" data-here="([^"]*)"', document)


@pytest.mark.slow
def test_the_page_says_what_is_wrong_where_it_cannot_forecast(bundle: Path, tmp_path: Path) -> None:
    write_page(bundle, tmp_path / "page")
    (tmp_path / "page" / "model.wasm").unlink()
    with served(tmp_path / "page") as (address, _):
        document = document_of(address, tmp_path / "profile")
    assert re.search(r'id="error" role="alert">No forecasts: model\.wasm: the server answers 404<', document)
