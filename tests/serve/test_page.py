"""The page at `/` in a real browser: its numbers are the server's, it asks nobody else, and it fits a phone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import pulsecast
from helpers.outside.browser import Page, chromium
from helpers.serving import running
from helpers.serving.streams import pushes
from pulsecast_serve import ServerConfig

pytestmark = pytest.mark.slow

KEY = "k" * 32
SERIES = [200 + i % 24 + (i * 7) % 5 for i in range(90)]
START = 1_767_571_200
# the tables that are wider than what is seen of them
CUT = (
    "[...document.querySelectorAll('.scroll')].filter((one) => one.scrollWidth > one.clientWidth)"
    ".map((one) => one.firstElementChild.id)"
)
UNTIL = "new Promise((done) => {{ const look = () => ({}) ? done(1) : setTimeout(look, 10); look(); }})"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with chromium(tmp_path_factory.mktemp("profile")) as found:
        yield found


def until(page: Page, condition: str) -> None:
    page.evaluate(UNTIL.format(condition))


def fill(page: Page, **values: str) -> None:
    for name, value in values.items():
        page.evaluate(f"document.getElementById({json.dumps(name)}).value = {json.dumps(value)}")


@pytest.mark.parametrize(("width", "scheme"), [(1100, "light"), (375, "dark")])
def test_a_pasted_series_is_forecast_and_drawn(page: Page, bundle: Path, width: int, scheme: str) -> None:
    with running(bundle) as client:
        page.open(f"{client.address}/", width=width, scheme=scheme)
        until(page, "!document.getElementById('try').hidden")
        fill(page, values=" ".join(map(str, SERIES)), start="2026-01-05T00:00:00Z")
        page.evaluate("document.getElementById('go').click()")
        until(page, "!document.getElementById('answer').hidden")
        shown = page.evaluate("[...document.querySelectorAll('#steps tbody tr')].map((one) => one.innerText)")
        cut = page.evaluate(CUT)
        drawn = page.evaluate("document.querySelectorAll('#plot circle.next').length")
        wide = page.evaluate("document.documentElement.scrollWidth")
        asked, complaints = page.requests(), page.complaints()
    model = pulsecast.load(bundle)
    window = np.array(SERIES[-model.manifest.spec.context :], np.float32)
    own = model.predict(window, timestamps=START + 89 * 3600, interval=0.9)
    assert [float(line.split("\t")[2]) for line in shown] == pytest.approx(own.forecast[0].tolist(), rel=1e-4)
    assert shown[0].split("\t")[1] == "2026-01-08 18:00"
    assert drawn == 2
    assert wide <= width
    assert cut == []
    assert complaints == []
    assert {one.split("/")[2] for one in asked} == {client.address.split("/")[2]}


def test_a_word_among_the_values_is_said(page: Page, bundle: Path) -> None:
    with running(bundle) as client:
        page.open(f"{client.address}/", width=800)
        until(page, "!document.getElementById('try').hidden")
        fill(page, values="1 2 three")
        page.evaluate("document.getElementById('go').click()")
        until(page, "!document.getElementById('error').hidden")
        assert page.evaluate("document.getElementById('error').textContent") == (
            'value 3 is "three"; expected a number, or null'
        )


def test_a_locked_server_asks_for_the_key_and_opens_with_it(page: Page, bundle: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(KEY)
    keys.chmod(0o600)
    with running(bundle, config=ServerConfig(keys=str(keys))) as client:
        page.open(f"{client.address}/", width=800)
        until(page, "!document.getElementById('locked').hidden")
        assert page.evaluate("document.getElementById('models').hidden")
        fill(page, key=KEY)
        page.evaluate("document.querySelector('#locked button').click()")
        until(page, "!document.getElementById('try').hidden")
        assert page.evaluate("document.querySelector('#models tbody td').textContent") == "plain"


def test_the_page_may_load_nothing_from_elsewhere(bundle: Path) -> None:
    with running(bundle) as client:
        reply = client.get("/")
    assert "default-src 'none'" in reply.headers["content-security-policy"]
    assert b"http" not in reply.body


@pytest.mark.parametrize(("width", "scheme"), [(1100, "light"), (390, "dark")])
def test_a_series_is_followed_as_it_happens(page: Page, bundle: Path, width: int, scheme: str) -> None:
    """A burst that comes while the page is open is ringed, and the forecast moves on."""
    steps = pushes(range(150))
    steps[-1]["value"] *= 6
    with running(bundle, config=ServerConfig(store="memory", backend="numpy")) as client:
        client.post("/v1/streams/plain/shop%2F7", {"steps": steps[:-1], "false_alarm_rate": 0.05})
        page.open(f"{client.address}/?{width}#plain/shop%2F7", width=width, scheme=scheme)
        until(page, "document.getElementById('live-state').textContent.includes('was')")
        before = page.evaluate("document.getElementById('live-summary').textContent")
        said = client.post("/v1/streams/plain/shop%2F7", steps[-1]).json
        until(page, f"document.getElementById('live-state').textContent.includes('{steps[-1]['value']:,.0f}')")
        after = page.evaluate("document.getElementById('live-summary').textContent")
        rings = page.evaluate("document.querySelectorAll('#live-plot circle.odd').length")
        texts = page.evaluate("[...document.querySelectorAll('#live-plot text')].map((one) => one.textContent)")
        wide, complaints = page.evaluate("document.documentElement.scrollWidth"), page.complaints()
        cut = page.evaluate(CUT)
    assert said["anomaly"]["alarm"]
    assert (int(after.split(" alarm")[0].split()[-1]) - int(before.split(" alarm")[0].split()[-1])) == 1
    assert rings >= 1
    assert {"value, each hour", "time, UTC"} <= set(texts)
    assert wide <= width
    assert cut == []
    assert complaints == []
